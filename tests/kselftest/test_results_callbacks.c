// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 keys=13,0 timeout=120 */
/*
 * Do functions that helpers call do the same in isolated programs?
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "results.h"

/* What a loop calls for: a flag that nobody knows at load keeps it from being inlined. */
static bool inlined;

/* R1 = how often, R2 = the function, R3 = its context, at R10 - 8. */
static void loop(int times, int f, int ctx)
{
	E(MOV_IMM(R1, times));
	emit_function(R2, f);
	E(MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, ctx));
	if (inlined)
		E(MOV_IMM(R4, 0));
	else
		E(LDX(BPF_DW, R4, R9, 1016));
	E(CALL(loop));
}

/* f(i, sum): *sum = *sum * 3 + i; stops at 50. */
static void sums(int f)
{
	begin_function(f);
	E(LDX(BPF_DW, R3, R2, 0), ALU64_IMM(BPF_MUL, R3, 3), ALU64_REG(BPF_ADD, R3, R1),
	  STX(BPF_DW, R2, R3, 0), MOV_IMM(R0, 0), JMP_IMM(BPF_JNE, R1, 50, 1), MOV_IMM(R0, 1),
	  EXIT());
}

static void loops(void)
{
	static const int times[] = { 0, 1, 2, 50, 51, 1000, 1 << 23, (1 << 23) + 1, -1 };
	size_t i;

	begin();
	E(MOV_IMM(R7, 0x777), MOV_IMM(R8, 0x888), ST(BPF_DW, R10, -8, 7));
	for (i = 0; i < ARRAY_SIZE(times); i++) {
		loop(times[i], 1, -8);
		tell(R0);
		E(LDX(BPF_DW, R0, R10, -8));
		tell(R0);
	}
	tell(R7);
	tell(R8);
	end_with(t->pass);
	sums(1);
}

static void loops_here(void)
{
	inlined = true;
	loops();
	inlined = false;
}

static void bad_flags(void)
{
	begin();
	E(ST(BPF_DW, R10, -8, 7), MOV_IMM(R1, 3));
	emit_function(R2, 1);
	E(MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -8), MOV_IMM(R4, 1), CALL(loop));
	tell(R0);
	end_with(t->pass);
	sums(1);
}

/* All registers are used in the function, which has a large frame, and a context on it. */
static void uses_all(int f)
{
	int i;

	begin_function(f);
	E(MOV_REG(R6, R2), MOV_REG(R7, R1), MOV_IMM(R8, 8), MOV_IMM(R9, 9));
	for (i = 8; i <= 160; i += 8)
		E(STX(BPF_DW, R10, R7, -i));
	E(CALL(ktime_get_ns), LDX(BPF_DW, R1, R10, -160), LDX(BPF_DW, R2, R6, 0),
	  ALU64_REG(BPF_ADD, R2, R1), ALU64_REG(BPF_ADD, R2, R8), ALU64_REG(BPF_ADD, R2, R9),
	  STX(BPF_DW, R6, R2, 0), MOV_IMM(R0, 0), EXIT());
}

static void all_registers(void)
{
	begin();
	E(ST(BPF_DW, R10, -8, 0), MOV_IMM(R7, 7), MOV_IMM(R8, 8));
	loop(20, 1, -8);
	tell(R0);
	E(LDX(BPF_DW, R0, R10, -8));
	tell(R0);
	tell(R7);
	tell(R8);
	end_with(t->pass);
	uses_all(1);
}

/* f(i, ctx) { loop(times, g, ctx) } where *ctx is 0, that being the flags, too */
static void loops_in(int f, int g, int times)
{
	begin_function(f);
	E(STX(BPF_DW, R10, R1, -16), STX(BPF_DW, R10, R2, -8), MOV_REG(R6, R2),
	  MOV_IMM(R1, times));
	emit_function(R2, g);
	E(MOV_REG(R3, R6), LDX(BPF_DW, R4, R6, 8), CALL(loop),
	  LDX(BPF_DW, R1, R6, 0), ALU64_REG(BPF_ADD, R1, R0), LDX(BPF_DW, R0, R10, -16),
	  ALU64_REG(BPF_ADD, R1, R0), STX(BPF_DW, R6, R1, 0), MOV_IMM(R0, 0), EXIT());
}

static void counts(int f)
{
	begin_function(f);
	E(LDX(BPF_DW, R3, R2, 0), ALU64_IMM(BPF_ADD, R3, 1), STX(BPF_DW, R2, R3, 0),
	  MOV_IMM(R0, 0), JMP_IMM(BPF_JNE, R1, 4, 1), MOV_IMM(R0, 1), EXIT());
}

