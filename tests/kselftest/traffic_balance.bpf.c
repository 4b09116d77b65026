// SPDX-License-Identifier: GPL-2.0
/*
 * A load balancer: who is denied is dropped, flows to a service get a backend and keep it,
 * and go there in a tunnel, by another device.
 */
#include "traffic_send.h"

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct source_key);
	__type(value, __u32);		/* whether it is denied */
} sources SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, struct service);
	__type(value, __u32);		/* its first backend */
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __be32);
} backends SEC(".maps");

static __always_inline __u16 checksum(const struct iphdr *ip)
{
	const __u16 *word = (const void *)ip;
	__u32 sum = 0;
	int i;

#pragma unroll
	for (i = 0; i < 10; i++)
		sum += word[i];
	return fold(sum);
}

static __always_inline int tunnel(struct xdp_md *ctx, __be32 to)
{
	struct ethhdr eth, *outer_eth;
	struct iphdr *ip;
	void *data, *end;
	__u16 len = ctx->data_end - ctx->data - sizeof(eth);

	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + sizeof(eth) > end)
		return XDP_ABORTED;
	__builtin_memcpy(&eth, data, sizeof(eth));
	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*ip)))
		return XDP_ABORTED;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	outer_eth = data;
	ip = data + sizeof(eth);
	if ((void *)(ip + 1) > end)
		return XDP_ABORTED;
	__builtin_memcpy(outer_eth->h_dest, eth.h_source, ETH_ALEN);
	__builtin_memcpy(outer_eth->h_source, eth.h_dest, ETH_ALEN);
	outer_eth->h_proto = eth.h_proto;
	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 4;
	ip->ihl = 5;
	ip->tot_len = bpf_htons(sizeof(*ip) + len);
	ip->ttl = 64;
	ip->protocol = IPPROTO_IPIP;
	ip->saddr = bpf_htonl(0x0a000001);
	ip->daddr = to;
	ip->check = checksum(ip);
	return XDP_REDIRECT;
}

SEC("xdp")
int balance(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct source_key source = { .prefix = 32 };
	struct service service = { 0 };
	__u32 *denied, *first, *known, backend;
	struct flow flow;
	__be32 *to;

	if (!parse(data, end, &flow))
		return XDP_PASS;
	count(SEEN);
	source.addr = flow.from;
	denied = bpf_map_lookup_elem(&sources, &source);
	if (denied && *denied) {
		count(DROPPED);
		return XDP_DROP;
	}
	service.addr = flow.to;
	service.port = flow.to_port;
	service.protocol = flow.protocol;
	first = bpf_map_lookup_elem(&services, &service);
	if (!first)
		return XDP_PASS;
	known = bpf_map_lookup_elem(&flows, &flow);
	if (known) {
		backend = *known;
	} else {
		backend = *first + (bpf_ntohs(flow.from_port) + bpf_ntohl(flow.from)) % BACKENDS;
		bpf_map_update_elem(&flows, &flow, &backend, BPF_ANY);
		count(NEW_FLOWS);
	}
	to = bpf_map_lookup_elem(&backends, &backend);
	if (!to || tunnel(ctx, *to) != XDP_REDIRECT) {
		count(FAILED);
		return XDP_ABORTED;
	}
	count(SENT_ON);
	return bpf_redirect_map(&out, 0, 0);
}

char _license[] SEC("license") = "GPL";
