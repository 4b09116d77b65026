/* SPDX-License-Identifier: GPL-2.0 */
/* Called from Rust; the declarations there are in ffi.rs. */
#ifndef MOAT_SHIMS_H
#define MOAT_SHIMS_H

#include <linux/types.h>

struct bpf_map;
struct bpf_prog;
struct moat_cpu_slots;
struct module;
struct page;
struct seq_file;

void moat_shim_lock(void);
void moat_shim_unlock(void);
struct module *moat_shim_module(void);
void moat_shim_synchronize_rcu(void);
void moat_shim_cond_resched(void);
u32 moat_shim_nr_cpus(void);
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
u64 moat_shim_run_plan(const struct bpf_prog *prog, void *a, void *b, void *c);
u64 moat_shim_call(u64 func, const u64 *args);
u64 moat_shim_skb_data(const void *skb);
u32 moat_shim_skb_headlen(const void *skb);
/* helpers/geometry.rs says what it is: Geometry. */
struct moat_geometry {
	s64 data, tail, end, len, data_len;
	s64 mac, network, transport;
	s64 inner_mac, inner_network, inner_transport;
	s64 csum_start, csum_end, mac_len;
	s64 gso_size, gso_type, protocol;
	s64 list_room, max_len, flags;
};

bool moat_shim_skb_is_simple(const void *ctx);
void moat_shim_geometry(const void *ctx, struct moat_geometry *g);
void moat_shim_mend(void *ctx, const struct moat_geometry *g);
bool moat_shim_is_blind(void);
bool moat_shim_may_tell(void);
extern bool moat_blind;
void moat_shim_defuse(void *ctx);
int moat_shim_inner_maps(struct bpf_map *outer, struct bpf_map **found, u32 most);

int moat_counters_init(void);
void moat_counters_exit(void);

int moat_watch_init(void);
void moat_watch_exit(void);

/* Counted in Rust, shown by counters.c */
extern u64 moat_violations, moat_refused, moat_plain, moat_binds, moat_evictions;
extern u64 moat_freed, moat_kept_packets, moat_mispredicted;

/* In Rust */
u32 moat_balance(void);
int moat_show_domains(struct seq_file *m, void *data);
int moat_show_keys(struct seq_file *m, void *data);

#endif
