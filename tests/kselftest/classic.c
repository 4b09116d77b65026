// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <linux/netlink.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "classic.h"

/* Of any offset and size, as much as there is no memory for. */
#define GUARD ((1UL << 32) + 4096)

static sigjmp_buf beyond;

static void on_fault(int sig)
{
	siglongjmp(beyond, 1);
}

/* @len bytes just before the guard */
static u8 *guarded(const void *bytes, u32 len)
{
	size_t room = (len + 4095) & ~4095UL;
	u8 *p = mmap(NULL, room + GUARD, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED || (room && mprotect(p, room, PROT_READ | PROT_WRITE)))
		bail("no guarded memory: %s", strerror(errno));
	return memcpy(p + room - len, bytes, len);
}

static void unguard(const u8 *bytes, u32 len)
{
	size_t room = (len + 4095) & ~4095UL;

	munmap((void *)(bytes + len - room), room + GUARD);
}

struct classic_input classic_input(const void *bytes, u32 len, u32 reach)
{
	const struct sigaction fault = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };

	sigaction(SIGSEGV, &fault, NULL);
	return (struct classic_input){
		.bytes = guarded(bytes, len), .len = len,
		.piece = guarded(bytes, reach), .reach = reach,
	};
}

void classic_input_set(struct classic_input *in, const void *bytes)
{
	memcpy((void *)in->bytes, bytes, in->len);
	memcpy((void *)in->piece, bytes, in->reach);
}

void classic_input_free(struct classic_input *in)
{
	unguard(in->bytes, in->len);
	unguard(in->piece, in->reach);
}

static u32 load(const u8 *at, u32 size)
{
	volatile const u8 *p = at;
	u32 value = 0;

	while (size--)
		value = value << 8 | *p++;
	return value;
}

/* Attribute of type @type in what is from @at on, or 0 */
static u32 attribute(const struct classic_input *in, u32 at, u32 end, u32 type)
{
	struct nlattr attr;

	while (end >= at && end - at >= sizeof(attr)) {
		memcpy(&attr, in->bytes + at, sizeof(attr));
		if (attr.nla_len < sizeof(attr) || attr.nla_len > end - at)
			break;
		if ((attr.nla_type & NLA_TYPE_MASK) == type)
			return at;
		if (end - at < (u32)NLA_ALIGN(attr.nla_len))
			break;
		at += NLA_ALIGN(attr.nla_len);
	}
	return 0;
}

static u32 nested(const struct classic_input *in, u32 a, u32 x)
{
	struct nlattr attr;

	memcpy(&attr, in->bytes + a, sizeof(attr));
	if (attr.nla_len < sizeof(attr) || attr.nla_len > in->len - a)
		return 0;
	return attribute(in, a + sizeof(attr), a + attr.nla_len, x);
}

/* The extensions, and what they give of such a packet; false: it ends with A. */
static bool extension(const struct classic_input *in, u32 k, u32 *a, u32 x)
{
	bool attrs = !in->parts && in->len >= sizeof(struct nlattr) &&
		     *a <= in->len - sizeof(struct nlattr);

	switch (k - SKF_AD_OFF) {
	case SKF_AD_IFINDEX:
	case SKF_AD_HATYPE:
		return false;
	case SKF_AD_ALU_XOR_X:
		*a ^= x;
		return true;
	case SKF_AD_NLATTR:
		*a = attrs ? attribute(in, *a, in->len, x) : 0;
		return true;
	case SKF_AD_NLATTR_NEST:
		*a = attrs ? nested(in, *a, x) : 0;
		return true;
	default:
		*a = 0;
		return true;
	}
}

static bool is_extension(u32 k)
{
	return k >= (u32)SKF_AD_OFF && k - SKF_AD_OFF <= SKF_AD_VLAN_TPID && !(k & 3);
}

