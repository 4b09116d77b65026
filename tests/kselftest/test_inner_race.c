// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13 full=1,0 timeout=240 */
/*
 * Many change the same maps of maps at once, in every way there is, while programs use
 * them and come and go; some change what a descriptor means in the midst of it. Are
 * programs never stopped, do they have all that is there in the end, and nothing else?
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "moat_test.h"
#include "visitor.h"

#define NSEC 1000000000ULL
#define SECONDS 20
/* How long it may take, at most, until enough has happened: each change waits for RCU. */
#define PATIENCE 100
#define ENOUGH_CHANGES 50
#define ENOUGH_LOADS 3
#define WRITERS 3
#define OUTERS 3
#define SLOTS 4
#define INNER 6

static const struct {
	enum bpf_map_type type;
	u32 flags;
	const char *name;
} kinds[OUTERS] = {
	{ BPF_MAP_TYPE_ARRAY_OF_MAPS, 0, "array" },
	{ BPF_MAP_TYPE_HASH_OF_MAPS, 0, "hash" },
	{ BPF_MAP_TYPE_HASH_OF_MAPS, BPF_F_NO_PREALLOC, "hash without preallocation" },
};

static int outers[OUTERS], inner[INNER], shifty;
static u64 changes, odd;
static volatile bool over;

/* What a change may end in, when others change the same */
static bool expected(int ret)
{
	return !ret || errno == ENOENT || errno == ENOSPC || errno == E2BIG ||
	       /* The descriptor became another one. */
	       errno == EBADF;
}

static int change(unsigned int *seed)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	u32 key = rand_r(seed) % SLOTS, next, n = SLOTS, keys[SLOTS], values[SLOTS], i;
	int outer = outers[rand_r(seed) % OUTERS], map = inner[rand_r(seed) % INNER];

	for (i = 0; i < SLOTS; i++) {
		keys[i] = i;
		values[i] = inner[rand_r(seed) % INNER];
	}
	switch (rand_r(seed) % 8) {
	case 0:
		return map_delete(outer, &key);
	case 1:
		return bpf_map_update_batch(outer, keys, values, &n, &opts);
	case 2:
		/* Not for arrays, which then say EOPNOTSUPP or so. */
		return outer == outers[0] ? 0 : bpf_map_delete_batch(outer, keys, &n, &opts);
	case 3:
		return outer == outers[0] ? 0 :
		       bpf_map_lookup_and_delete_batch(outer, NULL, &next, keys, values, &n, &opts);
	case 4:
		return map_update(outer, &key, &shifty);
	default:
		return map_update(outer, &key, &map);
	}
}

