// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=product,preempt levels=2 cpus=4 keys=13,0 timeout=200 */
/*
 * Do programs do the same with maps whose values are names, or are copied: maps to redirect
 * to, ring buffers, perf events, cgroups, Bloom filters, also in maps of maps? What becomes of packets and events
 * is for test_redirect_maps and test_events.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "results.h"

/* The map of a case is in a map of maps. */
static bool inside;

/* Begins a program that uses @m: if need be, has what is found of it at R10 - 24. */
static void begin_with(int m)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .inner_map_fd = m);
	int outer, zero = 0;

	begin();
	if (!inside)
		return;
	outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "outer", 4, 4, 1, &opts);
	if (outer < 0 || map_update(outer, &zero, &m))
		bail("map of maps: %s", strerror(errno));
	E(ST(BPF_W, R10, -8, 0), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -8),
	  LD_MAP_FD(R1, outer), CALL(map_lookup_elem), JMP_IMM(BPF_JNE, R0, 0, 2),
	  MOV_IMM(R0, t->safe), EXIT(), STX(BPF_DW, R10, R0, -24));
}

/* @reg = the map */
static void map_in(int reg, int m)
{
	if (inside)
		E(LDX(BPF_DW, reg, R10, -24));
	else
		E(LD_MAP_FD(reg, m));
}

/* [R10 - 8] = @k, R2 = its address */
static void key(u64 k)
{
	E(LD_IMM64(R2, k), STX(BPF_DW, R10, R2, -8), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -8));
}

/* Entries 1, 2 and 5 lead to lo. */
static int devices(enum bpf_map_type type, u32 value)
{
	int m = new_map(type, 4, value, type == BPF_MAP_TYPE_DEVMAP_HASH ? 8 : 6);
	u32 keys[] = { 1, 2, 5 }, v[2] = { 1, 0 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keys); i++)
		if (map_update(m, &keys[i], v))
			bail("an entry: %s", strerror(errno));
	return m;
}

/* What two lookups find stays what it is. */
static void look_up_devices(enum bpf_map_type type, u32 value)
{
	int m = devices(type, value), i;

	begin_with(m);
	key(1);
	map_in(R1, m);
	E(CALL(map_lookup_elem), MOV_REG(R7, R0));
	for (i = 0; i < 7; i++) {
		key(i);
		map_in(R1, m);
		E(CALL(map_lookup_elem), MOV_IMM(R8, -1),
		  JMP_IMM(BPF_JEQ, R0, 0, 1), LDX(BPF_W, R8, R0, 0));
		tell(R8);
		if (value == 8) {
			E(MOV_IMM(R8, -1), JMP_IMM(BPF_JEQ, R0, 0, 1), LDX(BPF_W, R8, R0, 4));
			tell(R8);
		}
		E(MOV_IMM(R8, -1), JMP_IMM(BPF_JEQ, R7, 0, 1), LDX(BPF_W, R8, R7, 0));
		tell(R8);
	}
	end_with(t->pass);
}

static void devmap_4(void) { look_up_devices(BPF_MAP_TYPE_DEVMAP, 4); }
static void devmap_8(void) { look_up_devices(BPF_MAP_TYPE_DEVMAP, 8); }
static void devmap_hash_4(void) { look_up_devices(BPF_MAP_TYPE_DEVMAP_HASH, 4); }
static void devmap_hash_8(void) { look_up_devices(BPF_MAP_TYPE_DEVMAP_HASH, 8); }

/* More lookups of a run than it has room for, all of the same */
static void look_up_often(void)
{
	int m = devices(BPF_MAP_TYPE_DEVMAP, 4), again;

	begin_with(m);
	E(MOV_IMM(R7, 0), MOV_IMM(R8, 0));
	key(2);
	again = cnt;
	E(MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -8));
	map_in(R1, m);
	E(CALL(map_lookup_elem), JMP_IMM(BPF_JEQ, R0, 0, 2), LDX(BPF_W, R1, R0, 0),
	  ALU64_REG(BPF_ADD, R8, R1), ALU64_IMM(BPF_ADD, R7, 1));
	E(JMP_IMM(BPF_JLT, R7, 200, (s16)(again - cnt - 1)));
	tell(R8);
	end_with(t->pass);
}

static const u64 flags[] = {
	0, 1, 2, 3, 4, 8, 10, 11, 16, 24, 27, 1ULL << 31, 1ULL << 32, 1ULL << 63, ~0ULL,
};

