// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13 full=0 timeout=240 */
/*
 * Do records that isolated programs have by dynptrs reach user space as they do plainly?
 *
 * Each case runs at levels 0, 1 and 2. What helpers answer, and all that the consumer of a ring
 * has mapped must be the same, byte by byte. What has a limit only in isolation is said here, too.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "asks.h"

#define RING 4096
#define BIG (1 << 17)
#define MOST (1 << 16)		/* MAX_DYNPTR */
#define DYNPTR_MAX ((1 << 24) - 1)

/* Gives back the dynptr at @at: by asks 7 flags, by 8 which way. */
static void give_back(int at)
{
	E(DYNPTR(R1, at), ASK(R2, 7), ASK(R3, 8), JMP_IMM(BPF_JNE, R3, 0, 2),
	  CALL(ringbuf_submit_dynptr), JA(1), CALL(ringbuf_discard_dynptr));
}

/* A record: asks 0 size, 1 flags; 2, 3 what is written; 4 where a word is; 5, 6 what is read */
static void record(int map)
{
	E(LD_MAP_FD(R1, map), ASK(R2, 0), ASK(R3, 1), DYNPTR(R4, 16), CALL(ringbuf_reserve_dynptr),
	  OUT(0), DYNPTR(R1, 16), ASK(R2, 2), FROM(R3), ASK_LEN(R4, 3), MOV_IMM(R5, 0),
	  CALL(dynptr_write), OUT(1), DYNPTR(R1, 16), ASK(R2, 4), MOV_IMM(R3, 8), CALL(dynptr_data),
	  JMP_IMM(BPF_JEQ, R0, 0, 3), LDX(BPF_DW, R1, R0, 0), STX(BPF_DW, R6, R1, 128 + 16),
	  ST(BPF_DW, R0, 0, 0x7777777), TO(R1), ASK_LEN(R2, 5), DYNPTR(R3, 16), ASK(R4, 6),
	  MOV_IMM(R5, 0), CALL(dynptr_read), OUT(3));
	give_back(16);
	E(MOV_IMM(R0, 1), EXIT());
}

static void sizes(void)
{
	static const u64 size[] = {
		0, 1, 7, 8, 9, 13, 64, 255, 1000, RING - 17, RING - 16, RING - 15, RING - 8,
		RING - 7, RING, RING + 1, MOST, MOST + 1, DYNPTR_MAX, DYNPTR_MAX + 1, 0x3fffffff,
		0x40000000, 0xffffffff, 1ULL << 32 | 24, -8ULL,
	};
	struct ring ring = ring_open(RING);
	int fd;

	asks_begin();
	record(ring.map);
	fd = built();
	for (size_t i = 0; i < ARRAY_SIZE(size); i++) {
		for (u64 back = 0; back < 6; back++) {
			ASKS(fd, size[i], back == 4, i, 8 * i & 127, size[i] - 8, 64, 0, 0,
			     back & 1);
			note_ring(&ring);
			if (back & 2)
				note_word(ring_consume(&ring));
		}
		ASKS(fd, size[i], 0, size[i] - 4, 4, 0, 8, size[i] - 8, 0, 0);
		note_word(ring_consume(&ring));
	}
	note_ring(&ring);
	asks_end(fd);
	ring_close(&ring);
}

/* Large ones, of a ring that has larger ones still */
static void large(void)
{
	static const u32 size[] = { 4096, 5000, MOST - 9, MOST };
	struct ring ring = ring_open(BIG);
	int fd;

	asks_begin();
	record(ring.map);
	fd = built();
	for (size_t i = 0; i < 3 * ARRAY_SIZE(size); i++) {
		u32 n = size[i % ARRAY_SIZE(size)];

		ASKS(fd, n, 0, n - 100, 100, n / 2, 120, n - 120, BPF_RB_NO_WAKEUP, i % 5 == 4);
		note_ring(&ring);
		note_word(ring_consume(&ring));
	}
	asks_end(fd);
	ring_close(&ring);
}

