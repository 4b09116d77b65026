// SPDX-License-Identifier: GPL-2.0
/* An exporter that tells by a ring buffer */
#include "traffic_export.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} ring SEC(".maps");

SEC("xdp")
int export(struct xdp_md *ctx)
{
	__u64 packets, bytes;
	struct record *r;
	struct flow flow;

	if (!account(ctx, &flow, &packets, &bytes))
		return XDP_PASS;
	r = bpf_ringbuf_reserve(&ring, sizeof(*r), 0);
	if (!r) {
		count(FAILED);
		return XDP_PASS;
	}
	r->flow = flow;
	r->packets = packets;
	r->bytes = bytes;
	if (bpf_xdp_load_bytes(ctx, 0, r->start, sizeof(r->start))) {
		bpf_ringbuf_discard(r, 0);
		return XDP_PASS;
	}
	bpf_ringbuf_submit(r, 0);
	count(SENT_ON);
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
