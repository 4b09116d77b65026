// SPDX-License-Identifier: GPL-2.0
/*
 * Which programs are isolated: /sys/kernel/debug/moat/programs
 *
 * There can be tens of thousands. The lock is held for what goes into a buffer of
 * seq_file, never while a reader is waited for; programs have numbers in the order in
 * which they were loaded, so that a reader misses none that stays, and sees none twice.
 */
#include <linux/debugfs.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "../kernel/shims.h"

static DEFINE_XARRAY_ALLOC1(programs);
static u32 last_number;

/*
 * With the lock held. @program is its name in the module's state, of 63 bits at most.
 * Returns its number, or 0: no memory
 */
u32 moat_list_add(u64 program)
{
	u32 n;

	if (xa_alloc_cyclic(&programs, &n, xa_mk_value(program), xa_limit_31b, &last_number,
			    GFP_KERNEL_ACCOUNT) < 0)
		return 0;
	return n;
}

void moat_list_del(u32 n)
{
	xa_erase(&programs, n);
}

static void *moat_programs_start(struct seq_file *m, loff_t *pos)
{
	unsigned long n = *pos;
	void *program;

	moat_shim_lock();
	if (!n)
		return SEQ_START_TOKEN;
	program = xa_find(&programs, &n, ULONG_MAX, XA_PRESENT);
	if (program)
		*pos = n;
	return program;
}

static void *moat_programs_next(struct seq_file *m, void *v, loff_t *pos)
{
	unsigned long n = *pos;
	void *program = xa_find_after(&programs, &n, ULONG_MAX, XA_PRESENT);

	*pos = program ? n : *pos + 1;
	return program;
}

static void moat_programs_stop(struct seq_file *m, void *v)
{
	moat_shim_unlock();
}

static int moat_programs_show(struct seq_file *m, void *v)
{
	if (v == SEQ_START_TOKEN)
		seq_puts(m, "id type name level layer domains runs state by\n");
	else
		moat_show_program(m, xa_to_value(v));
	return 0;
}

static const struct seq_operations moat_programs_sops = {
	.start = moat_programs_start,
	.next = moat_programs_next,
	.stop = moat_programs_stop,
	.show = moat_programs_show,
};
DEFINE_SEQ_ATTRIBUTE(moat_programs);

void moat_listing_init(struct dentry *dir)
{
	debugfs_create_file("programs", 0400, dir, NULL, &moat_programs_fops);
}
