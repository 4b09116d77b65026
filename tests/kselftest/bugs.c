// SPDX-License-Identifier: GPL-2.0
#include "bugs.h"

#define JMP32_IMM(OP, DST, IMM, OFF) INSN(BPF_JMP32 | (OP) | BPF_K, DST, 0, OFF, IMM)
#define ALU32_MOV(DST, SRC) ALU32_REG(BPF_MOV, DST, SRC)

int mine;

/* Leaves the program if the instruction before it does not jump. */
#define LEAVE() MOV_IMM(R0, 0), EXIT()

/* R6 = 1 - R2 */
#define ONE_LESS_R2() MOV_IMM(R6, 1), ALU64_REG(BPF_SUB, R6, R2)

/* MOV32 of -1 was taken for -1, which plus 1 has no upper half. */
static void sign_of_immediate(void)
{
	E(ALU32_IMM(BPF_MOV, R6, -1),
	  ALU64_IMM(BPF_ADD, R6, 1),
	  ALU64_IMM(BPF_RSH, R6, 32));
}

/* From 0xffffff80 to 0x10000007f; the lower bound outlived the truncation. */
static void size_of_register(void)
{
	E(GIVEN(R2, VALUE),
	  ALU64_IMM(BPF_AND, R2, 0xff),
	  ALU64_IMM(BPF_ADD, R2, 0x7fffffc0),
	  ALU64_IMM(BPF_ADD, R2, 0x7fffffc0),
	  ALU32_MOV(R2, R2),
	  ALU64_IMM(BPF_RSH, R2, 31),
	  ONE_LESS_R2());
}

/* Truncated before it was computed, not after. */
static void carry_of_32_bits(void)
{
	E(ALU32_IMM(BPF_MOV, R2, -1),
	  ALU32_IMM(BPF_ADD, R2, 1),
	  ALU64_IMM(BPF_RSH, R2, 32),
	  ONE_LESS_R2());
}

/* Not above 0 when signed, still so when the sign has been shifted in. */
static void signed_shift(void)
{
	E(GIVEN(R6, VALUE),
	  JMP_IMM(BPF_JSLE, R6, 0, 2),
	  LEAVE(),
	  ALU64_IMM(BPF_RSH, R6, 63));
}

/* The bit above the 32 was shifted into them. */
static void shift_of_32_bits(void)
{
	E(MOV_IMM(R2, 2),
	  ALU64_IMM(BPF_LSH, R2, 31),
	  ALU32_IMM(BPF_RSH, R2, 31),
	  ALU64_IMM(BPF_RSH, R2, 1),
	  ONE_LESS_R2());
}

/* R2 = the value, from 1 to @most */
#define FROM_ONE_TO(MOST) \
	JMP_IMM(BPF_JGE, R2, 1, 2), \
	LEAVE(), \
	LD_IMM64(R3, MOST), \
	JMP_REG(BPF_JLE, R2, R3, 2), \
	LEAVE()

/* From 1 to 0x100000001: the lower halves of both are 1. */
static void halves_of_bounds(void)
{
	E(GIVEN(R2, VALUE),
	  FROM_ONE_TO(0x100000001),
	  JMP32_IMM(BPF_JLE, R2, 100, 2),
	  LEAVE(),
	  ALU32_MOV(R6, R2),
	  ALU64_IMM(BPF_SUB, R6, 1));
}

/* The same, by way of an OR. */
static void bounds_of_or(void)
{
	E(GIVEN(R2, VALUE),
	  LD_IMM64(R3, 0x77fffffff),
	  ALU64_REG(BPF_AND, R2, R3),
	  FROM_ONE_TO(0x600000001),
	  ALU64_IMM(BPF_OR, R2, 0),
	  ALU32_MOV(R6, R2),
	  ALU64_IMM(BPF_SUB, R6, 1));
}

/* The lower half 1 AND 2 is 0, from 1 to 0; that and up to 1 is 1. */
static void bounds_of_and(void)
{
	E(GIVEN(R2, VALUE),
	  JMP32_IMM(BPF_JEQ, R2, 1, 2),
	  LEAVE(),
	  LD_IMM64(R3, 0x100000002),
	  ALU64_REG(BPF_AND, R2, R3),
	  GIVEN(R3, OTHER),
	  ALU64_IMM(BPF_AND, R3, 1),
	  ALU32_REG(BPF_ADD, R2, R3),
	  ONE_LESS_R2());
}

