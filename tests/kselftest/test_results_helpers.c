// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=product,preempt levels=2 cpus=4 keys=13,0 full=1 timeout=300 */
/*
 * Programs compute the same, isolated or not: helpers that the other test_results do
 * not call. What matters is less what they do than that they are given, and give
 * back, the same: memory, context and errors.
 */
#include <linux/if_ether.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "results.h"
#include "timers.h"

/* Where stack memory for helpers begins, and how far it goes */
#define AT (-128)
#define FIELD(TYPE, NAME) (AT + (int)offsetof(TYPE, NAME))

/* Zeroes the memory from AT on. */
static void clear(int bytes)
{
	for (int i = 0; i < bytes; i += 8)
		E(ST(BPF_DW, R10, AT + i, 0));
}

static void tell_memory(int bytes)
{
	for (int i = 0; i < bytes; i += 8) {
		E(LDX(BPF_DW, R1, R10, AT + i));
		tell(R1);
	}
}

/* Rn = the memory at AT */
#define MEMORY(REG) MOV_REG(REG, R10), ALU64_IMM(BPF_ADD, REG, AT)

static void number(u32 text, s32 flags)
{
	clear(16);
	E(ST(BPF_W, R10, AT, text), MEMORY(R1), MOV_IMM(R2, 4), MOV_IMM(R3, flags),
	  MOV_REG(R4, R10), ALU64_IMM(BPF_ADD, R4, AT + 8));
}

static void numbers(void)
{
	begin();
	number(0x0032342d /* "-42" */, 10);
	E(CALL(strtol));
	tell(R0);
	tell_memory(16);
	number(0x00667830 /* "0xf" */, 0);
	E(CALL(strtoul));
	tell(R0);
	tell_memory(16);
	number(0x78787878, 10);
	E(CALL(strtol));
	tell(R0);
	tell_memory(16);
	number(0x0032342d, 7);
	E(CALL(strtoul));
	tell(R0);
	end_with(t->pass);
}

/* What the program's user has in its own memory; kernel memory is not to be had. */
static void user_memory(void)
{
	static char *mine, *unmapped;
	const u64 kernel = 0xffffffff81000000ULL;

	if (!mine) {
		mine = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (mine == MAP_FAILED)
			bail("no memory");
		unmapped = mine + 4096;
		munmap(unmapped, 4096);
		strcpy(mine + 100, "in the caller's memory");
	}
	begin();
	clear(32);
	E(MEMORY(R1), MOV_IMM(R2, 24), LD_IMM64(R3, (uintptr_t)mine + 100), CALL(probe_read_user));
	tell(R0);
	tell_memory(32);
	clear(32);
	E(MEMORY(R1), MOV_IMM(R2, 32), LD_IMM64(R3, (uintptr_t)mine + 107),
	  CALL(probe_read_user_str));
	tell(R0);
	tell_memory(32);
	E(MEMORY(R1), MOV_IMM(R2, 16), LD_IMM64(R3, (uintptr_t)unmapped - 8),
	  CALL(probe_read_user));
	tell(R0);
	tell_memory(32);
	E(MEMORY(R1), MOV_IMM(R2, 8), LD_IMM64(R3, kernel), CALL(probe_read_user));
	tell(R0);
	tell_memory(32);
	E(MEMORY(R1), MOV_IMM(R2, 8), LD_IMM64(R3, kernel), CALL(probe_read_user_str));
	tell(R0);
	tell_memory(32);
	end_with(t->pass);
}

/* They do not go back. */
#define CLOCK(NAME) do { \
		E(CALL(NAME), MOV_REG(R7, R0), CALL(NAME), MOV_IMM(R8, 0), \
		  JMP_REG(BPF_JLT, R0, R7, 2), JMP_IMM(BPF_JEQ, R7, 0, 1), MOV_IMM(R8, 1)); \
		tell(R8); \
	} while (0)

static void clocks(void)
{
	begin();
	CLOCK(ktime_get_boot_ns);
	CLOCK(ktime_get_coarse_ns);
	CLOCK(ktime_get_tai_ns);
	end_with(t->pass);
}

