// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 keys=13,0 timeout=120 */
/*
 * Elements of hash maps, where the program has them in batches and where it has not: is each
 * there once, in the same order, until the function has enough?
 */
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "buckets.h"
#include "results.h"

/* So many of one bucket do not fit into a batch, which has 16 (<linux/moat.h>). */
#define CHAIN 40
#define BUCKETS 256
#define FLAGS(F) &(struct bpf_map_create_opts){ .sz = sizeof(struct bpf_map_create_opts), \
						.map_flags = (F) }

static int new_hash(enum bpf_map_type type, u32 key_size, u32 entries, u32 flags)
{
	return compare_map(bpf_map_create(type, "walked", key_size, 8, entries, FLAGS(flags)), type);
}

static void put(int map, const void *key, u64 value)
{
	u64 values[64] = { value };	/* one for each CPU there may be */

	if (map_update(map, key, values))
		bail("update: %s", strerror(errno));
}

/* @many keys of @size bytes, which differ in the first two, or the first one */
static void fill(int map, u32 size, int many)
{
	u8 key[128];
	int i;

	memset(key, 0x55, sizeof(key));
	for (i = 0; i < many; i++) {
		key[0] = i;
		if (size > 1)
			key[1] = i >> 8;
		put(map, key, 0);
	}
}

/* At R10 - 16 and behind: a sum, and after how many the function has enough. */
static void walk(int map, int f, int most)
{
	E(ST(BPF_DW, R10, -16, 1), ST(BPF_DW, R10, -8, most), MOV_IMM(R7, 0x77), MOV_IMM(R8, 0x88),
	  LD_MAP_FD(R1, map));
	emit_function(R2, f);
	E(ADDRESS(R3, R10, -16), MOV_IMM(R4, 0), CALL(for_each_map_elem));
	tell_int();
	E(LDX(BPF_DW, R0, R10, -16));
	tell(R0);
	E(ALU64_REG(BPF_ADD, R7, R8));
	tell(R7);
}

/* *value += 1; *sum = *sum * 3 + *value + first byte of the key, if its order is known */
static void counts(int f, bool ordered)
{
	begin_function(f);
	E(LDX(BPF_DW, R5, R3, 0), ALU64_IMM(BPF_ADD, R5, 1), STX(BPF_DW, R3, R5, 0),
	  LDX(BPF_DW, R0, R4, 0));
	if (ordered)
		E(ALU64_IMM(BPF_MUL, R0, 3), LDX(BPF_B, R1, R2, 0), ALU64_REG(BPF_ADD, R0, R1));
	E(ALU64_REG(BPF_ADD, R0, R5), STX(BPF_DW, R4, R0, 0), LDX(BPF_DW, R1, R4, 8),
	  ALU64_IMM(BPF_SUB, R1, 1), STX(BPF_DW, R4, R1, 8), MOV_IMM(R0, 0),
	  JMP_IMM(BPF_JNE, R1, 0, 1), MOV_IMM(R0, 1), EXIT());
}

static void stops(enum bpf_map_type type, u32 flags, u32 key_size)
{
	static const int most[] = { 1, 15, 16, 17, 32, 33, 90, 99, 100, 101 };
	int map = new_hash(type, key_size, 128, flags | BPF_F_ZERO_SEED);
	size_t i;

	fill(map, key_size, 100);
	begin();
	for (i = 0; i < ARRAY_SIZE(most); i++)
		walk(map, 1, most[i]);
	end_with(t->pass);
	counts(1, true);
}

/* In an order that is another one with each map */
static void hash(void)
{
	int map = new_hash(BPF_MAP_TYPE_HASH, 4, 128, 0);

	fill(map, 4, 60);
	begin();
	walk(map, 1, 1000);
	walk(map, 1, 1000);
	end_with(t->pass);
	counts(1, false);
}

static void hash_ordered(void)
{
	stops(BPF_MAP_TYPE_HASH, 0, 8);
}

static void hash_byte(void)
{
	stops(BPF_MAP_TYPE_HASH, 0, 1);
}

static void hash_longest(void)
{
	stops(BPF_MAP_TYPE_HASH, 0, 64);
}

static void hash_longer(void)
{
	stops(BPF_MAP_TYPE_HASH, 0, 65);
}

static void lru(void)
{
	stops(BPF_MAP_TYPE_LRU_HASH, 0, 7);
}

static void percpu(void)
{
	stops(BPF_MAP_TYPE_PERCPU_HASH, 0, 12);
}

static void lru_percpu(void)
{
	stops(BPF_MAP_TYPE_LRU_PERCPU_HASH, 0, 4);
}

static void on_demand(void)
{
	stops(BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC, 4);
}

static void on_demand_percpu(void)
{
	stops(BPF_MAP_TYPE_PERCPU_HASH, BPF_F_NO_PREALLOC, 4);
}

