// SPDX-License-Identifier: GPL-2.0
//! Helpers every program type has: clocks, numbers, strings, user memory.
//!
//! Source: `bpf_base_func_proto()` in `kernel/bpf/helpers.c`, and
//! `bpf_sk_base_func_proto()` in `net/core/filter.c`.

use super::contract::{
    fixed, helper, mem, Access::*, Arg, Contract, ProgTypes, ANY, NO, SIZE, SIZE_OR_ZERO,
};

const ALL: ProgTypes = ProgTypes::ALL;

pub(super) const CONTRACTS: &[Contract] = &[
    helper(5, "ktime_get_ns", ALL, [NO; 5]),
    helper(7, "get_prandom_u32", ALL, [NO; 5]),
    helper(8, "get_smp_processor_id", ALL, [NO; 5]),
    helper(42, "get_numa_node_id", ALL, [NO; 5]),
    helper(
        105,
        "strtol",
        ALL,
        [mem(Read, 1), SIZE, ANY, fixed(Write, 8), NO],
    ),
    helper(
        106,
        "strtoul",
        ALL,
        [mem(Read, 1), SIZE, ANY, fixed(Write, 8), NO],
    ),
    // The source is a user address, which the helper checks like any other.
    helper(
        112,
        "probe_read_user",
        ALL,
        [mem(Write, 1), SIZE_OR_ZERO, ANY, NO, NO],
    ),
    helper(
        114,
        "probe_read_user_str",
        ALL,
        [mem(Write, 1), SIZE_OR_ZERO, ANY, NO, NO],
    ),
    helper(118, "jiffies64", ALL, [NO; 5]),
    helper(125, "ktime_get_boot_ns", ALL, [NO; 5]),
    helper(160, "ktime_get_coarse_ns", ALL, [NO; 5]),
    // What it has for the function is not looked at, here either.
    helper(181, "loop", ALL, [ANY, Arg::Function, ANY, ANY, NO]).leaves_maps(),
    helper(208, "ktime_get_tai_ns", ALL, [NO; 5]),
];
