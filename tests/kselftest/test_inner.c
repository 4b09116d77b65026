// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,0 full=1 timeout=240 */
/*
 * Maps of maps: a program uses what is in them, whether it was put there before the
 * program came or while it runs, and nothing once it is taken out: neither by the
 * map's address nor by that of a value. Nor does anybody else. At level 0 both work.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include "build.h"
#include "locks.h"
#include "moat_test.h"
#include "visitor.h"

/* Maps go in and out so often, if it does not take too long. */
#define SWAPS 24
#define SECONDS 40
/* Programs that use one map of maps; a multiple of three */
#define MANY 96

static const struct prog_type *const types[] = { &xdp, &sched_cls, &socket_filter };
static volatile bool over;

/* What each way to the word of a map is worth once the map was taken out. */
static void taken_out(int level, const char *name, enum bpf_map_type of, enum bpf_map_type in)
{
	static const char *const ways[] = { [BY_MAP] = "map", [BY_VALUE] = "value" };
	const u64 word = 0x600dULL;
	int mode;

	for (mode = BY_MAP; mode <= BY_VALUE; mode++) {
		int inner = inner_create(in, word - 1), outer = outer_create(of, inner);
		int own = map_of_words(0), prog = visitor(&xdp, own, outer);
		s64 violations = moat_counter("violations"), verdict;

		if (put(outer, inner) || prog_run_once(prog) != xdp.pass)
			bail("a map put into a map: %s", strerror(errno));
		take_out(outer);
		set_mode(own, mode);
		verdict = prog_run_once(prog);
		if (level)
			ok(verdict == xdp.safe && map_word(own, GOT) == 0 &&
			   moat_counter("violations") == violations + 1,
			   "%d: %s: out of it, not to be had by its %s", level, name, ways[mode]);
		else
			ok(verdict == xdp.pass && map_word(own, GOT) == word,
			   "%d: %s: out of it, still to be had by its %s", level, name, ways[mode]);
		ok(inner_word(inner) == word, "%d: %s: and unharmed", level, name);
		close(prog);
		close(own);
		close(outer);
		close(inner);
	}
}

static void legal(int level, const char *name, enum bpf_map_type of, enum bpf_map_type in)
{
	int a = inner_create(in, 0), b = inner_create(in, 0), outer = outer_create(of, a);
	int own = map_of_words(0), prog, other, own2 = map_of_words(0), i;
	s64 violations = moat_counter("violations");
	struct rogue rogue;

	if (put(outer, a))
		bail("a map of maps: %s", strerror(errno));
	prog = visitor(&xdp, own, outer);
	other = visitor(&sched_cls, own2, outer);
	for (i = 0; i < 3; i++)
		prog_run_once(prog);
	prog_run_once(other);
	ok(inner_word(a) == 4, "%d: %s: what was in it before", level, name);
	if (put(outer, b))
		bail("a map of maps: %s", strerror(errno));
	for (i = 0; i < 5; i++)
		prog_run_once(prog);
	prog_run_once(other);
	ok(inner_word(a) == 4 && inner_word(b) == 6, "%d: %s: what is put in its place", level,
	   name);
	/* One of them goes: the other one keeps it. */
	close(other);
	usleep(50000);
	prog_run_once(prog);
	ok(inner_word(b) == 7, "%d: %s: after another program has gone", level, name);

	rogue = rogue_load(&sched_cls, false, -1);
	if (level)
		ok(rogue_attack(&rogue, map_word(own, WHERE)) == sched_cls.safe &&
		   !rogue_got(&rogue, NULL) && moat_counter("violations") == violations + 1,
		   "%d: %s: a third program does not reach it", level, name);
	else
		ok(rogue_attack(&rogue, map_word(own, WHERE)) == sched_cls.pass &&
		   rogue_got(&rogue, NULL), "%d: %s: a third program reaches it", level, name);
	rogue_close(&rogue);

	take_out(outer);
	prog_run_once(prog);
	ok(map_word(own, EMPTY) == 1 && map_word(own, RUNS) == 10, "%d: %s: when it is empty",
	   level, name);
	ok(moat_layer(prog) != NONE || !level, "%d: %s: isolated", level, name);
	close(prog);
	close(own);
	close(own2);
	close(outer);
	close(a);
	close(b);
}

