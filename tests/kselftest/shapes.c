// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "shapes.h"

/* Words of the map: the calls' results, and what is at the network header. */
#define SEEN MAX_CALLS
#define WORDS (MAX_CALLS + 1)

int calls_load(const struct call *calls, int n, int *out)
{
	int i, j, fd;

	*out = map_create(BPF_MAP_TYPE_ARRAY, 4, 8 * WORDS, 1);
	if (*out < 0)
		bail("map: %s", strerror(errno));
	cnt = 0;
	E(MOV_REG(R6, R1), LD_MAP_VALUE(R9, *out, 0));
	E(LD_IMM64(R1, 0x1122334455667788), STX(BPF_DW, R10, R1, -16), STX(BPF_DW, R10, R1, -8));
	for (i = 0; i < n; i++) {
		E(MOV_REG(R1, R6));
		for (j = 0; j < 4; j++)
			E(LD_IMM64(R2 + j, calls[i].arg[j]));
		if (calls[i].func == BPF_FUNC_skb_store_bytes)
			E(MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -16));
		E(INSN(BPF_JMP | BPF_CALL, 0, 0, 0, calls[i].func), STX(BPF_DW, R9, R0, 8 * i));
	}
	E(MOV_REG(R1, R6), MOV_IMM(R2, 0), MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -8),
	  MOV_IMM(R4, 8), MOV_IMM(R5, BPF_HDR_START_NET), CALL(skb_load_bytes_relative),
	  LDX(BPF_DW, R1, R10, -8), STX(BPF_DW, R9, R1, 8 * SEEN));
	E(MOV_IMM(R0, 0), EXIT());
	fd = prog_load(BPF_PROG_TYPE_SCHED_CLS, "calls", insns, cnt);
	if (fd < 0)
		bail("calls: %s\n%s", strerror(errno), prog_log);
	return fd;
}

void calls_run(const struct call *calls, int n, const struct trial *trial,
	       struct outcome *outcome)
{
	struct __sk_buff ctx = { .gso_size = trial->gso_size, .gso_segs = trial->gso_segs };
	u64 words[WORDS];
	u32 zero = 0;
	int out, fd = calls_load(calls, n, &out);
	struct run run = {
		.data_in = trial->packet, .data_in_size = trial->len,
		.data_out = outcome->data, .data_out_size = sizeof(outcome->data),
		.ctx_in = &ctx, .ctx_in_size = sizeof(ctx),
		.ctx_out = &outcome->ctx, .ctx_out_size = sizeof(outcome->ctx),
		.repeat = 1, .flags = trial->flags,
	};

	memset(outcome, 0, sizeof(*outcome));
	outcome->error = prog_run(fd, &run) ? errno : 0;
	outcome->retval = run.retval;
	outcome->size = run.data_out_size;
	if (map_lookup(out, &zero, words))
		bail("map: %s", strerror(errno));
	memcpy(outcome->ret, words, 8 * n);
	outcome->seen = words[SEEN];
	close(fd);
	close(out);
}
