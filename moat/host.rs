// SPDX-License-Identifier: GPL-2.0
//! Host build of MOAT's pure logic.
//!
//! Kbuild reaches these files through `main.rs`; this root gives the same files
//! to Cargo.  They use `core` only, allocate nothing, hold no kernel type, and
//! keep to the language of rustc 1.63.
#![no_std]

#[path = "again.rs"]
pub mod again;

#[path = "balance.rs"]
pub mod balance;

#[path = "boundary.rs"]
pub mod boundary;

#[path = "decode.rs"]
pub mod decode;

#[path = "drain.rs"]
pub mod drain;

#[path = "helpers/mod.rs"]
pub mod helpers;

#[path = "keyalloc.rs"]
pub mod keyalloc;

#[path = "line.rs"]
pub mod line;

#[path = "maps/mod.rs"]
pub mod maps;

#[path = "opcodes.rs"]
pub mod opcodes;

#[path = "pks.rs"]
pub mod pks;

#[path = "prog_types/mod.rs"]
pub mod prog_types;

#[path = "reason.rs"]
pub mod reason;

#[path = "sensitive.rs"]
pub mod sensitive;

#[path = "view.rs"]
pub mod view;

#[path = "walk.rs"]
pub mod walk;

#[path = "window.rs"]
pub mod window;

#[path = "x86.rs"]
pub mod x86;
