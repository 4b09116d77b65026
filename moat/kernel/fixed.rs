// SPDX-License-Identifier: GPL-2.0
//! What is set once and never changes after that.
//!
//! Context: any; [`Fixed::set`] by whoever comes first.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU8, Ordering};

const EMPTY: u8 = 0;
const BUSY: u8 = 1;
const SET: u8 = 2;

/// See the module documentation.
pub struct Fixed<T> {
    state: AtomicU8,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: shared references to the value are all that is handed out, and whoever sets it
// hands the value over.
unsafe impl<T: Send + Sync> Sync for Fixed<T> {}

impl<T> Fixed<T> {
    pub const fn new() -> Fixed<T> {
        Fixed {
            state: AtomicU8::new(EMPTY),
            value: UnsafeCell::new(None),
        }
    }

    /// Sets it, if nobody has.  The value is dropped otherwise.  True if it was set now.
    pub fn set(&self, value: T) -> bool {
        let began = self
            .state
            .compare_exchange(EMPTY, BUSY, Ordering::Acquire, Ordering::Relaxed);
        if began.is_err() {
            return false;
        }
        // SAFETY: aliasing: only who turns `EMPTY` into `BUSY` comes here, once, and `get`
        // gives no reference before `SET`.
        unsafe { *self.value.get() = Some(value) };
        self.state.store(SET, Ordering::Release);
        true
    }

    /// It, once it is set.
    #[inline(always)]
    pub fn get(&self) -> Option<&T> {
        match self.state.load(Ordering::Acquire) {
            // SAFETY: initialisation and aliasing: written before `SET`, and not after.
            SET => unsafe { (*self.value.get()).as_ref() },
            _ => None,
        }
    }
}