/* More than a slot has room for is refused in isolation, and counted. */
static void too_large(void)
{
	s64 refused = moat_counter("refused_records"), violations = moat_counter("violations");
	struct ring ring = ring_open(BIG);
	u64 pos = 0;
	int fd;

	asks_begin();
	record(ring.map);
	fd = built();
	for (u32 n = MOST + 1; n < BIG - 16; n += 20001) {
		u64 asks[9] = { n, 0, 0, 8, 8 };
		u32 zero = 0;

		told = (struct io){};
		memcpy(told.ask, asks, sizeof(asks));
		map_update(io, &zero, &told);
		note_word(prog_run_once(fd));
		map_lookup(io, &zero, &told);
		refused += !!same_level;
		ok(told.out[0] == (same_level ? (u64)-E2BIG : 0) &&
		   told.out[1] == (same_level ? (u64)-EINVAL : 0) &&
		   (*ring.producer > pos) == !same_level &&
		   moat_counter("refused_records") == refused &&
		   moat_counter("violations") == violations,
		   "%d: %s: a record of %u bytes: %ld", same_level, same_type->name, n,
		   (s64)told.out[0]);
		pos = *ring.producer;
		ring_consume(&ring);
	}
	asks_end(fd);
	ring_close(&ring);
}

/* Three at once and one of a function's, given back out of order */
static void several(void)
{
	struct ring ring = ring_open(RING);
	int fd, call;

	asks_begin();
	for (int i = 1; i <= 3; i++)
		E(LD_MAP_FD(R1, ring.map), ASK(R2, i), MOV_IMM(R3, 0), DYNPTR(R4, 16 * i),
		  CALL(ringbuf_reserve_dynptr), OUT(i), DYNPTR(R1, 16 * i), MOV_IMM(R2, i), FROM(R3),
		  MOV_IMM(R4, 10 + i), MOV_IMM(R5, 0), CALL(dynptr_write), OUT(i + 4));
	E(DYNPTR(R1, 32));
	call = cnt;
	E(CALL_REL(0), OUT(0));
	give_back(32);
	E(DYNPTR(R1, 48), MOV_IMM(R2, 0), CALL(ringbuf_discard_dynptr), DYNPTR(R1, 16),
	  MOV_IMM(R2, 0), CALL(ringbuf_submit_dynptr), MOV_IMM(R0, 1), EXIT());
	insns[call].imm = cnt - call - 1;
	/* Of its caller's it writes the first word, and copies that to one of its own. */
	E(MOV_REG(R6, R1), ST(BPF_DW, R10, -8, 0x5151), MOV_IMM(R2, 0), ADDRESS(R3, R10, -8),
	  MOV_IMM(R4, 8), MOV_IMM(R5, 0), CALL(dynptr_write), LD_MAP_FD(R1, ring.map),
	  MOV_IMM(R2, 21), MOV_IMM(R3, 0), DYNPTR(R4, 32), CALL(ringbuf_reserve_dynptr),
	  ADDRESS(R1, R10, -8), MOV_IMM(R2, 8), MOV_REG(R3, R6), MOV_IMM(R4, 1), MOV_IMM(R5, 0),
	  CALL(dynptr_read), MOV_REG(R7, R0), DYNPTR(R1, 32), MOV_IMM(R2, 9), ADDRESS(R3, R10, -8),
	  MOV_IMM(R4, 8), MOV_IMM(R5, 0), CALL(dynptr_write), ALU64_REG(BPF_ADD, R7, R0),
	  DYNPTR(R1, 32), MOV_IMM(R2, 0), CALL(ringbuf_submit_dynptr), MOV_REG(R0, R7), EXIT());
	fd = built();
	for (u64 i = 0; i < 30; i++) {
		ASKS(fd, 0, 16 + i, 40 + 60 * i, 100, 0, 0, 0, 0, i & 1);
		note_ring(&ring);
		if (i % 3)
			note_word(ring_consume(&ring));
	}
	asks_end(fd);
	ring_close(&ring);
}

