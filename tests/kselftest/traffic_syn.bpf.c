// SPDX-License-Identifier: GPL-2.0
/*
 * A SYN proxy: whoever wants to connect to a socket that listens is given a cookie, and what
 * comes with one goes on, by another device. Services with an even port have the cookies of
 * their socket, others those of no socket.
 */
#include "traffic_send.h"
#include <linux/tcp.h>

#define SYN_LEN 24	/* with one option: the MSS */

/* What comes back: the same segment the other way, with a cookie. */
static __always_inline int answer(struct ethhdr *eth, struct iphdr *ip, struct tcphdr *tcp,
				  void *end, __u32 cookie)
{
	__u8 mac[ETH_ALEN];
	__be32 addr = ip->saddr;
	__be16 port = tcp->source;
	__u32 pseudo = bpf_htons(SYN_LEN) + bpf_htons(IPPROTO_TCP);

	if ((void *)tcp + SYN_LEN > end)
		return XDP_ABORTED;
	__builtin_memcpy(mac, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, mac, ETH_ALEN);
	ip->saddr = ip->daddr;
	ip->daddr = addr;
	tcp->source = tcp->dest;
	tcp->dest = port;
	tcp->ack_seq = bpf_htonl(bpf_ntohl(tcp->seq) + 1);
	tcp->seq = bpf_htonl(cookie);
	tcp->ack = 1;
	tcp->check = 0;
	pseudo += (ip->saddr & 0xffff) + (ip->saddr >> 16);
	pseudo += (ip->daddr & 0xffff) + (ip->daddr >> 16);
	tcp->check = fold(bpf_csum_diff(0, 0, (__be32 *)tcp, SYN_LEN, pseudo));
	return XDP_TX;
}

static __always_inline int on(void)
{
	count(SENT_ON);
	return bpf_redirect_map(&out, 0, 0);
}

SEC("xdp")
int proxy(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	struct bpf_sock_tuple tuple = {};
	struct flow flow = {};
	__u32 one = 1, plain, listens;
	struct bpf_sock *sk;
	__s64 cookie;

	if ((void *)(tcp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5 ||
	    ip->protocol != IPPROTO_TCP)
		return XDP_PASS;
	count(SEEN);
	flow.from = tuple.ipv4.saddr = ip->saddr;
	flow.to = tuple.ipv4.daddr = ip->daddr;
	flow.from_port = tuple.ipv4.sport = tcp->source;
	flow.to_port = tuple.ipv4.dport = tcp->dest;
	flow.protocol = ip->protocol;
	if (!tcp->syn && bpf_map_lookup_elem(&flows, &flow))
		return on();

	sk = bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return XDP_PASS;
	listens = sk->state == BPF_TCP_LISTEN && sk->src_port == bpf_ntohs(tcp->dest);
	plain = bpf_ntohs(tcp->dest) & 1;
	if (!listens) {
		cookie = -1;
	} else if (tcp->syn) {
		if (tcp->doff * 4 != SYN_LEN || (void *)tcp + SYN_LEN > end)
			cookie = -1;
		else if (plain)
			cookie = bpf_tcp_raw_gen_syncookie_ipv4(ip, tcp, SYN_LEN);
		else
			cookie = bpf_tcp_gen_syncookie(sk, ip, sizeof(*ip), tcp, SYN_LEN);
	} else if (plain) {
		cookie = bpf_tcp_raw_check_syncookie_ipv4(ip, tcp);
	} else {
		cookie = bpf_tcp_check_syncookie(sk, ip, sizeof(*ip), tcp, sizeof(*tcp));
	}
	bpf_sk_release(sk);

	if (tcp->syn && cookie >= 0)
		return answer(eth, ip, tcp, end, cookie);
	if (tcp->syn)
		count(FAILED);
	if (cookie) {
		count(DROPPED);
		return XDP_DROP;
	}
	bpf_map_update_elem(&flows, &flow, &one, BPF_ANY);
	count(NEW_FLOWS);
	return on();
}

char _license[] SEC("license") = "GPL";
