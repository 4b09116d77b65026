// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,0 timeout=120 */
/*
 * What becomes of locks, of who waits for them, and of the memory that they would be in,
 * if a program that no verifier looked at takes what is no lock, or ends with one held?
 *
 * A lock that nobody gives back is waited for with interrupts off. So what would leave one
 * held is tried at level 2 only, where user space has to get it afterwards.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "attack.h"
#include "build.h"
#include "locks.h"

#define SCRIPTS 100

static int map, other;

/* R1 = the place for the lock in value 0 of @MAP */
#define PLACE(MAP) LD_MAP_VALUE(R1, MAP, LOCK_AT)
#define LOCK(MAP) PLACE(MAP), CALL(spin_lock)
#define UNLOCK(MAP) PLACE(MAP), CALL(spin_unlock)

static void begin(void)
{
	map = locked_map(BPF_MAP_TYPE_ARRAY, 1, 0);
	other = locked_map(BPF_MAP_TYPE_ARRAY, 1, 0);
	cnt = 0;
}

/* Whoever has to have it gets it: user space, and a program that keeps to the rules. */
static void end(const char *what, s64 given_back)
{
	struct locked value = {};
	int fd;

	if (level) {
		cnt = 0;
		E(PLACE(map), MOV_REG(R6, R1), CALL(spin_lock), LD_MAP_VALUE(R7, map, 0),
		  ST(BPF_DW, R7, 0, 77), MOV_REG(R1, R6), CALL(spin_unlock), MOV_IMM(R0, 2),
		  EXIT());
		fd = load(&xdp, "locks", insns, cnt);
		ok(locked_update(map, 0, 1, 2) && prog_run_once(fd) == 2 &&
		   locked_lookup(map, 0, &value) && value.a == 77 && value.b == 2,
		   "2: %s: others get the lock", what);
		ok(moat_counter("given_back") == given_back, "2: %s: %ld given back", what,
		   moat_counter("given_back"));
		close(fd);
	}
	close(map);
	close(other);
}

static bool data_is(struct run *run, const void *want)
{
	return canary("data") == *(const u64 *)want;
}

/* Kernel memory is no lock: plainly, what is free there becomes 1. */
static void no_lock(void)
{
	static const char *const what[] = {
		"kernel memory is taken for a lock", "the address of a value",
		"a word beside the lock",
	};
	u64 data = target("data"), taken = 1;
	s64 given = moat_counter("given_back");

	begin();
	canary_reset();
	E(LD_IMM64(R6, data), level ? MOV_IMM(R7, 0) : ST(BPF_DW, R6, 0, 0), MOV_REG(R1, R6),
	  CALL(spin_lock), UNLOCK(map), FINISH(&xdp));
	attack(&(struct attack){ &xdp, "rogue_lock", "spin_lock", 0, data_is, &taken, what[0] },
	       insns, cnt);
	end(what[0], given);
	/* In the value, so that plainly it does no harm: it is taken, and seen there. */
	for (int i = 1; i < 3; i++) {
		s16 at = i == 1 ? 0 : LOCK_AT + 4;

		begin();
		E(LD_MAP_VALUE(R6, map, at), MOV_REG(R1, R6), CALL(spin_lock),
		  LDX(BPF_W, R9, R6, 0), MOV_REG(R1, R6), CALL(spin_unlock), MOV_REG(R3, R9),
		  TAKE_R3(), FINISH(&xdp));
		attack(&(struct attack){ &xdp, "rogue_beside", "spin_lock", 0, loot_is, &taken,
					 what[i] }, insns, cnt);
		end(what[i], given);
	}
}

/* What is given back is not what was taken: plainly, the byte there becomes 0. */
static void not_held(void)
{
	const char *what = "kernel memory is given back for a lock";
	u64 data = target("data"), cleared;
	int byte = 0;
	s64 given = moat_counter("given_back");

	begin();
	canary_reset();
	cleared = canary("data");
	while (!(cleared >> 8 * byte & 0xff))
		byte++;
	cleared &= ~(0xffULL << 8 * byte);
	data += byte;
	E(LOCK(map), LD_IMM64(R1, data), CALL(spin_unlock), FINISH(&sched_cls));
	attack(&(struct attack){ &sched_cls, "rogue_unlock", "spin_unlock", 0, data_is, &cleared,
				 what }, insns, cnt);
	end(what, given + (level ? 1 : 0));
	if (!level)
		return;

	what = "a lock is given back that nobody took";
	given = moat_counter("given_back");
	begin();
	E(UNLOCK(map), FINISH(&xdp));
	attack(&(struct attack){ &xdp, "rogue_untaken", "spin_unlock", 0, loot_is, &data, what },
	       insns, cnt);
	end(what, given);

	what = "another map's lock is given back";
	given = moat_counter("given_back");
	begin();
	E(LOCK(map), UNLOCK(other), FINISH(&xdp));
	attack(&(struct attack){ &xdp, "rogue_wrong", "spin_unlock", 0, loot_is, &data, what },
	       insns, cnt);
	end(what, given + 1);
}

