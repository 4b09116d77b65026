// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,0 timeout=120 */
/*
 * Do records of ring buffers reach user space as they do plainly?
 *
 * Each case runs at level 0 and at level 2 on fresh rings. What the consumer has mapped,
 * all of it, what the programs returned and what woke the consumer must be the same, byte
 * by byte.
 */
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "same.h"

#define RING 4096
#define BIG (1 << 17)

/* Each time with what is in the ring then, of which the consumer takes some. */
static void notes_runs(int fd, const struct ring *ring, int n)
{
	for (int i = 0; i < n; i++) {
		runs(fd, 1);
		note_ring(ring);
		if (i % 3)
			note_word(ring_consume(ring));
	}
}

/* R0 = a record of @size bytes, or out with 7. */
static void reserve(const struct ring *ring, u32 size)
{
	E(LD_MAP_FD(R1, ring->map), MOV_IMM(R2, size), MOV_IMM(R3, 0), CALL(ringbuf_reserve),
	  JMP_IMM(BPF_JNE, R0, 0, 2), MOV_IMM(R0, 7), EXIT());
}

/* Gives back what R1 is. */
static void submit(u32 flags)
{
	E(MOV_IMM(R2, flags), CALL(ringbuf_submit));
}

static void discard(int reg)
{
	E(MOV_REG(R1, reg), MOV_IMM(R2, 0), CALL(ringbuf_discard));
}

static void end(void)
{
	E(MOV_IMM(R0, 1), EXIT());
}

#define SMALL 33

static void sizes(void)
{
	static const u32 size[] = {
		63, 64, 65, 255, 4088, 4089, 4095, 4096, 4097, 16384, BIG - HEADER - 8,
	};
	struct ring ring = ring_open(BIG);

	for (size_t i = 0; i < SMALL + ARRAY_SIZE(size); i++) {
		u32 n = i < SMALL ? i : size[i - SMALL];
		int fd;

		reserve(&ring, n);
		/* The rest stays what it is. */
		if (n)
			E(ST(BPF_B, R0, 0, n), ST(BPF_B, R0, n / 2 & 0x7fff, 0x55),
			  ST(BPF_B, R0, (n - 1) & 0x7fff, 0xaa));
		if (n >= 64)
			E(LD_IMM64(R1, 0x123456789abcdef0), STX(BPF_DW, R0, R1, 16));
		E(MOV_REG(R1, R0));
		submit(0);
		end();
		fd = built();
		for (int round = 0; round < 6; round++) {
			runs(fd, 3);
			note_ring(&ring);
			note_word(ring_consume(&ring));
		}
		close(fd);
	}
	ring_close(&ring);
}

static void full(void)
{
	struct ring ring = ring_open(RING);
	int fd;

	reserve(&ring, 300);
	E(ST(BPF_DW, R0, 0, 1), MOV_REG(R1, R0));
	submit(0);
	end();
	fd = built();
	runs(fd, 20);
	note_ring(&ring);
	note_word(ring_consume(&ring));
	runs(fd, 20);
	note_ring(&ring);
	close(fd);
	ring_close(&ring);
}

static void old_contents(void)
{
	struct ring ring = ring_open(RING);
	int out = map_of_words(0), fd;

	reserve(&ring, 500);
	E(LD_MAP_VALUE(R1, out, 0));
	/* What is there goes to the map and back, plus 1. */
	for (int i = 0; i < 8; i++)
		E(LDX(BPF_DW, R2, R0, 56 * i), STX(BPF_DW, R1, R2, 8 * i),
		  ALU64_IMM(BPF_ADD, R2, i + 1), STX(BPF_DW, R0, R2, 56 * i));
	E(MOV_REG(R1, R0));
	submit(0);
	end();
	fd = built();
	for (int i = 0; i < 40; i++) {
		runs(fd, 1);
		for (int w = 0; w < 8; w++)
			note_word(map_word(out, w));
		ring_consume(&ring);
	}
	note_ring(&ring);
	close(fd);
	close(out);
	ring_close(&ring);
}

static void flags(void)
{
	static const u32 flag[] = {
		0, BPF_RB_NO_WAKEUP, BPF_RB_FORCE_WAKEUP,
		BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP, 64,
	};
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	for (size_t i = 0; i < 2 * ARRAY_SIZE(flag); i++) {
		struct ring ring = ring_open(RING);
		int poll = epoll_create1(0), fd;

		reserve(&ring, 8);
		E(ST(BPF_DW, R0, 0, i), MOV_REG(R1, R0), MOV_IMM(R2, flag[i / 2]));
		if (i & 1)
			E(CALL(ringbuf_discard));
		else
			E(CALL(ringbuf_submit));
		end();
		fd = built();
		epoll_ctl(poll, EPOLL_CTL_ADD, ring.map, &event);
		for (int round = 0; round < 3; round++) {
			runs(fd, 1);
			note_word(epoll_wait(poll, &event, 1, 20));
			/* The last one finds the consumer behind. */
			if (!round)
				note_word(ring_consume(&ring));
		}
		note_ring(&ring);
		close(poll);
		close(fd);
		ring_close(&ring);
	}
}

