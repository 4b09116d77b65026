// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=product,preempt levels=2 cpus=4 keys=13,1,0 timeout=300 */
/*
 * Do programs compute the same when they are isolated?
 *
 * Each case is a program with nothing wrong with it, for one or more program
 * types. It runs at level 0 and at level 2 on the same packet, context and
 * fresh maps; return value, packet, context and every map must be the same,
 * byte by byte, and at level 2 the program must really have been isolated.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "build.h"

#define MAX_MAPS 4
#define PACKET 160

struct result {
	u32 retval, size, ctx_size;
	u8 data[4096], ctx[256];
	u8 out[1024];
	u32 map_size;
	u8 map[16384];
};

/* The case that is being built. */
static const struct prog_type *t;
static int out, slots;		/* a map for what the program has to tell */
static int maps[MAX_MAPS], n_maps;
static enum bpf_map_type map_types[MAX_MAPS];

/* Every program begins so, and keeps it: R6 the context, R9 the out map's value. */
static void begin(void)
{
	E(MOV_REG(R6, R1), LD_MAP_VALUE(R9, out, 0));
}

static void tell(int reg)
{
	E(STX(BPF_DW, R9, reg, 8 * slots++));
	if (slots > 128)
		bail("too much to tell");
}

/*
 * R0 of a call that changes a map. Until 6.4 the calls the verifier makes direct
 * return an int, whose upper half is what it happens to be.
 */
static void tell_int(void)
{
	E(ALU64_IMM(BPF_LSH, R0, 32), ALU64_IMM(BPF_ARSH, R0, 32));
	tell(R0);
}

static void end(u32 verdict)
{
	E(MOV_IMM(R0, verdict), EXIT());
}

static int new_map(enum bpf_map_type type, u32 key, u32 value, u32 entries)
{
	int fd = map_create(type, key, value, entries);

	if (fd < 0 || n_maps == MAX_MAPS)
		bail("map: %s", strerror(errno));
	map_types[n_maps] = type;
	maps[n_maps++] = fd;
	return fd;
}

static bool skb_type(void)
{
	return t != &xdp;
}

static bool tc_type(void)
{
	return t == &sched_cls || t == &sched_act;
}

/* R7 = data, R8 = data_end; to the next `L bytes missing' label if too short. */
static void packet(void)
{
	if (skb_type())
		E(LDX(BPF_W, R7, R6, offsetof(struct __sk_buff, data)),
		  LDX(BPF_W, R8, R6, offsetof(struct __sk_buff, data_end)));
	else
		E(LDX(BPF_W, R7, R6, offsetof(struct xdp_md, data)),
		  LDX(BPF_W, R8, R6, offsetof(struct xdp_md, data_end)));
}

/* If there are not @len bytes: return the safe verdict. */
static void need(int len)
{
	E(MOV_REG(R1, R7), ALU64_IMM(BPF_ADD, R1, len),
	  JMP_REG(BPF_JLE, R1, R8, 2),
	  MOV_IMM(R0, t->safe), EXIT());
}

/* The cases */

static void nothing(void)
{
	end(t->pass);
}

static const struct {
	const char *name;
	int off;
	bool xdp, tc, filter;
} fields[] = {
#define SKB(F, TC, FILTER) { #F, offsetof(struct __sk_buff, F), false, TC, FILTER }
	SKB(len, true, true), SKB(pkt_type, true, true), SKB(mark, true, true),
	SKB(queue_mapping, true, true), SKB(protocol, true, true), SKB(vlan_present, true, true),
	SKB(vlan_tci, true, true), SKB(vlan_proto, true, true), SKB(priority, true, true),
	SKB(ingress_ifindex, true, true), SKB(ifindex, true, true), SKB(tc_index, true, true),
	SKB(cb[0], true, true), SKB(cb[1], true, true), SKB(cb[2], true, true),
	SKB(cb[3], true, true), SKB(cb[4], true, true), SKB(hash, true, true),
	SKB(tc_classid, true, false), SKB(napi_id, true, true),
	SKB(wire_len, true, false), SKB(gso_segs, true, true), SKB(gso_size, true, true),
	{ "ingress_ifindex", offsetof(struct xdp_md, ingress_ifindex), true, false, false },
	{ "rx_queue_index", offsetof(struct xdp_md, rx_queue_index), true, false, false },
};

static bool has_field(size_t i)
{
	return t == &xdp ? fields[i].xdp : tc_type() ? fields[i].tc : fields[i].filter;
}

static void ctx_reads(void)
{
	size_t i;

	begin();
	for (i = 0; i < ARRAY_SIZE(fields); i++) {
		if (!has_field(i))
			continue;
		E(LDX(BPF_W, R2, R6, fields[i].off));
		tell(R2);
	}
	if (tc_type()) {
		E(LDX(BPF_DW, R2, R6, offsetof(struct __sk_buff, tstamp)));
		tell(R2);
	}
	if (t != &socket_filter) {
		packet();
		E(ALU64_REG(BPF_SUB, R8, R7));
		tell(R8);
	}
	if (t == &xdp || tc_type()) {
		packet();
		E(LDX(BPF_W, R8, R6, t == &xdp ? offsetof(struct xdp_md, data_meta) :
		      offsetof(struct __sk_buff, data_meta)),
		  ALU64_REG(BPF_SUB, R7, R8));
		tell(R7);
	}
	end(t->pass);
}

