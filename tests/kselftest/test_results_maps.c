// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=product,preempt levels=2 cpus=4 keys=13,0 full=1 timeout=300 */
/*
 * Do programs do the same with maps when they are isolated: arrays, hash maps, per
 * CPU and not, their values in place and through helpers?
 */
#include "results.h"

/* [R10 - 8] = key, R2 = its address, of 4 bytes or 8 */
static void key(u64 k)
{
	E(LD_IMM64(R2, k), STX(BPF_DW, R10, R2, -8), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -8));
}

static void map_ops(enum bpf_map_type type)
{
	bool array = type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY;
	int m = new_map(type, array ? 4 : 8, 40, 64), i;

	begin();
	/* write three, read them back, change one in place, remove one */
	for (i = 1; i <= 3; i++) {
		key(i);
		E(ST(BPF_DW, R10, -48, i * 100), ST(BPF_DW, R10, -40, 1), ST(BPF_DW, R10, -32, 2),
		  ST(BPF_DW, R10, -24, 3), ST(BPF_DW, R10, -16, i), LD_MAP_FD(R1, m),
		  MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -48), MOV_IMM(R4, BPF_ANY),
		  CALL(map_update_elem));
		tell_int();
	}
	for (i = 0; i <= 4; i++) {
		key(i);
		E(LD_MAP_FD(R1, m), CALL(map_lookup_elem),
		  MOV_IMM(R7, -1), JMP_IMM(BPF_JEQ, R0, 0, 6),
		  LDX(BPF_DW, R7, R0, 0), LDX(BPF_DW, R2, R0, 32), ALU64_REG(BPF_ADD, R7, R2),
		  ST(BPF_DW, R0, 16, 0x77), MOV_IMM(R2, 5), ATOMIC(BPF_DW, BPF_ADD, R0, R2, 8));
		tell(R7);
	}
	for (i = 2; i <= 70; i += 68) {
		key(i);
		E(LD_MAP_FD(R1, m), CALL(map_delete_elem));
		tell_int();
	}
	for (i = 0; i <= 2; i++) {
		key(10);
		E(LD_MAP_FD(R1, m), MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -48),
		  MOV_IMM(R4, i == 0 ? BPF_EXIST : BPF_NOEXIST), CALL(map_update_elem));
		tell_int();
	}
	/* a key and a value that lie in another map's value */
	E(ST(BPF_DW, R9, 800, 11), ST(BPF_DW, R9, 808, 0xaa), LD_MAP_FD(R1, m), MOV_REG(R2, R9),
	  ALU64_IMM(BPF_ADD, R2, 800), MOV_REG(R3, R9), ALU64_IMM(BPF_ADD, R3, 808),
	  MOV_IMM(R4, 0), CALL(map_update_elem));
	tell_int();
	end_with(t->pass);
}

/* Values go in and come out by copies, until there is none. */
static void map_of_copies(enum bpf_map_type type)
{
	int m = new_map(type, 0, 16, 3), i;

	begin();
	for (i = 1; i <= 4; i++) {
		E(ST(BPF_DW, R10, -16, i * 100), ST(BPF_DW, R10, -8, i), LD_MAP_FD(R1, m),
		  MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -16),
		  MOV_IMM(R3, i == 3 ? BPF_EXIST : BPF_ANY), CALL(map_push_elem));
		tell_int();
	}
	for (i = 0; i <= 4; i++) {
		/* the first without taking it, and one to another map's value */
		E(ST(BPF_DW, R10, -16, 7), ST(BPF_DW, R10, -8, 7), ST(BPF_DW, R9, 800, 7),
		  LD_MAP_FD(R1, m), MOV_REG(R2, i == 2 ? R9 : R10),
		  ALU64_IMM(BPF_ADD, R2, i == 2 ? 800 : -16),
		  INSN(BPF_JMP | BPF_CALL, 0, 0, 0,
		       i ? BPF_FUNC_map_pop_elem : BPF_FUNC_map_peek_elem));
		tell_int();
		E(LDX(BPF_DW, R7, R10, -16), LDX(BPF_DW, R2, R10, -8), ALU64_REG(BPF_ADD, R7, R2),
		  LDX(BPF_DW, R2, R9, 800), ALU64_REG(BPF_ADD, R7, R2));
		tell(R7);
	}
	end_with(t->pass);
}

