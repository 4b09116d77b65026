// SPDX-License-Identifier: GPL-2.0
/* For tc, ip and iptables: what test_tc and test_iptables have them load. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* By program and kind of frame */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u64[2]);
} sw_seen SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} sw_bytes SEC(".maps");

static void count(__u32 prog, __u32 kind, __u32 len)
{
	__u32 key = prog << 16 | kind;
	__u64 one[2] = { 1, len }, *seen = bpf_map_lookup_elem(&sw_seen, &key);
	__u64 *bytes = bpf_map_lookup_elem(&sw_bytes, &prog);

	if (seen) {
		__sync_fetch_and_add(&seen[0], 1);
		__sync_fetch_and_add(&seen[1], len);
	} else {
		bpf_map_update_elem(&sw_seen, &key, one, BPF_ANY);
	}
	if (bytes)
		__sync_fetch_and_add(bytes, len);
}

/* Its protocol of IPv4, or 256 and the low byte of what it is else */
static __u32 kind_of(void *data, void *end)
{
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);

	if (data + sizeof(*eth) > end)
		return 0x1ff;
	if (eth->h_proto != bpf_htons(ETH_P_IP) || (void *)(ip + 1) > end)
		return 0x100 | bpf_ntohs(eth->h_proto) % 256;
	return ip->protocol;
}

SEC("classifier/da")
int sw_da(struct __sk_buff *skb)
{
	__u32 kind = kind_of((void *)(long)skb->data, (void *)(long)skb->data_end);
	__u16 port = 0;

	count(0, kind, skb->len);
	if (skb->vlan_present) {
		bpf_skb_vlan_pop(skb);
		return bpf_redirect(skb->ifindex, 0);
	}
	switch (kind) {
	case IPPROTO_UDP:
		bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(struct iphdr) + 2, &port, 2);
		skb->mark = bpf_ntohs(port);
		skb->priority = 3;
		return port == bpf_htons(53) ? TC_ACT_OK : TC_ACT_UNSPEC;
	case IPPROTO_TCP:
		return TC_ACT_SHOT;
	case IPPROTO_ICMP:
		bpf_clone_redirect(skb, skb->ifindex, 0);
		bpf_skb_change_tail(skb, skb->len - 8, 0);
		return bpf_redirect(skb->ifindex, 0);
	}
	return TC_ACT_UNSPEC;
}

/* No match, the filter's own class, or another one */
SEC("classifier/class")
int sw_class(struct __sk_buff *skb)
{
	__u32 kind = kind_of((void *)(long)skb->data, (void *)(long)skb->data_end);

	count(1, kind, skb->len);
	return kind == IPPROTO_UDP ? -1 : kind == IPPROTO_TCP ? 0x10020 : 0;
}

SEC("action/mark")
int sw_mark(struct __sk_buff *skb)
{
	__u8 tos = 0x28;

	count(2, skb->mark % 256, skb->len);
	skb->mark += 1;
	if (skb->protocol != bpf_htons(ETH_P_IP))
		return TC_ACT_PIPE;
	bpf_skb_store_bytes(skb, ETH_HLEN + 1, &tos, 1, BPF_F_RECOMPUTE_CSUM);
	bpf_l3_csum_replace(skb, ETH_HLEN + 10, 0, bpf_htons(tos), 2);
	return skb->len > 1000 ? TC_ACT_SHOT : TC_ACT_PIPE;
}

SEC("xdp")
int sw_xdp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 kind = kind_of(data, end), *meta;

	count(3, kind, end - data);
	if (kind == IPPROTO_TCP)
		return XDP_DROP;
	if (kind == 0x106)
		return XDP_TX;
	if (kind == IPPROTO_UDP && !bpf_xdp_adjust_tail(ctx, -2))
		return XDP_PASS;
	if (bpf_xdp_adjust_meta(ctx, -4))
		return XDP_PASS;
	meta = (void *)(long)ctx->data_meta;
	if ((void *)(meta + 1) <= (void *)(long)ctx->data)
		*meta = kind;
	return XDP_PASS;
}

/* For iptables: given the packet from its network header on */
SEC("socket")
int sw_match(struct __sk_buff *skb)
{
	__u8 proto = 0;
	__u16 port = 0;

	bpf_skb_load_bytes_relative(skb, 9, &proto, 1, BPF_HDR_START_NET);
	bpf_skb_load_bytes_relative(skb, 22, &port, 2, BPF_HDR_START_NET);
	count(0, proto, skb->len);
	return proto == IPPROTO_UDP && bpf_ntohs(port) % 2;
}

char _license[] SEC("license") = "GPL";
