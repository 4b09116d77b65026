// SPDX-License-Identifier: GPL-2.0
/*
 * Scripts of helper calls. Half of the arguments are such that the helper does
 * something, the others as bad as can be; what has been done before is remembered
 * roughly, and the same thing is done several times in a row now and then.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <string.h>
#include "fuzz.h"

int ifindexes[16], nr_ifindexes;

u64 seed_of(u64 seed, u64 worker, u64 n)
{
	u64 rng = seed ^ worker << 56 ^ n << 8;

	return any(&rng);
}

/* What is known of the packet, more or less. */
struct guess {
	s64 len, room;
};

static s64 worst(u64 *rng, const struct guess *g)
{
	switch (below(rng, 8)) {
	case 0:
		return PICK(rng, 0, 1, -1, 2, -2, 8, 13, 14, 15, 18, 20, 28, 34, 40, 54, 60);
	case 1:
		return PICK(rng, 0x7f, 0x80, 0xff, 0x100, 0xfff, 0x1000, -0xfff, -0x1000, 0x7fff,
			    0x8000, 0xfffe, 0xffff, 0x10000, -0x8000, -0xffff, -0x10000);
	case 2:
		return PICK(rng, 0x7fffffff, 0x80000000, 0xffffffff, -0x80000000LL, 0x100000000LL,
			    0x7fffffffffffffffLL, 0x8000000000000000LL, 0xfffffff0,
			    0x7ffffff0, 0x7fff0000, 0xffff0000);
	case 3:
		return g->len + PICK(rng, -60, -40, -20, -14, -2, -1, 0, 1, 2, 14, 20);
	case 4:
		return -g->len + PICK(rng, -14, -1, 0, 1, 14, 20, 34);
	case 5:
		return PICK(rng, 1, -1) * (g->room + PICK(rng, -48, -40, -32, -2, -1, 0, 1, 2, 14));
	case 6:
		return 0x10000 - g->len + PICK(rng, -14, -1, 0, 1, 14);
	default:
		return any(rng) >> below(rng, 64);
	}
}

static u64 offset(u64 *rng, const struct guess *g)
{
	if (one_in(rng, 4))
		return worst(rng, g);
	return one_in(rng, 3) ? below(rng, g->len + 1) : below(rng, 80);
}

static u64 device(u64 *rng)
{
	if (one_in(rng, 12))
		return any(rng);
	return nr_ifindexes ? ifindexes[below(rng, nr_ifindexes)] : 1;
}

static u64 flags_or(u64 *rng, u64 good)
{
	return one_in(rng, 12) ? any(rng) >> below(rng, 64) : good;
}

static s64 grown(u64 *rng, const struct guess *g)
{
	if (one_in(rng, 4))
		return worst(rng, g);
	if (one_in(rng, 3))
		return PICK(rng, 0x7fc0, 0x7fff, 0x8000, 32704, 0x4000, 0x2000, 104, 0x1000);
	return below(rng, one_in(rng, 2) ? 64 : 300);
}

static u64 room_flags(u64 *rng)
{
	u64 flags = 0;

	if (one_in(rng, 2))
		flags |= PICK(rng, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6);
	if (flags && one_in(rng, 2))
		flags |= PICK(rng, BPF_F_ADJ_ROOM_ENCAP_L4_GRE, BPF_F_ADJ_ROOM_ENCAP_L4_UDP);
	if (flags && one_in(rng, 3))
		flags |= BPF_F_ADJ_ROOM_ENCAP_L2(PICK(rng, 0, 4, 14, 18, 255));
	if (flags && one_in(rng, 4))
		flags |= BPF_F_ADJ_ROOM_ENCAP_L2_ETH;
	if (one_in(rng, 2))
		flags |= BPF_F_ADJ_ROOM_FIXED_GSO;
	if (one_in(rng, 3))
		flags |= BPF_F_ADJ_ROOM_NO_CSUM_RESET;
	return flags_or(rng, flags);
}

