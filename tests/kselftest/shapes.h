/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Programs that call the helpers that change a packet, one after the other, and tell
 * what each returned. The code is in shapes.c.
 */
#ifndef SHAPES_H
#define SHAPES_H

#include "build.h"

#define MAX_CALLS 24

/* R1 is the context; for skb_store_bytes, @arg[1] is replaced by an address. */
struct call {
	int func;
	u64 arg[4];
};

#define HEAD(N)		{ BPF_FUNC_skb_change_head, { N } }
#define TAIL(N)		{ BPF_FUNC_skb_change_tail, { N } }
#define PULL(N)		{ BPF_FUNC_skb_pull_data, { N } }
#define PROTO(P)	{ BPF_FUNC_skb_change_proto, { __builtin_bswap16(P) } }
#define ROOM(N, M, F)	{ BPF_FUNC_skb_adjust_room, { (s64)(N), M, F } }
#define VLAN_PUSH(T)	{ BPF_FUNC_skb_vlan_push, { __builtin_bswap16(0x8100), T } }
#define VLAN_POP	{ BPF_FUNC_skb_vlan_pop, { 0 } }
#define STORE(O, N, F)	{ BPF_FUNC_skb_store_bytes, { O, 0, N, F } }
#define CLONE(IF, F)	{ BPF_FUNC_clone_redirect, { IF, F } }

/* What a test run made of a packet. */
struct outcome {
	int error;
	u32 retval, size;
	s64 ret[MAX_CALLS];
	u64 seen;	/* what is at the network header afterwards; 0 if it cannot be read */
	struct __sk_buff ctx;
	u8 data[8192];
};

struct trial {
	const u8 *packet;
	u32 len, gso_size, gso_segs, flags;
};

/* The program; it returns TC_ACT_OK. @out: its map, of which it is given a new one. */
int calls_load(const struct call *calls, int n, int *out);
/* Loads, runs, and closes. */
void calls_run(const struct call *calls, int n, const struct trial *trial,
	       struct outcome *outcome);

#endif
