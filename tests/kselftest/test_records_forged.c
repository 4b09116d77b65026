// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,0 timeout=120 */
/*
 * What becomes of a ring buffer, and of who reads it, if a program that no verifier
 * looked at gives back what it does not have, keeps what it has, or writes past it?
 *
 * A record that nobody gives back is busy for ever, and so is the ring behind it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "attack.h"
#include "build.h"
#include "records.h"

#define RING 4096

static struct ring ring;

/* R0 = a record of @size bytes */
#define RESERVE(MAP, SIZE) \
	LD_MAP_FD(R1, MAP), MOV_IMM(R2, SIZE), MOV_IMM(R3, 0), CALL(ringbuf_reserve)
#define GIVE_BACK(HELPER, FROM) \
	MOV_REG(R1, FROM), MOV_IMM(R2, BPF_RB_NO_WAKEUP), CALL(HELPER)

static bool is_busy(struct run *run, const void *pos)
{
	return ring_header(&ring, *(const u64 *)pos) & BUSY;
}

static bool is_free(struct run *run, const void *pos)
{
	return !is_busy(run, pos);
}

static bool has_moved(struct run *run, const void *pos)
{
	return *ring.producer >= *(const u64 *)pos;
}

static bool changed(struct run *run, const void *before)
{
	u32 was = *(const u64 *)before;

	return (u32)canary("data") == (was ^ BUSY);
}

/* What is left at level 2 is nothing; at level 0 it is, and the ring is given up. */
static void begin_ring(void)
{
	ring = ring_open(RING);
	cnt = 0;
}

static void end_ring(const char *what, s64 given_back)
{
	if (level) {
		ok(ring_gets_on(&ring), "2: %s: the consumer gets on", what);
		ok(moat_counter("given_back") == given_back, "2: %s: %ld given back", what,
		   moat_counter("given_back"));
	}
	ring_close(&ring);
}

static void forged(void)
{
	u64 data = target("data"), before;
	s64 given = moat_counter("given_back");
	const char *what = "an address that is no record is submitted";

	begin_ring();
	canary_reset();
	before = canary("data");
	/* At level 2 that would be an offence already: a page offset of 0. */
	E(LD_IMM64(R6, data), level ? MOV_IMM(R7, 0) : ST(BPF_W, R6, 4, 0),
	  ALU64_IMM(BPF_ADD, R6, HEADER), GIVE_BACK(ringbuf_submit, R6), FINISH(&xdp));
	attack(&(struct attack){ &xdp, "rogue_submit", "ringbuf_submit", 0, changed, &before,
				 what }, insns, cnt);
	end_ring(what, given);
}

/* One that was its own until just now */
static void twice(void)
{
	static const char *const what[] = {
		"a record is submitted twice", "a record is submitted after it was discarded",
		"a record is discarded after it was submitted",
	};
	u64 first = 0;

	for (int i = 0; i < 3; i++) {
		s64 given = moat_counter("given_back");

		begin_ring();
		E(RESERVE(ring.map, 16), MOV_REG(R6, R0));
		if (i == 1)
			E(GIVE_BACK(ringbuf_discard, R6));
		else
			E(GIVE_BACK(ringbuf_submit, R6));
		if (i == 2)
			E(GIVE_BACK(ringbuf_discard, R6));
		else
			E(GIVE_BACK(ringbuf_submit, R6));
		E(FINISH(&sched_cls));
		attack(&(struct attack){ &sched_cls, "rogue_twice",
					 i == 2 ? "ringbuf_discard" : "ringbuf_submit", 0, is_busy,
					 &first, what[i] }, insns, cnt);
		end_ring(what[i], given);
	}
}

/*
 * A record that was all the run held is listed when another call asks for that: it has one
 * name, whoever looks.
 */
static void twice_and_listed(void)
{
	static const struct {
		const char *what;
		u32 other;	/* the size of another one */
		bool back;	/* which is discarded first */
		u32 left;	/* how many are held at the second attempt */
	} cases[] = {
		{ "submitted twice beside another", 16, false, 1 },
		{ "submitted twice after another", 16, true, 0 },
		{ "submitted twice after none was had", 0x40000000, false, 0 },
	};
	u64 first = 0;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		s64 given = moat_counter("given_back");

		begin_ring();
		E(RESERVE(ring.map, 16), MOV_REG(R6, R0));
		/* The verifier is not to see what nobody could make room for. */
		if (cases[i].other > RING)
			E(MOV_REG(R7, R8));
		E(RESERVE(ring.map, cases[i].other));
		if (cases[i].back)
			E(JMP_IMM(BPF_JEQ, R0, 0, 3), GIVE_BACK(ringbuf_discard, R0));
		E(GIVE_BACK(ringbuf_submit, R6), GIVE_BACK(ringbuf_submit, R6),
		  FINISH(&sched_cls));
		attack(&(struct attack){ &sched_cls, "rogue_listed", "ringbuf_submit", 0, is_busy,
					 &first, cases[i].what }, insns, cnt);
		end_ring(cases[i].what, given + cases[i].left);
	}
}

