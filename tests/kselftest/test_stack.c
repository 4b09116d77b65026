// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 alone=machine keys=13,0 full=1 timeout=120 */
/*
 * Does a program that loses its stack take its CPU's interrupts with it?
 *
 * A subprogram overwrites the frame pointer it will give back, so that its caller
 * goes on with RSP anywhere and spins. The next interrupt finds no stack to be
 * pushed on; the CPU accepted it all the same, and if nobody sees to it, none of
 * its priority ever comes again. And a program that never ends is stopped, also if
 * interrupts are off, or it spends its time in helpers.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "moat_test.h"

/* Local timer interrupts of @cpu so far, from /proc/interrupts. */
static s64 ticks(int cpu)
{
	char line[512];
	FILE *f = fopen("/proc/interrupts", "r");
	s64 n = -1;

	while (f && fgets(line, sizeof(line), f)) {
		unsigned long v[4] = {};

		if (sscanf(line, " LOC: %lu %lu %lu %lu", v, v + 1, v + 2, v + 3) > cpu)
			n = v[cpu];
	}
	if (f)
		fclose(f);
	return n;
}

/* The CPU's timer still runs: it preempts us, and time passes. */
static bool alive(int cpu)
{
	s64 before = ticks(cpu);
	u64 began = now_ns();

	while (now_ns() - began < 300000000)
		;
	usleep(50000);
	return before >= 0 && ticks(cpu) > before + 20;
}

/* A program that has lost its stack pointer, and goes on for long */
static void lost(const struct bpf_insn *insns, size_t n, const char *what, int cpu)
{
	struct run run = { .repeat = 1 };
	u8 packet[64] = {};
	int fd;

	pin_to_cpu(cpu);
	fd = prog_load(sched_cls.type, "lost_stack", insns, n);
	if (fd < 0) {
		ok(false, "the stack pointer is %s: loads", what);
		diag("%s\n%s", strerror(errno), prog_log);
		return;
	}
	kmsg_mark();
	run.data_in = packet;
	run.data_in_size = sizeof(packet);
	prog_run(fd, &run);
	ok(run.retval == sched_cls.safe, "the stack pointer is %s: stopped", what);
	ok(kmsg_stopped(fd, "lost_stack"), "the stack pointer is %s: reported", what);
	ok(alive(cpu), "the stack pointer is %s: CPU %d still gets its interrupts", what, cpu);
	close(fd);
}

static void lost_stack(u64 rsp, const char *what, int cpu)
{
	struct bpf_insn insns[] = {
		/* The gate by which it returns takes the stack pointer from there. */
		LDX(BPF_W, R2, R1, offsetof(struct __sk_buff, mark)),
		JMP_IMM(BPF_JEQ, R2, 0, 6),
		SIX_CALLS(5),
		CALL_REL(5),
		LD_IMM64(R2, 1ULL << 40),
		ALU64_IMM(BPF_SUB, R2, 1),
		JMP_IMM(BPF_JNE, R2, 0, -2),
		EXIT(),
		LD_IMM64(R3, rsp),
		STX(BPF_DW, R10, R3, 0),	/* the caller's frame pointer */
		MOV_IMM(R0, 0),
		EXIT(),
	};

	lost(insns, ARRAY_SIZE(insns), what, cpu);
}

/* The same without the gate: a frame in a map, where user space and other CPUs write, too. */
static void stack_in_map(int cpu)
{
	int map = map_of_words(0);
	const struct bpf_insn insns[] = {
		CALL_REL(5),
		LD_IMM64(R2, 1ULL << 40),
		ALU64_IMM(BPF_SUB, R2, 1),
		JMP_IMM(BPF_JNE, R2, 0, -2),
		EXIT(),
		CALL_REL(2),
		MOV_IMM(R0, 0),
		EXIT(),
		/* Its caller's frame pointer leads there: to a frame pointer, and number 0. */
		LD_MAP_VALUE(R3, map, 32),
		STX(BPF_DW, R3, R3, 0),
		ST(BPF_DW, R3, 8, 0),
		STX(BPF_DW, R10, R3, 0),
		MOV_IMM(R0, 0),
		EXIT(),
	};

	lost(insns, ARRAY_SIZE(insns), "in a map", cpu);
	close(map);
}

