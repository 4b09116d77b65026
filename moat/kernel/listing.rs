// SPDX-License-Identifier: GPL-2.0
//! The list of programs in debugfs: `listing.c`.
//!
//! Context: process, with the lock held.

use crate::ffi;

/// Lists a program under its name in the state.  Its number in the list, or 0: no memory.
pub fn add(bits: u64) -> u32 {
    // SAFETY: the lock is held by who has a `State`; the list only keeps the number.
    unsafe { ffi::moat_list_add(bits) }
}

/// Takes number `number` off the list; 0 is none.
pub fn remove(number: u32) {
    if number != 0 {
        // SAFETY: as above.
        unsafe { ffi::moat_list_del(number) };
    }
}
