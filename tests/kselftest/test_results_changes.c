// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 keys=13 full=0 timeout=120 */
/*
 * Functions that change the map whose elements they are called for: does the walk of an isolated
 * program go on where a plain one's does? And calls that are for one function or another.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "buckets.h"
#include "results.h"

#define FLAGS(F) &(struct bpf_map_create_opts){ .sz = sizeof(struct bpf_map_create_opts), \
						.map_flags = (F) | BPF_F_ZERO_SEED }
/* Elements: so many there are, and may be */
#define MANY 90
#define MOST 128
/* A value: number << 8, and how often it was changed */

/* Key by number; the first @chained of them are in one bucket */
static u32 names[MOST];
static int by_number;

static void name(u32 chained)
{
	u32 i, key, in = 0, others = chained;

	for (key = 0; in < chained || others < MOST; key++) {
		if (bucket_of(key, MOST) == 77) {
			if (in < chained)
				names[in++] = key;
		} else if (others < MOST) {
			names[others++] = key;
		}
	}
	by_number = new_map(BPF_MAP_TYPE_ARRAY, 4, 4, MOST);
	for (i = 0; i < MOST; i++)
		if (map_update(by_number, &i, &names[i]))
			bail("update: %s", strerror(errno));
}

static int filled(enum bpf_map_type type, u32 flags, u32 chained)
{
	int map = compare_map(bpf_map_create(type, "walked", 4, 8, MOST, FLAGS(flags)), type);
	u64 values[64] = {};
	u32 i;

	name(chained);
	for (i = 0; i < MANY; i++) {
		values[0] = i << 8;
		if (map_update(map, &names[i], values))
			bail("update: %s", strerror(errno));
	}
	return map;
}

/* At R10 - 16: a sum, and how many elements there may be yet */
static void walk(int map, int f)
{
	E(ST(BPF_DW, R10, -16, 1), ST(BPF_DW, R10, -8, 400), LD_MAP_FD(R1, map));
	emit_function(R2, f);
	E(ADDRESS(R3, R10, -16), MOV_IMM(R4, 0), CALL(for_each_map_elem));
	tell_int();
	E(LDX(BPF_DW, R0, R10, -16));
	tell(R0);
}

/* f(map, key, R8 = value, R6 = sum); R7: the number of the element */
static void adds_up(int f)
{
	begin_function(f);
	E(MOV_REG(R6, R4), STX(BPF_DW, R10, R2, -32), LDX(BPF_W, R7, R2, 0), LDX(BPF_DW, R8, R3, 0),
	  LDX(BPF_DW, R0, R6, 0), ALU64_IMM(BPF_MUL, R0, 3), ALU64_REG(BPF_ADD, R0, R7),
	  ALU64_REG(BPF_ADD, R0, R8), STX(BPF_DW, R6, R0, 0), ALU64_IMM(BPF_ADD, R8, 1),
	  STX(BPF_DW, R3, R8, 0), MOV_REG(R7, R8), ALU64_IMM(BPF_RSH, R7, 8));
}

/* Until there were enough */
static void goes_on(void)
{
	E(LDX(BPF_DW, R1, R6, 8), ALU64_IMM(BPF_ADD, R1, -1), STX(BPF_DW, R6, R1, 8),
	  MOV_IMM(R0, 0), JMP_IMM(BPF_JNE, R1, 0, 1), MOV_IMM(R0, 1), EXIT());
}

/* What a function does to elements */
struct change {
	u32 of;			/* if its own number is a multiple of that, */
	bool update;		/* or delete, that with number */
	u32 by, plus;		/* (its own * by + plus) % MOST */
};

