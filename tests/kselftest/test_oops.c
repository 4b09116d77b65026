// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=none,0 cpus=2 oops=allow alone=guest timeout=60 */
/*
 * What do the attacks do at level 0 that the kernel cannot survive there?
 *
 * test_containment and test_arguments show that level 2 stops them. Here each runs
 * in a child of its own that the kernel's oops must kill, or the attack proves
 * nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "moat_test.h"

/*
 * Not XDP, whose test run keeps softirqs off: a task that dies there leaves
 * them off.
 */
static const struct prog_type *const t = &sched_cls;

/* As of a packet that is yet to be cut into segments, so that its length may grow. */
static void run_gso(int fd, u32 flags)
{
	struct __sk_buff ctx = { .gso_size = 10 };
	u8 packet[64] = {};
	struct run run = { .data_in = packet, .data_in_size = sizeof(packet), .ctx_in = &ctx,
			   .ctx_in_size = sizeof(ctx), .repeat = 1, .flags = flags };

	prog_run(fd, &run);
}

static void must_oops_with(const char *what, const char *log, const struct bpf_insn *insns,
			   size_t cnt, u32 flags)
{
	int fd = prog_load(t->type, "rogue_oops", insns, cnt), status = 0;
	pid_t pid;

	if (fd < 0) {
		ok(false, "0: sched_cls %s: loads", what);
		diag("%s\n%s", strerror(errno), prog_log);
		return;
	}
	kmsg_mark();
	fflush(stdout);
	pid = fork();
	if (!pid) {
		run_gso(fd, flags);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	ok(WIFSIGNALED(status) && kmsg_find(log, NULL),
	   "0: sched_cls %s: the kernel oopses", what);
	if (!WIFSIGNALED(status))
		diag("the child lives; in the log: %s", kmsg_find("", NULL));
	/* @fd stays open: the task that died inside the program still counts on it */
}

static void must_oops(const char *what, const char *log, const struct bpf_insn *insns, size_t cnt)
{
	must_oops_with(what, log, insns, cnt, 0);
}

int main(void)
{
	void *user = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	const char *fault = "BUG: unable to handle page fault", *gp = "general protection fault";
	const char *null = "BUG: kernel NULL pointer dereference";

	if (!test_kernel())
		skip_all("needs the test kernel");
	moat_set_level(0);
	pin_to_cpu(0);
	bypass_verifier(true);

	const struct {
		const char *what, *log;
		u64 addr;
		bool write;
	} at[] = {
		{ "writes the IDT", fault, target("idt"), true },
		{ "writes the GDT", fault, target("gdt"), true },
		{ "writes the TSS", fault, target("tss"), true },
		{ "reads user memory", fault, (u64)user, false },
		{ "writes user memory", fault, (u64)user, true },
		{ "reads NULL", null, 0, false },
		{ "writes NULL", null, 0, true },
		{ "reads a non-canonical address", gp, 0x8000000000000000, false },
		{ "writes a non-canonical address", gp, 0x0180000000000000, true },
		{ "reads the last byte", fault, ~0ULL, false },
		{ "writes kernel text", fault, target("wrmsr"), true },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(at); i++) {
		struct bpf_insn insns[] = {
			LD_IMM64(R2, at[i].addr),
			at[i].write ? ST(BPF_DW, R2, 0, 0) : LDX(BPF_B, R2, R2, 0),
			MOV_IMM(R0, 0),
			EXIT(),
		};

		must_oops(at[i].what, at[i].log, insns, ARRAY_SIZE(insns));
	}

	struct bpf_insn huge[] = {
		MOV_IMM(R2, 0),
		MOV_REG(R3, R10),
		ALU64_IMM(BPF_ADD, R3, -8),
		MOV_IMM(R4, 0x7fffffff),
		CALL(skb_load_bytes),
		MOV_IMM(R0, 0),
		EXIT(),
	};
	must_oops("has 2 GiB cleared from the stack up", "", huge, ARRAY_SIZE(huge));

	struct bpf_insn head[] = {
		MOV_IMM(R2, (s32)0x80001000),
		MOV_IMM(R3, 0),
		CALL(skb_change_head),
		MOV_IMM(R0, 0),
		EXIT(),
	};
	must_oops("asks for less than no head room", "kernel BUG at", head, ARRAY_SIZE(head));
	/* test_geometry has this one, and what others make of a packet. */
	struct bpf_insn tail[] = {
		MOV_REG(R6, R1),
		MOV_IMM(R2, 66),
		MOV_IMM(R3, 0),
		CALL(skb_change_head),
		MOV_REG(R1, R6),
		MOV_IMM(R2, 1),
		MOV_IMM(R3, 0),
		CALL(skb_change_tail),
		MOV_IMM(R0, 0),
		EXIT(),
	};
	must_oops_with("cuts the headers off", "kernel BUG at", tail, ARRAY_SIZE(tail),
		       BPF_F_TEST_SKB_CHECKSUM_COMPLETE);
	return finish();
}