#define BUDGET "/proc/sys/kernel/moat/budget"

/* Run by @run on @cpu, it is stopped when it should be: before @most ms are over. */
static void stopped_in_time(const char *what, int fd, int cpu,
			    void (*run)(const char *, int, int), u64 most)
{
	u64 began;
	int budget;

	if (!ok(fd >= 0, "%s: loads", what)) {
		diag("%s\n%s", strerror(errno), prog_log);
		return;
	}
	pin_to_cpu(cpu);
	budget = moat_set_budget(2);
	kmsg_mark();
	began = now_ns();
	run(what, fd, cpu);
	began = (now_ns() - began) / 1000000;
	if (!ok(began > 1000 && began < most, "%s: when its time is up", what))
		diag("after %llu ms", (unsigned long long)began);
	moat_set_budget(budget);
	ok(kmsg_stopped(fd, "endless"), "%s: reported", what);
	ok(alive(cpu), "%s: its CPU goes on", what);
	close(fd);
}

static void run_plainly(const char *what, int fd, int cpu)
{
	ok(prog_run_once(fd) == sched_cls.safe, "%s: stopped", what);
}

/* In a task, but no interrupt finds it: another CPU has to look after it. */
static void run_irqoff(const char *what, int fd, int cpu)
{
	write_file("/sys/kernel/debug/moat_test/run_in", "%d irqoff %d 1", fd, cpu);
}

static int endless_load(void)
{
	struct bpf_insn insns[] = {
		LDX(BPF_W, R2, R1, offsetof(struct __sk_buff, len)),
		JMP_IMM(BPF_JNE, R2, 0, -1),
		MOV_IMM(R0, 0),
		EXIT(),
	};

	return PROG_LOAD(sched_cls.type, "endless", insns);
}

/* Reports take long: who listens to them takes more than a second for the first. */
static int slow_listener(int begun)
{
	struct bpf_insn insns[] = {
		LD_MAP_VALUE(R1, begun, 0),
		LDX(BPF_DW, R2, R1, 0),
		JMP_IMM(BPF_JNE, R2, 0, 6),
		ST(BPF_DW, R1, 0, 1),
		CALL(ktime_get_ns),
		MOV_REG(R6, R0),
		CALL(ktime_get_ns),
		ALU64_REG(BPF_SUB, R0, R6),
		JMP_IMM(BPF_JLT, R0, 1500000000, -3),
		MOV_IMM(R0, 0),
		EXIT(),
	};
	int fd = PROG_LOAD(BPF_PROG_TYPE_RAW_TRACEPOINT, "listener", insns);
	int link = fd < 0 ? -1 : bpf_raw_tracepoint_open("moat_violation", fd);

	if (link < 0)
		bail("listener: %s\n%s", strerror(errno), prog_log);
	close(fd);
	return link;
}

/* Another CPU finds it once more, before whoever found it first is done with that. */
static void found_twice(void)
{
	int budget = moat_set_budget(1), begun = map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1);
	int fd = endless_load(), listener = slow_listener(begun);
	s64 violations = moat_counter("violations");
	bool stopped;

	kmsg_mark();
	pin_to_cpu(3);
	stopped = prog_run_once(fd) == sched_cls.safe;
	violations = moat_counter("violations") - violations;
	if (!ok(stopped && map_word(begun, 0) == 1 && violations == 1,
		"an endless program, found twice: counted once"))
		diag("%ld times", (long)violations);
	ok(kmsg_count("endless", "; stopped") == 1, "an endless program, found twice: told once");
	close(listener);
	close(begun);
	close(fd);
	moat_set_budget(budget);
}

/* Else jiffies may stop with the CPU that counts them: see decision 0015. */
static bool timers_have_high_resolution(void)
{
	struct timespec res = {};

	return !clock_getres(CLOCK_MONOTONIC, &res) && !res.tv_sec && res.tv_nsec == 1;
}

