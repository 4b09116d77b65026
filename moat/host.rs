// SPDX-License-Identifier: GPL-2.0
//! Host build of MOAT's pure logic.
//!
//! Kbuild reaches these files through `main.rs`; this root gives the same files
//! to Cargo.  They use `core` only, allocate nothing, hold no kernel type, and
//! keep to the language of rustc 1.63.
#![no_std]

pub mod admin {
    pub mod again;
}

pub mod code {
    pub mod decode;
    pub mod insn_starts;
    pub mod opcodes;
    pub mod sensitive;
    pub mod walk;
}

// As in `main.rs`.
#[path = "kernel"]
pub mod edge {
    pub mod caller_memory;
    pub mod off;
}

#[path = "helpers/mod.rs"]
pub mod helpers;

#[path = "keyalloc.rs"]
pub mod keyalloc;

pub mod load {
    pub mod reason;
}

#[path = "maps/mod.rs"]
pub mod maps;

#[path = "pks.rs"]
pub mod pks;

#[path = "prog_types/mod.rs"]
pub mod prog_types;

pub mod run {
    pub mod line;
}

pub mod state {
    pub mod ranking;
}

#[path = "window/mod.rs"]
pub mod window;

#[path = "x86.rs"]
pub mod x86;
