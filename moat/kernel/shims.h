/* SPDX-License-Identifier: GPL-2.0 */
/* Between C and Rust, whose declarations are made of these: bindings.rs. */
#ifndef MOAT_SHIMS_H
#define MOAT_SHIMS_H

#include <linux/types.h>

/* off.rs; what is not the test kernel has no such header. */
#ifdef CONFIG_BPF_MOAT_TEST
#include <linux/moat_test_off.h>
#else
#define moat_off(what) false
#endif

struct bpf_map;
struct bpf_prog;
struct bpf_verifier_env;
struct bpf_verifier_log;
struct ctl_table;
struct dentry;
struct moat_cpu_slots;
struct moat_image;
struct moat_map_call;
struct moat_run;
struct moat_site;
struct moat_slot;
struct module;
struct page;
struct seq_file;

/* What time it is on this CPU */
struct moat_clock {
	u64 jiffies;
	u64 hz;			/* jiffies in a second */
	bool busy;		/* see moat_busy() */
};

void moat_shim_lock(void);
void moat_shim_unlock(void);
struct module *moat_shim_module(void);
void moat_shim_synchronize_rcu(void);
void moat_shim_cond_resched(void);
u32 moat_shim_nr_cpus(void);
bool moat_shim_privileged(void);
void *moat_shim_zalloc(size_t size);
void moat_shim_free(const void *p);
u64 moat_shim_runs(u64 slots);
void moat_shim_start_balancing(u32 ms);
void moat_shim_stop_balancing(void);
void moat_shim_seq_write(struct seq_file *m, const char *text, size_t len);
u64 moat_shim_alloc_slots(void);
struct moat_cpu_slots *moat_shim_cpu_slots(u64 slots, u32 cpu);
void moat_shim_free_slots(u64 slots);
struct page *moat_shim_alloc_page(void);
void moat_shim_free_page(struct page *page);
u64 moat_shim_run_plan(const struct bpf_prog *prog, void *ctx, void *snap,
		       const struct moat_slot *slot, struct moat_run *run);
u64 moat_shim_call(u64 func, const u64 *args);
u64 moat_shim_lookup(u64 func, u64 map, u64 key);
u64 moat_shim_reserve(u64 func, u64 map, u64 size, u64 flags);
void moat_shim_commit(u64 func, u64 record, u64 flags);
void moat_shim_put_socket(void *sk);
u64 moat_shim_take_lock(struct moat_run *run, u64 map, u64 off);
u64 moat_shim_cancel_timer(struct moat_run *run, u64 func, u64 timer);
void moat_shim_timer(const struct moat_image *func, struct bpf_map *map, void *key, void *value);
void moat_shim_most(const struct bpf_verifier_env *env, u32 *refs, u32 *record);
bool moat_shim_map_call(const struct bpf_map *map, struct moat_map_call *call);
u64 moat_shim_skb_data(const void *skb);
u32 moat_shim_skb_headlen(const void *skb);
u64 moat_shim_skb_socket(const void *skb);
u64 moat_shim_skb_start(void *skb);
u64 moat_shim_xdp_start(const void *xdp, bool meta);
void moat_shim_zero(u64 from, u64 to);
u32 moat_shim_skb_line(const void *skb);
void moat_shim_set_skb_line(void *skb, u32 line);
struct moat_cpu_slots *moat_shim_this_slots(u64 slots);
void moat_shim_defer(struct moat_run *run);
struct moat_run *moat_shim_this_run(void);
bool moat_shim_may_call_back(const struct moat_run *run);
u32 moat_shim_key_size(const struct bpf_map *map);
u64 moat_shim_values_at(const struct bpf_map *map);
struct moat_clock moat_shim_clock(void);
u64 moat_shim_seconds(void);
u32 moat_shim_insn_number(const struct bpf_verifier_env *env, u32 i);
struct bpf_verifier_log *moat_shim_log_of(struct bpf_verifier_env *env);
int moat_shim_sysctl(struct ctl_table *table, int write, void *buffer, size_t *len, loff_t *pos);
u32 moat_shim_log(struct bpf_verifier_log *log, const char *text, u32 len);

/* Where what a program prints is put together, in memory that it cannot change */
#define MOAT_PRINT_ARGS 12	/* MAX_BPRINTF_VARARGS */
#define MOAT_PRINT_TEXT 512	/* MAX_BPRINTF_BIN_ARGS: all strings of a call */
#define MOAT_PRINT_NEST 3	/* MAX_BPRINTF_NEST_LEVEL */

