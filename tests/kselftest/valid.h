/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Random programs that the verifier accepts, for test_fuzz_valid. What they see and leave
 * follows from the seed, their maps and the packet alone: no times, no random numbers, no
 * addresses. valid.c has what they are made of, and puts them together; valid_maps.c has
 * steps with maps, valid_packets.c those with the context and the packet.
 */
#ifndef VALID_H
#define VALID_H

#include "build.h"
#include "rng.h"

/*
 * A function's registers: R6 is the context, or what a callback is given; R7 and R8 are
 * numbers, and what there is to be seen goes into R7. A step may have R9.
 */

/* A function's stack: eight numbers, a key, and a value or what else a helper is given */
#define WORD(N)		((s16)(-8 * ((N) + 1)))
#define NR_WORDS	8
#define KEY_AT		-80
#define VALUE_AT	-144
#define VALUE_SIZE	32
#define KEYS		8	/* 0 to 7 */

enum valid_map {
	/* These have values of VALUE_SIZE for keys of 4 bytes, */
	V_ARRAY, V_PERCPU_ARRAY, V_HASH, V_LRU, V_DEMAND, V_PERCPU_HASH, V_PERCPU_DEMAND, V_INNER,
	/* and these others. */
	V_TRIE, V_LOCKED_ARRAY, V_LOCKED_HASH, V_QUEUE, V_STACK, V_BLOOM, V_RING, V_EVENTS, V_OUTER,
	V_OUTER_HASH, V_DEVICES, V_SEEN,
	V_PROGS,		/* of each type */
	V_MAPS = V_PROGS + 4
};

enum valid_types { V_XDP = 1, V_TC = 2, V_FILTER = 4, V_CGROUP = 8, V_SKB = 14, V_ALL = 15 };
extern const struct prog_type *const valid_types[4];

struct valid {
	u64 rng;
	u32 type;		/* of valid_types[] */
	int map[V_MAPS];
	u16 port;		/* of a TCP socket that listens on 127.0.0.1, in network order */
	/* Of what is being built */
	bool has_context, in_main, in_leaf;
	bool functions;		/* there may be any; else there may be LD_ABS */
	u32 depth;		/* of steps in steps */
	u32 called;		/* functions, a bit each */
};

/* Something that a program does; it is in the table with others of its kind. */
struct step {
	const char *name;
	void (*emit)(struct valid *v);
	u8 types;		/* enum valid_types */
	u8 weight;
	enum { EVERYWHERE, CONTEXT, MAIN } where;
};
extern const struct step map_steps[], packet_steps[];
extern const u32 nr_map_steps, nr_packet_steps;

/* Creates the maps of @v; ends the test if it cannot. */
void valid_maps(struct valid *v);
/* All of them that can be looked at, for same.h's note() */
void valid_note_maps(const struct valid *v);
/* Builds a program, in insns. */
void valid_build(struct valid *v);
/* The name of a step that no program has had so far, or NULL */
const char *valid_untried(void);

#define STEP(NAME, TYPES, WEIGHT, WHERE) { #NAME, NAME, TYPES, WEIGHT, WHERE }

/* What steps are made of */
void mix(int reg);			/* into R7 */
int jump(struct bpf_insn insn);		/* to where land() is told to */
void land(int at);
void number(struct valid *v, int reg);	/* a number, also one that follows from R7 or R8 */
void small(struct valid *v, int reg, u32 mask);	/* @mask + 1 is a power of 2 */
void fill_value(struct valid *v);	/* all 64 bytes at VALUE_AT */
int any_size(struct valid *v);		/* BPF_B to BPF_DW */
int size_within(struct valid *v, u32 bytes);	/* the same, of so many bytes at most */
u32 bytes_of(int size);

#endif
