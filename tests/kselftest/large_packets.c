// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "large_packets.h"

#define STRIDE 509

int told, reach;
u32 to_pull;

static const struct prog_type *type;

static void tell(int word, int reg)
{
	E(STX(BPF_DW, R9, reg, 8 * word));
}

/* R7 and R8: the packet and its end */
static void packet(void)
{
	bool x = type == &xdp;

	E(LDX(BPF_W, R7, R6, x ? offsetof(struct xdp_md, data) : offsetof(struct __sk_buff, data)),
	  LDX(BPF_W, R8, R6, x ? offsetof(struct xdp_md, data_end) :
	      offsetof(struct __sk_buff, data_end)));
}

static void count_bytes(int word)
{
	E(MOV_REG(R2, R8), ALU64_REG(BPF_SUB, R2, R7));
	tell(word, R2);
}

/* Some of the packet, as far as it goes: read and added up, or written */
static void stride(bool write)
{
	int loop;

	E(MOV_IMM(R5, 0), MOV_IMM(R4, 0));
	loop = cnt;
	E(MOV_REG(R3, R7), ALU64_REG(BPF_ADD, R3, R5), MOV_REG(R1, R3), ALU64_IMM(BPF_ADD, R1, 8),
	  JMP_REG(BPF_JGT, R1, R8, write ? 4 : 5));
	if (write)
		E(MOV_REG(R2, R5), STX(BPF_W, R3, R2, 3));
	else
		E(LDX(BPF_DW, R2, R3, 0), ALU64_IMM(BPF_MUL, R4, 31), ALU64_REG(BPF_ADD, R4, R2));
	E(ALU64_IMM(BPF_ADD, R5, STRIDE),
	  JMP_IMM(BPF_JLT, R5, reach - STRIDE, loop - cnt - 2));
	if (!write)
		tell(SUM, R4);
}

/* The last four bytes, if they are within reach */
static void last(bool write)
{
	E(MOV_REG(R2, R8), ALU64_REG(BPF_SUB, R2, R7), JMP_IMM(BPF_JGT, R2, reach, 8),
	  JMP_IMM(BPF_JLT, R2, 4, 7), ALU64_IMM(BPF_SUB, R2, 4),
	  MOV_REG(R3, R7), ALU64_REG(BPF_ADD, R3, R2), MOV_REG(R1, R3), ALU64_IMM(BPF_ADD, R1, 4),
	  JMP_REG(BPF_JGT, R1, R8, 1));
	/* One instruction, and none of it if that was too much */
	if (write)
		E(ST(BPF_W, R3, 0, 0x5a6b7c8d));
	else
		E(LDX(BPF_W, R4, R3, 0));
	if (!write)
		tell(LAST, R4);
}

static void start(void)
{
	cnt = 0;
	E(MOV_REG(R6, R1), LD_MAP_VALUE(R9, told, 0),
	  LDX(BPF_DW, R2, R9, 8 * RUNS), ALU64_IMM(BPF_ADD, R2, 1));
	tell(RUNS, R2);
	if (type == &xdp)
		E(MOV_REG(R1, R6), CALL(xdp_get_buff_len));
	else
		E(LDX(BPF_W, R0, R6, offsetof(struct __sk_buff, len)));
	tell(LENGTH, R0);
	packet();
	count_bytes(BYTES);
}

void reads(void)
{
	start();
	stride(false);
	E(MOV_IMM(R4, 0));
	last(false);
}

void writes(void)
{
	reads();
	stride(true);
	last(true);
}

/* After a helper that may have moved the packet */
static void all_again(void)
{
	packet();
	count_bytes(AFTER);
	stride(false);
	E(MOV_IMM(R4, 0));
	last(false);
	stride(true);
	last(true);
}

void pulls(void)
{
	start();
	E(MOV_REG(R1, R6), to_pull ? MOV_IMM(R2, to_pull) :
	  LDX(BPF_W, R2, R6, offsetof(struct __sk_buff, len)), CALL(skb_pull_data));
	tell(PULLED, R0);
	all_again();
}

void nests(void)
{
	int jump;

	start();
	E(MOV_REG(R1, R6), LDX(BPF_W, R2, R6, offsetof(struct __sk_buff, len)),
	  CALL(skb_pull_data), LDX(BPF_W, R2, R6, offsetof(struct __sk_buff, mark)));
	jump = cnt;
	E(JMP_IMM(BPF_JGE, R2, 2, 0), ALU64_IMM(BPF_ADD, R2, 1),
	  STX(BPF_W, R6, R2, offsetof(struct __sk_buff, mark)),
	  MOV_REG(R1, R6), MOV_IMM(R2, 1), MOV_IMM(R3, 0), CALL(clone_redirect));
	tell(PULLED, R0);
	insns[jump].off = cnt - jump - 1;
	all_again();
	/* All three differ. */
	E(LDX(BPF_DW, R2, R9, 8 * RUNS), LDX(BPF_DW, R3, R9, 8 * LARGEST),
	  ALU64_IMM(BPF_MUL, R3, 7), ALU64_REG(BPF_ADD, R2, R3));
	tell(LARGEST, R2);
	packet();
	E(MOV_REG(R1, R7), ALU64_IMM(BPF_ADD, R1, 24), JMP_REG(BPF_JGT, R1, R8, 1),
	  STX(BPF_DW, R7, R2, 16));
}

void counts(void)
{
	cnt = 0;
	E(MOV_REG(R6, R1), LD_MAP_VALUE(R9, told, 0), MOV_IMM(R2, 1),
	  ATOMIC(BPF_DW, BPF_ADD, R9, R2, 8 * RUNS));
	packet();
	E(MOV_REG(R2, R8), ALU64_REG(BPF_SUB, R2, R7), ATOMIC(BPF_DW, BPF_ADD, R9, R2, 8 * BYTES),
	  LDX(BPF_DW, R1, R9, 8 * LARGEST), JMP_REG(BPF_JLE, R2, R1, 1),
	  STX(BPF_DW, R9, R2, 8 * LARGEST));
	/* So that it may go far */
	E(MOV_IMM(R4, 0));
	last(false);
}

int large_load(const struct prog_type *of, void (*body)(void), int level, u32 flags)
{
	union bpf_attr attr = { .prog_type = of->type, .license = (uintptr_t)"GPL",
				.prog_flags = flags, .prog_name = "large" };
	int fd;

	type = of;
	told = map_of_words(0);
	moat_set_level(level);
	body();
	E(MOV_IMM(R0, type->pass), EXIT());
	attr.insns = (uintptr_t)insns;
	attr.insn_cnt = cnt;
	fd = syscall(__NR_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	if (fd < 0) {
		int why = errno;

		prog_load(of->type, "large", insns, cnt);
		bail("the program does not load: %s\n%s", strerror(why), prog_log);
	}
	if (level && moat_layer(fd) == NONE)
		bail("the program is not isolated");
	return fd;
}