static void ctx_narrow(void)
{
	static const int wide[] = {
		offsetof(struct __sk_buff, len), offsetof(struct __sk_buff, mark),
		offsetof(struct __sk_buff, protocol), offsetof(struct __sk_buff, priority),
		offsetof(struct __sk_buff, cb[0]), offsetof(struct __sk_buff, cb[3]),
	};
	size_t i;
	int b;

	begin();
	for (i = 0; i < ARRAY_SIZE(wide); i++) {
		for (b = 0; b < 4; b++) {
			E(LDX(BPF_B, R2, R6, wide[i] + b));
			tell(R2);
		}
		for (b = 0; b < 4; b += 2) {
			E(LDX(BPF_H, R2, R6, wide[i] + b));
			tell(R2);
		}
	}
	end(t->pass);
}

static void ctx_writes(void)
{
	int i;

	begin();
	for (i = 0; i < 5; i++)
		E(MOV_IMM(R2, 0x1000 + i),
		  STX(BPF_W, R6, R2, offsetof(struct __sk_buff, cb[i])));
	if (tc_type())
		E(MOV_IMM(R2, 0xabcd),
		  STX(BPF_W, R6, R2, offsetof(struct __sk_buff, mark)),
		  MOV_IMM(R2, 0x1234),
		  STX(BPF_W, R6, R2, offsetof(struct __sk_buff, tc_index)),
		  MOV_IMM(R2, 5),
		  STX(BPF_W, R6, R2, offsetof(struct __sk_buff, priority)),
		  STX(BPF_W, R6, R2, offsetof(struct __sk_buff, tc_classid)),
		  STX(BPF_W, R6, R2, offsetof(struct __sk_buff, queue_mapping)),
		  LD_IMM64(R2, 0x123456789abULL),
		  STX(BPF_DW, R6, R2, offsetof(struct __sk_buff, tstamp)));
	/* what was written is what is read */
	E(LDX(BPF_W, R2, R6, offsetof(struct __sk_buff, cb[2])));
	tell(R2);
	E(LDX(BPF_W, R2, R6, offsetof(struct __sk_buff, mark)));
	tell(R2);
	E(LDX(BPF_W, R2, R6, offsetof(struct __sk_buff, tc_index)));
	tell(R2);
	E(CALL(ktime_get_ns));
	E(LDX(BPF_W, R2, R6, offsetof(struct __sk_buff, cb[4])));
	tell(R2);
	E(LDX(BPF_W, R2, R6, offsetof(struct __sk_buff, priority)));
	tell(R2);
	end(t->pass);
}

/* A helper sees what was written to the context, and the program what it did. */
static void ctx_and_helper(void)
{
	begin();
	E(MOV_IMM(R2, 7), STX(BPF_W, R6, R2, offsetof(struct __sk_buff, mark)),
	  MOV_REG(R1, R6), MOV_IMM(R2, 0x5555), CALL(set_hash),
	  LDX(BPF_W, R2, R6, offsetof(struct __sk_buff, hash)));
	tell(R2);
	E(MOV_REG(R1, R6), CALL(get_hash_recalc));
	tell(R0);
	E(LDX(BPF_W, R2, R6, offsetof(struct __sk_buff, mark)));
	tell(R2);
	E(MOV_REG(R1, R6), MOV_IMM(R2, 0), CALL(skb_change_type));
	tell(R0);
	E(LDX(BPF_W, R2, R6, offsetof(struct __sk_buff, pkt_type)));
	tell(R2);
	E(MOV_REG(R1, R6), MOV_IMM(R2, 0x0081), MOV_IMM(R3, 0x123), CALL(skb_vlan_push));
	tell(R0);
	E(LDX(BPF_W, R2, R6, offsetof(struct __sk_buff, vlan_tci)));
	tell(R2);
	E(LDX(BPF_W, R2, R6, offsetof(struct __sk_buff, vlan_present)));
	tell(R2);
	E(MOV_REG(R1, R6), CALL(skb_vlan_pop));
	tell(R0);
	end(t->pass);
}

static void packet_read(void)
{
	int i;

	begin();
	packet();
	need(PACKET);
	for (i = 0; i < 16; i++) {
		E(LDX(BPF_B, R2, R7, i * 9));
		tell(R2);
	}
	for (i = 0; i < 8; i++) {
		E(LDX(BPF_DW, R2, R7, i * 17));
		tell(R2);
	}
	E(LDX(BPF_H, R2, R7, 12), ALU32_IMM(BPF_END | BPF_TO_BE, R2, 16));
	tell(R2);
	E(LDX(BPF_B, R3, R7, 14), ALU64_IMM(BPF_AND, R3, 15), ALU64_IMM(BPF_LSH, R3, 2),
	  MOV_REG(R4, R7), ALU64_REG(BPF_ADD, R4, R3), ALU64_IMM(BPF_ADD, R4, 14),
	  MOV_REG(R1, R4), ALU64_IMM(BPF_ADD, R1, 4),
	  JMP_REG(BPF_JGT, R1, R8, 1),
	  LDX(BPF_H, R3, R4, 2));
	tell(R3);
	end(t->pass);
}