static void nested(void)
{
	int f;

	begin();
	E(ST(BPF_DW, R10, -16, 0), LDX(BPF_DW, R1, R9, 1016), STX(BPF_DW, R10, R1, -8));
	loop(2, 1, -16);
	tell(R0);
	E(LDX(BPF_DW, R0, R10, -16));
	tell(R0);
	end_with(t->pass);
	for (f = 1; f < 7; f++)
		loops_in(f, f + 1, 2);
	counts(7);
}

/* From a local function, which has a frame of its own */
static void from_function(void)
{
	int call;

	begin();
	E(ST(BPF_DW, R10, -8, 0x1111), MOV_IMM(R7, 7), LDX(BPF_DW, R1, R9, 1016));
	call = cnt;
	E(CALL_REL(0));
	tell(R0);
	tell(R7);
	E(LDX(BPF_DW, R0, R10, -8));
	tell(R0);
	end_with(t->pass);
	insns[call].imm = cnt - call - 1;
	begin_function(1);
	E(MOV_IMM(R7, 99), MOV_REG(R4, R1), ST(BPF_DW, R10, -64, 5), MOV_IMM(R1, 9));
	emit_function(R2, 2);
	E(MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -64), CALL(loop),
	  LDX(BPF_DW, R1, R10, -64), ALU64_REG(BPF_ADD, R0, R1), EXIT());
	sums(2);
}

/* f(map, key, value, ctx): every eighth element, or all; then on or not */
static void element(int f, int key, int of_key, bool deletes, int map)
{
	begin_function(f);
	E(MOV_REG(R6, R4), MOV_REG(R7, R3), MOV_REG(R8, R2),
	  LDX(key, R1, R8, of_key), LDX(BPF_DW, R2, R6, 0), ALU64_IMM(BPF_MUL, R1, 7),
	  ALU64_REG(BPF_ADD, R2, R1), LDX(BPF_DW, R1, R7, 0), ALU64_REG(BPF_ADD, R2, R1),
	  STX(BPF_DW, R6, R2, 0), ALU64_IMM(BPF_ADD, R1, 1), STX(BPF_DW, R7, R1, 0));
	if (deletes)
		E(LD_MAP_FD(R1, map), MOV_REG(R2, R8), CALL(map_delete_elem));
	E(LDX(BPF_DW, R1, R6, 8), ALU64_IMM(BPF_ADD, R1, -1), STX(BPF_DW, R6, R1, 8),
	  MOV_IMM(R0, 0), JMP_IMM(BPF_JNE, R1, 0, 1), MOV_IMM(R0, 1), EXIT());
}

static void walk(int map, int most, int f)
{
	E(ST(BPF_DW, R10, -16, 0), ST(BPF_DW, R10, -8, most), LD_MAP_FD(R1, map));
	emit_function(R2, f);
	E(MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -16), MOV_IMM(R4, 0), CALL(for_each_map_elem));
	tell_int();
	E(LDX(BPF_DW, R0, R10, -16));
	tell(R0);
	E(LDX(BPF_DW, R0, R10, -8));
	tell(R0);
}

static void walk_array(enum bpf_map_type type)
{
	int map = new_map(type, 4, 40, 12);

	begin();
	walk(map, 100, 1);
	walk(map, 5, 1);
	E(ST(BPF_DW, R10, -16, 0), ST(BPF_DW, R10, -8, 1), LD_MAP_FD(R1, map));
	emit_function(R2, 1);
	E(MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -16), MOV_IMM(R4, 1), CALL(for_each_map_elem));
	tell_int();
	end_with(t->pass);
	element(1, BPF_W, 0, false, map);
}

static void array(void)
{
	walk_array(BPF_MAP_TYPE_ARRAY);
}

static void percpu_array(void)
{
	walk_array(BPF_MAP_TYPE_PERCPU_ARRAY);
}

/* The order is that of the buckets, which have a seed of their own: sums do not show it. */
static void walk_hash(enum bpf_map_type type, u32 key_size, bool deletes)
{
	u8 *key = calloc(1, key_size), value[8 * 40 * 4] = {};
	int map = new_map(type, key_size, 40, 32), i;

	for (i = 0; i < 20; i++) {
		key[key_size - 1] = i + 1;
		value[0] = i;
		if (map_update(map, key, value))
			bail("update: %s", strerror(errno));
	}
	free(key);
	begin();
	walk(map, 100, 1);
	walk(map, 100, 1);
	end_with(t->pass);
	element(1, BPF_B, key_size - 1, deletes, map);
}

