// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=product,preempt levels=2 cpus=4 keys=13,0 full=1 timeout=300 */
/*
 * Does the kernel do with filters of system calls what it does without MOAT?
 *
 * Every action and what comes with it, for tracers and listeners, too; lists as long as
 * container runtimes and libseccomp write them; filters on top of one another, over fork,
 * exec and all threads; of users without rights. At levels 0, 1 and 2, and confined. Each
 * is listed as what it is until the last process is gone that has it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>
#include "jail.h"

static enum jail_mode mode;
static const char *self;
static volatile long thread_got;

#define CHECK(WHAT) do { \
	if (!(WHAT)) { \
		diag("%s: line %d: %s: %s", jail_mode_name[mode], __LINE__, #WHAT, \
		     strerror(errno)); \
		return 1; \
	} \
} while (0)

/* Who has @insns gets this for NR; probe() passes the argument. */
#define FOR_NR(K) ONLY_NR, RET(K)
/* Filters with a way that depends on an argument are not answered without them. */
#define BY_ARG ONLY_NR, LD_ARG(0)

static int errnos(const void *unused)
{
	const struct sock_filter insns[] = {
		BY_ARG, C(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO), C(BPF_RET | BPF_A, 0),
	};

	CHECK(!JAIL(insns));
	CHECK(probe(0) == 0);
	CHECK(probe(1) == -EPERM);
	CHECK(probe(4095) == -4095);
	CHECK(probe(4096) == -4095);
	CHECK(probe(65535) == -4095);
	CHECK(getpid() == syscall(__NR_getpid));
	return 0;
}

static siginfo_t trapped;

static void on_sys(int sig, siginfo_t *info, void *context)
{
	trapped = *info;
}

static int trap(const void *unused)
{
	const struct sock_filter insns[] = { FOR_NR(SECCOMP_RET_TRAP | 0x5eed) };
	const struct sigaction act = { .sa_sigaction = on_sys, .sa_flags = SA_SIGINFO };

	CHECK(!sigaction(SIGSYS, &act, NULL));
	CHECK(!JAIL(insns));
	probe(0);
	CHECK(trapped.si_code == 1 && trapped.si_errno == 0x5eed);
	CHECK(trapped.si_syscall == NR && trapped.si_arch == AUDIT_ARCH_X86_64);
	CHECK(trapped.si_call_addr == raw_call_end);
	return 0;
}

static int untraced(const void *unused)
{
	const struct sock_filter insns[] = { FOR_NR(SECCOMP_RET_TRACE | 3) };

	CHECK(!JAIL(insns));
	CHECK(probe(0) == -ENOSYS);
	return 0;
}

static int traced(const void *unused)
{
	const struct sock_filter insns[] = {
		BY_ARG, C(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_TRACE), C(BPF_RET | BPF_A, 0),
	};
	unsigned long message = 0;
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (ptrace(PTRACE_TRACEME, 0, 0, 0) || raise(SIGSTOP) || JAIL(insns))
			_exit(1);
		_exit(probe(0x1234) == -ENOSYS ? 0 : 2);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
	CHECK(!ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESECCOMP));
	CHECK(!ptrace(PTRACE_CONT, pid, 0, 0));
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8));
	CHECK(!ptrace(PTRACE_GETEVENTMSG, pid, 0, &message) && message == 0x1234);
	CHECK(!ptrace(PTRACE_CONT, pid, 0, 0));
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status));
	return 0;
}

static volatile int listener = -1;

/* Answers three calls, each with its argument and one more. */
static void *answer(void *unused)
{
	struct seccomp_notif_resp resp;
	struct seccomp_notif notif;

	while (listener < 0)
		usleep(1000);
	for (int i = 0; i < 3; i++) {
		memset(&notif, 0, sizeof(notif));
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &notif))
			return "no notification";
		if (notif.data.nr != NR || notif.data.instruction_pointer != (uintptr_t)raw_call_end)
			return "of another call";
		resp = (struct seccomp_notif_resp){ .id = notif.id,
						    .val = notif.data.args[0] + 1 };
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp))
			return "no answer";
	}
	return NULL;
}

