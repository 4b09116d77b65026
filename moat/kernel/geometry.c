// SPDX-License-Identifier: GPL-2.0
/*
 * What socket buffers look like to helpers/geometry.rs, and how they are mended.
 */
#include <linux/filter.h>
#include <linux/if_vlan.h>
#include <linux/kernel.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <linux/version.h>
#include <net/sch_generic.h>
#include <net/xdp.h>

#include "shims.h"

/*
 * Since when a GSO packet with a frag_list can be segmented after something was pulled
 * out of the list, or its header changed. By upstream's commit, and 6.1.y's release:
 *
 *	9e4b7a99a03a	6.1.0	net: gso: fix panic on frag_list with mixed head alloc types
 *	23d05d563b7e	6.1.79	net: prevent mss overflow in skb_segment()
 *	fa5ef655615a	6.1.103	bpf: Fix a segment issue when downgrading gso_size
 *	a1e40ac5b5e9	6.1.113	gso: fix udp gso fraglist segmentation after pull from frag_list
 *	3382a1ed7f77	6.1.142	net: fix udp gso skb_segment after pull from frag_list
 *	17bd3bd82f9f	6.1.167	net: gso: fix tcp fraglist segmentation after pull from frag_list
 *			6.1.167	net: fix segmentation of forwarding fraglist GRO
 */
#define LISTS_ARE_FIXED (LINUX_VERSION_CODE >= KERNEL_VERSION(6, 1, 167))

/*
 * Whether what writes to a packet, or pulls from its fragments, can change nothing that
 * matters: there is nothing to pull, and no offset moves.
 */
bool moat_shim_skb_is_simple(const void *ctx)
{
	const struct sk_buff *skb = ctx;

	return !skb->data_len && !skb_shared(skb) && skb->ip_summed != CHECKSUM_PARTIAL;
}

void moat_shim_geometry(const void *ctx, struct moat_geometry *g)
{
	const struct sk_buff *skb = ctx;
	const struct skb_shared_info *shinfo = skb_shinfo(skb);
	const struct sk_buff *frag;

	*g = (struct moat_geometry){
		.data = skb_headroom(skb),
		.tail = skb_tail_pointer(skb) - skb->head,
		.end = skb_end_offset(skb),
		.len = skb->len,
		.data_len = skb->data_len,
		.mac = skb->mac_header,
		.network = skb->network_header,
		.transport = skb->transport_header,
		.inner_mac = skb->inner_mac_header,
		.inner_network = skb->inner_network_header,
		.inner_transport = skb->inner_transport_header,
		.csum_start = skb->csum_start,
		.csum_end = skb->csum_start + skb->csum_offset + sizeof(__sum16),
		.mac_len = skb->mac_len,
		.gso_size = shinfo->gso_size,
		.gso_type = shinfo->gso_type,
		.protocol = ntohs(skb->protocol),
		.csum_level = skb->csum_level,
		.max_len = SKB_MAX_ALLOC,
		.flags = (skb_cloned(skb) ? IS_CLONED : 0) |
			 (skb_header_cloned(skb) ? IS_HEADER_CLONED : 0) |
			 (skb_shared(skb) ? IS_SHARED : 0) |
			 (skb->ip_summed == CHECKSUM_PARTIAL ? IS_PARTIAL : 0) |
			 (skb->ip_summed == CHECKSUM_UNNECESSARY ? IS_UNNECESSARY : 0) |
			 (skb->encapsulation ? IS_ENCAP : 0) |
			 (skb_vlan_tag_present(skb) ? IS_TAGGED : 0) |
			 (skb_at_tc_ingress(skb) ? IS_INGRESS : 0) |
			 (shinfo->frag_list ? HAS_LIST : 0) |
			 (LISTS_ARE_FIXED ? HAS_FIXED_LIST : 0),
	};
	if (!shinfo->gso_size)
		return;
	skb_walk_frags(skb, frag)
		if (skb_headlen(frag))
			g->flags |= HAS_LINEAR_LIST;
}

/* Of what a socket buffer is made of later, in generic XDP or by a driver */
void moat_shim_xdp_geometry(const void *ctx, struct moat_geometry *g)
{
	const struct xdp_buff *xdp = ctx;

	*g = (struct moat_geometry){
		.data = xdp->data - xdp->data_hard_start,
		.tail = xdp->data_end - xdp->data_hard_start,
		.end = xdp->frame_sz,
		.len = xdp->data_end - xdp->data,
	};
}

/*
 * skb_segment() relies on where the buffers of a list begin that have data outside of
 * fragments: where segments do, by the headers' lengths that GRO saw. So who may change
 * headers, or what is before them, is given such a packet in one buffer. UDP's
 * SKB_GSO_FRAGLIST becomes one by itself, and SCTP's list is what its segments are.
 * Without memory for it the packet stays as it is: if it cannot be segmented then, it is
 * dropped. Returns whether the buffer may be another one.
 */
bool moat_shim_make_one(void *ctx)
{
	struct sk_buff *skb = ctx;
	const void *head = skb->head;
	const struct sk_buff *frag;
	u8 metadata;

	if (!skb->data_len || !skb_is_gso(skb) || skb_shared(skb) || moat_off(GEOMETRY))
		return false;
	if (skb_shinfo(skb)->gso_size == GSO_BY_FRAGS ||
	    (skb_shinfo(skb)->gso_type & SKB_GSO_FRAGLIST && !skb_is_gso_tcp(skb)))
		return false;
	skb_walk_frags(skb, frag) {
		if (!skb_headlen(frag))
			continue;
		/* It moves along with what is noted of it, but for its length. */
		metadata = skb_metadata_len(skb);
		skb_linearize(skb);
		skb_shinfo(skb)->meta_len = metadata;
		bpf_compute_data_pointers(skb);
		return skb->head != head;
	}
	return false;
}

/* Offsets, segments and what is known of checksums become those of @g. */
void moat_shim_mend(void *ctx, const struct moat_geometry *g)
{
	struct sk_buff *skb = ctx;

	skb->transport_header = g->transport;
	skb->inner_mac_header = g->inner_mac;
	skb->inner_network_header = g->inner_network;
	skb->inner_transport_header = g->inner_transport;
	if (skb_shinfo(skb)->gso_size != g->gso_size)
		skb_shinfo(skb)->gso_size = g->gso_size;
	if (skb->ip_summed != CHECKSUM_NONE)
		return;
	if (g->flags & IS_UNNECESSARY)
		skb->ip_summed = CHECKSUM_UNNECESSARY;
	if (g->flags & IS_PARTIAL)
		skb->ip_summed = CHECKSUM_PARTIAL;
}

/*
 * A helper has broken a packet, which nobody foresaw. It will be dropped, but who does
 * that may look at it once more, as cls_bpf does.
 */
void moat_shim_defuse(void *ctx)
{
	struct sk_buff *skb = ctx;

	skb_reset_mac_header(skb);
	skb_reset_network_header(skb);
	skb->transport_header = (typeof(skb->transport_header))~0U;
	skb_reset_mac_len(skb);
	skb->encapsulation = 0;
	skb->ip_summed = CHECKSUM_NONE;
	skb_gso_reset(skb);
	WARN_ON_ONCE(IS_ENABLED(CONFIG_BPF_MOAT_TEST));
}
