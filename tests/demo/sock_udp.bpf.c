// SPDX-License-Identifier: GPL-2.0
/* (c) On a packet socket: keeps the IP header of UDP packets, drops the rest. */
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);		/* IP protocol */
	__type(value, __u64);
} protocols SEC(".maps");

SEC("socket")
int sock_udp(struct __sk_buff *skb)
{
	__u64 one = 1, *n;
	__u8 protocol;
	__u32 key;

	if (skb->protocol != bpf_htons(ETH_P_IP) || skb->pkt_type == 4 /* PACKET_OUTGOING */ ||
	    bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct iphdr, protocol), &protocol, 1))
		return 0;
	key = protocol;
	n = bpf_map_lookup_elem(&protocols, &key);
	if (n)
		__sync_fetch_and_add(n, 1);
	else
		bpf_map_update_elem(&protocols, &key, &one, BPF_NOEXIST);
	return protocol == IPPROTO_UDP ? ETH_HLEN + sizeof(struct iphdr) : 0;
}

char _license[] SEC("license") = "GPL";
