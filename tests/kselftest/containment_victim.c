// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "containment.h"

/*
 * Another program: it leaves the addresses of its context, stack and map value
 * in the map, then spins with a known value on its stack, and at the end counts
 * in [5] if that has changed. [6] counts the runs.
 */
#define SPIN 20000
static int victim_map, victim_fd;
static volatile bool victim_on;

static void victim_load(void)
{
	victim_map = array_of(128);

	struct bpf_insn insns[] = {
		LD_MAP_VALUE(R6, victim_map, 0),
		LD_IMM64(R2, MARK),
		STX(BPF_DW, R6, R2, 64),
		/* what comes from a map the verifier does not know in advance */
		LDX(BPF_DW, R2, R6, 64),
		STX(BPF_DW, R10, R2, -8),
		STX(BPF_DW, R6, R6, 0),
		MOV_REG(R3, R10),
		ALU64_IMM(BPF_ADD, R3, -8),
		STX(BPF_DW, R6, R3, 8),
		STX(BPF_DW, R6, R1, 16),
		MOV_IMM(R4, SPIN),
		ALU64_IMM(BPF_SUB, R4, 1),
		JMP_IMM(BPF_JNE, R4, 0, -2),
		LDX(BPF_DW, R2, R6, 64),
		LDX(BPF_DW, R3, R10, -8),
		MOV_IMM(R4, 1),
		JMP_REG(BPF_JEQ, R3, R2, 1),
		ATOMIC(BPF_DW, BPF_ADD, R6, R4, 40),
		ATOMIC(BPF_DW, BPF_ADD, R6, R4, 48),
		MOV_IMM(R0, 2),
		EXIT(),
	};

	victim_fd = load(&xdp, "victim", insns, ARRAY_SIZE(insns));
	if (victim_fd < 0)
		bail("the victim does not load");
}

/*
 * At level 0 all in one system call: each has the kernel stack begin somewhere
 * else. But with PREEMPT such a call is one RCU reader, and the keys of programs
 * that are gone come back after a grace period.
 */
static void *victim_runs(void *unused)
{
	static u8 packet[64];
	struct run run = { .data_in = packet, .data_in_size = 64,
			   .repeat = level ? 1000 : 1u << 30 };

	pin_to_cpu(1);
	while (victim_on)
		prog_run(victim_fd, &run);
	return NULL;
}

static void wake(int sig)
{
}

static bool value_changed(struct run *run, const void *arg)
{
	return slot(victim_map, 9) == DONE;
}

/* How often to look for a victim whose CPU the host may have put aside */
#define LOOKS 4000000
/* Of how many of its runs to write the stack: it may have looked there before */
#define HITS 8

static bool stack_changed(struct run *run, const void *before)
{
	int i;

	for (i = 0; i < 10 && slot(victim_map, 5) == *(const u64 *)before; i++)
		usleep(100000);
	return slot(victim_map, 5) != *(const u64 *)before;
}

static bool ctx_changed(struct run *run, const void *arg)
{
	return loot_at(0) && loot_at(2) == MARK;
}

void other_program(void)
{
	u64 where, mark = MARK, before;
	const struct prog_type *t = &xdp;
	pthread_t thread;
	int i;

	sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = wake }, NULL);
	victim_load();
	victim_on = true;
	pthread_create(&thread, NULL, victim_runs, NULL);
	for (i = 0; i < 5000 && !slot(victim_map, 6); i++)
		usleep(1000);
	if (!slot(victim_map, 6))
		bail("the victim does not run");

	/* its map value */
	where = slot(victim_map, 0) + 64;
	struct bpf_insn value_r[] = {
		LD_IMM64(R2, where),
		LDX(BPF_DW, R3, R2, 0),
		TAKE_R3(),
		FINISH(t),
	};
	ATTACK(value_r, t, "rogue_map_r", "read", where, loot_is, &mark,
	       "reads a map value of another program");
	where += 8;
	struct bpf_insn value_w[] = {
		LD_IMM64(R2, where),
		LD_IMM64(R3, DONE),
		STX(BPF_DW, R2, R3, 0),
		FINISH(t),
	};
	ATTACK(value_w, t, "rogue_map_w", "write", where, value_changed, NULL,
	       "writes a map value of another program");

	/* its stack, while it runs: look again and again until it is there */
	where = slot(victim_map, 1);
	struct bpf_insn stack_r[] = {
		LD_IMM64(R2, where),
		LD_IMM64(R4, MARK),
		MOV_IMM(R5, LOOKS),
		LDX(BPF_DW, R3, R2, 0),
		JMP_REG(BPF_JEQ, R3, R4, 2),
		ALU64_IMM(BPF_SUB, R5, 1),
		JMP_IMM(BPF_JNE, R5, 0, -4),
		TAKE_R3(),
		FINISH(t),
	};
	ATTACK(stack_r, t, "rogue_stack_r", "read", where, loot_is, &mark,
	       "reads the stack of another program");

	struct bpf_insn stack_w[] = {
		LD_IMM64(R2, where),
		LD_IMM64(R4, MARK),
		LD_IMM64(R8, DONE),
		MOV_IMM(R5, LOOKS),
		MOV_IMM(R3, HITS),
		/* only where the known value is: at level 0 this is a kernel stack */
		MOV_REG(R0, R4),
		ATOMIC(BPF_DW, BPF_CMPXCHG, R2, R8, 0),
		JMP_REG(BPF_JNE, R0, R4, 2),
		ALU64_IMM(BPF_SUB, R3, 1),
		JMP_IMM(BPF_JEQ, R3, 0, 2),
		ALU64_IMM(BPF_SUB, R5, 1),
		JMP_IMM(BPF_JNE, R5, 0, -7),
		FINISH(t),
	};
	before = slot(victim_map, 5);
	ATTACK(stack_w, t, "rogue_stack_w", "write", where, stack_changed, &before,
	       "writes the stack of another program");

	/* its context: at level 0 a struct xdp_buff, of which [3] is only read later */
	where = slot(victim_map, 2) + 24;
	struct bpf_insn ctx_w[] = {
		LD_IMM64(R2, where),
		LD_IMM64(R4, MARK),
		LDX(BPF_DW, R3, R2, 0),
		TAKE_R3(),
		STX(BPF_DW, R2, R4, 0),
		LDX(BPF_DW, R5, R2, 0),
		STX(BPF_DW, R7, R5, 16),
		STX(BPF_DW, R2, R3, 0),
		FINISH(t),
	};
	ATTACK(ctx_w, t, "rogue_ctx_r", "read", where, ctx_changed, NULL,
	       "reads and writes the context of another program");
	struct bpf_insn ctx_w2[] = {
		LD_IMM64(R2, where - 24),
		ST(BPF_DW, R2, 0, 0),
		FINISH(t),
	};
	if (level == 2)
		ATTACK(ctx_w2, t, "rogue_ctx_w", "write", where - 24, ctx_changed, NULL,
		       "writes the context of another program");

	before = slot(victim_map, 6);
	for (i = 0; i < 50 && slot(victim_map, 6) == before; i++)
		usleep(100000);
	ok(slot(victim_map, 6) > before, "%d: the attacked program still runs", level);
	victim_on = false;
	while (pthread_tryjoin_np(thread, NULL)) {
		pthread_kill(thread, SIGUSR1);
		usleep(10000);
	}
	close(victim_fd);
	close(victim_map);
}