/* The value of another CPU, and of one that there is not */
static void percpu_values(void)
{
	static const enum bpf_map_type types[] = {
		BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_PERCPU_HASH,
	};
	static const int cpus[] = { 2, 0, 7777 };
	size_t i, c;

	begin();
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		int map = new_map(types[i], 4, 8, 4);

		clear(16);
		E(LD_MAP_FD(R1, map), MEMORY(R2), MEMORY(R3), ALU64_IMM(BPF_ADD, R3, 8),
		  MOV_IMM(R4, 0), CALL(map_update_elem));
		for (c = 0; c < ARRAY_SIZE(cpus); c++) {
			E(LD_MAP_FD(R1, map), MEMORY(R2), MOV_IMM(R3, cpus[c]),
			  CALL(map_lookup_percpu_elem), MOV_IMM(R7, 1), MOV_IMM(R8, 77),
			  JMP_IMM(BPF_JEQ, R0, 0, 3), ATOMIC(BPF_DW, BPF_ADD, R0, R7, 0),
			  LDX(BPF_DW, R8, R0, 0), MOV_IMM(R0, 0));
			tell(R8);
		}
	}
	end_with(t->pass);
}

/* A device's MTU, and whether the packet fits */
static void mtu(void)
{
	static const int diffs[] = { 0, 2000, 100000 };
	size_t i;

	begin();
	for (i = 0; i < ARRAY_SIZE(diffs); i++) {
		clear(8);
		E(MOV_REG(R1, R6), MOV_IMM(R2, 1), MEMORY(R3), MOV_IMM(R4, diffs[i]),
		  MOV_IMM(R5, 0), CALL(check_mtu));
		tell(R0);
		tell_memory(8);
	}
	E(MOV_REG(R1, R6), MOV_IMM(R2, 9999), MEMORY(R3), MOV_IMM(R4, 0), MOV_IMM(R5, 0),
	  CALL(check_mtu));
	tell(R0);
	tell_memory(8);
	end_with(t->pass);
}

/* A route to 127.0.0.1, by struct bpf_fib_lookup */
static void route(void)
{
	begin();
	clear(64);
	E(ST(BPF_B, R10, FIELD(struct bpf_fib_lookup, family), 2),
	  ST(BPF_W, R10, FIELD(struct bpf_fib_lookup, ifindex), 1),
	  ST(BPF_W, R10, FIELD(struct bpf_fib_lookup, ipv4_src), 0x0100007f),
	  ST(BPF_W, R10, FIELD(struct bpf_fib_lookup, ipv4_dst), 0x0100007f),
	  MOV_REG(R1, R6), MEMORY(R2), MOV_IMM(R3, sizeof(struct bpf_fib_lookup)),
	  MOV_IMM(R4, 0), CALL(fib_lookup));
	tell(R0);
	tell_memory(64);
	E(MOV_REG(R1, R6), MEMORY(R2), MOV_IMM(R3, 8), MOV_IMM(R4, 0), CALL(fib_lookup));
	tell(R0);
	end_with(t->pass);
}

/* A SYN's cookie, which changes with time; and an ACK that has none */
static void syncookies(void)
{
	begin();
	clear(64);
	/* IPv4 header at AT, TCP header at AT + 40 */
	E(ST(BPF_B, R10, AT, 0x45), ST(BPF_B, R10, AT + 9, 6),
	  ST(BPF_W, R10, AT + 12, 0x0100007f), ST(BPF_W, R10, AT + 16, 0x0200007f),
	  ST(BPF_W, R10, AT + 40, 0x50003930), ST(BPF_H, R10, AT + 52, 0x0250),
	  MEMORY(R1), MEMORY(R2), ALU64_IMM(BPF_ADD, R2, 40), MOV_IMM(R3, 20),
	  CALL(tcp_raw_gen_syncookie_ipv4), MOV_IMM(R8, 0), JMP_IMM(BPF_JSLE, R0, 0, 1),
	  MOV_IMM(R8, 1));
	tell(R8);
	E(MEMORY(R1), MEMORY(R2), ALU64_IMM(BPF_ADD, R2, 40),
	  CALL(tcp_raw_check_syncookie_ipv4));
	tell(R0);
	E(MEMORY(R1), MEMORY(R2), ALU64_IMM(BPF_ADD, R2, 40), MOV_IMM(R3, 20),
	  CALL(tcp_raw_gen_syncookie_ipv6), MOV_IMM(R8, 0), JMP_IMM(BPF_JSLE, R0, 0, 1),
	  MOV_IMM(R8, 1));
	tell(R8);
	E(MEMORY(R1), MEMORY(R2), ALU64_IMM(BPF_ADD, R2, 40),
	  CALL(tcp_raw_check_syncookie_ipv6));
	tell(R0);
	tell_memory(64);
	end_with(t->pass);
}