static void packet_write(void)
{
	begin();
	packet();
	need(PACKET);
	/* swap the addresses, mark the end, add in the middle */
	E(LDX(BPF_W, R2, R7, 0), LDX(BPF_H, R3, R7, 4), LDX(BPF_W, R4, R7, 6),
	  LDX(BPF_H, R5, R7, 10), STX(BPF_W, R7, R4, 0), STX(BPF_H, R7, R5, 4),
	  STX(BPF_W, R7, R2, 6), STX(BPF_H, R7, R3, 10),
	  ST(BPF_B, R7, PACKET - 1, 0x5a), ST(BPF_DW, R7, PACKET - 16, 0x1234),
	  LDX(BPF_W, R2, R7, 64), ALU64_IMM(BPF_ADD, R2, 1), STX(BPF_W, R7, R2, 64));
	/* a helper in between, and more after it */
	E(CALL(ktime_get_ns));
	E(LDX(BPF_B, R2, R7, 0));
	tell(R2);
	E(ST(BPF_H, R7, 40, 0x7777));
	end(t->pass);
}

static void xdp_head(void)
{
	begin();
	E(MOV_REG(R1, R6), MOV_IMM(R2, -16), CALL(xdp_adjust_head));
	tell(R0);
	packet();
	need(PACKET);
	E(ST(BPF_DW, R7, 0, 0x11), ST(BPF_DW, R7, 8, 0x22), LDX(BPF_DW, R2, R7, 16));
	tell(R2);
	E(ALU64_REG(BPF_SUB, R8, R7));
	tell(R8);
	E(MOV_REG(R1, R6), MOV_IMM(R2, 4), CALL(xdp_adjust_head));
	tell(R0);
	packet();
	need(64);
	E(LDX(BPF_DW, R2, R7, 0));
	tell(R2);
	E(MOV_REG(R1, R6), MOV_IMM(R2, -4096), CALL(xdp_adjust_head));
	tell(R0);
	end(t->pass);
}

static void xdp_tail(void)
{
	begin();
	E(MOV_REG(R1, R6), MOV_IMM(R2, -20), CALL(xdp_adjust_tail));
	tell(R0);
	packet();
	E(ALU64_REG(BPF_SUB, R8, R7));
	tell(R8);
	E(MOV_REG(R1, R6), MOV_IMM(R2, 40), CALL(xdp_adjust_tail));
	tell(R0);
	packet();
	need(PACKET + 20);
	E(ST(BPF_DW, R7, PACKET + 12, 0x33), LDX(BPF_DW, R2, R7, PACKET - 8));
	tell(R2);
	E(MOV_REG(R1, R6), CALL(xdp_get_buff_len));
	tell(R0);
	end(t->pass);
}

static void xdp_meta(void)
{
	begin();
	E(MOV_REG(R1, R6), MOV_IMM(R2, -8), CALL(xdp_adjust_meta));
	tell(R0);
	packet();
	E(LDX(BPF_W, R3, R6, offsetof(struct xdp_md, data_meta)),
	  MOV_REG(R1, R3), ALU64_IMM(BPF_ADD, R1, 8),
	  JMP_REG(BPF_JGT, R1, R7, 3),
	  ST(BPF_W, R3, 0, 0x44), ST(BPF_W, R3, 4, 0x55), LDX(BPF_DW, R2, R3, 0));
	E(MOV_REG(R4, R7), ALU64_REG(BPF_SUB, R4, R3));
	tell(R4);
	end(t->pass);
}

static void xdp_bytes(void)
{
	begin();
	E(MOV_REG(R1, R6), MOV_IMM(R2, 30), MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -16),
	  ST(BPF_DW, R10, -16, 0), ST(BPF_DW, R10, -8, 0),
	  MOV_IMM(R4, 16), CALL(xdp_load_bytes));
	tell(R0);
	E(LDX(BPF_DW, R2, R10, -16));
	tell(R2);
	E(MOV_REG(R1, R6), MOV_IMM(R2, 90), MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -16),
	  MOV_IMM(R4, 16), CALL(xdp_store_bytes));
	tell(R0);
	E(MOV_REG(R1, R6), MOV_IMM(R2, PACKET - 8), MOV_REG(R3, R10),
	  ALU64_IMM(BPF_ADD, R3, -16), MOV_IMM(R4, 16), CALL(xdp_load_bytes));
	tell(R0);
	packet();
	need(PACKET);
	E(LDX(BPF_DW, R2, R7, 90));
	tell(R2);
	end(t->pass);
}

static void skb_bytes(void)
{
	begin();
	E(ST(BPF_DW, R10, -16, 0), ST(BPF_DW, R10, -8, 0),
	  MOV_REG(R1, R6), MOV_IMM(R2, 30), MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -16),
	  MOV_IMM(R4, 16), CALL(skb_load_bytes));
	tell(R0);
	E(LDX(BPF_DW, R2, R10, -16));
	tell(R2);
	/* past the end: an error, and the buffer is cleared */
	E(MOV_REG(R1, R6), MOV_IMM(R2, 4000), MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -16),
	  MOV_IMM(R4, 16), CALL(skb_load_bytes));
	tell(R0);
	E(LDX(BPF_DW, R2, R10, -16));
	tell(R2);
	E(MOV_REG(R1, R6), MOV_IMM(R2, 2), MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -16),
	  MOV_IMM(R4, 4), MOV_IMM(R5, 1), CALL(skb_load_bytes_relative));
	tell(R0);
	E(LDX(BPF_W, R2, R10, -16));
	tell(R2);
	/* into a map value */
	E(MOV_REG(R1, R6), MOV_IMM(R2, 14), MOV_REG(R3, R9), ALU64_IMM(BPF_ADD, R3, 512),
	  MOV_IMM(R4, 100), CALL(skb_load_bytes));
	tell(R0);
	end(t->pass);
}

