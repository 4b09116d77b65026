// SPDX-License-Identifier: GPL-2.0
/*
 * What many isolated programs cost: loading one more, its memory, and how keys
 * find the programs that run most. In a guest with ICOUNT=1, where a nanosecond is
 * an instruction.
 *
 * many [--check] [PROGRAMS]: up to so many, 1024 if not given; --check fails when
 * something is above its limit.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "programs.h"

#define MOST 16384
#define BATCH 128

static int prog[MOST], map[MOST], missed;

static void die(const char *what)
{
	fprintf(stderr, "many: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void sysctl(const char *name, int value)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/sys/kernel/moat/%s", name);
	f = fopen(path, "w");
	if (!f || fprintf(f, "%d", value) < 0 || fclose(f))
		die(path);
}

static long counter(const char *name)
{
	char path[64];
	long n = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/debug/moat/%s", name);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%ld", &n) != 1)
		die(path);
	fclose(f);
	return n;
}

static long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

static long free_kb(void)
{
	char line[128];
	long kb = -1;
	FILE *f = fopen("/proc/meminfo", "r");

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "MemFree: %ld", &kb);
	if (f)
		fclose(f);
	return kb;
}

/* @goal is what we want to reach, @most what has been reached. */
static void limit(const char *what, double is, double goal, double most)
{
	int ok = is <= most;

	printf("%-44s %10.1f  (goal %g: %s; at most %g: %s)\n", what, is, goal,
	       is <= goal ? "reached" : "not reached", most, ok ? "met" : "MISSED");
	missed |= !ok;
}

/* A filter without maps, or one with a map of its own that it counts in. */
static long load(int i, int own_map)
{
	struct bpf_insn with[] = {
		{ .code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = BPF_REG_1,
		  .src_reg = BPF_PSEUDO_MAP_VALUE }, { },
		MOVI(2, 1),
		{ .code = BPF_STX | BPF_ATOMIC | BPF_DW, .dst_reg = BPF_REG_1,
		  .src_reg = BPF_REG_2, .imm = BPF_ADD },
		MOVI(0, 0), EXIT(),
	};
	struct bpf_insn without[] = { MOVI(0, 0), EXIT() };
	long began;

	map[i] = -1;
	if (own_map) {
		map[i] = bpf_map_create(BPF_MAP_TYPE_ARRAY, "many", 4, 8, 1, NULL);
		if (map[i] < 0)
			die("map");
		with[0].imm = map[i];
	}
	began = now();
	prog[i] = bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "many", "GPL",
				own_map ? with : without,
				own_map ? sizeof(with) / sizeof(with[0]) : 2, NULL);
	if (prog[i] < 0)
		die("load");
	return now() - began;
}

static void unload(int i)
{
	close(prog[i]);
	if (map[i] >= 0)
		close(map[i]);
}

static void run(int i, int times)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof(packet),
		    .repeat = times);

	if (bpf_prog_test_run_opts(prog[i], &opts))
		die("BPF_PROG_TEST_RUN");
}

static int cmp(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;

	return x < y ? -1 : x > y;
}

/* Instructions of a load with @live programs loaded: the median of a batch, which stays */
static long load_cost(int live)
{
	long cost[BATCH];

	for (int i = 0; i < BATCH; i++)
		cost[i] = load(live + i, 1);
	qsort(cost, BATCH, sizeof(cost[0]), cmp);
	return cost[BATCH / 2];
}

/* Instructions until @n programs and their maps are gone, grace periods included */
static long unload_cost(int first, int n)
{
	long began = now(), idle = counter("freed");

	for (int i = first; i < first + n; i++)
		unload(i);
	while (counter("freed") < idle + n)
		usleep(1000);
	return (now() - began) / n;
}

