// SPDX-License-Identifier: GPL-2.0
/* Steps with the context, the packet, and what helpers make of them */
#include <arpa/inet.h>
#include <string.h>
#include "valid.h"

struct field {
	u16 at, size;		/* bytes */
	u8 read, written;	/* by which types: enum valid_types */
};

#define SKB(NAME, READ, WRITTEN) \
	{ offsetof(struct __sk_buff, NAME), sizeof(((struct __sk_buff *)0)->NAME), READ, WRITTEN }
static const struct field fields[] = {
	{ offsetof(struct xdp_md, ingress_ifindex), 4, V_XDP, 0 },
	{ offsetof(struct xdp_md, rx_queue_index), 4, V_XDP, 0 },
	SKB(len, V_SKB, 0), SKB(pkt_type, V_SKB, 0), SKB(mark, V_SKB, V_TC | V_CGROUP),
	SKB(queue_mapping, V_SKB, V_TC), SKB(protocol, V_SKB, 0), SKB(vlan_present, V_SKB, 0),
	SKB(vlan_tci, V_SKB, 0), SKB(vlan_proto, V_SKB, 0), SKB(priority, V_SKB, V_TC | V_CGROUP),
	SKB(ingress_ifindex, V_SKB, 0), SKB(ifindex, V_SKB, 0), SKB(tc_index, V_SKB, V_TC),
	SKB(cb[0], V_SKB, V_SKB), SKB(cb[1], V_SKB, V_SKB), SKB(cb[2], V_SKB, V_SKB),
	SKB(cb[3], V_SKB, V_SKB), SKB(cb[4], V_SKB, V_SKB), SKB(hash, V_SKB, 0),
	SKB(tc_classid, V_TC, V_TC), SKB(gso_segs, V_SKB, 0), SKB(gso_size, V_SKB, 0),
	SKB(tstamp, V_TC | V_CGROUP, V_TC | V_CGROUP), SKB(wire_len, V_TC, 0),
};

static const struct field *any_field(struct valid *v, bool written)
{
	const struct field *f;

	do {
		f = &fields[below(&v->rng, ARRAY_SIZE(fields))];
	} while (!((written ? f->written : f->read) & 1 << v->type));
	return f;
}

static void read_context(struct valid *v)
{
	const struct field *f = any_field(v, false);

	if (f->size == 8)
		E(LDX(BPF_DW, R1, R6, f->at));
	else if (v->type && one_in(&v->rng, 4) && f->at != offsetof(struct __sk_buff, tc_classid))
		E(LDX(one_in(&v->rng, 2) ? BPF_B : BPF_H, R1, R6, f->at));
	else
		E(LDX(BPF_W, R1, R6, f->at));
	mix(R1);
}

static void write_context(struct valid *v)
{
	const struct field *f = any_field(v, true);

	number(v, R1);
	E(STX(f->size == 8 ? BPF_DW : BPF_W, R6, R1, f->at));
}

/* R9 = @bytes of the packet from somewhere on; the jump is taken where there are none. */
static int in_packet(struct valid *v, u32 bytes)
{
	bool xdp = !v->type;

	E(LDX(BPF_W, R9, R6, xdp ? offsetof(struct xdp_md, data) : offsetof(struct __sk_buff, data)),
	  LDX(BPF_W, R2, R6, xdp ? offsetof(struct xdp_md, data_end) :
	      offsetof(struct __sk_buff, data_end)));
	if (one_in(&v->rng, 3))
		E(MOV_REG(R1, R7), ALU64_IMM(BPF_AND, R1, 127), ALU64_REG(BPF_ADD, R9, R1));
	else
		E(ALU64_IMM(BPF_ADD, R9, PICK(&v->rng, 0, 0, 12, 14, 20, 26, 34, 60)));
	E(MOV_REG(R1, R9), ALU64_IMM(BPF_ADD, R1, bytes));
	return jump(JMP_REG(BPF_JGT, R1, R2, 0));
}

static void read_packet(struct valid *v)
{
	u32 bytes = PICK(&v->rng, 1, 2, 4, 8, 20);
	int none = in_packet(v, bytes), size, n;

	for (n = below(&v->rng, 3); n >= 0; n--) {
		size = size_within(v, bytes);
		E(LDX(size, R1, R9, below(&v->rng, bytes - bytes_of(size) + 1)));
		mix(R1);
	}
	land(none);
}

