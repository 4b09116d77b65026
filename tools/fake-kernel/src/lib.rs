// SPDX-License-Identifier: GPL-2.0
//! A kernel for files of the module that cannot do without one: they are built
//! against this crate under the name `kernel`.
//!
//! - [`prelude`]: containers that have only what may fail;
//! - [`bindings`]: the types and functions of the patches, over a [`machine`] whose
//!   page tables and TLBs are sets;
//! - [`account`]: what the patches know of maps of maps;
//! - [`shims`]: what `moat/kernel/shims.c` exports;
//! - [`memory`]: allocations, which fail when they are told to.
//!
//! What it has seen go wrong is in [`machine::Machine::wrong`]; nothing here panics
//! because of what the module does, since C cannot be unwound.

pub mod account;
pub mod bindings;
pub mod machine;
pub mod memory;
pub mod prelude;
pub mod shims;
