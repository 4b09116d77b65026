// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13 full=0 timeout=240 */
/*
 * Do dynptrs do for isolated programs what they do plainly?
 *
 * Each case runs at levels 0, 1 and 2. What helpers answer of dynptrs for map values, what they
 * read, write and find must be the same, byte by byte. For records: test_dynptr_records.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "asks.h"

#define DYNPTR_MAX ((1 << 24) - 1)

/* R1 = @from_reg, a value of that size: reads, writes and finds parts of a dynptr for it. */
static int parts_of(u32 size, u32 flags)
{
	E(MOV_IMM(R2, size), MOV_IMM(R3, flags), DYNPTR(R4, 16), CALL(dynptr_from_mem), OUT(0),
	  TO(R1), ASK_LEN(R2, 1), DYNPTR(R3, 16), ASK(R4, 0), ASK(R5, 2), CALL(dynptr_read), OUT(1),
	  DYNPTR(R1, 16), ASK(R2, 0), FROM(R3), ASK_LEN(R4, 1), ASK(R5, 2), CALL(dynptr_write),
	  OUT(2),
	  DYNPTR(R1, 16), ASK(R2, 0), MOV_IMM(R3, 8), CALL(dynptr_data),
	  JMP_IMM(BPF_JEQ, R0, 0, 5), LDX(BPF_DW, R1, R0, 0), STX(BPF_DW, R6, R1, 128 + 8 * 3),
	  LD_IMM64(R1, 0x123456789abcdef0), STX(BPF_DW, R0, R1, 0),
	  DYNPTR(R1, 16), ASK(R2, 0), MOV_IMM(R3, 0), CALL(dynptr_data),
	  JMP_IMM(BPF_JEQ, R0, 0, 1), ST(BPF_DW, R6, 128 + 8 * 4, 1),
	  MOV_IMM(R0, 1), EXIT());
	return built();
}

static void every_part(int fd, int map, u32 size, u32 bytes)
{
	static const u32 len[] = { 0, 1, 8, 63, 64, 65, 127 };
	static const u64 flags[] = { 1, 1ULL << 32, 1ULL << 63 };
	u8 *value = malloc(bytes);
	u32 zero = 0;

	for (size_t i = 0; i < ARRAY_SIZE(len); i++) {
		const u64 offset[] = {
			0, 1, 7, size - len[i], size - len[i] + 1, size - 1, size, size + 1,
			0x7fffffff, 0xffffffff, 0xfffffff8, 1ULL << 32, 1ULL << 32 | 1, -8ULL,
		};

		for (size_t o = 0; o < ARRAY_SIZE(offset); o++)
			ASKS(fd, offset[o], len[i], 0);
		map_lookup(map, &zero, value);
		note(value, bytes);
	}
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		ASKS(fd, 0, 8, flags[i]);
		ASKS(fd, size + 1, 8, flags[i]);
	}
	map_lookup(map, &zero, value);
	note(value, bytes);
	free(value);
}

static int filled(enum bpf_map_type type, u32 bytes)
{
	int map = map_create(type, 4, bytes, 1);
	u8 *value = malloc(bytes);
	u32 zero = 0;

	for (u32 i = 0; i < bytes; i++)
		value[i] = 0x40 + i % 64;
	if (map < 0 || map_update(map, &zero, value))
		bail("map of %u bytes: %s", bytes, strerror(errno));
	free(value);
	return map;
}

static void of_values(void)
{
	static const u32 size[] = { 0, 1, 8, 63, 64 };
	int map = filled(BPF_MAP_TYPE_ARRAY, 64), fd;

	for (size_t i = 0; i < ARRAY_SIZE(size) + 1; i++) {
		asks_begin();
		E(LD_MAP_VALUE(R1, map, 64 - (size[i % ARRAY_SIZE(size)] ?: 64)));
		fd = parts_of(size[i % ARRAY_SIZE(size)], i / ARRAY_SIZE(size));
		every_part(fd, map, size[i % ARRAY_SIZE(size)], 64);
		asks_end(fd);
	}
	close(map);
}

static void of_found_values(void)
{
	static const enum bpf_map_type types[] = { BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_LRU_HASH };
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		int map = filled(types[i], 64);

		asks_begin();
		E(ST(BPF_W, R10, -4, 0), ADDRESS(R2, R10, -4), LD_MAP_FD(R1, map),
		  CALL(map_lookup_elem), JMP_IMM(BPF_JNE, R0, 0, 1), EXIT(), MOV_REG(R1, R0));
		fd = parts_of(48, 0);
		every_part(fd, map, 48, 64);
		asks_end(fd);
		close(map);
	}
}

/* As large as there may be one, and larger */
static void of_large_values(void)
{
	int map = filled(BPF_MAP_TYPE_ARRAY, DYNPTR_MAX + 9), fd;

	for (u32 more = 0; more <= 1; more++) {
		asks_begin();
		E(LD_MAP_VALUE(R1, map, 0));
		fd = parts_of(DYNPTR_MAX + more, 0);
		ASKS(fd, DYNPTR_MAX - 8, 8, 0);
		ASKS(fd, DYNPTR_MAX - 7, 8, 0);
		ASKS(fd, DYNPTR_MAX - 64, 64, 0);
		ASKS(fd, DYNPTR_MAX, 0, 0);
		ASKS(fd, DYNPTR_MAX + 1, 0, 0);
		asks_end(fd);
	}
	close(map);
}

/* Much at once, between two maps */
static void much(void)
{
	int from = filled(BPF_MAP_TYPE_ARRAY, 1 << 20), to = filled(BPF_MAP_TYPE_ARRAY, 1 << 20), fd;
	u8 *value = malloc(1 << 20);
	u32 zero = 0;

	E(LD_MAP_VALUE(R1, from, 0), MOV_IMM(R2, 1 << 20), MOV_IMM(R3, 0), DYNPTR(R4, 16),
	  CALL(dynptr_from_mem), LD_MAP_VALUE(R1, to, 5), MOV_IMM(R2, (1 << 20) - 5), DYNPTR(R3, 16),
	  MOV_IMM(R4, 3), MOV_IMM(R5, 0), CALL(dynptr_read), MOV_REG(R6, R0),
	  DYNPTR(R1, 16), MOV_IMM(R2, 9), LD_MAP_VALUE(R3, to, 0), MOV_IMM(R4, (1 << 20) - 9),
	  MOV_IMM(R5, 0), CALL(dynptr_write), ALU64_REG(BPF_OR, R0, R6), EXIT());
	fd = built();
	runs(fd, 1);
	map_lookup(from, &zero, value);
	note(value, 1 << 20);
	map_lookup(to, &zero, value);
	note(value, 1 << 20);
	free(value);
	close(fd);
	close(from);
	close(to);
}

static const struct same_case cases[] = {
	{ "every part of a value", of_values },
	{ "every part of values that are looked up", of_found_values },
	{ "the largest there is", of_large_values },
	{ "a MiB at once", much },
};

int main(void)
{
	static const int levels[] = { 2, 1, 0 };

	return same_at(levels, cases, ARRAY_SIZE(cases));
}
