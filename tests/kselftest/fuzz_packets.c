// SPDX-License-Identifier: GPL-2.0
/*
 * Packets and their shapes: what drivers, GRO and sockets make. Whatever says how a
 * packet is to be segmented is right, as it is in the kernel, but where it is marked
 * as not to be trusted (SKB_GSO_DODGY); what a remote host can send may be nonsense.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>
#include "fuzz.h"

/* include/linux/skbuff.h */
enum {
	TCPV4 = 1 << 0, DODGY = 1 << 1, TCP_ECN = 1 << 2, TCP_FIXEDID = 1 << 3, TCPV6 = 1 << 4,
	GRE = 1 << 6, GRE_CSUM = 1 << 7, IPXIP4 = 1 << 8, IPXIP6 = 1 << 9, UDP_TUNNEL = 1 << 10,
	UDP_TUNNEL_CSUM = 1 << 11, PARTIAL = 1 << 12, SCTP = 1 << 14,
	UDP_L4 = 1 << 17, FRAGLIST = 1 << 18,
};
enum { SUM_NONE, SUM_UNNECESSARY, SUM_COMPLETE, SUM_PARTIAL };

/* include/linux/netdev_features.h */
#define F(N)		(1ULL << (N))
#define F_SG		F(0)
#define F_IP_CSUM	(F(1) | F(4))
#define F_HW_CSUM	F(3)
#define F_FRAGLIST	F(6)
#define F_VLAN		(F(7) | F(45))
#define F_HIGHDMA	F(5)
#define F_TSO		(F(16) | F(18) | F(19) | F(20))
#define F_TUNNELS	(F(22) | F(23) | F(24) | F(25) | F(26) | F(27))
#define F_PARTIAL	F(28)
#define F_SCTP		(F(30) | F(32))
#define F_UDP_L4	F(33)
#define F_GSO_LIST	F(34)

static u64 features(u64 *rng)
{
	static const u64 devices[] = {
		0, F_SG, F_HW_CSUM, F_SG | F_HW_CSUM, F_SG | F_IP_CSUM,
		F_SG | F_HW_CSUM | F_FRAGLIST, F_SG | F_HW_CSUM | F_TSO,
		F_SG | F_HW_CSUM | F_TSO | F_TUNNELS, F_SG | F_HW_CSUM | F_TSO | F_PARTIAL,
		F_SG | F_HW_CSUM | F_UDP_L4, F_SG | F_HW_CSUM | F_TSO | F_UDP_L4 | F_GSO_LIST,
		F_SG | F_FRAGLIST, F_SG | F_HW_CSUM | F_FRAGLIST | F_SCTP, F_SG | F_HW_CSUM | F_TSO | F(17),
	};

	return F_HIGHDMA | devices[below(rng, ARRAY_SIZE(devices))] | (one_in(rng, 2) ? F_VLAN : 0);
}

static u32 length(u64 *rng, u32 most)
{
	switch (below(rng, 16)) {
	case 0:
		return 14 + below(rng, 8);
	case 1 ... 5:
		return 14 + below(rng, 100);
	case 6 ... 10:
		return 60 + below(rng, 1500);
	case 11 ... 13:
		return 60 + below(rng, 4200);
	case 14:
		return most - below(rng, most / 2 < 200 ? most / 2 : 200);
	default:
		return 14 + below(rng, most - 14);
	}
}

/* SCTP's are of any size: each buffer of the list is a segment, as a socket made it. */
static void chunks(u64 *rng, struct moat_test_packet *p, u32 header, u32 size)
{
	u32 most = (MOST - header) / size;

	p->gso_size = 0xffff;
	p->gso_segs = 1 + below(rng, most < 20 ? most : 20);
	p->len = header + p->gso_segs * size - below(rng, size);
	p->payload = p->linear = p->head = header;
	p->list = size;
	p->frag = size;
}

