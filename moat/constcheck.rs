// SPDX-License-Identifier: GPL-2.0
//! The constants MOAT uses against those of the kernel it is built for.
//!
//! Everything here is decided at compile time; the module has no code.  The left
//! sides come from `x86.rs` (the x86 crate), `pks.rs`, `window.rs`, the rows and the
//! contracts, the right sides from the kernel's headers by way of bindgen.
//! bindgen sees macros that are plain numbers and no others, hence the `_BIT`s.
//!
//! C header: [`asm/processor-flags.h`], [`asm/pgtable_types.h`],
//! [`asm/msr-index.h`], [`asm/moat.h`], [`linux/bpf.h`].

use crate::helpers::table;
use crate::maps::types;
use crate::{pks, prog_types, window, x86};
use kernel::bindings as k;

/// Fails the build unless the two are the same number.
macro_rules! same {
    ($($ours:expr => $theirs:expr;)*) => {
        $(const _: () = assert!($ours as u64 == $theirs as u64);)*
    };
}

const fn bit(n: u32) -> u64 {
    1 << n
}

// Flags, control registers.
same! {
    x86::RFLAGS_CF => bit(k::X86_EFLAGS_CF_BIT);
    x86::RFLAGS_FIXED => bit(k::X86_EFLAGS_FIXED_BIT);
    x86::RFLAGS_PF => bit(k::X86_EFLAGS_PF_BIT);
    x86::RFLAGS_AF => bit(k::X86_EFLAGS_AF_BIT);
    x86::RFLAGS_ZF => bit(k::X86_EFLAGS_ZF_BIT);
    x86::RFLAGS_SF => bit(k::X86_EFLAGS_SF_BIT);
    x86::RFLAGS_TF => bit(k::X86_EFLAGS_TF_BIT);
    x86::RFLAGS_IF => bit(k::X86_EFLAGS_IF_BIT);
    x86::RFLAGS_DF => bit(k::X86_EFLAGS_DF_BIT);
    x86::RFLAGS_OF => bit(k::X86_EFLAGS_OF_BIT);
    x86::RFLAGS_IOPL => 3 * bit(k::X86_EFLAGS_IOPL_BIT);
    x86::RFLAGS_NT => bit(k::X86_EFLAGS_NT_BIT);
    x86::RFLAGS_RF => bit(k::X86_EFLAGS_RF_BIT);
    x86::RFLAGS_VM => bit(k::X86_EFLAGS_VM_BIT);
    x86::RFLAGS_AC => bit(k::X86_EFLAGS_AC_BIT);
    x86::CR0_WP => bit(k::X86_CR0_WP_BIT);
    x86::CR4_PCIDE => bit(k::X86_CR4_PCIDE_BIT);
    x86::CR4_SMEP => bit(k::X86_CR4_SMEP_BIT);
    x86::CR4_SMAP => bit(k::X86_CR4_SMAP_BIT);
    x86::CR4_PKE => bit(k::X86_CR4_PKE_BIT);
    pks::CR4_PKS => bit(k::X86_CR4_PKS_BIT);
    pks::CPUID_7_0_ECX_PKS => bit(k::X86_FEATURE_PKS % 32);
}

// Paging.
same! {
    x86::PTE_P => bit(k::_PAGE_BIT_PRESENT);
    x86::PTE_RW => bit(k::_PAGE_BIT_RW);
    x86::PTE_US => bit(k::_PAGE_BIT_USER);
    x86::PTE_A => bit(k::_PAGE_BIT_ACCESSED);
    x86::PTE_D => bit(k::_PAGE_BIT_DIRTY);
    x86::PTE_G => bit(k::_PAGE_BIT_GLOBAL);
    x86::PTE_XD => bit(k::_PAGE_BIT_NX);
    x86::PTE_SIZE => bit(k::PAGE_SHIFT);
    x86::PMD_SIZE => bit(k::PMD_SHIFT);
    x86::PUD_SIZE => bit(k::PUD_SHIFT);
    x86::PGD4_SIZE => bit(k::P4D_SHIFT);
    pks::PTE_KEY_SHIFT => k::_PAGE_BIT_PKEY_BIT0;
    pks::Key::SHARED_RO.get() => k::MOAT_KEY_SHARED_RO;
    window::SIZE => bit(k::MOAT_WINDOW_SHIFT);
    (window::BASE as i64) >> k::MOAT_WINDOW_SHIFT => k::MOAT_WINDOW_TAG;
}

