// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 nmi=3000 keys=13 full=1,0 timeout=240 */
/*
 * Can a program that writes on its own stack from another CPU, while the CPU
 * and the kernel use that stack for interrupt frames and return addresses, do
 * more than get itself stopped?
 *
 * One program, two CPUs. On the first it spins, with calls and helpers. On the
 * second it writes all over the stack of the first: random values, its own
 * addresses, kernel addresses. Timer ticks, perf samples and NMIs arrive all
 * along. Whatever it computes is its own affair; but the kernel goes on, its
 * memory is as it was, other programs work, and isolation still holds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "build.h"

#define SECONDS 30

static const char *const canaries[] = {
	"data", "vmalloc", "module", "stack", "ist", "entry_stack", "gdt_rw",
};

/* What the second CPU is told, in the packet. */
struct order {
	u8 mode;	/* 0 spin, 1 write all sorts of things, 2 write poison[0] */
	u8 pad[7];
	u64 from, to, rounds, poison[2];
	u8 rest[16];
} __attribute__((packed));

static int map, prog;

/* Words of the map; of R6, R9 and R10 of the spinning CPU; HOT has a breakpoint. */
enum { FRAME, RUNS, CONTEXT, VALUE, HOT, LAND, LOOT };

static volatile bool over;

static u64 slot(u32 i)
{
	u64 v[64] = {};
	u32 zero = 0;

	map_lookup(map, &zero, v);
	return v[i];
}

/* R7 = the order, R2 = its mode, R9 = the map's value */
static void begin(void)
{
	cnt = 0;
	/* the verifier goes past the first jump, and gives up at once */
	E(MOV_REG(R6, R1), MOV_IMM(R2, 0), JMP_IMM(BPF_JNE, R1, 0, 1), LDX(BPF_B, R3, R2, 0),
	  LDX(BPF_W, R7, R6, offsetof(struct xdp_md, data)), LD_MAP_VALUE(R9, map, 0),
	  LDX(BPF_B, R2, R7, offsetof(struct order, mode)));
}