static int notified(const void *unused)
{
	const struct sock_filter insns[] = { FOR_NR(SECCOMP_RET_USER_NOTIF) };
	pthread_t thread;
	void *wrong;

	CHECK(!pthread_create(&thread, NULL, answer, NULL));
	listener = jail(insns, ARRAY_SIZE(insns), SECCOMP_FILTER_FLAG_NEW_LISTENER);
	CHECK(listener >= 0);
	for (int i = 0; i < 3; i++)
		CHECK(probe(i * 77) == i * 77 + 1);
	CHECK(!pthread_join(thread, &wrong));
	CHECK(!wrong);
	return 0;
}

static int logged(const void *unused)
{
	const struct sock_filter insns[] = { FOR_NR(SECCOMP_RET_LOG) };

	CHECK(!jail(insns, ARRAY_SIZE(insns), SECCOMP_FILTER_FLAG_LOG));
	CHECK(probe(0) == -ENOSYS);
	return 0;
}

static void *make_call(void *unused)
{
	thread_got = probe(1);
	return NULL;
}

static int a_thread_dies(const void *unused)
{
	const struct sock_filter insns[] = { FOR_NR(SECCOMP_RET_KILL_THREAD) };
	pthread_t thread;

	thread_got = 5;
	CHECK(!JAIL(insns));
	CHECK(!pthread_create(&thread, NULL, make_call, NULL));
	CHECK(!pthread_join(thread, NULL));
	CHECK(thread_got == 5);
	return 0;
}

static int killed_with_all_threads(const void *unused)
{
	const struct sock_filter insns[] = { FOR_NR(SECCOMP_RET_KILL_PROCESS) };
	pthread_t thread;
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (JAIL(insns) || pthread_create(&thread, NULL, make_call, NULL))
			_exit(1);
		pause();
	}
	CHECK(waitpid(pid, &status, 0) == pid && was_killed(status));
	return 0;
}

/* As libseccomp writes them: one call after the other, some by their arguments */
#define ENTRIES 300

static int long_list(const void *unused)
{
	static struct sock_filter insns[4 * ENTRIES];
	u32 n = 0, nr, entries = 0;

#define I(...) (insns[n++] = __VA_ARGS__)
	I(LD_DATA(arch));
	I(CJ(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
	I(RET(SECCOMP_RET_KILL_PROCESS));
	I(LD_DATA(nr));
	I(CJ(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1));
	I(RET(SECCOMP_RET_KILL_PROCESS));
	for (nr = 0; entries < ENTRIES; nr++) {
		if (nr == __NR_uname)
			continue;
		entries++;
		if (nr != __NR_getpgid) {
			I(CJ(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1));
			I(RET(SECCOMP_RET_ALLOW));
			continue;
		}
		I(CJ(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 6));
		I(C(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0]) + 4));
		I(CJ(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 3));
		I(LD_ARG(0));
		I(CJ(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1));
		I(RET(SECCOMP_RET_ALLOW));
		I(RET(SECCOMP_RET_ERRNO | EDOM));
	}
	I(RET(SECCOMP_RET_ERRNO | EPERM));
	CHECK(!jail(insns, n, 0));
	for (int i = 0; i < 100; i++) {
		CHECK(getpgid(1) >= 0);
		CHECK(getpgid(0) == -1 && errno == EDOM);
		CHECK(syscall(__NR_getpgid, 1L << 32 | 1) == -1 && errno == EDOM);
		CHECK(uname(&(struct utsname){}) == -1 && errno == EPERM);
		CHECK(probe(0) == -EPERM);
		CHECK(getppid() > 0);
	}
	return 0;
}

