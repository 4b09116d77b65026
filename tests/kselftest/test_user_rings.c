// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13 full=0 timeout=240 */
/*
 * Do isolated programs drain user ring buffers as they do plainly?
 *
 * Each case runs at levels 0, 1 and 2. How many samples there were, what a function reads,
 * finds and writes of them, and all of the ring afterwards must be the same, byte by byte.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>
#include "asks.h"
#include "user_rings.h"
#include "visitor.h"

#define RING 4096
#define BIG (1 << 18)

static void note_user_ring(const struct user_ring *ring)
{
	note_word(*ring->producer);
	note_word(*ring->consumer);
	note(ring->data, ring->size);
}

/* A map of maps with the ring that is meant, or -1 */
static int inside = -1;

/*
 * Drains with flags 0, and counts in 15. Of each sample as much as 2 says is read from where 1
 * says; 4 bytes are written where 3 says; a word is found where 4 says. From the one that 5
 * counts on it wants no more.
 */
static int drains(int map)
{
	if (inside < 0)
		E(LD_MAP_FD(R7, map));
	else
		E(ST(BPF_W, R10, -8, 0), LD_MAP_FD(R1, inside), ADDRESS(R2, R10, -8),
		  CALL(map_lookup_elem), JMP_IMM(BPF_JNE, R0, 0, 2), MOV_IMM(R0, 1), EXIT(),
		  MOV_REG(R7, R0));
	E(ST(BPF_DW, R10, -8, 0), MOV_REG(R1, R7));
	emit_function(R2, 1);
	E(DYNPTR(R3, 8), ASK(R4, 0), CALL(user_ringbuf_drain), OUT(0), LDX(BPF_DW, R1, R10, -8),
	  STX(BPF_DW, R6, R1, 128 + 8 * 15), MOV_IMM(R0, 1), EXIT());
	begin_function(1);
	E(MOV_REG(R7, R1), MOV_REG(R8, R2), LD_MAP_VALUE(R6, io, 0), LDX(BPF_DW, R9, R8, 0),
	  ALU64_IMM(BPF_ADD, R9, 1), STX(BPF_DW, R8, R9, 0),
	  TO(R1), ASK_LEN(R2, 2), MOV_REG(R3, R7), ASK(R4, 1), MOV_IMM(R5, 0), CALL(dynptr_read),
	  OUT(1), MOV_REG(R1, R7), ASK(R2, 3), FROM(R3), MOV_IMM(R4, 4), MOV_IMM(R5, 0),
	  CALL(dynptr_write), OUT(2), MOV_REG(R1, R7), ASK(R2, 4), MOV_IMM(R3, 8),
	  CALL(dynptr_data), JMP_IMM(BPF_JEQ, R0, 0, 4), LDX(BPF_DW, R1, R0, 0),
	  LDX(BPF_DW, R2, R6, 128 + 8 * 3), ALU64_REG(BPF_ADD, R1, R2),
	  STX(BPF_DW, R6, R1, 128 + 8 * 3), ASK(R1, 5), MOV_IMM(R0, 0),
	  JMP_REG(BPF_JNE, R1, R9, 1), MOV_IMM(R0, 1), EXIT());
	return built();
}

static void sizes(void)
{
	static const u32 size[] = { 0, 1, 3, 4, 7, 8, 9, 64, 127, 1000, RING - HEADER };
	struct user_ring ring = user_ring_open(RING);
	int fd;

	asks_begin();
	fd = drains(ring.map);
	ASKS(fd, 0);
	for (size_t i = 0; i < ARRAY_SIZE(size); i++) {
		const u64 offset[] = { 0, 1, 4, size[i] - 4, size[i] - 8, size[i], 1ULL << 32 };

		for (size_t o = 0; o < ARRAY_SIZE(offset); o++) {
			note_word(user_ring_put(&ring, size[i], 16 * o));
			note_word(user_ring_put(&ring, 8, 7));
			ASKS(fd, 0, offset[o], 64 >> o, offset[o], offset[o], 0);
			ASKS(fd, 0, offset[o], 8, offset[o], offset[o], 0);
			note_user_ring(&ring);
		}
	}
	asks_end(fd);
	user_ring_close(&ring);
}

static void large(void)
{
	struct user_ring ring = user_ring_open(BIG);
	int fd;

	asks_begin();
	fd = drains(ring.map);
	for (u32 n = BIG - HEADER; n > 60007; n -= 60007) {
		note_word(user_ring_put(&ring, n, n));
		ASKS(fd, 0, n - 100, 100, n - 4, n - 8, 0);
		note_user_ring(&ring);
	}
	asks_end(fd);
	user_ring_close(&ring);
}

