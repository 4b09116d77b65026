// SPDX-License-Identifier: GPL-2.0
//! The lock, and the state that it guards.
//!
//! Context: process; may sleep.

use super::exclusive::{Exclusive, Taken};
use super::shims::{given_back, safe_shims};
use crate::edge::ffi;
use crate::state::State;
use core::ops::{Deref, DerefMut};

safe_shims! {
    /// Waits for it.
    fn lock() = ffi::moat_shim_lock;
}

/// The state, whichever thread has it.
struct Guarded(State);

// SAFETY: what it points to is no thread's own, and alive for as long as it points there.
unsafe impl Send for Guarded {}

/// Who has the lock finds it free: the lock is there to be waited for.
static GUARDED: Exclusive<Guarded> = Exclusive::new(Guarded(State::new()));

/// The mutex is held, by this thread: see [`Locked`].
struct Mutex(());

impl Mutex {
    fn take() -> Mutex {
        lock();
        Mutex(())
    }
}

given_back! {
    Mutex => ffi::moat_shim_unlock;
}

/// The lock is held; access to all it guards.  Not to be sent to another thread: a mutex
/// is let go by who took it.
#[must_use = "the lock is let go when this is dropped"]
pub struct Locked {
    // Dropped in this order.
    guarded: Taken<'static, Guarded>,
    _mutex: Mutex,
}

impl Locked {
    /// Takes the lock.
    pub fn take() -> Locked {
        let mutex = Mutex::take();
        Locked {
            guarded: GUARDED.take().expect("the lock is held twice"),
            _mutex: mutex,
        }
    }
}

impl Deref for Locked {
    type Target = State;

    fn deref(&self) -> &State {
        &self.guarded.0
    }
}

impl DerefMut for Locked {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.guarded.0
    }
}

/// Looks at the state while C holds the lock: `admin/listing.c`.
pub fn with_lock_held<R>(what: impl FnOnce(&State) -> R) -> R {
    what(&GUARDED.take().expect("the lock is held twice").0)
}