/* Where @size bytes at offset @k are; they may not be there. */
static const u8 *place(const struct classic_input *in, u32 k, u32 size)
{
	static const u8 *nowhere;

	if (!nowhere)
		nowhere = guarded("", 0);
	if (!(k >> 31))
		return in->bytes + k;
	if (k >= (u32)SKF_NET_OFF)
		return in->piece + (k - SKF_NET_OFF);
	return nowhere;
}

static bool alu(u16 code, u32 *a, u32 by)
{
	switch (BPF_OP(code)) {
	case BPF_ADD: *a += by; break;
	case BPF_SUB: *a -= by; break;
	case BPF_MUL: *a *= by; break;
	case BPF_DIV:
		if (!by)
			return false;
		*a /= by;
		break;
	case BPF_MOD:
		if (!by)
			return false;
		*a %= by;
		break;
	case BPF_AND: *a &= by; break;
	case BPF_OR: *a |= by; break;
	case BPF_XOR: *a ^= by; break;
	/* The processor's shifts, which have five bits for how far */
	case BPF_LSH: *a <<= by & 31; break;
	case BPF_RSH: *a >>= by & 31; break;
	case BPF_NEG: *a = -*a; break;
	}
	return true;
}

static bool holds(u16 code, u32 a, u32 by)
{
	switch (BPF_OP(code)) {
	case BPF_JEQ: return a == by;
	case BPF_JGT: return a > by;
	case BPF_JGE: return a >= by;
	default: return a & by;
	}
}

static __attribute__((noinline)) u32 run(const struct sock_filter *insns, u32 n,
					  const struct classic_input *in)
{
	u32 cells[CELLS] = {}, a = 0, x = 0, pc, size, k;

	for (pc = 0; pc < n; pc++) {
		u16 code = insns[pc].code;

		k = insns[pc].k;
		size = BPF_SIZE(code) == BPF_W ? 4 : BPF_SIZE(code) == BPF_H ? 2 : 1;
		switch (BPF_CLASS(code)) {
		case BPF_LD:
			switch (BPF_MODE(code)) {
			case BPF_IMM: a = k; break;
			case BPF_MEM: a = cells[k]; break;
			case BPF_LEN: a = in->len; break;
			case BPF_IND: a = load(place(in, x + k, size), size); break;
			default:
				if (in->seccomp)
					memcpy(&a, in->bytes + k, 4);
				else if (!is_extension(k))
					a = load(place(in, k, size), size);
				else if (!extension(in, k, &a, x))
					return a;
			}
			break;
		case BPF_LDX:
			switch (BPF_MODE(code)) {
			case BPF_IMM: x = k; break;
			case BPF_MEM: x = cells[k]; break;
			case BPF_LEN: x = in->len; break;
			default: x = (load(place(in, k, 1), 1) & 0xf) * 4;
			}
			break;
		case BPF_ST:
			cells[k] = a;
			break;
		case BPF_STX:
			cells[k] = x;
			break;
		case BPF_ALU:
			if (!alu(code, &a, BPF_SRC(code) == BPF_X ? x : k))
				return 0;
			break;
		case BPF_JMP:
			if (BPF_OP(code) == BPF_JA)
				pc += k;
			else if (holds(code, a, BPF_SRC(code) == BPF_X ? x : k))
				pc += insns[pc].jt;
			else
				pc += insns[pc].jf;
			break;
		case BPF_RET:
			return BPF_RVAL(code) == BPF_A ? a : k;
		default:
			if (BPF_MISCOP(code) == BPF_TAX)
				x = a;
			else
				a = x;
		}
	}
	bail("a filter without an end");
}

u32 classic_run(const struct sock_filter *insns, u32 n, const struct classic_input *in)
{
	/* What is not there to be loaded ends the filter. */
	return sigsetjmp(beyond, 0) ? 0 : run(insns, n, in);
}

