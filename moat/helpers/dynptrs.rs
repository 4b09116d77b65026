// SPDX-License-Identifier: GPL-2.0
//! Helpers that take a dynptr, see `dynptr.rs`.
//!
//! Source: `kernel/bpf/helpers.c`, `kernel/bpf/ringbuf.c`.  `run/dynptrs.rs` sees to all but two of
//! them: one that fills in a dynptr only notes address and size, and one that says where a part is
//! only computes with them.

use super::contract::{
    helper, mem, Access::*, Arg::*, Contract, ProgTypes, Ret, ANY, NO, SIZE_OR_ZERO,
};
use super::maps::RINGS;
use crate::maps::types::{MapTypes, USER_RINGBUF};

/// What has samples.
const SAMPLED: MapTypes = MapTypes::of(&[USER_RINGBUF]);
/// `BPF_FUNC_user_ringbuf_drain`
pub const USER_RINGBUF_DRAIN: u32 = 209;
const ALL: ProgTypes = ProgTypes::ALL;
/// `sizeof(struct bpf_dynptr_kern)`
const BYTES: u16 = core::mem::size_of::<super::dynptr::Dynptr>() as u16;

/// It is given a copy of the one in argument `arg`.
const fn copied(arg: u8, id: u32, name: &'static str, args: [super::contract::Arg; 5]) -> Contract {
    let back = matches!(args[arg as usize], DynptrOut | DynptrBack);
    helper(id, name, ALL, args).bounces(arg, BYTES, back)
}

pub(super) const CONTRACTS: &[Contract] = &[
    helper(197, "dynptr_from_mem", ALL, [ANY, ANY, ANY, DynptrOut, NO]),
    copied(
        3,
        198,
        "ringbuf_reserve_dynptr",
        [MapPtr(RINGS), ANY, ANY, DynptrOut, NO],
    ),
    copied(
        0,
        199,
        "ringbuf_submit_dynptr",
        [DynptrBack, ANY, NO, NO, NO],
    )
    .returns(Ret::Void),
    copied(
        0,
        200,
        "ringbuf_discard_dynptr",
        [DynptrBack, ANY, NO, NO, NO],
    )
    .returns(Ret::Void),
    copied(
        2,
        201,
        "dynptr_read",
        [mem(Write, 1), SIZE_OR_ZERO, Dynptr, ANY, ANY],
    ),
    copied(
        0,
        202,
        "dynptr_write",
        [Dynptr, ANY, mem(Read, 3), SIZE_OR_ZERO, ANY],
    ),
    copied(0, 203, "dynptr_data", [Dynptr, ANY, ANY, NO, NO]),
    // What the function is given: `kernel/samples.rs`.  What is for it alone is not looked at.
    helper(
        USER_RINGBUF_DRAIN,
        "user_ringbuf_drain",
        ALL,
        [MapPtr(SAMPLED), Function, ANY, ANY, NO],
    ),
];
