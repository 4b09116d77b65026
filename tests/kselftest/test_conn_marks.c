// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 keys=13,0 timeout=180 */
/*
 * Is what programs store to the mark of a connection there for others at once, and nothing
 * else? Do they go on as if it were a store? What if two CPUs store to one mark?
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>
#include "attack.h"
#include "build.h"
#include "conns.h"
#include "locks.h"

#define TO	80
#define ROUNDS	40
#define REPEAT	100

static const struct prog_type *const types[] = { &xdp, &sched_cls };

/* R7 = the entry from port @from, which there is, once more if there is one already */
static void get(const struct prog_type *t, u16 from)
{
	conn_ask(t, CT_LOOKUP, from, TO);
	need_conn(R0);
	E(MOV_REG(R7, R0));
}

/* @word is the mark that the program has, and @word + 1 what the kernel has: it asks again. */
static void note_mark(const struct prog_type *t, u16 from, int word)
{
	E(LDX(BPF_W, R2, R7, conn_offset(CT_MARK)));
	note(word, R2);
	conn_ask(t, CT_LOOKUP, from, TO);
	E(JMP_IMM(BPF_JNE, R0, 0, 4));
	conn_release(t, R7);
	E(MOV_IMM(R0, 9), EXIT(), MOV_REG(R9, R0), LDX(BPF_W, R2, R9, conn_offset(CT_MARK)));
	note(word + 1, R2);
	conn_release(t, R9);
}

static void stores(const struct prog_type *t)
{
	static const char what[] = "the mark is set, all of it and parts, and by other pointers";
	static const u32 want[] = { 0x11223344, 0x11220055, 0x11220077, 0x88776699, 0x88770012 };
	u16 from = 1000 + (t != &xdp);
	u64 addr = conn_make(from, TO, 600000);
	bool good = true;

	cnt = 0;
	E(MOV_REG(R6, R1));
	get(t, from);
	E(MOV_IMM(R2, 0x11223344), STX(BPF_W, R7, R2, conn_offset(CT_MARK)));
	note_mark(t, from, 0);
	E(MOV_IMM(R2, 0x7fff0055), STX(BPF_H, R7, R2, conn_offset(CT_MARK)));
	note_mark(t, from, 2);
	E(MOV_IMM(R2, 0x7fffff77), STX(BPF_B, R7, R2, conn_offset(CT_MARK)));
	note_mark(t, from, 4);
	E(MOV_REG(R2, R7), ALU64_IMM(BPF_ADD, R2, 8),
	  ST(BPF_W, R2, conn_offset(CT_MARK) - 8, 0x88776699));
	note_mark(t, from, 6);
	E(MOV_REG(R2, R7), ALU64_IMM(BPF_ADD, R2, conn_offset(CT_MARK)), ST(BPF_H, R2, 0, 0x12));
	note_mark(t, from, 8);
	conn_release(t, R7);
	E(MOV_IMM(R0, t->pass), EXIT());
	runs(t, what);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		good &= noted[2 * i] == want[i] && noted[2 * i + 1] == want[i];
	ok(good, "%d: %s: it has them, and so has the kernel", level, t->name);
	same_as(0, t, what);
	ok(conn_field(addr, CT_MARK) == want[4], "%d: %s: after it, too", level, t->name);
	conn_expire(from, TO);
}

/* All registers, and a stack that is full, before and behind a store */
static void all_else(const struct prog_type *t)
{
	static const char what[] = "a store leaves all else alone";
	s16 mark = conn_offset(CT_MARK);
	u16 from = 2000 + (t != &xdp);
	u64 addr = conn_make(from, TO, 600000);

	cnt = 0;
	E(MOV_REG(R6, R1));
	for (int off = -512; off < -48; off += 8)
		E(ST(BPF_DW, R10, off, off));
	get(t, from);
	E(MOV_IMM(R0, 1), MOV_IMM(R1, 2), MOV_REG(R2, R7), MOV_IMM(R3, 3), MOV_IMM(R4, 5),
	  MOV_IMM(R5, 8), MOV_IMM(R6, 13), MOV_IMM(R8, 21), MOV_IMM(R9, 34),
	  STX(BPF_W, R2, R5, mark), STX(BPF_W, R2, R0, mark), STX(BPF_W, R2, R4, mark),
	  ALU64_IMM(BPF_MUL, R9, 100), ALU64_REG(BPF_ADD, R9, R0), ALU64_IMM(BPF_MUL, R9, 100),
	  ALU64_REG(BPF_ADD, R9, R1), ALU64_IMM(BPF_MUL, R9, 100), ALU64_REG(BPF_ADD, R9, R3),
	  ALU64_IMM(BPF_MUL, R9, 100), ALU64_REG(BPF_ADD, R9, R4), ALU64_IMM(BPF_MUL, R9, 100),
	  ALU64_REG(BPF_ADD, R9, R5), ALU64_IMM(BPF_MUL, R9, 100), ALU64_REG(BPF_ADD, R9, R6),
	  ALU64_IMM(BPF_MUL, R9, 100), ALU64_REG(BPF_ADD, R9, R8),
	  LDX(BPF_W, R8, R2, mark), MOV_IMM(R6, 0), JMP_REG(BPF_JEQ, R2, R7, 1), MOV_IMM(R6, 1));
	note(0, R9);
	note(1, R8);
	note(2, R6);
	conn_release(t, R7);
	E(MOV_IMM(R8, 0));
	for (int off = -512; off < -48; off += 8)
		E(LDX(BPF_DW, R2, R10, off), ALU64_REG(BPF_ADD, R8, R2));
	note(3, R8);
	E(MOV_IMM(R0, t->pass), EXIT());
	runs(t, what);
	ok(noted[0] == 3401020305081321 && noted[1] == 5 && !noted[2] &&
	   noted[3] == (u64)-16472, "%d: %s: they are what they were", level, t->name);
	same_as(1, t, what);
	ok(conn_field(addr, CT_MARK) == 5, "%d: %s: the last one counts", level, t->name);
	conn_expire(from, TO);
}

