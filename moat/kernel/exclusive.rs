// SPDX-License-Identifier: GPL-2.0
//! What one thread at a time has to itself, and never waits for.
//!
//! Context: any; whoever enters must not be interrupted by somebody who needs it.

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};

/// See the module documentation.
pub struct Exclusive<T> {
    taken: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: only who has set `taken` has a reference to the value.
unsafe impl<T: Send> Sync for Exclusive<T> {}

impl<T> Exclusive<T> {
    #[inline(always)]
    pub const fn new(value: T) -> Exclusive<T> {
        Exclusive {
            taken: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// Takes it, unless somebody has it already.
    pub fn take(&self) -> Option<Taken<'_, T>> {
        match self.taken.swap(true, Ordering::Acquire) {
            true => None,
            false => Some(Taken(self, PhantomData)),
        }
    }

    /// Gives it to `what`, unless somebody has it already.
    pub fn enter<R>(&self, what: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.take().map(|mut it| what(&mut it))
    }
}

/// It, until this is dropped.  Of the thread that has taken it.
pub struct Taken<'a, T>(&'a Exclusive<T>, PhantomData<*mut T>);

impl<T> Deref for Taken<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: aliasing: `taken` was false, so this is the only one of its kind, which is
        // borrowed for as long as the reference lives; it ends before `taken` is false again.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Taken<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`; and this is borrowed exclusively.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
    }
}