/* The lock of a map that the program was not loaded with; it is the kernel's at level 0. */
static void of_others(void)
{
	const char *what = "the lock of somebody else's map";
	s64 given = moat_counter("given_back");
	u64 taken = 1, where;
	int now = level, fd;

	begin();
	/* A program of its own tells where that is. */
	loot_clear();
	E(LD_MAP_VALUE(R3, other, LOCK_AT), TAKE_R3(), FINISH(&xdp));
	fd = load(&xdp, "tells", insns, cnt);
	prog_run_once(fd);
	where = loot_at(0);
	cnt = 0;
	E(LD_IMM64(R6, where), MOV_REG(R1, R6), CALL(spin_lock));
	if (now == 0)
		E(LDX(BPF_W, R3, R6, 0), TAKE_R3(), MOV_REG(R1, R6), CALL(spin_unlock));
	E(FINISH(&xdp));
	attack(&(struct attack){ &xdp, "rogue_others", "spin_lock", 0, loot_is, &taken, what },
	       insns, cnt);
	close(fd);
	end(what, given);
}

/* Where the kernel follows it, in memory of the program's */
static void in_the_value(void)
{
	const char *what = "a lock that is held is looked at, and written over";
	struct run run;
	u64 seen;
	int fd;

	begin();
	loot_clear();
	E(LOCK(map), PLACE(map), LDX(BPF_W, R9, R1, 0),
	  level ? ST(BPF_W, R1, 0, -1) : MOV_IMM(R2, 0), UNLOCK(map), MOV_REG(R3, R9),
	  TAKE_R3(), FINISH(&xdp));
	fd = load(&xdp, "looks", insns, cnt);
	run_packet(&run, 64);
	prog_run(fd, &run);
	seen = loot_at(0);
	ok(run.retval == xdp.pass && seen == (level ? 0 : 1), "%d: %s: %s", level, what,
	   level ? "it is not there" : "succeeds");
	close(fd);
	end(what, moat_counter("given_back"));
}

/* How a run ends that holds the lock of value 0. */
static void held(const char *how, const struct bpf_insn *more, int n, const char *said)
{
	s64 given = moat_counter("given_back");
	struct run run;
	const char *line;
	int fd;

	begin();
	E(MOV_REG(R6, R1), LOCK(map));
	emit(more, n);
	E(UNLOCK(map), MOV_IMM(R0, 2), EXIT());
	fd = load(&xdp, "rogue_holds", insns, cnt);
	run_packet(&run, 64);
	kmsg_mark();
	prog_run(fd, &run);
	line = kmsg_stopped(fd, "rogue_holds");
	diag("%s", line ?: "nothing in the log");
	ok(run.retval == xdp.safe && line && strstr(line, said), "2: %s: stopped", how);
	close(fd);
	end(how, given + 1);
}
#define HELD(HOW, SAID, ...) do { \
		const struct bpf_insn more_[] = { __VA_ARGS__ }; \
		held(HOW, more_, ARRAY_SIZE(more_), SAID); \
	} while (0)

static void held_on(void)
{
	u64 data = target("data");
	const struct bpf_insn pass[] = { MOV_IMM(R0, 2), EXIT() };
	int array = map_create(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 1), next = load(&xdp, "next", pass, 2);
	int hash = map_create(BPF_MAP_TYPE_HASH, 4, 8, 4);
	u32 zero = 0;
	int budget;

	if (array < 0 || hash < 0 || map_update(array, &zero, &next))
		bail("maps: %s", strerror(errno));
	/* Past what gives it back */
	HELD("held at the end", "came to its end with 1", JMP_IMM(BPF_JNE, R10, 0, 3));
	HELD("held at a fault", "write of ", LD_IMM64(R1, data), ST(BPF_DW, R1, 0, 1));
	HELD("held at a tail call", "tail_call called with a lock held", MOV_REG(R1, R6),
	     LD_MAP_FD(R2, array), MOV_IMM(R3, 0), CALL(tail_call));
	HELD("held at a call without arguments", "ktime_get_ns called with a lock held",
	     CALL(ktime_get_ns));
	HELD("held at a lookup", "map_lookup_elem called with a lock held",
	     ST(BPF_W, R10, -4, 0), LD_MAP_FD(R1, hash), MOV_REG(R2, R10),
	     ALU64_IMM(BPF_ADD, R2, -4), CALL(map_lookup_elem));
	HELD("held at an update of the same value", "map_update_elem called with a lock held",
	     ST(BPF_DW, R10, -8, 0), ST(BPF_DW, R10, -16, 0), ST(BPF_DW, R10, -24, 0),
	     ST(BPF_W, R10, -32, 0), LD_MAP_FD(R1, map), MOV_REG(R2, R10),
	     ALU64_IMM(BPF_ADD, R2, -32), MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -24),
	     MOV_IMM(R4, BPF_F_LOCK), CALL(map_update_elem));
	HELD("held when it is taken again", "spin_lock called with a lock held", LOCK(map));
	HELD("held when another one is taken", "spin_lock called with a lock held", LOCK(other));
	budget = moat_set_budget(1);
	HELD("held for ever", "ran too long", JMP_IMM(BPF_JNE, R10, 0, -1));
	moat_set_budget(budget);
	close(array);
	close(hash);
	close(next);
}

