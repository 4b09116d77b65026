// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,0 timeout=120 */
/*
 * Do functions that helpers call stay as isolated as the program, and does the kernel go on
 * when one is stopped?
 *
 * Each attack succeeds at level 0. What would take a plain kernel along is tried at level 2
 * only: a function that is none, one that calls itself by way of a helper without end, what
 * lies about its stack, and what does not come back.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "attack.h"
#include "build.h"

#define LOOP(TIMES) MOV_IMM(R1, TIMES), MOV_IMM(R4, 0), CALL(loop)

static u64 data;
static u64 mark = MARK;

/* f(): *R2 = MARK, or of whatever register has the context; then loot[0] = *R2 */
static void writes(int f, int ctx)
{
	begin_function(f);
	E(LD_IMM64(R3, MARK), STX(BPF_DW, ctx, R3, 0), LDX(BPF_DW, R3, ctx, 0), TAKE_R3(),
	  MOV_IMM(R0, 1), EXIT());
}

/* f(i, ctx) { loop(2, g, ctx) } */
static void loops_in(int f, int g)
{
	begin_function(f);
	E(MOV_REG(R3, R2));
	emit_function(R2, g);
	E(LOOP(2), MOV_IMM(R0, 0), EXIT());
}

static void walk(int map, int f, u64 ctx)
{
	E(LD_MAP_FD(R1, map));
	emit_function(R2, f);
	E(LD_IMM64(R3, ctx), MOV_IMM(R4, 0), CALL(for_each_map_elem));
}

static int filled(enum bpf_map_type type)
{
	int map = map_create(type, 4, 8, 8);
	u64 v[64] = {};
	u32 i;

	for (i = 0; i < 6; i++)
		map_update(map, &i, v);
	return map;
}

/* A function of another program, which is not isolated: what it is called with it writes to. */
static u64 foreign_function(int *prog)
{
	int out = array_of(8), now = level;
	u64 addr;

	cnt = 0;
	emit_function(R2, 1);
	E(LD_MAP_VALUE(R3, out, 0), STX(BPF_DW, R3, R2, 0), MOV_IMM(R3, 0),
	  LOOP(0), MOV_IMM(R0, 2), EXIT());
	writes(1, R2);
	moat_set_level(0);
	*prog = load(&xdp, "foreign", insns, cnt);
	prog_run_once(*prog);
	moat_set_level(now);
	addr = slot(out, 0);
	close(out);
	return addr;
}

static void attack_built(const struct prog_type *t, const char *access, u64 addr, const char *what)
{
	attack(&(struct attack){ t, "rogue_back", access, addr, loot_is, &mark, what }, insns, cnt);
}

static void addresses(const struct prog_type *t)
{
	int prog;
	u64 foreign = foreign_function(&prog);

	cnt = 0;
	E(LD_IMM64(R2, foreign), LD_IMM64(R3, data), LOOP(1), FINISH(t));
	attack_built(t, "loop", 0, "the function of another program");
	close(prog);

	/* Behind the NOP that every function begins with */
	cnt = 0;
	emit_function(R2, 1);
	E(ALU64_IMM(BPF_ADD, R2, 5), LD_IMM64(R3, data), LOOP(1), FINISH(t));
	writes(1, R2);
	attack_built(t, "loop", 0, "the second instruction of a function");
}

static void contexts(const struct prog_type *t)
{
	static const enum bpf_map_type types[] = {
		BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_HASH,
		BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_LRU_HASH,
	};
	size_t i;
	int map;

	cnt = 0;
	emit_function(R2, 1);
	E(LD_IMM64(R3, data), LOOP(3), FINISH(t));
	writes(1, R2);
	attack_built(t, "write", data, "bpf_loop() with the kernel's memory as context");

	cnt = 0;
	emit_function(R2, 1);
	E(LD_IMM64(R3, data), LOOP(3), FINISH(t));
	loops_in(1, 2);
	loops_in(2, 3);
	loops_in(3, 4);
	writes(4, R2);
	attack_built(t, "write", data, "the same, four loops in one another");

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		map = filled(types[i]);
		cnt = 0;
		walk(map, 1, data);
		E(FINISH(t));
		writes(1, R4);
		attack_built(t, "write", data, "for_each_map_elem() with it");

		/* In a loop, and a loop in that */
		cnt = 0;
		emit_function(R2, 1);
		E(LD_IMM64(R3, data), LOOP(2), FINISH(t));
		begin_function(1);
		walk(map, 2, data);
		E(MOV_IMM(R0, 0), EXIT());
		begin_function(2);
		E(MOV_REG(R3, R4));
		emit_function(R2, 3);
		E(LOOP(2), MOV_IMM(R0, 0), EXIT());
		writes(3, R2);
		attack_built(t, "write", data, "a loop in for_each_map_elem() in a loop");
		close(map);
	}
}

