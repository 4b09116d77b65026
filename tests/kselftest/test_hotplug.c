// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,0 full=1 alone=machine timeout=240 */
/*
 * CPUs that go and come back while programs run on the others. While one is away keys
 * and addresses change hands. When it is back programs run there as before, and are
 * kept in: those that were there and those that have come meanwhile. At level 0 the
 * same attacks succeed there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "moat_test.h"

#define MEMBERS 16
#define RUNNERS 3
#define ROUNDS 6

enum { COUNT, ME };

static const struct prog_type *const types[] = { &xdp, &sched_cls, &sched_act, &socket_filter };

static struct member {
	const struct prog_type *type;
	int prog, own;
	u64 runs;
} members[MEMBERS];

static volatile bool over;

/* Counts its runs, and says where it does so. */
static void enlist(int i)
{
	int own = map_of_words(0);
	const struct prog_type *type = types[i % ARRAY_SIZE(types)];
	const struct bpf_insn insns[] = {
		LD_MAP_VALUE(R6, own, 0),
		MOV_IMM(R1, 1),
		STX(BPF_DW, R6, R6, 8 * ME),
		ATOMIC(BPF_DW, BPF_ADD, R6, R1, 8 * COUNT),
		MOV_IMM(R0, type->pass),
		EXIT(),
	};

	members[i] = (struct member){
		.type = type, .own = own, .prog = PROG_LOAD(type->type, "member", insns),
	};
	if (members[i].prog < 0)
		bail("a program does not load: %s", strerror(errno));
}

static void leave(int i)
{
	close(members[i].prog);
	close(members[i].own);
}

/* Runs a member; false if it is stopped. */
static bool run(int i)
{
	__atomic_add_fetch(&members[i].runs, 1, __ATOMIC_RELAXED);
	return prog_run_once(members[i].prog) == members[i].type->pass;
}

/* The first members stay all the time. Wherever there is a CPU */
static void *run_all_the_time(void *arg)
{
	int i = (long)arg;
	bool good = true;
	cpu_set_t all;

	memset(&all, 0xff, sizeof(all));
	sched_setaffinity(0, sizeof(all), &all);
	for (; good && !over; i = (i + RUNNERS) % (MEMBERS / 2))
		good = run(i);
	return (void *)(long)good;
}

static bool set_online(int cpu, bool online)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	return !write_file(path, "%d", online) && read_number(path) == online;
}

static u64 attacks, stopped, succeeded;

/* On this CPU, at somebody's map and at the kernel's data */
static void attack(int i, bool write)
{
	const u64 at[] = { map_word(members[i].own, ME) + 8 * ME, target("data") };
	size_t n;

	for (n = 0; n < ARRAY_SIZE(at); n++) {
		struct rogue rogue = rogue_load(types[n + write], write, -1);
		s64 verdict = rogue_attack(&rogue, at[n]);
		bool got = rogue_got(&rogue, NULL);

		attacks++;
		stopped += verdict == rogue.type->safe && !got;
		succeeded += verdict == rogue.type->pass && got;
		rogue_close(&rogue);
	}
	/* At level 0 it is overwritten; the next run puts it right. */
	run(i);
}

/* A CPU is away for a while, and comes back. */
static bool round_trip(int level, int cpu, int keys)
{
	bool good = set_online(cpu, false);
	int i;

	if (!good)
		diag("CPU %d does not go: %s", cpu, strerror(errno));
	for (i = MEMBERS / 2; i < MEMBERS; i++) {
		leave(i);
		enlist(i);
	}
	if (level) {
		moat_set_keys(0);
		moat_set_keys(keys);
	}
	for (i = 0; i < MEMBERS; i++)
		good &= run(i);
	if (!set_online(cpu, true)) {
		diag("CPU %d does not come back: %s", cpu, strerror(errno));
		return false;
	}
	pin_to_cpu(cpu);
	for (i = 0; i < MEMBERS; i++)
		good &= run(i);
	attack(0, false);
	attack(MEMBERS - 1, true);
	for (i = 0; i < MEMBERS; i++)
		good &= run(i);
	pin_to_cpu(0);
	return good;
}

static void cpus_come_and_go(int level)
{
	int cpus = sysconf(_SC_NPROCESSORS_CONF), i, back = 0, wrong = 0, isolated = 0;
	int keys = level ? (int)read_number("/proc/sys/kernel/moat/keys") : 0;
	s64 violations = moat_counter("violations");
	pthread_t thread[RUNNERS];
	bool good = true;
	void *result;

	attacks = 0;
	stopped = 0;
	succeeded = 0;
	over = false;
	for (i = 0; i < MEMBERS; i++) {
		enlist(i);
		isolated += moat_layer(members[i].prog) != NONE;
	}
	ok(isolated == (level ? MEMBERS : 0), "%d: %d of %d programs are isolated", level, isolated,
	   MEMBERS);
	for (i = 0; i < RUNNERS; i++)
		pthread_create(&thread[i], NULL, run_all_the_time, (void *)(long)i);
	for (i = 0; i < ROUNDS; i++)
		back += round_trip(level, 1 + i % (cpus - 1), keys);
	over = true;
	for (i = 0; i < RUNNERS; i++) {
		pthread_join(thread[i], &result);
		good &= !!result;
	}
	for (i = 0; i < MEMBERS; i++)
		wrong += map_word(members[i].own, COUNT) != members[i].runs;

	ok(back == ROUNDS, "%d: %d times a CPU goes, comes back, and runs all programs", level,
	   back);
	ok(good && !wrong, "%d: programs on the other CPUs go on, and every run counts", level);
	if (level)
		ok(stopped == attacks && moat_counter("violations") == violations + (s64)attacks,
		   "%d: %llu of %llu attacks there are stopped", level,
		   (unsigned long long)stopped, (unsigned long long)attacks);
	else
		ok(succeeded == attacks, "0: %llu of %llu attacks there succeed",
		   (unsigned long long)succeeded, (unsigned long long)attacks);
	for (i = 0; i < MEMBERS; i++)
		leave(i);
	canary_reset();
}

int main(void)
{
	int level;

	if (!test_kernel())
		skip_all("needs the test kernel");
	if (sysconf(_SC_NPROCESSORS_CONF) < 2)
		skip_all("needs two CPUs");
	pin_to_cpu(0);
	for (level = 0; level <= 2; level += 2) {
		if (!moat_set_level(level))
			skip_all("no moat.ko");
		cpus_come_and_go(level);
	}
	return finish();
}