static void redirect(int m)
{
	static const u64 keys[] = { 0, 1, 5, 6, 1ULL << 32, ~0ULL };
	size_t i, k;

	begin_with(m);
	for (k = 0; k < ARRAY_SIZE(keys); k++) {
		for (i = 0; i < ARRAY_SIZE(flags); i++) {
			map_in(R1, m);
			E(LD_IMM64(R2, keys[k]), LD_IMM64(R3, flags[i]),
			  CALL(redirect_map));
			tell(R0);
		}
	}
	end_with(t->pass);
}

static void redirect_devmap(void) { redirect(devices(BPF_MAP_TYPE_DEVMAP, 4)); }
static void redirect_devmap_hash(void) { redirect(devices(BPF_MAP_TYPE_DEVMAP_HASH, 8)); }
static void redirect_xskmap(void) { redirect(new_map(BPF_MAP_TYPE_XSKMAP, 4, 4, 6)); }

static void redirect_cpumap(void)
{
	int m = new_map(BPF_MAP_TYPE_CPUMAP, 4, 4, 4);
	u32 cpu = 1, size = 64;

	if (map_update(m, &cpu, &size))
		bail("a CPU: %s", strerror(errno));
	redirect(m);
}

static void look_up_sockets(void)
{
	int m = new_map(BPF_MAP_TYPE_XSKMAP, 4, 4, 4), i;

	begin_with(m);
	for (i = 0; i < 5; i++) {
		key(i);
		map_in(R1, m);
		E(CALL(map_lookup_elem), MOV_IMM(R7, 1), JMP_IMM(BPF_JNE, R0, 0, 1),
		  MOV_IMM(R7, 0));
		tell(R7);
	}
	end_with(t->pass);
}

static void bloom(void)
{
	int m = new_map(BPF_MAP_TYPE_BLOOM_FILTER, 0, 12, 16), i;

	begin_with(m);
	for (i = 0; i < 8; i++) {
		map_in(R1, m);
		E(ST(BPF_DW, R10, -16, i % 4), ST(BPF_DW, R10, -8, i % 4), MOV_REG(R2, R10),
		  ALU64_IMM(BPF_ADD, R2, -16));
		if (i < 3)
			E(MOV_IMM(R3, i == 2 ? BPF_EXIST : BPF_ANY), CALL(map_push_elem));
		else
			E(CALL(map_peek_elem));
		tell_int();
	}
	end_with(t->pass);
}

static void ring(void)
{
	int m = new_map(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096), i;

	begin_with(m);
	for (i = 0; i < 5; i++) {
		map_in(R1, m);
		E(MOV_REG(R2, R9), MOV_IMM(R3, i == 3 ? 1000 : 8 * i),
		  MOV_IMM(R4, i == 4 ? 64 : BPF_RB_NO_WAKEUP), CALL(ringbuf_output));
		tell(R0);
	}
	for (i = 0; i < 5; i++) {
		map_in(R1, m);
		E(MOV_IMM(R2, i), CALL(ringbuf_query));
		tell(R0);
	}
	for (i = 0; i < 5; i++) {
		map_in(R1, m);
		E(MOV_REG(R2, R9), MOV_IMM(R3, 1000), MOV_IMM(R4, BPF_RB_NO_WAKEUP),
		  CALL(ringbuf_output));
		tell(R0);
	}
	end_with(t->pass);
}

/* There is nobody who reads. */
static void perf(void)
{
	static const u64 which[] = {
		0, 3, 4, 0xffffffff, 1ULL << 52, 0xffffffff | 40ULL << 32,
		0xffffffff | 1000ULL << 32, 1ULL << 53,
	};
	int m = new_map(BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 4);
	size_t i;

	begin_with(m);
	for (i = 0; i < ARRAY_SIZE(which); i++) {
		map_in(R2, m);
		E(MOV_REG(R1, R6), LD_IMM64(R3, which[i]), MOV_REG(R4, R9), MOV_IMM(R5, 8 * i),
		  CALL(perf_event_output));
		tell(R0);
	}
	end_with(t->pass);
}

static void cgroups(void)
{
	int m = new_map(BPF_MAP_TYPE_CGROUP_ARRAY, 4, 4, 3), i;
	int root = open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY);
	u32 at = 1;

	if (root >= 0 && map_update(m, &at, &root))
		bail("a cgroup: %s", strerror(errno));
	close(root);
	begin_with(m);
	for (i = 0; i < 5; i++) {
		map_in(R2, m);
		E(MOV_REG(R1, R6), MOV_IMM(R3, i), CALL(skb_under_cgroup));
		tell(R0);
	}
	end_with(t->pass);
}