static void hash(void)
{
	walk_hash(BPF_MAP_TYPE_HASH, 4, false);
}

static void hash_deletes(void)
{
	walk_hash(BPF_MAP_TYPE_HASH, 8, true);
}

static void hash_odd(void)
{
	walk_hash(BPF_MAP_TYPE_HASH, 19, false);
}

static void percpu_hash(void)
{
	walk_hash(BPF_MAP_TYPE_PERCPU_HASH, 12, false);
}

static void lru(void)
{
	walk_hash(BPF_MAP_TYPE_LRU_HASH, 4, true);
}

static void lru_percpu(void)
{
	walk_hash(BPF_MAP_TYPE_LRU_PERCPU_HASH, 3, false);
}

/* So many that they take several blocks of per-CPU memory */
static void percpu_large(void)
{
	int map = map_create(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 4096, 40);

	begin();
	walk(map, 100, 1);
	walk(map, 100, 1);
	end_with(t->pass);
	element(1, BPF_W, 0, false, map);
	/* It is held by the program; its sum is told. */
}

/*
 * The elements of one array loop over those of another one, in a function that has inlined a
 * loop, too.
 */
static void arrays_in_arrays(void)
{
	int outer = new_map(BPF_MAP_TYPE_ARRAY, 4, 24, 5), call;
	int inner = new_map(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 7);

	begin();
	E(MOV_IMM(R7, 7));
	call = cnt;
	E(CALL_REL(0));
	tell(R0);
	tell(R7);
	walk(outer, 3, 3);
	end_with(t->pass);

	insns[call].imm = cnt - call - 1;
	begin_function(1);
	E(ST(BPF_DW, R10, -8, 3), ST(BPF_DW, R10, -24, 9), MOV_IMM(R6, 66), MOV_IMM(R7, 77), MOV_IMM(R9, 99));
	inlined = true;
	loop(4, 2, -8);
	inlined = false;
	E(LD_MAP_FD(R1, outer));
	emit_function(R2, 4);
	E(ADDRESS(R3, R10, -24), MOV_IMM(R4, 0), CALL(for_each_map_elem),
	  LDX(BPF_DW, R1, R10, -24), ALU64_REG(BPF_ADD, R0, R1), LDX(BPF_DW, R1, R10, -8),
	  ALU64_REG(BPF_ADD, R0, R1), ALU64_REG(BPF_ADD, R0, R6), ALU64_REG(BPF_MUL, R0, R9),
	  EXIT());
	sums(2);
	element(3, BPF_W, 0, false, outer);

	/* f(map, key, value, sum) and f(map, key, value, sum) */
	begin_function(4);
	E(MOV_REG(R6, R4), MOV_REG(R7, R3), LDX(BPF_W, R8, R2, 0), LD_MAP_FD(R1, inner));
	emit_function(R2, 5);
	E(MOV_REG(R3, R6), MOV_IMM(R4, 0), CALL(for_each_map_elem), LDX(BPF_DW, R1, R6, 0),
	  ALU64_REG(BPF_ADD, R1, R0), ALU64_REG(BPF_ADD, R1, R8), STX(BPF_DW, R6, R1, 0),
	  STX(BPF_DW, R7, R1, 16), MOV_IMM(R0, 0), EXIT());
	begin_function(5);
	E(LDX(BPF_W, R1, R2, 0), LDX(BPF_DW, R2, R4, 0), ALU64_IMM(BPF_MUL, R2, 3),
	  ALU64_REG(BPF_ADD, R2, R1), LDX(BPF_DW, R1, R3, 0), ALU64_REG(BPF_ADD, R2, R1),
	  STX(BPF_DW, R4, R2, 0), ALU64_IMM(BPF_ADD, R1, 1), STX(BPF_DW, R3, R1, 0),
	  MOV_IMM(R0, 0), EXIT());
}

/* The verifier removes the first function, whose call is never made: the next one is the first. */
static void behind_a_dead_one(void)
{
	int array = new_map(BPF_MAP_TYPE_ARRAY, 4, 24, 6);
	int percpu = new_map(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 24, 6);

	begin();
	E(MOV_IMM(R1, 0), JMP_IMM(BPF_JEQ, R1, 0, 1));
	emit_call(1);
	walk(array, 100, 2);
	walk(percpu, 100, 3);
	end_with(t->pass);
	begin_function(1);
	E(MOV_IMM(R0, 1), EXIT());
	element(2, BPF_W, 0, false, array);
	element(3, BPF_W, 0, false, percpu);
}