static void map_queue(void) { map_of_copies(BPF_MAP_TYPE_QUEUE); }
static void map_stack(void) { map_of_copies(BPF_MAP_TYPE_STACK); }
static void map_array(void) { map_ops(BPF_MAP_TYPE_ARRAY); }
static void map_percpu_array(void) { map_ops(BPF_MAP_TYPE_PERCPU_ARRAY); }
static void map_hash(void) { map_ops(BPF_MAP_TYPE_HASH); }
static void map_percpu_hash(void) { map_ops(BPF_MAP_TYPE_PERCPU_HASH); }
static void map_lru_hash(void) { map_ops(BPF_MAP_TYPE_LRU_HASH); }
static void map_lru_percpu_hash(void) { map_ops(BPF_MAP_TYPE_LRU_PERCPU_HASH); }

/* Values at every edge of an array, each of which gets its own number */
static void edges(enum bpf_map_type type, u32 size, u32 entries)
{
	const u32 at[] = {
		0, 1, entries / 3, entries - 2, entries - 1, entries, entries + 1,
		2 * entries - 1, 0x7fffffff, 0x80000000, 0xffffffff,
	};
	int m = new_map(type, 4, size, entries), i, again;
	bool per_cpu = type == BPF_MAP_TYPE_PERCPU_ARRAY;

	begin();
	for (again = 0; again < 2; again++) {
		for (i = 0; i < (int)ARRAY_SIZE(at); i++) {
			key(at[i]);
			E(LD_MAP_FD(R1, m), CALL(map_lookup_elem), MOV_IMM(R7, -1),
			  JMP_IMM(BPF_JEQ, R0, 0, 5), MOV_IMM(R2, i + 1),
			  ATOMIC(BPF_W, BPF_ADD, R0, R2, (s16)((size - 4) & ~3)),
			  LDX(BPF_W, R7, R0, (s16)((size - 4) & ~3)), LDX(BPF_B, R2, R0, 0),
			  ALU64_REG(BPF_ADD, R7, R2));
			tell(R7);
		}
	}
	/* of each CPU, and of some that there are not */
	for (i = -1; per_cpu && i < 9; i++) {
		key(entries - 1);
		E(LD_MAP_FD(R1, m), LD_IMM64(R3, i == 8 ? 1ULL << 32 : (u64)i),
		  CALL(map_lookup_percpu_elem), MOV_IMM(R7, -1), JMP_IMM(BPF_JEQ, R0, 0, 1),
		  LDX(BPF_W, R7, R0, (s16)((size - 4) & ~3)));
		tell(R7);
	}
	end_with(t->pass);
}

static void edges_array(void) { edges(BPF_MAP_TYPE_ARRAY, 8, 40); }
static void edges_array_odd(void) { edges(BPF_MAP_TYPE_ARRAY, 12, 1000); }
static void edges_array_page(void) { edges(BPF_MAP_TYPE_ARRAY, 4096, 7); }
static void edges_percpu(void) { edges(BPF_MAP_TYPE_PERCPU_ARRAY, 8, 40); }
static void edges_percpu_odd(void) { edges(BPF_MAP_TYPE_PERCPU_ARRAY, 20, 100); }
/* more than one block, with and without a rest at the end of each */
static void edges_percpu_blocks(void) { edges(BPF_MAP_TYPE_PERCPU_ARRAY, 32, 5000); }
static void edges_percpu_rest(void) { edges(BPF_MAP_TYPE_PERCPU_ARRAY, 24, 5000); }

/* The call gets one map or another, and what it returns is the value of that. */
static void map_of_two(void)
{
	int a = new_map(BPF_MAP_TYPE_ARRAY, 4, 8, 4), b = new_map(BPF_MAP_TYPE_ARRAY, 4, 8, 9), i;

	begin();
	for (i = 0; i < 12; i++) {
		key(i);
		E(LD_MAP_FD(R1, a), LDX(BPF_DW, R3, R10, -8), JMP_IMM(BPF_JLT, R3, 3, 2),
		  LD_MAP_FD(R1, b), CALL(map_lookup_elem), MOV_IMM(R7, -1),
		  JMP_IMM(BPF_JEQ, R0, 0, 3), MOV_IMM(R2, i + 1),
		  ATOMIC(BPF_DW, BPF_ADD, R0, R2, 0), LDX(BPF_DW, R7, R0, 0));
		tell(R7);
	}
	key(2);
	E(LD_MAP_FD(R1, a), CALL(map_lookup_elem), MOV_IMM(R7, -1), JMP_IMM(BPF_JEQ, R0, 0, 1),
	  LDX(BPF_DW, R7, R0, 0));
	tell(R7);
	end_with(t->pass);
}

