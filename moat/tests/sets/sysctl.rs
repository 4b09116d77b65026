// SPDX-License-Identifier: GPL-2.0
//! Stands in for `admin/sysctl.rs`: what the administrator wants, without the sysctls.

use std::cell::Cell;

pub use crate::prog_types::Level;

thread_local! {
    static KEYS: Cell<usize> = const { Cell::new(0) };
}

/// How many protection keys programs may use.
pub fn keys() -> usize {
    KEYS.get()
}

/// As if written to `/proc/sys/kernel/moat/keys`.
pub fn set_keys(keys: usize) {
    KEYS.set(keys);
}