static void skb_store(void)
{
	begin();
	E(ST(BPF_DW, R10, -16, 0x1122), ST(BPF_DW, R10, -8, 0x3344),
	  MOV_REG(R1, R6), MOV_IMM(R2, 50), MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -16),
	  MOV_IMM(R4, 16), MOV_IMM(R5, 0), CALL(skb_store_bytes));
	tell(R0);
	E(MOV_REG(R1, R6), MOV_IMM(R2, 70), MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -16),
	  MOV_IMM(R4, 8), MOV_IMM(R5, 3), CALL(skb_store_bytes));
	tell(R0);
	/* the program sees it in the packet */
	packet();
	need(PACKET);
	E(LDX(BPF_DW, R2, R7, 50));
	tell(R2);
	E(ST(BPF_B, R7, 120, 0x77));
	end(t->pass);
}

static void checksums(void)
{
	begin();
	E(MOV_REG(R1, R6), MOV_IMM(R2, 24), MOV_IMM(R3, 0x1234), MOV_IMM(R4, 0x4321),
	  MOV_IMM(R5, 2), CALL(l3_csum_replace));
	tell(R0);
	E(MOV_REG(R1, R6), MOV_IMM(R2, 40), MOV_IMM(R3, 0x1234), MOV_IMM(R4, 0x4321),
	  MOV_IMM(R5, 0x10 | 4), CALL(l4_csum_replace));
	tell(R0);
	E(ST(BPF_DW, R10, -16, 0x1234567), ST(BPF_DW, R10, -8, 0x89abcd),
	  MOV_REG(R1, R10), ALU64_IMM(BPF_ADD, R1, -16), MOV_IMM(R2, 8),
	  MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -8), MOV_IMM(R4, 8),
	  MOV_IMM(R5, 0), CALL(csum_diff));
	tell(R0);
	E(MOV_IMM(R1, 0), MOV_IMM(R2, 0), MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -16),
	  MOV_IMM(R4, 16), MOV_IMM(R5, 7), CALL(csum_diff));
	tell(R0);
	E(MOV_REG(R1, R6), MOV_IMM(R2, 9), CALL(csum_update));
	tell(R0);
	E(MOV_REG(R1, R6), MOV_IMM(R2, 0), CALL(csum_level));
	tell(R0);
	end(t->pass);
}

static void skb_shape(void)
{
	begin();
	E(MOV_REG(R1, R6), MOV_IMM(R2, 120), MOV_IMM(R3, 0), CALL(skb_change_tail));
	tell(R0);
	E(LDX(BPF_W, R2, R6, offsetof(struct __sk_buff, len)));
	tell(R2);
	E(MOV_REG(R1, R6), MOV_IMM(R2, 16), MOV_IMM(R3, 0), CALL(skb_change_head));
	tell(R0);
	E(MOV_REG(R1, R6), MOV_IMM(R2, 0), CALL(skb_pull_data));
	tell(R0);
	packet();
	need(100);
	E(LDX(BPF_DW, R2, R7, 0));
	tell(R2);
	E(LDX(BPF_DW, R2, R7, 24));
	tell(R2);
	E(LDX(BPF_W, R2, R6, offsetof(struct __sk_buff, len)));
	tell(R2);
	end(t->pass);
}

/* [R10 - 8] = key, R2 = its address, of 4 bytes or 8 */
static void key(u64 k)
{
	E(LD_IMM64(R2, k), STX(BPF_DW, R10, R2, -8), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -8));
}

static void map_ops(enum bpf_map_type type)
{
	bool array = type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY;
	int m = new_map(type, array ? 4 : 8, 40, 64), i;

	begin();
	/* write three, read them back, change one in place, remove one */
	for (i = 1; i <= 3; i++) {
		key(i);
		E(ST(BPF_DW, R10, -48, i * 100), ST(BPF_DW, R10, -40, 1), ST(BPF_DW, R10, -32, 2),
		  ST(BPF_DW, R10, -24, 3), ST(BPF_DW, R10, -16, i), LD_MAP_FD(R1, m),
		  MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -48), MOV_IMM(R4, BPF_ANY),
		  CALL(map_update_elem));
		tell_int();
	}
	for (i = 0; i <= 4; i++) {
		key(i);
		E(LD_MAP_FD(R1, m), CALL(map_lookup_elem),
		  MOV_IMM(R7, -1), JMP_IMM(BPF_JEQ, R0, 0, 6),
		  LDX(BPF_DW, R7, R0, 0), LDX(BPF_DW, R2, R0, 32), ALU64_REG(BPF_ADD, R7, R2),
		  ST(BPF_DW, R0, 16, 0x77), MOV_IMM(R2, 5), ATOMIC(BPF_DW, BPF_ADD, R0, R2, 8));
		tell(R7);
	}
	for (i = 2; i <= 70; i += 68) {
		key(i);
		E(LD_MAP_FD(R1, m), CALL(map_delete_elem));
		tell_int();
	}
	for (i = 0; i <= 2; i++) {
		key(10);
		E(LD_MAP_FD(R1, m), MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -48),
		  MOV_IMM(R4, i == 0 ? BPF_EXIST : BPF_NOEXIST), CALL(map_update_elem));
		tell_int();
	}
	/* a key and a value that lie in another map's value */
	E(ST(BPF_DW, R9, 800, 11), ST(BPF_DW, R9, 808, 0xaa), LD_MAP_FD(R1, m), MOV_REG(R2, R9),
	  ALU64_IMM(BPF_ADD, R2, 800), MOV_REG(R3, R9), ALU64_IMM(BPF_ADD, R3, 808),
	  MOV_IMM(R4, 0), CALL(map_update_elem));
	tell_int();
	end(t->pass);
}