/* Anything less the largest number is from 1 to 0; that and up to 1 is 1. */
static void overflow_of_difference(void)
{
	E(GIVEN(R2, VALUE),
	  LD_IMM64(R3, INT64_MAX),
	  ALU64_REG(BPF_SUB, R2, R3),
	  GIVEN(R3, OTHER),
	  ALU64_IMM(BPF_AND, R3, 1),
	  ALU64_REG(BPF_ADD, R2, R3),
	  ONE_LESS_R2());
}

/* At least 1, so its lower half is. */
static void half_of_a_bound(void)
{
	E(GIVEN(R2, VALUE),
	  JMP_IMM(BPF_JGE, R2, 1, 2),
	  LEAVE(),
	  JMP32_IMM(BPF_JLE, R2, 1, 2),
	  LEAVE(),
	  ALU32_MOV(R2, R2),
	  ONE_LESS_R2());
}

/* Modulo 0 leaves a number of 64 bits alone, where 32 are expected. */
static void modulo_zero(void)
{
	E(GIVEN(R6, VALUE),
	  MOV_IMM(R3, 0),
	  ALU32_REG(BPF_MOD, R6, R3),
	  ALU64_IMM(BPF_RSH, R6, 32));
}

/* The divisor lost its upper half. */
static void divisor(void)
{
	E(LD_IMM64(R2, 0x100000001),
	  MOV_IMM(R3, 1),
	  ALU32_REG(BPF_DIV, R3, R2),
	  ALU64_IMM(BPF_RSH, R2, 32),
	  ONE_LESS_R2());
}

/*
 * The upper half of R6 is to be cleared since it is shifted down, which nobody knows any
 * more once R1 is found to be the same. The kernel leaves something at random there.
 */
static void upper_half(void)
{
	E(GIVEN(R1, VALUE),
	  ALU64_IMM(BPF_AND, R1, 0x7fffffff),
	  MOV_REG(R2, R1),
	  STX(BPF_W, R10, R1, -8),
	  LDX(BPF_W, R6, R10, -8),
	  JMP_IMM(BPF_JGE, R1, 10, 2),
	  LEAVE(),
	  ALU64_IMM(BPF_RSH, R6, 32),
	  ALU64_IMM(BPF_MUL, R6, -1),
	  ALU64_IMM(BPF_RSH, R6, 63));
}

/* The second jump is where R9 matters; who comes from the first one has another. */
static void precision_of_jump(void)
{
	E(MOV_IMM(R6, 1024),
	  MOV_IMM(R9, INT32_MIN),
	  ALU64_IMM(BPF_MOD, R6, 1025),
	  JA(0),
	  JMP_REG(BPF_JLE, R6, R9, 2),
	  ALU64_IMM(BPF_MOD, R6, 1),
	  MOV_IMM(R9, 0),
	  JMP_REG(BPF_JLE, R6, R9, 1),
	  MOV_IMM(R6, 0),
	  ALU64_IMM(BPF_RSH, R6, 10));
}

/* On the stack: 2, or 1 if the value is 0 */
static void two_or_one(void)
{
	E(GIVEN(R2, VALUE),
	  MOV_IMM(R3, 2),
	  STX(BPF_DW, R10, R3, -8),
	  JMP_IMM(BPF_JNE, R2, 0, 2),
	  MOV_IMM(R3, 1),
	  STX(BPF_DW, R10, R3, -8));
}

/*
 * R6 gets what is on the stack, 1 where the verifier comes by first. It then took what
 * R6 was before for what matters.
 */
static void precision_of_fetch(void)
{
	two_or_one();
	E(MOV_IMM(R6, 0),
	  ATOMIC(BPF_DW, BPF_ADD | BPF_FETCH, R10, R6, -8),
	  ALU64_IMM(BPF_SUB, R6, 1));
}

/* The same, where what is on the stack is read through another register than R10. */
static void precision_of_fill(void)
{
	two_or_one();
	E(MOV_REG(R4, R10),
	  LDX(BPF_DW, R6, R4, -8),
	  ALU64_IMM(BPF_SUB, R6, 1));
}

