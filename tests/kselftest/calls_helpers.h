/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The helpers that random programs call, and what each is given: for calls*.c only.
 * calls_helpers.c has the helpers, calls_arguments.c makes the arguments.
 */
#ifndef CALLS_HELPERS_H
#define CALLS_HELPERS_H

#include "calls.h"

/* What an argument is to be */
enum kind {
	NO_ARG, CTX, MEM, KEY, ITEM, SIZE, NUM, FLAGS, NETNS, TUPLE, TUPLE_SIZE, STRING, KEYS, FIFO,
	RINGS, EVENTS, REDIRECTS, PROGRAMS, OF_CGROUPS, TIMED, REC, SOCK, LOCK,
	TIMER, FUNC, WALKED, PER_CPU, DYNPTR, OWN, USER_RINGS, OF_SOCKETS, OF_CGROUP, CREATE,
};

/* What is held: HELD + 8 * this */
enum held { RECORD_HELD, SOCKET_HELD, VALUE_HELD, MAP_HELD, NOTHING };

struct helper {
	const char *name;
	u32 id;
	enum kind arg[5];
	enum held gives;
};

extern const struct helper helpers[];

/* @reg = what is right for an argument of @kind, or the worst, as often as @c says */
void calls_argument(struct calls *c, int reg, enum kind kind);
/* @reg = the address of a function of the program, which is known when all is built */
void calls_function(struct calls *c, int reg);

#endif
