// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=product,preempt levels=2 cpus=4 keys=13,0 full=1 timeout=300 */
/*
 * Do programs compute the same when they are isolated: arithmetic, jumps, the
 * stack, functions, and helpers that need nothing?
 */
#include "results.h"

static void nothing(void)
{
	end_with(t->pass);
}

static void loops(void)
{
	begin();
	E(MOV_IMM(R2, 0), MOV_IMM(R3, 1),
	  /* inner */
	  MOV_IMM(R4, 0),
	  ALU64_REG(BPF_ADD, R3, R4), ALU64_IMM(BPF_MUL, R3, 31), ALU64_IMM(BPF_ADD, R4, 1),
	  JMP_IMM(BPF_JLT, R4, 20, -4),
	  ALU64_IMM(BPF_ADD, R2, 1), JMP_IMM(BPF_JLT, R2, 50, -7));
	tell(R3);
	end_with(t->pass);
}

static void arithmetic(void)
{
	static const u64 values[] = {
		0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0x123456789abcdef0, 1ULL << 63, ~0ULL,
	};
	static const int ops[] = {
		BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR, BPF_AND, BPF_LSH, BPF_RSH, BPF_MOD,
		BPF_XOR, BPF_ARSH,
	};
	size_t i, j, k;

	/* folded into one number each: R8 = R8 * 31 + result */
	begin();
	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		E(MOV_IMM(R8, 0));
		for (j = 0; j < 3; j++)
			for (k = 0; k < 3; k++) {
				E(LD_IMM64(R2, values[(i + j * 3) % 8]),
				  LD_IMM64(R3, values[(i + k * 2 + 1) % 8]), MOV_REG(R4, R2),
				  ALU64_REG(ops[i], R2, R3), ALU32_REG(ops[i], R4, R3));
				E(ALU64_IMM(BPF_MUL, R8, 31), ALU64_REG(BPF_ADD, R8, R2),
				  ALU64_REG(BPF_XOR, R8, R4));
			}
		tell(R8);
	}
	end_with(t->pass);
}

static void byte_orders(void)
{
	int bits;

	begin();
	for (bits = 16; bits <= 64; bits *= 2) {
		E(LD_IMM64(R2, 0x1122334455667788), ALU32_IMM(BPF_END | BPF_TO_BE, R2, bits));
		tell(R2);
		E(LD_IMM64(R2, 0x1122334455667788), ALU32_IMM(BPF_END | BPF_TO_LE, R2, bits));
		tell(R2);
	}
	E(LD_IMM64(R2, 0x1122334455667788), ALU64_IMM(BPF_NEG, R2, 0));
	tell(R2);
	E(LD_IMM64(R2, 0x1122334455667788), ALU32_IMM(BPF_NEG, R2, 0));
	tell(R2);
	end_with(t->pass);
}

static void whole_stack(void)
{
	int i;

	begin();
	for (i = 8; i <= 512; i += 8)
		E(ST(BPF_DW, R10, -i, i * 3));
	E(CALL(ktime_get_ns), MOV_IMM(R8, 0));
	for (i = 8; i <= 512; i += 8)
		E(LDX(BPF_DW, R2, R10, -i), ALU64_IMM(BPF_MUL, R8, 3), ALU64_REG(BPF_ADD, R8, R2));
	tell(R8);
	end_with(t->pass);
}

/* main(ctx) { a(&x, 1, 2, 3, 4) } a() { b() } b() { c() }, each with a stack */
static void functions(void)
{
	int a, b, c, call_a, call_b, call_c;

	begin();
	E(ST(BPF_DW, R10, -8, 5), MOV_REG(R1, R10), ALU64_IMM(BPF_ADD, R1, -8), MOV_IMM(R2, 1),
	  MOV_IMM(R3, 2), MOV_IMM(R4, 3), MOV_IMM(R5, 4));
	call_a = cnt;
	E(CALL_REL(0));
	tell(R0);
	E(LDX(BPF_DW, R2, R10, -8));
	tell(R2);
	/* the registers that a function keeps are kept */
	if (skb_type())
		E(LDX(BPF_W, R2, R6, offsetof(struct __sk_buff, len)));
	else
		E(LDX(BPF_W, R2, R6, offsetof(struct xdp_md, ingress_ifindex)));
	tell(R2);
	end_with(t->pass);

	a = cnt;	/* *R1 += R2 + R3; return b(R4, R5) + 1000 */
	E(MOV_REG(R6, R1), LDX(BPF_DW, R0, R6, 0), ALU64_REG(BPF_ADD, R0, R2),
	  ALU64_REG(BPF_ADD, R0, R3), STX(BPF_DW, R6, R0, 0), ST(BPF_DW, R10, -32, 99),
	  MOV_REG(R1, R4), MOV_REG(R2, R5));
	call_b = cnt;
	E(CALL_REL(0), LDX(BPF_DW, R1, R10, -32), ALU64_REG(BPF_ADD, R0, R1),
	  ALU64_IMM(BPF_ADD, R0, 1000), EXIT());
	b = cnt;	/* a helper, and on: return c(R1) * R2 */
	E(MOV_REG(R7, R1), MOV_REG(R8, R2), CALL(get_smp_processor_id), MOV_REG(R9, R0),
	  MOV_REG(R1, R7), ALU64_REG(BPF_ADD, R1, R9), STX(BPF_DW, R10, R8, -16));
	call_c = cnt;
	E(CALL_REL(0), LDX(BPF_DW, R8, R10, -16), ALU64_REG(BPF_MUL, R0, R8), EXIT());
	c = cnt;	/* return R1 + 7 */
	E(STX(BPF_DW, R10, R1, -8), CALL(ktime_get_ns), LDX(BPF_DW, R0, R10, -8),
	  ALU64_IMM(BPF_ADD, R0, 7), EXIT());
	insns[call_a].imm = a - call_a - 1;
	insns[call_b].imm = b - call_b - 1;
	insns[call_c].imm = c - call_c - 1;
}

/* Helpers whose result is the same at any time. */
static void small_helpers(void)
{
	begin();
	E(CALL(get_smp_processor_id));
	tell(R0);
	E(CALL(get_numa_node_id));
	tell(R0);
	E(CALL(ktime_get_ns), MOV_REG(R7, R0), CALL(ktime_get_ns), MOV_IMM(R8, 0),
	  JMP_REG(BPF_JLT, R0, R7, 1), MOV_IMM(R8, 1));
	tell(R8);
	E(CALL(jiffies64), MOV_IMM(R8, 0), JMP_IMM(BPF_JEQ, R0, 0, 1), MOV_IMM(R8, 1));
	tell(R8);
	E(CALL(get_prandom_u32), MOV_IMM(R8, 0), JMP_IMM(BPF_JEQ, R0, 0, 1), MOV_IMM(R8, 1));
	end_with(t->pass);
}

static const struct result_case cases[] = {
	{ "nothing", nothing, true, true, true },
	{ "loops", loops, true, true, true },
	{ "arithmetic", arithmetic, true, true, true },
	{ "byte orders", byte_orders, true, true, true },
	{ "512 bytes of stack", whole_stack, true, true, true },
	{ "nested functions", functions, true, true, true },
	{ "small helpers", small_helpers, true, true, true },
};

int main(void)
{
	return compare_all(cases, ARRAY_SIZE(cases));
}