/* What a run has is handed on to functions that a helper calls, which have their own, too. */
static void in_callbacks(void)
{
	struct ring ring = ring_open(RING);
	int fd;

	asks_begin();
	E(LD_MAP_FD(R1, ring.map), ASK(R2, 0), MOV_IMM(R3, 0), DYNPTR(R4, 16),
	  CALL(ringbuf_reserve_dynptr), OUT(0), MOV_IMM(R1, 4));
	emit_function(R2, 1);
	E(DYNPTR(R3, 16), MOV_IMM(R4, 0), CALL(loop), OUT(1));
	give_back(16);
	E(MOV_IMM(R0, 1), EXIT());
	begin_function(1);
	E(MOV_REG(R6, R1), MOV_REG(R7, R2), STX(BPF_DW, R10, R6, -8), MOV_REG(R1, R7),
	  MOV_REG(R2, R6), ALU64_IMM(BPF_LSH, R2, 3), ADDRESS(R3, R10, -8), MOV_IMM(R4, 8),
	  MOV_IMM(R5, 0), CALL(dynptr_write), LD_MAP_FD(R1, ring.map), MOV_REG(R2, R6),
	  ALU64_IMM(BPF_ADD, R2, 11), MOV_IMM(R3, 0), DYNPTR(R4, 32), CALL(ringbuf_reserve_dynptr),
	  DYNPTR(R1, 32), MOV_IMM(R2, 1), ADDRESS(R3, R10, -8), MOV_IMM(R4, 8), MOV_IMM(R5, 0),
	  CALL(dynptr_write), DYNPTR(R1, 32), MOV_IMM(R2, 0), CALL(ringbuf_submit_dynptr),
	  MOV_IMM(R0, 0), EXIT());
	fd = built();
	for (u64 i = 0; i < 12; i++) {
		ASKS(fd, 8 * i, 0, 0, 0, 0, 0, 0, 0, i & 1);
		note_ring(&ring);
		if (i % 3)
			note_word(ring_consume(&ring));
	}
	asks_end(fd);
	ring_close(&ring);
}

/* A part of one is memory for helpers; so is one of what is reserved the other way. */
static void as_memory(void)
{
	struct ring ring = ring_open(RING), other = ring_open(RING);
	int fd;

	asks_begin();
	E(LD_MAP_FD(R1, ring.map), ASK(R2, 0), MOV_IMM(R3, 0), DYNPTR(R4, 16),
	  CALL(ringbuf_reserve_dynptr), OUT(0), LD_MAP_FD(R1, ring.map), MOV_IMM(R2, 24),
	  MOV_IMM(R3, 0), CALL(ringbuf_reserve), JMP_IMM(BPF_JNE, R0, 0, 10));
	give_back(16);
	E(MOV_IMM(R0, 7), EXIT(), MOV_REG(R8, R0), ST(BPF_DW, R8, 0, 1), ST(BPF_DW, R8, 8, 2),
	  ST(BPF_DW, R8, 16, 3), DYNPTR(R1, 16), MOV_IMM(R2, 8), MOV_REG(R3, R8), MOV_IMM(R4, 24),
	  MOV_IMM(R5, 0), CALL(dynptr_write), OUT(1),
	  DYNPTR(R1, 16), MOV_IMM(R2, 0), MOV_IMM(R3, 64), CALL(dynptr_data), MOV_REG(R7, R0),
	  JMP_IMM(BPF_JEQ, R7, 0, 6), LD_MAP_FD(R1, other.map), MOV_REG(R2, R7), MOV_IMM(R3, 64),
	  MOV_IMM(R4, 0), CALL(ringbuf_output), MOV_REG(R1, R8), MOV_IMM(R2, 0),
	  CALL(ringbuf_submit));
	give_back(16);
	E(MOV_IMM(R0, 1), EXIT());
	fd = built();
	for (u64 i = 0; i < 20; i++) {
		ASKS(fd, 40 + 8 * (i % 7), 0, 0, 0, 0, 0, 0, 0, i & 1);
		note_ring(&ring);
		note_ring(&other);
		note_word(ring_consume(&ring));
		note_word(ring_consume(&other));
	}
	asks_end(fd);
	ring_close(&ring);
	ring_close(&other);
}

