// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,0 full=1 timeout=300 */
/*
 * What if classic filters are converted to what reaches memory that is not theirs?
 *
 * No verifier looks at them. A switch of the test kernel has the next filter converted to
 * instructions of the test's: loads and stores of kernel memory, of more than the context,
 * of the context itself; loops; calls. As a socket's filter, and as one of seccomp's. At
 * level 0, and confined, each of these must succeed. At levels 1 and 2 it is contained: no
 * packet arrives, or the process is killed by SIGSYS, and so is the next that has the
 * filter; it is reported and counted, and others go on.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "jail.h"

#define CONVERTED "/sys/kernel/debug/moat_test/converted"
#define MARK 0x5eed5eed5eed5eedULL
/* What the converted filter may have in its place, at most */
#define LONGEST 60

static enum jail_mode mode;

struct code {
	const struct bpf_insn *insns;
	u32 n;
};

/* A filter that is converted to at least as much; it lets nothing but ALLOW through. */
static u32 placeholder(struct sock_filter *insns)
{
	for (u32 i = 0; i < LONGEST; i++)
		insns[i] = C(BPF_ALU | BPF_NEG, 0);
	insns[LONGEST] = RET(SECCOMP_RET_ALLOW);
	return LONGEST + 1;
}

/* The next filter of this process is @code. */
static void convert_to(const struct code *code)
{
	int fd = open(CONVERTED, O_WRONLY);
	ssize_t len = code->n * sizeof(code->insns[0]);

	if (fd < 0 || write(fd, code->insns, len) != len)
		bail(CONVERTED ": %s", strerror(errno));
	close(fd);
}

/* 0, or -errno */
static int jail_of(const struct code *code)
{
	struct sock_filter insns[LONGEST + 1];

	convert_to(code);
	return jail(insns, placeholder(insns), 0);
}

/* A pair of sockets, or -errno */
static int attach(const struct code *code, int s[2])
{
	struct sock_filter insns[LONGEST + 1];
	struct sock_fprog prog = { placeholder(insns), insns };

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, s))
		bail("socketpair: %s", strerror(errno));
	convert_to(code);
	return setsockopt(s[1], SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) ? -errno : 0;
}

static void set_mode(enum jail_mode to)
{
	static const int levels[] = { 0, 1, 2, 2 };

	mode = to;
	moat_set_level(levels[to]);
	moat_set_confined(to == J_CONFINED);
}

/* In front of an attack by a filter of seccomp's: other calls than NR are let through. */
static const struct bpf_insn only_nr[] = {
	MOV_REG(R6, R1), LDX(BPF_W, R0, R6, 0), JMP_IMM(BPF_JEQ, R0, NR, 2),
	MOV_IMM(R0, SECCOMP_RET_ALLOW), EXIT(),
};

static int probes(const void *unused)
{
	return probe(0) != -ENOSYS;
}

/* A child makes the call, and then who has the same filter does. */
static int make_calls(const void *attack)
{
	const struct code *code = attack;
	struct bpf_insn insns[LONGEST];
	int status;

	memcpy(insns, only_nr, sizeof(only_nr));
	memcpy(insns + ARRAY_SIZE(only_nr), code->insns, code->n * sizeof(insns[0]));
	if (jail_of(&(struct code){ insns, ARRAY_SIZE(only_nr) + code->n }))
		return 1;
	status = in_child(probes, NULL);
	if (status && !was_killed(status))
		return 2;
	return probes(NULL);
}

/* How many of two packets arrive, or -1: not attached */
static int packets(const struct code *code)
{
	int s[2], n = 0, err = attach(code, s);
	char byte;

	for (int i = 0; !err && i < 2; i++) {
		if (send(s[0], "moat", 4, 0) != 4)
			diag("send: %s", strerror(errno));
		n += recv(s[1], &byte, 1, MSG_DONTWAIT) == 1;
	}
	close(s[0]);
	close(s[1]);
	return err ? -1 : n;
}

/* Somebody else's filters, made before any attack */
static int others[2];
static pid_t jailed;
static int ask[2], told[2];

static void make_others(void)
{
	const struct sock_filter insns[] = {
		ONLY_NR, LD_ARG(0), C(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO),
		C(BPF_RET | BPF_A, 0),
	};
	struct sock_filter all[] = { RET(-1) };
	struct sock_fprog prog = { 1, all };
	char byte;

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, others) || pipe(ask) || pipe(told) ||
	    setsockopt(others[1], SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)))
		bail("others: %s", strerror(errno));
	jailed = fork();
	if (jailed)
		return;
	if (JAIL(insns))
		_exit(1);
	while (read(ask[0], &byte, 1) == 1) {
		byte = probe(77) == -77;
		if (write(told[1], &byte, 1) != 1)
			break;
	}
	_exit(0);
}

static bool others_go_on(void)
{
	char byte = 0, got = 0;

	if (write(ask[1], &byte, 1) != 1 || read(told[0], &byte, 1) != 1 || !byte)
		return false;
	return send(others[0], "x", 1, 0) == 1 &&
	       recv(others[1], &got, 1, MSG_DONTWAIT) == 1 && got == 'x';
}