static void *change_all_the_time(void *arg)
{
	unsigned int seed = (unsigned long)arg;

	while (!over) {
		int ret = change(&seed);

		if (!expected(ret)) {
			diag("a change: %s", strerror(errno));
			__atomic_add_fetch(&odd, 1, __ATOMIC_RELAXED);
		}
		__atomic_add_fetch(&changes, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static bool enough(u32 loads)
{
	return __atomic_load_n(&changes, __ATOMIC_RELAXED) > ENOUGH_CHANGES && loads > ENOUGH_LOADS;
}

static void *shift_all_the_time(void *arg)
{
	unsigned int seed = 1;

	while (!over) {
		dup2(inner[rand_r(&seed) % INNER], shifty);
		usleep(rand_r(&seed) % 200);
	}
	return NULL;
}

struct runner {
	pthread_t thread;
	int prog, own, cpu;
	u64 runs;
	s64 verdict;
};

static void *run_all_the_time(void *arg)
{
	struct runner *r = arg;

	pin_to_cpu(r->cpu);
	while (!over && r->verdict == xdp.pass) {
		set_key(r->own, r->runs++ % SLOTS);
		r->verdict = prog_run_once(r->prog);
	}
	return NULL;
}

static u32 map_id(int fd)
{
	struct bpf_map_info info = {};
	u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		bail("map info: %s", strerror(errno));
	return info.id;
}

/* Which of the maps is there, or -1 */
static int what_is_at(int outer, u32 key)
{
	u32 id;
	int i;

	if (map_lookup(outer, &key, &id))
		return -1;
	for (i = 0; i < INNER; i++)
		if (map_id(inner[i]) == id)
			return i;
	bail("there is another map");
}

static u32 maps_there_are(void)
{
	u32 id = 0, n = 0;

	while (!bpf_map_get_next_id(id, &id))
		n++;
	return n;
}

/* The maps of all domains */
static int maps_in_use(void)
{
	FILE *f = fopen("/sys/kernel/debug/moat/domains", "r");
	int maps = 0, n;
	char line[4096];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%*s %*s %*s %d", &n) == 1)
			maps += n;
	if (f)
		fclose(f);
	return maps;
}

/* Each of the programs finds what is in each slot, and its domain has no other map. */
static void agrees(const struct runner *runners, const char *when)
{
	bool used[INNER] = {}, right = true;
	int o, i, distinct = 0, in_use;
	u32 key;

	for (o = 0; o < OUTERS; o++) {
		for (key = 0; key < SLOTS; key++) {
			int at = what_is_at(outers[o], key);
			u64 before = at < 0 ? 0 : inner_word(inner[at]);

			set_key(runners[o].own, key);
			right &= prog_run_once(runners[o].prog) == xdp.pass;
			if (at >= 0) {
				used[at] = true;
				right &= inner_word(inner[at]) == before + 1;
			}
		}
	}
	ok(right, "%s: programs use what is there", when);
	for (i = 0; i < INNER; i++)
		distinct += used[i];
	in_use = maps_in_use();
	if (!ok(in_use == distinct + OUTERS, "%s: and have nothing else", when))
		diag("%d maps are in use, %d and %d are there", in_use, distinct, OUTERS);
}

int main(void)
{
	s64 violations;
	struct runner runners[OUTERS] = {};
	pthread_t writers[WRITERS], shifter;
	unsigned int seed = now_ns();
	u32 before, loads = 0, key;
	bool passed = true;
	int i;
	u64 began;

	if (!test_kernel())
		skip_all("needs the test kernel");
	if (!moat_set_level(2))
		skip_all("no moat.ko");
	diag("seed %u", seed);
	/* What others have closed may take a moment to go. */
	sleep(1);
	before = maps_there_are();
	violations = moat_counter("violations");
	for (i = 0; i < INNER; i++)
		inner[i] = inner_create(BPF_MAP_TYPE_ARRAY, 0);
	shifty = fcntl(inner[0], F_DUPFD, 100);
	for (i = 0; i < OUTERS; i++) {
		struct runner *r = &runners[i];

		outers[i] = outer_of(kinds[i].type, inner[0], SLOTS, kinds[i].flags);
		if (outers[i] < 0)
			bail("%s of maps: %s", kinds[i].name, strerror(errno));
		*r = (struct runner){ .cpu = i + 1, .own = map_of_words(0), .verdict = xdp.pass };
		r->prog = visitor(&xdp, r->own, outers[i]);
		pthread_create(&r->thread, NULL, run_all_the_time, r);
	}
	for (i = 0; i < WRITERS; i++)
		pthread_create(&writers[i], NULL, change_all_the_time,
			       (void *)(unsigned long)(seed + i));
	pthread_create(&shifter, NULL, shift_all_the_time, NULL);
	/* Programs come and go meanwhile. */
	began = now_ns();
	for (; now_ns() - began < (enough(loads) ? SECONDS : PATIENCE) * NSEC; loads++) {
		int own = map_of_words(0), prog = visitor(&xdp, own, outers[loads % OUTERS]);

		passed &= prog_run_once(prog) == xdp.pass;
		close(prog);
		close(own);
	}
	over = true;
	for (i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	pthread_join(shifter, NULL);
	for (i = 0; i < OUTERS; i++) {
		pthread_join(runners[i].thread, NULL);
		passed &= runners[i].verdict == xdp.pass && runners[i].runs > 10;
	}
	diag("%llu changes, %u loads", (unsigned long long)changes, loads);
	ok(enough(loads) && !odd, "changes go on in every way");
	ok(passed && moat_counter("violations") == violations, "no program is stopped");

	/* Those that have gone give back theirs when a worker has seen to it. */
	for (i = 0; i < 100 && maps_there_are() > before + INNER + 2 * OUTERS; i++)
		usleep(50000);
	agrees(runners, "after it");
	for (key = 0; key < SLOTS; key++)
		for (i = 0; i < OUTERS; i++)
			map_delete(outers[i], &key);
	agrees(runners, "when all is taken out");
	for (i = 0; i < OUTERS; i++) {
		close(runners[i].prog);
		close(runners[i].own);
		close(outers[i]);
	}
	for (i = 0; i < INNER; i++)
		close(inner[i]);
	close(shifty);
	for (i = 0; i < 200 && maps_there_are() != before; i++)
		usleep(50000);
	ok(maps_there_are() == before, "no map is left behind");
	return finish();
}
