// SPDX-License-Identifier: GPL-2.0
//! Functions of the connection tracker that programs call, which are no helpers: they have
//! no number, and are known by their names.
//!
//! Source: `net/netfilter/nf_conntrack_bpf.c`, `nf_nat_bpf.c`.  `run/conntrack.rs` makes
//! these calls.

use super::contract::{
    fixed, helper, mem_or_null, Access::*, Arg, Contract, ProgTypes, Ret, ANY, CTX, NO,
    SIZE_OR_ZERO,
};
use super::grants::Kind;
use super::table::KFUNC_BASE;

const XDP: ProgTypes = ProgTypes::XDP;
/// The verifier would let these call XDP's, too, with memory of their own in place of a context.
const CLS: ProgTypes = ProgTypes::SCHED_CLS_ONLY;
const BOTH: ProgTypes = ProgTypes::XDP_CLS;

/// Bytes of `struct bpf_sock_tuple`, of IPv6, and of `struct bpf_ct_opts`: more is not looked
/// at.
pub const TUPLE: usize = 36;
pub const OPTS: usize = 12;
/// Bytes of `union nf_inet_addr`.
const INET_ADDR: u16 = 16;

/// The one that warns if it is called twice.
pub const SET_NAT_INFO: u32 = KFUNC_BASE + 10;

/// Context, tuple, its size, options, their size.
const ASK: [Arg; 5] = [
    CTX,
    mem_or_null(Read, 2),
    SIZE_OR_ZERO,
    mem_or_null(ReadWrite, 4),
    SIZE_OR_ZERO,
];
const CONN: Arg = Arg::Object(Kind::Conn);
const NEW: Arg = Arg::Object(Kind::NewConn);

pub(super) const CONTRACTS: &[Contract] = &[
    kfunc(0, "bpf_xdp_ct_alloc", XDP, ASK).returns(Ret::ObjectOrNull(Kind::NewConn)),
    kfunc(1, "bpf_xdp_ct_lookup", XDP, ASK).returns(Ret::ObjectOrNull(Kind::Conn)),
    kfunc(2, "bpf_skb_ct_alloc", CLS, ASK).returns(Ret::ObjectOrNull(Kind::NewConn)),
    kfunc(3, "bpf_skb_ct_lookup", CLS, ASK).returns(Ret::ObjectOrNull(Kind::Conn)),
    kfunc(4, "bpf_ct_insert_entry", BOTH, [NEW, NO, NO, NO, NO]).returns(Ret::Inserted),
    kfunc(
        5,
        "bpf_ct_release",
        BOTH,
        [Arg::ObjectBack(Kind::Conn), NO, NO, NO, NO],
    )
    .returns(Ret::Void),
    kfunc(6, "bpf_ct_set_timeout", BOTH, [NEW, ANY, NO, NO, NO]).returns(Ret::Void),
    kfunc(7, "bpf_ct_change_timeout", BOTH, [CONN, ANY, NO, NO, NO]).returns(Ret::Int),
    kfunc(8, "bpf_ct_set_status", BOTH, [NEW, ANY, NO, NO, NO]).returns(Ret::Int),
    kfunc(9, "bpf_ct_change_status", BOTH, [CONN, ANY, NO, NO, NO]).returns(Ret::Int),
    // The verifier lets NULL stand for an address, and the kernel reads it.
    kfunc(
        10,
        "bpf_ct_set_nat_info",
        BOTH,
        [NEW, fixed(Read, INET_ADDR), ANY, ANY, NO],
    )
    .returns(Ret::Int),
];

const fn kfunc(number: u32, name: &'static str, types: ProgTypes, args: [Arg; 5]) -> Contract {
    helper(KFUNC_BASE + number, name, types, args)
}