/* One that is not in the tracker's table yet */
static void new_ones(const struct prog_type *t)
{
	static const char what[] = "the mark of a new connection is set";
	u16 from = 3000 + (t != &xdp);

	cnt = 0;
	E(MOV_REG(R6, R1));
	conn_ask(t, CT_ALLOC, from, TO);
	need_conn(R0);
	E(MOV_REG(R7, R0), ST(BPF_W, R7, conn_offset(CT_MARK), 77), MOV_REG(R1, R7),
	  MOV_IMM(R2, 100000), conn_call(t, CT_SET_TIMEOUT),
	  LDX(BPF_W, R8, R7, conn_offset(CT_MARK)), MOV_REG(R1, R7), conn_call(t, CT_INSERT));
	need_conn(R0);
	E(MOV_REG(R7, R0));
	note(0, R8);
	note_mark(t, from, 1);
	E(ST(BPF_W, R7, conn_offset(CT_MARK), 78));
	note_mark(t, from, 3);
	conn_release(t, R7);
	E(MOV_IMM(R0, t->pass), EXIT());
	runs(t, what);
	ok(noted[0] == 77 && noted[1] == 77 && noted[2] == 77 && noted[3] == 78 && noted[4] == 78,
	   "%d: %s: it is", level, t->name);
	same_as(2, t, what);
	conn_expire(from, TO);
}

/* A function that a helper calls, with a stack of its own */
static void in_callback(const struct prog_type *t)
{
	static const char what[] = "a function that a helper calls sets the mark";
	u16 from = 4000 + (t != &xdp);
	u64 addr = conn_make(from, TO, 600000);

	cnt = 0;
	E(MOV_REG(R6, R1), STX(BPF_DW, R10, R6, -40), LD_MAP_FD(R1, notes));
	emit_function(R2, 1);
	E(MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -40), MOV_IMM(R4, 0), CALL(for_each_map_elem));
	get(t, from);
	note_mark(t, from, 1);
	conn_release(t, R7);
	E(MOV_IMM(R0, t->pass), EXIT());
	begin_function(1);
	E(LDX(BPF_DW, R6, R4, 0), MOV_REG(R8, R3));
	conn_ask(t, CT_LOOKUP, from, TO);
	E(JMP_IMM(BPF_JNE, R0, 0, 2), MOV_IMM(R0, 0), EXIT(), MOV_REG(R7, R0), MOV_IMM(R2, 99),
	  STX(BPF_W, R7, R2, conn_offset(CT_MARK)), STX(BPF_DW, R8, R2, 0));
	conn_release(t, R7);
	E(MOV_IMM(R0, 0), EXIT());
	runs(t, what);
	ok(noted[0] == 99 && noted[1] == 99 && noted[2] == 99, "%d: %s: it is", level, t->name);
	same_as(3, t, what);
	ok(conn_field(addr, CT_MARK) == 99, "%d: %s: after it, too", level, t->name);
	conn_expire(from, TO);
}

