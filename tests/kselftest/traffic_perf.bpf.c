// SPDX-License-Identifier: GPL-2.0
/* An exporter that tells by perf events, with the beginning of the packet */
#include "traffic_export.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
} events SEC(".maps");

SEC("xdp")
int export(struct xdp_md *ctx)
{
	struct record r = { 0 };
	__u64 packets, bytes;

	if (!account(ctx, &r.flow, &packets, &bytes))
		return XDP_PASS;
	r.packets = packets;
	r.bytes = bytes;
	if (bpf_perf_event_output(ctx, &events, (__u64)sizeof(r.start) << 32 | BPF_F_CURRENT_CPU,
				  &r, sizeof(r)))
		count(FAILED);
	else
		count(SENT_ON);
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