static void map_array(void) { map_ops(BPF_MAP_TYPE_ARRAY); }
static void map_percpu_array(void) { map_ops(BPF_MAP_TYPE_PERCPU_ARRAY); }
static void map_hash(void) { map_ops(BPF_MAP_TYPE_HASH); }
static void map_percpu_hash(void) { map_ops(BPF_MAP_TYPE_PERCPU_HASH); }
static void map_lru_hash(void) { map_ops(BPF_MAP_TYPE_LRU_HASH); }

static void map_big_values(void)
{
	int m = new_map(BPF_MAP_TYPE_ARRAY, 4, 3000, 4);
	int h = new_map(BPF_MAP_TYPE_HASH, 8, 1000, 4), i;

	begin();
	for (i = 0; i < 4; i++) {
		key(i);
		E(LD_MAP_FD(R1, m), CALL(map_lookup_elem), JMP_IMM(BPF_JEQ, R0, 0, 3),
		  ST(BPF_DW, R0, 2992, i + 1), ST(BPF_DW, R0, 0, i + 2), ST(BPF_W, R0, 1500, i + 3));
		key(i);
		E(LD_MAP_FD(R1, h), MOV_REG(R3, R9), MOV_IMM(R4, 0), CALL(map_update_elem));
		tell_int();
	}
	key(9);
	E(LD_MAP_FD(R1, h), MOV_REG(R3, R9), MOV_IMM(R4, 0), CALL(map_update_elem));
	tell_int();
	end(t->pass);
}

static void global_data(void)
{
	int a = new_map(BPF_MAP_TYPE_ARRAY, 4, 256, 1);
	int b = new_map(BPF_MAP_TYPE_ARRAY, 4, 4096, 1);

	begin();
	E(LD_MAP_VALUE(R7, a, 16), LD_MAP_VALUE(R8, b, 4000),
	  ST(BPF_DW, R7, 0, 0x1111), ST(BPF_DW, R8, 88, 0x2222), ST(BPF_B, R7, 239, 0x33),
	  LDX(BPF_DW, R2, R7, 0), LDX(BPF_DW, R3, R8, 88), ALU64_REG(BPF_ADD, R2, R3));
	tell(R2);
	end(t->pass);
}

static void atomics_on(int size, int base, int off)
{
	static const int ops[] = {
		BPF_ADD, BPF_AND, BPF_OR, BPF_XOR, BPF_ADD | BPF_FETCH, BPF_AND | BPF_FETCH,
		BPF_OR | BPF_FETCH, BPF_XOR | BPF_FETCH, BPF_XCHG,
	};
	size_t i;

	E(ST(BPF_DW, base, off, 0x12345678));
	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		E(MOV_IMM(R2, 0x0ff0 + i), ATOMIC(size, ops[i], base, R2, off));
		tell(R2);
	}
	E(LDX(size, R3, base, off), MOV_REG(R0, R3), MOV_IMM(R2, 42),
	  ATOMIC(size, BPF_CMPXCHG, base, R2, off));
	tell(R0);
	E(MOV_IMM(R0, 1), MOV_IMM(R2, 43), ATOMIC(size, BPF_CMPXCHG, base, R2, off));
	tell(R0);
}

static void atomics(void)
{
	begin();
	atomics_on(BPF_DW, R9, 904);
	atomics_on(BPF_W, R9, 912);
	atomics_on(BPF_DW, R10, -64);
	atomics_on(BPF_W, R10, -64);
	end(t->pass);
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
	end(t->pass);
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
	end(t->pass);
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
	end(t->pass);
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
	end(t->pass);
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
	end(t->pass);

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

/* A function that reads the packet through the context it is given. */
static void function_ctx(void)
{
	int call, f;

	begin();
	E(MOV_REG(R1, R6));
	call = cnt;
	E(CALL_REL(0));
	tell(R0);
	end(t->pass);
	f = cnt;
	E(MOV_REG(R6, R1));
	packet();
	E(MOV_IMM(R0, -1), MOV_REG(R1, R7), ALU64_IMM(BPF_ADD, R1, 20),
	  JMP_REG(BPF_JGT, R1, R8, 1), LDX(BPF_W, R0, R7, 16), EXIT());
	insns[call].imm = f - call - 1;
}

static void load_absolute(void)
{
	static const int at[] = { 0, 13, 40, PACKET - 4 };
	size_t i;

	begin();
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		E(LD_ABS(BPF_B, at[i]));
		tell(R0);
		E(LD_ABS(BPF_H, at[i]));
		tell(R0);
		E(LD_ABS(BPF_W, at[i]));
		tell(R0);
		E(MOV_IMM(R7, at[i] / 2), LD_IND(BPF_W, R7, 2));
		tell(R0);
		E(LD_IND(BPF_H, R7, 1));
		tell(R0);
	}
	E(LD_ABS(BPF_B, SKF_NET_OFF));
	tell(R0);
	/* past the end: the program returns 0 there */
	E(LD_ABS(BPF_W, PACKET - 3));
	tell(R0);
	end(t->pass);
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
	end(t->pass);
}

