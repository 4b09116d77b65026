// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=none cpus=1 timeout=60 */
/*
 * Does the test kernel's verifier switch let through what it should, and no more?
 *
 * Every program here begins with a load from nowhere, in a branch that is never
 * taken, which the verifier refuses. With the switch on it must be accepted,
 * and then context accesses, helper calls, functions and packet loads must work
 * as ever; but what is wrong with an encoding or with the control flow is still
 * refused, also behind the point where the verifier gave up.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "moat_test.h"

/* R6 = ctx; the verifier follows the fall-through first */
#define BAD_LOAD \
	MOV_REG(R6, R1), MOV_IMM(R2, 0), JMP_IMM(BPF_JNE, R1, 0, 1), LDX(BPF_B, R3, R2, 0)

static int map;

static void refused(const char *what, const struct bpf_insn *insns, size_t cnt)
{
	struct bpf_insn prog[64] = { BAD_LOAD };
	int fd, i, n = 4;

	memcpy(prog + n, insns, cnt * sizeof(*insns));
	n += cnt;
	for (i = 0; i < 2; i++)
		prog[n++] = i ? EXIT() : MOV_IMM(R0, 0);
	fd = prog_load(BPF_PROG_TYPE_XDP, "refused", prog, n);
	ok(fd < 0, "refused: %s", what);
	if (fd >= 0)
		close(fd);
}

#define REFUSED_INSN(WHAT, ...) do { \
		struct bpf_insn i_[] = { __VA_ARGS__ }; \
		refused(WHAT, i_, ARRAY_SIZE(i_)); \
	} while (0)

static void still_refused(void)
{
	REFUSED_INSN("a write to R10", MOV_IMM(R10, 0));
	REFUSED_INSN("arithmetic on R10", ALU64_IMM(BPF_ADD, R10, -8));
	REFUSED_INSN("a load into R10", LDX(BPF_DW, R10, R1, 0));
	REFUSED_INSN("an atomic that fetches into R10",
		     ATOMIC(BPF_DW, BPF_ADD | BPF_FETCH, R1, R10, 0));
	REFUSED_INSN("a constant for R10", LD_IMM64(R10, 1));
	REFUSED_INSN("register 11 as source", MOV_REG(R1, 11));
	REFUSED_INSN("register 12 as base", LDX(BPF_W, R1, 12, 0));
	REFUSED_INSN("register 13 as base of a store", STX(BPF_W, 13, R1, 0));
	REFUSED_INSN("register 14 in a jump", JMP_REG(BPF_JEQ, 14, R1, 0));
	REFUSED_INSN("an unknown opcode", INSN(0xff, 0, 0, 0, 0));
	REFUSED_INSN("a move with an offset", INSN(BPF_ALU64 | BPF_MOV | BPF_K, 1, 0, 4, 0));
	REFUSED_INSN("a load with a constant", INSN(BPF_LDX | BPF_MEM | BPF_W, 1, 1, 0, 4));
	REFUSED_INSN("a store with a source and a constant",
		     INSN(BPF_ST | BPF_MEM | BPF_W, 1, 2, 0, 4));
	REFUSED_INSN("a jump with a source and a constant",
		     INSN(BPF_JMP | BPF_JEQ | BPF_X, 1, 2, 0, 4));
	REFUSED_INSN("an exit with a constant", INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 4));
	REFUSED_INSN("an unknown atomic", ATOMIC(BPF_DW, 0x33, R1, R2, 0));
	REFUSED_INSN("an atomic on a byte", ATOMIC(BPF_B, BPF_ADD, R1, R2, 0));
	REFUSED_INSN("a division by the constant 0", ALU64_IMM(BPF_DIV, R1, 0));
	REFUSED_INSN("a shift by 64", ALU64_IMM(BPF_LSH, R1, 64));
	REFUSED_INSN("a swap of 24 bits", ALU32_IMM(BPF_END | BPF_TO_BE, R1, 24));
	REFUSED_INSN("a jump out of the program", JA(100));
	REFUSED_INSN("a jump into the middle of a constant", JA(1), LD_IMM64(R1, 1));
	REFUSED_INSN("unreachable instructions", JA(1), MOV_IMM(R1, 0));
	REFUSED_INSN("half a constant", INSN(BPF_LD | BPF_DW | BPF_IMM, 1, 0, 0, 0));
	REFUSED_INSN("a map that is none", LD_MAP_FD(R1, 0));
	REFUSED_INSN("a helper that is none", INSN(BPF_JMP | BPF_CALL, 0, 0, 0, 9999));
	REFUSED_INSN("a helper of other program types", CALL(skb_load_bytes));
	REFUSED_INSN("a kfunc", INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, 1));
	REFUSED_INSN("LD_ABS where there is no skb", LD_ABS(BPF_W, 0));
	REFUSED_INSN("a function that calls itself", CALL_REL(-1));
}