/* Three at once, of one call, and one of another; given back out of order. */
static void several(void)
{
	struct ring ring = ring_open(RING);
	int fd, call[3];

	for (int i = 0; i < 4; i++) {
		if (i < 3) {
			call[i] = cnt;
			E(CALL_REL(0));
		} else {
			E(LD_MAP_FD(R1, ring.map), MOV_IMM(R2, 100), MOV_IMM(R3, 0),
			  CALL(ringbuf_reserve));
		}
		E(JMP_IMM(BPF_JNE, R0, 0, 3 * i + 2));
		for (int r = R6; r < R6 + i; r++)
			discard(r);
		E(MOV_IMM(R0, 7), EXIT(), MOV_REG(R6 + i, R0), ST(BPF_DW, R0, 0, i));
	}
	E(MOV_REG(R1, R7));
	submit(0);
	discard(R9);
	E(MOV_REG(R1, R8));
	submit(0);
	E(MOV_REG(R1, R6));
	submit(0);
	end();
	for (int i = 0; i < 3; i++)
		insns[call[i]].imm = cnt - call[i] - 1;
	E(LD_MAP_FD(R1, ring.map), MOV_IMM(R2, 24), MOV_IMM(R3, 0), CALL(ringbuf_reserve), EXIT());
	fd = built();
	notes_runs(fd, &ring, 30);
	close(fd);
	ring_close(&ring);
}

/* Two at once, in any order, beside what is not had; some rounds find the ring full. */
static void two(void)
{
	static const char *const orders[] = { "ab", "ba", "Ab", "bA", "aB", "Ba", "AB", "BA" };

	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		struct ring ring = ring_open(RING);
		int fd;

		reserve(&ring, 301);
		E(MOV_REG(R6, R0), ST(BPF_DW, R0, 0, i), LD_MAP_FD(R1, ring.map), MOV_IMM(R2, 90),
		  MOV_IMM(R3, 0), CALL(ringbuf_reserve), MOV_REG(R7, R0),
		  JMP_IMM(BPF_JNE, R0, 0, 5));
		discard(R6);
		E(MOV_IMM(R0, 8), EXIT(), ST(BPF_DW, R0, 80, i), ST(BPF_B, R6, 300, i));
		for (const char *c = orders[i]; *c; c++) {
			int record = (*c | 0x20) == 'a' ? R6 : R7;

			if (*c & 0x20) {
				E(MOV_REG(R1, record));
				submit(BPF_RB_NO_WAKEUP);
			} else {
				discard(record);
			}
		}
		reserve(&ring, 5);
		E(ST(BPF_B, R0, 4, i), MOV_REG(R1, R0));
		submit(BPF_RB_NO_WAKEUP);
		end();
		fd = built();
		notes_runs(fd, &ring, 14);
		close(fd);
		ring_close(&ring);
	}
}

/* What is written to the context is there after the run, whatever becomes of records. */
static void with_a_context(void)
{
	struct ring ring = ring_open(RING);
	int fd;

	E(MOV_REG(R6, R1));
	if (same_type != &xdp)
		E(MOV_IMM(R1, 0x1111), STX(BPF_W, R6, R1, offsetof(struct __sk_buff, cb[1])));
	reserve(&ring, 21);
	E(ST(BPF_B, R0, 20, 0x21), MOV_REG(R1, R0));
	submit(BPF_RB_NO_WAKEUP);
	if (same_type != &xdp)
		E(MOV_IMM(R1, 0x2222), STX(BPF_W, R6, R1, offsetof(struct __sk_buff, cb[2])));
	reserve(&ring, 40);
	discard(R0);
	end();
	fd = built();
	for (int i = 0; i < 3; i++) {
		struct __sk_buff ctx = {}, out = {};
		u8 packet[64] = {};
		struct run run = { .data_in = packet, .data_in_size = sizeof(packet) };

		if (same_type != &xdp) {
			run.ctx_in = &ctx;
			run.ctx_out = &out;
			run.ctx_in_size = sizeof(ctx);
			run.ctx_out_size = sizeof(out);
		}
		note_word(prog_run(fd, &run));
		note_word(run.retval);
		note(out.cb, sizeof(out.cb));
		note_ring(&ring);
	}
	close(fd);
	ring_close(&ring);
}

