/* SPDX-License-Identifier: GPL-2.0 */
/* Maps that make their elements on demand; the code is in demand.c. */
#ifndef DEMAND_H
#define DEMAND_H

#include "build.h"

/* Keys of a hash have this in their upper half. */
#define PATTERN 0x4b4b4b4b

/* Each ends the test if it cannot. */
int map_with_flags(enum bpf_map_type type, u32 key, u32 value, u32 entries, u32 flags);
/* With keys of 8 bytes */
int demand_map(enum bpf_map_type type, u32 value, u32 entries);
/* What was built */
int loaded(const struct prog_type *t, const char *name);
/* A program that adds 1 to the value whose key is told[0], and puts it into told[1] */
int adder(const struct prog_type *t, int map, int told);

/* Key number @i; of a trie, an address of 32 bits */
u64 nth(enum bpf_map_type type, u32 i);
const char *name_of(enum bpf_map_type type);
/* How many of the first @n keys are in the map, and how many user space walks through */
u32 found(enum bpf_map_type type, int map, u32 n, u32 *walked);

#endif