static void deep_stack(void)
{
	/* 512 and 512 */
	struct bpf_insn insns[] = {
		BAD_LOAD, ST(BPF_DW, R10, -512, 0), CALL_REL(2), MOV_IMM(R0, 0), EXIT(),
		ST(BPF_DW, R10, -512, 0), MOV_IMM(R0, 0), EXIT(),
	};
	int fd = PROG_LOAD(BPF_PROG_TYPE_XDP, "deep", insns);

	ok(fd < 0 && errno == EACCES, "refused: more than 512 bytes of stack");
	close(fd);
}

static void accepted(void)
{
	struct __sk_buff skb = { .mark = 0x11223344, .cb = { 0xa1a2a3a4, 2, 3, 4, 5 } };
	u8 packet[64], data[64];
	u64 out[16] = {};
	u32 zero = 0;
	struct run run = {
		.data_in = packet, .data_in_size = sizeof(packet),
		.data_out = data, .data_out_size = sizeof(data),
		.ctx_in = &skb, .ctx_in_size = sizeof(skb),
		.ctx_out = &skb, .ctx_out_size = sizeof(skb),
	};
	struct bpf_insn insns[] = {
		BAD_LOAD,
		/* the context over the stack, and narrow */
		STX(BPF_DW, R10, R6, -16), LDX(BPF_DW, R7, R10, -16),
		LD_MAP_VALUE(R9, map, 0),
		LDX(BPF_W, R2, R7, offsetof(struct __sk_buff, mark)), STX(BPF_DW, R9, R2, 0),
		LDX(BPF_H, R2, R7, offsetof(struct __sk_buff, cb[0]) + 2), STX(BPF_DW, R9, R2, 8),
		MOV_IMM(R2, 0x777), STX(BPF_W, R7, R2, offsetof(struct __sk_buff, mark)),
		/* a helper with its map known */
		ST(BPF_W, R10, -4, 0), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -4),
		LD_MAP_FD(R1, map), CALL(map_lookup_elem),
		ALU64_REG(BPF_SUB, R0, R9), STX(BPF_DW, R9, R0, 16),
		/* the same with the map over the stack, so that it is not */
		LD_MAP_FD(R1, map), STX(BPF_DW, R10, R1, -24), LDX(BPF_DW, R1, R10, -24),
		MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -4), CALL(map_lookup_elem),
		ALU64_REG(BPF_SUB, R0, R9), STX(BPF_DW, R9, R0, 24),
		/* the packet */
		LD_ABS(BPF_H, 20), STX(BPF_DW, R9, R0, 32),
		LDX(BPF_W, R2, R6, offsetof(struct __sk_buff, data)), ST(BPF_B, R2, 30, 0x55),
		/* a function that gets the context */
		MOV_REG(R1, R6), CALL_REL(7), STX(BPF_DW, R9, R0, 40),
		/* division by an unknown 0 */
		MOV_IMM(R2, 7), LDX(BPF_DW, R3, R9, 120), ALU64_REG(BPF_DIV, R2, R3),
		STX(BPF_DW, R9, R2, 48), MOV_IMM(R0, 3), EXIT(),
		/* the function */
		LDX(BPF_W, R0, R1, offsetof(struct __sk_buff, len)), ALU64_IMM(BPF_ADD, R0, 1000),
		EXIT(),
	};
	size_t n = ARRAY_SIZE(insns), i;
	int fd;

	for (i = 0; i < sizeof(packet); i++)
		packet[i] = i;
	bypass_verifier(false);
	fd = prog_load(BPF_PROG_TYPE_SCHED_CLS, "accepted", insns, n);
	ok(fd < 0 && errno == EACCES, "switch off: the load from nowhere is refused");
	bypass_verifier(true);
	fd = prog_load(BPF_PROG_TYPE_SCHED_CLS, "accepted", insns, n);
	if (!ok(fd >= 0, "switch on: it is accepted")) {
		diag("%s\n%s", strerror(errno), prog_log);
		return;
	}
	ok(!prog_run(fd, &run) && run.retval == 3, "it runs");
	map_lookup(map, &zero, out);
	ok(out[0] == 0x11223344, "a context field");
	ok(out[1] == 0xa1a2, "half a context field");
	ok(skb.mark == 0x777, "a context field that is written");
	ok(out[2] == 0, "a helper with a map that is known");
	ok(out[3] == 0, "a helper with a map that is not");
	ok(out[4] == 0x1415, "a packet load");
	ok(data[30] == 0x55, "a packet store");
	ok(out[5] == 1064, "a function with the context");
	ok(out[6] == 0, "a division by zero");
	close(fd);
}

int main(void)
{
	if (!test_kernel())
		skip_all("needs the test kernel");
	map = map_create(BPF_MAP_TYPE_ARRAY, 4, 128, 1);
	accepted();
	still_refused();
	deep_stack();
	return finish();
}
