/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of test_crowd share: crowd_members.c has the crowd and those that
 * come and go, crowd_rogues.c their attackers, test_crowd.c what it comes to.
 */
#ifndef CROWD_H
#define CROWD_H

#include "moat_test.h"

#define MOST 4096
#define SHARERS 8	/* programs that share a map */
#define PAIRS 32	/* of veth devices, each with an XDP program */
#define CPUS 4		/* that have traffic; a power of two */

/*
 * What a program keeps: how often it ran, who it is, how often that was wrong, and
 * where its map is, the one it shares, and the top of its stack on each CPU.
 */
struct own {
	u64 runs, me, wrong, at, shared_at, stack[CPUS];
};

extern struct member {
	int prog, map, shared, sock;
	u32 id;
} crowd[MOST];
extern int total, nr_shared, shared[MOST / SHARERS + 1];
extern u64 visits, sent;

/* Threads go on until it is false. */
extern volatile bool on;

/* Every second one is a socket filter, the others tc, but for those on devices. */
void assemble(void);
void enlist(int i, const struct prog_type *type);
/* Off the hooks, so that the counts stand still. */
void disband(void);

struct own own_of(int map);
u64 shared_count(int map);
/* Until they run they do not say where their things are. */
void wait_for_all(void);

/* Packets through lo and over every pair of devices. */
void *traffic(void *cpu);
/* Programs that come, share what others share, or what is pinned, and go. */
void *come_and_go(void *unused);

/*
 * Attacks: how many; in how many the rogue got what it must not, or did not where it
 * must; how many rogues were stopped before; and how often a layer changed meanwhile.
 */
extern u64 attacked, crossed, illegal_stops, moved;
/* kernel.moat.keys */
extern int most_keys;

/* The @n-th attack. @plain: nobody is isolated, and it must succeed. */
void attack_member(u32 n, bool plain);
void *attacker(void *unused);
/* Whether each attack was made often enough, in each combination of layers. */
bool all_attacked(bool tell);

#endif
