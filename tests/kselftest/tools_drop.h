/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A program for xdp-loader: it counts IPv4 packets by the last byte of where they come from,
 * and drops those of one source. NAME: its name; DROPPED: that byte.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} NAME(seen) SEC(".maps");

SEC("xdp")
int NAME(drop)(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);
	__u64 *seen;
	__u32 from;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) ||
	    ip->protocol != 1)
		return XDP_PASS;
	from = bpf_ntohl(ip->saddr) & 15;
	seen = bpf_map_lookup_elem(&NAME(seen), &from);
	if (seen)
		__sync_fetch_and_add(seen, 1);
	return from == DROPPED ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "GPL";
