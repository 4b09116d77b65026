// SPDX-License-Identifier: GPL-2.0
/*
 * (b) Sends UDP for PORT_UDP to PORT_UDP_REAL with helpers, and sets the TTL by
 * writing to the packet. The checksums stay right both times.
 */
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "demo.h"

#define L3	sizeof(struct ethhdr)
#define L4	(L3 + sizeof(struct iphdr))

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} rewritten SEC(".maps");

SEC("tc")
int tc_rewrite(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + L3;
	struct udphdr *udp = data + L4;
	__be16 from = bpf_htons(PORT_UDP), to = bpf_htons(PORT_UDP_REAL);
	__u32 sum, zero = 0;
	__u64 *n;

	if ((void *)(udp + 1) > end || skb->protocol != bpf_htons(ETH_P_IP) ||
	    ip->ihl != 5 || ip->protocol != IPPROTO_UDP || udp->dest != from)
		return TC_ACT_OK;

	/* RFC 1624: HC' = ~(~HC + ~m + m'); the TTL is the high byte of its word. */
	sum = (__u16)~ip->check + (__u16)~bpf_htons(ip->ttl << 8) + bpf_htons(REWRITTEN_TTL << 8);
	sum = (sum & 0xffff) + (sum >> 16);
	ip->check = ~((sum & 0xffff) + (sum >> 16));
	ip->ttl = REWRITTEN_TTL;

	if (bpf_l4_csum_replace(skb, L4 + offsetof(struct udphdr, check), from, to,
				BPF_F_MARK_MANGLED_0 | sizeof(to)) ||
	    bpf_skb_store_bytes(skb, L4 + offsetof(struct udphdr, dest), &to, sizeof(to), 0))
		return TC_ACT_SHOT;

	n = bpf_map_lookup_elem(&rewritten, &zero);
	if (n)
		__sync_fetch_and_add(n, 1);
	return TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