/* A plain program keeps one, and tells another where it is. */
static void of_another(void)
{
	const char *what = "another program's record is submitted";
	s64 given = moat_counter("given_back");
	int now = level, keeper;
	u64 first = 0, where;
	struct run run;

	begin_ring();
	loot_clear();
	E(RESERVE(ring.map, 16), MOV_REG(R3, R0), TAKE_R3(), FINISH(&xdp));
	moat_set_level(0);
	keeper = load(&xdp, "keeper", insns, cnt);
	run_packet(&run, 64);
	prog_run(keeper, &run);
	where = loot_at(0);
	moat_set_level(now);
	ok(where && is_busy(NULL, &first), "%d: a record is kept", level);

	cnt = 0;
	E(LD_IMM64(R6, where), GIVE_BACK(ringbuf_submit, R6), FINISH(&xdp));
	attack(&(struct attack){ &xdp, "rogue_thief", "ringbuf_submit", 0, is_free, &first, what },
	       insns, cnt);
	if (level)
		ok(moat_counter("given_back") == given, "2: %s: nothing given back", what);
	close(keeper);
	ring_close(&ring);
}

static void foreign_ring(void)
{
	const char *what = "a record of a ring of others is reserved";
	s64 given = moat_counter("given_back");
	u64 least = 16 + HEADER, addr;

	begin_ring();
	addr = map_address(ring.map);
	E(LD_IMM64(R1, addr), MOV_IMM(R2, 16), MOV_IMM(R3, 0), CALL(ringbuf_reserve),
	  FINISH(&socket_filter));
	attack(&(struct attack){ &socket_filter, "rogue_ring", "ringbuf_reserve", 0, has_moved,
				 &least, what }, insns, cnt);
	end_ring(what, given);
}

/* More, and larger ones, than the verifier has seen before it gave up */
static void too_much(void)
{
	s64 given = moat_counter("given_back");
	u64 least = 2 * (16 + HEADER);
	const char *what = "two records where one was seen";

	begin_ring();
	E(RESERVE(ring.map, 16), MOV_REG(R6, R0), MOV_REG(R7, R8), RESERVE(ring.map, 16),
	  FINISH(&xdp));
	attack(&(struct attack){ &xdp, "rogue_many", "ringbuf_reserve", 0, has_moved, &least,
				 what }, insns, cnt);
	end_ring(what, given + 1);

	given = moat_counter("given_back");
	least = 1024;
	what = "a record larger than was seen";
	begin_ring();
	E(RESERVE(ring.map, 16), GIVE_BACK(ringbuf_discard, R0), MOV_REG(R7, R8),
	  RESERVE(ring.map, 1024), FINISH(&xdp));
	attack(&(struct attack){ &xdp, "rogue_large", "ringbuf_reserve", 0, has_moved, &least,
				 what }, insns, cnt);
	end_ring(what, given);
}

/* The header of the next one lies behind it, if the record is the ring's own. */
static void past_the_end(void)
{
	s64 given = moat_counter("given_back");
	struct run run;
	u32 header;
	int fd;

	begin_ring();
	E(RESERVE(ring.map, 16), JMP_IMM(BPF_JNE, R0, 0, 1), EXIT(), MOV_REG(R6, R0),
	  RESERVE(ring.map, 16), JMP_IMM(BPF_JNE, R0, 0, 4), GIVE_BACK(ringbuf_discard, R6),
	  EXIT(), MOV_REG(R7, R0), ST(BPF_DW, R7, 0, 0x77), ST(BPF_W, R6, 16, 0xbad),
	  GIVE_BACK(ringbuf_submit, R6), GIVE_BACK(ringbuf_submit, R7), MOV_IMM(R0, 2), EXIT());
	fd = load(&xdp, "rogue_past", insns, cnt);
	run_packet(&run, 64);
	prog_run(fd, &run);
	header = ring_header(&ring, 16 + HEADER);
	if (level == 0)
		ok(header != 16, "0: a program writes past a record: succeeds, a header is %x",
		   header);
	else
		ok(header == 16 && ring_header(&ring, 0) == 16,
		   "2: a program writes past a record: headers are what they were");
	close(fd);
	end_ring("a program writes past a record", given);
}

