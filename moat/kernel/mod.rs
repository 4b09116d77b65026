// SPDX-License-Identifier: GPL-2.0
//! What we use of the kernel, behind types that are safe to use.
//!
//! `unsafe` is at home here.  The module is `crate::edge`, because `kernel` is the crate
//! that Rust for Linux has.

mod anywhere;
pub mod caller_memory;
pub mod calls;
pub mod counters;
pub mod exclusive;
pub mod ffi;
pub mod fixed;
pub mod gates;
pub mod given;
pub mod held;
pub mod listing;
pub mod loaded;
pub mod lock;
pub mod maps;
pub mod memory;
#[allow(dead_code)]
pub mod off;
pub mod plan;
pub mod prog_aux;
pub mod program_memory;
pub mod rcu;
mod shims;
pub mod window_pages;

// What only the module itself has, and tests of parts of it on the host have not.
#[cfg(MODULE)]
pub mod callback;
#[cfg(MODULE)]
pub mod candidate;
#[cfg(MODULE)]
pub mod code;
#[cfg(MODULE)]
pub mod conns;
#[cfg(MODULE)]
pub mod context;
#[cfg(MODULE)]
pub mod desk;
#[cfg(MODULE)]
pub mod dynptrs;
#[cfg(MODULE)]
pub mod hooks;
#[cfg(MODULE)]
pub mod invocation;
#[cfg(MODULE)]
pub mod locks;
#[cfg(MODULE)]
pub mod packet;
#[cfg(MODULE)]
pub mod prog;
#[cfg(MODULE)]
pub mod records;
#[cfg(MODULE)]
pub mod samples;
#[cfg(MODULE)]
pub mod site;
#[cfg(MODULE)]
pub mod stack;
#[cfg(MODULE)]
pub mod storage;
#[cfg(MODULE)]
pub mod sysctl;
#[cfg(MODULE)]
pub mod this_cpu;
#[cfg(MODULE)]
pub mod timers;
#[cfg(MODULE)]
pub mod writers;