static void skb_helpers(void)
{
	begin();
	E(MOV_REG(R1, R6), CALL(get_socket_uid));
	tell(R0);
	if (tc_type()) {
		E(MOV_REG(R1, R6), CALL(get_cgroup_classid));
		tell(R0);
		E(MOV_REG(R1, R6), CALL(get_route_realm));
		tell(R0);
		E(MOV_REG(R1, R6), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -32),
		  MOV_IMM(R3, 28), MOV_IMM(R4, 0), ST(BPF_DW, R10, -8, 0), ST(BPF_DW, R10, -16, 0),
		  ST(BPF_DW, R10, -24, 0), ST(BPF_DW, R10, -32, 0), CALL(skb_get_tunnel_key));
		tell(R0);
	}
	end(t->pass);
}

static void redirect(void)
{
	E(MOV_IMM(R1, 1), MOV_IMM(R2, 0), CALL(redirect), EXIT());
}

static const struct {
	const char *what;
	void (*build)(void);
	bool xdp, tc, filter;
} cases[] = {
	{ "nothing", nothing, true, true, true },
	{ "context reads", ctx_reads, true, true, true },
	{ "narrow context reads", ctx_narrow, false, true, true },
	{ "context writes", ctx_writes, false, true, false },
	{ "context and helpers", ctx_and_helper, false, true, false },
	{ "packet reads", packet_read, true, true, false },
	{ "packet writes", packet_write, true, true, false },
	{ "xdp_adjust_head", xdp_head, true, false, false },
	{ "xdp_adjust_tail", xdp_tail, true, false, false },
	{ "xdp_adjust_meta", xdp_meta, true, false, false },
	{ "xdp_load_bytes, xdp_store_bytes", xdp_bytes, true, false, false },
	{ "skb_load_bytes", skb_bytes, false, true, true },
	{ "skb_store_bytes", skb_store, false, true, false },
	{ "checksum helpers", checksums, false, true, false },
	{ "helpers that move the packet", skb_shape, false, true, false },
	{ "array map", map_array, true, true, true },
	{ "per-CPU array map", map_percpu_array, true, true, true },
	{ "hash map", map_hash, true, true, true },
	{ "per-CPU hash map", map_percpu_hash, true, true, true },
	{ "LRU hash map", map_lru_hash, true, true, true },
	{ "maps with big values", map_big_values, true, true, true },
	{ "global data", global_data, true, true, true },
	{ "atomics", atomics, true, true, true },
	{ "loops", loops, true, true, true },
	{ "arithmetic", arithmetic, true, true, true },
	{ "byte orders", byte_orders, true, true, true },
	{ "512 bytes of stack", whole_stack, true, true, true },
	{ "nested functions", functions, true, true, true },
	{ "a function with the context", function_ctx, true, true, false },
	{ "LD_ABS and LD_IND", load_absolute, false, true, true },
	{ "small helpers", small_helpers, true, true, true },
	{ "skb helpers", skb_helpers, false, true, true },
	{ "redirect", redirect, true, true, false },
};

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, 64);
}

/* All keys with their values, in the order of the keys. */
static void dump(int fd, enum bpf_map_type type, struct result *r)
{
	bool percpu = type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_PERCPU_HASH;
	static u8 entries[64][64 + 4096], last[64];
	int n = 0, i;
	void *prev = NULL;
	u32 take = percpu ? 8 * 40 : 3000;
	union bpf_attr attr;

	memset(entries, 0, sizeof(entries));
	while (n < 64) {
		memset(&attr, 0, sizeof(attr));
		attr.map_fd = fd;
		attr.key = (uintptr_t)prev;
		attr.next_key = (uintptr_t)entries[n];
		if (syscall(__NR_bpf, BPF_MAP_GET_NEXT_KEY, &attr, sizeof(attr)))
			break;
		memcpy(last, entries[n], 64);
		prev = last;
		if (!map_lookup(fd, entries[n], entries[n] + 64))
			n++;
	}
	qsort(entries, n, sizeof(entries[0]), by_bytes);
	for (i = 0; i < n && r->map_size + 8 + take <= sizeof(r->map); i++) {
		memcpy(r->map + r->map_size, entries[i], 8);
		memcpy(r->map + r->map_size + 8, entries[i] + 64, take);
		r->map_size += 8 + take;
	}
}