struct moat_desk {
	u64 args[MOAT_PRINT_ARGS];
	u8 addresses[MOAT_PRINT_ARGS][16];	/* of IP */
	u8 format[1024];
	u8 text[MOAT_PRINT_TEXT];
};

struct moat_desk *moat_shim_desk_take(u32 most);
void moat_shim_desk_leave(void);
u64 moat_shim_value(u64 addr);

/* Somebody who calls the kernel: Who in ffi.rs */
struct moat_who {
	u32 pid;	/* of the process; in the initial namespace, as all of these */
	u32 tid;
	u32 uid;
	char comm[16];
};

bool moat_may_log(u32 uid);
void moat_whoami(struct moat_who *who);

u32 moat_list_add(u64 program);
void moat_list_del(u32 n);
void moat_listing_init(struct dentry *dir);

/* helpers/geometry.rs says what these are: Geometry. */
enum moat_geometry_flags {
	IS_CLONED = 1 << 0,
	IS_HEADER_CLONED = 1 << 1,
	IS_SHARED = 1 << 2,
	IS_PARTIAL = 1 << 3,
	IS_ENCAP = 1 << 4,
	IS_TAGGED = 1 << 5,
	HAS_LIST = 1 << 6,
	HAS_LINEAR_LIST = 1 << 7,
	HAS_FIXED_LIST = 1 << 8,
	IS_UNNECESSARY = 1 << 9,
	IS_INGRESS = 1 << 10,
};

struct moat_geometry {
	s64 data, tail, end, len, data_len;
	s64 mac, network, transport;
	s64 inner_mac, inner_network, inner_transport;
	s64 csum_start, csum_end, mac_len;
	s64 gso_size, gso_type, protocol;
	s64 csum_level, max_len, flags;
};

bool moat_shim_skb_is_simple(const void *ctx);
void moat_shim_geometry(const void *ctx, struct moat_geometry *g);
bool moat_shim_make_one(void *ctx);
void moat_shim_xdp_geometry(const void *ctx, struct moat_geometry *g);
void moat_shim_mend(void *ctx, const struct moat_geometry *g);
void moat_shim_defuse(void *ctx);

int moat_counters_init(void);
void moat_count_too_deep(void);
void moat_counters_exit(void);

int moat_watch_init(void);
void moat_watch_exit(void);
bool moat_busy(void);

/* Counted in Rust, shown by counters.c */
extern u64 moat_violations, moat_refused, moat_plain, moat_binds, moat_evictions;
extern u64 moat_freed, moat_loaded, moat_refused_sends, moat_refused_maps, moat_no_memory;
extern u64 moat_refused_prints, moat_kept_packets, moat_mispredicted, moat_confined;
extern u64 moat_given_back, moat_refused_records;

extern u64 moat_unlogged;

/* In Rust, for gates */
u64 moat_prepare(struct moat_run *run);
u64 moat_name_of_map(struct moat_run *run, u64 found);
void moat_took_long(struct moat_run *run, const struct moat_site *site);
u64 moat_value_of_map(struct moat_run *run, u64 map, u64 value);
void moat_no_return(struct moat_run *run);
u64 moat_tail_map(struct moat_run *run, const struct moat_site *site, u64 map);
u64 moat_tail_back(struct moat_run *run);
u64 moat_tail_room(void);
u64 moat_ext_go(struct moat_run *run, const struct moat_site *site, u64 *args);
u64 moat_trace_go(struct moat_run *run, const struct moat_site *site, u64 *args);
u64 moat_traced_go(struct moat_run *run, const struct moat_site *site, u64 *args);
u64 moat_ext_back(struct moat_run *run, const struct moat_site *site);
void moat_give_back(struct moat_run *run);
void moat_held_on(struct moat_run *run);
u64 moat_audited_call(struct moat_run *run, const struct moat_site *site, const u64 *args);
u64 moat_audited_lock(struct moat_run *run, const struct moat_site *site, const u64 *args);
u64 moat_audited_timer(struct moat_run *run, const struct moat_site *site, const u64 *args);
void moat_locked_call(struct moat_run *run, const struct moat_site *site);
u64 moat_timer_begin(struct moat_run *run, u64 map);

/* In Rust */
u32 moat_balance(void);
void moat_show_program(struct seq_file *m, u64 program);
int moat_show_domains(struct seq_file *m, void *data);
int moat_show_keys(struct seq_file *m, void *data);

#endif
