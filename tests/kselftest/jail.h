/* SPDX-License-Identifier: GPL-2.0 */
/* Processes under filters of seccomp's: they stay, so that each is in one of its own. */
#ifndef JAIL_H
#define JAIL_H

#include <linux/audit.h>
#include <linux/seccomp.h>
#include "classic.h"

/* No system call has this number: without a filter it is ENOSYS. */
#define NR 1022

#define LD_DATA(FIELD) \
	C(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, FIELD))
#define LD_ARG(N) LD_DATA(args[N])
#define RET(K) C(BPF_RET | BPF_K, K)
/* All calls but NR are let through by this and what follows it is for that. */
#define ONLY_NR LD_DATA(nr), CJ(BPF_JMP | BPF_JEQ | BPF_K, NR, 1, 0), RET(SECCOMP_RET_ALLOW)

/* What becomes of filters of seccomp's from now on */
enum jail_mode { J_PLAIN, J_LEVEL_1, J_LEVEL_2, J_CONFINED, J_MODES };
extern const char *const jail_mode_name[];
void jail_set_mode(enum jail_mode mode);
bool jail_is_isolated(enum jail_mode mode);
int jail_modes(void);	/* how many there are here */

/* Puts who calls under a filter: what the system call returns, or -errno. */
int jail(const struct sock_filter *insns, u32 n, unsigned int flags);
#define JAIL(INSNS) jail(INSNS, ARRAY_SIZE(INSNS), 0)

/* A system call by itself; and where it comes from, as filters see it */
long raw_call(long nr, const void *args);
extern const char raw_call_end[];
/* NR with one argument: what it returns, -errno if it is an error */
long probe(u64 arg);

/* What waitpid() says of a child that does this, and exits with what that returns. */
int in_child(int (*what)(const void *arg), const void *arg);
bool was_killed(int status);	/* by SIGSYS */

/*
 * Lines of `programs` about filters of this process and its children, if they begin so;
 * the first is copied to @line, of 256 bytes, unless that is NULL.
 */
int jail_listed(const char *begin, char *line);
/* Waits until there are as many, for ten seconds. */
bool jail_wait_listed(const char *begin, int lines);

#endif