static bool run_case(size_t c, struct result *r)
{
	static u8 in[PACKET];
	struct __sk_buff skb = {
		.mark = 0x11223344, .priority = 0x55667788, .wire_len = PACKET,
		.cb = { 0xa1a2a3a4, 2, 3, 0xb1b2b3b4, 5 }, .tstamp = 0x1122334455,
	};
	struct xdp_md md = { .data_end = PACKET };
	struct run run = { .data_in = in, .data_in_size = PACKET };
	u32 zero = 0;
	bool ran = false;
	int fd, i;

	for (i = 0; i < PACKET; i++)
		in[i] = i * 7 + 1;
	memcpy(in + 12, "\x08\x00\x45\x00\x00\x92\x00\x01\x00\x00\x40\x11\x00\x00"
	       "\x7f\x00\x00\x01\x7f\x00\x00\x01\x12\x34\x56\x78\x00\x7e\x00\x00", 30);

	memset(r, 0, sizeof(*r));
	cnt = slots = n_maps = 0;
	out = map_create(BPF_MAP_TYPE_ARRAY, 4, sizeof(r->out), 1);
	cases[c].build();
	fd = prog_load(t->type, "same", insns, cnt);
	if (fd < 0) {
		diag("%s, %s: load: %s\n%s", t->name, cases[c].what, strerror(errno), prog_log);
		goto out;
	}
	run.data_out = r->data;
	run.data_out_size = sizeof(r->data);
	run.ctx_in = t == &xdp ? (void *)&md : &skb;
	run.ctx_in_size = t == &xdp ? sizeof(md) : sizeof(skb);
	run.ctx_out = r->ctx;
	run.ctx_out_size = sizeof(r->ctx);
	if (prog_run(fd, &run)) {
		diag("%s, %s: run: %s", t->name, cases[c].what, strerror(errno));
		goto out;
	}
	ran = true;
	r->retval = run.retval;
	r->size = run.data_out_size;
	r->ctx_size = run.ctx_out_size;
	map_lookup(out, &zero, r->out);
	for (i = 0; i < n_maps; i++)
		dump(maps[i], map_types[i], r);
out:
	close(fd);
	close(out);
	for (i = 0; i < n_maps; i++)
		close(maps[i]);
	return ran;
}

static void differ(const char *what, const u8 *a, const u8 *b, size_t n)
{
	size_t i;

	for (i = 0; i < n && a[i] == b[i]; i++)
		;
	if (i == n)
		return;
	i &= ~7;
	diag("%s differs at %zu: %016lx at level 0, %016lx at level 2", what, i,
	     *(u64 *)(a + i), *(u64 *)(b + i));
}

static void compare(size_t c)
{
	static struct result a, b;
	s64 runs, plain;
	bool same;

	moat_set_level(0);
	if (!run_case(c, &a)) {
		ok(false, "%s: %s: runs at level 0", t->name, cases[c].what);
		return;
	}
	/* a packet too short for the case would make it no case */
	if (a.retval == t->safe && cases[c].build != load_absolute)
		ok(false, "%s: %s: gets to its end at level 0", t->name, cases[c].what);
	if (!moat_present()) {
		/* what there is to check: it computes something, twice the same */
		same = run_case(c, &b) && !memcmp(&a, &b, sizeof(a));
		ok(same, "%s: %s: the same twice at level 0", t->name, cases[c].what);
	} else {
		moat_set_level(2);
		runs = moat_counter("runs");
		plain = moat_counter("plain");
		kmsg_mark();
		if (!run_case(c, &b)) {
			ok(false, "%s: %s: runs at level 2", t->name, cases[c].what);
			return;
		}
		same = !memcmp(&a, &b, sizeof(a));
		ok(same && moat_counter("runs") > runs && moat_counter("plain") == plain,
		   "%s: %s: the same at level 0 and 2", t->name, cases[c].what);
		if (moat_counter("runs") == runs || moat_counter("plain") != plain)
			diag("it was not isolated");
	}
	if (same)
		return;
	if (kmsg_find("moat: ", NULL))
		diag("%s", kmsg_find("moat: ", NULL));
	if (a.retval != b.retval || a.size != b.size || a.ctx_size != b.ctx_size)
		diag("retval %u and %u, size %u and %u, context %u and %u", a.retval, b.retval,
		     a.size, b.size, a.ctx_size, b.ctx_size);
	differ("packet", a.data, b.data, sizeof(a.data));
	differ("context", a.ctx, b.ctx, sizeof(a.ctx));
	differ("what it told", a.out, b.out, sizeof(a.out));
	differ("maps", a.map, b.map, sizeof(a.map));
}

/* Classic filters, on what one end of a socket pair receives. */

#define C(CODE, K) ((struct sock_filter)BPF_STMT(CODE, K))
#define CJ(CODE, K, T, F) ((struct sock_filter)BPF_JUMP(CODE, K, T, F))
/* the low byte of A as length, so that it shows */
#define RET_A C(BPF_ALU | BPF_AND | BPF_K, 0xff), C(BPF_ALU | BPF_ADD | BPF_K, 1), \
	C(BPF_RET | BPF_A, 0)

