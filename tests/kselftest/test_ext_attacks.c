// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 keys=13,0 timeout=180 */
/*
 * Does a program in the place of another's function get at more than is its own, or who calls
 * it at more than that is to have?
 *
 * Neither program was looked at by a verifier. One writes to the kernel, runs for ever, or looks
 * for what its caller has left; the other passes what is no context, or goes where nothing is.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "attack.h"
#include "ext.h"
#include "timers.h"

static const struct prog_type *const types[] = { &xdp, &sched_cls };

/* Returns @f's result, if it comes to that; calls it with the context and, as numbers, 4 to 8. */
static int target_load(enum function f, int at)
{
	function(MAIN);
	E(MOV_REG(R6, R1));
	for (int i = 0; takes(f)[i]; i++)
		E(takes(f)[i] == 'c' ? MOV_REG(R1 + i, R6) : MOV_IMM(R1 + i, 4 + i));
	call(f);
	E(ALU64_IMM(BPF_ADD, R0, 0), EXIT());
	function(f);
	E(MOV_IMM(R0, 10), EXIT());
	return build("target", at);
}

static int ext(int target, enum function f, const char *name)
{
	int fd = build_for(BPF_PROG_TYPE_EXT, 0, name, level, target, f);

	if (fd < 0)
		bail("%s: %s\n%s", name, strerror(errno), prog_log);
	return fd;
}

static int attached(int prog, int target, enum function f)
{
	int link = attach(prog, target, f);

	if (link < 0)
		bail("attach: %s", strerror(errno));
	return link;
}

/* What it does is stopped, and with it the whole run, but not the program that called it. */
static void writer(void)
{
	int target_fd = target_load(ALONE, level), fd, link;
	s64 violations = moat_counter("violations"), ret;

	canary_reset();
	function(ALONE);
	E(LD_IMM64(R2, target("data")), LD_IMM64(R3, MARK), STX(BPF_DW, R2, R3, 0),
	  MOV_IMM(R0, t->pass), EXIT());
	fd = ext(target_fd, ALONE, "rogue_part");
	link = attached(fd, target_fd, ALONE);
	kmsg_mark();
	ret = prog_run_once(target_fd);
	if (!level) {
		ok(ret == t->pass && canary("data") == MARK,
		   "0: %s: what replaces a function writes to the kernel", t->name);
	} else {
		ok(ret == t->safe && canary("data") != MARK &&
		   reported(kmsg_stopped(fd, "rogue_part"), "write", target("data")) &&
		   moat_counter("violations") == violations + 1,
		   "2: %s: what replaces a function writes to the kernel: stopped", t->name);
		ok(prog_run_once(target_fd) == t->safe,
		   "2: %s: the packets of who calls it go no further", t->name);
	}
	close(link);
	ok(prog_run_once(target_fd) == 10, "%d: %s: without it the program runs as before", level,
	   t->name);
	close(fd);
	close(target_fd);
}

/*
 * The context that it passes, as argument @arg of @f, is another's memory. That is where a struct
 * xdp_buff would have the address of the packet.
 */
static void forged_context(enum function f, int arg)
{
	int target_fd, fd, link;
	s64 ret;

	if (t != &xdp)
		return;
	canary_reset();
	function(MAIN);
	/* Nobody looks at what follows what is wrong: zero, as it happens */
	E(LD_MAP_VALUE(R7, loot, 24), LDX(BPF_DW, R3, R7, 0), ALU64_REG(BPF_ADD, R1, R3),
	  LD_IMM64(arg, target("data")), MOV_IMM(R3, 7));
	call(f);
	E(ALU64_IMM(BPF_ADD, R0, 0), EXIT());
	function(f);
	E(MOV_IMM(R0, 10), EXIT());
	loot_clear();
	target_fd = build("rogue_caller", level);
	function(f);
	E(LDX(BPF_W, R0, arg, offsetof(struct xdp_md, data)), EXIT());
	fd = ext(target_fd, f, "reader");
	link = attached(fd, target_fd, f);
	ret = prog_run_once(target_fd);
	ok(((u32)ret == (u32)canary("data")) == !level && ret,
	   "%d: what is passed as the context in R%d is %s (%lx)", level, arg,
	   level ? "the context" : "another's memory", ret);
	diag("%lx is there", canary("data"));
	close(link);
	close(fd);
	close(target_fd);
}

