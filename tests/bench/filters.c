// SPDX-License-Identifier: GPL-2.0
/* Classic filters, and system calls under one of seccomp. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"

#define S(CODE, K) BPF_STMT(CODE, K)
#define J(OP, K, T, F) BPF_JUMP(BPF_JMP | BPF_##OP | BPF_K, K, T, F)
#define LD(SIZE, K) S(BPF_LD | BPF_##SIZE | BPF_ABS, K)
#define RET(K) S(BPF_RET | BPF_K, K)
#define FILTER(NAME) \
	const struct sock_fprog NAME = { \
		ARRAY_SIZE(NAME##_insns), (struct sock_filter *)NAME##_insns, \
	}

/* As `tcpdump -d udp port 53` writes it */
static const struct sock_filter udp_port_53_insns[] = {
	LD(H, 12), J(JEQ, 0x86dd, 0, 6),
	LD(B, 20), J(JEQ, 17, 0, 15),
	LD(H, 54), J(JEQ, 53, 12, 0),
	LD(H, 56), J(JEQ, 53, 10, 11),
	J(JEQ, 0x800, 0, 10),
	LD(B, 23), J(JEQ, 17, 0, 8),
	LD(H, 20), J(JSET, 0x1fff, 6, 0),
	S(BPF_LDX | BPF_B | BPF_MSH, 14),
	S(BPF_LD | BPF_H | BPF_IND, 14), J(JEQ, 53, 2, 0),
	S(BPF_LD | BPF_H | BPF_IND, 16), J(JEQ, 53, 0, 1),
	RET(262144), RET(0),
};

FILTER(udp_port_53);

/* What a UDP socket is given begins with the UDP header: the port, and `moat` after it. */
static const struct sock_filter port_and_data_insns[] = {
	LD(H, 2), J(JEQ, 53, 0, 3),
	LD(W, 8), J(JEQ, 0x6d6f6174, 0, 1),
	RET(-1), RET(0),
};

FILTER(port_and_data);

/*
 * What libseccomp 2.5 writes for 300 rules: system calls 0 to 299 are allowed, but
 * personality only if its argument is 0xffffffff; all others end in EPERM. The rule
 * with an argument comes last, and where a jump of 255 does not reach the end there is
 * another one to jump to.
 */
#define NR_RULES 300
#define FIRST 6
#define BETWEEN (FIRST + 49)	/* the other end */
#define LAST (FIRST + NR_RULES)	/* personality's rule; BETWEEN is one more, it one less */

static struct sock_filter allow_list_insns[LAST + 8] = {
	LD(W, offsetof(struct seccomp_data, arch)),
	J(JEQ, AUDIT_ARCH_X86_64, 0, 3),
	LD(W, offsetof(struct seccomp_data, nr)),
	J(JGE, 0x40000000, 0, 2), J(JEQ, 0xffffffff, 1, 0), RET(SECCOMP_RET_KILL),
	[BETWEEN] = RET(SECCOMP_RET_ALLOW),
	[LAST] = J(JEQ, __NR_personality, 0, 4),
	LD(W, offsetof(struct seccomp_data, args) + 4), J(JEQ, 0, 0, 2),
	LD(W, offsetof(struct seccomp_data, args)), J(JEQ, 0xffffffff, 1, 0),
	RET(SECCOMP_RET_ERRNO | EPERM), RET(SECCOMP_RET_ALLOW), RET(SECCOMP_RET_KILL),
};

FILTER(allow_list);

static void complete_allow_list(void)
{
	int end = LAST + 6, nr = 0;

	for (int i = FIRST; i < LAST; i++) {
		bool far = i < BETWEEN;

		if (i == BETWEEN)
			continue;
		nr += nr == __NR_personality;
		allow_list_insns[i] = (struct sock_filter)
			J(JEQ, nr++, (far ? BETWEEN : end) - i - 1, i == BETWEEN - 1);
	}
}

static bool argument_compared(void *arg)
{
	return syscall(__NR_personality, 0xffffffff) >= 0;
}

/* The list ends before getrandom. */
static bool not_in_list(void *arg)
{
	return syscall(__NR_getrandom, NULL, 0, 0) < 0;
}

static void call_in_child(const struct row *row, struct cost *cost)
{
	const struct operation op = {
		.run = row->which == CALL_ERRNO ? not_in_list : argument_compared,
	};

	if (row->filter) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		    syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, row->filter))
			die("seccomp");
		if (syscall(__NR_personality, 0) != -1 || errno != EPERM) {
			fprintf(stderr, "bench: %s: the filter allows any argument\n", row->name);
			exit(1);
		}
	}
	*cost = quietest(&op);
}

/* In a process of its own, since a filter stays. */
struct cost measure_system_call(const struct row *row)
{
	struct cost *shared, cost;
	int status;
	pid_t pid;

	complete_allow_list();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("mmap");
	fflush(stdout);
	pid = fork();
	if (!pid) {
		call_in_child(row, shared);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die("fork");
	if (status) {
		errno = 0;
		die(row->name);
	}
	cost = *shared;
	munmap(shared, sizeof(*shared));
	return cost;
}
