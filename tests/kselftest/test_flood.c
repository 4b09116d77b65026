// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 keys=13 full=1,0 timeout=300 */
/*
 * Can a user write over the kernel's log? Whatever it is that he repeats, some lines
 * are his and no more, and all users have no more together; what root does is still
 * logged, and the counters count everything.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "moat_test.h"

#define UNPRIVILEGED "/proc/sys/kernel/unprivileged_bpf_disabled"

/* As in moat/run/limit.c, in a minute */
#define OF_USER 10
#define OF_ALL 60

#define REPEATS 3000
#define USERS 100

/* Users that nobody was before */
static int fresh_uid;

/* Everybody may use such a map, and programs that do are not isolated. */
static int on_demand;		/* per CPU */

static bool use_map(void)
{
	const struct bpf_insn insns[] = {
		LD_MAP_FD(R1, on_demand),
		MOV_IMM(R0, 0),
		EXIT(),
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "flood", "GPL", insns,
			       ARRAY_SIZE(insns), NULL);

	if (fd >= 0)
		close(fd);
	return fd < 0 && errno == EACCES;
}

static bool classic(void)
{
	struct sock_filter insns[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_IFINDEX),
		BPF_STMT(BPF_RET | BPF_K, 1),
	};
	struct sock_fprog prog = { ARRAY_SIZE(insns), insns };
	bool refused;
	int s[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, s))
		return false;
	refused = setsockopt(s[1], SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) &&
		  errno == EACCES;
	close(s[0]);
	close(s[1]);
	return refused;
}

static bool rogue(void)
{
	struct rogue rogue = rogue_load(&xdp, false, -1);
	s64 verdict = rogue_attack(&rogue, target("data"));

	rogue_close(&rogue);
	return verdict == xdp.safe;
}

static void become(int uid, bool with_caps)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2];

	prctl(PR_SET_KEEPCAPS, with_caps);
	if (setresuid(uid, uid, uid))
		exit(1);
	if (!with_caps)
		return;
	if (syscall(SYS_capget, &head, caps))
		exit(1);
	caps[0].effective = caps[0].permitted;
	caps[1].effective = caps[1].permitted;
	if (syscall(SYS_capset, &head, caps))
		exit(1);
}

/* How often user @uid had what it is refused, or what stopped it */
static int as_user(int uid, bool with_caps, int repeats, bool (*what)(void))
{
	int pipes[2], done = 0;
	pid_t child;

	if (pipe(pipes))
		bail("pipe: %s", strerror(errno));
	fflush(stdout);
	child = fork();
	if (!child) {
		become(uid, with_caps);
		for (int i = 0; i < repeats; i++)
			done += what();
		if (write(pipes[1], &done, sizeof(done)) != sizeof(done))
			_exit(1);
		_exit(0);
	}
	close(pipes[1]);
	if (read(pipes[0], &done, sizeof(done)) != sizeof(done))
		done = -1;
	close(pipes[0]);
	waitpid(child, NULL, 0);
	return done;
}

/* What a user and a command repeat is counted, and logged a few times a minute. */
static void one_user(const char *name, bool with_caps, int repeats, bool (*what)(void),
		     const char *counter)
{
	s64 counted = moat_counter(counter), unlogged = moat_counter("unlogged");
	u64 began = now_ns();
	int done, lines, minutes;

	kmsg_mark();
	done = as_user(fresh_uid++, with_caps, repeats, what);
	minutes = 1 + (now_ns() - began) / 60000000000ULL;
	lines = kmsg_count("moat: ", NULL);
	ok(done == repeats && moat_counter(counter) == counted + repeats,
	   "%s: %d times, of which %ld are counted", name, done, moat_counter(counter) - counted);
	/* Each minute may begin with how many there were not. */
	ok(lines > 0 && lines <= (OF_USER + 1) * (minutes + 1),
	   "%s: %d lines in less than %d minutes", name, lines, minutes);
	ok(moat_counter("unlogged") - unlogged >= repeats - lines,
	   "%s: %ld are counted as not logged", name, moat_counter("unlogged") - unlogged);
}

static void many_users(void)
{
	s64 refused = moat_counter("refused");
	u64 began = now_ns();
	int lines, minutes, i;

	kmsg_mark();
	for (i = 0; i < USERS; i++)
		as_user(fresh_uid++, false, 5, use_map);
	minutes = 1 + (now_ns() - began) / 60000000000ULL;
	lines = kmsg_count("moat: flood (", ": refused: ");
	ok(moat_counter("refused") == refused + 5 * USERS &&
	   lines <= OF_ALL * (minutes + 1),
	   "%d users: %d lines in less than %d minutes, and all %d are counted", USERS, lines,
	   minutes, 5 * USERS);

	kmsg_mark();
	use_map();
	ok(kmsg_count("moat: flood (type socket_filter, of test_flood[", "uid 0): refused: ") == 1,
	   "and what root does is logged");
}

/* What all users have together may be spent, by this test with other keys. */
static void wait_for_allowance(void)
{
	for (int i = 0; i < 70; i++) {
		kmsg_mark();
		as_user(fresh_uid++, false, 1, use_map);
		if (kmsg_count("moat: flood (", NULL))
			return;
		sleep(1);
	}
	ok(false, "a minute later users have lines again");
}

int main(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_NO_PREALLOC);
	s64 before = read_number(UNPRIVILEGED);

	if (!moat_present())
		skip_all("no MOAT");
	if (write_file(UNPRIVILEGED, "0"))
		bail(UNPRIVILEGED ": %s", strerror(errno));
	/* Made while nobody is to be isolated, it keeps programs from that. */
	moat_set_level(0);
	on_demand = bpf_map_create(BPF_MAP_TYPE_HASH, "on_demand", 4, 8, 4, &opts);
	moat_set_level(2);

	fresh_uid = 100000 + getpid() % 1000 * 1000;
	wait_for_allowance();
	one_user("refused programs", false, REPEATS, use_map, "refused");
	if (classic())
		one_user("refused classic filters", false, REPEATS, classic, "refused");
	else
		skip("none are", "refused classic filters");
	one_user("stopped programs", true, 100, rogue, "violations");
	many_users();
	write_file(UNPRIVILEGED, "%ld", before);
	return finish();
}
