/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Programs that send packets, on devices that lead back to them. They count their
 * runs in a map that they share, and do nothing once it says so.
 */
#ifndef LOOPS_H
#define LOOPS_H

#include "build.h"

/* Words of the map */
enum { RUNS, STOP, SENT };

struct loop {
	int map, nr, prog[4];
	int ifindex;		/* where a packet is sent to begin it */
	const char *netns;	/* and in which namespace, if not this one */
	bool udp;		/* one over IP */
};

void loop_open(struct loop *l);
/* With the devices and the programs of all loops */
void loop_close(struct loop *l);
void loop_go(const struct loop *l);
void loop_stop(const struct loop *l);

/* The beginning of a program; the context is in R6, and counters are at R7. */
void loop_begin(const struct prog_type *type);
/* What was built, under the name "loop" */
void add_program(struct loop *l, const struct prog_type *type);

/* @b in namespace @netns, or here */
void make_veths(const char *netns, int *a, int *b);
/* NULL: back to where the test began */
void enter_netns(const char *name);
/* @where: BPF_TC_INGRESS, BPF_TC_EGRESS */
void tc_attach(int prog, int ifindex, int where, int prio);
void xdp_attach(int prog, int ifindex, int mode);

/* Returns how many could be sent. */
int send_frames(const struct loop *l, int n);

/* What must be let alone; loops_flood.c */
void floods(int level);

#endif
