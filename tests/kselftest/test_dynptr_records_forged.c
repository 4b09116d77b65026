// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,0 timeout=240 */
/*
 * What becomes of a ring buffer, and of who reads it, if a program writes dynptrs of it itself?
 *
 * No verifier looked at these programs: they give back what they do not have, or have given
 * back, keep what they have, and say that it is larger.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "dynptrs.h"

#define RING 4096

static struct ring ring;
static u64 data;	/* kernel memory with canaries */

static bool is_changed(struct run *run, const void *before)
{
	return canary("data") != *(const u64 *)before;
}

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

static void begin(void)
{
	canary_reset();
	cnt = 0;
}

static void begin_ring(void)
{
	ring = ring_open(RING);
	begin();
}

static void end_ring(const char *what, s64 given_back)
{
	if (level) {
		ok(ring_gets_on(&ring), "%d: %s: the consumer gets on", level, what);
		ok(moat_counter("given_back") == given_back, "%d: %s: %ld given back", level, what,
		   moat_counter("given_back"));
	}
	ring_close(&ring);
}

/* Its dynptr is to be where the kernel has something else. */
static void elsewhere(void)
{
	const char *what = "a dynptr of a ring is put into kernel memory";
	s64 given = moat_counter("given_back");
	u64 least = 16 + HEADER, before;

	begin_ring();
	before = canary("data");
	E(LD_MAP_FD(R1, ring.map), MOV_IMM(R2, 16), MOV_IMM(R3, 0), LD_IMM64(R4, data),
	  CALL(ringbuf_reserve_dynptr), FINISH(&xdp));
	attack(&(struct attack){ &xdp, "rogue_reserve", "ringbuf_reserve_dynptr", 0, is_changed,
				 &before, what }, insns, cnt);
	if (level)
		ok(!has_moved(NULL, &least), "%d: nothing was reserved", level);
	end_ring(what, given);
}

static void forged_record(void)
{
	const char *what = "a dynptr for no record is submitted";
	s64 given = moat_counter("given_back");
	u64 before;

	begin_ring();
	/* At other levels that would be an offence already: a page offset of 0. */
	E(LD_IMM64(R6, data), level ? MOV_IMM(R7, 0) : ST(BPF_W, R6, 4, 0),
	  FORGE(data + HEADER, 16 | OF_RING, 0), GIVE_BACK(ringbuf_submit_dynptr, 16), FINISH(&xdp));
	before = canary("data") & (level ? -1ULL : 0xffffffff);
	attack(&(struct attack){ &xdp, "rogue_submit", "ringbuf_submit_dynptr", 0, is_changed,
				 &before, what }, insns, cnt);
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
		E(RESERVE(ring.map, 16, 16), COPY_DYNPTR(16, 32));
		if (i == 1)
			E(GIVE_BACK(ringbuf_discard_dynptr, 16));
		else
			E(GIVE_BACK(ringbuf_submit_dynptr, 16));
		E(COPY_DYNPTR(32, 16));
		if (i == 2)
			E(GIVE_BACK(ringbuf_discard_dynptr, 16));
		else
			E(GIVE_BACK(ringbuf_submit_dynptr, 16));
		E(FINISH(&sched_cls));
		attack(&(struct attack){ &sched_cls, "rogue_twice",
					 i == 2 ? "ringbuf_discard_dynptr" : "ringbuf_submit_dynptr",
					 0, is_busy, &first, what[i] }, insns, cnt);
		end_ring(what[i], given);
	}
}

/* By its address, and then by its dynptr */
static void both_ways(void)
{
	const char *what = "a record is submitted by its address, too";
	s64 given = moat_counter("given_back");
	u64 first = 0;

	begin_ring();
	E(RESERVE(ring.map, 16, 16), LDX(BPF_DW, R1, R10, -16), MOV_IMM(R2, 0),
	  CALL(ringbuf_submit), GIVE_BACK(ringbuf_submit_dynptr, 16), FINISH(&xdp));
	attack(&(struct attack){ &xdp, "rogue_both", "ringbuf_submit_dynptr", 0, is_busy, &first,
				 what }, insns, cnt);
	end_ring(what, given);
}

