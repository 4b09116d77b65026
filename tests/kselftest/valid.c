// SPDX-License-Identifier: GPL-2.0
#include <string.h>
#include "valid.h"

const struct prog_type *const valid_types[4] = { &xdp, &sched_cls, &socket_filter, &cgroup_skb };

/* A program has at most so many instructions when it begins another step. */
#define FULL 700

/* Functions by their numbers; one may call the one behind it. */
enum { LOOP_CALLBACK = 1, ELEMENT_CALLBACK, FUNCTION, LEAF };

void mix(int reg)
{
	E(ALU64_IMM(BPF_MUL, R7, 16777619), ALU64_REG(BPF_XOR, R7, reg));
}

int jump(struct bpf_insn insn)
{
	E(insn);
	return cnt - 1;
}

void land(int at)
{
	insns[at].off = cnt - at - 1;
}

void number(struct valid *v, int reg)
{
	switch (below(&v->rng, 4)) {
	case 0:
		E(MOV_REG(reg, R7));
		break;
	case 1:
		E(MOV_REG(reg, R8));
		break;
	case 2:
		E(LD_IMM64(reg, any(&v->rng) >> below(&v->rng, 64)));
		break;
	default:
		E(MOV_IMM(reg, PICK(&v->rng, 0, 1, 2, -1, 7, 8, 255, 256, 0x7fffffff, -0x7fffffff)));
	}
}

void small(struct valid *v, int reg, u32 mask)
{
	if (one_in(&v->rng, 2))
		E(MOV_IMM(reg, below(&v->rng, mask + 1)));
	else
		E(MOV_REG(reg, one_in(&v->rng, 2) ? R7 : R8), ALU64_IMM(BPF_AND, reg, mask));
}

void fill_value(struct valid *v)
{
	int i;

	for (i = 0; i < 8; i++) {
		if (one_in(&v->rng, 2))
			E(ST(BPF_DW, R10, VALUE_AT + 8 * i, below(&v->rng, 256)));
		else
			E(STX(BPF_DW, R10, one_in(&v->rng, 2) ? R7 : R8, VALUE_AT + 8 * i));
	}
}

int any_size(struct valid *v)
{
	return PICK(&v->rng, BPF_B, BPF_H, BPF_W, BPF_DW, BPF_DW);
}

int size_within(struct valid *v, u32 bytes)
{
	int size;

	do {
		size = any_size(v);
	} while (bytes_of(size) > bytes);
	return size;
}

u32 bytes_of(int size)
{
	return size == BPF_B ? 1 : size == BPF_H ? 2 : size == BPF_W ? 4 : 8;
}

static void call_function(struct valid *v, int n)
{
	v->called |= 1 << n;
	emit_call(n);
}

static void address_of_function(struct valid *v, int reg, int n)
{
	v->called |= 1 << n;
	emit_function(reg, n);
}

/* Numbers */

static void arithmetic(struct valid *v)
{
	static const u8 ops[] = {
		BPF_ADD, BPF_SUB, BPF_MUL, BPF_OR, BPF_AND, BPF_XOR, BPF_DIV, BPF_MOD, BPF_LSH, BPF_RSH,
		BPF_ARSH, BPF_MOV, BPF_NEG, BPF_END,
	};
	u8 op = ops[below(&v->rng, ARRAY_SIZE(ops))], dst = one_in(&v->rng, 2) ? R7 : R8;
	u8 src = R7 + R8 - dst;
	bool wide = one_in(&v->rng, 2), shift = op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH;
	s32 imm = shift ? below(&v->rng, wide ? 64 : 32) : (s32)(any(&v->rng) >> below(&v->rng, 32)) | 1;

	if (op == BPF_END)
		E(INSN(BPF_ALU | BPF_END | (one_in(&v->rng, 2) ? BPF_TO_BE : BPF_TO_LE), dst, 0, 0,
		       PICK(&v->rng, 16, 32, 64)));
	else if (op == BPF_NEG)
		E(INSN((wide ? BPF_ALU64 : BPF_ALU) | BPF_NEG, dst, 0, 0, 0));
	else if (one_in(&v->rng, 2))
		E(INSN((wide ? BPF_ALU64 : BPF_ALU) | op | BPF_K, dst, 0, 0, imm));
	else if (!shift)
		E(INSN((wide ? BPF_ALU64 : BPF_ALU) | op | BPF_X, dst, src, 0, 0));
	else
		E(MOV_REG(R1, src), ALU64_IMM(BPF_AND, R1, wide ? 63 : 31),
		  INSN((wide ? BPF_ALU64 : BPF_ALU) | op | BPF_X, dst, R1, 0, 0));
}

static void words(struct valid *v)
{
	int size = any_size(v), n = below(&v->rng, NR_WORDS);
	s16 at = WORD(n) + below(&v->rng, 8 / bytes_of(size)) * bytes_of(size);

	if (one_in(&v->rng, 2))
		E(STX(size, R10, one_in(&v->rng, 2) ? R7 : R8, at));
	else if (one_in(&v->rng, 3))
		E(ST(size, R10, at, any(&v->rng)));
	E(LDX(size, R1, R10, at));
	mix(R1);
}

