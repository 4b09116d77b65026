/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Programs that tell what they see of sockets, a word each, and what they told at two levels,
 * for test_socket_fields. The code is in socket_fields.c.
 */
#ifndef SOCKET_FIELDS_H
#define SOCKET_FIELDS_H

#include "build.h"

#define WORDS 128
#define SOCK(FIELD) offsetof(struct bpf_sock, FIELD)
#define TCP(FIELD) offsetof(struct bpf_tcp_sock, FIELD)

/* The array of WORDS that they tell it in: the test makes it. */
extern int out;

/* Pieces of a program. R6: the context, R7: a socket, R8: the value of @out; clobber R1 */
void begin_telling(void);
void take(int reg);
void field(int size, int reg, int off);
/* Fields of a struct sock_common, and those that only others have */
void common(int reg);
void full(int reg);
/* R9 = what helper @func says of R7; what follows, to_here(), is skipped if that is nothing. */
int made(int func);
void to_here(int jump);
/* 1 if R9 is R7, else 2 */
void is_same(void);
/* Of R7, a struct sock_common; @calls: and of what it is part of */
void all_of_it(bool calls);
/* R7 = R0, or the program ends. */
void or_end(void);
void end_telling(int ret);

struct told {
	s64 ret;
	u64 word[WORDS];
};

/* Clears what was told. */
void forget(void);
/* At level 2, which comes first, *@was is what was told; at level 0 that must be the same. */
void told(const char *what, s64 ret, struct told *was);

#endif
