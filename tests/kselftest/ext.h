/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A program with functions that others take the place of, and such others. The code is in
 * ext.c.
 */
#ifndef EXT_H
#define EXT_H

#include "build.h"

/* Functions of the target, which is number 0 itself; for all but LAST there is a program. */
enum function {
	MAIN,		/* int (ctx) */
	ALONE,		/* the same */
	PAIR,		/* int (ctx, long, long) */
	FOUR,		/* int (ctx, long, long, long, long) */
	MIDDLE,		/* int (long, ctx, long) */
	BEHIND,		/* int (long, long, long, long, ctx) */
	TWICE,		/* int (ctx, long, ctx) */
	FIVE,		/* int (long, long, long, long, long) */
	NOTHING,	/* int () */
	CALLED,		/* long (), static: what a timer may call */
	LAST,
};

/* The type in question, which lib_results.c has; describe() makes BTF for it. */
extern const struct prog_type *t;
void describe(const struct prog_type *type);
int function_id(enum function f);
/* What @f is called with: c for the context, n for a number */
const char *takes(enum function f);

/* Begins a function; code follows with E(). The first is the target's main. */
void function(enum function f);
/* A call of @f from what is built */
void call(enum function f);
/* Its address in @reg */
void address(int reg, enum function f);
/* What was built, as a program of type t or of @type for function @of of program @target */
int build(const char *name, int level);
int try_build(const char *name, int level);	/* or -1 with errno */
/* A program that calls ALONE, into which the code @with (moat_test_image.c) is put; or -1. */
int ext_spoilt(const char *with);
int build_for(enum bpf_prog_type type, enum bpf_attach_type attach, const char *name, int level,
	      int target, enum function of);

/* @prog comes to the place of function @of of @target: a link, or -1 with errno */
int attach(int prog, int target, enum function of);

#endif
