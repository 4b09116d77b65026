// SPDX-License-Identifier: GPL-2.0
//! Kernel functions that no program names: the classic converter and the
//! verifier put calls to them into programs.
//!
//! Source: `bpf_convert_filter()`, `convert_bpf_extensions()` and
//! `bpf_gen_ld_abs()` in `net/core/filter.c`; `bpf_user_rnd_u32()` in
//! `kernel/bpf/core.c`; `moat_convert_store()` in `kernel/bpf/moat_conn.c`;
//! `moat_loop_elems()` in `kernel/bpf/moat_elems.c`.  The numbers are MOAT's own.

use super::contract::{helper, Access, Arg, Arg::*, Contract, ProgTypes, Ret, ANY, CTX, NO};
use super::grants::Kind;
use super::maps::WALKED;
use super::table::{INTERNAL_BASE, NEXT_ELEMS, STORE_MARK};

const ALL: ProgTypes = ProgTypes::ALL;
const SKB: ProgTypes = ProgTypes::SKB;
const SF: ProgTypes = ProgTypes::SOCKET_FILTER_ONLY;

/// In the order of their numbers, from `INTERNAL_BASE` up.
pub(super) const CONTRACTS: &[Contract] = &[
    load(0, "skb_load_helper_8", [CTX, PktData, Headlen, ANY, NO]),
    load(1, "skb_load_helper_16", [CTX, PktData, Headlen, ANY, NO]),
    load(2, "skb_load_helper_32", [CTX, PktData, Headlen, ANY, NO]),
    load(3, "skb_load_helper_8_no_cache", [CTX, ANY, NO, NO, NO]),
    load(4, "skb_load_helper_16_no_cache", [CTX, ANY, NO, NO, NO]),
    load(5, "skb_load_helper_32_no_cache", [CTX, ANY, NO, NO, NO]),
    classic(6, "skb_get_pay_offset", [CTX, NO, NO, NO, NO]).reads_ctx(),
    classic(7, "skb_get_nlattr", [CTX, ANY, ANY, NO, NO]).reads_ctx(),
    classic(8, "skb_get_nlattr_nest", [CTX, ANY, ANY, NO, NO]).reads_ctx(),
    classic(9, "user_rnd_u32", [NO; 5]),
    classic(10, "get_raw_cpu_id", [NO; 5]),
    // Of a connection of either kind: `run/conntrack.rs`.
    helper(
        STORE_MARK,
        "store_mark",
        ProgTypes::XDP_CLS,
        [Object(Kind::Conn), ANY, NO, NO, NO],
    )
    .returns(Ret::Void),
    // Never made from here, for the site does or nobody: `run/map_calls.S`.
    helper(
        NEXT_ELEMS,
        "next_elems",
        ALL,
        [
            WALKED,
            FixedMem {
                access: Access::Write,
                bytes: 8,
            },
            ANY,
            NO,
            NO,
        ],
    ),
];

/// BPF_LD_ABS and BPF_LD_IND: `offset` may be negative and is checked.
const fn load(n: u32, name: &'static str, args: [Arg; 5]) -> Contract {
    helper(INTERNAL_BASE + n, name, SKB, args).reads_ctx()
}

const fn classic(n: u32, name: &'static str, args: [Arg; 5]) -> Contract {
    helper(INTERNAL_BASE + n, name, SF, args)
}