static void tc_step(u64 *rng, struct step *s, struct guess *g)
{
	u64 *arg = s->arg;

	switch (s->op) {
	case CHANGE_HEAD:
		arg[0] = grown(rng, g);
		arg[1] = one_in(rng, 20) ? any(rng) : 0;
		if (arg[0] <= 0x10000)
			g->len += arg[0];
		break;
	case CHANGE_TAIL:
		arg[0] = one_in(rng, 3) ? worst(rng, g) : one_in(rng, 2) ? below(rng, 100) :
			 below(rng, 2 * g->len + 64);
		arg[1] = one_in(rng, 20) ? any(rng) : 0;
		if (arg[0] <= 0x10000)
			g->len = arg[0];
		break;
	case CHANGE_PROTO:
		arg[0] = htons(one_in(rng, 2) ? ETH_P_IPV6 : one_in(rng, 12) ? any(rng) : ETH_P_IP);
		arg[1] = one_in(rng, 20) ? any(rng) : 0;
		break;
	case CHANGE_TYPE:
		arg[0] = one_in(rng, 4) ? (s64)any(rng) : below(rng, 5);
		break;
	case ADJUST_ROOM:
		arg[0] = one_in(rng, 4) ? worst(rng, g) :
			 PICK(rng, 1, -1) * PICK(rng, 4, 8, 14, 20, 28, 40, 50, 70, 0xfff, 200,
						 below(rng, 64));
		arg[1] = one_in(rng, 16) ? any(rng) : one_in(rng, 2) ? BPF_ADJ_ROOM_MAC :
			 BPF_ADJ_ROOM_NET;
		arg[2] = (s64)arg[0] < 0 && !one_in(rng, 4) ?
			 (one_in(rng, 2) ? BPF_F_ADJ_ROOM_FIXED_GSO : 0) : room_flags(rng);
		g->len += (s32)arg[0] >= -0xfff && (s32)arg[0] <= 0xfff ? (s32)arg[0] : 0;
		break;
	case VLAN_PUSH:
		arg[0] = htons(PICK(rng, ETH_P_8021Q, ETH_P_8021AD, ETH_P_8021Q, 0, ETH_P_IP));
		arg[1] = below(rng, 4096);
		break;
	case PULL_DATA:
		arg[0] = one_in(rng, 3) ? worst(rng, g) : one_in(rng, 3) ? 0 :
			 below(rng, g->len + 1);
		break;
	case STORE_BYTES:
		arg[0] = offset(rng, g);
		arg[1] = one_in(rng, 2) ? below(rng, 8) : below(rng, 256);
		arg[2] = flags_or(rng, PICK(rng, 0, BPF_F_RECOMPUTE_CSUM, BPF_F_INVALIDATE_HASH));
		break;
	case L3_CSUM:
	case L4_CSUM:
		arg[0] = offset(rng, g);
		arg[1] = any(rng) >> below(rng, 64);
		arg[2] = any(rng) >> below(rng, 64);
		arg[3] = flags_or(rng, PICK(rng, 0, 2, 4, BPF_F_PSEUDO_HDR | 2,
					    BPF_F_MARK_MANGLED_0 | 2, BPF_F_PSEUDO_HDR));
		break;
	case CLONE_REDIRECT:
	case REDIRECT_PEER:
		arg[0] = device(rng);
		arg[1] = flags_or(rng, s->op == CLONE_REDIRECT && one_in(rng, 2) ? BPF_F_INGRESS : 0);
		break;
	case REDIRECT_NEIGH:
		arg[0] = device(rng);
		arg[1] = one_in(rng, 2) ? 0 : PICK(rng, sizeof(struct bpf_redir_neigh), 63);
		arg[2] = flags_or(rng, 0);
		break;
	case CSUM_LEVEL:
		arg[0] = one_in(rng, 8) ? (s64)any(rng) : below(rng, 4);
		break;
	case SET_TUNNEL_KEY:
	case GET_TUNNEL_KEY:
		arg[0] = one_in(rng, 4) ? below(rng, 64) :
			 (s64)sizeof(struct bpf_tunnel_key) - 1;
		arg[1] = flags_or(rng, PICK(rng, 0, BPF_F_TUNINFO_IPV6, BPF_F_ZERO_CSUM_TX,
					    BPF_F_DONT_FRAGMENT, BPF_F_SEQ_NUMBER));
		break;
	case SET_TUNNEL_OPT:
	case GET_TUNNEL_OPT:
		arg[0] = one_in(rng, 4) ? below(rng, 256) : below(rng, 63) * 4 + 3;
		break;
	case SET_TSTAMP:
		arg[0] = one_in(rng, 3) ? 0 : any(rng) >> below(rng, 64);
		arg[1] = one_in(rng, 8) ? (s64)any(rng) : below(rng, 2);
		break;
	case LOAD_RELATIVE:
		arg[0] = offset(rng, g);
		arg[1] = below(rng, 128);
		arg[2] = one_in(rng, 8) ? (s64)any(rng) : below(rng, 2);
		break;
	}
}

