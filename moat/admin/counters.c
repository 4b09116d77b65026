// SPDX-License-Identifier: GPL-2.0
/*
 * Counters: /sys/kernel/debug/moat/
 */
#include <linux/debugfs.h>
#include <linux/moat.h>
#include <linux/percpu.h>
#include <linux/seq_file.h>
#include <asm/moat.h>

#include "../kernel/shims.h"

static struct dentry *dir;

#define SUM(var) ({						\
	u64 sum_ = 0;						\
	int cpu_;						\
								\
	for_each_possible_cpu(cpu_)				\
		sum_ += per_cpu(var, cpu_);			\
	sum_;							\
})

/* A file that shows per-CPU counter moat_name, summed up */
#define PERCPU_COUNTER(name)						\
	static int name##_get(void *data, u64 *val)			\
	{								\
		*val = SUM(moat_##name);				\
		return 0;						\
	}								\
	DEFINE_DEBUGFS_ATTRIBUTE(name##_fops, name##_get, NULL, "%llu\n")

PERCPU_COUNTER(runs);
PERCPU_COUNTER(view_runs);
PERCPU_COUNTER(calls);
PERCPU_COUNTER(tail_calls);
PERCPU_COUNTER(too_deep);
PERCPU_COUNTER(cr3_writes);

static int resumes_get(void *data, u64 *val)
{
	*val = moat_arch_resumes();
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(resumes_fops, resumes_get, NULL, "%llu\n");

/* Each run, call and interruption opens PKRS once and closes it once. */
static int pkrs_writes_get(void *data, u64 *val)
{
	*val = 2 * (SUM(moat_runs) + SUM(moat_calls) + moat_arch_resumes());
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(pkrs_writes_fops, pkrs_writes_get, NULL, "%llu\n");

static int moat_domains_show(struct seq_file *m, void *data)
{
	return moat_show_domains(m, data);
}
DEFINE_SHOW_ATTRIBUTE(moat_domains);

/* A run, which does not leave this CPU, did not go as deep as it would have. */
void moat_count_too_deep(void)
{
	this_cpu_inc(moat_too_deep);
}

static int moat_keys_show(struct seq_file *m, void *data)
{
	return moat_show_keys(m, data);
}
DEFINE_SHOW_ATTRIBUTE(moat_keys);

int moat_counters_init(void)
{
	dir = debugfs_create_dir("moat", NULL);
	debugfs_create_file_unsafe("runs", 0444, dir, NULL, &runs_fops);
	debugfs_create_file_unsafe("view_runs", 0444, dir, NULL, &view_runs_fops);
	debugfs_create_file_unsafe("calls", 0444, dir, NULL, &calls_fops);
	debugfs_create_file_unsafe("tail_calls", 0444, dir, NULL, &tail_calls_fops);
	debugfs_create_file_unsafe("too_deep", 0444, dir, NULL, &too_deep_fops);
	debugfs_create_file_unsafe("resumes", 0444, dir, NULL, &resumes_fops);
	debugfs_create_file_unsafe("pkrs_writes", 0444, dir, NULL, &pkrs_writes_fops);
	debugfs_create_file_unsafe("cr3_writes", 0444, dir, NULL, &cr3_writes_fops);
	debugfs_create_u64("violations", 0444, dir, &moat_violations);
	debugfs_create_u64("refused", 0444, dir, &moat_refused);
	debugfs_create_u64("refused_sends", 0444, dir, &moat_refused_sends);
	debugfs_create_u64("refused_prints", 0444, dir, &moat_refused_prints);
	debugfs_create_u64("refused_records", 0444, dir, &moat_refused_records);
	debugfs_create_u64("plain", 0444, dir, &moat_plain);
	debugfs_create_u64("confined", 0444, dir, &moat_confined);
	debugfs_create_u64("refused_maps", 0444, dir, &moat_refused_maps);
	debugfs_create_u64("no_memory", 0444, dir, &moat_no_memory);
	debugfs_create_u64("unlogged", 0444, dir, &moat_unlogged);
	debugfs_create_u64("kept_packets", 0444, dir, &moat_kept_packets);
	debugfs_create_u64("given_back", 0444, dir, &moat_given_back);
	debugfs_create_u64("binds", 0444, dir, &moat_binds);
	debugfs_create_u64("loaded", 0444, dir, &moat_loaded);
	debugfs_create_u64("freed", 0444, dir, &moat_freed);
	debugfs_create_u64("evictions", 0444, dir, &moat_evictions);
	moat_listing_init(dir);
	debugfs_create_file("domains", 0400, dir, NULL, &moat_domains_fops);
	debugfs_create_file("keys", 0400, dir, NULL, &moat_keys_fops);
	if (IS_ENABLED(CONFIG_BPF_MOAT_TEST))
		debugfs_create_u64("mispredicted", 0444, dir, &moat_mispredicted);
	return 0;
}

void moat_counters_exit(void)
{
	debugfs_remove_recursive(dir);
}