/* How it is to be segmented: after the headers, in pieces of @gso_size */
static void pieces(u64 *rng, struct moat_test_packet *p, u32 header, u32 mss)
{
	u32 n = 2 + below(rng, one_in(rng, 6) ? 44 : 6), most = 65535 / mss, i;

	if (n > most)
		n = most < 2 ? 2 : most;
	p->gso_size = mss;
	p->gso_segs = n;
	p->len = header + n * mss - (one_in(rng, 2) ? below(rng, mss) : 0);
	p->payload = header;
	p->linear = header;
	p->head = p->len;
	p->frag = mss;
	switch (below(rng, 5)) {
	case 0:	/* of a socket: any */
		p->linear += below(rng, p->len - header + 1);
		p->frag = 1 + p->len / 16 + below(rng, 4096);
		break;
	case 1:	/* of GRO: each as it came, until there are no more fragments */
		i = below(rng, 17);
		if (i < n - 1)
			p->head = header + (i + 1) * mss;
		p->list = p->head < p->len ? mss * (1 + below(rng, 3)) : 0;
		p->flags |= PACKET_LIST_FRAGS;
		break;
	case 2:	/* the same from a driver that copies */
		p->linear += mss;
		p->head = p->linear;
		p->list = mss;
		break;
	case 3:
		p->linear += mss;
		p->head = p->linear;
		p->list = mss;
		p->flags |= PACKET_HEAD_FRAG | PACKET_LIST_HEAD_FRAG;
		break;
	default: /* linear and not, a page fragment or not */
		p->head = header + mss;
		p->linear = one_in(rng, 2) ? p->head : header;
		p->list = mss;
		p->flags |= PACKET_LIST_MIXED | (one_in(rng, 2) ? PACKET_LIST_FRAGS :
						 PACKET_LIST_HEAD_FRAG);
	}
	if (p->head == p->len)
		p->list = 0;
	if (!p->list && one_in(rng, 4))
		p->gso_type |= DODGY;
	/* Of what was not made by GRO nobody trusts the sizes. */
	if (p->gso_type & DODGY && one_in(rng, 2)) {
		p->gso_size = 1 + p->len / 64 + below(rng, 3000);
		p->gso_segs = below(rng, 20);
	}
}

static void one_buffer(u64 *rng, struct moat_test_packet *p, u32 header)
{
	p->payload = header < p->len ? header : p->len;
	p->head = p->len;
	switch (below(rng, 4)) {
	case 0:
		p->linear = p->len;
		break;
	case 1:
		p->linear = p->payload + below(rng, p->len - p->payload + 1);
		break;
	case 2:	/* a driver that copies nothing but what Ethernet wants */
		p->linear = p->payload = ETH_HLEN;
		break;
	default: /* reassembled: the others are behind the first */
		p->head = p->payload + (p->len - p->payload) / 2;
		p->linear = p->payload + below(rng, p->head - p->payload + 1);
		p->list = 1 + (p->len - p->head) / 6 + below(rng, 1000);
		p->flags |= below(rng, 2) * PACKET_LIST_FRAGS;
		if (p->head == p->len)
			p->list = 0;
	}
	p->frag = 1 + p->len / 16 + below(rng, 4000);
}

enum tunnel { NO_TUNNEL, OVER_UDP, OVER_GRE, OVER_IP };

struct kind {
	enum tunnel tunnel;
	bool six, outer_six, tcp, sctp, csum;
	u32 datagram;	/* bytes of one, or 0: all there are */
};

/*
 * The headers of a packet of @size bytes, or of one that is not known yet: the same
 * @rng makes headers of the same length. Returns that.
 */
static u32 headers(u64 rng, struct moat_test_packet *p, u8 *data, const struct kind *k, u32 size)
{
	u32 proto, at;

#define REST (size > at ? size - at : 0)
	p->inner_mac = p->inner_network = p->inner_transport = -1;
	p->protocol = (k->tunnel ? k->outer_six : k->six) ? ETH_P_IPV6 : ETH_P_IP;
	at = header_ethernet(&rng, data, p->protocol);
	p->network = at;
	if (k->tunnel) {
		proto = k->tunnel == OVER_UDP ? IPPROTO_UDP : k->tunnel == OVER_GRE ? IPPROTO_GRE :
			k->six ? IPPROTO_IPV6 : IPPROTO_IPIP;
		at += header_ip(&rng, data + at, REST, proto, k->outer_six);
		p->transport = at;
		p->inner_protocol = k->six ? ETH_P_IPV6 : ETH_P_IP;
		if (k->tunnel == OVER_UDP) {
			at += header_udp(&rng, data + at, REST, 4789);
			put16(data + at - 2, k->csum ? 0x1234 : 0);
			memcpy(data + at, "\x08\0\0\0\0\0\x2a\0", 8);
			at += 8;
			p->inner_mac = at;
			at += header_ethernet(&rng, data + at, p->inner_protocol);
			p->inner_protocol = ETH_P_TEB;
		} else if (k->tunnel == OVER_GRE) {
			memset(data + at, 0, 8);
			put16(data + at, k->csum ? 0x8000 : 0);
			put16(data + at + 2, p->inner_protocol);
			at += k->csum ? 8 : 4;
			p->inner_mac = at;
		} else {
			p->inner_mac = at;
			p->ipproto = proto;
		}
		p->inner_network = at;
	}
	at += header_ip(&rng, data + at, REST, k->sctp ? IPPROTO_SCTP : k->tcp ? IPPROTO_TCP : IPPROTO_UDP,
		 k->six);
	if (k->tunnel)
		p->inner_transport = at;
	else
		p->transport = at;
	p->csum_start = at;
	p->csum_offset = k->sctp ? 8 : k->tcp ? 16 : 6;
	at += k->sctp ? header_sctp(&rng, data + at) : k->tcp ? header_tcp(&rng, data + at) :
	      header_udp(&rng, data + at, k->datagram ?: REST, FUZZ_PORT);
#undef REST
	return at;
}

