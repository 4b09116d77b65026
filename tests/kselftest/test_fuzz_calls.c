// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 keys=13 full=0 boot=slub_debug=FZPU,panic_on_warn=1 timeout=900 alone=guest */
/*
 * What if programs that no verifier looked at call helpers, one after the other, with
 * arguments that are mostly right: does the kernel go on, is its memory what it was, and is
 * nothing held, locked or used up by those that were stopped?
 *
 * test_fuzz_calls [SEED [COUNT]]: the seed is always the same in `make test`, and a new one
 * where programs have fewer keys, in `make test-full`. Four processes load COUNT
 * programs each, run them and let them go; they share all maps but one. A program has a
 * name for it, fuzz<worker>_<number>, to be told by an oops. FUZZ_ONE=number: that one only,
 * and it is shown. FUZZ_WORKER=number: of that process only.
 * FUZZ_WITHOUT=from-to,...: less these instructions.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "calls.h"
#include "locks.h"
#include "sockets.h"

#define WORKERS	4
#define COUNT	250
/* With this one each helper comes back in so many; another may have none that gets so far. */
#define SEED	7

static const struct prog_type *const types[] = { &xdp, &sched_cls, &socket_filter, &cgroup_skb };
#define TYPES	ARRAY_SIZE(types)
#define MOST_HELPERS 256

/* Shared by all processes */
struct shared {
	bool may[TYPES][MOST_HELPERS];
	u64 back[MOST_HELPERS];		/* how often each helper came back */
	u64 loaded, refused, ran;
};
static struct shared *shared;

static struct calls calls;
static struct ends ends;

/* Which helpers programs of each type may call */
static void find_out(void)
{
	u8 *seen;
	int own = calls_own_map(&ends, &seen), fd;
	u32 row, t, n, none = 0;

	for (row = 0; row < nr_helpers; row++) {
		for (n = t = 0; t < TYPES; t++) {
			calls_one(&calls, types[t], own, row);
			fd = calls_load(types[t]);
			shared->may[t][row] = fd >= 0;
			n += fd >= 0;
			close(fd);
		}
		if (!n) {
			diag("%s: no type may call it: %s", helper_name(row), strerror(errno));
			none++;
		}
	}
	ok(!none, "each of %u helpers may be called by some type", nr_helpers);
	munmap(seen, OWN_SIZE);
	close(own);
}

/* FUZZ_WITHOUT: from-to,... */
static void leave_out(const char *p)
{
	int from, to;

	while (p && sscanf(p, "%d-%d", &from, &to) == 2) {
		for (; from <= to && from < cnt; from++)
			insns[from] = JA(0);
		p = strchr(p, ',');
		if (p)
			p++;
	}
}

static void one(int worker, u64 n, int own)
{
	u32 t = below(&calls.rng, TYPES), i, slot;
	u8 packet[128];
	struct run run = { .data_in = packet, .data_in_size = 64 + below(&calls.rng, 64) };
	int fd;

	for (i = 0; i < sizeof(packet); i++)
		packet[i] = below(&calls.rng, 64);
	packet[12] = 8;
	packet[13] = 0;
	packet[14] = 0x45;
	calls_random(&calls, types[t], own, shared->may[t]);
	leave_out(getenv("FUZZ_WITHOUT"));
	if (getenv("FUZZ_ONE")) {
		diag("worker %d, program %lu, %s, %u bytes:", worker, n, types[t]->name,
		     run.data_in_size);
		calls_tell();
		fflush(stdout);
	}
	fd = calls_load(types[t]);
	if (fd < 0) {
		__atomic_add_fetch(&shared->refused, 1, __ATOMIC_RELAXED);
		return;
	}
	__atomic_add_fetch(&shared->loaded, 1, __ATOMIC_RELAXED);
	slot = below(&calls.rng, 8);
	if (one_in(&calls.rng, 4))
		map_update(calls.map[PROGS], &slot, &fd);
	for (i = 0; i < 2; i++) {
		run.retval = 0;
		prog_run(fd, &run);
		__atomic_add_fetch(&shared->ran, 1, __ATOMIC_RELAXED);
	}
	close(fd);
}

static void work(int worker, u64 seed, u64 count)
{
	char name[32];
	u8 *seen;
	int own = calls_own_map(&ends, &seen);
	u64 n, only = getenv("FUZZ_ONE") ? strtoull(getenv("FUZZ_ONE"), NULL, 0) : ~0ULL;
	u32 row;

	pin_to_cpu(worker);
	for (n = 0; n < count; n++) {
		if (only != ~0ULL && n != only)
			continue;
		calls.rng = seed ^ (u64)worker << 56 ^ n << 8;
		any(&calls.rng);
		/* A third of them as it should be: what is right has to get through. */
		calls.worst = one_in(&calls.rng, 3) ? 0 : 4 + below(&calls.rng, 30);
		snprintf(name, sizeof(name), "fuzz%d_%lu", worker, n);
		prctl(PR_SET_NAME, name);
		one(worker, n, own);
	}
	for (row = 0; row < nr_helpers; row++)
		__atomic_add_fetch(&shared->back[row], *(u64 *)(seen + COUNTS + 8 * row),
				   __ATOMIC_RELAXED);
	_exit(0);
}

