/* SPDX-License-Identifier: GPL-2.0 */
/* An exporter of flows: how many packets and bytes, told at the 1st, 2nd, 4th, 8th ... */
#include "traffic_parse.h"

struct account {
	__u64 packets, bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct flow);
	__type(value, struct account);
} flows SEC(".maps");

/* Whether it is to be told; @record is all of it but the start. */
static __always_inline int account(struct xdp_md *ctx, struct flow *flow, __u64 *packets,
				   __u64 *bytes)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct account first = { 0 }, *a;

	if (!parse(data, end, flow))
		return 0;
	count(SEEN);
	bpf_map_update_elem(&flows, flow, &first, BPF_NOEXIST);
	a = bpf_map_lookup_elem(&flows, flow);
	if (!a)
		return 0;
	a->packets++;
	a->bytes += end - data;
	*packets = a->packets;
	*bytes = a->bytes;
	return !(a->packets & (a->packets - 1));
}