static void in_a_map(void)
{
	struct ring ring = ring_open(RING);
	int outer = ring_in_map(&ring), fd;

	asks_begin();
	E(ST(BPF_W, R10, -20, 1), LD_MAP_FD(R1, outer), ADDRESS(R2, R10, -20), CALL(map_lookup_elem),
	  JMP_IMM(BPF_JNE, R0, 0, 2), MOV_IMM(R0, 5), EXIT(), MOV_REG(R1, R0), ASK(R2, 0),
	  MOV_IMM(R3, 0), DYNPTR(R4, 16), CALL(ringbuf_reserve_dynptr), OUT(0), DYNPTR(R1, 16),
	  MOV_IMM(R2, 3), FROM(R3), MOV_IMM(R4, 30), MOV_IMM(R5, 0), CALL(dynptr_write), OUT(1));
	give_back(16);
	E(MOV_IMM(R0, 1), EXIT());
	fd = built();
	for (u64 i = 0; i < 8; i++)
		ASKS(fd, 20 + 7 * i, 0, 0, 0, 0, 0, 0, 0, i == 3);
	ASKS(fd, RING);
	note_ring(&ring);
	asks_end(fd);
	close(outer);
	ring_close(&ring);
}

/* Its number is at both ends of each record that a CPU makes, whose size tells it, too. */
#define CPUS 4
#define EACH 1500
#define SIZE_ON(CPU) (37 * (CPU) + 24)

static int shared_prog;

static void *make_records(void *cpu)
{
	struct run run = { .repeat = EACH, .data_in = told.from, .data_in_size = 64 };

	pin_to_cpu((long)cpu);
	prog_run(shared_prog, &run);
	return NULL;
}

static void on_all_cpus(void)
{
	struct ring ring = ring_open(BIG);
	int made = map_of_words(0);
	u64 got = 0, wrong = 0;
	pthread_t t[CPUS];

	E(CALL(get_smp_processor_id), MOV_REG(R7, R0), STX(BPF_DW, R10, R7, -24), MOV_REG(R8, R7),
	  ALU64_IMM(BPF_MUL, R8, 37), ALU64_IMM(BPF_ADD, R8, 24), LD_MAP_FD(R1, ring.map),
	  MOV_REG(R2, R8), MOV_IMM(R3, 0), DYNPTR(R4, 16), CALL(ringbuf_reserve_dynptr),
	  JMP_IMM(BPF_JNE, R0, 0, 4), LD_MAP_VALUE(R1, made, 0), MOV_IMM(R2, 1),
	  ATOMIC(BPF_DW, BPF_ADD, R1, R2, 0), DYNPTR(R1, 16), MOV_IMM(R2, 0), DYNPTR(R3, 24),
	  MOV_IMM(R4, 8), MOV_IMM(R5, 0), CALL(dynptr_write), DYNPTR(R1, 16), MOV_REG(R2, R8),
	  ALU64_IMM(BPF_SUB, R2, 8), DYNPTR(R3, 24), MOV_IMM(R4, 8), MOV_IMM(R5, 0),
	  CALL(dynptr_write), DYNPTR(R1, 16), MOV_IMM(R2, 0), CALL(ringbuf_submit_dynptr),
	  MOV_IMM(R0, 1), EXIT());
	shared_prog = built();
	for (long i = 0; i < CPUS; i++)
		pthread_create(&t[i], NULL, make_records, (void *)i);
	for (int running = CPUS; running || *ring.consumer != *ring.producer;) {
		u64 pos = *ring.consumer;
		u32 header = pos == *ring.producer ? BUSY : ring_header(&ring, pos), cpu;

		if (running && !pthread_tryjoin_np(t[running - 1], NULL))
			running--;
		if (header & BUSY)
			continue;
		cpu = ring_word(&ring, pos);
		wrong += cpu >= CPUS || header != SIZE_ON(cpu) ||
			 ring_word(&ring, pos + header - 8) != cpu;
		got++;
		__atomic_store_n(ring.consumer, pos + ring_step(header), __ATOMIC_RELEASE);
	}
	note_word(wrong);
	ok(got && !wrong && got == map_word(made, 0), "%d: %s: %lu records of %lu, %lu wrong",
	   same_level, same_type->name, got, map_word(made, 0), wrong);
	close(shared_prog);
	close(made);
	ring_close(&ring);
}

static const struct same_case cases[] = {
	{ "records of all sizes", sizes },
	{ "large records", large },
	{ "records that are too large", too_large },
	{ "several at once, out of order", several },
	{ "records and callbacks", in_callbacks },
	{ "a part that is given to helpers", as_memory },
	{ "a ring in a map", in_a_map },
	{ "records of several CPUs", on_all_cpus },
};

int main(void)
{
	static const int levels[] = { 2, 1, 0 };

	return same_at(levels, cases, ARRAY_SIZE(cases));
}