/* More than a function returns to by itself; and helpers call it, too. */
static void many_calls(void)
{
	int map = new_map(BPF_MAP_TYPE_HASH, 4, 40, 3), i;
	u32 key = 7;
	u64 value[5] = { 70 };

	if (map_update(map, &key, value))
		bail("update: %s", strerror(errno));
	begin();
	for (i = 0; i < 9; i++) {
		E(MOV_IMM(R1, i), ST(BPF_W, R10, -20, i), ADDRESS(R2, R10, -20),
		  ADDRESS(R3, R10, -16), MOV_REG(R4, R3), ST(BPF_DW, R10, -16, 5 * i),
		  ST(BPF_DW, R10, -8, i));
		emit_call(i % 2 ? 2 : 1);
		tell(R0);
		E(LDX(BPF_DW, R0, R10, -16));
		tell(R0);
	}
	walk(map, 2, 1);
	end_with(t->pass);
	begin_function(1);
	E(ST(BPF_DW, R10, -8, 11));
	emit_call(2);
	E(LDX(BPF_DW, R1, R10, -8), ALU64_REG(BPF_ADD, R0, R1), ALU64_IMM(BPF_AND, R0, 1), EXIT());
	element(2, BPF_W, 0, false, map);
}

/* A function that a helper calls changes packet and context, as does the program. */
static void changes_packet(void)
{
	begin();
	E(STX(BPF_DW, R10, R6, -16), ST(BPF_DW, R10, -8, 0), LDX(BPF_W, R7, R6, 0));
	loop(6, 1, -16);
	tell(R0);
	E(LDX(BPF_W, R0, R6, offsetof(struct __sk_buff, mark)));
	tell(R0);
	E(LDX(BPF_W, R0, R6, offsetof(struct __sk_buff, len)));
	tell(R0);
	packet();
	need(20);
	E(LDX(BPF_DW, R0, R7, 4));
	tell(R0);
	end_with(t->pass);

	begin_function(1);
	E(MOV_REG(R7, R1), MOV_REG(R8, R2), LDX(BPF_DW, R6, R8, 0),
	  LDX(BPF_W, R1, R6, offsetof(struct __sk_buff, mark)), ALU64_IMM(BPF_ADD, R1, 3),
	  STX(BPF_W, R6, R1, offsetof(struct __sk_buff, mark)),
	  STX(BPF_DW, R10, R7, -8), MOV_REG(R1, R6), MOV_REG(R2, R7), MOV_REG(R3, R10),
	  ALU64_IMM(BPF_ADD, R3, -8), MOV_IMM(R4, 1), MOV_IMM(R5, 0), CALL(skb_store_bytes),
	  MOV_REG(R1, R6), LDX(BPF_W, R2, R6, offsetof(struct __sk_buff, len)),
	  ALU64_IMM(BPF_ADD, R2, -1), MOV_IMM(R3, 0), CALL(skb_change_tail),
	  MOV_IMM(R0, 0), EXIT());
}

static const struct result_case cases[] = {
	{ "bpf_loop()", loops, true, true, true },
	{ "bpf_loop(), inlined", loops_here, true, true, true },
	{ "bpf_loop() with flags", bad_flags, true, true, true },
	{ "a callback that uses all registers", all_registers, true, true, true },
	{ "seven callbacks in one another", nested, true, true, true },
	{ "a loop in a function", from_function, true, true, true },
	{ "the elements of an array", array, true, true, true },
	{ "of a per-CPU array", percpu_array, true, true, true },
	{ "of a large per-CPU array", percpu_large, true, true, false },
	{ "of a hash", hash, true, true, true },
	{ "of a hash, which deletes them", hash_deletes, true, true, true },
	{ "of a hash with odd keys", hash_odd, true, true, true },
	{ "of a per-CPU hash", percpu_hash, true, true, true },
	{ "of an LRU hash, which deletes them", lru, true, true, true },
	{ "of a per-CPU LRU hash", lru_percpu, true, true, true },
	{ "of arrays in one another, in a function", arrays_in_arrays, true, true, true },
	{ "of arrays, by functions behind a dead one", behind_a_dead_one, true, true, true },
	{ "a function that is called from many places", many_calls, true, true, true },
	{ "a callback that changes the packet", changes_packet, false, true, false },
};

int main(void)
{
	with_gates = true;
	return compare_all(cases, ARRAY_SIZE(cases));
}