struct attack {
	const char *what, *report;
	struct code code;
	/* What becomes of it if it succeeds; NULL: nobody sees */
	bool (*landed)(void);
	bool fatal;		/* to the kernel, where it is not contained */
	bool reads;		/* which level 1 lets it */
};

static void one(const struct attack *a, bool of_seccomp)
{
	const char *kind = of_seccomp ? "seccomp" : "socket_filter";
	bool contained = jail_is_isolated(mode) && !(mode == J_LEVEL_1 && a->reads);
	s64 violations = moat_counter("violations");
	bool stopped, passed, landed;
	const char *line;
	char type[64];
	int status;

	if (a->fatal && !contained)
		return;
	canary_reset();
	kmsg_mark();
	status = of_seccomp ? in_child(make_calls, &a->code) : packets(&a->code);
	landed = a->landed && a->landed();
	stopped = of_seccomp ? was_killed(status) : status == 0;
	passed = of_seccomp ? status == 0 : status == 2;
	if (contained) {
		snprintf(type, sizeof(type), "classic filter (type %s, of test_converted[", kind);
		line = kmsg_find(type, a->report);
		ok(stopped && !landed && line && moat_counter("violations") == violations + 1,
		   "%s: %s %s: contained", jail_mode_name[mode], kind, a->what);
		if (!stopped || landed || !line)
			diag("status %#x%s, %ld violations, %s", status, landed ? ", landed" : "",
			     moat_counter("violations") - violations,
			     line ?: kmsg_find("moat: ", NULL) ?: "nothing in the log");
		ok(others_go_on(), "%s: %s %s: others go on", jail_mode_name[mode], kind, a->what);
	} else {
		if (!ok(passed && (landed || !a->landed), "%s: %s %s: succeeds",
			jail_mode_name[mode], kind, a->what))
			diag("status %#x%s", status, landed ? "" : ", in vain");
	}
	canary_reset();
}

static void attack(const struct attack *a)
{
	one(a, false);
	one(a, true);
}

static bool canary_is_mark(void)
{
	return canary("data") == MARK;
}

static bool copied(void)
{
	return canary("vmalloc") == canary("data");
}

#define PASS() MOV_IMM(R0, SECCOMP_RET_ALLOW), EXIT()
#define ATTACK(INSNS, WHAT, REPORT, ...) \
	attack(&(struct attack){ .what = WHAT, .report = REPORT, \
				 .code = { INSNS, ARRAY_SIZE(INSNS) }, __VA_ARGS__ })

static void kernel_memory(void)
{
	u64 data = target("data"), vmalloc = target("vmalloc");
	const struct bpf_insn write[] = {
		LD_IMM64(R2, data), LD_IMM64(R3, MARK), STX(BPF_DW, R2, R3, 0), PASS(),
	}, copy[] = {
		LD_IMM64(R2, data), LDX(BPF_DW, R3, R2, 0), LD_IMM64(R4, vmalloc),
		STX(BPF_DW, R4, R3, 0), PASS(),
	}, only_if[] = {
		/* passes only if it has read what is there */
		LD_IMM64(R2, data), LDX(BPF_DW, R3, R2, 0), LD_IMM64(R4, canary("data")),
		MOV_IMM(R0, SECCOMP_RET_ALLOW), JMP_REG(BPF_JEQ, R3, R4, 1), MOV_IMM(R0, 0), EXIT(),
	}, null[] = {
		MOV_IMM(R2, 0), LDX(BPF_DW, R3, R2, 0), PASS(),
	}, text[] = {
		LD_IMM64(R2, target("wrmsr")), ST(BPF_DW, R2, 0, 0), PASS(),
	};

	ATTACK(write, "writes kernel memory", ": write of ", .landed = canary_is_mark);
	ATTACK(copy, "copies kernel memory", mode == J_LEVEL_1 ? ": write of " : ": read of ",
	       .landed = copied);
	ATTACK(only_if, "reads kernel memory", ": read of ", .reads = true);
	ATTACK(null, "reads NULL", ": read of ", .fatal = true);
	ATTACK(text, "writes kernel text", ": write of ", .fatal = true);
}

static void control(void)
{
	const struct bpf_insn endless[] = { JA(-1), PASS() };
	const struct bpf_insn deep[] = {
		/* over the end of what it has for a stack, and of what follows that */
		MOV_REG(R2, R10), ALU64_IMM(BPF_SUB, R2, 1 << 20), ST(BPF_DW, R2, 0, 0), PASS(),
	};
	int budget = moat_set_budget(1);

	ATTACK(endless, "does not end", "", .fatal = true);
	moat_set_budget(budget);
	ATTACK(deep, "overruns its stack", ": write of ", .fatal = true);
}

/* What filters of seccomp's are run with */