/* A helper that a callback calls is given what is not the program's. */
static void arguments(const struct prog_type *t)
{
	u64 value = canary("data");
	int map = filled(BPF_MAP_TYPE_HASH), got = array_of(128);

	close(got);
	cnt = 0;
	walk(map, 1, 0);
	E(FINISH(t));
	begin_function(1);
	E(ST(BPF_W, R10, -4, 0), LD_MAP_FD(R1, loot), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -4),
	  LD_IMM64(R3, data), MOV_IMM(R4, 0), CALL(map_update_elem), MOV_IMM(R0, 1), EXIT());
	attack(&(struct attack){ t, "rogue_back", "map_update_elem", 0, loot_is, &value,
		"a helper in for_each_map_elem() that reads for it" }, insns, cnt);
	close(map);
}

/* What there is to see of a key behind it, or to write: another's element, and links. */
static void keys(const struct prog_type *t)
{
	int map = filled(BPF_MAP_TYPE_HASH);

	cnt = 0;
	walk(map, 1, 0);
	E(FINISH(t));
	begin_function(1);
	/* Of the kernel's element the links are before the key. */
	E(LDX(BPF_DW, R3, R2, -48), MOV_REG(R4, R3), ALU64_IMM(BPF_RSH, R4, 48),
	  JMP_IMM(BPF_JNE, R4, 0xffff, 1), JA(2), MOV_IMM(R3, 0), JA(0), TAKE_R3(),
	  MOV_IMM(R0, 1), EXIT());
	loot_clear();
	if (level == 2) {
		int fd = load(t, "keys", insns, cnt);
		struct run run;

		run_packet(&run, 64);
		prog_run(fd, &run);
		ok(run.retval == t->pass && (loot_at(0) >> 48 != 0xffff || loot_at(0) >> 39 == 0x1fffffd),
		   "2: %s: before the key is no address of the kernel", t->name);
		close(fd);
	}
	close(map);
}

/* Not at level 0: runs, is stopped with @says, or goes on if that is NULL. */
static void only_isolated(const struct prog_type *t, const char *says, const char *what)
{
	struct run run;
	int fd;

	if (level != 2)
		return;
	loot_clear();
	fd = load(t, "rogue_back", insns, cnt);
	if (fd < 0) {
		ok(false, "2: %s: loads", what);
		return;
	}
	run_packet(&run, 64);
	kmsg_mark();
	prog_run(fd, &run);
	if (says)
		ok(run.retval == t->safe && kmsg_find(says, NULL), "2: %s: stopped", what);
	else
		ok(run.retval == t->pass && loot_at(1) == DONE, "2: %s: goes on", what);
	if (!(run.retval == (says ? t->safe : t->pass)))
		diag("verdict %u, %s", run.retval, kmsg_find("moat", NULL));
	ok(others_run(), "2: %s: others go on", what);
	close(fd);
}

static void lies(const struct prog_type *t)
{
	u64 none[] = { 0, 1, ~0ULL, data, 0x8000000000000000ULL };
	size_t i;
	int call;

	for (i = 0; i < ARRAY_SIZE(none); i++) {
		cnt = 0;
		E(LD_IMM64(R2, none[i]), MOV_IMM(R3, 0), LOOP(1), FINISH(t));
		only_isolated(t, "no function of the program to call back", "a function that is none");
	}

	/* It finds the address of itself where no verifier sees it. */
	cnt = 0;
	emit_function(R2, 1);
	E(LD_MAP_VALUE(R3, loot, 64), STX(BPF_DW, R3, R2, 0), LOOP(1), FINISH(t));
	begin_function(1);
	E(MOV_REG(R3, R2), LDX(BPF_DW, R2, R3, 0), LOOP(1), MOV_IMM(R0, 0), EXIT());
	only_isolated(t, "too many callbacks in one another", "a callback that has itself called back");

	/* Frame pointer and number, as it returns: out of range, and one of the program's */
	for (i = 0; i < 2; i++) {
		cnt = 0;
		call = cnt;
		E(CALL_REL(0));
		emit_function(R2, 2);
		E(MOV_IMM(R3, 0), LOOP(1), FINISH(t));
		insns[call].imm = cnt - call - 1;
		begin_function(1);
		E(MOV_IMM(R0, 0), EXIT());
		begin_function(2);
		E(LD_IMM64(R1, data), STX(BPF_DW, R10, R1, 0), ST(BPF_DW, R10, 8, i ? 0 : 12345),
		  MOV_IMM(R0, 0), EXIT());
		only_isolated(t, i ? "stopped" : NULL, i ?
			      "a callback that goes on in the program" :
			      "a callback that lies about its frame");
	}
}

