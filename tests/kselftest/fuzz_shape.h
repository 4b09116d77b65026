/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ioctl of /sys/kernel/debug/moat_test/packet: a copy of what the test kernel has as
 * kernel/bpf/moat_test_packet.h.
 */
#ifndef FUZZ_SHAPE_H
#define FUZZ_SHAPE_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* What @way says: who runs the program, if anybody does. */
enum {
	PACKET_EGRESS,	/* we, as tc on the way out; data at the MAC header */
	PACKET_INGRESS,	/* we, as tc on the way in; pulled to the network header */
	PACKET_XMIT,	/* what is attached to the device, on the way out */
	PACKET_RECV,	/* what is attached to the device, on the way in */
	PACKET_XDP,	/* we, as a driver would */
};

/* In @after: what becomes of a packet that passed; the first one that is asked for */
enum {
	PACKET_COPY = 1,	/* skb_copy(), skb_copy_expand(), beside the rest */
	PACKET_SEGMENT = 2,	/* what validate_xmit_skb() does for @features */
	PACKET_FORWARD = 4,	/* transmitted by the device */
	PACKET_DELIVER = 8,	/* received by the device */
	PACKET_LINEAR = 16,	/* skb_linearize(), skb_checksum_help() */
};

/* In @flags */
enum {
	PACKET_HEAD_FRAG = 1,	/* the head is a page fragment, as drivers have it */
	PACKET_CLONED = 2,	/* somebody else has a clone, as a packet socket */
	PACKET_LIST_HEADERS = 4, /* each of the list has headers, SKB_GSO_FRAGLIST */
	PACKET_LIST_FRAGS = 8,	/* each of the list has fragments only */
	PACKET_LIST_HEAD_FRAG = 16,
	PACKET_LIST_MIXED = 32,	/* every second one as the flags say, others linear */
	PACKET_ENCAPSULATION = 64,
	PACKET_REDIRECTED = 128, /* out: the verdict was a redirect */
};

#define PACKET_FOREIGN	0xdb	/* what our buffers hold that is not the packet's */

struct moat_test_packet {
	__s32 prog_fd;		/* -1: none */
	__u32 ifindex;
	__u32 way, after, flags;
	__u32 headroom, tailroom;
	__u32 head, linear;	/* bytes in head and fragments, of which in the head */
	__u32 frag, list;	/* bytes in a fragment, in each of the list */
	__u32 payload;		/* where headers end */
	__u32 gso_type, gso_size, gso_segs;
	__u32 ip_summed, csum_start, csum_offset, csum_level;
	__u32 vlan;		/* protocol << 16 | tag */
	__u32 protocol, inner_protocol, ipproto;
	__s32 network, transport, inner_mac, inner_network, inner_transport; /* -1: unset */
	__u32 mark, pkt_type;
	__u32 meta;		/* bytes of XDP metadata, which come first */
	__u32 len;
	__u64 data;
	__u64 features;		/* of what the device has */
	/* out */
	__u32 verdict;
	__u32 scanned;		/* bytes of packets that left, were copied or segmented */
	__u32 segments;
	__u32 foreign;		/* how many words of them nobody brought */
	__u64 word;		/* the first of these, */
	__u32 where, stage;	/* where in which packet, and what had become of it */
};

#define MOAT_TEST_PACKET _IOWR('M', 1, struct moat_test_packet)

#endif
