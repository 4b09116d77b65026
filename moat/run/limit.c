// SPDX-License-Identifier: GPL-2.0
/*
 * May this message go to the kernel log?
 *
 * Most of them are provoked by a user, who can do it again. So each user has an
 * allowance, and all but root have one together, which users with many IDs cannot
 * exceed; root can write to the log anyway, but a loader that tries again and again
 * shall not flood it either. Counters in debugfs count everything all the same.
 */
#include <linux/atomic.h>
#include <linux/cred.h>
#include <linux/debugfs.h>
#include <linux/jiffies.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/printk.h>
#include <linux/ratelimit.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/uidgid.h>

#include "../kernel/shims.h"

/* Messages in a period, of a user, of all users but root, and of root */
#define PERIOD		(60 * HZ)
#define OF_USER		10
#define OF_ALL		60
#define ROOT_PERIOD	(5 * HZ)
#define OF_ROOT		500

/* Users that are remembered; who comes later takes the place of who was quiet longest. */
#define USERS 64

struct user_limit {
	u32 uid;
	unsigned long used;	/* jiffies of the last message; 0: nobody's */
	struct ratelimit_state allowance;
};

static struct user_limit limits[USERS];
static struct ratelimit_state of_all =
	RATELIMIT_STATE_INIT_FLAGS(of_all, PERIOD, OF_ALL, RATELIMIT_MSG_ON_RELEASE);
static DEFINE_RAW_SPINLOCK(limits_lock);
/* This CPU holds limits_lock, or waits for it. */
static DEFINE_PER_CPU(bool, limits_busy);

/* Messages that were not logged, ever; shown by counters.c */
u64 moat_unlogged;

static struct user_limit *limit_of(u32 uid)
{
	struct user_limit *limit, *quiet = limits;

	for (limit = limits; limit < limits + USERS && limit->used; limit++) {
		if (limit->uid == uid)
			return limit;
		if (time_before(limit->used, quiet->used))
			quiet = limit;
	}
	if (limit == limits + USERS)
		limit = quiet;
	limit->uid = uid;
	ratelimit_state_init(&limit->allowance, uid ? PERIOD : ROOT_PERIOD,
			     uid ? OF_USER : OF_ROOT);
	ratelimit_set_flags(&limit->allowance, RATELIMIT_MSG_ON_RELEASE);
	return limit;
}

/*
 * False in an NMI, or the like, that has interrupted this CPU in here. Several CPUs may
 * stop programs in NMIs at once, so another's being in here is waited for; lockdep knows
 * an NMI's locks only from trying.
 */
static bool lock_limits(unsigned long *flags)
{
	local_irq_save(*flags);
	if (__this_cpu_read(limits_busy)) {
		local_irq_restore(*flags);
		return false;
	}
	__this_cpu_write(limits_busy, true);
	if (in_nmi()) {
		while (!raw_spin_trylock(&limits_lock))
			cpu_relax();
	} else {
		raw_spin_lock(&limits_lock);
	}
	return true;
}

static void unlock_limits(unsigned long flags)
{
	raw_spin_unlock(&limits_lock);
	__this_cpu_write(limits_busy, false);
	local_irq_restore(flags);
}

/**
 * moat_may_log() - ask before a message that @uid has provoked
 *
 * Says how many were not logged before. An NMI that comes while this CPU is in here has
 * its say: that is too rare for anybody to flood the log with.
 * Context: any, NMI included.
 */
bool moat_may_log(u32 uid)
{
	struct user_limit *limit;
	unsigned long flags;
	bool may = false;
	int missed = 0;

	if (!lock_limits(&flags))
		return true;
	limit = limit_of(uid);
	limit->used = jiffies | 1;
	if (__ratelimit(&limit->allowance)) {
		may = !uid || __ratelimit(&of_all);
		if (may)
			missed = xchg(&limit->allowance.missed, 0);
		else
			limit->allowance.missed++;
	}
	unlock_limits(flags);
	if (!may)
		atomic64_inc((atomic64_t *)&moat_unlogged);
	if (missed)
		pr_notice("moat: %d messages because of uid %u were not logged\n", missed, uid);
	return may;
}

/* Who is doing this */
void moat_whoami(struct moat_who *who)
{
	who->pid = task_tgid_nr(current);
	who->tid = task_pid_nr(current);
	who->uid = from_kuid(&init_user_ns, current_uid());
	get_task_comm(who->comm, current);
}