/* A plain program keeps one, and tells another where it is. */
static void of_another(void)
{
	const char *what = "another program's record is submitted";
	s64 given = moat_counter("given_back");
	int now = level, keeper;
	u64 first = 0, where;

	begin_ring();
	loot_clear();
	E(RESERVE(ring.map, 16, 16), LDX(BPF_DW, R3, R10, -16), TAKE_R3(), FINISH(&xdp));
	moat_set_level(0);
	keeper = load(&xdp, "keeper", insns, cnt);
	prog_run_once(keeper);
	where = loot_at(0);
	moat_set_level(now);
	ok(where && is_busy(NULL, &first), "%d: a record is kept", level);

	begin();
	E(FORGE(where, 16 | OF_RING, 0), GIVE_BACK(ringbuf_submit_dynptr, 16), FINISH(&xdp));
	attack(&(struct attack){ &xdp, "rogue_thief", "ringbuf_submit_dynptr", 0, is_free, &first,
				 what }, insns, cnt);
	if (level)
		ok(moat_counter("given_back") == given, "%d: %s: nothing given back", level, what);
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
	E(LD_IMM64(R1, addr), MOV_IMM(R2, 16), MOV_IMM(R3, 0), ADDRESS(R4, R10, -16),
	  CALL(ringbuf_reserve_dynptr), FINISH(&socket_filter));
	attack(&(struct attack){ &socket_filter, "rogue_ring", "ringbuf_reserve_dynptr", 0,
				 has_moved, &least, what }, insns, cnt);
	end_ring(what, given);
}

/* More than the verifier has seen before it gave up */
static void too_many(void)
{
	s64 given = moat_counter("given_back");
	u64 least = 2 * (16 + HEADER);
	const char *what = "two records where one was seen";

	begin_ring();
	E(RESERVE(ring.map, 16, 16), MOV_REG(R7, R8), RESERVE(ring.map, 16, 32), FINISH(&xdp));
	attack(&(struct attack){ &xdp, "rogue_many", "ringbuf_reserve_dynptr", 0, has_moved, &least,
				 what }, insns, cnt);
	end_ring(what, given + 1);
}

/*
 * Two records, one behind the other, and then what @more does to the first: plainly it gets at
 * what is not its own any more, or never was; isolated, at a place in its slot.
 */
static void beyond(const char *what, const struct bpf_insn *more, int n, u64 pos, u32 want)
{
	s64 given = moat_counter("given_back");
	struct run run;
	u32 got;
	int fd;

	begin_ring();
	E(RESERVE(ring.map, 16, 16), RESERVE(ring.map, 16, 32), COPY_DYNPTR(16, 96),
	  LDX(BPF_DW, R6, R10, -16), JMP_IMM(BPF_JEQ, R6, 0, n));
	emit(more, n);
	E(GIVE_BACK(ringbuf_submit_dynptr, 16), GIVE_BACK(ringbuf_submit_dynptr, 32),
	  MOV_IMM(R0, 2), EXIT());
	fd = load(&xdp, "rogue_beyond", insns, cnt);
	run_packet(&run, 64);
	prog_run(fd, &run);
	got = *(u32 *)&ring.data[pos];
	if (!ok((got == want) == !!level && (!level || run.retval == 2), "%d: %s: %s", level, what,
		level ? "the ring is what it was" : "succeeds"))
		diag("verdict %u, %x", run.retval, got);
	close(fd);
	end_ring(what, given);
}

static void not_its_own_any_more(void)
{
	const struct bpf_insn by_hand[] = { ST(BPF_W, R6, 16, 0xbad) };
	const struct bpf_insn by_helper[] = {
		ST(BPF_W, R10, -8, (s32)(OF_RING | 0xffff)), WRITE_SOME(16, 4),
	};
	const struct bpf_insn later[] = {
		GIVE_BACK(ringbuf_submit_dynptr, 16), COPY_DYNPTR(96, 16), WRITE_PART(0),
		ST(BPF_DW, R10, -16, 0),
	};
	const struct bpf_insn later_by_hand[] = {
		GIVE_BACK(ringbuf_submit_dynptr, 16), ST(BPF_W, R6, 0, 0xbad),
	};

	beyond("a program writes past a record", by_hand, ARRAY_SIZE(by_hand), 16 + HEADER, 16);
	beyond("dynptr_write does so", by_helper, ARRAY_SIZE(by_helper), 16 + HEADER, 16);
	beyond("a record that was submitted is written by its dynptr", later, ARRAY_SIZE(later),
	       HEADER, 0);
	beyond("a part of a record is written when that was submitted", later_by_hand,
	       ARRAY_SIZE(later_by_hand), HEADER, 0);
}

