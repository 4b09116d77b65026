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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "containment.h"

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