/* The strictest action counts, of two alike the later filter's. */
static int stacked(const void *unused)
{
	static const struct {
		u32 ret;
		long due;
	} rets[] = {
		{ SECCOMP_RET_LOG, -ENOSYS }, { SECCOMP_RET_ERRNO | 5, -5 },
		{ SECCOMP_RET_ERRNO | 7, -7 }, { SECCOMP_RET_ALLOW, -7 },
		{ SECCOMP_RET_TRACE, -7 }, { SECCOMP_RET_ERRNO | 9, -9 },
	};

	for (size_t i = 0; i < 24; i++) {
		const struct sock_filter insns[] = {
			FOR_NR(i < ARRAY_SIZE(rets) ? rets[i].ret : SECCOMP_RET_ERRNO | i),
		};

		CHECK(!JAIL(insns));
		CHECK(probe(0) == (i < ARRAY_SIZE(rets) ? rets[i].due : -(long)i));
	}
	return 0;
}

static int call_by_itself(const void *unused)
{
	return -probe(1);
}

static int over_fork_and_exec(const void *unused)
{
	const struct sock_filter insns[] = { FOR_NR(SECCOMP_RET_ERRNO | 42) };
	int status;
	pid_t pid;

	CHECK(!JAIL(insns));
	status = in_child(call_by_itself, NULL);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
	pid = fork();
	if (!pid) {
		execl(self, self, "probe", NULL);
		_exit(1);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
	return 0;
}

static volatile bool go;

static void *call_when_told(void *unused)
{
	while (!go)
		;
	return make_call(unused);
}

static int all_threads(const void *unused)
{
	const struct sock_filter old[] = { FOR_NR(SECCOMP_RET_ERRNO | 3) };
	const struct sock_filter insns[] = { FOR_NR(SECCOMP_RET_ERRNO | 43) };
	pthread_t thread;

	CHECK(!JAIL(old));
	CHECK(!pthread_create(&thread, NULL, call_when_told, NULL));
	CHECK(!jail(insns, ARRAY_SIZE(insns), SECCOMP_FILTER_FLAG_TSYNC));
	go = true;
	CHECK(!pthread_join(thread, NULL));
	CHECK(thread_got == -43 && probe(0) == -43);
	return 0;
}

/* On all CPUs at once, by threads and processes that have the same filter */
static int many_at_once(const void *unused)
{
	const struct sock_filter insns[] = {
		BY_ARG, C(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO), C(BPF_RET | BPF_A, 0),
	};
	pid_t pids[8];
	int status;

	CHECK(!JAIL(insns));
	for (int i = 0; i < 8; i++) {
		pids[i] = fork();
		if (pids[i])
			continue;
		for (long n = 0; n < 3000; n++)
			if (probe((n * 7 + i) % 4096) != -((n * 7 + i) % 4096))
				_exit(1);
		_exit(0);
	}
	for (int i = 0; i < 8; i++)
		CHECK(waitpid(pids[i], &status, 0) == pids[i] && !status);
	return 0;
}

static int without_rights(const void *unused)
{
	const struct sock_filter insns[] = { FOR_NR(SECCOMP_RET_ERRNO | 44) };
	struct sock_fprog prog = { ARRAY_SIZE(insns), (struct sock_filter *)insns };

	CHECK(!setgid(12345) && !setuid(12345));
	CHECK(syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) == -1 && errno == EACCES);
	CHECK(!JAIL(insns));
	CHECK(probe(0) == -44);
	return 0;
}

/* Calls that a filter always allows are answered without it. */
static int not_asked(const void *unused)
{
	const struct sock_filter insns[] = {
		LD_DATA(nr), CJ(BPF_JMP | BPF_JEQ | BPF_K, __NR_getppid, 0, 1),
		RET(SECCOMP_RET_ALLOW), LD_ARG(5), RET(SECCOMP_RET_ALLOW),
	};
	s64 before, runs;

	CHECK(!JAIL(insns));
	before = moat_counter("runs");
	for (int i = 0; i < 500; i++)
		getppid();
	runs = moat_counter("runs") - before;
	CHECK(runs < 100);
	before += runs;
	for (int i = 0; i < 500; i++)
		probe(i);
	runs = moat_counter("runs") - before;
	CHECK(runs >= (jail_is_isolated(mode) ? 500 : 0) && runs < 600);
	CHECK(jail_is_isolated(mode) || !runs);
	return 0;
}