/* What lies above the stack of what replaces @f: numbers where @words has a bit, or nothing */
static void above_stack(enum function f, int target_level, int words)
{
	int target_fd, fd, link, now = level;
	bool clean = true, numbers = true;

	level = target_level;
	target_fd = target_load(f, target_level);
	level = now;
	function(f);
	for (int i = 0; i < 5; i++)
		E(LDX(BPF_DW, R3, R10, 8 * i), LD_MAP_VALUE(R7, loot, 8 * i),
		  STX(BPF_DW, R7, R3, 0));
	E(MOV_IMM(R0, t->pass), EXIT());
	fd = ext(target_fd, f, "looks_up");
	link = attached(fd, target_fd, f);
	loot_clear();
	ok(prog_run_once(target_fd) == t->pass, "%d: %s: looks at what is above its stack", level,
	   t->name);
	for (int i = 0; i < 5; i++) {
		bool number = words >> i & 1;

		clean &= loot_at(i) >> 40 != 0xffffff;
		numbers &= number ? loot_at(i) >= 4 && loot_at(i) <= 8 : !loot_at(i);
	}
	if (level)
		ok(clean && numbers,
		   "2: %s: its arguments are there, and nothing else (%lx %lx %lx %lx %lx)",
		   t->name, loot_at(0), loot_at(1), loot_at(2), loot_at(3), loot_at(4));
	else
		ok(!clean, "0: %s: addresses of the kernel are there", t->name);
	close(link);
	close(fd);
	close(target_fd);
}

/* It does not end. */
static void endless(void)
{
	int target_fd, fd, link, budget;
	u64 begin;
	s64 ret;

	if (!level)
		return;		/* nothing would end it */
	target_fd = target_load(ALONE, level);
	function(ALONE);
	E(MOV_IMM(R0, 0), JMP_IMM(BPF_JEQ, R0, 0, -1), EXIT());
	fd = ext(target_fd, ALONE, "endless");
	link = attached(fd, target_fd, ALONE);
	budget = moat_set_budget(1);
	kmsg_mark();
	begin = now_ns();
	ret = prog_run_once(target_fd);
	begin = now_ns() - begin;
	ok(ret == t->safe && kmsg_stopped(fd, "endless"),
	   "2: %s: what runs for ever is stopped (%lu ms)", t->name, begin / 1000000);
	moat_set_budget(budget);
	close(link);
	ok(prog_run_once(target_fd) == 10, "2: %s: and who called it goes on without", t->name);
	close(fd);
	close(target_fd);
}

/* It goes on in one that goes on in itself: counted, as plainly. */
static void chain(void)
{
	int array = map_create(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 2), target_fd, next, fd, link;
	u32 zero = 0, one = 1;
	s64 ret;

	function(MAIN);
	E(MOV_REG(R6, R1), LD_MAP_VALUE(R7, loot, 16), MOV_IMM(R3, 1),
	  ATOMIC(BPF_DW, BPF_ADD, R7, R3, 0), MOV_REG(R1, R6), LD_MAP_FD(R2, array),
	  MOV_IMM(R3, 0), CALL(tail_call), MOV_IMM(R0, 77), EXIT());
	next = build("next", level);
	target_fd = target_load(ALONE, level);
	function(ALONE);
	E(LD_MAP_FD(R2, array), MOV_IMM(R3, 0), CALL(tail_call), MOV_IMM(R0, 78), EXIT());
	fd = ext(target_fd, ALONE, "chain");
	link = attached(fd, target_fd, ALONE);
	loot_clear();
	if (map_update(array, &zero, &next))
		bail("array: %s", strerror(errno));
	ret = prog_run_once(target_fd);
	ok(ret == 77 && loot_at(2) == 33,
	   "%d: %s: what replaces a function goes on 33 times (%lu, returns %ld)", level, t->name,
	   loot_at(2), ret);
	ok(map_update(array, &one, &target_fd) < 0,
	   "%d: %s: who has such a program in it is in no array", level, t->name);
	close(link);
	close(fd);
	close(next);
	close(target_fd);
	close(array);
}

/*
 * A function that a timer calls, without a context, calls one that is replaced: of which it is
 * called if it takes none.
 */
