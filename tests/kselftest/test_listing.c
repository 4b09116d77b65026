// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 keys=13 full=1,0 timeout=300 */
/*
 * Does debugfs list what is isolated, each program once, with what it is and does? Also
 * thousands of them, while others come and go; and nobody waits for a slow reader.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "moat_test.h"

#define PROGRAMS "/sys/kernel/debug/moat/programs"
/* Or as many as the argument says */
#define MANY 2000

static char text[1 << 21];
static volatile bool over;

/* All of it, read in pieces of @piece bytes, with something done after the first. */
static void read_all(size_t piece, void (*meanwhile)(void))
{
	int fd = open(PROGRAMS, O_RDONLY);
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		bail(PROGRAMS ": %s", strerror(errno));
	while (len + piece < sizeof(text) && (n = read(fd, text + len, piece)) > 0) {
		len += n;
		if (meanwhile)
			meanwhile();
		meanwhile = NULL;
	}
	text[len] = 0;
	close(fd);
}

/* How many lines have @a and @b; the first is copied to @found. */
static int lines_with(const char *a, const char *b, char *found)
{
	char *line = text, *end;
	int n = 0;

	for (; (end = strchr(line, '\n')); line = end + 1) {
		*end = 0;
		if (strstr(line, a) && (!b || strstr(line, b)) && !n++ && found)
			snprintf(found, 256, "%.255s", line);
		*end = '\n';
	}
	return n;
}

static int load(const struct prog_type *type, const char *name)
{
	const struct bpf_insn insns[] = { MOV_IMM(R0, type->pass), EXIT() };
	int fd = PROG_LOAD(type->type, name, insns);

	if (fd < 0)
		bail("%s: %s", name, strerror(errno));
	return fd;
}

static int attach(void)
{
	struct sock_filter insns[] = { BPF_STMT(BPF_RET | BPF_K, 1) };
	struct sock_fprog prog = { ARRAY_SIZE(insns), insns };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)))
		bail("classic filter: %s", strerror(errno));
	return fd;
}

/* "id type name level layer domains runs state by" */
static void each(const struct prog_type *type, int level)
{
	char name[16], line[256] = "", layer[8], set[64], state[8], by[64], want_by[64], start[64];
	int runs, n, said = 0, fd;

	moat_set_level(level);
	snprintf(name, sizeof(name), "l%d_%s", level, type->name);
	fd = load(type, name);
	for (int i = 0; i < 3; i++)
		prog_run_once(fd);
	read_all(4096, NULL);
	snprintf(start, sizeof(start), "%u %s %s %d ", prog_id(fd), type->name, name, level);
	snprintf(want_by, sizeof(want_by), "test_listing[%d]", getpid());
	n = lines_with(start, NULL, line);
	said = sscanf(line, "%*u %*s %*s %*d %7s %63s %d %7s %63s", layer, set, &runs, state, by);
	ok(n == 1 && said == 5 && runs == 3 && !strcmp(state, "live") && !strcmp(by, want_by) &&
	   !strcmp(layer, moat_layer(fd) == KEYED ? "keyed" : "view") && atoi(set) > 0,
	   "%s, level %d: %s", type->name, level, line);
	close(fd);
}

static void stopped(void)
{
	struct rogue rogue = rogue_load(&xdp, false, -1);
	char start[64], line[256] = "";

	rogue_attack(&rogue, target("data"));
	read_all(4096, NULL);
	snprintf(start, sizeof(start), "%u xdp rogue 2 ", prog_id(rogue.prog));
	ok(lines_with(start, " 1 stopped test_listing[", line) == 1, "one that was stopped: %s",
	   line);
	rogue_close(&rogue);
}

static void classic(void)
{
	int before, after, fd;

	read_all(4096, NULL);
	before = lines_with("- socket_filter - 2 ", "test_listing[", NULL);
	fd = attach();
	read_all(4096, NULL);
	after = lines_with("- socket_filter - 2 ", "test_listing[", NULL);
	ok(before == 0 && after == 1, "a classic filter has no number, but an owner");
	close(fd);
}

static void *come_and_go(void *unused)
{
	while (!over)
		close(load(&xdp, "passing"));
	return NULL;
}

/* A program is loaded while the file is read in part. */
static void load_one(void)
{
	u64 began = now_ns();

	close(load(&xdp, "meanwhile"));
	ok(now_ns() - began < 60000000000ULL, "a load does not wait for who reads slowly");
}

/* Of @nr programs, every other a filter, how many are not listed exactly once? */
static int missing(int nr, const u32 *ids)
{
	int *seen = calloc(nr, sizeof(*seen)), wrong = 0, filters = 0, i;
	char *line = text, *end;
	u32 id;

	for (; (end = strchr(line, '\n')); line = end + 1) {
		if (sscanf(line, "%u xdp many_%d 2 ", &id, &i) == 2 && i > 0 && i < nr &&
		    id == ids[i])
			seen[i]++;
		filters += !strncmp(line, "- socket_filter - 2 ", 20);
	}
	for (i = 1; i < nr; i += 2)
		wrong += seen[i] != 1;
	free(seen);
	return wrong + abs(filters - nr / 2);
}

static void many(int nr)
{
	const struct rlimit limit = { nr + 100, nr + 100 };
	int *fds = calloc(nr, sizeof(*fds)), i, round, wrong = 0;
	u32 *ids = calloc(nr, sizeof(*ids));
	char name[16];
	pthread_t thread;

	if (setrlimit(RLIMIT_NOFILE, &limit))
		bail("rlimit: %s", strerror(errno));
	for (i = 0; i < nr; i++) {
		snprintf(name, sizeof(name), "many_%d", i);
		/* Half of them cheap. */
		fds[i] = i % 2 ? load(&xdp, name) : attach();
		ids[i] = i % 2 ? prog_id(fds[i]) : 0;
	}
	if (pthread_create(&thread, NULL, come_and_go, NULL))
		bail("thread: %s", strerror(errno));
	for (round = 0; round < 3; round++) {
		read_all(round ? 1000 : 1 << 20, round ? load_one : NULL);
		wrong += missing(nr, ids);
	}
	over = true;
	pthread_join(thread, NULL);
	ok(!wrong, "%d programs: each once, while others come and go (%d not)", nr, wrong);
	for (i = 0; i < nr; i++)
		close(fds[i]);
	free(fds);
	free(ids);
	for (i = 0; i < 250; i++) {
		read_all(4096, NULL);
		if (!lines_with("test_listing[", NULL, NULL))
			break;
		usleep(40000);
	}
	ok(!lines_with("test_listing[", NULL, NULL), "and none when they are gone");
}

int main(int argc, char **argv)
{
	static const struct prog_type *const types[] = {
		&xdp, &sched_cls, &sched_act, &socket_filter,
	};

	if (!moat_present())
		skip_all("no MOAT");
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		for (int level = 1; level <= 2; level++)
			each(types[i], level);
	stopped();
	classic();
	many(argc > 1 ? atoi(argv[1]) : MANY);
	return finish();
}