/* Codes that there are; of seccomp's filters, those that it takes */
static bool known(u16 code, bool seccomp)
{
	static const u16 codes[] = {
		BPF_LD | BPF_W | BPF_ABS, BPF_LD | BPF_W | BPF_LEN, BPF_LD | BPF_IMM,
		BPF_LD | BPF_MEM, BPF_LDX | BPF_W | BPF_LEN, BPF_LDX | BPF_IMM, BPF_LDX | BPF_MEM,
		BPF_ST, BPF_STX, BPF_ALU | BPF_NEG, BPF_JMP | BPF_JA, BPF_RET | BPF_K,
		BPF_RET | BPF_A, BPF_MISC | BPF_TAX, BPF_MISC | BPF_TXA,
	}, sockets[] = {
		BPF_LD | BPF_H | BPF_ABS, BPF_LD | BPF_B | BPF_ABS, BPF_LD | BPF_W | BPF_IND,
		BPF_LD | BPF_H | BPF_IND, BPF_LD | BPF_B | BPF_IND, BPF_LDX | BPF_B | BPF_MSH,
		BPF_ALU | BPF_MOD | BPF_K, BPF_ALU | BPF_MOD | BPF_X,
	};
	static const u16 binary[] = {
		BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_AND, BPF_OR, BPF_XOR, BPF_LSH, BPF_RSH,
	}, compare[] = { BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(codes); i++)
		if (code == codes[i])
			return true;
	for (i = 0; !seccomp && i < ARRAY_SIZE(sockets); i++)
		if (code == sockets[i])
			return true;
	for (i = 0; i < ARRAY_SIZE(binary); i++)
		if ((code & ~BPF_X) == (BPF_ALU | binary[i]))
			return true;
	for (i = 0; i < ARRAY_SIZE(compare); i++)
		if ((code & ~BPF_X) == (BPF_JMP | compare[i]))
			return true;
	return false;
}

static bool operand_ok(const struct sock_filter *insn, u32 left, bool seccomp)
{
	switch (insn->code) {
	case BPF_ALU | BPF_DIV | BPF_K:
	case BPF_ALU | BPF_MOD | BPF_K:
		return insn->k;
	case BPF_ALU | BPF_LSH | BPF_K:
	case BPF_ALU | BPF_RSH | BPF_K:
		return insn->k < 32;
	case BPF_LD | BPF_MEM:
	case BPF_LDX | BPF_MEM:
	case BPF_ST:
	case BPF_STX:
		return insn->k < CELLS;
	case BPF_JMP | BPF_JA:
		return insn->k < left;
	case BPF_LD | BPF_W | BPF_ABS:
		if (seccomp)
			return insn->k < 64 && !(insn->k & 3);
		/* fall through */
	case BPF_LD | BPF_H | BPF_ABS:
	case BPF_LD | BPF_B | BPF_ABS:
		return insn->k < (u32)SKF_AD_OFF || is_extension(insn->k);
	}
	return BPF_CLASS(insn->code) != BPF_JMP || (insn->jt < left && insn->jf < left);
}

bool classic_valid(const struct sock_filter *insns, u32 n, bool seccomp)
{
	/* Cells that every path to an instruction has stored to */
	u16 *set = malloc(n * sizeof(*set)), now = 0;
	bool valid = true;
	u32 pc, to;

	memset(set, 0xff, n * sizeof(*set));
	for (pc = 0; valid && pc < n; pc++) {
		const struct sock_filter *insn = &insns[pc];

		valid = known(insn->code, seccomp) && operand_ok(insn, n - pc - 1, seccomp);
		if (!valid)
			break;
		now &= set[pc];
		if (insn->code == BPF_ST || insn->code == BPF_STX)
			now |= 1 << insn->k;
		if (insn->code == (BPF_LD | BPF_MEM) || insn->code == (BPF_LDX | BPF_MEM))
			valid = now >> insn->k & 1;
		if (BPF_CLASS(insn->code) != BPF_JMP)
			continue;
		to = pc + 1;
		if (BPF_OP(insn->code) == BPF_JA) {
			set[to + insn->k] &= now;
		} else {
			set[to + insn->jt] &= now;
			set[to + insn->jf] &= now;
		}
		now = 0xffff;
	}
	free(set);
	return valid && BPF_CLASS(insns[n - 1].code) == BPF_RET;
}
