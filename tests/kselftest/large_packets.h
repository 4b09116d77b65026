/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Programs that look at all of a large packet, for test_large_packets. The code is in
 * large_packets.c; large_stream.c has them count a stream of TCP.
 */
#ifndef LARGE_PACKETS_H
#define LARGE_PACKETS_H

#include "build.h"

/* MAX_PACKET_OFF of kernel/bpf/verifier.c */
#define REACH 65535

/* What a program tells */
enum { RUNS, BYTES, LENGTH, SUM, LAST, PULLED, AFTER, LARGEST };

/* The map that it tells this in, of the one that was loaded last */
extern int told;
/* Has the verifier think that the program may go as far as it can, or 4,096 bytes */
extern int reach;
/* How much pulls() asks for; 0: all */
extern u32 to_pull;

/* Bodies of programs */
void reads(void);
void writes(void);
/* What comes after the header is in fragments until it is pulled. */
void pulls(void);
/*
 * Sends copies through itself twice, each time from within a run, and changes its
 * packet afterwards.
 */
void nests(void);
/* The largest packet, and all bytes */
void counts(void);

/* A program with that body; ends the test if it is not loaded, or not isolated at @level 2. */
int large_load(const struct prog_type *of, void (*body)(void), int level, u32 flags);

/* Ordinary TCP: a counter of bytes counts what the device does. */
void large_stream(int level);

#endif
