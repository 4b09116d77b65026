// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "jail.h"

const char *const jail_mode_name[] = { "level 0", "level 1", "level 2", "confined" };

asm(".globl raw_call, raw_call_end\n"
    "raw_call:\n"
    "	mov %rdi, %rax\n"
    "	mov %rsi, %r11\n"
    "	mov (%r11), %rdi\n"
    "	mov 8(%r11), %rsi\n"
    "	mov 16(%r11), %rdx\n"
    "	mov 24(%r11), %r10\n"
    "	mov 32(%r11), %r8\n"
    "	mov 40(%r11), %r9\n"
    "	syscall\n"
    "raw_call_end:\n"
    "	ret\n");

long probe(u64 arg)
{
	const u64 args[6] = { arg };

	return raw_call(NR, args);
}

void jail_set_mode(enum jail_mode mode)
{
	static const int levels[] = { 0, 1, 2, 2 };

	if (!moat_present())
		return;
	moat_set_confined(mode == J_CONFINED);
	if (write_file("/proc/sys/kernel/moat/seccomp", "%d", levels[mode]))
		bail("kernel.moat.seccomp: %s", strerror(errno));
}

bool jail_is_isolated(enum jail_mode mode)
{
	return mode == J_LEVEL_1 || mode == J_LEVEL_2;
}

int jail_modes(void)
{
	return moat_present() ? J_MODES : 1;
}

int jail(const struct sock_filter *insns, u32 n, unsigned int flags)
{
	struct sock_fprog prog = { .len = n, .filter = (struct sock_filter *)insns };
	int ret;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	ret = syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
	return ret < 0 ? -errno : ret;
}

int in_child(int (*what)(const void *arg), const void *arg)
{
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		bail("fork: %s", strerror(errno));
	if (!pid)
		_exit(what(arg));
	if (waitpid(pid, &status, 0) != pid)
		bail("waitpid: %s", strerror(errno));
	return status;
}

bool was_killed(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

int jail_listed(const char *begin, char *line)
{
	FILE *f = fopen("/sys/kernel/debug/moat/programs", "r");
	char text[256], comm[32];
	int n = 0;

	snprintf(comm, sizeof(comm), " %.15s[", program_invocation_short_name);
	while (f && fgets(text, sizeof(text), f)) {
		if (strncmp(text, begin, strlen(begin)) || !strstr(text, comm))
			continue;
		text[strcspn(text, "\n")] = 0;
		if (!n++ && line)
			strcpy(line, text);
	}
	if (f)
		fclose(f);
	return n;
}

bool jail_wait_listed(const char *begin, int lines)
{
	for (int i = 0; i < 500 && jail_listed(begin, NULL) != lines; i++)
		usleep(20000);
	return jail_listed(begin, NULL) == lines;
}
