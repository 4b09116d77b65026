// SPDX-License-Identifier: GPL-2.0
//! What bindgen makes of `kernel/shims.h`, and of the kernel's constants that the crate
//! `bindings` does not have.
//!
//! C header: `moat/kernel/shims.h`, `moat/kernel/bindings_helper.h`.  Kbuild writes the included file:
//! C and Rust cannot have different ideas of a shim.

#![allow(
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    unsafe_op_in_unsafe_fn,
    clippy::all
)]

// Types of the kernel are those of its own bindings.
use kernel::bindings::*;

include!("bindings_generated.rs");
