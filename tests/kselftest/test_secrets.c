// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 nmi=3000 keys=13 full=0 timeout=120 */
/*
 * Do gates and entry code leave addresses of the kernel where a program can read them?
 *
 * First one CPU has its context and packet loaded over and over, while another one
 * reads the snapshot: the kernel's packet pointers are never there. Then NMIs arrive
 * in gates, whose registers they save where the program can read; it looks there on
 * each run. At level 0 programs are given such addresses.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "build.h"

/* The packet. It tells a run to look at [from, to) so often, or to work. */
struct order {
	u8 header[16];
	u64 from, to, rounds;
	u8 rest[64];
};

/* Words of the map */
enum { CONTEXT, STACK, PACKET, FOUND, WHERE, WHAT, RUNS };

static int map, prog;
static volatile bool over;

/* Any, with five levels or four, but text and modules, which the IDT tells of */
static bool secret(u64 v)
{
	return v >= 0xff00000000000000ULL && v < 0xfffffe8000000000ULL;
}

/* From R2 on to R3: counts secrets, and keeps the last. R9: the map */
static void look(void)
{
	int next = cnt;

	E(LDX(BPF_DW, R4, R2, 0), LD_IMM64(R5, 0xff00000000000000ULL),
	  JMP_REG(BPF_JLT, R4, R5, 8), LD_IMM64(R5, 0xfffffe8000000000ULL),
	  JMP_REG(BPF_JGE, R4, R5, 5), STX(BPF_DW, R9, R2, 8 * WHERE),
	  STX(BPF_DW, R9, R4, 8 * WHAT), LDX(BPF_DW, R5, R9, 8 * FOUND),
	  ALU64_IMM(BPF_ADD, R5, 1), STX(BPF_DW, R9, R5, 8 * FOUND), ALU64_IMM(BPF_ADD, R2, 8));
	E(JMP_REG(BPF_JLT, R2, R3, next - cnt - 1));
}

static void load(void)
{
	int look_there, loop;

	cnt = 0;
	/* the verifier goes past the first jump, and gives up at once */
	E(MOV_REG(R6, R1), MOV_IMM(R2, 0), JMP_IMM(BPF_JNE, R1, 0, 1), LDX(BPF_B, R3, R2, 0),
	  LDX(BPF_W, R7, R6, offsetof(struct __sk_buff, data)),
	  LDX(BPF_W, R2, R6, offsetof(struct __sk_buff, data_end)), LD_MAP_VALUE(R9, map, 0),
	  LDX(BPF_DW, R8, R7, offsetof(struct order, rounds)));
	look_there = cnt;
	E(JMP_IMM(BPF_JNE, R8, 0, 0));

	/* work: what earlier runs left behind, then helpers with a load and without */
	E(STX(BPF_DW, R9, R6, 8 * CONTEXT), STX(BPF_DW, R9, R10, 8 * STACK),
	  STX(BPF_DW, R9, R7, 8 * PACKET), LDX(BPF_DW, R2, R7, offsetof(struct order, from)),
	  LDX(BPF_DW, R3, R7, offsetof(struct order, to)), JMP_IMM(BPF_JEQ, R2, 0, 14));
	look();
	E(MOV_IMM(R8, 200));
	loop = cnt;
	E(CALL(ktime_get_ns), CALL(ktime_get_ns), MOV_REG(R1, R6), MOV_IMM(R2, 0),
	  CALL(skb_pull_data), ALU64_IMM(BPF_SUB, R8, 1));
	E(JMP_IMM(BPF_JSGT, R8, 0, loop - cnt - 1));
	E(MOV_IMM(R2, 1), ATOMIC(BPF_DW, BPF_ADD, R9, R2, 8 * RUNS), MOV_IMM(R0, 0), EXIT());

	insns[look_there].off = cnt - look_there - 1;
	loop = cnt;
	E(LDX(BPF_DW, R2, R7, offsetof(struct order, from)),
	  LDX(BPF_DW, R3, R7, offsetof(struct order, to)));
	look();
	E(ALU64_IMM(BPF_SUB, R8, 1));
	E(JMP_IMM(BPF_JSGT, R8, 0, loop - cnt - 1));
	E(MOV_IMM(R0, 0), EXIT());

	prog = prog_load(sched_cls.type, "nosy", insns, cnt);
	if (prog < 0)
		bail("load: %s\n%s", strerror(errno), prog_log);
}

static bool run(u64 from, u64 to, u64 rounds)
{
	struct order order = { .from = from, .to = to, .rounds = rounds };
	struct run run = { .data_in = &order, .data_in_size = sizeof(order), .repeat = 1 };

	return !prog_run(prog, &run) && run.retval == 0;
}

static void *work(void *unused)
{
	pin_to_cpu(1);
	while (!over && run(0, 0, 0))
		;
	return NULL;
}

static void forget(void)
{
	static u64 zeros[8];
	u32 zero = 0;

	map_update(map, &zero, zeros);
}

static void nothing_found(const char *what)
{
	if (!ok(!map_word(map, FOUND), "%s", what))
		diag("%llx at %llx, %llu times", (unsigned long long)map_word(map, WHAT),
		     (unsigned long long)map_word(map, WHERE),
		     (unsigned long long)map_word(map, FOUND));
}

static void packet_pointers(void)
{
	u64 until, at;
	pthread_t thread;
	bool fine = true;

	forget();
	over = false;
	pthread_create(&thread, NULL, work, NULL);
	until = now_ns() + 2000000000ULL;
	while (!(at = map_word(map, CONTEXT)) && now_ns() < until)
		usleep(100);
	pin_to_cpu(2);
	until = now_ns() + 4000000000ULL;
	while (at && fine && now_ns() < until)
		fine = run(at, at + sizeof(struct __sk_buff) + 24, 2000);
	over = true;
	pthread_join(thread, NULL);
	ok(at && fine && map_word(map, RUNS), "another CPU reads the snapshot of a run");
	nothing_found("no packet pointer of the kernel's is ever there");
}

static void landing_areas(void)
{
	int budget;
	u64 until, from, to, before;
	bool fine = true;

	forget();
	pin_to_cpu(1);
	if (!run(0, 0, 0))
		fine = false;
	/* Three slots, from the snapshot to the stack, and four landing areas. */
	from = map_word(map, CONTEXT);
	to = from + 3 * (map_word(map, STACK) - from) + 4 * 96;
	/* What handles NMIs, and prints that it does not know them, takes its time. */
	budget = moat_set_budget(60);
	host_nmis(true);
	before = moat_counter("resumes");
	until = now_ns() + 12000000000ULL;
	while (fine && now_ns() < until)
		fine = run(from, to, 0);
	host_nmis(false);
	moat_set_budget(budget);
	ok(fine && map_word(map, RUNS) > 10 && moat_counter("resumes") > (s64)before + 10,
	   "a program runs and is interrupted");
	nothing_found("nothing of the kernel's stays where its runs were interrupted");
}

int main(void)
{
	if (!test_kernel())
		skip_all("needs the test kernel");
	map = map_of_words(0);
	bypass_verifier(true);

	moat_set_level(0);
	pin_to_cpu(0);
	load();
	ok(run(0, 0, 0) && secret(map_word(map, PACKET)),
	   "0: a program knows where the kernel has the packet");
	close(prog);

	if (!moat_present())
		skip_all("needs MOAT");
	moat_set_level(2);
	load();
	packet_pointers();
	landing_areas();
	close(prog);
	bypass_verifier(false);
	return finish();
}
