/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Programs that go on in each other by tail calls: an array of them, and an array of words
 * that they count in. The code is in tails.c.
 */
#ifndef TAILS_H
#define TAILS_H

#include "build.h"

#define MOST 33			/* MAX_TAIL_CALL_CNT */
#define FELL 77			/* what a program returns that goes on behind its tail call */

/* Of the types that have tail calls, and can be isolated */
extern const struct prog_type *const tail_types[4];
extern const char *const mix_name[4];

#define FROM(mix) ((mix) & 2)		/* its level */
#define TO(mix) ((mix) & 1 ? 2 : 0)

/* The type in question: lib_results.c has it */
extern const struct prog_type *t;
extern int array, words;

/* words[i]++; clobbers R1, R2 */
#define COUNT(I) LD_MAP_VALUE(R1, words, 8 * (I)), MOV_IMM(R2, 1), \
	ATOMIC(BPF_DW, BPF_ADD, R1, R2, 0)
/* words[i] = reg; clobbers R1 */
#define TELL(I, REG) LD_MAP_VALUE(R1, words, 8 * (I)), STX(BPF_DW, R1, REG, 0)
/* reg = words[7]: what the test knows, and not the verifier */
#define GIVEN(REG) LD_MAP_VALUE(REG, words, 56), LDX(BPF_DW, REG, REG, 0)
void give(u64 word);
/* R6: the context */
#define GO(...) MOV_REG(R1, R6), LD_MAP_FD(R2, array), __VA_ARGS__, CALL(tail_call)
#define RETURN(V) MOV_IMM(R0, V), EXIT()

void begin_tails(int entries);
void end_tails(void);
/* @fd, if it is a program at @level; ends the test otherwise. */
int loaded(int fd, int level, const char *name);
/* What is in insns, which is empty then */
int load_at(int level, const char *name);
/* Entries of the array */
void put(u32 i, int fd);
void take(u32 i);

#endif
