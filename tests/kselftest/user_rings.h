/* SPDX-License-Identifier: GPL-2.0 */
/* A user ring buffer as its producer sees it. The code is in user_rings.c. */
#ifndef USER_RINGS_H
#define USER_RINGS_H

#include "records.h"

struct user_ring {
	int map;
	u32 size;
	const volatile u64 *consumer;
	volatile u64 *producer;
	u8 *data;	/* twice, one behind the other */
};

/* Ends the test if there is none. */
struct user_ring user_ring_open(u32 size);
void user_ring_close(const struct user_ring *ring);
/*
 * Puts a sample there whose header says @header, with as many bytes as that, each one more
 * than the one before it; false: it does not fit.
 */
bool user_ring_put(const struct user_ring *ring, u32 header, u8 first);

#endif
