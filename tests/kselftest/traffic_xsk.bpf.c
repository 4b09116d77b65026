// SPDX-License-Identifier: GPL-2.0
/* Every other packet of a flow goes to whom it may concern in user space. */
#include "traffic_parse.h"

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct flow);
	__type(value, __u64);
} flows SEC(".maps");

SEC("xdp")
int receive(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u64 zero = 0, *n;
	struct flow flow;

	if (!parse(data, end, &flow))
		return XDP_PASS;
	count(SEEN);
	bpf_map_update_elem(&flows, &flow, &zero, BPF_NOEXIST);
	n = bpf_map_lookup_elem(&flows, &flow);
	if (!n || ++*n & 1)
		return XDP_PASS;
	count(SENT_ON);
	return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS);
}

char _license[] SEC("license") = "GPL";
