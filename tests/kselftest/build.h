/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A program that is built piece by piece: @insns, of which there are @cnt so far.
 * One at a time; it begins with cnt = 0. The code is in lib_build.c.
 */
#ifndef BUILD_H
#define BUILD_H

#include "moat_test.h"

extern struct bpf_insn insns[1024];
extern int cnt;

void emit(const struct bpf_insn *more, int n);
#define E(...) do { \
		struct bpf_insn e_[] = { __VA_ARGS__ }; \
		emit(e_, ARRAY_SIZE(e_)); \
	} while (0)

/* @REG = @BASE + @OFF */
#define ADDRESS(REG, BASE, OFF) MOV_REG(REG, BASE), ALU64_IMM(BPF_ADD, REG, OFF)

/*
 * Loads it; ends the test if it cannot, or if the program is not isolated though @level is 1
 * or 2. For programs of one attach type: must_load_for()
 */
int must_load(const struct prog_type *t, const char *name, int level);
int must_load_for(const struct prog_type *t, u32 attach_type, const char *name, int level);

/*
 * Functions of the program, from 1 on, which helpers may call: the address of one, before or
 * behind the place where it begins. prog_load() tells the kernel that they are static.
 */
void emit_function(int reg, int n);
/* A call of one by the program itself */
void emit_call(int n);
void begin_function(int n);

struct btf;

/* Types for a map or a program: gives them to the kernel, and frees @btf. Ends the test if not. */
int btf_load(struct btf *btf);

#endif