static void cookie(void)
{
	begin();
	/* Each run has a socket of its own. */
	E(MOV_REG(R1, R6), CALL(get_socket_cookie), MOV_IMM(R8, 0), JMP_IMM(BPF_JEQ, R0, 0, 1),
	  MOV_IMM(R8, 1));
	tell(R8);
	end_with(t->pass);
}

/* What a helper with up to two arguments besides the context returns; and the packet */
#define SKB_CALL(NAME, A, B) do { \
		E(MOV_REG(R1, R6), MOV_IMM(R2, A), MOV_IMM(R3, B), MOV_IMM(R4, 0), CALL(NAME)); \
		tell(R0); \
		E(LDX(BPF_W, R1, R6, offsetof(struct __sk_buff, len))); \
		tell(R1); \
	} while (0)

static void cgroups(void)
{
	begin();
	SKB_CALL(skb_cgroup_id, 0, 0);
	SKB_CALL(skb_ancestor_cgroup_id, 0, 0);
	SKB_CALL(skb_cgroup_classid, 0, 0);
	end_with(t->pass);
}

static void reshape(void)
{
	begin();
	SKB_CALL(set_hash_invalid, 0, 0);
	SKB_CALL(skb_ecn_set_ce, 0, 0);
	SKB_CALL(skb_adjust_room, 20, 0 /* BPF_ADJ_ROOM_NET */);
	SKB_CALL(skb_adjust_room, -20, 0);
	SKB_CALL(skb_adjust_room, 8, 1 /* BPF_ADJ_ROOM_MAC */);
	SKB_CALL(skb_adjust_room, 30000, 7);
	/* The packet is where it was, or not. */
	packet();
	need(64);
	E(LDX(BPF_DW, R1, R7, 16), LDX(BPF_DW, R2, R7, 40));
	tell(R1);
	tell(R2);
	end_with(t->pass);
}

static void proto(void)
{
	begin();
	SKB_CALL(skb_change_proto, __builtin_bswap16(ETH_P_IPV6), 0);
	E(LDX(BPF_W, R1, R6, offsetof(struct __sk_buff, protocol)));
	tell(R1);
	SKB_CALL(skb_change_proto, __builtin_bswap16(ETH_P_IP), 0);
	SKB_CALL(skb_change_proto, 0x1234, 0);
	end_with(t->pass);
}

static void timestamp(void)
{
	begin();
	SKB_CALL(skb_set_tstamp, 12345, BPF_SKB_TSTAMP_DELIVERY_MONO);
	E(LDX(BPF_DW, R1, R6, offsetof(struct __sk_buff, tstamp)),
	  LDX(BPF_B, R2, R6, offsetof(struct __sk_buff, tstamp_type)));
	tell(R1);
	tell(R2);
	SKB_CALL(skb_set_tstamp, 5, BPF_SKB_TSTAMP_UNSPEC);
	SKB_CALL(skb_set_tstamp, 0, BPF_SKB_TSTAMP_UNSPEC);
	end_with(t->pass);
}