static void few(void)
{
	int none = new_hash(BPF_MAP_TYPE_HASH, 4, 64, 0);
	int one = new_hash(BPF_MAP_TYPE_HASH, 4, 1, 0);

	fill(one, 4, 1);
	begin();
	walk(none, 1, 5);
	walk(one, 1, 5);
	walk(one, 1, 1);
	E(LD_MAP_FD(R1, one));
	emit_function(R2, 1);
	E(ADDRESS(R3, R10, -16), MOV_IMM(R4, 1), CALL(for_each_map_elem));
	tell(R0);
	end_with(t->pass);
	counts(1, true);
}

/* Whether user space finds those of bucket @of one after another */
static bool together(int map, u32 of)
{
	u32 key, *last = NULL, changes = 0;
	bool in = false;

	while (!bpf_map_get_next_key(map, last, &key)) {
		changes += in != (bucket_of(key, BUCKETS) == of);
		in = bucket_of(key, BUCKETS) == of;
		last = &key;
	}
	return changes <= 2;
}

/* A map with elements before, in and behind a bucket that has @many */
static int chained(int many)
{
	int map = new_hash(BPF_MAP_TYPE_HASH, 4, BUCKETS, BPF_F_ZERO_SEED);
	u32 key, in = 0, others = 0;

	for (key = 0; in < (u32)many || others < 50; key++) {
		u32 *of = bucket_of(key, BUCKETS) == 100 ? &in : &others;

		if (*of < (of == &in ? (u32)many : 50)) {
			put(map, &key, 0);
			(*of)++;
		}
	}
	if (!together(map, 100))
		bail("buckets are not as this test has them");
	return map;
}

static void chains(void)
{
	int map = chained(CHAIN), most;

	begin();
	for (most = 10; most < 100; most += 13)
		walk(map, 1, most);
	end_with(t->pass);
	counts(1, true);
}

/* As many as there is room for, and one more */
static void chains_that_fit(void)
{
	int exact = chained(16), more = chained(17);

	begin();
	walk(exact, 1, 1000);
	walk(more, 1, 1000);
	end_with(t->pass);
	counts(1, true);
}

/*
 * f(map, key, value, ctx) has a function of its own delete another element: what is in the same
 * bucket may come up still, and nothing else.
 */
static void deletes_others(void)
{
	int map = chained(20);

	begin();
	walk(map, 1, 1000);
	walk(map, 1, 1000);
	end_with(t->pass);
	begin_function(1);
	E(MOV_REG(R6, R4), LDX(BPF_W, R1, R2, 0), LDX(BPF_DW, R0, R6, 0), ALU64_IMM(BPF_MUL, R0, 3),
	  ALU64_REG(BPF_ADD, R0, R1), STX(BPF_DW, R6, R0, 0));
	emit_call(2);
	E(MOV_IMM(R0, 0), EXIT());
	begin_function(2);
	E(ALU64_IMM(BPF_XOR, R1, 1), STX(BPF_W, R10, R1, -4), LD_MAP_FD(R1, map),
	  ADDRESS(R2, R10, -4), CALL(map_delete_elem), MOV_IMM(R0, 0), EXIT());
}

/* What a function has by memory, and calls in a walk of its own, deletes others. */
static void deletes_by_address(void)
{
	int map = chained(20), one = new_hash(BPF_MAP_TYPE_HASH, 4, 1, 0);

	fill(one, 4, 1);
	begin();
	E(ST(BPF_DW, R10, -16, 1));
	emit_function(R1, 2);
	E(STX(BPF_DW, R10, R1, -8), LD_MAP_FD(R1, map));
	emit_function(R2, 1);
	E(ADDRESS(R3, R10, -16), MOV_IMM(R4, 0), CALL(for_each_map_elem));
	tell_int();
	E(LDX(BPF_DW, R0, R10, -16));
	tell(R0);
	end_with(t->pass);
	begin_function(1);
	E(MOV_REG(R6, R4), LDX(BPF_W, R1, R2, 0), LDX(BPF_DW, R0, R6, 0), ALU64_IMM(BPF_MUL, R0, 3),
	  ALU64_REG(BPF_ADD, R0, R1), STX(BPF_DW, R6, R0, 0), ALU64_IMM(BPF_XOR, R1, 1),
	  STX(BPF_W, R10, R1, -4), LDX(BPF_DW, R2, R6, 8), ADDRESS(R3, R10, -4), MOV_IMM(R4, 0),
	  LD_MAP_FD(R1, one), CALL(for_each_map_elem), MOV_IMM(R0, 0), EXIT());
	begin_function(2);
	E(MOV_REG(R2, R4), LD_MAP_FD(R1, map), CALL(map_delete_elem), MOV_IMM(R0, 0), EXIT());
}

/* Few elements, far from one another: between them are more buckets than are looked into at once. */
static void far_between(void)
{
	int map = compare_map(bpf_map_create(BPF_MAP_TYPE_HASH, "large", 4, 8, 1 << 16,
					     FLAGS(BPF_F_ZERO_SEED)), BPF_MAP_TYPE_HASH);
	int none = new_hash(BPF_MAP_TYPE_HASH, 4, 1 << 14, 0);

	fill(map, 4, 20);
	begin();
	walk(map, 1, 1);
	walk(map, 1, 1000);
	walk(none, 1, 1000);
	end_with(t->pass);
	counts(1, true);
}

