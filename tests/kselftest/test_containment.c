// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,1,0 timeout=300 */
/*
 * Can a program that no verifier looked at reach memory that is not its own?
 *
 * Here by loads and stores; test_arguments has the rest. At level 0 the value read
 * is the canary, and a write is seen there; at level 2 the report names the access
 * and the address, and the canary is left alone. Attacks that would kill the kernel
 * at level 0 are run here at level 2 only; test_oops shows their other side.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "attack.h"

/* Of CPU 0: arch/x86/include/asm/moat.h, MOAT_RESUME_BASE */
#define RESUME_PAGE 0xfffffe8000000000ULL

static bool canary_is_mark(struct run *run, const void *name)
{
	return canary(name) == MARK;
}

static bool canary_is_half_mark(struct run *run, const void *name)
{
	return (u32)canary(name) == (u32)MARK;
}

static const struct prog_type *any_type(void)
{
	static const struct prog_type *const all[] = {
		&xdp, &sched_cls, &sched_act, &socket_filter, &cgroup_skb,
	};
	static int i;

	return all[i++ % ARRAY_SIZE(all)];
}

static void kernel_read(const struct prog_type *t, const char *name, const char *what)
{
	u64 addr = target(name), value;
	struct bpf_insn insns[] = {
		LD_IMM64(R2, addr),
		LDX(BPF_DW, R3, R2, 0),
		TAKE_R3(),
		FINISH(t),
	};
	char text[64];

	snprintf(text, sizeof(text), "%s reads %s", t->name, what);
	canary_reset();
	value = canary(name);
	ATTACK(insns, t, "rogue_read", "read", addr, loot_is, &value, text);
}

static void kernel_write(const struct prog_type *t, const char *name, int size, const char *what)
{
	u64 addr = target(name);
	struct bpf_insn insns[] = {
		LD_IMM64(R2, addr),
		LD_IMM64(R3, MARK),
		STX(size, R2, R3, 0),
		FINISH(t),
	};
	char text[64];

	snprintf(text, sizeof(text), "%s writes %s", t->name, what);
	ATTACK(insns, t, "rogue_write", "write", addr,
	       size == BPF_DW ? canary_is_mark : canary_is_half_mark, name, text);
}

static void kernel_memory(void)
{
	static const struct {
		const char *name, *what;
	} places[] = {
		{ "data", "the direct map" },
		{ "vmalloc", "vmalloc memory" },
		{ "module", "module data" },
		{ "stack", "a kernel stack" },
		{ "ist", "an IST stack" },
		{ "entry_stack", "the entry stack" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		kernel_read(any_type(), places[i].name, places[i].what);
		kernel_write(any_type(), places[i].name, BPF_DW, places[i].what);
		any_type();	/* so that types and places do not go in step */
	}
	kernel_write(&xdp, "gdt_rw", BPF_DW, "the GDT, writable alias");
	kernel_write(&xdp, "tss_rw", BPF_W, "the TSS, writable alias");
}

static int to_parent[2], to_child[2];

static bool child_is_root(struct run *run, const void *arg)
{
	uid_t euid;

	if (write(to_child[1], "g", 1) != 1 || read(to_parent[0], &euid, 4) != 4)
		return false;
	return euid == 0;
}

/* A child that has given up root; its credentials are the target. */
static void credentials(void)
{
	u64 addr, value = 1000;
	uid_t euid;
	char go;
	pid_t pid;

	if (pipe(to_parent) || pipe(to_child))
		bail("pipe: %s", strerror(errno));
	pid = fork();
	if (!pid) {
		int fd = open("/sys/kernel/debug/moat_test/targets", O_RDONLY);
		char text[1024] = "";

		if (setresuid(1000, 1000, 1000) || read(fd, text, sizeof(text) - 1) < 0)
			_exit(1);
		addr = strtoull(strstr(text, "cred=") + 5, NULL, 16);
		if (write(to_parent[1], &addr, 8) != 8)
			_exit(1);
		while (read(to_child[0], &go, 1) == 1 && go == 'g') {
			euid = geteuid();
			if (write(to_parent[1], &euid, 4) != 4)
				_exit(1);
		}
		_exit(0);
	}
	if (read(to_parent[0], &addr, 8) != 8)
		bail("the child is gone");

	struct bpf_insn rd[] = {
		LD_IMM64(R2, addr),
		LDX(BPF_W, R3, R2, 0),
		TAKE_R3(),
		FINISH(&xdp),
	};
	ATTACK(rd, &xdp, "rogue_cred_r", "read", addr, loot_is, &value,
	       "xdp reads the credentials of a task");
	struct bpf_insn wr[] = {
		LD_IMM64(R2, addr),
		ST(BPF_W, R2, 0, 0),
		FINISH(&sched_cls),
	};
	ATTACK(wr, &sched_cls, "rogue_cred_w", "write", addr, child_is_root, NULL,
	       "sched_cls makes a task root");
	if (write(to_child[1], "x", 1) != 1)
		diag("the child is gone");
	waitpid(pid, NULL, 0);
	close(to_parent[0]);
	close(to_parent[1]);
	close(to_child[0]);
	close(to_child[1]);
}

static bool user_lost(struct run *run, const void *user)
{
	return *(u64 *)user != MARK || loot_at(0) == (u8)MARK;
}

/* What the kernel would not survive at level 0. */
static void fatal_accesses(void)
{
	void *user = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	const struct {
		const char *name, *what;
		u64 addr;
		bool write;
	} at[] = {
		{ "rogue_idt", "writes the IDT", target("idt"), true },
		{ "rogue_gdt", "writes the GDT", target("gdt"), true },
		{ "rogue_tss", "writes the TSS", target("tss"), true },
		{ "rogue_user_r", "reads user memory", (u64)user, false },
		{ "rogue_user_w", "writes user memory", (u64)user, true },
		{ "rogue_null_r", "reads NULL", 0, false },
		{ "rogue_null_w", "writes NULL", 0, true },
		{ "rogue_noncan_r", "reads a non-canonical address", 0x8000000000000000, false },
		{ "rogue_noncan_w", "writes a non-canonical address", 0x0180000000000000, true },
		{ "rogue_top_r", "reads the last byte", ~0ULL, false },
		{ "rogue_text_w", "writes kernel text", target("wrmsr"), true },
		{ "rogue_resume_w", "writes what interrupted programs resume from",
		  RESUME_PAGE + 2048, true },
	};
	size_t i;

	*(u64 *)user = MARK;
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		const struct prog_type *t = any_type();
		char text[64];
		struct bpf_insn rd[] = {
			LD_IMM64(R2, at[i].addr),
			LDX(BPF_B, R3, R2, 0),
			TAKE_R3(),
			FINISH(t),
		};
		struct bpf_insn wr[] = {
			LD_IMM64(R2, at[i].addr),
			ST(BPF_DW, R2, 0, 0),
			FINISH(t),
		};

		snprintf(text, sizeof(text), "%s %s", t->name, at[i].what);
		if (level == 0)
			continue;
		attack(&(struct attack){ t, at[i].name, at[i].write ? "write" : "read",
					 at[i].addr, user_lost, user, text },
		       at[i].write ? wr : rd, at[i].write ? ARRAY_SIZE(wr) : ARRAY_SIZE(rd));
	}
	munmap(user, 4096);
}

