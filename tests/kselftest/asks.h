/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A program that is told in a map what to do, and says there what came of it. The code is in
 * asks.c.
 */
#ifndef ASKS_H
#define ASKS_H

#include "same.h"

/* What a program and its test tell each other */
struct io {
	u64 ask[16], out[16];
	u8 to[128], from[128];
};

extern int io;		/* the map */
extern struct io told;	/* by the last run */

#define ASK(REG, I) LDX(BPF_DW, REG, R6, 8 * (I))
#define OUT(I) STX(BPF_DW, R6, R0, offsetof(struct io, out) + 8 * (I))
/* A length: no more than there is room for */
#define ASK_LEN(REG, I) ASK(REG, I), ALU64_IMM(BPF_AND, REG, 127)
#define TO(REG) ADDRESS(REG, R6, offsetof(struct io, to))
#define FROM(REG) ADDRESS(REG, R6, offsetof(struct io, from))
/* The dynptr that is so many bytes below the top of the stack */
#define DYNPTR(REG, AT) ADDRESS(REG, R10, -(AT))

/* Such a program: R6 is where the map has it. */
void asks_begin(void);
/* One run that is asked for all this, and what it made of it; noted */
void ask(int fd, const u64 *what, size_t nr);
#define ASKS(FD, ...) do { \
		const u64 asks_[] = { __VA_ARGS__ }; \
		ask(FD, asks_, ARRAY_SIZE(asks_)); \
	} while (0)
void asks_end(int fd);

#endif
