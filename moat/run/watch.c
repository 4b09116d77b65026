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
#include <linux/interrupt.h>
#include <linux/jiffies.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/timekeeping.h>
#include <asm/moat.h>

#include "../kernel/shims.h"

struct moat_watch {
	struct hrtimer timer;
	/* When this CPU has looked at others last */
	u64 looked_at;
	/* When somebody has looked at this CPU last, and what was seen; two may mix it up */
	u64 seen_at, seen_run, seen_runs;
	/* When this CPU was last found with no packets to see to */
	u64 rested;
};

static DEFINE_PER_CPU(struct moat_watch, watches);
static int state;

/* Did that happen less than @ns ago? Others may have seen a later time than @now. */
static bool is_recent(u64 then, u64 now, s64 ns)
{
	return (s64)(now - then) < ns;
}

static void look_at(int cpu, u64 now)
{
	struct moat_watch *w = per_cpu_ptr(&watches, cpu);
	u64 run = READ_ONCE(per_cpu(moat_run, cpu));
	u64 runs = READ_ONCE(per_cpu(moat_runs, cpu));

	/* Another one just did. */
	if (is_recent(READ_ONCE(w->seen_at), now, NSEC_PER_SEC / 2))
		return;
	/* None has ended since: it may be in a callback now, which has a struct moat_run, too. */
	if (run && READ_ONCE(w->seen_run) && runs == READ_ONCE(w->seen_runs))
		moat_nudge(cpu);
	WRITE_ONCE(w->seen_at, now);
	WRITE_ONCE(w->seen_run, run);
	WRITE_ONCE(w->seen_runs, runs);
}

/* Are packets being seen to here, or waiting for that? Context: hard interrupt. */
static bool sees_to_packets(void)
{
	return softirq_count() ||
	       local_softirq_pending() & (BIT(NET_TX_SOFTIRQ) | BIT(NET_RX_SOFTIRQ));
}

/**
 * moat_busy() - has this CPU had packets to see to for longer than the budget?
 *
 * That is looked at once a second. A CPU that answers packets with packets for ever
 * does so in softirqs or ksoftirqd, and RCU is content with that: each round counts
 * as a quiescent state.
 * Context: no preemption.
 */
bool moat_busy(void)
{
	u64 rested = READ_ONCE(this_cpu_ptr(&watches)->rested);

	return time_after64(get_jiffies_64(), rested + (u64)READ_ONCE(moat_budget) * HZ);
}

static enum hrtimer_restart watch(struct hrtimer *timer)
{
	int this_cpu = smp_processor_id(), cpu;
	u64 now = ktime_get_ns(), looked_at;

	WRITE_ONCE(this_cpu_ptr(&watches)->looked_at, now);
	if (!sees_to_packets())
		WRITE_ONCE(this_cpu_ptr(&watches)->rested, get_jiffies_64());
	for_each_cpu_wrap(cpu, cpu_online_mask, this_cpu) {
		if (cpu == this_cpu)
			continue;
		look_at(cpu, now);
		looked_at = READ_ONCE(per_cpu(watches, cpu).looked_at);
		if (is_recent(looked_at, now, NSEC_PER_SEC * 3 / 2))
			break;
	}
	hrtimer_forward_now(timer, NSEC_PER_SEC);
	return HRTIMER_RESTART;
}

static int watch_online(unsigned int cpu)
{
	struct hrtimer *timer = &per_cpu_ptr(&watches, cpu)->timer;

	/* The nudge that a CPU was sent when it went is not of what it runs now. */
	per_cpu(moat_nudged, cpu) = false;
	WRITE_ONCE(per_cpu_ptr(&watches, cpu)->rested, get_jiffies_64());
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
