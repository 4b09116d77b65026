/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Do programs, and who reads what they leave, see the same whether they are isolated or not?
 *
 * A case notes all there is to see. It runs at each level, for each type, and what it has
 * noted must be what it noted at level 0, byte by byte. The code is in same.c.
 */
#ifndef SAME_H
#define SAME_H

#include "build.h"
#include "records.h"

/* Of the case that runs */
extern int same_level;
extern const struct prog_type *same_type;

struct same_case {
	const char *what;
	void (*run)(void);
};

void note(const void *what, size_t size);
void note_word(u64 word);
/* Both positions, and all of its data */
void note_ring(const struct ring *ring);
struct same_seen {
	u8 *bytes;
	size_t len;
};
/* What was noted since this was called last; it is the caller's to free. */
struct same_seen same_taken(void);
/* What was built, isolated if it is to be. */
int built(void);
/* Runs it so often, and notes what it returns. */
void runs(int fd, int n);

/* The test: @levels ends with 0; returns what main() does. */
int same_at(const int *levels, const struct same_case *cases, size_t nr);

#endif