/* There is no element 1: one more than NULL. */
static void arithmetic_on_null(void)
{
	E(ST(BPF_W, R10, -4, 1),
	  LD_MAP_FD(R1, mine),
	  MOV_REG(R2, R10),
	  ALU64_IMM(BPF_ADD, R2, -4),
	  CALL(map_lookup_elem),
	  MOV_REG(R6, R0),
	  ALU64_IMM(BPF_ADD, R6, 1),
	  JMP_IMM(BPF_JEQ, R0, 0, 2),
	  LEAVE());
}

/*
 * Who has found R2 to be beyond the end leaves. Who has not compared them was taken to
 * do the same.
 */
static void end_of_packet(void)
{
	E(LDX(BPF_W, R2, R1, offsetof(struct xdp_md, data)),
	  LDX(BPF_W, R3, R1, offsetof(struct xdp_md, data_end)),
	  ALU64_IMM(BPF_ADD, R2, 8),
	  GIVEN(R4, VALUE),
	  MOV_IMM(R6, 1),
	  JMP_IMM(BPF_JEQ, R4, 1, 3),
	  JMP_REG(BPF_JGT, R2, R3, 2),
	  MOV_IMM(R6, 0),
	  JA(3),
	  JMP_REG(BPF_JLE, R2, R3, 2),
	  LEAVE());
}

/* A load beyond the packet returns 0 from the function that it is in. */
int call_at;

static void call_that_loads(void)
{
	E(CALL_REL(0));
	call_at = cnt - 1;
	E(LD_MAP_VALUE(R7, mine, 0),
	  MOV_REG(R2, R0),
	  ONE_LESS_R2());
}

static void loads_beyond(void)
{
	E(MOV_REG(R6, R1),
	  LD_ABS(BPF_W, 0x1000),
	  MOV_IMM(R0, 1),
	  EXIT());
}

#define KEPT 0x6b657074

/*
 * How deep into its stack a program goes was not counted if the verifier does not know how
 * deep. What is there is the stack of the function that it calls, and what that saves.
 */
static void call_that_saves(void)
{
	E(MOV_IMM(R6, KEPT),
	  MOV_REG(R1, R10),
	  ALU64_IMM(BPF_ADD, R1, -24),
	  GIVEN(R2, VALUE),
	  CALL_REL(0));
	call_at = cnt - 1;
	E(ALU64_IMM(BPF_SUB, R6, KEPT));
}

static void change_saved(void)
{
	int i;

	E(MOV_IMM(R6, 0));
	for (i = 0; i < 16; i++)
		E(MOV_REG(R3, R2),
		  ALU64_IMM(BPF_ADD, R3, 8 * i),
		  ALU64_IMM(BPF_AND, R3, 0x78),
		  ALU64_IMM(BPF_SUB, R3, 0x78),
		  MOV_REG(R4, R1),
		  ALU64_REG(BPF_ADD, R4, R3),
		  LDX(BPF_DW, R5, R4, 0),
		  JMP_IMM(BPF_JNE, R5, KEPT, 1),
		  ST(BPF_DW, R4, 0, KEPT + 1));
	E(MOV_IMM(R0, 0),
	  EXIT());
}

