/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tools of the distribution, used as people use them, on a network of their own and on a
 * set of frames that is always the same. The code is in software.c and software_frames.c.
 */
#ifndef SOFTWARE_H
#define SOFTWARE_H

#include <stdio.h>
#include "moat_test.h"

/* Ends the test with a skip if one of these, up to a NULL, is not installed. */
void need_tools(const char *tool, ...) __attribute__((sentinel));
/*
 * A network in which nothing but the test sends, as IPv6 would by itself, and where
 * what the kernel has of this test before is not: for it and what it starts.
 */
void own_network(void);

/*
 * Of the isolated programs whose line in debugfs has @with: how many there are, how many
 * of these have run, and how often, all together.
 */
struct isolated {
	int programs, ran;
	u64 runs;
};
struct isolated isolated(const char *with);
/* Until there is none any more, for ten seconds: what is removed is freed later. */
void wait_for_none(const char *with);

/* Frames of all kinds that filters look at: of 14 to 1,514 bytes */
int frames(void);
const u8 *frame(int i, size_t *len);
/* Sends all of them out of @dev, which must not be full. */
void frames_send(const char *dev);

/*
 * What passes @dev from now on, in and out, and later all of it to @to, a line a frame: in
 * the order of the alphabet, since GRO holds back what it likes.
 */
int watch(const char *dev);
void watch_tell(int s, const char *dev, FILE *to);

/* What was seen at two levels; if it is not the same, what differs is printed. */
bool same_text(const char *was, const char *is);

#endif
