/* SPDX-License-Identifier: GPL-2.0 */
/* BPF instructions as the kernel's own filter.h spells them; of classic filters: C(), CJ() */
#ifndef INSNS_H
#define INSNS_H

#include <linux/bpf.h>
#include <linux/filter.h>
#include "types.h"

#define C(CODE, K) ((struct sock_filter)BPF_STMT(CODE, K))
#define CJ(CODE, K, T, F) ((struct sock_filter)BPF_JUMP(CODE, K, T, F))

#define INSN(CODE, DST, SRC, OFF, IMM) \
	((struct bpf_insn){ .code = (CODE), .dst_reg = (DST), .src_reg = (SRC), \
			    .off = (OFF), .imm = (IMM) })
#define R0 BPF_REG_0
#define R1 BPF_REG_1
#define R2 BPF_REG_2
#define R3 BPF_REG_3
#define R4 BPF_REG_4
#define R5 BPF_REG_5
#define R6 BPF_REG_6
#define R7 BPF_REG_7
#define R8 BPF_REG_8
#define R9 BPF_REG_9
#define R10 BPF_REG_10

#define ALU64_REG(OP, DST, SRC) INSN(BPF_ALU64 | (OP) | BPF_X, DST, SRC, 0, 0)
#define ALU64_IMM(OP, DST, IMM) INSN(BPF_ALU64 | (OP) | BPF_K, DST, 0, 0, IMM)
#define ALU32_REG(OP, DST, SRC) INSN(BPF_ALU | (OP) | BPF_X, DST, SRC, 0, 0)
#define ALU32_IMM(OP, DST, IMM) INSN(BPF_ALU | (OP) | BPF_K, DST, 0, 0, IMM)
#define MOV_REG(DST, SRC) ALU64_REG(BPF_MOV, DST, SRC)
#define MOV_IMM(DST, IMM) ALU64_IMM(BPF_MOV, DST, IMM)
#define LD_IMM64_RAW(DST, SRC, LO, HI) \
	INSN(BPF_LD | BPF_DW | BPF_IMM, DST, SRC, 0, (s32)(LO)), \
	INSN(0, 0, 0, 0, (s32)(HI))
#define LD_IMM64(DST, VAL) LD_IMM64_RAW(DST, 0, (u64)(VAL), (u64)(VAL) >> 32)
#define LD_MAP_FD(DST, FD) LD_IMM64_RAW(DST, BPF_PSEUDO_MAP_FD, FD, 0)
#define LD_MAP_VALUE(DST, FD, OFF) LD_IMM64_RAW(DST, BPF_PSEUDO_MAP_VALUE, FD, OFF)
#define LDX(SIZE, DST, SRC, OFF) INSN(BPF_LDX | (SIZE) | BPF_MEM, DST, SRC, OFF, 0)
#define STX(SIZE, DST, SRC, OFF) INSN(BPF_STX | (SIZE) | BPF_MEM, DST, SRC, OFF, 0)
#define ST(SIZE, DST, OFF, IMM) INSN(BPF_ST | (SIZE) | BPF_MEM, DST, 0, OFF, IMM)
#define ATOMIC(SIZE, OP, DST, SRC, OFF) \
	INSN(BPF_STX | (SIZE) | BPF_ATOMIC, DST, SRC, OFF, OP)
#define LD_ABS(SIZE, IMM) INSN(BPF_LD | (SIZE) | BPF_ABS, 0, 0, 0, IMM)
#define LD_IND(SIZE, SRC, IMM) INSN(BPF_LD | (SIZE) | BPF_IND, 0, SRC, 0, IMM)
#define JMP_REG(OP, DST, SRC, OFF) INSN(BPF_JMP | (OP) | BPF_X, DST, SRC, OFF, 0)
#define JMP_IMM(OP, DST, IMM, OFF) INSN(BPF_JMP | (OP) | BPF_K, DST, 0, OFF, IMM)
#define JA(OFF) INSN(BPF_JMP | BPF_JA, 0, 0, OFF, 0)
#define CALL(FUNC) INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_##FUNC)
#define CALL_REL(OFF) INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, OFF)
/*
 * Six calls of what CALL_REL(OFF) behind them calls: to so many the function returns by itself,
 * to others by a gate.
 */
#define SIX_CALLS(OFF) \
	CALL_REL((OFF) + 6), CALL_REL((OFF) + 5), CALL_REL((OFF) + 4), CALL_REL((OFF) + 3), \
	CALL_REL((OFF) + 2), CALL_REL((OFF) + 1)
#define EXIT() INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

/* R0 = what the map @FD has for a key of zeros; clobbers R1 to R5 and R10 - 8 */
#define LOOK_UP_0(FD) \
	ST(BPF_DW, R10, -8, 0), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -8), \
	LD_MAP_FD(R1, FD), CALL(map_lookup_elem)

#endif