/* Nothing may be called with a lock, but a store is no call. */
static void locked(const struct prog_type *t)
{
	static const char what[] = "the mark is set with a lock";
	int map = locked_map(BPF_MAP_TYPE_ARRAY, 1, 0);
	u16 from = 5000 + (t != &xdp);
	u64 addr = conn_make(from, TO, 600000);

	cnt = 0;
	E(MOV_REG(R6, R1));
	get(t, from);
	E(ST(BPF_W, R10, -4, 0), LD_MAP_FD(R1, map), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -4),
	  CALL(map_lookup_elem), JMP_IMM(BPF_JNE, R0, 0, 4));
	conn_release(t, R7);
	E(MOV_IMM(R0, 9), EXIT(), MOV_REG(R8, R0), MOV_REG(R1, R8), ALU64_IMM(BPF_ADD, R1, LOCK_AT),
	  CALL(spin_lock), ST(BPF_W, R7, conn_offset(CT_MARK), 55), MOV_REG(R1, R8),
	  ALU64_IMM(BPF_ADD, R1, LOCK_AT), CALL(spin_unlock));
	note_mark(t, from, 0);
	conn_release(t, R7);
	E(MOV_IMM(R0, t->pass), EXIT());
	runs(t, what);
	ok(noted[0] == 55 && noted[1] == 55, "%d: %s: it is", level, t->name);
	same_as(4, t, what);
	ok(conn_field(addr, CT_MARK) == 55, "%d: %s: after it, too", level, t->name);
	conn_expire(from, TO);
	close(map);
}

static atomic_int running;

static s64 run_often(int fd)
{
	struct run run;

	run_packet(&run, 64);
	run.repeat = REPEAT;
	return prog_run(fd, &run) ? -1 : (s64)run.retval;
}

/* Programs that get the entry and store to its lowest byte, or not at all */
static void *others(void *arg)
{
	int *fds = arg;

	while (running)
		if (run_often(fds[0]) < 0 || run_often(fds[1]) < 0)
			break;
	return NULL;
}

/* What this program has stored must stay until it stores again. */
static void by_two(void)
{
	static const char what[] = "two CPUs store to one mark";
	s16 mark = conn_offset(CT_MARK);
	u64 addr = conn_make(6000, TO, 600000);
	u32 zero = 0, begun = 0;
	u64 counts[WORDS] = {};
	pthread_t thread;
	int fds[2], fd;
	s64 ret = 0;

	bypass_verifier(false);
	for (int store = 0; store < 2; store++) {
		cnt = 0;
		E(MOV_REG(R6, R1));
		get(&xdp, 6000);
		E(LDX(BPF_W, R2, R7, mark));
		if (store)
			E(STX(BPF_B, R7, R2, mark));
		conn_release(&xdp, R7);
		E(MOV_IMM(R0, 2), EXIT());
		fds[store] = load(&xdp, "others", insns, cnt);
	}
	cnt = 0;
	E(MOV_REG(R6, R1), LD_MAP_VALUE(R9, notes, 0), LDX(BPF_DW, R8, R9, 0),
	  ALU64_IMM(BPF_ADD, R8, 1), STX(BPF_DW, R9, R8, 0), ALU64_IMM(BPF_LSH, R8, 8));
	get(&xdp, 6000);
	E(STX(BPF_W, R7, R8, mark));
	conn_release(&xdp, R7);
	/* Some time */
	for (int i = 0; i < 4; i++) {
		get(&xdp, 6000);
		conn_release(&xdp, R7);
	}
	get(&xdp, 6000);
	E(LDX(BPF_W, R2, R7, mark), ALU64_IMM(BPF_RSH, R2, 8), ALU64_IMM(BPF_RSH, R8, 8),
	  JMP_REG(BPF_JEQ, R2, R8, 3), LDX(BPF_DW, R2, R9, 8), ALU64_IMM(BPF_ADD, R2, 1),
	  STX(BPF_DW, R9, R2, 8));
	conn_release(&xdp, R7);
	E(MOV_IMM(R0, 2), EXIT());
	fd = load(&xdp, "stores", insns, cnt);
	bypass_verifier(true);
	map_update(notes, &zero, counts);
	running = 1;
	if (fds[0] < 0 || fds[1] < 0 || fd < 0 || pthread_create(&thread, NULL, others, fds)) {
		ok(false, "%d: %s: programs are loaded", level, what);
		return;
	}
	for (int i = 0; i < ROUNDS && ret >= 0; i++) {
		ret = run_often(fd);
		begun += ret == 2 ? REPEAT : 0;
	}
	running = 0;
	pthread_join(thread, NULL);
	map_lookup(notes, &zero, counts);
	ok(begun == ROUNDS * REPEAT && counts[0] == begun && !counts[1],
	   "%d: %s: of %lu of one's stores, the other has changed %lu", level, what, counts[0],
	   counts[1]);
	ok(conn_field(addr, CT_MARK) >> 8 == begun, "%d: %s: after it, too", level, what);
	for (int i = 0; i < 2; i++)
		close(fds[i]);
	close(fd);
	conn_expire(6000, TO);
}

static void each(void)
{
	s64 before = conn_count();

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		stores(types[i]);
		all_else(types[i]);
		new_ones(types[i]);
		in_callback(types[i]);
		locked(types[i]);
	}
	by_two();
	ok(conn_count() == before, "%d: %ld entries, as before", level, conn_count());
}

int main(void)
{
	if (!conn_init())
		skip_all("this kernel has no BTF, or no connection tracker");
	return at_all_levels(each);
}
