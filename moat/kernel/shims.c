// SPDX-License-Identifier: GPL-2.0
/*
 * What the kernel offers only as macros and inline functions, for Rust.
 */
#include <linux/bits.h>
#include <linux/bpf.h>
#include <linux/bpf_verifier.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/moat.h>
#include <linux/moat_line.h>
#include <linux/moat_metadata.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/sysctl.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>
#include <linux/user_namespace.h>
#include <linux/workqueue.h>
#include <net/inet_hashtables.h>
#include <net/sock.h>
#include <net/xdp.h>
#include <asm/moat.h>

#include "shims.h"

static DEFINE_MUTEX(state_lock);

void moat_shim_lock(void)
{
	mutex_lock(&state_lock);
}

void moat_shim_unlock(void)
{
	mutex_unlock(&state_lock);
}

struct module *moat_shim_module(void)
{
	return THIS_MODULE;
}

void moat_shim_synchronize_rcu(void)
{
	synchronize_rcu();
}

void moat_shim_cond_resched(void)
{
	cond_resched();
}

u32 moat_shim_nr_cpus(void)
{
	return nr_cpu_ids;
}

/* May the caller load any program of a type that is isolated? No audit record. */
bool moat_shim_privileged(void)
{
	return ns_capable_noaudit(&init_user_ns, CAP_BPF) ||
	       ns_capable_noaudit(&init_user_ns, CAP_NET_ADMIN) ||
	       ns_capable_noaudit(&init_user_ns, CAP_SYS_ADMIN);
}

void *moat_shim_zalloc(size_t size)
{
	return kvzalloc(size, GFP_KERNEL_ACCOUNT);
}

void moat_shim_free(const void *p)
{
	kvfree(p);
}

u64 moat_shim_runs(u64 slots)
{
	struct moat_cpu_slots __percpu *p = (struct moat_cpu_slots __percpu *)(unsigned long)slots;
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu_ptr(p, cpu)->runs);
	return sum;
}

static void balance_work(struct work_struct *work);
static DECLARE_DELAYED_WORK(balancing, balance_work);

static void balance_work(struct work_struct *work)
{
	u32 ms = moat_balance();

	if (ms)
		moat_shim_start_balancing(ms);
}

void moat_shim_start_balancing(u32 ms)
{
	schedule_delayed_work(&balancing, msecs_to_jiffies(ms));
}

void moat_shim_stop_balancing(void)
{
	cancel_delayed_work_sync(&balancing);
}

void moat_shim_seq_write(struct seq_file *m, const char *text, size_t len)
{
	seq_write(m, text, len);
}

u64 moat_shim_alloc_slots(void)
{
	return (u64)(unsigned long __force)
		alloc_percpu_gfp(struct moat_cpu_slots, GFP_KERNEL_ACCOUNT | __GFP_ZERO);
}

struct moat_cpu_slots *moat_shim_cpu_slots(u64 slots, u32 cpu)
{
	return per_cpu_ptr((struct moat_cpu_slots __percpu *)(unsigned long)slots, cpu);
}

void moat_shim_free_slots(u64 slots)
{
	free_percpu((void __percpu *)(unsigned long)slots);
}

struct page *moat_shim_alloc_page(void)
{
	return alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
}

void moat_shim_free_page(struct page *page)
{
	__free_page(page);
}

/* As gates do: struct moat_ctx_plan */
u64 moat_shim_run_plan(const struct bpf_prog *prog, void *ctx, void *snap,
		       const struct moat_slot *slot, struct moat_run *run)
{
	return ((u64 (*)(void *, void *, void *, const struct moat_slot *,
			 struct moat_run *))(void *)prog->bpf_func)(ctx, snap, NULL, slot, run);
}

u64 moat_shim_call(u64 func, const u64 *args)
{
	return ((u64 (*)(u64, u64, u64, u64, u64))func)(args[0], args[1], args[2],
							args[3], args[4]);
}

/* A map lookup, the call that comes most often: without a detour through memory */
u64 moat_shim_lookup(u64 func, u64 map, u64 key)
{
	return ((u64 (*)(u64, u64, u64, u64, u64))func)(map, key, 0, 0, 0);
}

u64 moat_shim_reserve(u64 func, u64 map, u64 size, u64 flags)
{
	return ((u64 (*)(u64, u64, u64, u64, u64))func)(map, size, flags, 0, 0);
}

void moat_shim_commit(u64 func, u64 record, u64 flags)
{
	((u64 (*)(u64, u64, u64, u64, u64))func)(record, flags, 0, 0, 0);
}

/* As bpf_sk_release() */
void moat_shim_put_socket(void *sk)
{
	if (sk_is_refcounted(sk))
		sock_gen_put(sk);
}