static void map_big_values(void)
{
	int m = new_map(BPF_MAP_TYPE_ARRAY, 4, 3000, 4);
	int h = new_map(BPF_MAP_TYPE_HASH, 8, 1000, 4), i;

	begin();
	for (i = 0; i < 4; i++) {
		key(i);
		E(LD_MAP_FD(R1, m), CALL(map_lookup_elem), JMP_IMM(BPF_JEQ, R0, 0, 3),
		  ST(BPF_DW, R0, 2992, i + 1), ST(BPF_DW, R0, 0, i + 2), ST(BPF_W, R0, 1500, i + 3));
		key(i);
		E(LD_MAP_FD(R1, h), MOV_REG(R3, R9), MOV_IMM(R4, 0), CALL(map_update_elem));
		tell_int();
	}
	key(9);
	E(LD_MAP_FD(R1, h), MOV_REG(R3, R9), MOV_IMM(R4, 0), CALL(map_update_elem));
	tell_int();
	end_with(t->pass);
}

static void global_data(void)
{
	int a = new_map(BPF_MAP_TYPE_ARRAY, 4, 256, 1);
	int b = new_map(BPF_MAP_TYPE_ARRAY, 4, 4096, 1);

	begin();
	E(LD_MAP_VALUE(R7, a, 16), LD_MAP_VALUE(R8, b, 4000),
	  ST(BPF_DW, R7, 0, 0x1111), ST(BPF_DW, R8, 88, 0x2222), ST(BPF_B, R7, 239, 0x33),
	  LDX(BPF_DW, R2, R7, 0), LDX(BPF_DW, R3, R8, 88), ALU64_REG(BPF_ADD, R2, R3));
	tell(R2);
	end_with(t->pass);
}

static void atomics_on(int size, int base, int off)
{
	static const int ops[] = {
		BPF_ADD, BPF_AND, BPF_OR, BPF_XOR, BPF_ADD | BPF_FETCH, BPF_AND | BPF_FETCH,
		BPF_OR | BPF_FETCH, BPF_XOR | BPF_FETCH, BPF_XCHG,
	};
	size_t i;

	E(ST(BPF_DW, base, off, 0x12345678));
	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		E(MOV_IMM(R2, 0x0ff0 + i), ATOMIC(size, ops[i], base, R2, off));
		tell(R2);
	}
	E(LDX(size, R3, base, off), MOV_REG(R0, R3), MOV_IMM(R2, 42),
	  ATOMIC(size, BPF_CMPXCHG, base, R2, off));
	tell(R0);
	E(MOV_IMM(R0, 1), MOV_IMM(R2, 43), ATOMIC(size, BPF_CMPXCHG, base, R2, off));
	tell(R0);
}

static void atomics(void)
{
	begin();
	atomics_on(BPF_DW, R9, 904);
	atomics_on(BPF_W, R9, 912);
	atomics_on(BPF_DW, R10, -64);
	atomics_on(BPF_W, R10, -64);
	end_with(t->pass);
}

static const struct result_case cases[] = {
	{ "array map", map_array, true, true, true },
	{ "per-CPU array map", map_percpu_array, true, true, true },
	{ "hash map", map_hash, true, true, true },
	{ "per-CPU hash map", map_percpu_hash, true, true, true },
	{ "LRU hash map", map_lru_hash, true, true, true },
	{ "per-CPU LRU hash map", map_lru_percpu_hash, true, true, true },
	{ "edges of an array", edges_array, true, true, true },
	{ "edges of one with odd values", edges_array_odd, true, true, true },
	{ "edges of one with pages", edges_array_page, true, true, true },
	{ "edges of a per-CPU array", edges_percpu, true, true, true },
	{ "edges of one with odd values", edges_percpu_odd, true, true, true },
	{ "edges of one with blocks", edges_percpu_blocks, true, true, true },
	{ "edges of one with blocks that have a rest", edges_percpu_rest, true, true, true },
	{ "a call for two maps", map_of_two, true, true, true },
	{ "queue", map_queue, true, true, true },
	{ "stack", map_stack, true, true, true },
	{ "maps with big values", map_big_values, true, true, true },
	{ "global data", global_data, true, true, true },
	{ "atomics", atomics, true, true, true },
};

int main(void)
{
	with_cgroups = true;
	return compare_all(cases, ARRAY_SIZE(cases));
}