static u32 gso_type(u64 *rng, const struct kind *k, bool list)
{
	u32 type;

	if (k->sctp)
		type = SCTP;
	else if (!k->tcp)
		type = UDP_L4 | list * FRAGLIST;
	else
		type = (k->six ? TCPV6 : TCPV4) | below(rng, 2) * TCP_ECN |
		       one_in(rng, 8) * TCP_FIXEDID | one_in(rng, 16) * PARTIAL;
	switch (k->tunnel) {
	case OVER_UDP:
		return type | (k->csum ? UDP_TUNNEL_CSUM : UDP_TUNNEL);
	case OVER_GRE:
		return type | (k->csum ? GRE_CSUM : GRE);
	case OVER_IP:
		return type | (k->outer_six ? IPXIP6 : IPXIP4);
	default:
		return type;
	}
}

static void traffic(u64 *rng, struct moat_test_packet *p, u8 *data, bool gso)
{
	struct kind k = { .tcp = below(rng, 3), .six = below(rng, 2), .outer_six = below(rng, 2),
			  .csum = one_in(rng, 3) };
	u32 at, mss = one_in(rng, 3) ? 1 + below(rng, 200) : 100 + below(rng, 1349);
	bool list = gso && !k.tcp && one_in(rng, 2);
	u64 same = any(rng);

	if (!list && one_in(rng, 3))
		k.tunnel = 1 + below(rng, 3);
	k.sctp = gso && !list && one_in(rng, 8);
	k.datagram = list ? mss + 8 : 0;
	at = headers(same, p, data, &k, 0);
	if (gso) {
		p->gso_type = gso_type(rng, &k, list);
		if (k.sctp)
			chunks(rng, p, at, mss);
		else
			pieces(rng, p, at, mss);
	} else {
		p->len = length(rng, MOST);
		one_buffer(rng, p, at);
	}
	if (list) {
		p->head = at + mss < p->len ? at + mss : p->len;
		p->linear = one_in(rng, 2) ? at : p->head;
		p->list = p->head < p->len ? mss : 0;
		p->frag = mss;
		p->gso_size = mss;
		p->gso_type &= ~DODGY;
		p->flags = (p->flags & ~PACKET_LIST_MIXED) | PACKET_LIST_HEADERS;
		/* As drivers leave it, and segmenting relies on */
		p->headroom = p->headroom < 64 ? 64 : p->headroom;
	}
	headers(same, p, data, &k, p->len);
	contents(data, at, p->len > at ? p->len : at, any(rng));
	if (k.tunnel && (gso || one_in(rng, 2)) && at <= p->linear)
		p->flags |= PACKET_ENCAPSULATION;
	else
		p->inner_mac = p->inner_network = p->inner_transport = -1;
	if (gso)
		p->ip_summed = list ? SUM_UNNECESSARY : SUM_PARTIAL;
	else
		p->ip_summed = below(rng, at <= p->linear ? 4 : 3);
	/* The stack looks at a header before it notes where it is. */
	if (at > p->linear)
		p->transport = -1;
}

/* Not even that: any protocol, any length */
static void nonsense(u64 *rng, struct moat_test_packet *p, u8 *data)
{
	p->protocol = PICK(rng, 0x0806, 0x88cc, 0x8847, 0x8100, 0x88a8, 0x0800, 0x86dd);
	p->len = length(rng, one_in(rng, 2) ? 200 : MOST);
	contents(data, header_ethernet(rng, data, p->protocol), p->len, any(rng));
	p->network = ETH_HLEN;
	p->transport = -1;
	p->inner_mac = p->inner_network = p->inner_transport = -1;
	p->ip_summed = below(rng, 3);
	one_buffer(rng, p, ETH_HLEN);
}

