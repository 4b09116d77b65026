/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Programs that look for memory the kernel did not mean to show them, and tell in a map
 * what they found. They are built as with build.h, R6 being the context and R9 the map's
 * value. The code is in old_memory.c.
 */
#ifndef OLD_MEMORY_H
#define OLD_MEMORY_H

#include <stddef.h>
#include "build.h"
#include "packets.h"

#define META 32
#define FRAME 300
#define PACKETS 300

#define XDP_DATA offsetof(struct xdp_md, data)
#define XDP_DATA_END offsetof(struct xdp_md, data_end)
#define XDP_DATA_META offsetof(struct xdp_md, data_meta)

/* Another program's memory, for which the kernel had a use meanwhile */
#define SECRET 0x5353535353535353ULL

void leave_secrets(void);

/* What a program tells: how often it ran, found something, in how many words */
enum { RUNS, FOUND, WORDS, SECRETS, ERRORS };

/* The map of the program that is built next */
extern int told;

/* Until the program that tells there has run for packet @n, from 0; a second at most */
void await_run(u64 n);

void start(void);
void count(int word);
/* Calls @helper, with the context and @by; what it refuses is one of the ERRORS. */
void move(int helper, int by);
/* Counts what is not zero in @n words from @reg, which it may read. */
void look(int reg, int off, int n);
/* R7 = from there, R8 = to there, if there are @len bytes between; else ERRORS */
int between(int from, int to, int len);
/* Where the program goes if there are not. */
void otherwise(int jump);

int load_at(const struct prog_type *type, int level, void (*body)(void), u32 verdict);
int pass_at_level_0(void);

/* @attack says how often there was something: at level 0 it must be, at others not. */
void both_ways(const char *what, enum hook hook,
	       u64 (*attack)(enum hook, int, void (*)(void)), void (*body)(void));

#endif
