// SPDX-License-Identifier: GPL-2.0
/*
 * Timers of map values: what they call, and who waits for that.
 */
#include <linux/bpf.h>
#include <linux/compiler.h>
#include <linux/jiffies.h>
#include <linux/types.h>
#include <asm/moat.h>

#include "shims.h"

/* A gate: run/timer.S */
void moat_timer(struct bpf_map *map, void *key, void *value, struct moat_calling *calling,
		u64 domain);

/* moat_ops.timer */
void moat_shim_timer(const struct moat_image *func, struct bpf_map *map, void *key, void *value)
{
	struct moat_calling calling = { .entry = func->start };

	moat_timer(map, key, value, &calling, func->domain);
}

/*
 * The helper. Who waits for what the timer has called does not use up its own time, and an
 * NMI that looks at the clock meanwhile finds the other's added to it.
 */
u64 moat_shim_cancel_timer(struct moat_run *run, u64 func, u64 timer)
{
	unsigned long since = jiffies;
	u64 deadline = run->deadline, ret;

	if (deadline)
		WRITE_ONCE(run->deadline, deadline + (READ_ONCE(moat_budget) + 2UL) * HZ);
	ret = ((u64 (*)(u64, u64, u64, u64, u64))func)(timer, 0, 0, 0, 0);
	if (deadline)
		WRITE_ONCE(run->deadline, deadline + (jiffies - since));
	return ret;
}
