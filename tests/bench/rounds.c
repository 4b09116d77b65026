// SPDX-License-Identifier: GPL-2.0
/*
 * Operations in rounds. The quietest round is the one that no interrupt fell into, and
 * no work that the kernel had put off: a round is shorter than the tick's millisecond.
 * The TSC counts instructions, as the guest has ICOUNT=1.
 */
#include <unistd.h>
#include "bench.h"

#define REPEAT 32
#define ROUNDS (OPERATIONS / REPEAT)

struct counters read_counters(void)
{
	return (struct counters){
		.pkrs = moat_counter("pkrs_writes"),
		.cr3 = moat_counter("cr3_writes"),
	};
}

void keep_quietest(struct cost *best, double insns, const struct counters *before, int n)
{
	struct counters after = read_counters();

	if (best->insns >= 0 && insns / n >= best->insns)
		return;
	best->insns = insns / n;
	best->pkrs = after.pkrs < 0 ? -1 : (after.pkrs - before->pkrs) / n;
	best->cr3 = after.cr3 < 0 ? -1 : (after.cr3 - before->cr3) / n;
}

struct cost quietest(const struct operation *op)
{
	struct cost best = { -1, -1, -1 };

	for (int round = 0; round < ROUNDS; round++) {
		struct counters before = read_counters();
		unsigned long long took = now();
		bool good = true;

		for (int i = 0; i < REPEAT; i++)
			good &= op->run(op->arg);
		took = now() - took;
		if (good)
			keep_quietest(&best, took, &before, REPEAT);
		else
			/* Whoever is late, ksoftirqd perhaps, has its turn. */
			usleep(2000);
		if (op->settle)
			op->settle(op->arg);
	}
	return best;
}
