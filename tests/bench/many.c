// SPDX-License-Identifier: GPL-2.0
/*
 * What many isolated programs cost: loading and unloading one more, its memory, and
 * how keys find the programs that run most. In a guest with ICOUNT=1, where a
 * nanosecond is an instruction.
 *
 * many [--check] [PROGRAMS]: up to so many, 10000 if not given; --check fails when
 * something is above its limit.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "insns.h"
#include "packet.h"
#include "settings.h"

#define MOST 16384
#define BATCH 512
#define MAX(a, b) ((a) > (b) ? (a) : (b))

static int prog[MOST], map[MOST], missed;

void die(const char *what)
{
	fprintf(stderr, "many: %s: %s\n", what, strerror(errno));
	exit(1);
}

static long counter(const char *name)
{
	long n = moat_counter(name);

	if (n < 0)
		die(name);
	return n;
}

static long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

/* Bytes that are free, on the CPUs' lists too */
static long free_bytes(void)
{
	char line[128];
	long n, bytes = 0;
	FILE *f = fopen("/proc/zoneinfo", "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, " pages free %ld", &n) == 1 ||
		    sscanf(line, " count: %ld", &n) == 1)
			bytes += 4096 * n;
	if (f)
		fclose(f);
	return bytes;
}

/* Waits until what was freed is free: workers and grace periods come first. */
static long settled(void)
{
	long before, is = free_bytes();
	int same = 0;

	while (same < 3) {
		usleep(200000);
		before = is;
		is = free_bytes();
		same = before == is ? same + 1 : 0;
	}
	return is;
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

static void unload(int i)
{
	close(prog[i]);
	if (map[i] >= 0)
		close(map[i]);
}

static long median(long *of, int n)
{
	qsort(of, n, sizeof(of[0]), cmp);
	return of[n / 2];
}

/*
 * Instructions of a plain load with @live programs loaded, and what MOAT adds to it:
 * the medians of a batch of pairs, the isolated ones first from @live on. Workers run
 * in some loads, plain or isolated; and what a plain load takes depends on what the
 * kernel has loaded before, too.
 */
static long load_cost(int live, long *added)
{
	long plain[BATCH];
	int i;

	for (i = 0; i < BATCH; i++) {
		set_sysctl("socket_filter", 0);
		plain[i] = load(live + BATCH + i, 1);
		set_sysctl("socket_filter", 2);
		added[i] = load(live + i, 1) - plain[i];
	}
	*added = median(added, BATCH);
	return median(plain, BATCH);
}

/* What the CPU does while it has nothing to do. Who unloads does not do all of it. */
static volatile unsigned long spins;
static volatile int spinning;
static double spin_cost;
static sem_t start;

static __attribute__((noinline)) void spin_on(int times)
{
	while (times--)
		spins++;
}

static void *spin(void *unused)
{
	const struct sched_param none = { 0 };
	long began, best = 0;
	int i;

	for (i = 0; i < 100; i++) {
		began = now();
		spin_on(10000);
		began = now() - began;
		best = best && best < began ? best : began;
	}
	spin_cost = best / 10000.;
	if (sched_setscheduler(0, SCHED_IDLE, &none))
		die("SCHED_IDLE");
	for (;;) {
		sem_wait(&start);
		while (spinning)
			spin_on(10000);
	}
	return NULL;
}

/* Long enough for grace periods and workers */
#define WINDOW 400000000L

/* Instructions that are not spent spinning in a while in which @n programs go */
static double busy(int first, int n)
{
	long began = now(), took;
	unsigned long spun = spins;

	spinning = 1;
	sem_post(&start);
	for (int i = first; i < first + n; i++)
		unload(i);
	usleep((WINDOW - (now() - began)) / 1000);
	took = now() - began;
	spinning = 0;
	return took - (spins - spun) * spin_cost;
}

/*
 * Instructions of a plain unload of a program and its map, and what MOAT adds to it,
 * for the programs of load_cost().
 */
static long unload_cost(int live, long *added)
{
	long freed = counter("freed");
	double idle = busy(0, 0), plain = busy(live + BATCH, BATCH) - idle;

	*added = (busy(live, BATCH) - idle - plain) / BATCH;
	if (counter("freed") - freed != BATCH)
		die("programs are not gone");
	return plain / BATCH;
}

/* Bytes @n programs without a map take, in views or plain */
static long taken(int first, int n, int level)
{
	long before;
	int i;

	set_sysctl("socket_filter", level);
	before = settled();
	for (i = first; i < first + n; i++)
		load(i, 0);
	before -= settled();
	for (i = first; i < first + n; i++)
		unload(i);
	set_sysctl("socket_filter", 2);
	return before;
}

/*
 * Bytes that only a view takes: three levels of tables, the last one being shared.
 * There are 13 keyed programs at most; so what a keyed one takes is what a viewed
 * one takes, less this.
 */
#define VIEW_TABLES (3 * 4096)
#define MEASURED 1024

static double memory(int live)
{
	/* What is kept for the next ones is not counted. */
	taken(live, MEASURED, 2);
	return (double)(taken(live, MEASURED, 2) - taken(live, MEASURED, 0)) / MEASURED;
}

/* Of a period: do something, and sleep for the rest of it. */
#define PERIOD 10000000L

static void rest(long began)
{
	long left = PERIOD - (now() - began);

	if (left > 0)
		usleep(left / 1000);
}

/* Eight that run all the time, among all that run now and then: % of runs in views */
static double skewed(int live, int seconds)
{
	long began, start = now(), runs = counter("runs"), views = counter("view_runs");
	static int other;

	while (now() - start < seconds * 1000000000L) {
		began = now();
		for (int hot = 0; hot < 8; hot++)
			run(hot, 64);
		run(8 + other++ % (live - 8), 1);
		rest(began);
	}
	runs = counter("runs") - runs;
	views = counter("view_runs") - views;
	return 100.0 * views / runs;
}

/* All of them in turn, each hot for a moment: evictions in a second */
static long round_robin(int live)
{
	long began, start = now(), evictions = counter("evictions");
	int i = 0;

	while (now() - start < 1000000000L) {
		began = now();
		run(i++ % live, 500);
		rest(began);
	}
	return counter("evictions") - evictions;
}

/* The most that the budget allows in a second, and in the period that it begins in */
#define EVICTIONS (32 + 50 + 5)

int main(int argc, char **argv)
{
	static const int points[] = { 10, 128, 1024, 10000 };
	struct rlimit files = { 65536, 65536 };
	int check = argc > 1 && !strcmp(argv[1], "--check");
	int most = argc > 1 + check ? atoi(argv[1 + check]) : 10000;
	double growth = 0, shrink = 0, in_views = 0, viewed = 0, rest = 0, worker = 0;
	long first = 0, first_gone = 0, evictions = 0;
	pthread_t spinner;
	long most_added = 0;
	int live = 0, i;

	if (most < 128 || most > 10000) {
		fprintf(stderr, "usage: many [--check] [PROGRAMS (128 to 10000)]\n");
		return 2;
	}
	setrlimit(RLIMIT_NOFILE, &files);
	printf("%8s | %8s %8s | %8s %8s | %8s %8s | %9s | %9s\n", "", "plain", "MOAT",
	       "plain", "MOAT", "viewed", "keyed", "8 hot: %", "evictions");
	printf("%8s | %8s %8s | %8s %8s | %8s %8s | %9s | %9s\n", "programs", "load", "adds",
	       "unload", "adds", "bytes", "bytes", "in views", "in turn");
	if (pthread_create(&spinner, NULL, spin, NULL))
		die("a thread");
	while (!spin_cost)
		usleep(1000);
	for (i = 0; i < 4 && points[i] <= most; i++) {
		long plain, added[BATCH], plain_gone, gone, evicted;
		double bytes, views;

		/* All in views: what a keyed one takes less is another matter. */
		set_sysctl("socket_filter", 2);
		set_sysctl("keys", 0);
		while (live < points[i])
			load(live++, 1);
		plain = load_cost(live, added);
		plain_gone = unload_cost(live, &gone);
		/* With no keys to give, in the four times that the worker comes */
		if (!i)
			rest = busy(0, 0);
		else
			worker = (busy(0, 0) - rest) / (live - points[0]) / 4;
		first = first ? first : added[0];
		first_gone = first_gone ? first_gone : gone;
		most_added = MAX(most_added, added[0]);
		growth = MAX(growth, (double)added[0] / first);
		shrink = MAX(shrink, (double)gone / first_gone);
		printf("%8d | %8ld %8ld | %8ld %8ld |", live, plain, added[0], plain_gone, gone);
		fflush(stdout);
		bytes = memory(live);
		viewed = MAX(viewed, bytes);
		printf(" %8.0f %8.0f |", bytes, bytes - VIEW_TABLES);
		fflush(stdout);
		if (live < 128) {
			printf(" %9s | %9s\n", "-", "-");
			continue;
		}
		set_sysctl("keys", 13);
		skewed(live, 1);
		views = skewed(live, 1);
		in_views = MAX(in_views, views);
		printf(" %9.2f |", views);
		fflush(stdout);
		evicted = round_robin(live);
		evictions = MAX(evictions, evicted);
		printf(" %9ld\n", evicted);
	}
	limit("instructions that MOAT adds to a load", most_added, 90000, 70000);
	limit("what MOAT adds to a load, over that with 10", growth, 1.25, 1.25);
	limit("after a second, runs in views, %", in_views, 1, 1);
	limit("what it adds to an unload, over that with 10", shrink, 1.25, 1.25);
	limit("what a program costs the worker without keys", worker, 20, 20);
	limit("evictions in a second of turns", evictions, EVICTIONS, EVICTIONS);
	limit("bytes of a program in a view", viewed, 32 * 1024, 32 * 1024);
	limit("bytes of a program with a key", viewed - VIEW_TABLES, 16 * 1024, 16 * 1024);
	set_sysctl("socket_filter", 0);
	return check && missed;
}