static void load(void)
{
	int write, poison, call, loop, i;

	begin();
	write = cnt;
	E(JMP_IMM(BPF_JEQ, R2, 1, 0));
	poison = cnt;
	E(JMP_IMM(BPF_JEQ, R2, 2, 0));

	/* spin: 20000 calls, each second of which returns by a gate, with something of it on the stack */
	E(STX(BPF_DW, R9, R6, 8 * CONTEXT), STX(BPF_DW, R9, R9, 8 * VALUE),
	  STX(BPF_DW, R9, R10, 8 * FRAME), MOV_IMM(R8, 20000), ST(BPF_DW, R10, -64, 1));
	loop = cnt;
	E(STX(BPF_DW, R9, R8, 8 * HOT), MOV_REG(R1, R8), JMP_IMM(BPF_JSET, R8, 1, 7));
	call = cnt;
	/* The first of them, or the last one */
	E(CALL_REL(0), JMP_IMM(BPF_JSGT, R8, 0, 6), CALL_REL(0), CALL_REL(0), CALL_REL(0),
	  CALL_REL(0), CALL_REL(0), CALL_REL(0));
	E(STX(BPF_DW, R10, R0, -64), ALU64_IMM(BPF_SUB, R8, 1));
	E(JMP_IMM(BPF_JSGT, R8, 0, loop - cnt - 1));
	E(MOV_IMM(R2, 1), ATOMIC(BPF_DW, BPF_ADD, R9, R2, 8 * RUNS), MOV_IMM(R0, 2), EXIT());

	/* write: R2 runs over [from, to), R3 is random, R4 counts the rounds */
	insns[write].off = cnt - write - 1;
	E(LDX(BPF_DW, R4, R7, offsetof(struct order, rounds)),
	  LDX(BPF_DW, R8, R7, offsetof(struct order, to)),
	  LDX(BPF_DW, R0, R7, offsetof(struct order, poison[0])),
	  LDX(BPF_DW, R5, R7, offsetof(struct order, poison[1])),
	  MOV_REG(R3, R5));
	loop = cnt;
	E(LDX(BPF_DW, R2, R7, offsetof(struct order, from)),
	  ALU64_IMM(BPF_MUL, R3, 1103515245), ALU64_IMM(BPF_ADD, R3, 12345),
	  STX(BPF_DW, R2, R3, 0), STX(BPF_DW, R2, R0, 0), STX(BPF_DW, R2, R5, 0),
	  STX(BPF_DW, R2, R2, 0), ALU64_IMM(BPF_ADD, R2, 8), JMP_REG(BPF_JLT, R2, R8, -8),
	  ALU64_IMM(BPF_SUB, R4, 1));
	E(JMP_IMM(BPF_JSGT, R4, 0, loop - cnt - 1));
	E(MOV_IMM(R0, 2), EXIT());

	/* one value, to one place */
	insns[poison].off = cnt - poison - 1;
	E(LDX(BPF_DW, R4, R7, offsetof(struct order, rounds)),
	  LDX(BPF_DW, R2, R7, offsetof(struct order, from)),
	  LDX(BPF_DW, R0, R7, offsetof(struct order, poison[0])), STX(BPF_DW, R2, R0, 0),
	  ALU64_IMM(BPF_SUB, R4, 1), JMP_IMM(BPF_JSGT, R4, 0, -3), MOV_IMM(R0, 2), EXIT());

	/* the function: a stack of its own, and now and then a helper */
	for (i = call; i < call + 8; i++)
		if (i != call + 1)
			insns[i].imm = cnt - i - 1;
	E(STX(BPF_DW, R10, R1, -8), ALU64_IMM(BPF_AND, R1, 63), JMP_IMM(BPF_JNE, R1, 0, 1),
	  CALL(ktime_get_ns), LDX(BPF_DW, R0, R10, -8), ALU64_IMM(BPF_MUL, R0, 31), EXIT());

	prog = prog_load(xdp.type, "scribbler", insns, cnt);
	if (prog < 0)
		bail("load: %s\n%s", strerror(errno), prog_log);
}

static void *spin(void *unused)
{
	struct order o = {};
	/* Not more: the other CPU runs XDP when this one is done; see README.md. */
	struct run run = { .data_in = &o, .data_in_size = sizeof(o), .repeat = 1 };

	pin_to_cpu(1);
	while (!over && !prog_run(prog, &run) && run.retval == xdp.pass)
		;
	return NULL;
}

static void wake(int sig)
{
}

static u64 random64(void)
{
	static u64 x = 88172645463325252ULL;

	x ^= x << 13;
	x ^= x >> 7;
	return x ^= x << 17;
}

/* Samples of the spinning CPU, with user and kernel callchains. */
static int perf_on(int cpu)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .config = PERF_COUNT_SW_CPU_CLOCK,
		.size = sizeof(attr), .freq = 1, .sample_freq = 2000,
		.sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_CALLCHAIN,
	};

	return syscall(__NR_perf_event_open, &attr, -1, cpu, -1, 0);
}

/* #DB on the spinning CPU, and no other: an NMI would hold up who writes, too. */
static int break_at(u64 addr)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT, .size = sizeof(attr), .bp_type = HW_BREAKPOINT_W,
		.bp_addr = addr, .bp_len = HW_BREAKPOINT_LEN_8, .sample_period = 1,
		.exclude_user = 1,
	};
	int fd = syscall(__NR_perf_event_open, &attr, -1, 1, -1, 0);

	if (fd < 0)
		diag("breakpoint: %s", strerror(errno));
	return fd;
}

/*
 * RIP values that look right: where the program is, sites behind it, and where
 * the gates are about to jump, which is a place that is done again. So are the
 * first instructions of NMI and #DB, for whom they did not interrupt.
 */
static u64 image;
static u64 gates[3], entries[3];