static void write_packet(struct valid *v)
{
	u32 bytes = PICK(&v->rng, 1, 2, 4, 8, 16);
	int none = in_packet(v, bytes), size, n;

	for (n = below(&v->rng, 3); n >= 0; n--) {
		size = size_within(v, bytes);
		E(STX(size, R9, one_in(&v->rng, 2) ? R7 : R8,
		      below(&v->rng, bytes - bytes_of(size) + 1)));
	}
	land(none);
}

static void metadata(struct valid *v)
{
	int none, data = v->type ? offsetof(struct __sk_buff, data) : offsetof(struct xdp_md, data);
	int meta = v->type ? offsetof(struct __sk_buff, data_meta) : offsetof(struct xdp_md, data_meta);

	if (!v->type) {
		E(MOV_REG(R1, R6), MOV_IMM(R2, PICK(&v->rng, -4, -8, -32, 4, 8, -3)),
		  CALL(xdp_adjust_meta));
		mix(R0);
	}
	E(LDX(BPF_W, R9, R6, meta), LDX(BPF_W, R2, R6, data), ADDRESS(R1, R9, 4));
	none = jump(JMP_REG(BPF_JGT, R1, R2, 0));
	E(LDX(BPF_W, R1, R9, 0), STX(BPF_W, R9, R7, 0));
	mix(R1);
	land(none);
}

static void load_bytes(struct valid *v)
{
	u32 len = 1 + below(&v->rng, 40), kind = v->type ? below(&v->rng, 2) : 2;

	E(MOV_REG(R1, R6));
	small(v, R2, 63);
	E(ADDRESS(R3, R10, VALUE_AT), MOV_IMM(R4, len));
	if (kind == 0)
		E(CALL(skb_load_bytes));
	else if (kind == 1)
		E(MOV_IMM(R5, below(&v->rng, 2)), CALL(skb_load_bytes_relative));
	else
		E(CALL(xdp_load_bytes));
	mix(R0);
	E(LDX(BPF_DW, R1, R10, VALUE_AT));
	mix(R1);
}

static void store_bytes(struct valid *v)
{
	fill_value(v);
	E(MOV_REG(R1, R6));
	small(v, R2, 63);
	E(ADDRESS(R3, R10, VALUE_AT), MOV_IMM(R4, 1 + below(&v->rng, 40)));
	if (v->type)
		E(MOV_IMM(R5, below(&v->rng, 4)), CALL(skb_store_bytes));
	else
		E(CALL(xdp_store_bytes));
	mix(R0);
}

static void checksums(struct valid *v)
{
	fill_value(v);
	switch (below(&v->rng, v->type == 1 ? 5 : 1)) {
	case 0:
		E(ADDRESS(R1, R10, VALUE_AT), MOV_IMM(R2, 4 * below(&v->rng, 9)),
		  ADDRESS(R3, R10, VALUE_AT + 16), MOV_IMM(R4, 4 * below(&v->rng, 9)));
		number(v, R5);
		E(CALL(csum_diff));
		break;
	case 1:
		E(MOV_REG(R1, R6), MOV_IMM(R2, PICK(&v->rng, 24, 16, 0, 10)));
		number(v, R3);
		number(v, R4);
		E(MOV_IMM(R5, PICK(&v->rng, 0, 2, 4)), CALL(l3_csum_replace));
		break;
	case 2:
		E(MOV_REG(R1, R6), MOV_IMM(R2, PICK(&v->rng, 40, 50, 36)));
		number(v, R3);
		number(v, R4);
		E(MOV_IMM(R5, PICK(&v->rng, 0, 2, 4, 0x12, 0x24, 0x44)), CALL(l4_csum_replace));
		break;
	case 3:
		E(MOV_REG(R1, R6));
		number(v, R2);
		E(CALL(csum_update));
		break;
	default:
		E(MOV_REG(R1, R6), MOV_IMM(R2, below(&v->rng, 5)), CALL(csum_level));
	}
	mix(R0);
}

