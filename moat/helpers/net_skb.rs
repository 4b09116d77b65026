// SPDX-License-Identifier: GPL-2.0
//! Helpers of programs whose context is a socket buffer.
//!
//! Source: `tc_cls_act_func_proto()`, `sk_filter_func_proto()` and `cg_skb_func_proto()` in
//! `net/core/filter.c`.  Who changes the packet follows the bodies, and is a
//! superset of `bpf_helper_changes_pkt_data()`.

use super::contract::{
    helper, mem, mem_or_null, Access::*, Arg, Contract, ProgTypes, ANY, CTX, NO, SIZE, SIZE_OR_ZERO,
};
use super::geometry::Shape;
use super::net_both::SHOT;
use crate::maps::types::{MapTypes, CGROUP_ARRAY};

const SKB: ProgTypes = ProgTypes::SKB;
const TC: ProgTypes = ProgTypes::TC;
const TC_CGROUP: ProgTypes = ProgTypes::TC_CGROUP;
const CGROUPS: Arg = Arg::MapPtr(MapTypes::of(&[CGROUP_ARRAY]));

/// The context and `rest` scalars, for traffic control.
const fn skb(id: u32, name: &'static str, rest: usize) -> Contract {
    skb_of(TC, id, name, rest)
}

/// The same for others.
const fn skb_of(types: ProgTypes, id: u32, name: &'static str, rest: usize) -> Contract {
    let mut args = [NO; 5];
    args[0] = CTX;
    let mut i = 1;
    while i <= rest {
        args[i] = ANY;
        i += 1;
    }
    helper(id, name, types, args)
}

pub(super) const CONTRACTS: &[Contract] = &[
    helper(
        9,
        "skb_store_bytes",
        TC,
        [CTX, ANY, mem(Read, 3), SIZE, ANY],
    )
    .reshapes(Shape::Store),
    skb(10, "l3_csum_replace", 4).reshapes(Shape::Csum),
    skb(11, "l4_csum_replace", 4).reshapes(Shape::Csum),
    // -ENETDOWN, as for too deep a recursion.
    skb(13, "clone_redirect", 2)
        .reshapes(Shape::Clone)
        .sends_at_once(-100),
    skb(17, "get_cgroup_classid", 0),
    skb(18, "skb_vlan_push", 2).reshapes(Shape::VlanPush),
    skb(19, "skb_vlan_pop", 0).reshapes(Shape::VlanPop),
    helper(
        20,
        "skb_get_tunnel_key",
        TC,
        [CTX, mem(Write, 2), SIZE, ANY, NO],
    ),
    helper(
        21,
        "skb_set_tunnel_key",
        TC,
        [CTX, mem(Read, 2), SIZE, ANY, NO],
    ),
    skb(24, "get_route_realm", 0),
    helper(
        26,
        "skb_load_bytes",
        SKB,
        [CTX, ANY, mem(Write, 3), SIZE, NO],
    )
    .leaves_maps()
    .reads_ctx(),
    helper(
        29,
        "skb_get_tunnel_opt",
        TC,
        [CTX, mem(Write, 2), SIZE, NO, NO],
    ),
    helper(
        30,
        "skb_set_tunnel_opt",
        TC,
        [CTX, mem(Read, 2), SIZE, NO, NO],
    ),
    skb(31, "skb_change_proto", 2).reshapes(Shape::Proto),
    skb(32, "skb_change_type", 1).changes_ctx(),
    helper(33, "skb_under_cgroup", TC, [CTX, CGROUPS, ANY, NO, NO]),
    // Without a hash it dissects the packet and sets one.
    skb(34, "get_hash_recalc", 0).changes_ctx(),
    skb(38, "skb_change_tail", 2).reshapes(Shape::Tail),
    skb(39, "skb_pull_data", 1).reshapes(Shape::Pull),
    // skb->csum, ip_summed and csum_level are not in struct __sk_buff.
    skb(40, "csum_update", 1),
    skb(41, "set_hash_invalid", 0).changes_ctx(),
    skb(43, "skb_change_head", 2).reshapes(Shape::Head),
    helper(46, "get_socket_cookie", SKB, [CTX, NO, NO, NO, NO]),
    helper(47, "get_socket_uid", SKB, [CTX, NO, NO, NO, NO]),
    skb(48, "set_hash", 1).changes_ctx(),
    skb(50, "skb_adjust_room", 3).reshapes(Shape::Room),
    helper(
        66,
        "skb_get_xfrm_state",
        TC,
        [CTX, ANY, mem(Write, 3), SIZE, ANY],
    ),
    helper(
        68,
        "skb_load_bytes_relative",
        SKB,
        [CTX, ANY, mem(Write, 3), SIZE, ANY],
    )
    .leaves_maps()
    .reads_ctx(),
    skb_of(TC_CGROUP, 79, "skb_cgroup_id", 0),
    skb_of(TC_CGROUP, 83, "skb_ancestor_cgroup_id", 1),
    // Not in bpf_helper_changes_pkt_data(), yet it writes the IP header.
    skb_of(TC_CGROUP, 97, "skb_ecn_set_ce", 0).changes_ctx(),
    skb(135, "csum_level", 1).reshapes(Shape::Level),
    skb(151, "skb_cgroup_classid", 0),
    helper(
        152,
        "redirect_neigh",
        TC,
        [ANY, mem_or_null(Read, 2), SIZE_OR_ZERO, ANY, NO],
    )
    .sends(SHOT),
    helper(155, "redirect_peer", TC, [ANY, ANY, NO, NO, NO]).sends(SHOT),
    skb(192, "skb_set_tstamp", 2).changes_ctx(),
];