static void find_addresses(void)
{
	static const char *const names[] = {
		" moat_enter_jmp\t", " moat_view_jmp\t", " moat_return_jmp\t",
	};
	static const char *const entry_names[] = {
		" asm_exc_nmi\n", " asm_exc_debug\n", " asm_exc_double_fault\n",
	};
	char line[256];
	FILE *f = fopen("/proc/kallsyms", "r");

	image = 0;
	while (f && fgets(line, sizeof(line), f)) {
		if (strstr(line, "_scribbler"))
			image = strtoull(line, NULL, 16);
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			if (strstr(line, names[i]))
				gates[i] = strtoull(line, NULL, 16);
		for (size_t i = 0; i < ARRAY_SIZE(entry_names); i++)
			if (strstr(line, entry_names[i]))
				entries[i] = strtoull(line, NULL, 16);
	}
	if (f)
		fclose(f);
}

static u64 an_entry(void)
{
	return entries[random64() % 5 % ARRAY_SIZE(entries)] + random64() % 96;
}

/* One program, from load to death or half a second. */
static bool fight(int round, bool isolated)
{
	static const struct {
		int below, above;	/* what is written of the stack, around R10 */
	} parts[] = {
		{ 4096, 0 },		/* to be rounded to R10's page */
		{ 160, 24 },		/* the frame, and what is pushed under it */
		{ 400, -128 },		/* only where an interrupt pushes */
		{ 700, 24 },
		{ 240, -128 },
		{ -64, 3072 },		/* other slots, and where NMIs land */
		{ 0, 0 },		/* the address in the frame of a #DB */
	};
	u64 poisons[] = {
		0, ~0ULL, target("wrmsr"), target("data"), target("stack"), 0x8000000000000000ULL,
	};
	struct order o = { .mode = 1, .rounds = 200 };
	struct run run = { .data_in = &o, .data_in_size = sizeof(o), .repeat = 1 };
	pthread_t thread;
	int breakpoint;
	u64 fp, until, same = 0;
	bool dead = false;
	int i = round % ARRAY_SIZE(parts);
	bool exact = i == ARRAY_SIZE(parts) - 1;
	static u64 zeros[64];
	u32 zero = 0;

	map_update(map, &zero, zeros);
	load();
	find_addresses();
	kmsg_mark();
	over = false;
	pthread_create(&thread, NULL, spin, NULL);
	until = now_ns() + 2000000000ULL;
	while (!(fp = slot(FRAME)) && now_ns() < until)
		usleep(100);
	if (!fp)
		diag("round %d: it does not spin", round);

	o.from = i ? fp - parts[i].below : fp & ~4095ULL;
	o.to = i ? fp + parts[i].above : o.from + 4096;
	if (exact) {
		/* Behind three slots, from R6 to R10, land #MC, #DB, NMI and #DF. */
		o.from = slot(CONTEXT) + 3 * (fp - slot(CONTEXT)) + 2 * 96 - 5 * 8;
		o.to = o.from + 8;
		o.rounds = 20000;
		o.mode = 2;
		/* of a #DB, if it is to be believed */
		same = entries[1] + 12 + random64() % 40;
	}
	if (!isolated) {
		/* that would be a kernel stack: write on the map value */
		o.from = fp ? target("data") : 0;
		o.to = o.from + 64;
	}
	breakpoint = exact && fp ? break_at(slot(VALUE) + 8 * HOT) : -1;
	until = now_ns() + 300000000ULL;
	while (fp && !dead && now_ns() < until) {
		/* something an interrupt frame could hold, and something else */
		switch (random64() % 6) {
		case 0:
			o.poison[0] = image ? image + random64() % 1024 : 0;
			break;
		case 3:
			o.poison[0] = gates[random64() % ARRAY_SIZE(gates)] + random64() % 8;
			break;
		case 5:
			o.poison[0] = an_entry();
			break;
		case 1:		/* flags: TF, IF, IOPL, NT, AC */
			o.poison[0] = 0x246 ^ (random64() & 0x47300);
			break;
		case 2:
			o.poison[0] = random64() & 1 ? 0x10 : 0x18;
			break;
		default:
			o.poison[0] = poisons[random64() % ARRAY_SIZE(poisons)];
		}
		o.poison[1] = random64() & 1 ? random64() : o.from + random64() % 4096;
		if (exact)
			o.poison[0] = same;
		dead = prog_run(prog, &run) || run.retval != xdp.pass;
	}
	close(breakpoint);
	over = true;
	while (pthread_tryjoin_np(thread, NULL)) {
		pthread_kill(thread, SIGUSR1);
		usleep(1000);
	}
	dead |= kmsg_stopped(prog, "scribbler") != NULL;
	close(prog);
	return dead;
}

