/* SPDX-License-Identifier: GPL-2.0 */
/* Headers of IPv4 and UDP, for the programs that carry traffic */
#ifndef TRAFFIC_PARSE_H
#define TRAFFIC_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "traffic.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTS);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

static __always_inline void count(__u32 what)
{
	__u64 *n = bpf_map_lookup_elem(&counts, &what);

	if (n)
		++*n;
}

/* Whether it is UDP in IPv4 without options; then @flow is whose. */
static __always_inline int parse(void *data, void *end, struct flow *flow)
{
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);

	if ((void *)(udp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5 ||
	    ip->protocol != IPPROTO_UDP)
		return 0;
	flow->from = ip->saddr;
	flow->to = ip->daddr;
	flow->from_port = udp->source;
	flow->to_port = udp->dest;
	flow->protocol = ip->protocol;
	return 1;
}

#endif
