// SPDX-License-Identifier: GPL-2.0
//! Helpers of XDP programs alone.
//!
//! Source: `xdp_func_proto()` in `net/core/filter.c`.

use super::contract::{
    helper, mem, Access::*, Arg, Contract, ProgTypes, Ret, Uncovers, ANY, CTX, NO, SIZE,
};
use super::geometry::Shape;
use crate::maps::types::MapTypes;

const XDP: ProgTypes = ProgTypes::XDP;
const REDIRECT: Arg = Arg::MapPtr(MapTypes::REDIRECT);

pub(super) const CONTRACTS: &[Contract] = &[
    helper(44, "xdp_adjust_head", XDP, [CTX, ANY, NO, NO, NO])
        .uncovers(Uncovers::Head)
        .reshapes(Shape::XdpHead),
    // The entry found stays with the kernel; the program gets a verdict.
    helper(51, "redirect_map", XDP, [REDIRECT, ANY, ANY, NO, NO])
        .for_packet()
        .returns(Ret::Int),
    helper(54, "xdp_adjust_meta", XDP, [CTX, ANY, NO, NO, NO]).uncovers(Uncovers::Meta),
    helper(65, "xdp_adjust_tail", XDP, [CTX, ANY, NO, NO, NO]).changes_ctx(),
    helper(188, "xdp_get_buff_len", XDP, [CTX, NO, NO, NO, NO]),
    helper(
        189,
        "xdp_load_bytes",
        XDP,
        [CTX, ANY, mem(Write, 3), SIZE, NO],
    )
    .leaves_maps()
    .reads_ctx(),
    helper(
        190,
        "xdp_store_bytes",
        XDP,
        [CTX, ANY, mem(Read, 3), SIZE, NO],
    )
    .changes_ctx(),
];