const struct bug bugs[] = {
	{ .cve = "CVE-2017-16995", .family = "bounds", .fixed = "before 6.1",
	  .wrong = "the sign of a 32-bit immediate",
	  .t = &xdp, .number = sign_of_immediate },
	{ .cve = "CVE-2017-16996", .family = "bounds", .fixed = "before 6.1",
	  .wrong = "bounds of a register of which half is taken",
	  .t = &xdp, .number = size_of_register, .value = 0x80 },
	{ .cve = "CVE-2017-17852", .family = "bounds", .fixed = "before 6.1",
	  .wrong = "the carry of 32-bit operations",
	  .t = &xdp, .number = carry_of_32_bits },
	{ .cve = "CVE-2017-17853", .family = "bounds", .fixed = "before 6.1",
	  .wrong = "the sign of what is shifted to the right",
	  .t = &xdp, .number = signed_shift, .value = -1 },
	{ .cve = "CVE-2018-18445", .family = "bounds", .fixed = "before 6.1",
	  .wrong = "32-bit shifts of 64-bit values",
	  .t = &xdp, .number = shift_of_32_bits },
	{ .cve = "CVE-2020-8835", .family = "bounds", .fixed = "before 6.1",
	  .wrong = "32-bit jumps, by bounds of 64 bits",
	  .t = &xdp, .number = halves_of_bounds, .value = 2 },
	{ .cve = "CVE-2020-27194", .family = "bounds", .fixed = "before 6.1",
	  .wrong = "bounds of a 32-bit OR",
	  .t = &xdp, .number = bounds_of_or, .value = 2 },
	{ .cve = "CVE-2021-20268", .family = "bounds", .fixed = "before 6.1",
	  .wrong = "overflows of a 64-bit difference",
	  .t = &xdp, .number = overflow_of_difference,
	  .value = INT64_MAX },
	{ .cve = "CVE-2021-29154", .family = "JIT", .fixed = "before 6.1",
	  .wrong = "how far a jump is, to a boundary",
	  .t = &xdp, .number = jump_before, .value = 1, .jit = true },
	{ .cve = "CVE-2021-29154, into an instruction", .family = "JIT", .fixed = "before 6.1",
	  .wrong = "how far a jump is",
	  .t = &xdp, .number = jump_into, .value = 1, .jit = true,
	  .refused = "no instruction where a jump leads, at main+" },
	{ .cve = "CVE-2021-31440", .family = "bounds", .fixed = "before 6.1",
	  .wrong = "32-bit bounds, if one of 64 bits fits",
	  .t = &xdp, .number = half_of_a_bound, .value = 0x100000000 },
	{ .cve = "CVE-2021-3444", .family = "fix-ups", .fixed = "before 6.1",
	  .wrong = "a 32-bit modulo of 0",
	  .t = &xdp, .number = modulo_zero, .value = 0x100000000,
	  .harmless = true },
	{ .cve = "CVE-2021-3490", .family = "bounds", .fixed = "before 6.1",
	  .wrong = "32-bit bounds of AND, OR, XOR",
	  .t = &xdp, .number = bounds_of_and, .value = 1 },
	{ .cve = "CVE-2021-3600", .family = "fix-ups", .fixed = "before 6.1",
	  .wrong = "the upper half of a 32-bit divisor",
	  .t = &xdp, .number = divisor, .harmless = true },
	{ .cve = "CVE-2021-4001", .family = "maps", .fixed = "before 6.1",
	  .wrong = "that nobody changes a frozen map",
	  .t = &xdp, .number = constant, .before = freeze_too_early, .after = change_frozen },
	{ .cve = "CVE-2022-23222", .family = "pointer types", .fixed = "before 6.1",
	  .wrong = "arithmetic on what may be NULL",
	  .t = &xdp, .number = arithmetic_on_null },
	{ .cve = "CVE-2023-2163", .family = "pruning", .fixed = "6.1.26",
	  .wrong = "which registers a jump depends on",
	  .t = &xdp, .number = precision_of_jump },
	{ .cve = "CVE-2023-52452", .family = "functions", .fixed = "6.1.192 or before",
	  .wrong = "how deep a stack is",
	  .t = &xdp, .number = call_that_saves, .function = change_saved, .harmless = true },
	{ .cve = "CVE-2023-52920", .family = "pruning", .fixed = "no 6.1.y",
	  .wrong = "what is filled from the stack, not by R10",
	  .t = &xdp, .number = precision_of_fill, .value = 1,
	  .flags = BPF_F_TEST_STATE_FREQ },
	{ .cve = "CVE-2024-53125", .family = "fix-ups", .fixed = "6.1.121",
	  .wrong = "which upper halves are zeroed",
	  .t = &xdp, .number = upper_half, .value = 11, .harmless = true,
	  .flags = BPF_F_TEST_RND_HI32 },
	{ .cve = "CVE-2026-43009", .family = "pruning", .fixed = "6.1.192 or before",
	  .wrong = "what an atomic operation fetches",
	  .t = &xdp, .number = precision_of_fetch, .value = 1,
	  .flags = BPF_F_TEST_STATE_FREQ },
	{ .cve = "CVE-2026-43030", .family = "pruning", .fixed = "6.1.168",
	  .wrong = "which packet a pointer is of",
	  .t = &xdp, .number = end_of_packet, .value = 1, .flags = BPF_F_TEST_STATE_FREQ },
	{ .cve = "CVE-2026-53090", .family = "functions", .fixed = "6.1.183",
	  .wrong = "what a function returns if a load fails",
	  .t = &socket_filter, .number = call_that_loads,
	  .function = loads_beyond },
};

const size_t nr_bugs = ARRAY_SIZE(bugs);