/* What programs of cgroups see of the packet, and change */
static void of_cgroups(void)
{
	begin();
	if (t == &cgroup_skb) {
		E(LDX(BPF_W, R1, R6, offsetof(struct __sk_buff, len)));
		tell(R1);
		E(LDX(BPF_W, R1, R6, offsetof(struct __sk_buff, cb[1])), ALU64_IMM(BPF_ADD, R1, 7),
		  STX(BPF_W, R6, R1, offsetof(struct __sk_buff, cb[3])),
		  STX(BPF_W, R6, R1, offsetof(struct __sk_buff, mark)),
		  STX(BPF_W, R6, R1, offsetof(struct __sk_buff, priority)));
		tell(R1);
		E(MOV_REG(R1, R6), CALL(skb_ecn_set_ce));
		tell(R0);
		E(MOV_REG(R1, R6), CALL(skb_cgroup_id));
		tell(R0);
		E(MOV_REG(R1, R6), MOV_IMM(R2, 0), CALL(skb_ancestor_cgroup_id));
		tell(R0);
	}
	E(MOV_REG(R1, R6), MOV_IMM(R2, 12), MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -16),
	  MOV_IMM(R4, 16), ST(BPF_DW, R10, -16, 0), ST(BPF_DW, R10, -8, 0), CALL(skb_load_bytes));
	tell(R0);
	E(LDX(BPF_DW, R1, R10, -16));
	tell(R1);
	end_with(t->pass);
}

/* BPF_PROG_TEST_RUN computes no pointers for programs of cgroups: data_end is 0. */
static void no_packet(void)
{
	begin();
	if (t == &cgroup_skb) {
		packet();
		need(40);
		E(LDX(BPF_DW, R1, R7, 32));
		tell(R1);
		ends_early();
	}
	end_with(t->pass);
}

/* The same, in a map of maps */
#define INSIDE(CASE) static void CASE##_inside(void) { inside = true; CASE(); inside = false; }
INSIDE(devmap_4)
INSIDE(devmap_hash_8)
INSIDE(look_up_often)
INSIDE(look_up_sockets)
INSIDE(redirect_devmap)
INSIDE(redirect_devmap_hash)
INSIDE(redirect_xskmap)
INSIDE(bloom)
INSIDE(ring)
INSIDE(perf)
INSIDE(cgroups)

static const struct result_case cases[] = {
	{ "look up in a devmap", devmap_4, true, true, true },
	{ "look up in a devmap with programs", devmap_8, true, true, true },
	{ "look up in a hash of devices", devmap_hash_4, true, true, true },
	{ "look up in a hash of devices with programs", devmap_hash_8, true, true, true },
	{ "look up in a devmap over and over", look_up_often, true, true, true },
	{ "look up in a map of sockets", look_up_sockets, true, true, true },
	{ "redirect by a devmap", redirect_devmap, true, false, false },
	{ "redirect by a hash of devices", redirect_devmap_hash, true, false, false },
	{ "redirect by a cpumap", redirect_cpumap, true, false, false },
	{ "redirect by a map of sockets", redirect_xskmap, true, false, false },
	{ "Bloom filter", bloom, true, true, true },
	{ "ring buffer", ring, true, true, true },
	{ "perf events", perf, true, true, true },
	{ "cgroups", cgroups, false, true, false },
	{ "a packet of a cgroup", of_cgroups, false, false, true },
	{ "a packet without an end", no_packet, false, false, true },
	{ "look up in a devmap in a map", devmap_4_inside, true, true, true },
	{ "look up in a hash of devices with programs in a map", devmap_hash_8_inside, true, true, true },
	{ "look up in a devmap in a map over and over", look_up_often_inside, true, true, true },
	{ "look up in a map of sockets in a map", look_up_sockets_inside, true, true, true },
	{ "redirect by a devmap in a map", redirect_devmap_inside, true, false, false },
	{ "redirect by a hash of devices in a map", redirect_devmap_hash_inside, true, false, false },
	{ "redirect by a map of sockets in a map", redirect_xskmap_inside, true, false, false },
	{ "Bloom filter in a map", bloom_inside, true, true, true },
	{ "ring buffer in a map", ring_inside, true, true, true },
	{ "perf events in a map", perf_inside, true, true, true },
	{ "cgroups in a map", cgroups_inside, false, true, false },
};

int main(void)
{
	with_cgroups = true;
	return compare_all(cases, ARRAY_SIZE(cases));
}