/* Who waits for others does not use up its own time. */
u64 moat_shim_take_lock(struct moat_run *run, u64 map, u64 off)
{
	unsigned long since = jiffies;
	u64 taken = moat_take_lock((const struct bpf_map *)map, off);

	if (run->deadline)
		run->deadline += jiffies - since;
	return taken;
}

/* What a program may hold at once */
void moat_shim_most(const struct bpf_verifier_env *env, u32 *refs, u32 *record)
{
	/* A global function can be called by one that is called by one ... */
	*refs = env->most_refs + (MAX_CALL_FRAMES - 1) * env->most_refs_global;
	*record = env->largest_record;
}

/*
 * What the kernel knows of a hash map, a trie, a ring or a map of maps, that programs may
 * call straight away; false of all others. Arrays would be given indices that they may read
 * twice.
 */
bool moat_shim_map_call(const struct bpf_map *map, struct moat_map_call *call)
{
	switch (map->map_type) {
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_LPM_TRIE:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH:
		/* What is more than one block would have to be told apart. */
		if (map->moat.blocks && map->moat.nr_blocks != 1)
			return false;
		call->to_window = map->moat.blocks ? -(__force u64)map->moat.blocks[0] :
						     -(u64)map->moat.base;
		call->cpu_size = map->moat.blocks ? map->moat.size : 0;
		if (map->map_type != BPF_MAP_TYPE_LPM_TRIE && map->key_size <= MOAT_ELEMS_KEY &&
		    map->value_size <= MOAT_ELEMS_VALUE)
			call->last_elems = moat_elems_size(map->key_size);
		break;
	case BPF_MAP_TYPE_RINGBUF:
		/* It has none of these operations. */
		*call = (struct moat_map_call){ .map = (u64)map };
		return true;
	case BPF_MAP_TYPE_ARRAY_OF_MAPS:
	case BPF_MAP_TYPE_HASH_OF_MAPS:
		/* What is found is no value. */
		call->to_window = 0;
		call->cpu_size = 0;
		break;
	default:
		return false;
	}
	call->map = (u64)map;
	call->lookup = (u64)map->ops->map_lookup_elem;
	/* They read a prefix twice. */
	if (map->map_type == BPF_MAP_TYPE_LPM_TRIE) {
		call->update = 0;
		call->delete = 0;
		return true;
	}
	/* Flags tell whether that waits for a lock. */
	call->update = map_value_has_spin_lock(map) ? 0 : (u64)map->ops->map_update_elem;
	call->delete = (u64)map->ops->map_delete_elem;
	return true;
}

u64 moat_shim_skb_data(const void *skb)
{
	return (u64)((const struct sk_buff *)skb)->data;
}

u32 moat_shim_skb_headlen(const void *skb)
{
	return skb_headlen(skb);
}

/* As __sk_buff.sk */
u64 moat_shim_skb_socket(const void *skb)
{
	return (u64)((const struct sk_buff *)skb)->sk;
}

u64 moat_shim_seconds(void)
{
	return ktime_get_seconds();
}

/* The number that instruction @i had in what was loaded */
u32 moat_shim_insn_number(const struct bpf_verifier_env *env, u32 i)
{
	return env->insn_aux_data[i].orig_idx;
}

struct bpf_verifier_log *moat_shim_log_of(struct bpf_verifier_env *env)
{
	return &env->log;
}

/* A line for who loads a program. 0: there is no log; 1: it is full; 2: it is there */
u32 moat_shim_log(struct bpf_verifier_log *log, const char *text, u32 len)
{
	if (!log || !log->level || !log->ubuf)
		return 0;
	bpf_log(log, "%.*s\n", len, text);
	return bpf_verifier_log_full(log) ? 1 : 2;
}

u32 moat_shim_skb_line(const void *skb)
{
	return moat_skb_line(skb);
}

void moat_shim_set_skb_line(void *skb, u32 line)
{
	moat_skb_set_line(skb, line);
}

/* Of what is no such number, who writes it is told no more than that. */
int moat_shim_sysctl(struct ctl_table *table, int write, void *buffer, size_t *len, loff_t *pos)
{
	int err = proc_douintvec_minmax(table, write, buffer, len, pos);
	const u32 *min = table->extra1, *max = table->extra2;

	if (write && err)
		pr_notice("moat: kernel.moat.%s takes a number from %u to %u\n",
			  table->procname, min ? *min : 0, *max);
	return err;
}

/* Those of this CPU; no preemption. */
struct moat_cpu_slots *moat_shim_this_slots(u64 slots)
{
	return this_cpu_ptr((struct moat_cpu_slots __percpu *)(unsigned long)slots);
}

/* In the flags of a run, beyond RFLAGS: it has been given more time. */
#define RUN_IS_DEFERRED BIT(28)