static const struct {
	const char *what;
	struct sock_filter insns[20];
} filters[] = {
#define F(WHAT, ...) { WHAT, { __VA_ARGS__ } }
	F("drop", C(BPF_RET | BPF_K, 0)),
	F("all", C(BPF_RET | BPF_K, -1)),
	F("some", C(BPF_RET | BPF_K, 100)),
	F("length", C(BPF_LD | BPF_W | BPF_LEN, 0), RET_A),
	F("byte", C(BPF_LD | BPF_B | BPF_ABS, 77), RET_A),
	F("half", C(BPF_LD | BPF_H | BPF_ABS, 31), RET_A),
	F("word", C(BPF_LD | BPF_W | BPF_ABS, 200), RET_A),
	F("past the end", C(BPF_LD | BPF_W | BPF_ABS, 298), RET_A),
	F("index", C(BPF_LDX | BPF_W | BPF_IMM, 20), C(BPF_LD | BPF_B | BPF_IND, 33), RET_A),
	F("header length", C(BPF_LDX | BPF_B | BPF_MSH, 5), C(BPF_MISC | BPF_TXA, 0), RET_A),
	F("scratch memory", C(BPF_LD | BPF_B | BPF_ABS, 3), C(BPF_ST, 15),
	  C(BPF_LD | BPF_IMM, 9), C(BPF_LDX | BPF_MEM, 15),
	  C(BPF_ALU | BPF_ADD | BPF_X, 0), RET_A),
	F("division by zero", C(BPF_LD | BPF_IMM, 9), C(BPF_LDX | BPF_IMM, 0),
	  C(BPF_ALU | BPF_DIV | BPF_X, 0), RET_A),
	F("arithmetic", C(BPF_LD | BPF_W | BPF_ABS, 8), C(BPF_MISC | BPF_TAX, 0),
	  C(BPF_ALU | BPF_MUL | BPF_K, 31), C(BPF_ALU | BPF_XOR | BPF_X, 0),
	  C(BPF_ALU | BPF_RSH | BPF_K, 3), C(BPF_ALU | BPF_MOD | BPF_K, 251), RET_A),
	F("jumps", C(BPF_LD | BPF_B | BPF_ABS, 1), CJ(BPF_JMP | BPF_JGT | BPF_K, 3, 1, 0),
	  C(BPF_RET | BPF_K, 11), CJ(BPF_JMP | BPF_JSET | BPF_K, 8, 0, 1),
	  C(BPF_RET | BPF_K, 22), C(BPF_RET | BPF_K, 33)),
	F("protocol", C(BPF_LD | BPF_H | BPF_ABS, SKF_AD_OFF + SKF_AD_PROTOCOL), RET_A),
	F("packet type", C(BPF_LD | BPF_B | BPF_ABS, SKF_AD_OFF + SKF_AD_PKTTYPE), RET_A),
	F("mark", C(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_MARK), RET_A),
	F("queue", C(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_QUEUE), RET_A),
	F("CPU", C(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_CPU), RET_A),
	F("VLAN tag", C(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_VLAN_TAG), RET_A),
	F("random number", C(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_RANDOM),
	  C(BPF_RET | BPF_K, 5)),
	F("payload offset", C(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_PAY_OFFSET), RET_A),
	F("search for an attribute", C(BPF_LD | BPF_IMM, 0), C(BPF_LDX | BPF_IMM, 3),
	  C(BPF_LD | BPF_B | BPF_ABS, SKF_AD_OFF + SKF_AD_NLATTR), RET_A),
};

/* How much of the packet the filter lets through: the length, -1 for nothing. */
static int filtered(size_t f, u8 *data)
{
	struct sock_fprog prog = {
		.len = ARRAY_SIZE(filters[f].insns),
		.filter = (struct sock_filter *)filters[f].insns,
	};
	u8 in[300];
	int s[2], i, n = -2;

	while (BPF_CLASS(prog.filter[prog.len - 1].code) != BPF_RET)
		prog.len--;
	for (i = 0; i < 300; i++)
		in[i] = i * 5 + 3;
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, s))
		return -3;
	if (setsockopt(s[1], SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog))) {
		diag("%s: attach: %s", filters[f].what, strerror(errno));
	} else {
		memset(data, 0, 300);
		if (write(s[0], in, sizeof(in)) != sizeof(in) && errno != EPERM)
			diag("%s: write: %s", filters[f].what, strerror(errno));
		n = read(s[1], data, 300);
	}
	close(s[0]);
	close(s[1]);
	return n;
}

static void classic(size_t f)
{
	u8 a[300], b[300];
	int n, m;
	s64 runs;

	moat_set_level(0);
	n = filtered(f, a);
	moat_set_level(moat_present() ? 2 : 0);
	runs = moat_counter("runs");
	kmsg_mark();
	m = filtered(f, b);
	if (!ok(n >= -1 && n == m && !memcmp(a, b, 300) &&
		(!moat_present() || moat_counter("runs") > runs),
		"classic filter: %s: the same at level 0 and 2", filters[f].what))
		diag("%d bytes at level 0, %d at level 2; %ld runs; %s", n, m,
		     moat_counter("runs") - runs, kmsg_find("moat: ", NULL) ?: "");
}

int main(void)
{
	static const struct prog_type *const types[] = {
		&xdp, &sched_cls, &sched_act, &socket_filter,
	};
	size_t i, c;

	pin_to_cpu(0);
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		t = types[i];
		for (c = 0; c < ARRAY_SIZE(cases); c++)
			if (t == &xdp ? cases[c].xdp : tc_type() ? cases[c].tc : cases[c].filter)
				compare(c);
	}
	for (i = 0; i < ARRAY_SIZE(filters); i++)
		classic(i);
	if (!moat_present())
		skip("no moat.ko", "level 2");
	return finish();
}