/*
 * A way out, if RIP is believed. What spins has in its registers what the kernel's code
 * that writes an MSR is to write, PKRS, and nothing on its stack but the address where it
 * goes on from there, to read the kernel's memory. The other CPU puts the address of that
 * code where RIP is pushed.
 */
#define DEPTH 128
#define PKRS 0x6e1

static void load_forger(void)
{
	int poison, land;

	begin();
	poison = cnt;
	E(JMP_IMM(BPF_JEQ, R2, 2, 0));
	land = cnt;
	E(JMP_IMM(BPF_JEQ, R2, 3, 0));

	E(LDX(BPF_DW, R5, R9, 8 * LAND));
	for (int off = -DEPTH; off < 0; off += 8)
		E(STX(BPF_DW, R10, R5, off));
	E(STX(BPF_DW, R9, R10, 8 * FRAME), MOV_IMM(R4, 10000000), MOV_IMM(R1, PKRS),
	  MOV_IMM(R2, 0), MOV_IMM(R3, 0), ALU64_IMM(BPF_SUB, R4, 1), JMP_IMM(BPF_JNE, R4, 0, -2),
	  MOV_IMM(R0, 2), EXIT());

	insns[poison].off = cnt - poison - 1;
	E(LDX(BPF_DW, R4, R7, offsetof(struct order, rounds)),
	  LDX(BPF_DW, R2, R7, offsetof(struct order, from)),
	  LDX(BPF_DW, R0, R7, offsetof(struct order, poison[0])), STX(BPF_DW, R2, R0, 0),
	  ALU64_IMM(BPF_SUB, R4, 1), JMP_IMM(BPF_JSGT, R4, 0, -3), MOV_IMM(R0, 2), EXIT());

	insns[land].off = cnt - land - 1;
	E(LD_IMM64(R2, target("data")), LDX(BPF_DW, R3, R2, 0), LD_MAP_VALUE(R1, map, 0),
	  STX(BPF_DW, R1, R3, 8 * LOOT), MOV_IMM(R0, 2), EXIT());

	prog = prog_load(xdp.type, "forger", insns, cnt);
	if (prog < 0)
		bail("load: %s\n%s", strerror(errno), prog_log);
}

/* Where in its image the program loads @value: movabs $value, %rsi */
static u64 where_loaded(int fd, u64 value)
{
	static u8 image[4096];
	u64 start = 0;
	struct bpf_prog_info info = {
		.jited_prog_insns = (uintptr_t)image, .jited_prog_len = sizeof(image),
		.jited_ksyms = (uintptr_t)&start, .nr_jited_ksyms = 1,
	};
	u32 len = sizeof(info), i;

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		bail("info: %s", strerror(errno));
	for (i = 0; start && i + 10 <= info.jited_prog_len; i++)
		if (image[i] == 0x48 && image[i + 1] == 0xbe && !memcmp(image + i + 2, &value, 8))
			return start + i;
	bail("the image of a program is not to be had");
}