static void in_a_timer(enum function f)
{
	int target_fd, fd, link, map;
	const char *line;

	if (!level)
		return;		/* it would be called with any context */
	map = timed_map(BPF_MAP_TYPE_ARRAY, 1, 0, false);
	function(MAIN);
	E(LD_MAP_VALUE(R1, map, TIMER_AT), LD_MAP_FD(R2, map), MOV_IMM(R3, 0), CALL(timer_init),
	  LD_MAP_VALUE(R1, map, TIMER_AT));
	address(R2, CALLED);
	E(CALL(timer_set_callback), LD_MAP_VALUE(R1, map, TIMER_AT), MOV_IMM(R2, 1000000),
	  MOV_IMM(R3, 0), CALL(timer_start), MOV_IMM(R0, t->pass), EXIT());
	function(CALLED);
	/* As above */
	E(LD_MAP_VALUE(R7, loot, 24), LDX(BPF_DW, R3, R7, 0), ALU64_REG(BPF_ADD, R1, R3),
	  LD_IMM64(R1, target("data")));
	call(f);
	E(LD_MAP_VALUE(R7, map, FIRED_AT), MOV_IMM(R3, 1), ATOMIC(BPF_DW, BPF_ADD, R7, R3, 0),
	  LD_MAP_VALUE(R7, loot, 0), STX(BPF_DW, R7, R0, 0), MOV_IMM(R0, 0), EXIT());
	function(f);
	E(MOV_IMM(R0, 10), EXIT());
	target_fd = build("rogue_timer", level);
	ok(prog_run_once(target_fd) == t->pass && timed_fires(map, 0, 1),
	   "2: %s: what a timer calls calls a function", t->name);
	function(f);
	E(MOV_IMM(R0, 7), EXIT());
	fd = ext(target_fd, f, "part");
	link = attached(fd, target_fd, f);
	kmsg_mark();
	prog_run_once(target_fd);
	if (f == NOTHING) {
		ok(timed_fires(map, 0, 2) && loot_at(0) == 7,
		   "2: %s: what replaces one without a context is called there", t->name);
	} else {
		line = kmsg_stopped_later(target_fd, "rogue_timer");
		diag("%s", line ?: "nothing in the log");
		ok(line && strstr(line, "a timer has called it and there is no packet") &&
		   timed_value(map, 0).fired == 1,
		   "2: %s: what replaces one with a context is not called there", t->name);
	}
	close(link);
	close(fd);
	close(target_fd);
	close(map);
}

/* What is not called with the context has none to give to a helper. */
static void without_context(void)
{
	int target_fd = target_load(FIVE, level), fd;

	function(FIVE);
	E(MOV_IMM(R2, 0), CALL(redirect), EXIT());
	kmsg_mark();
	fd = build_for(BPF_PROG_TYPE_EXT, 0, "no_packet", level, target_fd, FIVE);
	if (level)
		ok(fd < 0 && kmsg_find("no_packet (", "helper bpf_redirect: is for a packet"),
		   "2: %s: what has no context calls what is for a packet: refused", t->name);
	else
		ok(fd >= 0, "0: %s: what has no context calls what is for a packet", t->name);
	close(fd);
	close(target_fd);
}

/*
 * A jump to the middle of the instruction that is changed, or to the way out with nothing
 * there: an image that the JIT did not make.
 */
static void images(void)
{
	int fd;

	if (!level || t != &xdp)
		return;
	kmsg_mark();
	/* Behind NOP, NOP, push rbp, mov rbp, rsp: back to the second byte of the first NOP */
	fd = ext_spoilt("1 ebf4");
	ok(kmsg_find("image (", "refused"),
	   "2: a jump to the middle of what an attach changes: refused");
	close(fd);
	/* Over MOV, LEAVE, POP, CMP, JE and the jump to the gate, to the way behind: nothing is there */
	fd = ext_spoilt("1 eb22");
	kmsg_mark();
	ok(fd >= 0 && prog_run_once(fd) == t->safe && kmsg_find("image (", RETURN),
	   "2: a jump to the way out with nothing there: stopped");
	diag("%s", kmsg_find("moat: ", NULL) ?: "nothing");
	close(fd);
}

static void attacks(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		describe(types[i]);
		writer();
		forged_context(ALONE, R1);
		forged_context(MIDDLE, R2);
		above_stack(PAIR, level, 3);
		if (level)
			above_stack(PAIR, 0, 3);
		above_stack(MIDDLE, level, 3);
		above_stack(NOTHING, level, 0);
		above_stack(FIVE, level, 31);
		without_context();
		endless();
		chain();
		in_a_timer(ALONE);
		in_a_timer(NOTHING);
		images();
		if (level)
			ok(others_run(), "2: %s: other programs run as before", t->name);
	}
}

int main(void)
{
	return at_each_level(attacks);
}
