// SPDX-License-Identifier: GPL-2.0
//! Helpers that several of the network program types have.
//!
//! Source: `net/core/filter.c`.  Where XDP and traffic control have functions of
//! their own under one number, their arguments are alike.

use super::contract::{
    fixed, helper, mem, mem_or_null, Access::*, Arg, Contract, ProgTypes, ANY, CTX, NO, SIZE,
    SIZE_OR_ZERO,
};
use crate::maps::types::{MapTypes, PERF_EVENT_ARRAY};
use crate::prog_types::TC_ACT_SHOT;

const XDP_TC: ProgTypes = ProgTypes::XDP_TC;
const PERF: Arg = Arg::MapPtr(MapTypes::of(&[PERF_EVENT_ARRAY]));

/// `sizeof(struct iphdr)`, `struct ipv6hdr`, `struct tcphdr`, in bytes.
pub(crate) const IPV4: u16 = 20;
pub(crate) const IPV6: u16 = 40;
pub(crate) const TCP: u16 = 20;

/// The longest TCP header: `doff` counts 15 words at most.  In bytes.
const TCP_MAX: u16 = 60;

/// `sizeof(struct bpf_fib_lookup)`, in bytes.
pub(crate) const FIB_LOOKUP: u16 = 64;

/// What the kernel answers to bad arguments of redirects.
pub(super) const SHOT: i64 = TC_ACT_SHOT as i64;

pub(super) const CONTRACTS: &[Contract] = &[
    helper(23, "redirect", XDP_TC, [ANY, ANY, NO, NO, NO]).sends(SHOT),
    // Appends up to `flags >> 32` bytes of the packet to the record.
    helper(
        25,
        "perf_event_output",
        ProgTypes::ALL,
        [CTX, PERF, ANY, mem(Read, 4), SIZE_OR_ZERO],
    )
    .leaves_maps()
    .reads_ctx(),
    helper(
        28,
        "csum_diff",
        XDP_TC,
        [
            mem_or_null(Read, 1),
            SIZE_OR_ZERO,
            mem_or_null(Read, 3),
            SIZE_OR_ZERO,
            ANY,
        ],
    )
    .leaves_maps(),
    // Looks the device up by `params->ifindex` again after the lookup and
    // follows what it finds without a check.
    helper(
        69,
        "fib_lookup",
        XDP_TC,
        [CTX, mem(ReadWrite, 2), SIZE, ANY, NO],
    )
    .bounces(1, FIB_LOOKUP, true),
    // The proto says MEM_UNINIT, but the old value is the length to check.  With
    // BPF_MTU_CHK_SEGS the TCP header's length is read from the packet.
    helper(
        163,
        "check_mtu",
        XDP_TC,
        [CTX, ANY, fixed(ReadWrite, 4), ANY, ANY],
    )
    .reads_ctx(),
    // Compares the size with `th->doff` once, then trusts `th->doff`.
    helper(
        204,
        "tcp_raw_gen_syncookie_ipv4",
        XDP_TC,
        [fixed(Read, IPV4), mem(Read, 2), SIZE, NO, NO],
    )
    .bounces(1, TCP_MAX, false),
    helper(
        205,
        "tcp_raw_gen_syncookie_ipv6",
        XDP_TC,
        [fixed(Read, IPV6), mem(Read, 2), SIZE, NO, NO],
    )
    .bounces(1, TCP_MAX, false),
    helper(
        206,
        "tcp_raw_check_syncookie_ipv4",
        XDP_TC,
        [fixed(Read, IPV4), fixed(Read, TCP), NO, NO, NO],
    ),
    helper(
        207,
        "tcp_raw_check_syncookie_ipv6",
        XDP_TC,
        [fixed(Read, IPV6), fixed(Read, TCP), NO, NO, NO],
    ),
];