static void xdp_step(u64 *rng, struct step *s, struct guess *g)
{
	u64 *arg = s->arg;

	switch (s->op) {
	case ADJUST_HEAD:
		arg[0] = one_in(rng, 3) ? worst(rng, g) : one_in(rng, 2) ? -below(rng, g->room + 1) :
			 PICK(rng, 1, -1) * below(rng, 80);
		if ((s32)arg[0] >= -g->room && (s32)arg[0] <= g->len - 14) {
			g->len -= (s32)arg[0];
			g->room += (s32)arg[0];
		}
		break;
	case ADJUST_META:
		arg[0] = one_in(rng, 3) ? worst(rng, g) : PICK(rng, 4, -4, -8, -16, -32, 32, 8, -28);
		break;
	case ADJUST_TAIL:
		arg[0] = one_in(rng, 3) ? worst(rng, g) :
			 PICK(rng, 1, -1) * below(rng, g->len + 1);
		if ((s32)arg[0] >= -g->len && (s32)arg[0] <= 4096)
			g->len += (s32)arg[0];
		break;
	case XDP_STORE:
		arg[0] = offset(rng, g);
		arg[1] = one_in(rng, 2) ? below(rng, 8) : below(rng, 256);
		break;
	}
}

static void both_step(u64 *rng, struct step *s, struct guess *g)
{
	u64 *arg = s->arg;

	switch (s->op) {
	case REDIRECT:
		arg[0] = device(rng);
		arg[1] = flags_or(rng, one_in(rng, 2) ? BPF_F_INGRESS : 0);
		break;
	case CHECK_MTU:
		arg[0] = one_in(rng, 2) ? 0 : device(rng);
		arg[1] = one_in(rng, 2) ? 0 : worst(rng, g);
		arg[2] = one_in(rng, 2) ? 0 : below(rng, 65536);
		arg[3] = flags_or(rng, below(rng, 2));
		break;
	case LOAD_BYTES:
	case XDP_LOAD:
		arg[0] = offset(rng, g);
		arg[1] = below(rng, 128);
		break;
	case WRITE:
		arg[0] = below(rng, one_in(rng, 2) ? 64 : 256);
		/* Half of them are lengths of headers. */
		arg[1] = one_in(rng, 2) ? below(rng, 0x40) * 0x01010101 :
			 PICK(rng, 0x50505050, 0x60606060, 0x80808080, 0xf0f0f0f0, 0x45454545,
			      0x46464646, 0x4f4f4f4f);
		break;
	case SET_HASH:
	case CSUM_UPDATE:
	case CSUM_DIFF:
	case WRITE_CONTEXT:
		arg[0] = any(rng);
		arg[1] = any(rng);
		break;
	}
}

static const u8 tc_likely[] = {
	CHANGE_HEAD, CHANGE_HEAD, CHANGE_TAIL, CHANGE_PROTO, CHANGE_PROTO, ADJUST_ROOM,
	ADJUST_ROOM, ADJUST_ROOM, VLAN_PUSH, VLAN_POP, PULL_DATA, PULL_DATA, STORE_BYTES,
	LOAD_BYTES, LOAD_RELATIVE, CLONE_REDIRECT, REDIRECT, WRITE,
};
static const u8 xdp_likely[] = {
	ADJUST_HEAD, ADJUST_HEAD, ADJUST_META, ADJUST_META, ADJUST_TAIL, ADJUST_TAIL, XDP_LOAD,
	XDP_STORE, BUFF_LEN, CHECK_MTU, CSUM_DIFF, REDIRECT, LOOK, WRITE,
};

static enum op pick_op(u64 *rng, bool is_xdp, bool writes)
{
	enum op op;

	if (is_xdp)
		op = xdp_likely[below(rng, ARRAY_SIZE(xdp_likely))];
	else if (one_in(rng, 3))
		op = below(rng, TC_OPS);
	else
		op = tc_likely[below(rng, ARRAY_SIZE(tc_likely))];
	return op == WRITE && !writes ? LOOK : op;
}

/* A program's own bytes are below 0x40: nothing in them looks foreign. */
static void own_bytes(u64 *rng, struct script *s)
{
	u64 word;
	int i;

	for (i = 0; i < OWN; i += 8) {
		word = any(rng) & 0x3f3f3f3f3f3f3f3fULL;
		memcpy(s->own + i, &word, 8);
	}
	if (one_in(rng, 2))
		return;
	/* A header, often enough: of a tunnel's key, a neighbour, IPv4 or IPv6 */
	s->own[0] = PICK(rng, 0x45, 0x60, 2, 10, 0x4f, 0x41, 0x50, 0x80, 0xf0);
	s->own[1] = 0;
	/* Of struct bpf_tunnel_key: tunnel_ext and tunnel_label */
	memset(s->own + 22, 0, 6);
}

