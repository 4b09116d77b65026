// SPDX-License-Identifier: GPL-2.0
//! References to programs, for what the lock guards.

use core::ops::Deref;
use core::ptr::NonNull;
use kernel::prelude::*;

/// A shared reference to something that is freed only when nobody has one any more: by
/// [`Loaded`](super::loaded::Loaded), if at all.
pub struct Held<T>(NonNull<T>);

impl<T: Sync> Held<T> {
    /// From here on nobody has it alone.
    pub fn new(it: Box<T>) -> Held<T> {
        Held(NonNull::from(Box::leak(it)))
    }

    /// What [`Held::as_ptr`] gave.
    pub(super) fn from_ptr(it: NonNull<T>) -> Held<T> {
        Held(it)
    }

    /// For C to keep, and for who frees it.
    pub(super) fn as_ptr(self) -> *mut T {
        self.0.as_ptr()
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
        // SAFETY: liveness, alignment, initialisation: a box's content, and who frees it sees
        // to it that nobody has this any more.  Aliasing: `new` has given up the box, and
        // there are shared references since.
        unsafe { self.0.as_ref() }
    }
}
