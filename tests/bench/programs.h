/* SPDX-License-Identifier: GPL-2.0 */
/* The programs that are measured, instruction by instruction: no compiler decides. */
#ifndef PROGRAMS_H
#define PROGRAMS_H

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include "insns.h"

/* Maps have keys of 4 bytes, tries of 8, and values of 8; each program uses key 0. */
#define KEY_ON_STACK	STOREI(BPF_W, 10, -4, 0)
#define POINT_AT_KEY	MAP(1), MOV(2, 10), ADDI(2, -4)
#define POINT_AT_VALUE	MOV(3, 10), ADDI(3, -16), MOVI(4, BPF_ANY)

/* Looks it up and adds 1: 9 instructions */
#define LOOKUP_AND_ADD	KEY_ON_STACK, POINT_AT_KEY, CALL(BPF_FUNC_map_lookup_elem), \
			JEQI(0, 0, 2), MOVI(1, 1), XADD64(0, 1, 0)
#define UPDATE		KEY_ON_STACK, STOREI(BPF_DW, 10, -16, 1), POINT_AT_KEY, \
			POINT_AT_VALUE, CALL(BPF_FUNC_map_update_elem)

static const struct bpf_insn p_empty[] = { MOVI(0, 0), EXIT() };

static const struct bpf_insn p_two_ctx[] = {
	LOAD(BPF_W, 0, 1, offsetof(struct __sk_buff, len)),
	LOAD(BPF_W, 2, 1, offsetof(struct __sk_buff, mark)),
	ADD(0, 2),
	EXIT(),
};

static const struct bpf_insn p_helper[] = {
	CALL(BPF_FUNC_ktime_get_ns), MOVI(0, 0), EXIT(),
};

static const struct bpf_insn p_four_helpers[] = {
	CALL(BPF_FUNC_ktime_get_ns), CALL(BPF_FUNC_ktime_get_ns),
	CALL(BPF_FUNC_ktime_get_ns), CALL(BPF_FUNC_ktime_get_ns),
	MOVI(0, 0), EXIT(),
};

static const struct bpf_insn p_local_call[] = {
	CALL_LOCAL(1), EXIT(),
	MOVI(0, 0), EXIT(),
};

static const struct bpf_insn p_add[] = { LOOKUP_AND_ADD, MOVI(0, 0), EXIT() };
static const struct bpf_insn p_update[] = { UPDATE, MOVI(0, 0), EXIT() };

/* The same with a prefix of 32 bits, all 0 */
#define ROUTE	STOREI(BPF_DW, 10, -8, 32), MAP(1), MOV(2, 10), ADDI(2, -8)

static const struct bpf_insn p_route[] = {
	ROUTE, CALL(BPF_FUNC_map_lookup_elem), JEQI(0, 0, 2), MOVI(1, 1), XADD64(0, 1, 0),
	MOVI(0, 0), EXIT(),
};

static const struct bpf_insn p_route_update[] = {
	STOREI(BPF_DW, 10, -16, 1), ROUTE, POINT_AT_VALUE, CALL(BPF_FUNC_map_update_elem),
	MOVI(0, 0), EXIT(),
};

/* As one counts flows in an LRU hash: what was there, plus 1, is put there. */
static const struct bpf_insn p_lookup_update[] = {
	KEY_ON_STACK, POINT_AT_KEY, CALL(BPF_FUNC_map_lookup_elem),
	JEQI(0, 0, 11),
	LOAD(BPF_DW, 1, 0, 0), ADDI(1, 1), STORE(BPF_DW, 10, 1, -16),
	POINT_AT_KEY, POINT_AT_VALUE, CALL(BPF_FUNC_map_update_elem),
	MOVI(0, 0), EXIT(),
};

/* Never gets to return 1. */
static const struct bpf_insn p_tail_call[] = {
	MAP(2), MOVI(3, 0), CALL(BPF_FUNC_tail_call), MOVI(0, 1), EXIT(),
};

/*
 * Calls of a function, which does nothing, so many times. That a flag is zero the verifier does
 * not know; it would inline the loop otherwise.
 */
#define FUNCTION(dst, off) \
	{ .code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = dst, .src_reg = BPF_PSEUDO_FUNC, \
	  .imm = off }, { 0 }
#define LOOP(n) { \
	LOAD(BPF_W, 4, 1, offsetof(struct __sk_buff, mark)), MOVI(1, n), FUNCTION(2, 5), \
	MOVI(3, 0), CALL(BPF_FUNC_loop), MOVI(0, 0), EXIT(), \
	MOVI(0, 0), EXIT(), \
}

static const struct bpf_insn p_loop[] = LOOP(1), p_loops[] = LOOP(11);

/* One of five functions, by an unknown number: so many are called by the helper. */
#define UNLESS(n, off)	JNEI(6, n, 2), FUNCTION(2, off)
#define ONE_OF_FIVE(n) { \
	LOAD(BPF_W, 6, 1, offsetof(struct __sk_buff, mark)), FUNCTION(2, 19), \
	UNLESS(1, 18), UNLESS(2, 17), UNLESS(3, 16), UNLESS(4, 15), \
	MOVI(1, n), MOVI(3, 0), MOVI(4, 0), CALL(BPF_FUNC_loop), MOVI(0, 0), EXIT(), \
	MOVI(0, 0), EXIT(), MOVI(0, 0), EXIT(), MOVI(0, 0), EXIT(), MOVI(0, 0), EXIT(), \
	MOVI(0, 0), EXIT(), \
}