struct runner {
	pthread_t thread;
	int prog, own, cpu;
	s64 verdict;
};

static void *run_all_the_time(void *arg)
{
	struct runner *r = arg;

	pin_to_cpu(r->cpu);
	while (!over && r->verdict == types[r->cpu - 1]->pass)
		r->verdict = prog_run_once(r->prog);
	return NULL;
}

/* Maps go in and out while programs on three CPUs use them. */
static void swapped(enum bpf_map_type of, const char *name)
{
	int a = inner_create(BPF_MAP_TYPE_ARRAY, 0), b = inner_create(BPF_MAP_TYPE_ARRAY, 0);
	int outer = outer_create(of, a), second = outer_create(of, a), i, swaps = 0;
	s64 violations = moat_counter("violations");
	struct runner runners[3] = {};
	u64 until, visits = 0, empty = 0;
	bool passed = true;

	/* One of the maps is in another map of maps too, or some of the time. */
	if (put(second, a))
		bail("a map of maps: %s", strerror(errno));
	over = false;
	for (i = 0; i < 3; i++) {
		struct runner *r = &runners[i];

		*r = (struct runner){ .cpu = i + 1, .own = map_of_words(0),
				      .verdict = types[i]->pass };
		r->prog = visitor(types[i], r->own, i == 2 ? second : outer);
		pthread_create(&r->thread, NULL, run_all_the_time, r);
	}
	until = now_ns() + SECONDS * 1000000000ULL;
	for (; swaps < SWAPS && now_ns() < until; swaps++) {
		static const int more[] = { 0, 1, 0, 2 };

		if (more[swaps % 4] == 2)
			take_out(outer);
		else if (put(outer, more[swaps % 4] ? b : a))
			bail("a map of maps: %s", strerror(errno));
		if (swaps % 8 == 7 && put(second, swaps % 16 == 15 ? a : b))
			bail("a map of maps: %s", strerror(errno));
	}
	over = true;
	for (i = 0; i < 3; i++) {
		pthread_join(runners[i].thread, NULL);
		passed &= runners[i].verdict == types[i]->pass;
		visits += map_word(runners[i].own, RUNS);
		empty += map_word(runners[i].own, EMPTY);
		close(runners[i].prog);
		close(runners[i].own);
	}
	diag("%s: %d swaps, %llu runs, %llu found nothing", name, swaps,
	     (unsigned long long)visits, (unsigned long long)empty);
	ok(swaps >= SWAPS / 2 && visits > 100, "%s: maps go in and out while programs run", name);
	ok(passed && moat_counter("violations") == violations, "%s: none is stopped", name);
	ok(inner_word(a) + inner_word(b) + empty == visits, "%s: each run is counted in one", name);
	close(outer);
	close(second);
	close(a);
	close(b);
}

#define TRACING "/sys/kernel/tracing/"

/* Starts or stops to count who waits for a grace period. */
static bool count_waits(bool on)
{
	if (on)
		return !write_file(TRACING "kprobe_events", "p:moat_waits synchronize_rcu") &&
		       !write_file(TRACING "events/kprobes/moat_waits/enable", "1");
	return !write_file(TRACING "events/kprobes/moat_waits/enable", "0") &&
	       !write_file(TRACING "kprobe_events", "-:moat_waits");
}

static u64 waits(void)
{
	FILE *f = fopen(TRACING "kprobe_profile", "r");
	unsigned long n = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, " moat_waits %lu", &n) == 1)
			break;
	if (f)
		fclose(f);
	return n;
}

