// SPDX-License-Identifier: GPL-2.0
#include "classic.h"
#include "rng.h"

u32 classic_rand(u64 *seed)
{
	return any(seed) >> 16;
}

static u32 smaller(u64 *seed, u32 n)
{
	return classic_rand(seed) % n;
}

void classic_add(struct classic *c, struct sock_filter insn)
{
	if (c->n == CLASSIC_MAX)
		bail("a filter of too many instructions");
	c->insns[c->n++] = insn;
}

/* Numbers at which something may change */
static u32 number(u64 *seed)
{
	static const u32 edges[] = {
		0, 1, 2, 31, 32, 33, 63, 64, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000,
		0x7fffffff, 0x80000000, 0x80000001, 0xfffffffe, 0xffffffff,
	};

	switch (smaller(seed, 3)) {
	case 0: return edges[smaller(seed, ARRAY_SIZE(edges))];
	case 1: return smaller(seed, 256);
	default: return classic_rand(seed);
	}
}

/* Where to load from: mostly where something is, and around where that ends */
static u32 offset(u64 *seed, u32 len)
{
	switch (smaller(seed, 16)) {
	case 0: return len - 6 + smaller(seed, 12);
	case 1: return SKF_NET_OFF + smaller(seed, len + 8);
	case 2: return SKF_LL_OFF + smaller(seed, len + 8);
	case 3: return number(seed);
	default: return smaller(seed, len);
	}
}

/* What is the same each time */
static u32 extension(u64 *seed)
{
	u32 off;

	do {
		off = 4 * smaller(seed, SKF_AD_MAX / 4);
	} while (off == SKF_AD_RANDOM);
	return SKF_AD_OFF + off;
}

static struct sock_filter load(u64 *seed, u32 len)
{
	static const u16 sizes[] = { BPF_B, BPF_H, BPF_W };
	u16 size = sizes[smaller(seed, 3)];

	switch (smaller(seed, 8)) {
	case 0: return C(BPF_LD | size | BPF_IND, number(seed));
	case 1: return C(BPF_LD | size | BPF_IND, offset(seed, len));
	case 2: return C(BPF_LDX | BPF_B | BPF_MSH, offset(seed, len));
	case 3: return C(BPF_LD | size | BPF_ABS, extension(seed));
	case 4: return C(BPF_LD | BPF_W | BPF_LEN, 0);
	case 5: return C(BPF_LDX | BPF_W | BPF_LEN, 0);
	default: {
		u32 off = offset(seed, len);

		/* No others may be said so. */
		return C(BPF_LD | size | BPF_ABS, off >= (u32)SKF_AD_OFF ? len : off);
	}
	}
}

static struct sock_filter load_data(u64 *seed)
{
	switch (smaller(seed, 8)) {
	case 0: return C(BPF_LD | BPF_W | BPF_LEN, 0);
	case 1: return C(BPF_LDX | BPF_W | BPF_LEN, 0);
	default: return C(BPF_LD | BPF_W | BPF_ABS, 4 * smaller(seed, 16));
	}
}

static struct sock_filter arithmetic(u64 *seed, bool seccomp)
{
	static const u16 ops[] = {
		BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_AND, BPF_OR, BPF_XOR, BPF_LSH, BPF_RSH,
		BPF_NEG, BPF_MOD,
	};
	u16 op = ops[smaller(seed, ARRAY_SIZE(ops) - seccomp)];
	u32 k = number(seed);

	if (op == BPF_NEG)
		return C(BPF_ALU | op, 0);
	if (smaller(seed, 2))
		return C(BPF_ALU | op | BPF_X, 0);
	if (op == BPF_LSH || op == BPF_RSH)
		k %= 32;
	if (op == BPF_DIV || op == BPF_MOD)
		k = k ?: 7;
	return C(BPF_ALU | op | BPF_K, k);
}

/* Over at most @left instructions */
static struct sock_filter jump(u64 *seed, u32 left)
{
	static const u16 ops[] = { BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET };
	u16 code = BPF_JMP | ops[smaller(seed, 4)] | (smaller(seed, 2) ? BPF_X : BPF_K);
	u32 most = left < 255 ? left : 255;

	if (!smaller(seed, 5))
		return C(BPF_JMP | BPF_JA, smaller(seed, left + 1));
	return CJ(code, number(seed), smaller(seed, most + 1), smaller(seed, most + 1));
}

static struct sock_filter move(u64 *seed)
{
	u32 cell = smaller(seed, CELLS);

	switch (smaller(seed, 8)) {
	case 0: return C(BPF_ST, cell);
	case 1: return C(BPF_STX, cell);
	case 2: return C(BPF_LD | BPF_MEM, cell);
	case 3: return C(BPF_LDX | BPF_MEM, cell);
	case 4: return C(BPF_LD | BPF_IMM, number(seed));
	case 5: return C(BPF_LDX | BPF_IMM, number(seed));
	case 6: return C(BPF_MISC | BPF_TAX, 0);
	default: return C(BPF_MISC | BPF_TXA, 0);
	}
}

void classic_random(struct classic *c, u64 *seed, u32 body, u32 len, bool seccomp)
{
	u32 cell, end;

	/* All of the cells: jumps are not to go past the only store to one. */
	for (cell = 0; cell < CELLS; cell++) {
		if (smaller(seed, 2))
			classic_add(c, C(BPF_LD | BPF_IMM, number(seed)));
		classic_add(c, C(smaller(seed, 2) ? BPF_ST : BPF_STX, cell));
	}
	for (end = c->n + body; c->n < end; ) {
		u32 left = end - c->n - 1;

		if (!seccomp && !smaller(seed, 40)) {
			classic_add(c, smaller(seed, 2) ? C(BPF_RET | BPF_A, 0) :
							C(BPF_RET | BPF_K, number(seed)));
			continue;
		}
		switch (smaller(seed, 8)) {
		case 0:
		case 1:
		case 2:
			classic_add(c, seccomp ? load_data(seed) : load(seed, len));
			break;
		case 3:
		case 4:
			classic_add(c, arithmetic(seed, seccomp));
			break;
		case 5:
			classic_add(c, jump(seed, left));
			break;
		default:
			classic_add(c, move(seed));
		}
	}
}