/* 802.1Q in the packet itself, as devices without acceleration have it */
static void tag(u64 *rng, struct moat_test_packet *p, u8 *data)
{
	s32 *offsets[] = { &p->network, &p->transport, &p->inner_mac, &p->inner_network,
			   &p->inner_transport };
	u32 i;

	memmove(data + 16, data + 12, p->len - 12);
	put16(data + 12, one_in(rng, 2) ? ETH_P_8021Q : ETH_P_8021AD);
	put16(data + 14, below(rng, 4096));
	for (i = 0; i < ARRAY_SIZE(offsets); i++)
		if (*offsets[i] >= 0)
			*offsets[i] += 4;
	p->protocol = data[12] << 8 | data[13];
	p->len += 4;
	p->head += 4;
	p->linear += 4;
	p->payload += 4;
	p->csum_start += 4;
}

void packet_make(u64 *rng, struct moat_test_packet *p, u8 *data, bool is_xdp)
{
	static const u16 rooms[] = { 0, 2, 32, 64, 66, 96, 128, 192, 256, 512, 2000 };
	static const u16 behind[] = { 0, 0, 1, 64, 320, 1000 };
	bool gso = !is_xdp && below(rng, 2);

	memset(p, 0, sizeof(*p));
	p->prog_fd = -1;
	p->headroom = rooms[below(rng, ARRAY_SIZE(rooms))];
	p->tailroom = behind[below(rng, ARRAY_SIZE(behind))];
	p->flags = below(rng, 2) * PACKET_HEAD_FRAG | one_in(rng, 8) * PACKET_CLONED;
	p->csum_level = below(rng, 4);
	p->pkt_type = one_in(rng, 8) ? below(rng, 8) : 0;
	p->mark = below(rng, 4);
	p->features = features(rng);
	p->after = one_in(rng, 8) * PACKET_COPY |
		   PICK(rng, PACKET_SEGMENT, PACKET_SEGMENT, PACKET_SEGMENT, PACKET_FORWARD,
			PACKET_DELIVER, PACKET_LINEAR, 0);
	p->data = (uintptr_t)data;
	if (!gso && one_in(rng, 6))
		nonsense(rng, p, data);
	else
		traffic(rng, p, data, gso);
	if (one_in(rng, 8))
		p->vlan = (u32)(one_in(rng, 2) ? ETH_P_8021Q : ETH_P_8021AD) << 16 | below(rng, 4096);
	else if (one_in(rng, 8))
		tag(rng, p, data);
	if (!is_xdp) {
		p->way = p->transport < 0 || below(rng, 2) ? PACKET_INGRESS : PACKET_EGRESS;
		if (p->way == PACKET_EGRESS && p->ip_summed == SUM_COMPLETE)
			p->ip_summed = SUM_NONE;
		return;
	}
	p->way = PACKET_XDP;
	p->headroom = 256 + one_in(rng, 8) * below(rng, 2000);
	p->list = 0;
	p->head = p->len;
	p->linear = one_in(rng, 2) ? p->len : 14 + below(rng, p->len - 13);
	if (p->len > 20000 || !one_in(rng, 4))
		p->linear = p->linear > 3500 ? 3500 : p->linear;
	p->meta = p->linear >= 14 + 32 && one_in(rng, 4) ? 4 * below(rng, 9) : 0;
	p->payload = 0;
	p->frag = 4000;
}

u32 packet_plain(u64 *rng, u8 *data, u32 most)
{
	struct moat_test_packet p;
	u32 len;

	packet_make(rng, &p, data, true);
	len = p.len < most ? p.len : most;
	/* A test run wants headers of what it recognises. */
	return len < 14 ? 14 : len;
}

void packet_tell(const struct moat_test_packet *p)
{
	static const char *const ways[] = { "egress", "ingress", "xmit", "recv", "xdp" };

	diag("  packet: %s len %u head %u linear %u frag %u list %u, room %u %u, flags %#x",
	     ways[p->way % 5], p->len, p->head, p->linear, p->frag, p->list, p->headroom,
	     p->tailroom, p->flags);
	diag("  gso type %#x size %u segs %u, summed %u at %u + %u, vlan %#x, proto %#x, headers"
	     " %d %d %d %d %d, then %#x with %#llx", p->gso_type, p->gso_size, p->gso_segs,
	     p->ip_summed, p->csum_start, p->csum_offset, p->vlan, p->protocol, p->network,
	     p->transport, p->inner_mac, p->inner_network, p->inner_transport, p->after,
	     (unsigned long long)p->features);
}