/* Who waits for somebody that is stopped has done nothing wrong. */
static int waiter, waits;

static void *wait_for_it(void *arg)
{
	pin_to_cpu(1);
	usleep(100000);
	waits = prog_run_once(waiter);
	return NULL;
}

static void waited_for(void)
{
	s64 given = moat_counter("given_back");
	struct locked value = {};
	struct run run;
	pthread_t t;
	int budget, fd;
	u64 start;

	begin();
	E(LOCK(map), LD_MAP_VALUE(R6, map, 0), ST(BPF_DW, R6, 0, 5), UNLOCK(map), MOV_IMM(R0, 2),
	  EXIT());
	waiter = load(&xdp, "waits", insns, cnt);
	cnt = 0;
	E(LOCK(map), JMP_IMM(BPF_JNE, R10, 0, -1), UNLOCK(map), MOV_IMM(R0, 2), EXIT());
	fd = load(&xdp, "rogue_keeps", insns, cnt);
	budget = moat_set_budget(1);
	pthread_create(&t, NULL, wait_for_it, NULL);
	start = now_ns();
	run_packet(&run, 64);
	prog_run(fd, &run);
	pthread_join(t, NULL);
	moat_set_budget(budget);
	ok(run.retval == xdp.safe && now_ns() - start > 500000000,
	   "2: one program keeps a lock until it is stopped");
	ok(waits == 2 && locked_lookup(map, 0, &value) && value.a == 5 &&
	   prog_run_once(waiter) == 2, "2: another one waits, gets it, and is not stopped");
	close(waiter);
	close(fd);
	end("somebody waits", given + 1);
}

/* Any order of all that can be done, of which it is known what has to come of it */
enum op { TAKES, GIVES, TAKES_BESIDE, GIVES_BESIDE, CALLS, WRITES, NR_OPS };

static void random_script(u32 n, int *stopped)
{
	int held = 0, ops = 1 + random() % 8, fd;
	s64 given = moat_counter("given_back");
	const int maps[] = { map, other };
	bool stops = false, same;
	struct run run;
	char did[64] = "";

	cnt = 0;
	while (ops--) {
		/* What follows on what was done before, mostly */
		enum op op = random() % 4 ? (held ? GIVES : TAKES) : random() % NR_OPS;
		int which = held && random() % 8 ? held - 1 : random() % 2;
		s16 at = LOCK_AT + (op == TAKES_BESIDE || op == GIVES_BESIDE ? 4 : 0);

		snprintf(did + strlen(did), sizeof(did) - strlen(did), " %d.%d", op, which);
		if (op == CALLS)
			E(CALL(ktime_get_ns));
		else if (op == WRITES)
			E(LD_MAP_VALUE(R1, maps[which], 0), ST(BPF_DW, R1, LOCK_AT, -1));
		else
			E(LD_MAP_VALUE(R1, maps[which], at),
			  INSN(BPF_JMP | BPF_CALL, 0, 0, 0, op == TAKES || op == TAKES_BESIDE ?
			       BPF_FUNC_spin_lock : BPF_FUNC_spin_unlock));
		if (stops)
			continue;
		if (op == TAKES && !held)
			held = which + 1;
		else if (op == GIVES && held == which + 1)
			held = 0;
		else
			stops = op < CALLS || (op == CALLS && held);
	}
	stops |= held;
	E(MOV_IMM(R0, 2), EXIT());
	fd = load(&xdp, "scripted", insns, cnt);
	run_packet(&run, 64);
	prog_run(fd, &run);
	same = run.retval == (stops ? xdp.safe : 2) &&
	       moat_counter("given_back") == given + !!held &&
	       locked_update(map, 0, n, n) && locked_update(other, 0, n, n);
	if (!same) {
		diag("%u:%s: %u, %s expected, %d held, %ld given back", n, did, run.retval,
		     stops ? "a stop" : "none", held, moat_counter("given_back") - given);
		ok(false, "2: script %u", n);
	}
	*stopped += stops;
	close(fd);
}

static void random_scripts(void)
{
	s64 violations = moat_counter("violations");
	int stopped = 0;

	srandom(36);
	begin();
	for (u32 n = 0; n < SCRIPTS; n++)
		random_script(n, &stopped);
	ok(stopped > SCRIPTS / 4 && stopped < SCRIPTS &&
	   moat_counter("violations") == violations + stopped,
	   "2: %d scripts, of which %d are stopped", SCRIPTS, stopped);
	end("scripts", moat_counter("given_back"));
}

static void attacks(void)
{
	no_lock();
	not_held();
	of_others();
	in_the_value();
	if (!level)
		return;
	random_scripts();
	held_on();
	waited_for();
}

int main(void)
{
	return at_each_level(attacks);
}
