// SPDX-License-Identifier: GPL-2.0
/*
 * A run that was entered with interrupts off is interrupted by nothing, so that
 * nothing looks at its deadline. Every CPU therefore looks at the next one, once a
 * second, and sends it an NMI if it is still in the same run. If that CPU looks at
 * nobody itself, it looks at the one after that, too.
 *
 * It does so in interrupts: a CPU may be waiting for the one that it looks at, and
 * have left its softirqs to a thread.
 */
#include <linux/cpuhotplug.h>
#include <linux/cpumask.h>
#include <linux/hrtimer.h>
#include <linux/percpu.h>
#include <linux/timekeeping.h>
#include <asm/moat.h>

#include "shims.h"

struct moat_watch {
	struct hrtimer timer;
	/* How often this CPU has looked */
	u64 looks;
	/* When somebody looked at this CPU last, and what was seen; two may mix it up */
	u64 seen_at, seen_looks, seen_run, seen_runs;
};

static DEFINE_PER_CPU(struct moat_watch, watches);
static int state;

/* Is somebody looking at those after @cpu? */
static bool look_at(int cpu, u64 now)
{
	struct moat_watch *w = per_cpu_ptr(&watches, cpu);
	u64 run = READ_ONCE(per_cpu(moat_run, cpu));
	u64 runs = READ_ONCE(per_cpu(moat_runs, cpu));
	u64 looks = READ_ONCE(w->looks);
	bool awake = looks != READ_ONCE(w->seen_looks);

	/* Another one just did. */
	if (now - READ_ONCE(w->seen_at) < NSEC_PER_SEC / 2)
		return true;
	if (run && run == READ_ONCE(w->seen_run) && runs == READ_ONCE(w->seen_runs))
		moat_nudge(cpu);
	WRITE_ONCE(w->seen_at, now);
	WRITE_ONCE(w->seen_looks, looks);
	WRITE_ONCE(w->seen_run, run);
	WRITE_ONCE(w->seen_runs, runs);
	return awake;
}

static enum hrtimer_restart watch(struct hrtimer *timer)
{
	struct moat_watch *w = container_of(timer, struct moat_watch, timer);
	int this_cpu = smp_processor_id(), cpu;
	u64 now = ktime_get_ns();

	WRITE_ONCE(w->looks, w->looks + 1);
	for_each_cpu_wrap(cpu, cpu_online_mask, this_cpu) {
		if (cpu != this_cpu && look_at(cpu, now))
			break;
	}
	hrtimer_forward_now(timer, NSEC_PER_SEC);
	return HRTIMER_RESTART;
}

static int watch_online(unsigned int cpu)
{
	struct hrtimer *timer = &per_cpu_ptr(&watches, cpu)->timer;

	hrtimer_init(timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
	timer->function = watch;
	hrtimer_start(timer, NSEC_PER_SEC, HRTIMER_MODE_REL_PINNED_HARD);
	return 0;
}

static int watch_offline(unsigned int cpu)
{
	hrtimer_cancel(&per_cpu_ptr(&watches, cpu)->timer);
	return 0;
}

/**
 * moat_watch_init() - have every CPU looked at from now on
 *
 * Context: process; may sleep.
 */
int moat_watch_init(void)
{
	state = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "moat:watch", watch_online, watch_offline);
	return state < 0 ? state : 0;
}

void moat_watch_exit(void)
{
	cpuhp_remove_state(state);
}