/* Helpers that never came back have not been tried. */
static void coverage(u64 seed)
{
	char never[512] = "";
	u32 row;

	for (row = 0; row < nr_helpers; row++) {
		if (!shared->back[row] && strcmp(helper_name(row), "tail_call") &&
		    strlen(never) + 40 < sizeof(never)) {
			strcat(never, " ");
			strcat(never, helper_name(row));
		}
	}
	if (seed == SEED)
		ok(!*never, "each helper came back%s%s", *never ? ", but for" : "", never);
	else if (*never)
		diag("these never came back:%s", never);
}

/* Ring buffer: everything in it is submitted or discarded, and can be read. */
static int on_record(void *ctx, void *data, size_t size)
{
	return 0;
}

static void nothing_stays(void)
{
	struct ring_buffer *ring = ring_buffer__new(calls.map[RING], on_record, NULL, NULL);
	u64 *pos, value[8] = {};
	u32 i, zero = 0, slots = 8, key, free, there;
	struct locked found;
	int left = 0;

	for (i = 0; i < slots; i++)
		map_delete(calls.map[PROGS], &i);
	/* Timers hold their programs. */
	for (i = 0; i < 4; i++)
		map_delete(calls.map[TIMED_HASH], &i);
	map_update(calls.map[TIMED_ARRAY], &zero, value);
	map_delete(calls.map[SOCKHASH], &zero);
	moat_wait_loaded(0);
	ring_buffer__consume(ring);
	ring_buffer__free(ring);
	pos = mmap(NULL, 4096, PROT_READ, MAP_SHARED, calls.map[RING], 0);
	value[0] = *pos;
	munmap(pos, 4096);
	pos = mmap(NULL, 4096, PROT_READ, MAP_SHARED, calls.map[RING], 4096);
	ok(value[0] == *pos, "no record is held: read up to %lu, written up to %lu", value[0], *pos);
	munmap(pos, 4096);
	for (i = 0; i < 100 && socket_references(&ends) != 1; i++)
		usleep(20000);
	left = socket_references(&ends);
	ok(left == 1, "no reference on the socket is held: %d", left);
	ok(locked_update(calls.map[LOCKED_ARRAY], 0, 1, 2), "the lock of the array is free");
	for (i = free = there = 0; !bpf_map_get_next_key(calls.map[LOCKED_HASH], i ? &key : NULL, &key);
	     i = 1, there++)
		free += locked_lookup(calls.map[LOCKED_HASH], key, &found);
	ok(there && free == there, "and so are those of the hash: %u of %u", free, there);
}

int main(int argc, char **argv)
{
	u64 seed = argc > 1 ? strtoull(argv[1], NULL, 0) :
		   moat_keys_free() == 13 ? SEED : now_ns();
	u64 count = argc > 2 ? strtoull(argv[2], NULL, 0) : COUNT;
	s64 stopped = moat_counter("violations");
	int i, status, failed = 0, budget;
	u64 was;
	pid_t pid[WORKERS] = {};

	if (!test_kernel())
		skip_all("needs the test kernel");
	if (!moat_set_level(2))
		skip_all("no moat.ko");
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || nr_helpers > MOST_HELPERS)
		bail("memory: %s", strerror(errno));
	socket_ends(&ends);
	calls_make_maps(&calls, &ends);
	calls.foreign[calls.nr_foreign++] = target("data");
	calls.foreign[calls.nr_foreign++] = target("wrmsr");
	calls.foreign[calls.nr_foreign++] = target("data") & ~4095ULL;
	calls.foreign[calls.nr_foreign++] = 0xffff888000000000ULL;
	canary_reset();
	was = canary("data");
	bypass_verifier(true);
	find_out();
	budget = moat_set_budget(1);
	diag("seed %#lx, %d processes with %lu programs each", seed, WORKERS, count);
	fflush(stdout);
	for (i = 0; i < WORKERS; i++) {
		if (getenv("FUZZ_WORKER") && atoi(getenv("FUZZ_WORKER")) != i)
			continue;
		pid[i] = fork();
		if (!pid[i])
			work(i, seed, count);
	}
	for (i = 0; i < WORKERS; i++)
		failed += pid[i] && (waitpid(pid[i], &status, 0) != pid[i] || status);
	moat_set_budget(budget);
	bypass_verifier(false);
	stopped = moat_counter("violations") - stopped;
	diag("%lu loaded, %lu refused, %lu runs, %ld stopped", shared->loaded, shared->refused,
	     shared->ran, stopped);
	ok(!failed, "all programs were run");
	ok(canary("data") == was, "the kernel's memory is what it was");
	if (!getenv("FUZZ_ONE") && count >= COUNT) {
		ok(stopped > (s64)(WORKERS * count / 8) && stopped < (s64)(WORKERS * count * 3 / 4),
		   "of %lu programs %ld were stopped", WORKERS * count, stopped);
		coverage(seed);
	}
	nothing_stays();
	return finish();
}