static int changes_data(const void *unused)
{
	const struct sock_filter old[] = {
		ONLY_NR, LD_ARG(0), C(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO),
		C(BPF_RET | BPF_A, 0),
	};
	/* It comes first, and has the other one see another argument. */
	const struct bpf_insn insns[] = {
		MOV_REG(R6, R1), LDX(BPF_W, R2, R6, 0), JMP_IMM(BPF_JNE, R2, NR, 1),
		ST(BPF_DW, R6, offsetof(struct seccomp_data, args[0]), 99), PASS(),
	};

	if (JAIL(old) || jail_of(&(struct code){ insns, ARRAY_SIZE(insns) }))
		return 1;
	return -probe(33);
}

/* A word that is behind the data, on the kernel's stack: is any of them not 0? */
static int looks_behind(const void *unused)
{
	const struct bpf_insn insns[] = {
		MOV_REG(R6, R1), LDX(BPF_W, R4, R6, 0), JMP_IMM(BPF_JEQ, R4, NR, 2), PASS(),
		LDX(BPF_DW, R2, R6, 64), LDX(BPF_DW, R3, R6, 72), ALU64_REG(BPF_OR, R2, R3),
		LDX(BPF_DW, R3, R6, 80), ALU64_REG(BPF_OR, R2, R3),
		LDX(BPF_DW, R3, R6, 88), ALU64_REG(BPF_OR, R2, R3),
		MOV_IMM(R0, SECCOMP_RET_ERRNO | 1), JMP_IMM(BPF_JNE, R2, 0, 1),
		MOV_IMM(R0, SECCOMP_RET_ERRNO | 2), EXIT(),
	};

	if (jail_of(&(struct code){ insns, ARRAY_SIZE(insns) }))
		return 77;
	return -probe(0);
}

static void context(void)
{
	bool apart = jail_is_isolated(mode);
	int status = in_child(changes_data, NULL);

	ok(WIFEXITED(status) && WEXITSTATUS(status) == (apart ? 33 : 99),
	   "%s: a filter changes what the next is run with: %s", jail_mode_name[mode],
	   apart ? "in vain" : "succeeds");
	status = in_child(looks_behind, NULL);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == (apart ? 2 : 1),
	   "%s: a filter looks behind its data, on the kernel's stack: %s", jail_mode_name[mode],
	   apart ? "nothing is there" : "succeeds");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != (apart ? 2 : 1))
		diag("status %#x", status);
}

/* Calls of what no filter may call */

static u64 symbol(const char *name)
{
	char line[256], symbol[128];
	u64 addr = 0, at;
	FILE *f = fopen("/proc/kallsyms", "r");

	while (!addr && f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx %*c %127s", &at, symbol) == 2 && !strcmp(symbol, name))
			addr = at;
	if (f)
		fclose(f);
	if (!addr)
		bail("no symbol %s", name);
	return addr;
}

static struct bpf_insn call_of(const char *function)
{
	return INSN(BPF_JMP | BPF_CALL, 0, 0, 0, symbol(function) - symbol("__bpf_call_base"));
}

/* A load that filters have by a call: what is to be the packet is kernel memory. */
static void loads(void)
{
	u64 data = target("data");
	const struct bpf_insn insns[] = {
		LD_IMM64(R2, data), MOV_IMM(R3, 8), MOV_IMM(R4, 1), MOV_REG(R4, R4),
		call_of("bpf_skb_load_helper_32"),
		LD_IMM64(R4, __builtin_bswap32(canary("data") >> 8)),
		MOV_REG(R3, R0), MOV_IMM(R0, SECCOMP_RET_ALLOW),
		JMP_REG(BPF_JEQ, R3, R4, 1), MOV_IMM(R0, 0), EXIT(),
	};

	one(&(struct attack){ .what = "loads kernel memory", .report = ": read of ", .reads = true,
			      .code = { insns, ARRAY_SIZE(insns) } }, false);
}

static int takes(const void *code)
{
	return -jail_of(code);
}

static void calls(void)
{
	static const char *const functions[] = { "bpf_ktime_get_ns", "bpf_skb_load_helper_32", "kfree" };
	bool apart = jail_is_isolated(mode);

	for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
		const struct bpf_insn insns[] = {
			JA(1),	/* it need not be called to be looked at */
			call_of(functions[i]),
			PASS(),
		};
		const struct code code = { insns, ARRAY_SIZE(insns) };
		int status = in_child(takes, &code);

		ok(WIFEXITED(status) && WEXITSTATUS(status) == (apart ? EINVAL : 0),
		   "%s: a filter of seccomp's that calls %s is %s", jail_mode_name[mode], functions[i],
		   apart ? "refused" : "taken");
	}
}

int main(void)
{
	if (!test_kernel() || access(CONVERTED, F_OK))
		skip_all("needs the test kernel");
	if (!moat_present())
		skip_all("no moat.ko");
	pin_to_cpu(0);
	set_mode(J_LEVEL_2);
	make_others();
	for (int to = J_PLAIN; to < J_MODES; to++) {
		set_mode(to);
		kernel_memory();
		control();
		context();
		loads();
		calls();
	}
	close(ask[1]);
	kill(jailed, SIGKILL);
	return finish();
}
