// SPDX-License-Identifier: GPL-2.0
//! Helpers that every program type has and that no isolated program may call
//! yet, each with the reason the administrator reads.
//!
//! Source: `bpf_base_func_proto()` in `kernel/bpf/helpers.c`.

use super::contract::{refuse, Contract, ProgTypes};

const ALL: ProgTypes = ProgTypes::ALL;
const HANDLE: &str = "the kernel object lies in the map value";
const POINTER: &str = "returns a kernel pointer";
const READS_KERNEL: &str = "reads any kernel memory";

pub(super) const CONTRACTS: &[Contract] = &[
    refuse(35, "get_current_task", ALL, POINTER),
    refuse(113, "probe_read_kernel", ALL, READS_KERNEL),
    refuse(115, "probe_read_kernel_str", ALL, READS_KERNEL),
    refuse(149, "snprintf_btf", ALL, READS_KERNEL),
    refuse(153, "per_cpu_ptr", ALL, POINTER),
    refuse(154, "this_cpu_ptr", ALL, POINTER),
    refuse(158, "get_current_task_btf", ALL, POINTER),
    refuse(175, "task_pt_regs", ALL, POINTER),
    refuse(194, "kptr_xchg", ALL, HANDLE),
];
