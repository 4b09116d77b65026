// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=product,preempt levels=2 cpus=4 keys=13,0 full=1 timeout=300 */
/*
 * Do programs do the same with context and packet when they are isolated, by
 * themselves and through helpers?
 */
#include "results.h"

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
	end_with(t->pass);
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
	end_with(t->pass);
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
	end_with(t->pass);
}

/* What a helper is shown, and then taken back: it is as it was in the end. */
static void ctx_taken_back(void)
{
	static const int skb_fields[] = {
		offsetof(struct __sk_buff, cb[1]), offsetof(struct __sk_buff, mark),
		offsetof(struct __sk_buff, priority), offsetof(struct __sk_buff, tc_index),
	};
	int i;

	begin();
	for (i = 0; i < (tc_type() ? 4 : 1); i++) {
		E(LDX(BPF_W, R7, R6, skb_fields[i]), MOV_REG(R2, R7),
		  ALU64_IMM(BPF_XOR, R2, 0x55), STX(BPF_W, R6, R2, skb_fields[i]),
		  MOV_REG(R1, R6), MOV_IMM(R2, 0), MOV_REG(R3, R10),
		  ALU64_IMM(BPF_ADD, R3, -64), MOV_IMM(R4, 4), CALL(skb_load_bytes));
		tell(R0);
		E(STX(BPF_W, R6, R7, skb_fields[i]));
	}
	end_with(t->pass);
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
	end_with(t->pass);
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
	end_with(t->pass);
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
	end_with(t->pass);
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
	end_with(t->pass);
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
	end_with(t->pass);
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
	end_with(t->pass);
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
	end_with(t->pass);
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
	end_with(t->pass);
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
	end_with(t->pass);
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
	end_with(t->pass);
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
	end_with(t->pass);
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
	end_with(t->pass);
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
	ends_early();
	E(LD_ABS(BPF_W, PACKET - 3));
	tell(R0);
	end_with(t->pass);
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
	end_with(t->pass);
}

static void redirect(void)
{
	E(MOV_IMM(R1, 1), MOV_IMM(R2, 0), CALL(redirect), EXIT());
}

static const struct result_case cases[] = {
	{ "context reads", ctx_reads, true, true, true },
	{ "narrow context reads", ctx_narrow, false, true, true },
	{ "context writes", ctx_writes, false, true, false },
	{ "context fields taken back after a helper", ctx_taken_back, false, true, true },
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
	{ "a function with the context", function_ctx, true, true, false },
	{ "LD_ABS and LD_IND", load_absolute, false, true, true },
	{ "skb helpers", skb_helpers, false, true, true },
	{ "redirect", redirect, true, true, false },
};

int main(void)
{
	return compare_all(cases, ARRAY_SIZE(cases));
}
