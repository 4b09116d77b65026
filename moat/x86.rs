// SPDX-License-Identifier: GPL-2.0
//! Constants of the architecture.
//!
//! Written by `cargo run -p constgen > moat/x86.rs` from the x86 crate 0.52.
//! `checks/constants.rs` compares them with the kernel's headers.

// RFLAGS. Intel SDM Vol. 1, 3.4.3.
pub const RFLAGS_CF: u64 = 0x1;
pub const RFLAGS_FIXED: u64 = 0x2;
pub const RFLAGS_PF: u64 = 0x4;
pub const RFLAGS_AF: u64 = 0x10;
pub const RFLAGS_ZF: u64 = 0x40;
pub const RFLAGS_SF: u64 = 0x80;
pub const RFLAGS_TF: u64 = 0x100;
pub const RFLAGS_IF: u64 = 0x200;
pub const RFLAGS_DF: u64 = 0x400;
pub const RFLAGS_OF: u64 = 0x800;
pub const RFLAGS_IOPL: u64 = 0x3000;
pub const RFLAGS_NT: u64 = 0x4000;
pub const RFLAGS_RF: u64 = 0x10000;
pub const RFLAGS_VM: u64 = 0x20000;
pub const RFLAGS_AC: u64 = 0x40000;

// Control registers. Intel SDM Vol. 3A, 2.5.
pub const CR0_WP: u64 = 0x10000;
pub const CR4_PCIDE: u64 = 0x20000;
pub const CR4_SMEP: u64 = 0x100000;
pub const CR4_SMAP: u64 = 0x200000;
pub const CR4_PKE: u64 = 0x400000;

// Leaf paging entries. Intel SDM Vol. 3A, table 4-20.
pub const PTE_P: u64 = 0x1;
pub const PTE_RW: u64 = 0x2;
pub const PTE_US: u64 = 0x4;
pub const PTE_A: u64 = 0x20;
pub const PTE_D: u64 = 0x40;
pub const PTE_G: u64 = 0x100;
pub const PTE_XD: u64 = 0x8000000000000000;

// What one entry of each level maps, in bytes.
pub const PTE_SIZE: u64 = 0x1000;
pub const PMD_SIZE: u64 = 0x200000;
pub const PUD_SIZE: u64 = 0x40000000;
pub const PGD4_SIZE: u64 = 0x8000000000;

// Model-specific registers. Intel SDM Vol. 4, table 2-2.
pub const MSR_DEBUGCTL: u32 = 0x1d9;
pub const MSR_PEBS_ENABLE: u32 = 0x3f1;
pub const MSR_DS_AREA: u32 = 0x600;
pub const MSR_EFER: u32 = 0xc0000080;
pub const MSR_GS_BASE: u32 = 0xc0000101;
