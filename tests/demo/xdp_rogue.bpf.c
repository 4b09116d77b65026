// SPDX-License-Identifier: GPL-2.0
/*
 * The same as (a), until a packet for PORT_TRIGGER: then it writes eight bytes to
 * whatever address the `target` map holds. No verifier accepts this.
 */
#include "parse.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);		/* where, what */
	__type(key, __u32);
	__type(value, __u64);
} target SEC(".maps");

SEC("xdp")
int xdp_rogue(struct xdp_md *ctx)
{
	__u32 port, zero = 0, one = 1;
	int verdict = parse_and_count(ctx, &port);
	__u64 *where, *what;

	if (port != PORT_TRIGGER)
		return verdict;
	where = bpf_map_lookup_elem(&target, &zero);
	what = bpf_map_lookup_elem(&target, &one);
	if (where && what && *where)
		*(volatile __u64 *)*where = *what;
	return verdict;
}

char _license[] SEC("license") = "GPL";
