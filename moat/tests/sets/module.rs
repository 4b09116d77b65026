// SPDX-License-Identifier: GPL-2.0
//! The module, loaded anew.

use crate::domains::{domains, Domains};
use crate::ffi::Lock;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// There is one [`Domains`].
static TURN: Mutex<()> = Mutex::new(());

/// [`Domains`] as the module begins with, bit by bit: it owns nothing then.
struct Pristine(MaybeUninit<Domains>);

// SAFETY: of what it points to there is nothing.
unsafe impl Send for Pristine {}
// SAFETY: as above.
unsafe impl Sync for Pristine {}

static PRISTINE: OnceLock<Pristine> = OnceLock::new();

/// Held while the module is in use.
pub type Turn = MutexGuard<'static, ()>;

/// Waits for one's turn.
pub fn turn() -> Turn {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Loads the module anew.  What it had is forgotten, not freed: after a failed test it
/// need not make sense.
pub fn load(_turn: &Turn) {
    let mut lock = Lock::take();
    let now: *mut Domains = domains(&mut lock);
    let pristine = PRISTINE.get_or_init(|| {
        // SAFETY: a copy that is not used but to be copied.
        Pristine(unsafe { ptr::read(now.cast()) })
    });
    // SAFETY: nobody has a reference to it.
    unsafe { ptr::copy_nonoverlapping(pristine.0.as_ptr(), now, 1) };
}