void script_write(u64 *rng, struct script *s, const struct prog_type *type, bool writes,
		  u32 len, u32 room)
{
	bool is_xdp = type == &xdp;
	struct guess g = { len, room };
	/* Offsets are of 16 bits: some calls lead close to their end, and others follow. */
	u64 i, n, far = !is_xdp && one_in(rng, 10) ? 1 + below(rng, 3) : 0;
	enum op op = LOOK;

	n = 1 + far + below(rng, one_in(rng, 3) ? STEPS - far : 6);
	memset(s->seen, 0, n * SEEN);
	s->done = 0;
	own_bytes(rng, s);
	for (i = 0; i < n; i++) {
		struct step *step = &s->step[i];

		if (i < far)
			op = CHANGE_HEAD;
		else if (op == SET_TUNNEL_KEY && one_in(rng, 2))
			op = one_in(rng, 2) ? SET_TUNNEL_OPT : GET_TUNNEL_KEY;
		else if (op == SET_TUNNEL_OPT && one_in(rng, 2))
			op = GET_TUNNEL_OPT;
		else if (!i || !one_in(rng, 3))
			op = pick_op(rng, is_xdp, writes);
		step->op = op;
		step->ret = 0;
		memset(step->arg, 0, sizeof(step->arg));
		if (is_xdp)
			xdp_step(rng, step, &g);
		else
			tc_step(rng, step, &g);
		if (i < far) {
			step->arg[0] = PICK(rng, 0x7fc0, 0x7fff, 0x8000, 0x7000, 0x4000, 0xff00);
			step->arg[1] = 0;
		}
		both_step(rng, step, &g);
		if (g.len < 1)
			g.len = 1;
	}
	s->as_told = !one_in(rng, 8);
	if (is_xdp)
		s->verdict = PICK(rng, 0, 1, 2, 3, 4, 0xffffffff);
	else
		s->verdict = PICK(rng, TC_ACT_OK, TC_ACT_RECLASSIFY, TC_ACT_PIPE, TC_ACT_UNSPEC,
				  TC_ACT_REDIRECT, TC_ACT_STOLEN, 1234567);
	/* Last: a program on a device plays it as soon as it is there. */
	__atomic_store_n(&s->todo, n, __ATOMIC_RELEASE);
}

void script_tell(const struct script *s)
{
	char line[256];
	u64 i, n = s->todo ?: s->done;

	for (i = 0; i < n && i < STEPS; i++) {
		const struct step *t = &s->step[i];

		snprintf(line, sizeof(line), "%s(%#lx, %#lx, %#lx, %#lx) = %ld",
			 t->op < OPS ? op_name[t->op] : "?", t->arg[0], t->arg[1], t->arg[2],
			 t->arg[3], t->ret);
		diag("  %s", line);
	}
	diag("  verdict %s %ld", s->as_told ? "as told, or" : "always", (long)(s32)s->verdict);
}

/*
 * Where the kernel's memory and code are. No code is in the first 16 MiB of its range
 * (CONFIG_PHYSICAL_START): 0x80 before a broadcast address, which programs write, is none.
 */
#define FIRST_TEXT	0xffffffff81000000UL
static u64 memory, text;

void foreign_init(void)
{
	memory = target("data");
	text = target("wrmsr");
}

static bool is_address(u64 word)
{
	return word - (memory - (2UL << 30)) < 4UL << 30 ||
	       (word >= FIRST_TEXT && word - (text - (1 << 25)) < 1 << 26);
}

/* See scan_bytes() in the test kernel; but addresses may begin anywhere. */
u32 foreign(const u8 *bytes, u32 len, u32 *where)
{
	static const u8 old[] = { PACKET_FOREIGN, 0x6b, 0x5a, 0xbb, 0xcc };
	u32 i, j, n = 0, half;
	u64 word;

	for (i = 0; i + 4 <= len; i += 4) {
		memcpy(&half, bytes + i, 4);
		if (half != (half & 0xff) * 0x01010101)
			continue;
		for (j = 0; j < ARRAY_SIZE(old); j++)
			if ((u8)half == old[j] && !n++)
				*where = i;
	}
	for (i = 7; i < len; i++) {
		const u8 *p = memchr(bytes + i, 0xff, len - i);

		if (!p)
			break;
		i = p - bytes;
		memcpy(&word, p - 7, 8);
		if (word >> 48 == 0xffff && is_address(word) && !n++)
			*where = i - 7;
	}
	return n;
}