/* What counts tail calls is where a program begins, and a helper waits for the function. */
static void tail_calls(const struct prog_type *t)
{
	int array = map_create(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 1), flag = map_of_words(0), call, fd;
	const struct bpf_insn other[] = { LD_MAP_VALUE(R1, flag, 8), ST(BPF_DW, R1, 0, 1),
					  MOV_IMM(R0, t->pass), EXIT() };
	u32 zero = 0;

	if (level != 2)
		return;
	fd = load(t, "other", other, ARRAY_SIZE(other));
	if (map_update(array, &zero, &fd))
		bail("array of programs: %s", strerror(errno));

	/* The function returns to where the program goes on with one, and says that it may. */
	cnt = 0;
	E(MOV_REG(R6, R1));
	call = cnt;
	E(CALL_REL(0), LD_MAP_VALUE(R3, flag, 0), LDX(BPF_DW, R3, R3, 0),
	  JMP_IMM(BPF_JEQ, R3, 0, 5), MOV_REG(R1, R6), LD_MAP_FD(R2, array), MOV_IMM(R3, 0),
	  CALL(tail_call));
	emit_function(R2, 2);
	E(MOV_IMM(R3, 0), LOOP(1), FINISH(t));
	insns[call].imm = cnt - call - 1;
	begin_function(1);
	E(MOV_IMM(R0, 0), EXIT());
	begin_function(2);
	E(LD_MAP_VALUE(R3, flag, 0), ST(BPF_DW, R3, 0, 1), ST(BPF_DW, R10, 8, 0),
	  MOV_IMM(R0, 0), EXIT());
	only_isolated(t, "may not be gone on in", "a callback that goes on to a tail call");
	ok(!map_word(flag, 1), "2: the other program does not run");
	close(fd);

	/* As the verifier lets it. */
	cnt = 0;
	E(STX(BPF_DW, R10, R1, -8));
	emit_function(R2, 1);
	E(MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -8), LOOP(1), FINISH(t));
	begin_function(1);
	E(LDX(BPF_DW, R1, R2, 0), LD_MAP_FD(R2, array), MOV_IMM(R3, 0), CALL(tail_call),
	  MOV_IMM(R0, 0), EXIT());
	fd = prog_load(t->type, "tail_back", insns, cnt);
	ok(fd < 0 && errno == EACCES &&
	   strstr(prog_log, "tail call in a function that helpers call"),
	   "2: a tail call in a callback: refused");
	if (fd >= 0)
		close(fd);
	close(array);
	close(flag);
}

static void must_end(const struct prog_type *t, const char *context, const char *what)
{
	int budget, fd;
	u64 began;

	if (level != 2)
		return;
	fd = load(t, "endless", insns, cnt);
	if (fd < 0) {
		ok(false, "2: %s: loads", what);
		return;
	}
	budget = moat_set_budget(1);
	kmsg_mark();
	began = now_ns();
	write_file("/sys/kernel/debug/moat_test/run_in", "%d %s 2 1", fd, context);
	began = (now_ns() - began) / 1000000;
	ok(began > 500 && began < 8000 && kmsg_stopped(fd, "endless"), "2: %s (%s): stopped in time",
	   what, context);
	if (began >= 8000 || !kmsg_stopped(fd, "endless"))
		diag("after %lu ms", began);
	moat_set_budget(budget);
	ok(others_run(), "2: %s (%s): others go on", what, context);
	close(fd);
}

static void endless(const struct prog_type *t)
{
	static const char *const contexts[] = { "task", "irqoff", "softirq" };
	int map = filled(BPF_MAP_TYPE_HASH);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(contexts); i++) {
		cnt = 0;
		emit_function(R2, 1);
		E(MOV_IMM(R3, 0), LOOP(2), FINISH(t));
		begin_function(1);
		E(MOV_IMM(R0, 0), JMP_IMM(BPF_JEQ, R0, 0, -1), EXIT());
		must_end(t, contexts[i], "a callback without end");

		cnt = 0;
		emit_function(R2, 1);
		E(MOV_IMM(R3, 0), LOOP(1 << 23), FINISH(t));
		begin_function(1);
		E(MOV_IMM(R3, 0));
		emit_function(R2, 2);
		E(LOOP(1 << 23), MOV_IMM(R0, 0), EXIT());
		begin_function(2);
		E(MOV_IMM(R0, 0), EXIT());
		must_end(t, contexts[i], "callbacks without end");

		cnt = 0;
		walk(map, 1, 0);
		E(FINISH(t));
		begin_function(1);
		E(CALL(ktime_get_ns), JMP_IMM(BPF_JNE, R0, 0, -2), MOV_IMM(R0, 0), EXIT());
		must_end(t, contexts[i], "helper calls without end in for_each_map_elem()");
	}
	close(map);
}

static void attacks(void)
{
	static const struct prog_type *const types[] = { &xdp, &sched_cls };
	size_t i;

	canary_reset();
	data = target("data");
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		addresses(types[i]);
		contexts(types[i]);
		arguments(types[i]);
		keys(types[i]);
		lies(types[i]);
		tail_calls(types[i]);
	}
	endless(&sched_cls);
}

int main(void)
{
	/* Of those that helpers call */
	if (test_kernel() && !without_loops(true))
		bail("moat_test/off/loops: %s", strerror(errno));
	return at_each_level(attacks);
}
