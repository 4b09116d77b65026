// SPDX-License-Identifier: GPL-2.0
/*
 * A run that was entered with interrupts off is interrupted by nothing, so that
 * nothing looks at its deadline. Every CPU therefore looks at the next one, once a
 * second, and sends it an NMI if it is still in the same run.
 */
#include <linux/cpuhotplug.h>
#include <linux/cpumask.h>
#include <linux/percpu.h>
#include <linux/timer.h>
#include <asm/moat.h>

#include "shims.h"

struct moat_watch {
	struct timer_list timer;
	/* What was seen last, and where */
	int cpu;
	u64 run, runs;
};

static DEFINE_PER_CPU(struct moat_watch, watches);
static int state;

static void watch(struct timer_list *timer)
{
	struct moat_watch *w = from_timer(w, timer, timer);
	int cpu = cpumask_next_wrap(smp_processor_id(), cpu_online_mask,
				    smp_processor_id(), false);

	if (cpu < nr_cpu_ids && cpu != smp_processor_id()) {
		u64 run = READ_ONCE(per_cpu(moat_run, cpu));
		u64 runs = READ_ONCE(per_cpu(moat_runs, cpu));

		if (run && cpu == w->cpu && run == w->run && runs == w->runs)
			moat_nudge(cpu);
		w->cpu = cpu;
		w->run = run;
		w->runs = runs;
	}
	mod_timer(timer, jiffies + HZ);
}

static int watch_online(unsigned int cpu)
{
	struct moat_watch *w = per_cpu_ptr(&watches, cpu);

	w->run = 0;
	timer_setup(&w->timer, watch, TIMER_PINNED);
	w->timer.expires = jiffies + HZ;
	add_timer_on(&w->timer, cpu);
	return 0;
}

static int watch_offline(unsigned int cpu)
{
	del_timer_sync(&per_cpu_ptr(&watches, cpu)->timer);
	return 0;
}

int moat_watch_init(void)
{
	state = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "moat:watch", watch_online, watch_offline);
	return state < 0 ? state : 0;
}

void moat_watch_exit(void)
{
	cpuhp_remove_state(state);
}