/* How often a change waits for a grace period, ten times */
static u64 waits_of_changes(int outer, int a, int b)
{
	u64 before = waits();
	int i;

	for (i = 0; i < 10; i++)
		if (put(outer, i % 2 ? b : a))
			bail("a map of maps: %s", strerror(errno));
	return waits() - before;
}

/* Programs that use the same map of maps gain and lose what is in it together. */
static void by_many(int level)
{
	int a = inner_create(BPF_MAP_TYPE_ARRAY, 0), b = inner_create(BPF_MAP_TYPE_ARRAY, 0);
	int outer = outer_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, a);
	int second = outer_create(BPF_MAP_TYPE_HASH_OF_MAPS, a);
	int prog[MANY], own[MANY], i, passed = 0, lost = 0, kept = 0;
	s64 violations = moat_counter("violations");
	bool counted = count_waits(true);
	u64 with_few = 0, with_many;

	for (i = 0; i < MANY; i++) {
		own[i] = map_of_words(0);
		/* Each third has another one, with one of the maps. */
		prog[i] = visitor(types[i % 3], own[i], i % 3 ? outer : second);
		if (i == 3)
			with_few = waits_of_changes(outer, a, b);
	}
	with_many = waits_of_changes(outer, a, b);
	counted &= count_waits(false);
	/* Others wait, too; but not as often as there are programs. */
	if (!ok(counted && (!level || with_few >= 10) && with_many < 2 * with_few + 20,
		"%d: a change for many programs is one change", level))
		diag("ten changes wait %llu times with 2 programs, %llu times with %d",
		     (unsigned long long)with_few, (unsigned long long)with_many, MANY * 2 / 3);

	if (put(outer, a) || put(second, a))
		bail("a map of maps: %s", strerror(errno));
	for (i = 0; i < MANY; i++)
		passed += prog_run_once(prog[i]) == types[i % 3]->pass;
	ok(passed == MANY && inner_word(a) == MANY, "%d: all use what is in it", level);

	take_out(outer);
	for (i = 0; i < MANY; i++) {
		s64 verdict;

		set_mode(own[i], BY_VALUE);
		verdict = prog_run_once(prog[i]);
		if (i % 3)
			lost += verdict == types[i % 3]->safe && !map_word(own[i], GOT);
		else
			kept += verdict == types[i % 3]->pass && map_word(own[i], GOT) == MANY;
	}
	ok(kept == MANY / 3, "%d: those that have it in another way keep it", level);
	if (level)
		ok(lost == MANY * 2 / 3 && moat_counter("violations") == violations + lost,
		   "%d: and all others lose it", level);
	else
		ok(!lost, "0: and so do all others");
	for (i = 0; i < MANY; i++) {
		close(prog[i]);
		close(own[i]);
	}
	close(outer);
	close(second);
	close(a);
	close(b);
}

/* Values that have no pages of their own cannot be given to programs. */
static void without_pages(int level)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_NO_PREALLOC);
	int inner, outer, own, prog, late;

	/* Nobody is to be isolated yet, and so it has none. */
	moat_set_level(0);
	inner = bpf_map_create(BPF_MAP_TYPE_HASH, "no_prealloc", 4, 8, 1, &opts);
	moat_set_level(level);
	outer = outer_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, inner);
	own = map_of_words(0);
	prog = visitor(&xdp, own, outer);

	if (!level) {
		ok(!put(outer, inner), "0: a map without pages of its own may go in");
		close(prog);
		prog = -1;
	} else {
		ok(put(outer, inner) && errno == EACCES,
		   "%d: a map without pages of its own may not go in", level);
		close(prog);
		prog = -1;
		/* The program is gone when a worker has seen to it. */
		for (int i = 0; i < 50 && put(outer, inner); i++)
			usleep(20000);
		late = visitor_load(&xdp, own, outer);
		ok(late < 0 && errno == EACCES, "%d: and if it is in, the program is refused",
		   level);
		if (late >= 0)
			close(late);
	}
	close(own);
	close(outer);
	close(inner);
}