/* How a run ends that holds two records, of which neither is given back. */
static void kept(const char *how, const struct bpf_insn *more, int n, const char *said)
{
	s64 given = moat_counter("given_back");
	u64 first = 0, second = 24 + HEADER;
	struct run run;
	int fd;

	begin_ring();
	E(MOV_REG(R8, R1), RESERVE(ring.map, 24, 16), RESERVE(ring.map, 8, 32));
	emit(more, n);
	E(MOV_IMM(R0, 2), EXIT());
	fd = load(&xdp, "rogue_keeps", insns, cnt);
	run_packet(&run, 64);
	kmsg_mark();
	prog_run(fd, &run);
	if (level == 0) {
		ok(run.retval == 2 && is_busy(NULL, &first) && is_busy(NULL, &second) &&
		   !ring_gets_on(&ring), "0: %s: the ring stands still", how);
		ring_close(&ring);
	} else {
		const char *line = kmsg_stopped(fd, "rogue_keeps");

		diag("%s", line ?: "nothing in the log");
		ok(run.retval == xdp.safe && line && strstr(line, said), "%d: %s: stopped", level,
		   how);
		ok(ring_header(&ring, first) == (24 | DISCARDED) &&
		   ring_header(&ring, second) == (8 | DISCARDED), "%d: %s: both discarded", level,
		   how);
		end_ring(how, given + 2);
	}
	close(fd);
}

static void kept_on(void)
{
	const struct bpf_insn nothing[] = { MOV_IMM(R1, 0) };
	const struct bpf_insn overwrites[] = { ST(BPF_DW, R10, -16, 0), ST(BPF_DW, R10, -32, 0) };
	const struct bpf_insn asks[] = { FORGE(data, 8, 0), READ_PART(0) };
	const struct bpf_insn for_ever[] = { JMP_IMM(BPF_JNE, R10, 0, -1) };
	const struct bpf_insn pass[] = { MOV_IMM(R0, 2), EXIT() };
	int array = map_create(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 1), next = load(&xdp, "next", pass, 2);
	const struct bpf_insn goes_on[] = {
		MOV_REG(R1, R8), LD_MAP_FD(R2, array), MOV_IMM(R3, 0), CALL(tail_call),
	};
	u32 zero = 0;
	int budget;

	if (array < 0 || map_update(array, &zero, &next))
		bail("array of programs: %s", strerror(errno));
	kept("two are held at a tail call", goes_on, ARRAY_SIZE(goes_on), "came to its end with 2");
	close(array);
	close(next);
	kept("two are held at the end", nothing, ARRAY_SIZE(nothing), "came to its end with 2");
	kept("two are held, and their dynptrs gone", overwrites, ARRAY_SIZE(overwrites),
	     "came to its end with 2");
	kept("two are held at a bad call", asks, ARRAY_SIZE(asks), "dynptr_read argument 3");
	if (level == 0)
		return;
	budget = moat_set_budget(1);
	kept("two are held for ever", for_ever, ARRAY_SIZE(for_ever), "ran too long");
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
	E(RESERVE(ring.map, 24, 16), MOV_IMM(R0, 0), EXIT());
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
		   "%d: %s: stopped", level, how);
		end_ring(how, given + 1);
	}
	close(fd);
}

static void attacks(void)
{
	data = target("data");
	elsewhere();
	forged_record();
	twice();
	both_ways();
	of_another();
	foreign_ring();
	too_many();
	not_its_own_any_more();
	kept_on();
	kept_by_a_callback();
}

int main(void)
{
	return at_all_levels(attacks);
}
