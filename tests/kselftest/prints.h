/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Programs that print, and what became of that. The code is in prints.c.
 */
#ifndef PRINTS_H
#define PRINTS_H

#include "build.h"

/* Bytes of the value of a map of texts */
#define TEXTS 4096

/* What programs leave: what calls returned, and from 1024 on what they wrote */
extern int results;

/* What came of one run: what was said, what calls returned, and what was written */
struct said {
	char text[8192];
	u64 ret[40], out[256];
};

/* How many calls of the program that is built have told what they returned */
extern int n_rets;
/* One more does. */
void tell_ret(void);

/* An array of one value, which programs can only read, if @constant */
int prints_map(const void *texts, size_t len, bool constant);
void prints_run(int prog, struct said *s);
int prints_load(const struct prog_type *t);
/* To be called first. */
void prints_begin(void);

#endif
