// SPDX-License-Identifier: GPL-2.0
//! What runs read while it is replaced.
//!
//! A run is a read-side critical section: preemption is off.

use super::held::Held;
use super::window_pages::synchronize_rcu;
use crate::state::State;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};
use kernel::prelude::*;

/// Proof that what is replaced meanwhile is not freed.
///
/// # Safety
///
/// While a shared reference to it lives, a grace period does not end, or nothing is
/// replaced.
pub unsafe trait Reader {}

// SAFETY: `replace` needs the state exclusively.
unsafe impl Reader for State {}

/// Something that readers have as it is or as it was, or nothing.
pub struct Rcu<T>(AtomicPtr<T>);

// SAFETY: readers have shared references, and what is replaced comes out by value.
unsafe impl<T: Send + Sync> Sync for Rcu<T> {}

impl<T> Rcu<T> {
    pub const fn new() -> Rcu<T> {
        Rcu(AtomicPtr::new(null_mut()))
    }

    /// Puts `value` there.  What was there before may still have readers.
    fn swap(&self, value: Option<Box<T>>) -> Option<Box<T>> {
        let new = value.map_or(null_mut(), Box::into_raw);
        let old = self.0.swap(new, Ordering::AcqRel);
        // SAFETY: made of a box by an earlier call, and taken out once.  That readers keep it
        // alive is up to who calls: they drop it after a grace period, or where there can be
        // no reader.
        (!old.is_null()).then(|| unsafe { Box::from_raw(old) })
    }

    /// As it is now.
    #[inline(always)]
    pub fn get<'a>(&'a self, _reader: &'a impl Reader) -> Option<&'a T> {
        // SAFETY: made of a box by `swap`, and freed only after a grace period that does not
        // end while there is a reader; nobody has an exclusive reference.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }
}

/// A value for one of those that are replaced, and the one it had afterwards.
pub type Replacement<P, T> = (Held<P>, Option<Box<T>>);

/// Replaces what `of` finds in each, and returns once no reader has what was there before.
/// May sleep, with the lock held.
pub fn replace<P, T>(
    _state: &mut State,
    all: &mut [Replacement<P, T>],
    of: impl for<'a> Fn(&'a P) -> &'a Rcu<T>,
) {
    let mut wait = false;
    // What was there is in `all` until readers are gone.
    for (owner, value) in all.iter_mut() {
        *value = of(owner).swap(value.take());
        wait |= value.is_some();
    }
    if wait {
        synchronize_rcu();
    }
}

impl<T> Drop for Rcu<T> {
    fn drop(&mut self) {
        // There is no reader of what is dropped.
        drop(self.swap(None));
    }
}
