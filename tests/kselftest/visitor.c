// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <bpf/bpf.h>
#include "visitor.h"

int outer_of(enum bpf_map_type type, int like, u32 entries, u32 flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .inner_map_fd = like, .map_flags = flags);

	return bpf_map_create(type, "outer", 4, 4, entries, &opts);
}

int outer_create(enum bpf_map_type type, int like)
{
	int map = outer_of(type, like, 4, 0);

	if (map < 0)
		bail("map of maps: %s", strerror(errno));
	return map;
}

int inner_create(enum bpf_map_type type, u64 first)
{
	int map = map_create(type, 4, 8, 1);
	u32 zero = 0;

	if (map < 0 || map_update(map, &zero, &first))
		bail("inner map: %s", strerror(errno));
	return map;
}

u64 inner_word(int map)
{
	u32 zero = 0;
	u64 v = ~0ULL;

	map_lookup(map, &zero, &v);
	return v;
}

int put(int outer, int inner)
{
	u32 zero = 0;

	return map_update(outer, &zero, &inner);
}

void take_out(int outer)
{
	u32 zero = 0;

	if (map_delete(outer, &zero))
		bail("out of a map of maps: %s", strerror(errno));
}

/*
 * Adds one to the word of the map that is in @outer at KEY, and remembers where
 * both were; or goes after one of these again, which no verifier would let pass.
 */
int visitor_load(const struct prog_type *type, int own, int outer)
{
	const struct bpf_insn insns[] = {
		LD_MAP_VALUE(R6, own, 0),
		MOV_IMM(R9, 1),
		LDX(BPF_DW, R1, R6, 8 * KEY),
		STX(BPF_W, R10, R1, -4),
		ST(BPF_W, R10, -8, 0),
		LDX(BPF_DW, R1, R6, 8 * MODE),
		JMP_IMM(BPF_JEQ, R1, BY_MAP, 20),
		JMP_IMM(BPF_JEQ, R1, BY_VALUE, 24),
		LD_MAP_FD(R1, outer),
		MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -4),
		CALL(map_lookup_elem),
		JMP_IMM(BPF_JEQ, R0, 0, 9),
		STX(BPF_DW, R6, R0, 8 * INNER),
		MOV_REG(R1, R0), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -8),
		CALL(map_lookup_elem),
		JMP_IMM(BPF_JEQ, R0, 0, 3),
		STX(BPF_DW, R6, R0, 8 * WHERE),
		ATOMIC(BPF_DW, BPF_ADD, R0, R9, 0),
		JA(1),
		/* empty: */
		ATOMIC(BPF_DW, BPF_ADD, R6, R9, 8 * EMPTY),
		ATOMIC(BPF_DW, BPF_ADD, R6, R9, 8 * RUNS),
		MOV_IMM(R0, type->pass),
		EXIT(),
		/* by map: */
		LDX(BPF_DW, R1, R6, 8 * INNER),
		MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -8),
		CALL(map_lookup_elem),
		JMP_REG(BPF_JNE, R0, R6, 1),
		/* by value: */
		LDX(BPF_DW, R0, R6, 8 * WHERE),
		LDX(BPF_DW, R1, R0, 0),
		STX(BPF_DW, R6, R1, 8 * GOT),
		MOV_IMM(R0, type->pass),
		EXIT(),
	};
	int prog, err;

	bypass_verifier(true);
	prog = PROG_LOAD(type->type, "visitor", insns);
	err = errno;
	bypass_verifier(false);
	errno = err;
	return prog;
}

int visitor(const struct prog_type *type, int own, int outer)
{
	int prog = visitor_load(type, own, outer);

	if (prog < 0)
		bail("a program with a map of maps: %s\n%s", strerror(errno), prog_log);
	return prog;
}

void set_mode(int own, u64 mode)
{
	u64 v[WORDS];
	u32 zero = 0;

	map_lookup(own, &zero, v);
	v[MODE] = mode;
	v[GOT] = 0;
	map_update(own, &zero, v);
}

void set_key(int own, u64 key)
{
	u64 v[WORDS];
	u32 zero = 0;

	map_lookup(own, &zero, v);
	v[KEY] = key;
	map_update(own, &zero, v);
}
