// SPDX-License-Identifier: GPL-2.0
//! The lock, and the state that it guards.
//!
//! Context: process; may sleep.

use super::shims::safe_shims;
use crate::ffi;
use crate::state::State;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};

safe_shims! {
    /// Waits for it.
    fn lock() = ffi::moat_shim_lock;
}

struct Guarded {
    /// So that a second guard, which would alias the first, is noticed.
    taken: AtomicBool,
    state: UnsafeCell<State>,
}

// SAFETY: the state is reached through `Locked` alone, of which there is one at a time.
unsafe impl Sync for Guarded {}

static GUARDED: Guarded = Guarded {
    taken: AtomicBool::new(false),
    state: UnsafeCell::new(State::new()),
};

/// The lock is held; access to all it guards.  Not to be sent to another thread: a mutex
/// is let go by who took it.
#[must_use = "the lock is let go when this is dropped"]
pub struct Locked(PhantomData<*mut ()>);

impl Locked {
    /// Takes the lock.
    pub fn take() -> Locked {
        lock();
        let again = GUARDED.taken.swap(true, Ordering::Acquire);
        debug_assert!(!again, "the lock is held twice");
        Locked(PhantomData)
    }
}

impl Deref for Locked {
    type Target = State;

    fn deref(&self) -> &State {
        // SAFETY: initialised at build time.  The lock is held, so this is the only
        // guard, which is borrowed for as long as the reference lives.
        unsafe { &*GUARDED.state.get() }
    }
}

impl DerefMut for Locked {
    fn deref_mut(&mut self) -> &mut State {
        // SAFETY: as in `deref`; and the guard is borrowed exclusively.
        unsafe { &mut *GUARDED.state.get() }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        GUARDED.taken.store(false, Ordering::Release);
        // SAFETY: `take` took it, in this thread.
        unsafe { ffi::moat_shim_unlock() }
    }
}

/// Looks at the state while C holds the lock: `listing.c`.
///
/// # Safety
///
/// The lock is held by this thread, and there is no [`Locked`].
pub unsafe fn with_lock_held<R>(what: impl FnOnce(&State) -> R) -> R {
    // Nobody else has a guard; this one does not let the lock go.
    what(&*ManuallyDrop::new(Locked(PhantomData)))
}