/* Bytes a program in a view takes, less what it takes without MOAT */
static double memory(int n)
{
	long kb[2];
	int level, i;

	for (level = 0; level < 2; level++) {
		sysctl("socket_filter", level ? 2 : 0);
		sysctl("keys", 0);
		usleep(300000);
		/* what is kept for the next one is not counted twice */
		for (i = 0; i < n; i++)
			load(i, 0);
		for (i = 0; i < n; i++)
			unload(i);
		usleep(500000);
		kb[level] = free_kb();
		for (i = 0; i < n; i++)
			load(i, 0);
		kb[level] -= free_kb();
		for (i = 0; i < n; i++)
			unload(i);
		usleep(500000);
	}
	return (kb[1] - kb[0]) * 1024.0 / n;
}

/*
 * Bytes that only a view takes: three levels of tables, the last one being shared.
 * There are 13 keyed programs at most, and the CPUs' free lists hide what these
 * take; so theirs is what a viewed one takes, less this.
 */
#define VIEW_TABLES (3 * 4096)

int main(int argc, char **argv)
{
	static const int points[] = { 10, 128, 1024, 10000 };
	struct rlimit files = { 65536, 65536 };
	int check = argc > 1 && !strcmp(argv[1], "--check");
	int most = argc > 1 + check ? atoi(argv[1 + check]) : 1024;
	long cost, first = 0, worst = 0, began, runs, views, binds, evictions;
	int live = 0, i;
	double view;

	if (most < 128 || most > 10000) {
		fprintf(stderr, "usage: many [--check] [PROGRAMS (128 to 10000)]\n");
		return 2;
	}
	setrlimit(RLIMIT_NOFILE, &files);
	printf("%10s %14s %14s   (instructions)\n", "programs", "load", "unload");
	/* All in views: what a keyed one takes less is another matter. */
	sysctl("socket_filter", 2);
	sysctl("keys", 0);
	for (i = 0; i < 4 && points[i] <= most; i++) {
		while (live < points[i])
			load(live++, 1);
		cost = load_cost(live);
		if (!first)
			first = cost;
		worst = cost > worst ? cost : worst;
		printf("%10d %14ld %14ld\n", live, cost, unload_cost(live, BATCH));
		fflush(stdout);
	}
	limit("a load with most of them, over one with 10", (double)worst / first, 1.25, 1.25);

	sysctl("keys", 13);
	/* Eight that run all the time, among all that run now and then */
	for (began = now(), i = 0; now() - began < 1000000000L; i++) {
		run(i % 8, 64);
		if (i % 8 == 7)
			run(8 + i % (live - 8), 1);
	}
	runs = counter("runs");
	views = counter("view_runs");
	for (began = now(); now() - began < 1000000000L; i++) {
		run(i % 8, 64);
		if (i % 64 == 63)
			run(8 + i % (live - 8), 1);
	}
	runs = counter("runs") - runs;
	views = counter("view_runs") - views;
	printf("%d hot programs among %d: %ld runs, %ld in views\n", 8, live, runs, views);
	limit("after a second, runs in views, %", 100.0 * views / runs, 1, 1);

	/* All of them in turn, each hot for a moment, for a second */
	binds = counter("binds");
	evictions = counter("evictions");
	for (began = now(), i = 0; now() - began < 1000000000L; i++)
		run(i % live, 500);
	printf("round robin over %d: %ld binds, %ld evictions in 1 s\n", live,
	       counter("binds") - binds, counter("evictions") - evictions);
	limit("evictions, 32 and 50 a second", counter("evictions") - evictions, 32 + 50 + 5, 32 + 50 + 5);
	for (i = 0; i < live; i++)
		unload(i);
	usleep(1000000);

	view = memory(most < 1024 ? most : 1024);
	limit("bytes of a program in a view", view, 32 * 1024, 32 * 1024);
	limit("bytes of a program with a key", view - VIEW_TABLES, 16 * 1024,
	      18 * 1024);
	sysctl("socket_filter", 0);
	return check && missed;
}
