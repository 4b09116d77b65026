// SPDX-License-Identifier: GPL-2.0
//! The module, loaded anew.

use crate::edge::lock::Locked;
use crate::state::State;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// There is one [`State`].
static TURN: Mutex<()> = Mutex::new(());

/// Held while the module is in use.
pub type Turn = MutexGuard<'static, ()>;

/// Waits for one's turn.
pub fn turn() -> Turn {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Loads the module anew.  What it had is forgotten, not freed: after a failed test it
/// need not make sense.
pub fn load(_turn: &Turn) {
    mem::forget(mem::replace(&mut *Locked::take(), State::new()));
}
