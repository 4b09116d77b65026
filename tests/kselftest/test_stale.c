// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 alone=machine timeout=240 */
/*
 * Memory that goes from a program to another one while CPUs still have the old
 * translations, at every layer.
 *
 * All CPUs hammer the addresses at which a program has its map values. It goes,
 * and its map; then maps of another program are made on each CPU, so that they get
 * the very pages, and filled with a secret. The test kernel can leave out the
 * flushes: then the secret is seen at the old addresses. With them it never is, and
 * the old addresses lead nowhere as soon as MOAT says that the program is gone.
 *
 * The hammers are kernel threads: QEMU flushes the TLB at each PKRS and CR3 write,
 * so that under it no program can hold on to a translation. A thread may read what
 * is mapped for anybody. So a page that has faulted is never read again, and the
 * new owner is loaded, and mapped, only once all have faulted, or the hammers have
 * stopped. Without flushes the secret is looked for before that anyway: a load
 * makes memory read-only, which flushes all TLBs.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "moat_test.h"

#define SECRET 0x7365637265742121ULL
#define FLUSH_OFF "/sys/kernel/debug/moat_test/off/flush"
#define HAMMER "/sys/kernel/debug/moat_test/hammer"
#define ROUNDS 10
/* As many as the hammers read: some will stay in the TLB for a while. */
#define PAGES 64
/* Maps of the new owner for each CPU; one takes what a map has left there. */
#define TAKERS 3
#define MOST_CPUS 8
#define MOST_INSNS 256

/* The hammers of all CPUs: how far each is, and on how many CPUs what is so. */
struct seen {
	int cpus, all_there, all_gone, saw_it;
	unsigned long long passes[MOST_CPUS], hits;
};

static int cpus;

static struct seen hammers(void)
{
	unsigned long long passes, faults, hits;
	FILE *f = fopen(HAMMER, "r");
	struct seen seen = { 0 };

	while (f && seen.cpus < MOST_CPUS &&
	       fscanf(f, "%*d %llu %llu %llu", &passes, &faults, &hits) == 3) {
		seen.passes[seen.cpus++] = passes;
		seen.all_there += faults == 0;
		seen.all_gone += faults == PAGES;
		seen.saw_it += hits != 0;
		seen.hits += hits;
	}
	if (!f || seen.cpus != cpus)
		bail("of the hammers of %d CPUs there are %d", cpus, seen.cpus);
	fclose(f);
	return seen;
}

/* What they have seen when each has gone through all pages once more, at least */
static struct seen hammers_next(void)
{
	struct seen before = hammers(), seen;
	int i, cpu;

	for (i = 0; i < 2000; i++) {
		seen = hammers();
		/* The first of two may have been under way. */
		for (cpu = 0; cpu < cpus && seen.passes[cpu] >= before.passes[cpu] + 2; cpu++)
			;
		if (cpu == cpus)
			return seen;
		usleep(5000);
	}
	bail("a hammer does not go on");
}

/* A program that tells where each of its maps is, if it finds @expect there. */
static int load(const char *name, const int *map, int nr_maps, u64 expect)
{
	struct bpf_insn insns[MOST_INSNS];
	int i, n = 0, prog;

	for (i = 0; i < nr_maps; i++) {
		const struct bpf_insn look[] = {
			LD_MAP_VALUE(R6, map[i], 0),
			LDX(BPF_DW, R1, R6, 0),
			LD_IMM64(R2, expect),
			JMP_REG(BPF_JEQ, R1, R2, 2),
			MOV_IMM(R0, 1),
			EXIT(),
			STX(BPF_DW, R6, R6, 8),
		};

		if (n + ARRAY_SIZE(look) + 2 > MOST_INSNS)
			bail("too many maps");
		memcpy(&insns[n], look, sizeof(look));
		n += ARRAY_SIZE(look);
	}
	insns[n++] = MOV_IMM(R0, 2);
	insns[n++] = EXIT();
	prog = prog_load(xdp.type, name, insns, n);
	if (prog < 0)
		bail("%s does not load: %s", name, strerror(errno));
	return prog;
}

/* What its program has told. */
static u64 address_of(int map)
{
	static u64 value[PAGES * 512];
	u32 zero = 0;

	if (map_lookup(map, &zero, value))
		bail("map: %s", strerror(errno));
	return value[1];
}