/* Rings in a map of maps, one after the other, of the size that this was made with or smaller */
static void rings_inside(void)
{
	static const u32 sizes[] = { RING, 2 * RING, RING };
	struct user_ring like = user_ring_open(2 * RING), larger = user_ring_open(4 * RING);
	int fd, out;

	inside = outer_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, like.map);
	asks_begin();
	fd = drains(0);
	ASKS(fd, 0);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct user_ring ring = user_ring_open(sizes[i]);

		note_word(put(inside, ring.map));
		for (u32 n = 0; n < sizes[i] - HEADER; n += 1000) {
			note_word(user_ring_put(&ring, n, n + i));
			ASKS(fd, 0, n / 2, 64, n / 3, n / 4, 0);
			note_user_ring(&ring);
		}
		note_word(user_ring_put(&ring, sizes[i] - HEADER, i));
		ASKS(fd, 0, sizes[i] - 100, 64, 0, 0, 0);
		if (i == 1)
			take_out(inside);
		note_word(user_ring_put(&ring, 8, i));
		ASKS(fd, 0, 0, 8, 0, 0, 0);
		note_user_ring(&ring);
		user_ring_close(&ring);
	}
	out = put(inside, larger.map);
	ok(!out == !same_level && (!out || errno == EACCES), "%d: %s: one that is larger: %s",
	   same_level, same_type->name, out ? "is not put there" : "is put there");
	asks_end(fd);
	close(inside);
	inside = -1;
	user_ring_close(&like);
	user_ring_close(&larger);
}

/* What would take too much of a program's memory is refused in isolation. */
static void too_large(void)
{
	struct user_ring ring = user_ring_open(1 << 20);
	int fd;

	E(LD_MAP_FD(R1, ring.map));
	emit_function(R2, 1);
	E(MOV_IMM(R3, 0), MOV_IMM(R4, 0), CALL(user_ringbuf_drain), EXIT());
	begin_function(1);
	E(MOV_IMM(R0, 0), EXIT());
	fd = prog_load(same_type->type, "too_large", insns, cnt);
	ok((fd < 0) == !!same_level && (!same_level || strstr(prog_log, "samples too large")),
	   "%d: %s: a ring of a MiB: %s", same_level, same_type->name, fd < 0 ? "refused" : "loads");
	cnt = 0;
	close(fd);
	user_ring_close(&ring);
}

static void many(void)
{
	struct user_ring ring = user_ring_open(RING);
	int fd;

	asks_begin();
	fd = drains(ring.map);
	for (u64 last = 0; last < 300; last += 37) {
		for (u32 n = 0; user_ring_put(&ring, n % 5 == 3 ? 8 | DISCARDED : 5 + n % 9, n); n++)
			;
		ASKS(fd, 0, 0, 5, 1, 0, last);
		note_user_ring(&ring);
		ASKS(fd, BPF_RB_NO_WAKEUP, 0, 5, 1, 0, 0);
		note_word(*ring.consumer);
	}
	asks_end(fd);
	user_ring_close(&ring);
}

/* What no producer should do */
static void odd(void)
{
	static const u32 header[] = {
		8 | BUSY, 8 | BUSY | DISCARDED, 9, 16, RING - HEADER, RING, RING + 8, 0x3fffffff,
		0x0fffffff, 1 << 24,
	};
	static const u64 flags[] = { 1, 2, 3, 4, 1ULL << 32, 1ULL << 63 };
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(header); i++) {
		struct user_ring ring = user_ring_open(RING);

		asks_begin();
		fd = drains(ring.map);
		user_ring_put(&ring, 8, 1);
		user_ring_put(&ring, 8, 2);
		*(u32 *)&ring.data[16] = header[i];
		ASKS(fd, 0, 0, 8, 0, 0, 0);
		note_user_ring(&ring);
		*ring.producer += 4;
		ASKS(fd, 0, 0, 8, 0, 0, 0);
		*ring.producer += 3 * RING + 4;
		ASKS(fd, 0, 0, 8, 0, 0, 0);
		note_user_ring(&ring);
		for (size_t f = 0; f < ARRAY_SIZE(flags); f++)
			ASKS(fd, flags[f]);
		asks_end(fd);
		user_ring_close(&ring);
	}
}