/* For each element of a hash those of another one, and of an array, in a function */
static void in_one_another(void)
{
	int outer = new_hash(BPF_MAP_TYPE_HASH, 4, 32, BPF_F_ZERO_SEED);
	int inner = new_hash(BPF_MAP_TYPE_LRU_HASH, 16, 64, BPF_F_ZERO_SEED);
	int array = new_map(BPF_MAP_TYPE_ARRAY, 4, 8, 5);

	fill(outer, 4, 18);
	fill(inner, 16, 35);
	begin();
	emit_call(4);
	tell(R0);
	end_with(t->pass);

	counts(1, true);
	begin_function(2);
	E(MOV_REG(R6, R4), MOV_REG(R7, R3), LDX(BPF_W, R8, R2, 0), LD_MAP_FD(R1, inner));
	emit_function(R2, 1);
	E(MOV_REG(R3, R6), MOV_IMM(R4, 0), CALL(for_each_map_elem), MOV_REG(R9, R0),
	  LD_MAP_FD(R1, array));
	emit_function(R2, 3);
	E(MOV_REG(R3, R6), MOV_IMM(R4, 0), CALL(for_each_map_elem), ALU64_REG(BPF_ADD, R0, R9),
	  LDX(BPF_DW, R1, R6, 0), ALU64_REG(BPF_ADD, R1, R0), ALU64_REG(BPF_ADD, R1, R8),
	  STX(BPF_DW, R6, R1, 0), STX(BPF_DW, R7, R1, 0), MOV_IMM(R0, 0), EXIT());
	counts(3, true);
	begin_function(4);
	E(ST(BPF_DW, R10, -16, 1), ST(BPF_DW, R10, -8, 7000), MOV_IMM(R6, 66), MOV_IMM(R9, 99),
	  LD_MAP_FD(R1, outer));
	emit_function(R2, 2);
	E(ADDRESS(R3, R10, -16), MOV_IMM(R4, 0), CALL(for_each_map_elem), LDX(BPF_DW, R1, R10, -16),
	  ALU64_REG(BPF_ADD, R0, R1), ALU64_REG(BPF_ADD, R0, R6), ALU64_REG(BPF_MUL, R0, R9),
	  EXIT());
}

/* Functions that look elements up, of this map and another one */
static void looks_up(void)
{
	int map = chained(20), other = new_hash(BPF_MAP_TYPE_HASH, 4, 64, 0);

	fill(other, 4, 30);
	begin();
	walk(map, 1, 1000);
	end_with(t->pass);
	begin_function(1);
	E(MOV_REG(R6, R4), MOV_REG(R7, R3), MOV_REG(R8, R2), LDX(BPF_W, R1, R2, 0),
	  STX(BPF_W, R10, R1, -4), LD_MAP_FD(R1, map), ADDRESS(R2, R10, -4), CALL(map_lookup_elem),
	  JMP_IMM(BPF_JEQ, R0, 0, 3), LDX(BPF_DW, R1, R0, 0), ALU64_IMM(BPF_ADD, R1, 5),
	  STX(BPF_DW, R0, R1, 0), LD_MAP_FD(R1, other), MOV_REG(R2, R8), CALL(map_lookup_elem),
	  MOV_IMM(R1, 0), JMP_IMM(BPF_JEQ, R0, 0, 1), MOV_IMM(R1, 1000), LDX(BPF_DW, R2, R7, 0),
	  ALU64_REG(BPF_ADD, R1, R2), LDX(BPF_DW, R0, R6, 0), ALU64_IMM(BPF_MUL, R0, 3),
	  ALU64_REG(BPF_ADD, R0, R1), STX(BPF_DW, R6, R0, 0), MOV_IMM(R0, 0), EXIT());
}

static const struct result_case cases[] = {
	{ "a hash", hash, true, true, true },
	{ "a hash in a known order", hash_ordered, true, true, true },
	{ "keys of a byte", hash_byte, true, true, true },
	{ "the longest keys that batches have", hash_longest, true, true, true },
	{ "longer ones", hash_longer, true, true, true },
	{ "an LRU hash", lru, true, true, true },
	{ "a per-CPU hash", percpu, true, true, true },
	{ "a per-CPU LRU hash", lru_percpu, true, true, true },
	{ "a hash with elements on demand", on_demand, true, true, true },
	{ "a per-CPU hash with elements on demand", on_demand_percpu, true, true, true },
	{ "no element, and one", few, true, true, true },
	{ "a bucket that has more than a batch", chains, true, true, true },
	{ "a bucket as large as a batch", chains_that_fit, true, true, true },
	{ "functions that delete others", deletes_others, true, true, true },
	{ "functions that have others delete", deletes_by_address, true, true, true },
	{ "few elements in a large map", far_between, true, true, true },
	{ "walks in one another", in_one_another, true, true, true },
	{ "functions that look elements up", looks_up, true, true, true },
};

int main(void)
{
	return compare_all(cases, ARRAY_SIZE(cases));
}