// Model-specific registers.
same! {
    x86::MSR_DEBUGCTL => k::MSR_IA32_DEBUGCTLMSR;
    x86::MSR_PEBS_ENABLE => k::MSR_IA32_PEBS_ENABLE;
    x86::MSR_DS_AREA => k::MSR_IA32_DS_AREA;
    x86::MSR_EFER => k::MSR_EFER;
    x86::MSR_GS_BASE => k::MSR_GS_BASE;
    pks::MSR_IA32_PKRS => k::MSR_IA32_PKRS;
}

// BPF.
same! {
    table::MAX_ID => k::bpf_func_id___BPF_FUNC_MAX_ID;
    table::INTERNAL_BASE => k::moat_call_MOAT_CALL_BASE;
    table::INTERNAL_BASE + 9 => k::moat_call_MOAT_CALL_USER_RND;
    table::INTERNAL_BASE + 10 => k::moat_call_MOAT_CALL_RAW_CPU_ID;
}

// Program types, verdicts, map types.
same! {
    prog_types::NAMES.len() => k::bpf_prog_type_BPF_PROG_TYPE_SYSCALL + 1;
    prog_types::SOCKET_FILTER => k::bpf_prog_type_BPF_PROG_TYPE_SOCKET_FILTER;
    prog_types::SCHED_CLS => k::bpf_prog_type_BPF_PROG_TYPE_SCHED_CLS;
    prog_types::SCHED_ACT => k::bpf_prog_type_BPF_PROG_TYPE_SCHED_ACT;
    prog_types::XDP => k::bpf_prog_type_BPF_PROG_TYPE_XDP;
    prog_types::XDP_DROP => k::xdp_action_XDP_DROP;
    prog_types::TC_ACT_SHOT => k::TC_ACT_SHOT;
    types::NAMES.len() => k::bpf_map_type_BPF_MAP_TYPE_USER_RINGBUF + 1;
    types::RDONLY_PROG => k::BPF_F_RDONLY_PROG;
    types::HASH => k::bpf_map_type_BPF_MAP_TYPE_HASH;
    types::ARRAY => k::bpf_map_type_BPF_MAP_TYPE_ARRAY;
    types::PERF_EVENT_ARRAY => k::bpf_map_type_BPF_MAP_TYPE_PERF_EVENT_ARRAY;
    types::PERCPU_HASH => k::bpf_map_type_BPF_MAP_TYPE_PERCPU_HASH;
    types::PERCPU_ARRAY => k::bpf_map_type_BPF_MAP_TYPE_PERCPU_ARRAY;
    types::CGROUP_ARRAY => k::bpf_map_type_BPF_MAP_TYPE_CGROUP_ARRAY;
    types::LRU_HASH => k::bpf_map_type_BPF_MAP_TYPE_LRU_HASH;
    types::LRU_PERCPU_HASH => k::bpf_map_type_BPF_MAP_TYPE_LRU_PERCPU_HASH;
    types::LPM_TRIE => k::bpf_map_type_BPF_MAP_TYPE_LPM_TRIE;
    types::ARRAY_OF_MAPS => k::bpf_map_type_BPF_MAP_TYPE_ARRAY_OF_MAPS;
    types::HASH_OF_MAPS => k::bpf_map_type_BPF_MAP_TYPE_HASH_OF_MAPS;
    types::DEVMAP => k::bpf_map_type_BPF_MAP_TYPE_DEVMAP;
    types::CPUMAP => k::bpf_map_type_BPF_MAP_TYPE_CPUMAP;
    types::XSKMAP => k::bpf_map_type_BPF_MAP_TYPE_XSKMAP;
    types::QUEUE => k::bpf_map_type_BPF_MAP_TYPE_QUEUE;
    types::STACK => k::bpf_map_type_BPF_MAP_TYPE_STACK;
    types::DEVMAP_HASH => k::bpf_map_type_BPF_MAP_TYPE_DEVMAP_HASH;
    types::RINGBUF => k::bpf_map_type_BPF_MAP_TYPE_RINGBUF;
    types::BLOOM_FILTER => k::bpf_map_type_BPF_MAP_TYPE_BLOOM_FILTER;
}
