// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=product,preempt levels=2 cpus=4 alone=machine keys=13 full=1,0 timeout=600 */
/*
 * Does anything stay behind of programs, keys and the module that have gone?
 *
 * usage: test_lifecycle [cycles of a program, 10000] [cycles of the module, 100]
 *
 * - Cycles of load, attach to a socket, run, detach and unload on all CPUs leave
 *   slab, vmalloc, page-table and per-CPU memory as they were.
 * - When the keys are all taken, further programs run in views; keys come back.
 * - insmod and rmmod, many times; while an isolated program lives, rmmod says
 *   that the module is busy.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "moat_test.h"

/* Of the 13, when some may be somebody else's still */
#define ENOUGH_KEYS 8
#define MAX_CPUS 8
#define MAX_PROGS 64

/*
 * More than this stays for good. A leak of 64 bytes per cycle is 640 kB; slabs and
 * per-CPU pages that are empty are kept for a while.
 */
static const struct {
	const char *name;
	s64 kb;
} limits[] = {
	{ "Slab:", 600 }, { "VmallocUsed:", 256 }, { "PageTables:", 128 },
	{ "SecPageTables:", 64 }, { "Percpu:", 600 },
};

/*
 * Programs are freed by workers, of which the kernel keeps as many as it once
 * needed, for minutes. They are not what is asked about: each has a stack from
 * vmalloc and 12 kB of slab, and both are taken off.
 */
#define THREAD_SLAB 12

struct account {
	s64 kb[ARRAY_SIZE(limits)];
};

static void take_account(struct account *a)
{
	FILE *f = fopen("/proc/meminfo", "r");
	s64 stacks = 0;
	char line[128];
	size_t i;

	memset(a, 0, sizeof(*a));
	while (f && fgets(line, sizeof(line), f)) {
		sscanf(line, "KernelStack: %ld", &stacks);
		for (i = 0; i < ARRAY_SIZE(limits); i++)
			if (!strncmp(line, limits[i].name, strlen(limits[i].name)))
				a->kb[i] = atoll(line + strlen(limits[i].name));
	}
	if (f)
		fclose(f);
	a->kb[0] -= stacks / 16 * THREAD_SLAB;
	a->kb[1] -= stacks;
}

/* What is freed later, after a grace period or by a worker, gets 20 seconds. */
static void compare_accounts(const struct account *before, const char *what)
{
	u64 until = now_ns() + 20000000000ULL;
	struct account now;
	bool grown;
	size_t i;

	do {
		usleep(500000);
		write_file("/proc/sys/vm/drop_caches", "2");
		take_account(&now);
		grown = false;
		for (i = 0; i < ARRAY_SIZE(limits); i++)
			grown |= now.kb[i] - before->kb[i] > limits[i].kb;
	} while (grown && now_ns() < until);
	for (i = 0; i < ARRAY_SIZE(limits); i++)
		ok(now.kb[i] - before->kb[i] <= limits[i].kb, "%s: %.*s does not grow (%ld kB, %+ld)",
		   what, (int)strlen(limits[i].name) - 1, limits[i].name, now.kb[i],
		   now.kb[i] - before->kb[i]);
}

/* A filter that lets a fifth of the packet through, and counts in a map. */
static int load_filter(int map)
{
	const struct bpf_insn insns[] = {
		MOV_REG(R6, R1),
		LD_MAP_VALUE(R9, map, 0), MOV_IMM(R2, 1), ATOMIC(BPF_DW, BPF_ADD, R9, R2, 0),
		LD_ABS(BPF_B, 3), CALL(ktime_get_ns), MOV_IMM(R0, 20), EXIT(),
	};

	return prog_load(socket_filter.type, "cycle", insns, ARRAY_SIZE(insns));
}

/* One life. NULL, or what went wrong. */
static const char *cycle(void)
{
	u8 packet[100] = {};
	u32 zero = 0;
	u64 count = 0;
	int map = map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1), prog = load_filter(map);
	int s[2] = { -1, -1 };
	const char *error = NULL;

	if (prog < 0)
		error = "load";
	else if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, s))
		error = "socketpair";
	else if (setsockopt(s[1], SOL_SOCKET, SO_ATTACH_BPF, &prog, sizeof(prog)))
		error = "attach";
	else if (write(s[0], packet, sizeof(packet)) != sizeof(packet))
		error = "write";
	else if (read(s[1], packet, sizeof(packet)) != 20)
		error = "read";
	else if (map_lookup(map, &zero, &count) || count != 1)
		error = "count";
	close(s[0]);
	close(s[1]);
	close(prog);
	close(map);
	return error;
}

static struct {
	pthread_t thread;
	int cpu, cycles, done, err;
	const char *error;
} threads[MAX_CPUS];

static void *cycles(void *arg)
{
	typeof(threads[0]) *t = arg;

	pin_to_cpu(t->cpu);
	for (t->done = 0; t->done < t->cycles; t->done++) {
		t->error = cycle();
		if (t->error) {
			t->err = errno;
			break;
		}
	}
	return NULL;
}

