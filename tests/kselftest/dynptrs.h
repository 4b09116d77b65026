/* SPDX-License-Identifier: GPL-2.0 */
/* Dynptrs that a program writes itself: for test_dynptrs_forged and test_dynptr_records_forged */
#ifndef DYNPTRS_H
#define DYNPTRS_H

#include "attack.h"
#include "build.h"
#include "records.h"

#define RDONLY (1U << 31)
#define OF_RING (2U << 28)
#define LOCAL (1U << 28)

/* A dynptr at R10 - 16; clobbers R1 */
#define FORGE(ADDR, SIZE, OFFSET) \
	LD_IMM64(R1, ADDR), STX(BPF_DW, R10, R1, -16), ST(BPF_W, R10, -8, (s32)(SIZE)), \
	ST(BPF_W, R10, -4, (s32)(OFFSET))
/* R3 = the eight bytes at that offset */
#define READ_PART(OFFSET) \
	ST(BPF_DW, R10, -64, 0), ADDRESS(R1, R10, -64), MOV_IMM(R2, 8), ADDRESS(R3, R10, -16), \
	LD_IMM64(R4, OFFSET), MOV_IMM(R5, 0), CALL(dynptr_read), LDX(BPF_DW, R3, R10, -64)
/* So much of MARK is put there. */
#define WRITE_SOME(OFFSET, LEN) \
	LD_IMM64(R1, MARK), STX(BPF_DW, R10, R1, -64), ADDRESS(R1, R10, -16), \
	LD_IMM64(R2, OFFSET), ADDRESS(R3, R10, -64), MOV_IMM(R4, LEN), MOV_IMM(R5, 0), \
	CALL(dynptr_write)
#define WRITE_PART(OFFSET) WRITE_SOME(OFFSET, 8)
#define RESERVE(MAP, SIZE, AT) \
	LD_MAP_FD(R1, MAP), MOV_IMM(R2, SIZE), MOV_IMM(R3, 0), ADDRESS(R4, R10, -(AT)), \
	CALL(ringbuf_reserve_dynptr)
#define GIVE_BACK(HELPER, AT) \
	ADDRESS(R1, R10, -(AT)), MOV_IMM(R2, BPF_RB_NO_WAKEUP), CALL(HELPER)
/* What is at R10 - 16 is kept beside it, or comes from there. */
#define COPY_DYNPTR(FROM, TO) \
	LDX(BPF_DW, R1, R10, -(FROM)), STX(BPF_DW, R10, R1, -(TO)), \
	LDX(BPF_DW, R1, R10, 8 - (FROM)), STX(BPF_DW, R10, R1, 8 - (TO))

#endif