/* A map like locked_map(), of other numbers in place of the lock */
static int without_a_lock(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	struct btf *btf = btf__new_empty();
	int word, number, map;

	word = btf__add_int(btf, "unsigned int", 4, 0);
	number = btf__add_int(btf, "unsigned long", 8, 0);
	opts.btf_key_type_id = word;
	opts.btf_value_type_id = btf__add_struct(btf, "numbers", sizeof(struct locked));
	btf__add_field(btf, "a", number, 0, 0);
	btf__add_field(btf, "b", number, 64, 0);
	btf__add_field(btf, "c", number, 128, 0);
	opts.btf_fd = btf_load(btf);
	map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "numbers", 4, sizeof(struct locked), 1, &opts);
	if (map < 0)
		bail("a map of numbers: %s", strerror(errno));
	close(opts.btf_fd);
	return map;
}

/*
 * What is like others but for a lock in its values goes in, as the kernel has it, and programs
 * write the lock, which user space takes.
 */
static void with_a_lock(int level)
{
	int like = without_a_lock();
	int inner = locked_map(BPF_MAP_TYPE_ARRAY, 1, 0);
	int outer = outer_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, like), own = map_of_words(0);
	int prog = visitor(&xdp, own, outer), err;

	err = put(outer, inner) ? errno : 0;
	ok(level ? err == EACCES : !err, "%d: a map with a lock may %sgo in", level,
	   level ? "not " : "");
	close(prog);
	close(own);
	close(outer);
	close(inner);
	close(like);
}

/* A map of maps is no map for a map of maps, whoever uses it. */
static void in_each_other(void)
{
	int inner = inner_create(BPF_MAP_TYPE_ARRAY, 0);
	int a = outer_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, inner);
	int b = outer_create(BPF_MAP_TYPE_HASH_OF_MAPS, inner);
	int own_a = map_of_words(0), own_b = map_of_words(0);
	int prog_a = visitor(&xdp, own_a, a), prog_b = visitor(&sched_cls, own_b, b);

	ok(put(a, b) && errno == EINVAL && put(b, a) && errno == EINVAL &&
	   put(a, own_b) && errno == EINVAL, "what does not fit does not go in");
	ok(!put(a, inner) && !put(b, inner) && prog_run_once(prog_a) == xdp.pass &&
	   prog_run_once(prog_b) == sched_cls.pass && inner_word(inner) == 2,
	   "and programs go on with what does");
	close(prog_a);
	close(prog_b);
	close(own_a);
	close(own_b);
	close(a);
	close(b);
	close(inner);
}

int main(void)
{
	static const struct {
		enum bpf_map_type of, in;
		const char *name;
	} kinds[] = {
		{ BPF_MAP_TYPE_ARRAY_OF_MAPS, BPF_MAP_TYPE_ARRAY, "array of arrays" },
		{ BPF_MAP_TYPE_ARRAY_OF_MAPS, BPF_MAP_TYPE_HASH, "array of hashes" },
		{ BPF_MAP_TYPE_HASH_OF_MAPS, BPF_MAP_TYPE_ARRAY, "hash of arrays" },
		{ BPF_MAP_TYPE_HASH_OF_MAPS, BPF_MAP_TYPE_HASH, "hash of hashes" },
	};
	size_t i;
	int level;

	if (!test_kernel())
		skip_all("needs the test kernel");
	for (level = 0; level <= 2; level += 2) {
		if (!moat_set_level(level))
			skip_all("no moat.ko");
		for (i = 0; i < ARRAY_SIZE(kinds); i++) {
			legal(level, kinds[i].name, kinds[i].of, kinds[i].in);
			taken_out(level, kinds[i].name, kinds[i].of, kinds[i].in);
		}
		without_pages(level);
		with_a_lock(level);
		by_many(level);
	}
	in_each_other();
	swapped(BPF_MAP_TYPE_ARRAY_OF_MAPS, "array of maps");
	swapped(BPF_MAP_TYPE_HASH_OF_MAPS, "hash of maps");
	return finish();
}
