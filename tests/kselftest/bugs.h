/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Bugs of the verifier and of the JIT, and for each a program that comes by a number which
 * the verifier takes for 0 and which is 1, or one that needs none.
 */
#ifndef BUGS_H
#define BUGS_H

#include "build.h"

/* What the programs are given, and where they leave what they got; R7 points to it. */
enum { SELF, VICTIM, VALUE, OTHER, GOT, WENT_ON, WORDS = 16 };

#define GIVEN(DST, WORD) LDX(BPF_DW, DST, R7, 8 * (WORD))

struct bug {
	const char *cve;	/* and, after a comma, which program it is */
	const char *family;
	const char *fixed;	/* by which release, of 6.1.y if it is one */
	const char *wrong;	/* what the kernel is wrong about */
	const struct prog_type *t;
	/* R6 = the number. R1 and R7 are given; uses the stack down to -8. */
	void (*number)(void);
	/* What is done before the program is loaded, and after */
	void (*before)(void), (*after)(void);
	/* A function of the program, which the call at call_at goes to */
	void (*function)(void);
	u64 value, other;	/* for which the number is 1 */
	u32 flags;		/* of the load */
	bool harmless;		/* without the bug the program is accepted, the number 0 */
	/* The JIT's: without the bug there is no image; with it MOAT refuses it, as this says */
	bool jit;
	const char *refused;
};

extern const struct bug bugs[];
extern const size_t nr_bugs;

/*
 * What is seen of a bug: what a program did at level 0 (a list), what stopped it at level 2
 * (a list, without what is in it). print_bugs() has a line for each bug, which tests/run
 * compares with docs/security.md.
 */
void bug_lost(const struct bug *bug, const char *what);
void bug_stopped(const struct bug *bug, const char *by);
void print_bugs(void);

extern int mine;	/* the map of the programs */
extern int call_at;

void put_back(const struct bug *bug, bool back);
/* Whether @bug is @only, which may be NULL: all of them */
bool is_chosen(const struct bug *bug, const char *only);
/* The name of its programs */
void name_of(const struct bug *bug, char name[16]);

/* int f(struct __sk_buff *), static and global: type IDs */
enum { STATIC, GLOBAL };
struct btf *types(u32 ids[2]);

/* Whose programs come by no number: */
void maps(const char *only);
void packets(const char *only);

/* Of bugs_frozen.c */
void freeze_too_early(void);
void constant(void);
void change_frozen(void);

/* Numbers of bugs_jit.c */
void jump_before(void);
void jump_into(void);

#endif
