/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Frames for test_traffic, and notes of what becomes of them. The code is in traffic_frames.c
 * and traffic_seen.c.
 */
#ifndef TRAFFIC_SEEN_H
#define TRAFFIC_SEEN_H

#include "moat_test.h"

#define FRAMES 240
#define MOST_LINES 4096

/* What was seen, a line each, in the order of the alphabet */
struct seen {
	char *line[MOST_LINES];
	int lines;
};

/* Where notes go from now on */
void seen_begin(struct seen *seen);
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void note_bytes(const char *what, const void *data, size_t len);
struct bpf_object;
/* What its maps have in them; those of per-CPU maps added up: which it was is not up to us */
void note_maps(struct bpf_object *obj);
/* No more notes: they are put in order. */
void seen_end(struct seen *seen);

bool seen_line(const struct seen *seen, const char *line);
/* The first line that differs, or the number of lines, if they are the same; *@same: whether */
int seen_differs(const struct seen *a, const struct seen *b, bool *same);
void seen_forget(struct seen *seen);

/* FRAMES of NO_FLOWS flows, out of @dev, with @pause us after each */
void traffic_out(const char *dev, int pause);
/* From now on, what comes in by @dev; and later a note of each frame: how many there were */
int traffic_tap(const char *dev);
int traffic_note(int tap, const char *what);

#endif