static void reshape(struct valid *v)
{
	E(MOV_REG(R1, R6));
	switch (below(&v->rng, 7)) {
	case 0:
		E(MOV_IMM(R2, PICK(&v->rng, 20, 60, 64, 100, 300, 1000)), MOV_IMM(R3, 0),
		  CALL(skb_change_tail));
		break;
	case 1:
		E(MOV_IMM(R2, PICK(&v->rng, 0, 4, 14, 40, 300)), MOV_IMM(R3, 0), CALL(skb_change_head));
		break;
	case 2:
		E(MOV_IMM(R2, PICK(&v->rng, 0, 20, 64, 500)), CALL(skb_pull_data));
		break;
	case 3:
		E(MOV_IMM(R2, htons(PICK(&v->rng, 0x8100, 0x88a8, 0x800))), MOV_IMM(R3, below(&v->rng, 4096)),
		  CALL(skb_vlan_push));
		break;
	case 4:
		E(CALL(skb_vlan_pop));
		break;
	case 5:
		E(MOV_IMM(R2, PICK(&v->rng, -20, -8, 4, 8, 20, 40)), MOV_IMM(R3, below(&v->rng, 2)),
		  MOV_IMM(R4, PICK(&v->rng, 0, 0, 1, 2)), CALL(skb_adjust_room));
		break;
	default:
		E(MOV_IMM(R2, htons(PICK(&v->rng, 0x800, 0x86dd))), MOV_IMM(R3, 0), CALL(skb_change_proto));
	}
	mix(R0);
}

static void mark_packet(struct valid *v)
{
	E(MOV_REG(R1, R6));
	switch (below(&v->rng, 5)) {
	case 0:
		E(MOV_IMM(R2, below(&v->rng, 5)), CALL(skb_change_type));
		break;
	case 1:
		E(CALL(skb_ecn_set_ce));
		break;
	case 2:
		E(MOV_REG(R2, R7), CALL(set_hash));
		break;
	case 3:
		E(CALL(get_hash_recalc));
		break;
	default:
		E(CALL(get_cgroup_classid));
	}
	mix(R0);
}

static void reshape_frame(struct valid *v)
{
	E(MOV_REG(R1, R6));
	switch (below(&v->rng, 3)) {
	case 0:
		E(MOV_IMM(R2, PICK(&v->rng, -40, -14, -4, 0, 4, 14, 30, 200)), CALL(xdp_adjust_head));
		break;
	case 1:
		E(MOV_IMM(R2, PICK(&v->rng, -200, -20, -1, 0, 1, 16, 100)), CALL(xdp_adjust_tail));
		break;
	default:
		E(CALL(xdp_get_buff_len));
	}
	mix(R0);
}

static void routes(struct valid *v)
{
	if (one_in(&v->rng, 2)) {
		E(ST(BPF_DW, R10, VALUE_AT, 0), MOV_REG(R1, R6), MOV_IMM(R2, below(&v->rng, 3)),
		  ADDRESS(R3, R10, VALUE_AT), MOV_IMM(R4, PICK(&v->rng, 0, 100, 65535, -20)),
		  MOV_IMM(R5, 0), CALL(check_mtu));
	} else {
		fill_value(v);
		/* of IPv4, to 127.0.0.1 or elsewhere */
		E(ST(BPF_B, R10, VALUE_AT, 2), ST(BPF_W, R10, VALUE_AT + 8, 1),
		  ST(BPF_W, R10, VALUE_AT + 32, one_in(&v->rng, 2) ? 0x0100007f : 0x05000010),
		  MOV_REG(R1, R6), ADDRESS(R2, R10, VALUE_AT), MOV_IMM(R3, 64),
		  MOV_IMM(R4, below(&v->rng, 4)), CALL(fib_lookup));
	}
	mix(R0);
	E(LDX(BPF_W, R1, R10, VALUE_AT));
	mix(R1);
}