static void atomics(struct valid *v)
{
	int size = one_in(&v->rng, 2) ? BPF_W : BPF_DW;
	int op = PICK(&v->rng, BPF_ADD, BPF_OR, BPF_AND, BPF_XOR, BPF_ADD | BPF_FETCH,
		      BPF_XOR | BPF_FETCH, BPF_AND | BPF_FETCH, BPF_XCHG, BPF_CMPXCHG);

	E(MOV_REG(R1, R8), MOV_REG(R0, R7), ATOMIC(size, op, R10, R1, WORD(below(&v->rng, NR_WORDS))));
	if (op == BPF_CMPXCHG)
		mix(R0);
	else
		mix(R1);
}

static void steps(struct valid *v, u32 n);

static void branch(struct valid *v)
{
	int op = PICK(&v->rng, BPF_JEQ, BPF_JNE, BPF_JGT, BPF_JGE, BPF_JLT, BPF_JLE, BPF_JSGT, BPF_JSGE,
		      BPF_JSLT, BPF_JSLE, BPF_JSET);
	int class = one_in(&v->rng, 2) ? BPF_JMP : BPF_JMP32, at, end;

	if (v->depth >= 3)
		return;
	small(v, R1, 15);
	if (one_in(&v->rng, 2))
		at = jump(INSN(class | op | BPF_K, R1, 0, 0, below(&v->rng, 16)));
	else
		at = jump(INSN(class | op | BPF_X, R1, R8, 0, 0));
	v->depth++;
	steps(v, 1 + below(&v->rng, 3));
	if (one_in(&v->rng, 2)) {
		end = jump(JA(0));
		land(at);
		at = end;
		steps(v, 1 + below(&v->rng, 2));
	}
	land(at);
	v->depth--;
}

static void loop(struct valid *v)
{
	int top, i;

	E(MOV_IMM(R9, 1 + below(&v->rng, 5)));
	top = cnt;
	for (i = below(&v->rng, 3); i >= 0; i--) {
		if (one_in(&v->rng, 2))
			arithmetic(v);
		else
			words(v);
	}
	E(ALU64_IMM(BPF_SUB, R9, 1), JMP_IMM(BPF_JNE, R9, 0, top - cnt - 2));
}

/* Functions */

static void local_call(struct valid *v)
{
	int n = v->in_main && one_in(&v->rng, 2) ? FUNCTION : LEAF;

	if (!v->functions || v->in_leaf)
		return;
	E(MOV_REG(R1, R6), MOV_REG(R2, R7), MOV_REG(R3, R8));
	call_function(v, n);
	mix(R0);
}

/* The function is given the address of our words. */
static void loop_call(struct valid *v)
{
	if (!v->functions || !v->in_main)
		return;
	E(MOV_IMM(R1, below(&v->rng, 12)));
	address_of_function(v, R2, LOOP_CALLBACK);
	E(ADDRESS(R3, R10, WORD(NR_WORDS - 1)), MOV_IMM(R4, one_in(&v->rng, 8)), CALL(loop));
	mix(R0);
}

static void each_element(struct valid *v)
{
	int map = PICK(&v->rng, V_ARRAY, V_HASH, V_LRU, V_DEMAND, V_PERCPU_ARRAY, V_PERCPU_HASH);

	if (!v->functions || !v->in_main)
		return;
	E(LD_MAP_FD(R1, v->map[map]));
	address_of_function(v, R2, ELEMENT_CALLBACK);
	E(ADDRESS(R3, R10, WORD(NR_WORDS - 1)), MOV_IMM(R4, 0), CALL(for_each_map_elem));
	mix(R0);
}

static void tail_call(struct valid *v)
{
	/* Not from the midst of a chain of 33, which each of them would branch from. */
	if (!one_in(&v->rng, 3))
		return;
	E(MOV_REG(R1, R6), LD_MAP_FD(R2, v->map[V_PROGS + v->type]), MOV_IMM(R3, below(&v->rng, 5)),
	  CALL(tail_call));
}

static const struct step own_steps[] = {
	STEP(arithmetic, V_ALL, 10, EVERYWHERE), STEP(words, V_ALL, 5, EVERYWHERE),
	STEP(atomics, V_ALL, 2, EVERYWHERE), STEP(branch, V_ALL, 8, EVERYWHERE),
	STEP(loop, V_ALL, 2, EVERYWHERE), STEP(local_call, V_ALL, 4, CONTEXT),
	STEP(loop_call, V_ALL, 3, MAIN), STEP(each_element, V_ALL, 3, MAIN),
	STEP(tail_call, V_ALL, 2, MAIN),
};

