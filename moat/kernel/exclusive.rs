// SPDX-License-Identifier: GPL-2.0
//! What one thread at a time has to itself, and never waits for.
//!
//! Context: any; whoever enters must not be interrupted by somebody who needs it.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

/// See the module documentation.
pub struct Exclusive<T> {
    taken: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: only who has set `taken` has a reference to the value.
unsafe impl<T: Send> Sync for Exclusive<T> {}

impl<T> Exclusive<T> {
    pub const fn new(value: T) -> Exclusive<T> {
        Exclusive {
            taken: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// Gives it to `what`, unless somebody has it already.
    pub fn enter<R>(&self, what: impl FnOnce(&mut T) -> R) -> Option<R> {
        if self.taken.swap(true, Ordering::Acquire) {
            return None;
        }
        // SAFETY: aliasing: `taken` was false, so nobody else is in here, and the reference
        // ends before it is false again.
        let result = what(unsafe { &mut *self.value.get() });
        self.taken.store(false, Ordering::Release);
        Some(result)
    }
}
