// SPDX-License-Identifier: GPL-2.0
//! What we use of the kernel, behind types that are safe to use.
//!
//! `unsafe` is at home here.  The module is `crate::edge`, because `kernel` is the crate
//! that Rust for Linux has.

pub mod context;
pub mod counters;
pub mod exclusive;
pub mod fixed;
pub mod gates;
pub mod held;
pub mod invocation;
pub mod listing;
pub mod lock;
pub mod maps;
pub mod memory;
pub mod packet;
pub mod program_memory;
pub mod rcu;
mod shims;
pub mod window_pages;