static void changes(int map, const struct change *c)
{
	int skip, none;

	E(MOV_REG(R1, R7), ALU64_IMM(BPF_MOD, R1, c->of));
	skip = cnt;
	E(JMP_IMM(BPF_JNE, R1, 0, 0), MOV_REG(R9, R7), ALU64_IMM(BPF_MUL, R9, c->by),
	  ALU64_IMM(BPF_ADD, R9, c->plus), ALU64_IMM(BPF_MOD, R9, MOST), STX(BPF_W, R10, R9, -4),
	  LD_MAP_FD(R1, by_number), ADDRESS(R2, R10, -4), CALL(map_lookup_elem));
	none = cnt;
	E(JMP_IMM(BPF_JEQ, R0, 0, 0), LDX(BPF_W, R1, R0, 0), STX(BPF_W, R10, R1, -4),
	  ALU64_IMM(BPF_LSH, R9, 8), ALU64_IMM(BPF_ADD, R9, 5), STX(BPF_DW, R10, R9, -16),
	  LD_MAP_FD(R1, map));
	/* By the key that it was given, or one of its own */
	if (c->by == 1 && !c->plus)
		E(LDX(BPF_DW, R2, R10, -32));
	else
		E(ADDRESS(R2, R10, -4));
	if (c->update)
		E(ADDRESS(R3, R10, -16), MOV_IMM(R4, 0), CALL(map_update_elem));
	else
		E(CALL(map_delete_elem));
	insns[skip].off = cnt - skip - 1;
	insns[none].off = cnt - none - 1;
}

static void changed_by(int map, const struct change *c, int n)
{
	int i;

	begin();
	walk(map, 1);
	walk(map, 1);
	end_with(t->pass);
	adds_up(1);
	for (i = 0; i < n; i++)
		changes(map, &c[i]);
	goes_on();
}

/* Cases of all types of maps, with elements in many buckets, and with many in one */
#define CASE_OF(WHAT, NAME, TYPE, FLAGS, CHAINED)					\
	static void NAME##_##WHAT(void)							\
	{										\
		changed_by(filled(TYPE, FLAGS, CHAINED), WHAT, ARRAY_SIZE(WHAT));	\
	}
#define CASES_OF(WHAT, ...)								\
	PREALLOCATED(WHAT, __VA_ARGS__)							\
	CASE_OF(WHAT, demand, BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC, 50)			\
	CASE_OF(WHAT, percpu_demand, BPF_MAP_TYPE_PERCPU_HASH, BPF_F_NO_PREALLOC, 20)
#define PREALLOCATED(WHAT, ...)								\
	static const struct change WHAT[] = { __VA_ARGS__ };				\
	CASE_OF(WHAT, hash, BPF_MAP_TYPE_HASH, 0, 0)					\
	CASE_OF(WHAT, chain, BPF_MAP_TYPE_HASH, 0, 50)					\
	CASE_OF(WHAT, lru, BPF_MAP_TYPE_LRU_HASH, 0, 20)				\
	CASE_OF(WHAT, percpu, BPF_MAP_TYPE_PERCPU_HASH, 0, 20)				\
	CASE_OF(WHAT, lru_percpu, BPF_MAP_TYPE_LRU_PERCPU_HASH, 0, 20)