static const struct {
	const char *what;
	int (*does)(const void *unused);
} scenes[] = {
	{ "an errno", errnos }, { "a signal", trap }, { "no tracer", untraced },
	{ "a tracer", traced }, { "a listener", notified }, { "the log", logged },
	{ "a thread dies", a_thread_dies }, { "a process dies", killed_with_all_threads },
	{ "a list of 300 calls", long_list }, { "24 filters", stacked },
	{ "fork and exec", over_fork_and_exec }, { "all threads at once", all_threads },
	{ "eight processes on four CPUs", many_at_once }, { "a user without rights", without_rights },
	{ "what is always allowed", not_asked },
};

struct listing {
	char line[256];
	int before, own, child, after;
};

static struct listing *listed;

static int look_at_listing(const void *unused)
{
	const struct sock_filter insns[] = { FOR_NR(SECCOMP_RET_ERRNO | 1) };

	if (JAIL(insns))
		return 1;
	probe(0);
	listed->own = jail_listed("- seccomp ", listed->line);
	return 0;
}

/* "- seccomp - level layer domains runs state by" */
static void listing(void)
{
	s64 confined = moat_counter("confined"), plain = moat_counter("plain"), freed;
	char layer[16], level[8];
	int due = mode != J_PLAIN;

	if (!jail_wait_listed("- seccomp ", 0))
		diag("%d are left", jail_listed("- seccomp ", NULL));
	moat_wait_loaded(0);
	freed = moat_counter("freed");
	memset(listed, 0, sizeof(*listed));
	in_child(look_at_listing, NULL);
	if (sscanf(listed->line, "- seccomp - %7s %15s ", level, layer) != 2)
		strcpy(layer, "");
	if (!ok(listed->own == due && (!due || (strstr(listed->line, " live test_seccomp[") &&
		(mode == J_CONFINED ? !strncmp(listed->line, "- seccomp - - confined - - live ", 32) :
		 atoi(level) == (int)mode && (!strcmp(layer, "keyed") || !strcmp(layer, "view"))))),
		"%s: listed as it is: %s", jail_mode_name[mode], due ? listed->line : "not"))
		diag("%d: %s", listed->own, listed->line);
	ok(jail_wait_listed("- seccomp ", 0), "%s: and not once it is gone", jail_mode_name[mode]);
	moat_wait_loaded(0);
	ok(moat_counter("confined") - confined == (mode == J_CONFINED) &&
	   moat_counter("plain") == plain &&
	   moat_counter("freed") - freed == jail_is_isolated(mode), "%s: counted as it is",
	   jail_mode_name[mode]);
}

int main(int argc, char **argv)
{
	s64 violations = moat_counter("violations");
	int modes = jail_modes();

	self = argv[0];
	if (argc > 1)
		return call_by_itself(NULL);
	listed = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (listed == MAP_FAILED)
		bail("mmap: %s", strerror(errno));
	for (mode = 0; (int)mode < modes; mode++) {
		jail_set_mode(mode);
		for (size_t i = 0; i < ARRAY_SIZE(scenes); i++) {
			int status = in_child(scenes[i].does, NULL);

			if (!ok(!status, "%s: %s", jail_mode_name[mode], scenes[i].what))
				diag("status %#x", status);
		}
		if (moat_present())
			listing();
	}
	ok(moat_counter("violations") == violations, "nobody was stopped");
	if (!moat_present())
		skip("no moat.ko", "isolated, and confined");
	return finish();
}