/* A record is memory for helpers. */
static void as_memory(void)
{
	struct ring ring = ring_open(RING), other = ring_open(RING);
	int fd;

	E(MOV_REG(R6, R1));
	reserve(&ring, 48);
	E(MOV_REG(R7, R0), ST(BPF_DW, R7, 0, 0x77), ST(BPF_DW, R7, 8, 0x88));
	E(MOV_REG(R1, R6), MOV_IMM(R2, 0), MOV_REG(R3, R7), ALU64_IMM(BPF_ADD, R3, 16),
	  MOV_IMM(R4, 32));
	if (same_type == &xdp)
		E(CALL(xdp_load_bytes));
	else
		E(CALL(skb_load_bytes));
	E(LD_MAP_FD(R1, other.map), MOV_REG(R2, R7), MOV_IMM(R3, 48), MOV_IMM(R4, 0),
	  CALL(ringbuf_output));
	E(LD_MAP_FD(R1, ring.map), MOV_IMM(R2, BPF_RB_AVAIL_DATA), CALL(ringbuf_query),
	  STX(BPF_DW, R7, R0, 8), MOV_REG(R1, R7));
	submit(0);
	end();
	fd = built();
	runs(fd, 3);
	note_ring(&ring);
	note_ring(&other);
	close(fd);
	ring_close(&ring);
	ring_close(&other);
}

/* What no ring has */
static void refused(void)
{
	static const struct { u64 size; u32 flags; } bad[] = {
		{ 8, 1 }, { RING, 0 }, { RING - HEADER + 1, 0 }, { 1ULL << 32 | 8, 0 },
		{ 0x40000000, 0 }, { 0xffffffff, 0 }, { -8ULL, 0 },
	};
	struct ring ring = ring_open(RING);

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		int fd;

		E(LD_MAP_FD(R1, ring.map), LD_IMM64(R2, bad[i].size), MOV_IMM(R3, bad[i].flags),
		  CALL(ringbuf_reserve), JMP_IMM(BPF_JNE, R0, 0, 2), MOV_IMM(R0, 7), EXIT(),
		  MOV_REG(R1, R0));
		submit(0);
		end();
		fd = built();
		runs(fd, 3);
		close(fd);
	}
	note_ring(&ring);
	ring_close(&ring);
}

static void in_a_map(void)
{
	struct ring ring = ring_open(RING);
	int outer = ring_in_map(&ring), fd;

	E(ST(BPF_W, R10, -4, 1), LD_MAP_FD(R1, outer), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -4),
	  CALL(map_lookup_elem), JMP_IMM(BPF_JNE, R0, 0, 2), MOV_IMM(R0, 5), EXIT(),
	  MOV_REG(R1, R0), MOV_IMM(R2, 40), MOV_IMM(R3, 0), CALL(ringbuf_reserve),
	  JMP_IMM(BPF_JNE, R0, 0, 2), MOV_IMM(R0, 7), EXIT(),
	  ST(BPF_DW, R0, 32, 99), MOV_REG(R1, R0));
	submit(0);
	end();
	fd = built();
	runs(fd, 4);
	note_ring(&ring);
	close(fd);
	close(outer);
	ring_close(&ring);
}

/* Four in the course of a run that holds one itself, each reserved where a helper calls. */
static void in_callbacks(void)
{
	struct ring ring = ring_open(RING);
	int fd;

	reserve(&ring, 16);
	E(MOV_REG(R6, R0), MOV_IMM(R1, 4));
	emit_function(R2, 1);
	E(MOV_IMM(R3, 0), MOV_IMM(R4, 0), CALL(loop), STX(BPF_DW, R6, R0, 8), MOV_REG(R1, R6));
	submit(0);
	end();
	begin_function(1);
	E(MOV_REG(R6, R1), LD_MAP_FD(R1, ring.map), MOV_IMM(R2, 24), MOV_IMM(R3, 0),
	  CALL(ringbuf_reserve), JMP_IMM(BPF_JNE, R0, 0, 2), MOV_IMM(R0, 1), EXIT(),
	  STX(BPF_DW, R0, R6, 8), MOV_REG(R1, R0), JMP_IMM(BPF_JEQ, R6, 2, 3));
	submit(0);
	E(JMP_IMM(BPF_JA, R0, 0, 2), MOV_IMM(R2, 0), CALL(ringbuf_discard), MOV_IMM(R0, 0),
	  EXIT());
	fd = built();
	notes_runs(fd, &ring, 8);
	close(fd);
	ring_close(&ring);
}

static const struct same_case cases[] = {
	{ "sizes from 0 to all of a ring", sizes },
	{ "a ring that is full", full },
	{ "what was in a record before", old_contents },
	{ "flags, and who is woken", flags },
	{ "several at once, out of order", several },
	{ "two at once, in any order", two },
	{ "a context that is written, too", with_a_context },
	{ "a record given to helpers", as_memory },
	{ "what is never had", refused },
	{ "a ring in a map", in_a_map },
	{ "records of callbacks", in_callbacks },
};

int main(void)
{
	static const int levels[] = { 2, 0 };

	return same_at(levels, cases, ARRAY_SIZE(cases));
}