/* How a run of @t ends that holds @nr records, of which none is given back. */
static void kept(const struct prog_type *t, u32 nr, const char *when, const struct bpf_insn *more,
		 int n, const char *said)
{
	s64 given = moat_counter("given_back");
	u64 first = 0, second = 24 + HEADER;
	bool two = nr == 2;
	char how[64];
	struct run run;
	int fd;

	snprintf(how, sizeof(how), "%s: %u held at %s", t->name, nr, when);
	begin_ring();
	E(MOV_REG(R8, R1));
	/* Something is to be stored at the end of the run, too. */
	if (t == &sched_cls)
		E(MOV_IMM(R2, 1), STX(BPF_W, R1, R2, offsetof(struct __sk_buff, cb[0])));
	E(RESERVE(ring.map, 24), JMP_IMM(BPF_JNE, R0, 0, 1), EXIT(), MOV_REG(R6, R0),
	  ST(BPF_DW, R6, 0, 0x5ec));
	if (two)
		E(RESERVE(ring.map, 8), JMP_IMM(BPF_JNE, R0, 0, 4), GIVE_BACK(ringbuf_discard, R6),
		  EXIT(), MOV_REG(R7, R0));
	emit(more, n);
	E(MOV_IMM(R0, t->pass), EXIT());
	fd = load(t, "rogue_keeps", insns, cnt);
	run_packet(&run, 64);
	kmsg_mark();
	prog_run(fd, &run);
	if (level == 0) {
		ok(run.retval == t->pass && is_busy(NULL, &first) &&
		   (!two || is_busy(NULL, &second)) && !ring_gets_on(&ring),
		   "0: %s: the ring stands still", how);
		ring_close(&ring);
	} else {
		const char *line = kmsg_stopped(fd, "rogue_keeps");

		diag("%s", line ?: "nothing in the log");
		ok(run.retval == t->safe && line && strstr(line, said), "2: %s: stopped", how);
		ok(ring_header(&ring, first) == (24 | DISCARDED) &&
		   (!two || ring_header(&ring, second) == (8 | DISCARDED)),
		   "2: %s: discarded", how);
		end_ring(how, given + nr);
	}
	close(fd);
}

static void kept_on(const struct prog_type *t, u32 nr)
{
	const char *end = nr == 2 ? "came to its end with 2" : "came to its end with 1";
	u64 data = target("data");
	const struct bpf_insn writes[] = { LD_IMM64(R1, data), ST(BPF_DW, R1, 0, 1) };
	const struct bpf_insn nothing[] = { MOV_IMM(R1, 0) };
	const struct bpf_insn asks[] = { GIVE_BACK(ringbuf_submit, R10) };
	const struct bpf_insn for_ever[] = { JMP_IMM(BPF_JNE, R10, 0, -1) };

	const struct bpf_insn pass[] = { MOV_IMM(R0, t->pass), EXIT() };
	int array = map_create(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 1), next = load(t, "next", pass, 2);
	const struct bpf_insn goes_on[] = {
		MOV_REG(R1, R8), LD_MAP_FD(R2, array), MOV_IMM(R3, 0), CALL(tail_call),
	};
	u32 zero = 0;
	int budget;

	if (array < 0 || map_update(array, &zero, &next))
		bail("array of programs: %s", strerror(errno));
	kept(t, nr, "a tail call", goes_on, ARRAY_SIZE(goes_on), end);
	close(array);
	close(next);
	kept(t, nr, "a fault", writes, ARRAY_SIZE(writes), "write of ");
	kept(t, nr, "the end", nothing, ARRAY_SIZE(nothing), end);
	canary_reset();
	if (level == 0)
		return;
	kept(t, nr, "a bad call", asks, ARRAY_SIZE(asks), "ringbuf_submit argument 1");
	budget = moat_set_budget(1);
	kept(t, nr, "a stop by the clock", for_ever, ARRAY_SIZE(for_ever), "ran too long");
	moat_set_budget(budget);
}

/* A callback keeps one: the run's, once the helper has returned. */
static void kept_by_a_callback(void)
{
	const char *how = "a callback keeps a record";
	s64 given = moat_counter("given_back");
	u64 first = 0;
	struct run run;
	int fd;

	begin_ring();
	E(MOV_IMM(R1, 1));
	emit_function(R2, 1);
	E(MOV_IMM(R3, 0), MOV_IMM(R4, 0), CALL(loop), MOV_IMM(R0, 2), EXIT());
	begin_function(1);
	E(RESERVE(ring.map, 24), MOV_IMM(R0, 0), EXIT());
	fd = load(&xdp, "rogue_keeps", insns, cnt);
	run_packet(&run, 64);
	kmsg_mark();
	prog_run(fd, &run);
	if (level == 0) {
		ok(run.retval == 2 && is_busy(NULL, &first) && !ring_gets_on(&ring),
		   "0: %s: the ring stands still", how);
		ring_close(&ring);
	} else {
		const char *line = kmsg_stopped(fd, "rogue_keeps");

		ok(run.retval == xdp.safe && line && strstr(line, "came to its end with 1"),
		   "2: %s: stopped", how);
		end_ring(how, given + 1);
	}
	close(fd);
}

static void attacks(void)
{
	forged();
	twice();
	twice_and_listed();
	of_another();
	foreign_ring();
	too_much();
	past_the_end();
	kept_on(&xdp, 2);
	kept_on(&xdp, 1);
	kept_on(&sched_cls, 1);
	kept_by_a_callback();
}

int main(void)
{
	return at_each_level(attacks);
}