/* In a function that is called for a sample others are, for another ring, and for that one. */
static void one_in_another(void)
{
	struct user_ring ring = user_ring_open(RING), other = user_ring_open(2 * RING);
	struct ring records = ring_open(RING);
	int fd;

	asks_begin();
	E(LD_MAP_FD(R1, ring.map));
	emit_function(R2, 1);
	E(MOV_IMM(R3, 0), MOV_IMM(R4, 0), CALL(user_ringbuf_drain), OUT(0), MOV_IMM(R0, 1), EXIT());
	begin_function(1);
	E(MOV_REG(R7, R1), LD_MAP_VALUE(R6, io, 0), LD_MAP_FD(R1, other.map));
	emit_function(R2, 2);
	E(MOV_REG(R3, R10), MOV_IMM(R4, 0), CALL(user_ringbuf_drain), OUT(1), LD_MAP_FD(R1, ring.map));
	emit_function(R2, 2);
	E(MOV_REG(R3, R10), MOV_IMM(R4, 0), CALL(user_ringbuf_drain), OUT(2), TO(R1), MOV_IMM(R2, 9),
	  MOV_REG(R3, R7), MOV_IMM(R4, 0), MOV_IMM(R5, 0), CALL(dynptr_read), OUT(3), MOV_IMM(R0, 0),
	  EXIT());
	begin_function(2);
	E(MOV_REG(R7, R1), LD_MAP_VALUE(R6, io, 0), LD_MAP_FD(R1, records.map), ASK(R2, 0),
	  MOV_IMM(R3, 0), DYNPTR(R4, 16), CALL(ringbuf_reserve_dynptr), OUT(4), ADDRESS(R1, R10, -24),
	  MOV_IMM(R2, 8), MOV_REG(R3, R7), MOV_IMM(R4, 1), MOV_IMM(R5, 0), ST(BPF_DW, R10, -24, 0),
	  CALL(dynptr_read), OUT(5), DYNPTR(R1, 16), MOV_IMM(R2, 2), ADDRESS(R3, R10, -24),
	  MOV_IMM(R4, 8), MOV_IMM(R5, 0), CALL(dynptr_write), OUT(6), DYNPTR(R1, 16), MOV_IMM(R2, 0),
	  CALL(ringbuf_submit_dynptr), MOV_IMM(R0, 0), EXIT());
	fd = built();
	for (u32 i = 0; i < 20; i++) {
		user_ring_put(&ring, 9 + i, i);
		user_ring_put(&ring, 11, 2 * i);
		user_ring_put(&other, 9 + 30 * i, 3 * i);
		user_ring_put(&other, 3, 3 * i);
		ASKS(fd, 10 + i);
		note_user_ring(&ring);
		note_user_ring(&other);
		note_ring(&records);
		if (i % 3)
			ring_consume(&records);
	}
	asks_end(fd);
	user_ring_close(&ring);
	user_ring_close(&other);
	ring_close(&records);
}

/* Each sample is had once, whoever gets it. */
#define CPUS 4
#define SAMPLES 2000

static int shared_prog;
static volatile bool done;

static void *drain_often(void *cpu)
{
	u8 packet[64] = {};
	struct run run = { .repeat = 20, .data_in = packet, .data_in_size = 64 };

	pin_to_cpu((long)cpu);
	while (!done)
		prog_run(shared_prog, &run);
	return NULL;
}

static void on_all_cpus(void)
{
	struct user_ring ring = user_ring_open(RING);
	int sum = map_of_words(0);
	pthread_t t[CPUS];
	u64 put = 0, start;

	E(LD_MAP_FD(R1, ring.map));
	emit_function(R2, 1);
	E(MOV_IMM(R3, 0), MOV_IMM(R4, BPF_RB_NO_WAKEUP), CALL(user_ringbuf_drain), MOV_IMM(R0, 1),
	  EXIT());
	begin_function(1);
	E(MOV_IMM(R2, 8), MOV_IMM(R3, 8), CALL(dynptr_data), JMP_IMM(BPF_JEQ, R0, 0, 5),
	  LDX(BPF_DW, R2, R0, 0), LD_MAP_VALUE(R1, sum, 0), ATOMIC(BPF_DW, BPF_ADD, R1, R2, 0),
	  ST(BPF_DW, R0, 0, 0), MOV_IMM(R0, 0), EXIT());
	shared_prog = built();
	done = false;
	for (long i = 0; i < CPUS; i++)
		pthread_create(&t[i], NULL, drain_often, (void *)i);
	start = now_ns();
	for (u64 i = 1; i <= SAMPLES && now_ns() - start < 20000000000ULL;) {
		u64 at = *ring.producer & (RING - 1);
		u64 word[3] = { 16, 0, i };

		if (RING - (*ring.producer - *ring.consumer) < sizeof(word))
			continue;
		memcpy(ring.data + at, word, sizeof(word));
		__atomic_store_n(ring.producer, *ring.producer + sizeof(word), __ATOMIC_RELEASE);
		put += i++;
	}
	while (*ring.consumer != *ring.producer && now_ns() - start < 30000000000ULL)
		;
	done = true;
	for (int i = 0; i < CPUS; i++)
		pthread_join(t[i], NULL);
	note_word(put);
	ok(put && put == map_word(sum, 0), "%d: %s: samples that add up to %lu: %lu", same_level,
	   same_type->name, put, map_word(sum, 0));
	close(shared_prog);
	close(sum);
	user_ring_close(&ring);
}

static const struct same_case cases[] = {
	{ "samples of all sizes", sizes },
	{ "large samples", large },
	{ "samples that are too large", too_large },
	{ "many samples, and an end", many },
	{ "rings in a map of maps", rings_inside },
	{ "what no producer does", odd },
	{ "one ring in another", one_in_another },
	{ "samples on several CPUs", on_all_cpus },
};

int main(void)
{
	static const int levels[] = { 2, 1, 0 };

	return same_at(levels, cases, ARRAY_SIZE(cases));
}
