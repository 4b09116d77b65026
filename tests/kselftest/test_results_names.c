// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=product,preempt levels=2 cpus=4 keys=13,0 timeout=200 */
/*
 * Do programs do the same with maps whose values are names, or are copied: maps to redirect
 * to, ring buffers, perf events, cgroups, Bloom filters? What becomes of packets and events
 * is for test_redirect_maps and test_events.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "results.h"

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

	begin();
	key(1);
	E(LD_MAP_FD(R1, m), CALL(map_lookup_elem), MOV_REG(R7, R0));
	for (i = 0; i < 7; i++) {
		key(i);
		E(LD_MAP_FD(R1, m), CALL(map_lookup_elem), MOV_IMM(R8, -1),
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
	int m = devices(BPF_MAP_TYPE_DEVMAP, 4);

	begin();
	E(MOV_IMM(R7, 0), MOV_IMM(R8, 0));
	key(2);
	E(MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -8), LD_MAP_FD(R1, m), CALL(map_lookup_elem),
	  JMP_IMM(BPF_JEQ, R0, 0, 2), LDX(BPF_W, R1, R0, 0), ALU64_REG(BPF_ADD, R8, R1),
	  ALU64_IMM(BPF_ADD, R7, 1), JMP_IMM(BPF_JLT, R7, 200, -10));
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

	begin();
	for (k = 0; k < ARRAY_SIZE(keys); k++) {
		for (i = 0; i < ARRAY_SIZE(flags); i++) {
			E(LD_MAP_FD(R1, m), LD_IMM64(R2, keys[k]), LD_IMM64(R3, flags[i]),
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

	begin();
	for (i = 0; i < 5; i++) {
		key(i);
		E(LD_MAP_FD(R1, m), CALL(map_lookup_elem), MOV_IMM(R7, 1), JMP_IMM(BPF_JNE, R0, 0, 1),
		  MOV_IMM(R7, 0));
		tell(R7);
	}
	end_with(t->pass);
}

static void bloom(void)
{
	int m = new_map(BPF_MAP_TYPE_BLOOM_FILTER, 0, 12, 16), i;

	begin();
	for (i = 0; i < 8; i++) {
		E(ST(BPF_DW, R10, -16, i % 4), ST(BPF_DW, R10, -8, i % 4), LD_MAP_FD(R1, m),
		  MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -16));
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

	begin();
	for (i = 0; i < 5; i++) {
		E(LD_MAP_FD(R1, m), MOV_REG(R2, R9), MOV_IMM(R3, i == 3 ? 1000 : 8 * i),
		  MOV_IMM(R4, i == 4 ? 64 : BPF_RB_NO_WAKEUP), CALL(ringbuf_output));
		tell(R0);
	}
	for (i = 0; i < 5; i++) {
		E(LD_MAP_FD(R1, m), MOV_IMM(R2, i), CALL(ringbuf_query));
		tell(R0);
	}
	for (i = 0; i < 5; i++) {
		E(LD_MAP_FD(R1, m), MOV_REG(R2, R9), MOV_IMM(R3, 1000), MOV_IMM(R4, BPF_RB_NO_WAKEUP),
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

	begin();
	for (i = 0; i < ARRAY_SIZE(which); i++) {
		E(MOV_REG(R1, R6), LD_MAP_FD(R2, m), LD_IMM64(R3, which[i]), MOV_REG(R4, R9),
		  MOV_IMM(R5, 8 * i), CALL(perf_event_output));
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
	begin();
	for (i = 0; i < 5; i++) {
		E(MOV_REG(R1, R6), LD_MAP_FD(R2, m), MOV_IMM(R3, i), CALL(skb_under_cgroup));
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
};

int main(void)
{
	with_cgroups = true;
	return compare_all(cases, ARRAY_SIZE(cases));
}
