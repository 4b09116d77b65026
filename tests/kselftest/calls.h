/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Random programs that call helpers, whose arguments no verifier has looked at; for
 * test_fuzz_calls. calls.c builds programs of the helpers of calls_helpers.c, and
 * calls_arguments.c what these are given. calls_maps.c has maps for them.
 */
#ifndef CALLS_H
#define CALLS_H

#include "build.h"
#include "rng.h"
#include "sockets.h"

/* In the value of the map that a program has for itself, in bytes */
#define OWN_SIZE	8192
#define RESULTS		0	/* words: what the last calls returned */
#define NR_RESULTS	16
#define HELD		128	/* words: a record, a socket, an address of a value, a map */
#define TUPLES		512	/* who may have a socket: struct bpf_sock_tuple, 16 bytes each */
#define NR_TUPLES	4
#define FORMAT		576	/* a string */
#define SCRATCH		1024
#define COUNTS		4096	/* words: how often each helper came back */

enum map {
	ARRAY, HASH, PERCPU_ARRAY, PERCPU_HASH, LRU, TRIE, LOCKED_ARRAY, LOCKED_HASH, TIMED_ARRAY,
	TIMED_HASH, QUEUE, STACK, BLOOM, RING, PERF, DEVMAP, CPUMAP, XSKMAP, PROGS, CGROUPS,
	SOCKMAP, SOCKHASH, OUTER, USER_RING, SK_STORAGE, CGROUP_STORAGE, MAPS
};

/* What there is for all programs; @foreign: addresses that are nobody's here */
struct calls {
	int map[MAPS];
	u64 foreign[8];
	u32 nr_foreign;
	u64 rng;
	u32 worst;	/* one argument of so many is as bad as can be */
};

/* Each ends the test if it cannot. The maps that all programs share: */
void calls_make_maps(struct calls *c, const struct ends *ends);
/* ... and one with what a program has for itself; @seen: its value */
int calls_own_map(const struct ends *ends, u8 **seen);

extern const u32 nr_helpers;
const char *helper_name(u32 row);
/* A program of type @t that calls the helper of this row only, as is right. */
void calls_one(struct calls *c, const struct prog_type *t, int own, u32 row);
/* One that calls some of those for which @may is set. */
void calls_random(struct calls *c, const struct prog_type *t, int own, const bool *may);
/* Loads what was built; -1 with errno. */
int calls_load(const struct prog_type *t);

/* What was built, for people */
void calls_tell(void);

#endif
