// SPDX-License-Identifier: GPL-2.0
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <bpf/btf.h>
#include "calls_helpers.h"

/* Where the addresses of the program's functions are loaded: these are known in the end */
static struct {
	int at, n;
} uses[64];
static int nr_uses;
/* Where the functions begin that are used, or 0 */
static int start[3];

void calls_function(struct calls *c, int reg)
{
	if (nr_uses == ARRAY_SIZE(uses)) {
		E(MOV_IMM(reg, 0));
		return;
	}
	uses[nr_uses].at = cnt;
	uses[nr_uses++].n = 1 + below(&c->rng, 2);
	E(LD_IMM64_RAW(reg, BPF_PSEUDO_FUNC, 0, 0));
}

static void call(struct calls *c, u32 row)
{
	const struct helper *h = &helpers[row];
	int i;

	/* What a helper is given of what is held is not there any more, or may be. */
	for (i = 4; i >= 0; i--)
		calls_argument(c, R1 + i, h->arg[i]);
	E(INSN(BPF_JMP | BPF_CALL, 0, 0, 0, h->id));
	if (h->gives != NOTHING)
		E(JMP_IMM(BPF_JEQ, R0, 0, 1), STX(BPF_DW, R7, R0, HELD + 8 * h->gives));
	if (h->id != BPF_FUNC_spin_lock && h->id != BPF_FUNC_spin_unlock)
		E(STX(BPF_DW, R7, R0, RESULTS + 8 * below(&c->rng, NR_RESULTS)));
	E(MOV_IMM(R1, 1), ATOMIC(BPF_DW, BPF_ADD, R7, R1, COUNTS + 8 * (s16)row));
}

static void begin_calls(int own_map)
{
	int i;

	cnt = 0;
	nr_uses = 0;
	E(MOV_REG(R6, R1), LD_MAP_VALUE(R7, own_map, 0));
	for (i = 1; i <= 40; i++)
		E(ST(BPF_DW, R10, -8 * i, i > 4 ? 0x40 : 0));
	/* What a run held is nothing to the next. */
	for (i = 0; i < NOTHING; i++)
		E(ST(BPF_DW, R7, HELD + 8 * i, 0));
}

/* Function 1 does nothing, 2 calls helpers itself. */
static void end_calls(struct calls *c, const struct prog_type *t)
{
	bool used[3] = {};
	int i;

	E(MOV_IMM(R0, t->pass), EXIT());
	for (i = 0; i < nr_uses; i++)
		used[uses[i].n] = true;
	start[1] = used[1] ? cnt : 0;
	if (used[1])
		E(MOV_IMM(R0, 0), EXIT());
	start[2] = used[2] ? cnt : 0;
	if (used[2])
		E(MOV_REG(R6, R2), LOOK_UP_0(c->map[HASH]),
		  JMP_IMM(BPF_JEQ, R0, 0, 2), MOV_IMM(R1, 1), ATOMIC(BPF_DW, BPF_ADD, R0, R1, 0),
		  CALL(ktime_get_ns), MOV_IMM(R0, 0), EXIT());
	for (i = 0; i < nr_uses; i++)
		insns[uses[i].at].imm = start[uses[i].n] - uses[i].at - 1;
}

/* What has to have been called before */
static void before(struct calls *c, u32 row)
{
	u32 i;

	for (i = 0; i < nr_helpers; i++) {
		const enum kind *arg = helpers[row].arg;
		enum kind needs = arg[0];

		if (((needs == DYNPTR || arg[2] == DYNPTR) &&
		     helpers[i].id == (strstr(helpers[row].name, "ringbuf") ?
				       BPF_FUNC_ringbuf_reserve_dynptr : BPF_FUNC_dynptr_from_mem)) ||
		    (needs == REC && helpers[i].id == BPF_FUNC_ringbuf_reserve) ||
		    ((needs == SOCK || arg[1] == SOCK) &&
		     helpers[i].id == BPF_FUNC_sk_lookup_tcp) ||
		    (helpers[row].id == BPF_FUNC_spin_unlock && helpers[i].id == BPF_FUNC_spin_lock))
			call(c, i);
	}
}

static void after(struct calls *c, u32 row)
{
	u32 i;

	for (i = 0; i < nr_helpers; i++)
		if (helpers[row].id == BPF_FUNC_spin_lock && helpers[i].id == BPF_FUNC_spin_unlock)
			call(c, i);
}

void calls_one(struct calls *c, const struct prog_type *t, int own_map, u32 row)
{
	u32 worst = c->worst;

	c->worst = 0;
	begin_calls(own_map);
	before(c, row);
	call(c, row);
	after(c, row);
	end_calls(c, t);
	c->worst = worst;
}

void calls_random(struct calls *c, const struct prog_type *t, int own_map, const bool *may)
{
	u32 n = 1 + below(&c->rng, 10), row;

	begin_calls(own_map);
	if (one_in(&c->rng, 4)) {
		E(ST(BPF_W, R10, -8, 0), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -8),
		  LD_MAP_FD(R1, c->map[OUTER]), CALL(map_lookup_elem),
		  STX(BPF_DW, R7, R0, HELD + 8 * MAP_HELD));
	}
	while (n--) {
		do
			row = below(&c->rng, nr_helpers);
		while (!may[row]);
		if (!one_in(&c->rng, 6))
			before(c, row);
		call(c, row);
		if (!one_in(&c->rng, 6))
			after(c, row);
	}
	end_calls(c, t);
}

void calls_tell(void)
{
	const struct bpf_insn *insn;
	u32 row;

	for (insn = insns; insn < insns + cnt; insn++) {
		for (row = 0; row < nr_helpers; row++)
			if (insn->code == (BPF_JMP | BPF_CALL) && !insn->src_reg &&
			    (u32)insn->imm == helpers[row].id)
				break;
		diag("%3ld: %02x r%d r%d %+d %#x %s", insn - insns, insn->code, insn->dst_reg,
		     insn->src_reg, insn->off, insn->imm, row < nr_helpers ? helpers[row].name : "");
	}
}

/* Types for a program's functions; one object for all programs */
static int functions_btf(u32 *main_id, u32 *function_id)
{
	static u32 ids[2];
	static int fd = -1;
	struct btf *btf;
	int word, proto;

	if (fd < 0) {
		btf = btf__new_empty();
		word = btf__add_int(btf, "long", 8, BTF_INT_SIGNED);
		proto = btf__add_func_proto(btf, word);
		ids[0] = btf__add_func(btf, "main", BTF_FUNC_STATIC, proto);
		ids[1] = btf__add_func(btf, "f", BTF_FUNC_STATIC, proto);
		fd = btf_load(btf);
	}
	*main_id = ids[0];
	*function_id = ids[1];
	return fd;
}

int calls_load(const struct prog_type *t)
{
	union bpf_attr attr = {
		.prog_type = t->type, .insns = (uintptr_t)insns, .insn_cnt = cnt,
		.license = (uintptr_t)"GPL",
	};
	struct bpf_func_info info[3] = {};
	u32 main_id, function_id, n = 1, i;

	if (nr_uses) {
		attr.prog_btf_fd = functions_btf(&main_id, &function_id);
		info[0].type_id = main_id;
		for (i = 1; i < ARRAY_SIZE(start); i++) {
			if (!start[i])
				continue;
			info[n].type_id = function_id;
			info[n++].insn_off = start[i];
		}
		attr.func_info = (uintptr_t)info;
		attr.func_info_cnt = n;
		attr.func_info_rec_size = sizeof(info[0]);
	}
	strcpy(attr.prog_name, "calls");
	return syscall(__NR_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}