static void socket_of(struct valid *v)
{
	static const u16 at[] = {
		offsetof(struct bpf_sock, family), offsetof(struct bpf_sock, type),
		offsetof(struct bpf_sock, protocol), offsetof(struct bpf_sock, src_ip4),
		offsetof(struct bpf_sock, state), offsetof(struct bpf_sock, src_port),
		offsetof(struct bpf_sock, bound_dev_if), offsetof(struct bpf_sock, mark),
	};
	int none, n;

	E(ST(BPF_W, R10, VALUE_AT, htonl(INADDR_LOOPBACK)), ST(BPF_W, R10, VALUE_AT + 4,
	      htonl(INADDR_LOOPBACK)), ST(BPF_H, R10, VALUE_AT + 8, htons(9)),
	  ST(BPF_H, R10, VALUE_AT + 10, one_in(&v->rng, 4) ? 0 : v->port), MOV_REG(R1, R6),
	  ADDRESS(R2, R10, VALUE_AT), MOV_IMM(R3, 12), MOV_IMM(R4, -1), MOV_IMM(R5, 0));
	if (one_in(&v->rng, 2))
		E(CALL(sk_lookup_tcp));
	else
		E(CALL(skc_lookup_tcp));
	none = jump(JMP_IMM(BPF_JEQ, R0, 0, 0));
	E(MOV_REG(R9, R0));
	if (insns[cnt - 3].imm == BPF_FUNC_sk_lookup_tcp)
		for (n = below(&v->rng, 4); n; n--) {
			E(LDX(BPF_W, R1, R9, at[below(&v->rng, ARRAY_SIZE(at))]));
			mix(R1);
		}
	E(MOV_REG(R1, R9), CALL(sk_release));
	land(none);
}

static void load_absolute(struct valid *v)
{
	int size = PICK(&v->rng, BPF_B, BPF_H, BPF_W);

	if (v->functions)
		return;
	if (one_in(&v->rng, 2)) {
		E(LD_ABS(size, PICK(&v->rng, 0, 12, 14, 23, 26, 30, 300)));
	} else {
		small(v, R1, 63);
		E(LD_IND(size, R1, below(&v->rng, 20)));
	}
	mix(R0);
}

static void strings(struct valid *v)
{
	/* The number is at the beginning of what is no string otherwise. */
	E(LD_IMM64(R1, 0x0000003233392d20ULL), STX(BPF_DW, R10, R1, VALUE_AT),
	  ST(BPF_DW, R10, VALUE_AT + 8, 0), ADDRESS(R1, R10, VALUE_AT), MOV_IMM(R2, 1 + below(&v->rng, 16)),
	  MOV_IMM(R3, PICK(&v->rng, 0, 10, 16, 7)), ADDRESS(R4, R10, VALUE_AT + 16));
	if (one_in(&v->rng, 2))
		E(CALL(strtol));
	else
		E(CALL(strtoul));
	mix(R0);
	E(LDX(BPF_DW, R1, R10, VALUE_AT + 16));
	mix(R1);
}

static void where_it_runs(struct valid *v)
{
	if (one_in(&v->rng, 2))
		E(CALL(get_smp_processor_id));
	else
		E(CALL(get_numa_node_id));
	mix(R0);
}

#define PACKET (V_XDP | V_TC | V_CGROUP)
const struct step packet_steps[] = {
	STEP(read_context, V_ALL, 10, CONTEXT), STEP(write_context, V_SKB, 4, CONTEXT),
	STEP(read_packet, PACKET, 12, CONTEXT), STEP(write_packet, V_XDP | V_TC, 8, CONTEXT),
	STEP(metadata, V_XDP | V_TC, 2, CONTEXT), STEP(load_bytes, V_ALL, 4, CONTEXT),
	STEP(store_bytes, V_XDP | V_TC, 4, CONTEXT), STEP(checksums, V_XDP | V_TC, 5, CONTEXT),
	STEP(reshape, V_TC, 5, CONTEXT), STEP(mark_packet, V_TC, 3, CONTEXT),
	STEP(reshape_frame, V_XDP, 4, CONTEXT), STEP(routes, V_XDP | V_TC, 3, CONTEXT),
	STEP(socket_of, V_XDP | V_TC | V_CGROUP, 3, CONTEXT),
	STEP(load_absolute, V_TC | V_FILTER, 4, MAIN), STEP(strings, V_ALL, 2, EVERYWHERE),
	STEP(where_it_runs, V_ALL, 1, EVERYWHERE),
};
const u32 nr_packet_steps = ARRAY_SIZE(packet_steps);
