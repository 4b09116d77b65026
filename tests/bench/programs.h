/* SPDX-License-Identifier: GPL-2.0 */
/* The programs that are measured, instruction by instruction: no compiler decides. */
#ifndef PROGRAMS_H
#define PROGRAMS_H

#include <linux/bpf.h>

#define INSN(c, d, s, o, i) \
	((struct bpf_insn){ .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) })
#define MOV(d, s)	INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define MOVI(d, i)	INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define ADD(d, s)	INSN(BPF_ALU64 | BPF_ADD | BPF_X, d, s, 0, 0)
#define ADDI(d, i)	INSN(BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, i)
#define LOAD(sz, d, s, o)	INSN(BPF_LDX | BPF_MEM | (sz), d, s, o, 0)
#define STORE(sz, d, s, o)	INSN(BPF_STX | BPF_MEM | (sz), d, s, o, 0)
#define STOREI(sz, d, o, i)	INSN(BPF_ST | BPF_MEM | (sz), d, 0, o, i)
#define XADD64(d, s, o)	INSN(BPF_STX | BPF_ATOMIC | BPF_DW, d, s, o, BPF_ADD)
#define JEQI(d, i, o)	INSN(BPF_JMP | BPF_JEQ | BPF_K, d, 0, o, i)
#define JNEI(d, i, o)	INSN(BPF_JMP | BPF_JNE | BPF_K, d, 0, o, i)
#define JGT(d, s, o)	INSN(BPF_JMP | BPF_JGT | BPF_X, d, s, o, 0)
#define CALL(f)		INSN(BPF_JMP | BPF_CALL, 0, 0, 0, f)
#define EXIT()		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
#define MAP(d)		INSN(BPF_LD | BPF_IMM | BPF_DW, d, BPF_PSEUDO_MAP_FD, 0, 0), \
			INSN(0, 0, 0, 0, 0)	/* the loader fills in the map */

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

static const struct bpf_insn p_array[] = {
	STOREI(BPF_W, 10, -4, 0),
	MAP(1),
	MOV(2, 10),
	ADDI(2, -4),
	CALL(BPF_FUNC_map_lookup_elem),
	JEQI(0, 0, 2),
	MOVI(1, 1),
	XADD64(0, 1, 0),
	MOVI(0, 0),
	EXIT(),
};

static const struct bpf_insn p_hash[] = {
	STOREI(BPF_W, 10, -4, 0),
	STOREI(BPF_DW, 10, -16, 1),
	MAP(1),
	MOV(2, 10),
	ADDI(2, -4),
	MOV(3, 10),
	ADDI(3, -16),
	MOVI(4, BPF_ANY),
	CALL(BPF_FUNC_map_update_elem),
	MOVI(0, 0),
	EXIT(),
};

static const struct bpf_insn p_xdp_empty[] = { MOVI(0, XDP_PASS), EXIT() };

/* Ethernet, IPv4, UDP: passes one destination port, drops what is not that. */
static const struct bpf_insn p_xdp_parse[] = {
	LOAD(BPF_W, 2, 1, offsetof(struct xdp_md, data)),
	LOAD(BPF_W, 3, 1, offsetof(struct xdp_md, data_end)),
	MOV(4, 2),
	ADDI(4, 14 + 20 + 8),
	MOVI(0, XDP_DROP),
	JGT(4, 3, 10),
	LOAD(BPF_H, 4, 2, 12),
	JNEI(4, 0x0008, 8),	/* htons(ETH_P_IP) */
	LOAD(BPF_B, 4, 2, 14),
	JNEI(4, 0x45, 6),	/* IPv4, no options */
	LOAD(BPF_B, 4, 2, 14 + 9),
	JNEI(4, 17, 4),		/* IPPROTO_UDP */
	LOAD(BPF_H, 4, 2, 14 + 20 + 2),
	JNEI(4, 0x3500, 2),	/* htons(53) */
	MOVI(0, XDP_PASS),
	EXIT(),
	EXIT(),
};

static unsigned char packet[64] = {
	[12] = 0x08, 0x00, [14] = 0x45, 0, 0, 50, [22] = 64, 17,
	[26] = 10, 0, 0, 1, 10, 0, 0, 2, [34] = 0x30, 0x39, 0, 53, 0, 30,
};

#endif
