// SPDX-License-Identifier: GPL-2.0
//! References to programs, for what the lock guards.

use core::ops::Deref;
use core::ptr::NonNull;

/// A shared reference to something that is freed only when nobody has one any more.
pub struct Held<T>(NonNull<T>);

impl<T: Sync> Held<T> {
    /// # Safety
    ///
    /// Liveness: `it` is dropped only after this and all copies of it.
    pub unsafe fn new(it: &T) -> Held<T> {
        Held(NonNull::from(it))
    }
}

impl<T> Clone for Held<T> {
    fn clone(&self) -> Held<T> {
        *self
    }
}

impl<T> Copy for Held<T> {}

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: made of a reference; alive by contract of `new`; nobody has an exclusive
        // reference to what such a reference was made of.
        unsafe { self.0.as_ref() }
    }
}
