/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Whether programs compute the same when they are isolated.
 *
 * Each case is a program with nothing wrong with it, for one or more program
 * types. It runs at level 0 and at level 2 on the same packet, context and
 * fresh maps; return value, packet, context and every map must be the same,
 * byte by byte, and at level 2 the program must really have been isolated.
 * The code is in lib_results.c.
 */
#ifndef RESULTS_H
#define RESULTS_H

#include "build.h"

#define PACKET 160

struct result_case {
	const char *what;
	void (*build)(void);
	bool xdp, tc, filter;	/* for which types */
};

/* Set it to have what is for filters run as programs of cgroups, too. */
extern bool with_cgroups;
/*
 * Set it to have every case a second time, in a program that has a timer in one of the maps
 * that this makes, at 32 in its value: all that is for a packet is looked at more closely.
 */
extern int (*map_with_timer)(void);

/*
 * Set it to have every case once more, with functions called by helpers where the program could
 * have a loop.
 */
extern bool with_gates;
/* The test: every case for every type that it is for; returns what main() does. */
int compare_all(const struct result_case *cases, size_t n);

/* What the case that is being built is for */
extern const struct prog_type *t;
bool skb_type(void);
bool tc_type(void);

/* Every program begins so, and keeps it: R6 the context, R9 the out map's value. */
void begin(void);
/* Of 1024 bytes; this goes to the next eight of them. */
void tell(int reg);
/*
 * R0 of a call that changes a map. Until 6.4 the calls the verifier makes direct
 * return an int, whose upper half is what it happens to be.
 */
void tell_int(void);
void end_with(u32 verdict);

/* One more whose contents are compared */
int new_map(enum bpf_map_type type, u32 key, u32 value, u32 entries);
/* The same of one that is made in another way; ends the test if there is none. */
int compare_map(int fd, enum bpf_map_type type);

/* R7 = data, R8 = data_end */
void packet(void);
/* If there are not @len bytes: return the safe verdict, which no case may do... */
void need(int len);
/* ... but one that does so on purpose. */
void ends_early(void);

#endif