static bool fits(const struct valid *v, const struct step *s)
{
	return s->types & 1 << v->type && (s->where != CONTEXT || v->has_context) &&
	       (s->where != MAIN || (v->in_main && v->has_context));
}

static struct {
	const struct step *steps;
	u32 nr, tried;		/* a bit each */
} tables[] = {
	{ own_steps, ARRAY_SIZE(own_steps), 0 }, { map_steps, 0, 0 }, { packet_steps, 0, 0 },
};

/* Emits the one at @n of all that fit, by weight; or returns how much they weigh. */
static u32 step(struct valid *v, s64 n)
{
	u32 t, i, sum = 0;

	tables[1].nr = nr_map_steps;
	tables[2].nr = nr_packet_steps;
	for (t = 0; t < ARRAY_SIZE(tables); t++) {
		for (i = 0; i < tables[t].nr; i++) {
			const struct step *s = &tables[t].steps[i];
			int began = cnt;

			if (!fits(v, s))
				continue;
			sum += s->weight;
			if (n >= sum)
				continue;
			s->emit(v);
			if (cnt != began)
				tables[t].tried |= 1 << i;
			return 0;
		}
	}
	return sum;
}

const char *valid_untried(void)
{
	for (u32 t = 0; t < ARRAY_SIZE(tables); t++)
		for (u32 i = 0; i < tables[t].nr; i++)
			if (!(tables[t].tried & 1 << i))
				return tables[t].steps[i].name;
	return NULL;
}

static void steps(struct valid *v, u32 n)
{
	u32 all = step(v, 1 << 30);

	while (n-- && cnt < FULL)
		step(v, below(&v->rng, all));
}

static void begin(void)
{
	int i;

	for (i = 0; i < NR_WORDS; i++)
		E(ST(BPF_DW, R10, WORD(i), i));
	E(ST(BPF_DW, R10, KEY_AT, 0), ST(BPF_DW, R10, KEY_AT + 8, 0));
	for (i = 0; i < 8; i++)
		E(ST(BPF_DW, R10, VALUE_AT + 8 * i, 0));
}

/* R1: the context; R2, R3: numbers */
static void function(struct valid *v, int n)
{
	E(MOV_REG(R6, R1), MOV_REG(R7, R2), MOV_REG(R8, R3));
	begin();
	v->has_context = true;
	v->in_leaf = n == LEAF;
	steps(v, 1 + below(&v->rng, 5));
	v->in_leaf = false;
	E(MOV_REG(R0, R7), EXIT());
}

/* @reg: the address of eight words of the caller's */
static void callback(struct valid *v, int reg, int n)
{
	int i;

	E(MOV_REG(R6, reg));
	if (n == LOOP_CALLBACK) {
		E(MOV_REG(R7, R1), MOV_REG(R8, R1));
	} else {
		E(LDX(BPF_W, R7, R2, 0), LDX(BPF_DW, R8, R3, 8));
		if (one_in(&v->rng, 2))
			E(STX(BPF_DW, R3, R7, 16));
	}
	begin();
	v->has_context = false;
	steps(v, 1 + below(&v->rng, 4));
	i = 8 * below(&v->rng, NR_WORDS);
	E(LDX(BPF_DW, R1, R6, i), ALU64_REG(BPF_ADD, R1, R7), STX(BPF_DW, R6, R1, i));
	/* Whether to stop */
	i = jump(JMP_IMM(BPF_JEQ, R8, below(&v->rng, 16), 0));
	E(MOV_IMM(R0, 0), EXIT());
	land(i);
	E(MOV_IMM(R0, 1), EXIT());
}

void valid_build(struct valid *v)
{
	const struct prog_type *t = valid_types[v->type];
	u32 i;
	int at;

	cnt = 0;
	v->called = v->depth = 0;
	v->functions = one_in(&v->rng, 2);
	v->has_context = v->in_main = true;
	E(MOV_REG(R6, R1), LD_MAP_VALUE(R1, v->map[V_SEEN], 0), LDX(BPF_DW, R7, R1, 0),
	  LDX(BPF_DW, R8, R1, 8));
	begin();
	steps(v, 3 + below(&v->rng, 14));
	for (i = 0; i < NR_WORDS; i++) {
		E(LDX(BPF_DW, R1, R10, WORD(i)));
		mix(R1);
	}
	E(LD_MAP_VALUE(R1, v->map[V_SEEN], 0), STX(BPF_DW, R1, R7, 0), STX(BPF_DW, R1, R8, 8),
	  MOV_IMM(R0, t->pass));
	at = jump(JMP_IMM(BPF_JSET, R7, 1, 0));
	E(MOV_IMM(R0, t->safe));
	land(at);
	E(EXIT());
	v->in_main = false;
	for (i = LOOP_CALLBACK; i <= LEAF; i++) {
		if (!(v->called & 1 << i))
			continue;
		begin_function(i);
		if (i <= ELEMENT_CALLBACK)
			callback(v, i == LOOP_CALLBACK ? R2 : R4, i);
		else
			function(v, i);
	}
}