/* A tunnel's key and options, from memory and back into it */
static void tunnel(void)
{
	const int key = sizeof(struct bpf_tunnel_key);

	begin();
	clear(64);
	E(ST(BPF_W, R10, AT, 42), ST(BPF_W, R10, AT + 4, 0x0a000001),
	  ST(BPF_B, R10, FIELD(struct bpf_tunnel_key, tunnel_ttl), 64),
	  MOV_REG(R1, R6), MEMORY(R2), MOV_IMM(R3, key), MOV_IMM(R4, 0),
	  CALL(skb_set_tunnel_key));
	tell(R0);
	E(MOV_REG(R1, R6), MEMORY(R2), MOV_IMM(R3, 8), CALL(skb_set_tunnel_opt));
	tell(R0);
	E(MOV_REG(R1, R6), MEMORY(R2), MOV_IMM(R3, 5), CALL(skb_set_tunnel_opt));
	tell(R0);
	E(MOV_REG(R1, R6), MEMORY(R2), MOV_IMM(R3, 16), CALL(skb_get_tunnel_opt));
	tell(R0);
	tell_memory(64);
	E(MOV_REG(R1, R6), MEMORY(R2), MOV_IMM(R3, key), MOV_IMM(R4, 0),
	  CALL(skb_get_tunnel_key));
	tell(R0);
	tell_memory(64);
	E(MOV_REG(R1, R6), MOV_IMM(R2, 0), MEMORY(R3), MOV_IMM(R4, 32), MOV_IMM(R5, 0),
	  CALL(skb_get_xfrm_state));
	tell(R0);
	tell_memory(64);
	end_with(t->pass);
}

/* Where to, which a verdict that is not returned does nothing about; and a copy */
static void elsewhere(void)
{
	begin();
	clear(32);
	SKB_CALL(clone_redirect, 1, 0);
	SKB_CALL(clone_redirect, 9999, 0);
	E(MOV_IMM(R1, 1), MOV_IMM(R2, 0), CALL(redirect_peer));
	tell(R0);
	E(MOV_IMM(R1, 1), MOV_IMM(R2, 0), MOV_IMM(R3, 0), MOV_IMM(R4, 0), CALL(redirect_neigh));
	tell(R0);
	E(ST(BPF_W, R10, AT, 2), ST(BPF_W, R10, AT + 4, 0x0100007f),
	  MOV_IMM(R1, 1), MEMORY(R2), MOV_IMM(R3, sizeof(struct bpf_redir_neigh)),
	  MOV_IMM(R4, 0), CALL(redirect_neigh));
	tell(R0);
	end_with(t->pass);
}

static void redirect(void)
{
	begin();
	E(MOV_IMM(R1, 1), MOV_IMM(R2, 0), CALL(redirect));
	tell(R0);
	E(MOV_IMM(R1, 1), MOV_IMM(R2, BPF_F_INGRESS), CALL(redirect));
	tell(R0);
	E(MOV_IMM(R1, 1), MOV_IMM(R2, 1 << 30), CALL(redirect));
	tell(R0);
	end_with(t->pass);
}

static int timed(void)
{
	return timed_map(BPF_MAP_TYPE_ARRAY, 1, 0, false);
}

static const struct result_case cases[] = {
	{ "numbers", numbers, true, true, true },
	{ "user memory", user_memory, true, true, true },
	{ "clocks", clocks, true, true, true },
	{ "values of other CPUs", percpu_values, true, true, true },
	{ "MTU", mtu, true, true, false },
	{ "route", route, true, true, false },
	{ "SYN cookies", syncookies, true, true, false },
	{ "socket cookie", cookie, false, true, true },
	{ "cgroups", cgroups, false, true, false },
	{ "reshape", reshape, false, true, false },
	{ "protocol", proto, false, true, false },
	{ "timestamp", timestamp, false, true, false },
	{ "tunnel", tunnel, false, true, false },
	{ "elsewhere", elsewhere, false, true, false },
	{ "to a device", redirect, true, true, false },
};

int main(void)
{
	with_cgroups = true;
	map_with_timer = timed;
	return compare_all(cases, ARRAY_SIZE(cases));
}