/* Whoever would look at the second and third CPU is in such a run itself. */
static void endless_on_three(void)
{
	int budget = moat_set_budget(2), fds[3], stopped = 0;
	u64 began;

	pin_to_cpu(0);
	kmsg_mark();
	for (int i = 0; i < 3; i++)
		fds[i] = endless_load();
	began = now_ns();
	for (int i = 0; i < 3; i++) {
		if (fork())
			continue;
		run_irqoff("", fds[i], i + 1);
		_exit(0);
	}
	while (wait(NULL) > 0)
		;
	began = (now_ns() - began) / 1000000;
	if (!ok(began > 1000 && began < 12000, "with interrupts off on three of four CPUs: in time"))
		diag("after %llu ms", (unsigned long long)began);
	moat_set_budget(budget);
	for (int i = 0; i < 3; i++) {
		stopped += !!kmsg_stopped(fds[i], "endless");
		close(fds[i]);
	}
	ok(stopped == 3, "with interrupts off on three of four CPUs: all stopped");
}

static void endless(void)
{
	s64 before = read_number(BUDGET);

	ok(write_file(BUDGET, "0") && write_file(BUDGET, "61") && write_file(BUDGET, "x") &&
	   read_number(BUDGET) == before, "no other budget than 1 to 60 seconds");
	stopped_in_time("an endless program", endless_load(), 3, run_plainly, 4000);
	found_twice();
	stopped_in_time("an endless program with interrupts off",
			endless_load(), 3, run_irqoff, 10000);
	if (!timers_have_high_resolution()) {
		skip("jiffies stop with it", "an endless program with interrupts off on CPU 0");
		skip("and timers are late", "with interrupts off on three of four CPUs");
		return;
	}
	endless_on_three();
	stopped_in_time("an endless program with interrupts off on CPU 0",
			endless_load(), 0, run_irqoff, 10000);
}

/* One that hardly ever runs code of its own, for an interrupt to find it there */
static void endless_long_calls(void)
{
	static char spaces[2 << 20];
	int map = map_create(BPF_MAP_TYPE_ARRAY, 4, sizeof(spaces), 1);
	struct bpf_insn insns[] = {
		LD_MAP_VALUE(R1, map, 0),
		MOV_IMM(R2, sizeof(spaces)),
		MOV_IMM(R3, 0),
		MOV_REG(R4, R10),
		ALU64_IMM(BPF_ADD, R4, -8),
		CALL(strtol),
		JMP_IMM(BPF_JNE, R0, 1, -8),
		MOV_IMM(R0, 0),
		EXIT(),
	};
	u32 zero = 0;

	memset(spaces, ' ', sizeof(spaces));
	map_update(map, &zero, spaces);
	stopped_in_time("an endless program of long calls",
			PROG_LOAD(sched_cls.type, "endless", insns), 3, run_plainly, 6000);
	close(map);
}

static void endless_short_calls(void)
{
	struct bpf_insn insns[] = {
		LDX(BPF_W, R6, R1, offsetof(struct __sk_buff, len)),
		CALL(ktime_get_ns),
		JMP_IMM(BPF_JNE, R6, 0, -2),
		MOV_IMM(R0, 0),
		EXIT(),
	};

	stopped_in_time("endless helper calls with interrupts off",
			PROG_LOAD(sched_cls.type, "endless", insns), 3, run_irqoff, 10000);
}

int main(void)
{
	if (!test_kernel())
		skip_all("needs the test kernel");
	if (!moat_present())
		skip_all("needs MOAT");
	moat_set_level(2);
	bypass_verifier(true);
	lost_stack(0, "NULL", 1);
	lost_stack(target("data"), "in kernel memory", 2);
	lost_stack(0x8000000000000000, "not canonical", 1);
	stack_in_map(2);
	endless();
	endless_long_calls();
	endless_short_calls();
	bypass_verifier(false);
	return finish();
}
