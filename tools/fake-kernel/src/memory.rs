// SPDX-License-Identifier: GPL-2.0
//! Allocations that fail.

use std::cell::Cell;

/// Which allocations fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shortage {
    /// How many succeed before.
    pub after: u32,
    /// Whether all fail from then on, not one.
    pub lasts: bool,
}

thread_local! {
    static AHEAD: Cell<Option<Shortage>> = const { Cell::new(None) };
    static FAILED: Cell<bool> = const { Cell::new(false) };
}

/// Lets allocations fail, or none, until [`end`].
pub fn begin(shortage: Option<Shortage>) {
    AHEAD.set(shortage);
    FAILED.set(false);
}

/// From here on all succeed.  Whether one failed.
pub fn end() -> bool {
    AHEAD.set(None);
    FAILED.get()
}

/// Whether the allocation about to be made fails.
pub(crate) fn fails() -> bool {
    let Some(shortage) = AHEAD.get() else {
        return false;
    };
    if let Some(after) = shortage.after.checked_sub(1) {
        AHEAD.set(Some(Shortage { after, ..shortage }));
        return false;
    }
    FAILED.set(true);
    if !shortage.lasts {
        AHEAD.set(None);
    }
    true
}
