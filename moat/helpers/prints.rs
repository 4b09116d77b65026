// SPDX-License-Identifier: GPL-2.0
//! Helpers that print, or that take a constant string.
//!
//! Source: `kernel/bpf/helpers.c`, `kernel/trace/bpf_trace.c`.  They look at formats twice,
//! and follow pointers that formats tell them to: see `run/print.rs`.

use super::contract::{
    helper, mem, mem_or_null, Access::*, Arg::ConstStr, Contract, Prints, ProgTypes, NO, SIZE,
    SIZE_OR_ZERO,
};

const ALL: ProgTypes = ProgTypes::ALL;

pub(super) const CONTRACTS: &[Contract] = &[
    // The last three are what it prints.
    helper(6, "trace_printk", ALL, [mem(Read, 1), SIZE, NO, NO, NO]).prints(Prints::Registers),
    helper(
        165,
        "snprintf",
        ALL,
        [
            mem_or_null(ReadWrite, 1),
            SIZE_OR_ZERO,
            ConstStr,
            mem_or_null(Read, 4),
            SIZE_OR_ZERO,
        ],
    )
    .leaves_maps()
    .prints(Prints::Into),
    helper(
        177,
        "trace_vprintk",
        ALL,
        [mem(Read, 1), SIZE, mem_or_null(Read, 3), SIZE_OR_ZERO, NO],
    )
    .prints(Prints::Array),
    helper(182, "strncmp", ALL, [mem(Read, 1), SIZE, ConstStr, NO, NO])
        .leaves_maps()
        .prints(Prints::Compares),
];