/* Far below the frame, where at level 0 the rest of the kernel stack is. */
static void stack_overflow(void)
{
	static const s16 below[] = { -8192, -32760 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(below); i++) {
		u64 value = MARK;
		char text[64];
		struct bpf_insn insns[] = {
			LD_IMM64(R2, MARK),
			STX(BPF_DW, R10, R2, below[i]),
			LDX(BPF_DW, R3, R10, below[i]),
			TAKE_R3(),
			FINISH(&sched_cls),
		};

		if (level == 0 && below[i] < -8192)
			continue;	/* off the end of the kernel stack */
		snprintf(text, sizeof(text), "sched_cls writes %d bytes below its frame", -below[i]);
		ATTACK(insns, &sched_cls, "rogue_deep", "write", ANYWHERE, loot_is, &value, text);
	}
}

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

static void other_program(void)
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

/*
 * A field of the context that programs of its type may only read: what is written is the
 * snapshot, and stays there. At level 0 something else is where that is.
 */
static void read_only_field(void)
{
	struct bpf_insn insns[] = {
		MOV_IMM(R2, (u16)MARK),
		STX(BPF_W, R1, R2, offsetof(struct __sk_buff, mark)),
		LDX(BPF_W, R3, R1, offsetof(struct __sk_buff, mark)),
		TAKE_R3(),
		FINISH(&socket_filter),
	};
	struct __sk_buff ctx = {};
	struct run run;
	bool ran;
	int fd;

	if (level == 0)
		return;
	loot_clear();
	run_packet(&run, 64);
	run.ctx_out = &ctx;
	run.ctx_out_size = sizeof(ctx);
	fd = load(&socket_filter, "rogue_field", insns, ARRAY_SIZE(insns));
	ran = fd >= 0 && !prog_run(fd, &run);
	if (!ok(ran && loot_at(1) == DONE && loot_at(0) == (u16)MARK && !ctx.mark,
		"2: socket_filter writes the mark of its packet: nothing got out"))
		diag("it is %x, loot %lx %lx", ctx.mark, loot_at(0), loot_at(1));
	close(fd);
}

static void attacks(void)
{
	read_only_field();
	kernel_memory();
	credentials();
	fatal_accesses();
	stack_overflow();
	other_program();
}

int main(void)
{
	return at_each_level(attacks);
}
