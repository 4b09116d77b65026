/* SPDX-License-Identifier: GPL-2.0 */
/* A ring buffer as its consumer sees it. The code is in records.c. */
#ifndef RECORDS_H
#define RECORDS_H

#include "moat_test.h"

#define HEADER 8	/* bytes before each record: length, page offset */
#define BUSY (1U << 31)
#define DISCARDED (1U << 30)

struct ring {
	int map;
	u32 size;
	volatile u64 *consumer;
	const volatile u64 *producer;
	const volatile u8 *data;	/* twice, one behind the other */
};

/* Each ends the test if there is none; the map is closed with it. */
struct ring ring_open(u32 size);
struct ring ring_of(int map, u32 size);
void ring_close(const struct ring *ring);
/* A map of maps with it at 1; ends the test if there is none. */
int ring_in_map(const struct ring *ring);
/* The first word of the header at position @pos, and what follows it. */
u32 ring_header(const struct ring *ring, u64 pos);
u64 ring_word(const struct ring *ring, u64 pos);
/* Bytes from one header to the next. */
u32 ring_step(u32 header);
/* Takes all records up to the first that is busy; returns how many were submitted. */
u32 ring_consume(const struct ring *ring);
/* A well-behaved program makes one record, and the consumer gets as far as that. */
bool ring_gets_on(const struct ring *ring);

#endif
