// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13 full=1,0 alone=machine timeout=900 */
/*
 * More than a thousand programs of mixed types on live hooks at once, each with a
 * map of its own and some with shared ones, while others come, share, pin and go.
 * Each program checks on every run that its memory is its own. None is stopped,
 * and no count is lost.
 *
 * On a test kernel rogues go after the maps, stacks and landing areas of the crowd
 * all the while, of both layers and from both; each is stopped. Some share a map
 * with others meanwhile. Without isolation they get what they want.
 *
 * Usage: test_crowd [PROGRAMS [SECONDS]]
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "crowd.h"

static void count_up(void)
{
	static u64 sums[MOST / SHARERS + 1];
	int i, idle = 0, wrong = 0, lost = 0, keyed = 0, viewed = 0;
	u64 runs = 0;

	for (i = 0; i < total; i++) {
		struct own own = own_of(crowd[i].map);

		idle += own.runs == 0;
		wrong += own.wrong != 0 || own.me != (u64)i + 1;
		sums[crowd[i].shared] += own.runs;
		runs += own.runs;
		keyed += moat_layer(crowd[i].prog) == KEYED;
		viewed += moat_layer(crowd[i].prog) == VIEW;
	}
	for (i = 0; i < nr_shared; i++)
		lost += shared_count(shared[i]) != sums[i];
	diag("%llu runs, %llu packets; %d keyed, %d in views; %llu programs came and went",
	     (unsigned long long)runs, (unsigned long long)sent, keyed, viewed,
	     (unsigned long long)visits);
	ok(!idle, "all %d programs ran", total);
	ok(!wrong, "each found its own memory, every time");
	ok(!lost, "no count is lost in a shared map");
	ok(keyed + viewed == total, "all of them are isolated");
	ok(viewed > 0, "most of them in views");
}

/* The same attacks on a few members, and by rogues, that nobody isolates. */
static void plain(void)
{
	u64 before = attacked;
	pthread_t thread;
	int i;

	moat_set_level(0);
	total = 4 * SHARERS;
	nr_shared = 0;
	for (i = 0; i < total; i++)
		enlist(i, &socket_filter);
	on = true;
	pthread_create(&thread, NULL, traffic, NULL);
	wait_for_all();
	crossed = 0;
	for (i = 0; i < 32; i++)
		attack_member(i, true);
	on = false;
	pthread_join(thread, NULL);
	ok(!crossed, "0: %llu of %llu attacks succeed",
	   (unsigned long long)(attacked - before - crossed),
	   (unsigned long long)(attacked - before));
}

int main(int argc, char **argv)
{
	const char *kernel = getenv("MOAT_KERNEL");
	struct rlimit files = { 65536, 65536 };
	int i, seconds = argc > 2 ? atoi(argv[2]) : 20;
	pthread_t thread[CPUS + 2];
	bool rogues = test_kernel();
	s64 violations;

	most_keys = read_number("/proc/sys/kernel/moat/keys");
	/* All of them where they are attacked, unless lockdep or want of keys makes that long. */
	total = argc > 1 ? atoi(argv[1]) :
		kernel && !strcmp(kernel, "test") && most_keys > 1 ? 1024 : 256;
	if (total <= 2 * PAIRS || total > MOST) {
		fprintf(stderr, "usage: test_crowd [PROGRAMS (%d to %d) [SECONDS]]\n",
			2 * PAIRS + 1, MOST);
		return 2;
	}
	if (!moat_set_level(2))
		skip_all("no moat.ko");
	setrlimit(RLIMIT_NOFILE, &files);
	violations = moat_counter("violations");
	assemble();
	for (i = 0; i < CPUS; i++)
		pthread_create(&thread[i], NULL, traffic, (void *)(long)i);
	pthread_create(&thread[CPUS], NULL, come_and_go, NULL);
	wait_for_all();
	if (rogues)
		pthread_create(&thread[CPUS + 1], NULL, attacker, NULL);
	/* Longer, if need be, for every attack to be made. */
	for (i = 0; i < seconds || (rogues && i < seconds + 120 && !all_attacked(false)); i++) {
		sleep(1);
		if (i % 20 == 19)
			diag("%d of %d s, %llu packets, %llu attacks", i + 1, seconds,
			     (unsigned long long)sent, (unsigned long long)attacked);
	}
	on = false;
	for (i = 0; i < CPUS + 1 + rogues; i++)
		pthread_join(thread[i], NULL);
	disband();
	count_up();
	violations = moat_counter("violations") - violations;
	ok(violations == (s64)attacked, "none was stopped but for %lld rogues",
	   (long long)violations);
	ok(visits > 0, "programs came and went");
	if (rogues) {
		ok(attacked && !crossed, "%llu of %llu attacks are stopped",
		   (unsigned long long)(attacked - crossed), (unsigned long long)attacked);
		ok(!illegal_stops, "no rogue is stopped before it attacks");
		ok(all_attacked(true), "each attack is made in each combination of layers");
		if (moved)
			diag("%llu more while a layer changed", (unsigned long long)moved);
		plain();
	} else {
		skip("needs the test kernel", "attacks");
	}
	return finish();
}