/* @total lives, on all CPUs at once. */
static bool many(int total)
{
	int cpus = sysconf(_SC_NPROCESSORS_ONLN), i;
	bool good = true;

	cpus = cpus < MAX_CPUS ? cpus : MAX_CPUS;
	for (i = 0; i < cpus; i++) {
		threads[i].cpu = i;
		threads[i].cycles = total / cpus;
		pthread_create(&threads[i].thread, NULL, cycles, &threads[i]);
	}
	for (i = 0; i < cpus; i++) {
		pthread_join(threads[i].thread, NULL);
		if (!threads[i].error)
			continue;
		good = false;
		diag("CPU %d: %s failed in cycle %d: %s", i, threads[i].error, threads[i].done,
		     strerror(threads[i].err));
		if (!strcmp(threads[i].error, "load"))
			diag("%s", prog_log);
	}
	return good;
}

static void programs(int total)
{
	s64 runs = moat_counter("runs"), plain = moat_counter("plain");
	struct account before;
	u64 began;

	/* so that caches are as full as they get */
	ok(many(total / 10 > 400 ? total / 10 : 400), "programs come and go");
	usleep(2000000);
	write_file("/proc/sys/vm/drop_caches", "2");
	take_account(&before);
	began = now_ns();
	ok(many(total), "%d programs come and go", total);
	diag("%d cycles in %lu ms", total, (now_ns() - began) / 1000000);
	if (moat_present())
		ok(moat_counter("runs") - runs >= total && moat_counter("plain") == plain,
		   "all of them are isolated");
	compare_accounts(&before, "after the programs");
}

static bool runs_isolated(int prog)
{
	s64 runs = moat_counter("runs");

	return prog_run_once(prog) == 20 && moat_counter("runs") == runs + 1;
}

/* More programs than keys: some run in views, and all are isolated. */
static void layers(void)
{
	int map[MAX_PROGS], prog[MAX_PROGS], keyed = 0, viewed = 0, i;
	s64 keys = read_number("/proc/sys/kernel/moat/keys");
	bool all = true;

	if (!moat_present()) {
		skip("no moat.ko", "layers");
		return;
	}
	/* Keys of the cycles come back. */
	moat_wait_for_keys(ENOUGH_KEYS);
	moat_set_level(2);
	for (i = 0; i < MAX_PROGS; i++) {
		map[i] = map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1);
		prog[i] = load_filter(map[i]);
		all &= prog[i] >= 0 && runs_isolated(prog[i]);
		keyed += moat_layer(prog[i]) == KEYED;
		viewed += moat_layer(prog[i]) == VIEW;
	}
	diag("%d programs: %d keyed, %d in views", MAX_PROGS, keyed, viewed);
	ok(all, "%d programs run isolated", MAX_PROGS);
	/* Some of the keys may be somebody else's still. */
	ok(keyed >= (keys < ENOUGH_KEYS ? keys : ENOUGH_KEYS), "as many of them have keys as can");
	ok(keyed + viewed == MAX_PROGS && viewed, "the others run in views");
	for (i = 0; i < MAX_PROGS; i++) {
		close(prog[i]);
		close(map[i]);
	}
	moat_wait_for_keys(keyed);
	ok(moat_keys_free() >= keyed, "keys come back");
}

/* What goes with the last isolated program may take a moment. */
static int rmmod(bool wait)
{
	u64 until = now_ns() + 5000000000ULL;
	int err;

	do {
		err = syscall(__NR_delete_module, "moat", O_NONBLOCK);
		if (err && wait)
			usleep(2000);
	} while (err && wait && now_ns() < until);
	return err;
}

static void module(int total)
{
	const char *path = getenv("MOAT_KO"), *failed = NULL;
	struct account before;
	int i, map, prog, err;

	if (!moat_present() || !path || !*path) {
		skip("no moat.ko", "insmod and rmmod");
		return;
	}

	moat_set_level(2);
	map = map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1);
	prog = load_filter(map);
	err = rmmod(false) ? errno : 0;
	ok(err == EBUSY || err == EWOULDBLOCK, "rmmod with a live isolated program: busy (%s)",
	   strerror(err));
	/* EBUSY, by another name: what people see */
	ok(command_fails("rmmod moat", "in use"), "and the rmmod command says that it is in use");
	ok(moat_present() && prog_run_once(prog) == 20, "and the program still runs");
	close(prog);
	close(map);
	if (!ok(!rmmod(true), "rmmod after it has gone (%s)", strerror(errno)))
		return;
	ok(!moat_present(), "its sysctls have gone");

	for (i = 0; i < total && !failed; i++) {
		if (i == 10) {
			usleep(500000);
			take_account(&before);
		}
		if (moat_insmod(path)) {
			failed = "insmod";
			break;
		}
		moat_set_level(2);
		/* every other time with a program that lives in between */
		if (i % 2 && cycle())
			failed = "a program";
		if (rmmod(true))
			failed = "rmmod";
	}
	ok(!failed, "%d times insmod and rmmod", i);
	if (failed)
		diag("%s failed: %s", failed, strerror(errno));
	/* without the module programs run as ever */
	ok(!cycle(), "a program runs without the module");
	if (total > 10 && !failed)
		compare_accounts(&before, "after the module");
	ok(moat_present() || !moat_insmod(path), "and it is back");
}

int main(int argc, char **argv)
{
	const char *kernel = getenv("MOAT_KERNEL");
	/* Fewer under lockdep; and what stays behind does so with fewer keys, too. */
	int most = (kernel && !strcmp(kernel, "preempt")) ||
		   read_number("/proc/sys/kernel/moat/keys") < 13 ? 3000 : 10000;
	int total = argc > 1 ? atoi(argv[1]) : most;

	if (moat_present())
		moat_set_level(2);
	programs(total);
	layers();
	module(argc > 2 ? atoi(argv[2]) : 100);
	return finish();
}
