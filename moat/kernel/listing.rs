// SPDX-License-Identifier: GPL-2.0
//! The list of programs in debugfs: `admin/listing.c`.
//!
//! Context: process, with the lock held.

#![forbid(unsafe_code)]

use super::calls;
use crate::state::Listed;

/// Lists a program under its name in the state.  Its number in the list, or 0: no memory.
pub fn add(program: Listed) -> u32 {
    calls::list_add(program.bits())
}

/// Takes number `number` off the list; 0 is none.
pub fn remove(number: u32) {
    if number != 0 {
        calls::list_del(number);
    }
}
