// SPDX-License-Identifier: GPL-2.0
//! What is `unsafe` about the kernel and its programs, behind types that are safe to use.
//!
//! - [`program_memory`]: memory that a program may change while the kernel looks at it.
//!
//! The crate calls this module `edge`: `kernel` is the kernel's own crate.

pub mod program_memory;