static const struct bpf_insn p_gate[] = ONE_OF_FIVE(1), p_gates[] = ONE_OF_FIVE(11);

/* Where the verifier knows it. */
static const struct bpf_insn p_inlined[] = {
	MOVI(1, 11), FUNCTION(2, 6), MOVI(3, 0), MOVI(4, 0), CALL(BPF_FUNC_loop), MOVI(0, 0),
	EXIT(),
	MOVI(0, 0), EXIT(),
};

static const struct bpf_insn p_for_each[] = {
	MAP(1), FUNCTION(2, 6), MOVI(3, 0), MOVI(4, 0), CALL(BPF_FUNC_for_each_map_elem),
	MOVI(0, 0), EXIT(),
	MOVI(0, 0), EXIT(),
};

/* The function puts another value there. */
static const struct bpf_insn p_replace[] = {
	MAP(1), FUNCTION(2, 6), MOVI(3, 0), MOVI(4, 0), CALL(BPF_FUNC_for_each_map_elem),
	MOVI(0, 0), EXIT(),
	STOREI(BPF_DW, 10, -16, 1), POINT_AT_VALUE, CALL(BPF_FUNC_map_update_elem), MOVI(0, 0),
	EXIT(),
};

static const struct bpf_insn p_xdp_empty[] = { MOVI(0, XDP_PASS), EXIT() };

/*
 * Ethernet, IPv4 without options, UDP to port 53: goes on behind it if the packet is
 * that, or ends with what is in R0. @data, @end: where the context has the pointers;
 * @n instructions follow, of which the last leads out.
 */
#define PARSE_FIRST(type, data, end) \
	LOAD(BPF_W, 2, 1, offsetof(type, data)), \
	LOAD(BPF_W, 3, 1, offsetof(type, end)), \
	MOV(4, 2), ADDI(4, 14 + 20 + 8)
#define PARSE(n) \
	JGT(4, 3, 8 + (n)), \
	LOAD(BPF_H, 4, 2, 12), JNEI(4, 0x0008, 6 + (n)),	/* htons(ETH_P_IP) */ \
	LOAD(BPF_B, 4, 2, 14), JNEI(4, 0x45, 4 + (n)), \
	LOAD(BPF_B, 4, 2, 14 + 9), JNEI(4, 17, 2 + (n)),	/* IPPROTO_UDP */ \
	LOAD(BPF_H, 4, 2, 14 + 20 + 2), JNEI(4, 0x3500, (n))	/* htons(53) */

static const struct bpf_insn p_xdp_parse[] = {
	PARSE_FIRST(struct xdp_md, data, data_end),
	MOVI(0, XDP_DROP),
	PARSE(2),
	MOVI(0, XDP_PASS),
	EXIT(),
	EXIT(),
};

static const struct bpf_insn p_xdp_count[] = {
	PARSE_FIRST(struct xdp_md, data, data_end),
	MOVI(0, XDP_DROP),
	PARSE(10),
	LOOKUP_AND_ADD,
	MOVI(0, XDP_PASS),
	EXIT(),
};

/* The interface is filled in. */
static const struct bpf_insn p_xdp_redirect[] = {
	PARSE_FIRST(struct xdp_md, data, data_end),
	MOVI(0, XDP_DROP),
	PARSE(3),
	MOVI(1, 0),
	MOVI(2, 0),
	CALL(BPF_FUNC_redirect),
	EXIT(),
};
#define REDIRECT_IFINDEX 14

/* Exchanges source and destination, so that all checksums stay right: 20 bytes. */
#define SWAP(size, a, b) \
	LOAD(size, 4, 2, a), LOAD(size, 5, 2, b), STORE(size, 2, 5, a), STORE(size, 2, 4, b)

static const struct bpf_insn p_tc_rewrite[] = {
	PARSE_FIRST(struct __sk_buff, data, data_end),
	MOVI(0, TC_ACT_SHOT),
	PARSE(13),
	SWAP(BPF_W, 0, 6),
	SWAP(BPF_H, 4, 10),
	SWAP(BPF_W, 26, 30),
	MOVI(0, TC_ACT_OK),
	EXIT(),
};

/* Counts datagrams and keeps all of each. */
static const struct bpf_insn p_socket_count[] = { LOOKUP_AND_ADD, MOVI(0, 0xffff), EXIT() };

/* A record of 64 bytes, of which two words are filled in; nobody is woken, or reads it. */
static const struct bpf_insn p_record[] = {
	MAP(1), MOVI(2, 64), MOVI(3, 0), CALL(BPF_FUNC_ringbuf_reserve),
	JEQI(0, 0, 6),
	STOREI(BPF_DW, 0, 0, 1), STOREI(BPF_DW, 0, 56, 1),
	MOV(1, 0), MOVI(2, BPF_RB_NO_WAKEUP), CALL(BPF_FUNC_ringbuf_submit),
	MOVI(0, 1), EXIT(),
};

/*
 * Has this CPU interrupt itself: the consumer is to be woken at once, and is by way of
 * an IPI.
 */
static const struct bpf_insn p_interrupt[] = {
	STOREI(BPF_DW, 10, -8, 1),
	MAP(1), MOV(2, 10), ADDI(2, -8), MOVI(3, 8), MOVI(4, BPF_RB_FORCE_WAKEUP),
	CALL(BPF_FUNC_ringbuf_output),
	MOVI(0, 0), EXIT(),
};

#endif