/*
 * A run that sends a packet waits for all that this starts: give it twice the
 * budget, and the time in which moat_busy() may be late, so that what it started is
 * refused before it is stopped. Once, but also if a tick has looked at it before.
 */
void moat_shim_defer(struct moat_run *run)
{
	if (run->flags & RUN_IS_DEFERRED)
		return;
	run->flags |= RUN_IS_DEFERRED;
	run->deadline = jiffies + (2UL * READ_ONCE(moat_budget) + 2) * HZ;
}

/* What runs on this CPU: a run, or a callback of one. */
struct moat_run *moat_shim_this_run(void)
{
	return (struct moat_run *)this_cpu_read(moat_run);
}

/*
 * Has the kernel's stack room for one more callback, of @run, which is current? Each takes
 * some 900 bytes of it, and runs nest. Of those that were interrupted on other stacks nothing
 * is counted.
 */
#define MOST_CALLBACKS	(MAX_CALL_FRAMES - 1)
#define MOST_IN_NMI	1	/* the stack is a page */

bool moat_shim_may_call_back(const struct moat_run *run)
{
	u64 here = (u64)run;
	u32 n = 0;

	for (; run && (u64)run - here < THREAD_SIZE; run = (struct moat_run *)run->prev)
		n += !!(run->flags & MOAT_RUN_CALLBACK);
	return n < (in_nmi() ? MOST_IN_NMI : MOST_CALLBACKS);
}

/* Of the map, or of the maps that are in it; in bytes */
u32 moat_shim_key_size(const struct bpf_map *map)
{
	return map->inner_map_meta ? map->inner_map_meta->key_size : map->key_size;
}

/*
 * Where the kernel has the values of a map, if the window has them in the same order, or 0.
 * Per-CPU ones are those of this CPU.
 */
u64 moat_shim_values_at(const struct bpf_map *map)
{
	if (!map->moat.blocks)
		return (u64)map->moat.base;
	if (map->moat.nr_blocks != 1)
		return 0;
	return (__force u64)map->moat.blocks[0] + __my_cpu_offset -
	       smp_processor_id() * map->moat.size;
}

struct moat_clock moat_shim_clock(void)
{
	return (struct moat_clock){ .jiffies = get_jiffies_64(), .hz = HZ, .busy = moat_busy() };
}

/*
 * Where the metadata starts, or the packet without it. Who moves skb->data down does not
 * move metadata along, be it a helper or a tunnel: what is before the packet now is old
 * memory. So metadata is given up then, as it is when the buffer is replaced. A clone's run
 * may do so at the same time, after this one's was told where it is.
 */
u64 moat_shim_skb_start(void *ctx)
{
	struct sk_buff *skb = ctx;
	struct bpf_skb_data_end *told = (struct bpf_skb_data_end *)skb->cb;
	void *start = skb->data - skb_metadata_len(skb);

	if (start != skb->data && !moat_metadata_is_sound(skb) && !moat_off(METADATA)) {
		skb_metadata_clear(skb);
		start = skb->data;
	}
	if (told->data_meta != start) {
		bpf_compute_data_pointers(skb);
		told->data_meta = start;
	}
	return (u64)start;
}

/* Where the packet starts, or its metadata if @meta and if there can be any. */
u64 moat_shim_xdp_start(const void *ctx, bool meta)
{
	const struct xdp_buff *xdp = ctx;

	if (meta && !xdp_data_meta_unsupported((struct xdp_buff *)xdp))
		return (u64)xdp->data_meta;
	return (u64)xdp->data;
}

void moat_shim_zero(u64 from, u64 to)
{
	memset((void *)from, 0, to - from);
}

/* One more than those who print: who compares strings is never turned away for them. */
static DEFINE_PER_CPU(struct moat_desk[MOAT_PRINT_NEST + 1], desks);
static DEFINE_PER_CPU(u32, desks_taken);

/* One of this CPU's, for a run, if fewer than @most are taken; in order, as runs nest. */
struct moat_desk *moat_shim_desk_take(u32 most)
{
	u32 n = this_cpu_inc_return(desks_taken);

	BUILD_BUG_ON(MOAT_PRINT_ARGS != MAX_BPRINTF_VARARGS);
	if (n > most || n > MOAT_PRINT_NEST + 1) {
		this_cpu_dec(desks_taken);
		return NULL;
	}
	return this_cpu_ptr(&desks[n - 1]);
}

void moat_shim_desk_leave(void)
{
	this_cpu_dec(desks_taken);
}

/* Eight bytes of the kernel's, or 0 */
u64 moat_shim_value(u64 addr)
{
	u64 value;

	return copy_from_kernel_nofault(&value, (void *)addr, sizeof(value)) ? 0 : value;
}