#define EACH_OF(WHAT, TEXT)								\
	EACH_PREALLOCATED(WHAT, TEXT),							\
	{ TEXT ": on demand", demand_##WHAT, true, false, true },			\
	{ TEXT ": on demand, per CPU", percpu_demand_##WHAT, true, false, true }
#define EACH_PREALLOCATED(WHAT, TEXT)							\
	{ TEXT ": a hash", hash_##WHAT, true, false, true },				\
	{ TEXT ": many in a bucket", chain_##WHAT, true, false, true },			\
	{ TEXT ": an LRU hash", lru_##WHAT, true, false, true },				\
	{ TEXT ": a per-CPU hash", percpu_##WHAT, true, false, true },			\
	{ TEXT ": a per-CPU LRU hash", lru_percpu_##WHAT, true, false, true }

CASES_OF(itself, { 1, false, 1, 0 })
CASES_OF(replaces, { 1, true, 1, 0 })
CASES_OF(some, { 3, false, 1, 0 }, { 5, true, 1, 0 })
CASES_OF(adds, { 2, true, 1, 64 }, { 3, true, 5, 1 })
CASES_OF(behind, { 3, false, 1, 1 })
/* New elements come first in their bucket: that is the one before, and the next to come. */
CASES_OF(next, { 3, false, 1, MOST - 1 })
CASES_OF(each_next, { 1, false, 1, MOST - 1 })
CASES_OF(busy, { 1, true, 1, 64 }, { 3, false, 1, MOST - 1 })
/* What was deleted is called for, and puts itself back. */
PREALLOCATED(back, { 5, false, 1, MOST - 1 }, { 5, false, 1, MOST - 2 }, { 5, false, 1, MOST - 3 },
	     { 3, true, 1, 0 })
PREALLOCATED(twice, { 5, false, 1, MOST - 1 }, { 3, true, 1, 0 }, { 2, false, 1, 0 })
/* What is deleted, and not the next to come, may come up where it is made on demand: 0047. */
PREALLOCATED(before, { 4, false, 1, MOST - 1 }, { 2, false, 1, MOST - 2 })
PREALLOCATED(anything, { 2, false, 7, 3 }, { 3, true, 5, 1 }, { 4, false, 3, 2 }, { 1, true, 11, 60 })
CASES_OF(again, { 2, false, 1, 1 }, { 1, true, 1, 2 }, { 3, false, 1, 3 }, { 2, true, 1, 1 })

/* One of @n functions, which differ in what they add; the last one is asked for. */
static void one_of(int n)
{
	int i;

	emit_function(R2, 1);
	for (i = 2; i <= n; i++) {
		E(LDX(BPF_DW, R1, R10, -8), JMP_IMM(BPF_JNE, R1, i, 2));
		emit_function(R2, i);
	}
}

/* f(.., ctx): adds @f to what it has in *ctx */
static void adding(int f, int ctx)
{
	begin_function(f);
	E(LDX(BPF_DW, R0, ctx, 0), ALU64_IMM(BPF_MUL, R0, 3), ALU64_IMM(BPF_ADD, R0, f),
	  STX(BPF_DW, ctx, R0, 0), MOV_IMM(R0, 0), EXIT());
}

static void each_of(int n, int map)
{
	int i;

	begin();
	for (i = 0; i <= n; i++) {
		/* Which one the verifier cannot tell */
		E(LDX(BPF_DW, R1, R9, 1016), ALU64_IMM(BPF_ADD, R1, i), STX(BPF_DW, R10, R1, -8),
		  ST(BPF_DW, R10, -16, 1));
		one_of(n);
		E(ADDRESS(R3, R10, -16), MOV_IMM(R4, 0));
		if (map < 0)
			E(MOV_IMM(R1, 10 + i), CALL(loop));
		else
			E(LD_MAP_FD(R1, map), CALL(for_each_map_elem));
		tell_int();
		E(LDX(BPF_DW, R0, R10, -16));
		tell(R0);
	}
	end_with(t->pass);
	for (i = 1; i <= n; i++)
		adding(i, map < 0 ? R2 : R4);
}

static void one_of_two(void)
{
	each_of(2, -1);
}

static void one_of_five(void)
{
	each_of(5, -1);
}

static void one_of_two_array(void)
{
	each_of(2, new_map(BPF_MAP_TYPE_ARRAY, 4, 8, 7));
}

static void one_of_four_percpu_array(void)
{
	each_of(4, new_map(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 7));
}

static void one_of_two_hash(void)
{
	each_of(2, filled(BPF_MAP_TYPE_HASH, 0, 0));
}

static void one_of_four_hash(void)
{
	each_of(4, filled(BPF_MAP_TYPE_HASH, 0, 20));
}

static const struct result_case cases[] = {
	EACH_OF(itself, "deletes it"),
	EACH_OF(replaces, "replaces it"),
	EACH_OF(some, "deletes or replaces some"),
	EACH_OF(adds, "adds others"),
	EACH_OF(behind, "deletes others behind"),
	EACH_OF(next, "deletes the next one"),
	EACH_OF(each_next, "each deletes the next one"),
	EACH_OF(busy, "deletes the next one, and adds others"),
	EACH_PREALLOCATED(back, "puts back what was deleted"),
	EACH_PREALLOCATED(twice, "replaces and deletes itself"),
	EACH_PREALLOCATED(before, "deletes others before"),
	EACH_PREALLOCATED(anything, "deletes and adds others"),
	EACH_OF(again, "adds what it has deleted"),
	{ "one of two functions", one_of_two, true, false, true },
	{ "one of five", one_of_five, true, false, true },
	{ "one of two, of an array", one_of_two_array, true, false, true },
	{ "one of four, of a per-CPU array", one_of_four_percpu_array, true, false, true },
	{ "one of two, of a hash", one_of_two_hash, true, false, true },
	{ "one of four, of a hash", one_of_four_hash, true, false, true },
};

int main(void)
{
	with_gates = true;
	return compare_all(cases, ARRAY_SIZE(cases));
}