static void forged_rip(void)
{
	struct order o = { .mode = 2, .rounds = 100000, .poison = { target("wrmsr") } };
	struct run run = { .data_in = &o, .data_in_size = sizeof(o), .repeat = 1 };
	u64 words[64] = { 0 }, fp, until;
	bool dead = false;
	pthread_t thread;
	u32 zero = 0;

	canary_reset();
	load_forger();
	words[LAND] = where_loaded(prog, target("data"));
	map_update(map, &zero, words);
	kmsg_mark();
	over = false;
	pthread_create(&thread, NULL, spin, NULL);
	until = now_ns() + 10000000000ULL;
	while (!(fp = slot(FRAME)) && now_ns() < until)
		usleep(100);
	o.from = fp - DEPTH - 5 * 8;
	while (fp && !dead && !slot(LOOT) && now_ns() < until)
		dead = prog_run(prog, &run) || run.retval != xdp.pass;
	over = true;
	pthread_join(thread, NULL);
	ok(!slot(LOOT), "nothing is read after an interrupt returns to what opens PKRS");
	ok(kmsg_stopped(prog, "forger"), "that is stopped");
	close(prog);
}

static bool good_program(void)
{
	const struct bpf_insn good[] = {
		LD_MAP_VALUE(R1, map, 256), MOV_IMM(R2, 1), ATOMIC(BPF_DW, BPF_ADD, R1, R2, 0),
		CALL(ktime_get_ns), MOV_IMM(R0, 2), EXIT(),
	};
	u64 before = slot(32);
	int fd = PROG_LOAD(xdp.type, "good", good);
	bool ran = fd >= 0 && prog_run_once(fd) == 2 && slot(32) == before + 1;

	close(fd);
	return ran;
}

/* Does a CPU still stop a program that reads the kernel's memory? */
static bool still_isolated(int cpu)
{
	const struct bpf_insn rogue[] = {
		LD_IMM64(R2, target("data")), LDX(BPF_DW, R3, R2, 0), MOV_IMM(R0, 2), EXIT(),
	};
	int fd = PROG_LOAD(xdp.type, "rogue", rogue);
	bool stopped;

	pin_to_cpu(cpu);
	stopped = fd >= 0 && prog_run_once(fd) == xdp.safe;
	close(fd);
	return stopped;
}

int main(void)
{
	bool isolated = moat_present();
	int rounds = 0, dead = 0, perf[2], cpu;
	u64 content[ARRAY_SIZE(canaries)], until;
	size_t i;

	if (!test_kernel())
		skip_all("needs the test kernel");
	sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = wake }, NULL);
	map = map_create(BPF_MAP_TYPE_ARRAY, 4, 512, 1);
	bypass_verifier(true);
	moat_set_level(isolated ? 2 : 0);
	pin_to_cpu(2);
	canary_reset();
	for (i = 0; i < ARRAY_SIZE(canaries); i++)
		content[i] = canary(canaries[i]);
	perf[0] = perf_on(1);
	perf[1] = perf_on(2);
	if (isolated)
		forged_rip();
	host_nmis(true);
	until = now_ns() + SECONDS * 1000000000ULL;
	while (now_ns() < until)
		dead += fight(rounds++, isolated);
	host_nmis(false);
	diag("%d programs, %d of them stopped", rounds, dead);
	if (isolated)
		ok(image && gates[0] && gates[1] && gates[2] && entries[0] && entries[1] &&
		   entries[2], "addresses to forge are known");
	if (isolated) {
		ok(dead > 0, "a program that writes over its frames is stopped at times");
		for (cpu = 0; cpu < 4; cpu++)
			ok(still_isolated(cpu), "CPU %d still stops what reads kernel memory", cpu);
	} else {
		skip("no moat.ko", "a program that writes over its frames");
	}
	pin_to_cpu(2);
	for (i = 0; i < ARRAY_SIZE(canaries); i++)
		if (isolated || strcmp(canaries[i], "data"))
			ok(canary(canaries[i]) == content[i], "%s is as it was", canaries[i]);
	ok(good_program(), "another program runs");
	close(perf[0]);
	close(perf[1]);
	canary_reset();
	return finish();
}
