/* SPDX-License-Identifier: GPL-2.0 */
/* Header parsing that the two XDP programs share. */
#ifndef PARSE_H
#define PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "demo.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNT_MAX);
	__type(key, __u32);
	__type(value, struct count);
} counts SEC(".maps");

static __always_inline void count(__u32 what, __u32 bytes)
{
	struct count *c = bpf_map_lookup_elem(&counts, &what);

	if (c) {
		c->packets++;
		c->bytes += bytes;
	}
}

/* Returns the verdict; *udp_port is the destination of a UDP packet, or 0. */
static __always_inline int parse_and_count(struct xdp_md *ctx, __u32 *udp_port)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);
	void *l4 = data + sizeof(*eth) + sizeof(*ip);
	struct udphdr *udp = l4;
	struct tcphdr *tcp = l4;
	__u32 len;

	*udp_port = 0;
	if (l4 > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5)
		return XDP_PASS;
	len = bpf_ntohs(ip->tot_len);

	switch (ip->protocol) {
	case IPPROTO_ICMP:
		count(COUNT_ICMP, len);
		return XDP_PASS;
	case IPPROTO_UDP:
		if ((void *)(udp + 1) > end)
			return XDP_PASS;
		*udp_port = bpf_ntohs(udp->dest);
		if (*udp_port == PORT_DROPPED) {
			count(COUNT_DROPPED, len);
			return XDP_DROP;
		}
		count(COUNT_UDP, len);
		return XDP_PASS;
	case IPPROTO_TCP:
		if ((void *)(tcp + 1) > end)
			return XDP_PASS;
		if (tcp->syn)
			count(COUNT_TCP_OPEN, 0);
		else if (len > sizeof(*ip) + tcp->doff * 4)
			count(COUNT_TCP_DATA, len - sizeof(*ip) - tcp->doff * 4);
		return XDP_PASS;
	}
	return XDP_PASS;
}

#endif