/* Takes pages that are free, first those this CPU has freed. */
static int taker(void)
{
	static u64 value[PAGES * 512];
	int map = map_create(BPF_MAP_TYPE_ARRAY, 4, sizeof(value), 1);
	u32 zero = 0;

	for (size_t i = 0; i < ARRAY_SIZE(value); i++)
		value[i] = SECRET;
	if (map < 0 || map_update(map, &zero, value))
		bail("a map that takes pages: %s", strerror(errno));
	return map;
}

struct result {
	int rounds, led, leaked, saw_it, reused;
	unsigned long long hits;
};

/* One goes, another comes. */
static void one_round(enum moat_layer layer, bool flush, struct result *result)
{
	int map = map_create(BPF_MAP_TYPE_ARRAY, 4, PAGES * 4096, 1), taken[TAKERS * MOST_CPUS];
	int prog = load("gone", &map, 1, 0), owner, cpu, i, n = 0;
	s64 loaded = moat_counter("loaded") - 1;
	struct seen seen;
	u64 where;

	if (prog_run_once(prog) != xdp.pass)
		bail("a program does not run");
	if (moat_layer(prog) != layer)
		bail("the program is in the wrong layer");
	where = address_of(map);
	if (write_file(HAMMER, "%llx %llx", (unsigned long long)where, SECRET))
		bail("the hammers: %s", strerror(errno));
	if (hammers().all_there != cpus)
		bail("a hammer finds nothing while there is something");

	close(prog);
	close(map);
	moat_wait_loaded(loaded);
	/* From now on its memory may be anybody's. */
	result->led += hammers_next().all_gone != cpus;

	/* A map is freed a little later, by a worker on any CPU. */
	for (i = 0; i < TAKERS; i++) {
		usleep(20000);
		for (cpu = 0; cpu < cpus; cpu++) {
			pin_to_cpu(cpu);
			taken[n++] = taker();
		}
	}
	seen = hammers_next();
	if (!flush)
		write_file(HAMMER, "stop");
	owner = load("owner", taken, n, SECRET);
	if (prog_run_once(owner) != xdp.pass)
		bail("the new owner does not find what is its own");
	for (i = 0; i < n; i++)
		result->reused += address_of(taken[i]) == where;
	if (flush) {
		seen = hammers_next();
		write_file(HAMMER, "stop");
	}
	result->rounds++;
	result->leaked += seen.hits != 0;
	result->hits += seen.hits;
	if (seen.saw_it > result->saw_it)
		result->saw_it = seen.saw_it;

	close(owner);
	for (i = 0; i < n; i++)
		close(taken[i]);
	moat_wait_loaded(loaded);
}

/*
 * What the last round without flushes has left in the TLBs: the end of any program
 * flushes them.
 */
static void catch_up(void)
{
	s64 loaded = moat_counter("loaded");

	write_file(FLUSH_OFF, "0");
	close(load("last", NULL, 0, 0));
	moat_wait_loaded(loaded);
}

static void layer(enum moat_layer layer, const char *name)
{
	struct result with = { 0 }, without = { 0 };
	int i;

	moat_set_keys(layer == VIEW ? 0 : 13);
	for (i = 0; i < ROUNDS; i++)
		one_round(layer, true, &with);
	ok(!with.led, "%s: on each CPU the old addresses lead nowhere (%d of %d rounds)", name,
	   ROUNDS - with.led, ROUNDS);
	ok(!with.hits, "%s: no CPU sees what the new owner keeps in the memory", name);
	ok(with.reused, "%s: the new owner got the same addresses, too (%d of %d rounds)", name,
	   with.reused, ROUNDS);

	write_file(FLUSH_OFF, "1");
	for (i = 0; i < ROUNDS; i++)
		one_round(layer, false, &without);
	catch_up();
	ok(without.led, "%s: without flushes they lead somewhere (%d of %d rounds)", name,
	   without.led, ROUNDS);
	ok(without.hits, "%s: without flushes CPUs see it (%d of %d rounds, %llu times)", name,
	   without.leaked, ROUNDS, without.hits);
	diag("%s: on up to %d CPUs in one round", name, without.saw_it);
}

static void restore(void)
{
	write_file(HAMMER, "stop");
	write_file(FLUSH_OFF, "0");
	moat_set_keys(13);
}

int main(void)
{
	if (!test_kernel())
		skip_all("needs the test kernel");
	if (!moat_set_level(2))
		skip_all("no moat.ko");
	cpus = sysconf(_SC_NPROCESSORS_ONLN);
	if (cpus > MOST_CPUS)
		bail("more than %d CPUs", MOST_CPUS);
	atexit(restore);
	moat_wait_loaded(0);
	layer(KEYED, "keyed");
	layer(VIEW, "viewed");
	return finish();
}
