/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Classic BPF as the kernel's documentation has it, to hold what filters do against:
 * which filters there may be, what they return, and filters at random. The code is in
 * classic.c and classic_random.c.
 */
#ifndef CLASSIC_H
#define CLASSIC_H

#include "moat_test.h"

#define CELLS 16

/*
 * What filters look at. Of a packet the first @reach bytes are found by way of the network
 * header, which is where it begins; it has no link-layer header, no device and no protocol.
 * Behind @bytes no memory is mapped for 4 GiB, and none behind @piece, which has the first
 * @reach of them again: nothing here compares an offset with a length. @parts: it is not in
 * one piece. @seccomp: it is a struct seccomp_data.
 */
struct classic_input {
	const u8 *bytes, *piece;
	u32 len, reach;
	bool parts, seccomp;
};

/* A copy of @bytes; there can be as many at once as are not freed. */
struct classic_input classic_input(const void *bytes, u32 len, u32 reach);
void classic_input_free(struct classic_input *in);
/* A copy of other bytes in its place, as many as before */
void classic_input_set(struct classic_input *in, const void *bytes);

/* Whether the kernel has to take the filter. */
bool classic_valid(const struct sock_filter *insns, u32 n, bool seccomp);
/* What it returns */
u32 classic_run(const struct sock_filter *insns, u32 n, const struct classic_input *in);

/* A filter that is being written */
#define CLASSIC_MAX 240
struct classic {
	u32 n;
	struct sock_filter insns[CLASSIC_MAX];
};

void classic_add(struct classic *c, struct sock_filter insn);
#define ADD(F, ...) do { \
	const struct sock_filter add_[] = { __VA_ARGS__ }; \
	for (size_t i_ = 0; i_ < ARRAY_SIZE(add_); i_++) \
		classic_add(F, add_[i_]); \
} while (0)

u32 classic_rand(u64 *seed);
/*
 * Adds cells with something in them, and @body instructions at random. Most ways lead to
 * what comes after them, none to what is before. Loads are of packets of @len bytes, or
 * of a struct seccomp_data.
 */
void classic_random(struct classic *c, u64 *seed, u32 body, u32 len, bool seccomp);

#endif
