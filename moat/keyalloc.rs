// SPDX-License-Identifier: GPL-2.0
//! Who owns which of the 13 program keys.
//!
//! ```text
//!        alloc           free               flushed
//!  Free --------> Bound --------> Draining ---------> Free
//! ```
//!
//! A draining key is on nobody's pages, yet some TLB may still say otherwise, so
//! it is not handed out before a flush covers it (I5).  The caller retags the
//! old owner's pages *before* it frees the key, and serialises all calls.

use crate::pks::{Key, KeySet};
use crate::window::flush_epoch::{Flush, Stamp};

/// Names a domain for as long as it lives.
pub type Owner = u64;

/// What has become of one key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    Free,
    /// On pages of `owner`.
    Bound {
        owner: Owner,
    },
    /// On no page since `since`, but perhaps in some TLB.
    Draining {
        since: Stamp,
    },
}

/// Why a key could not be freed: the domain does not own it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotOwner;

/// The state of every program key.
#[derive(Debug)]
pub struct KeyAlloc {
    states: [State; Key::PROGRAMS],
}

impl KeyAlloc {
    pub const fn new() -> KeyAlloc {
        KeyAlloc {
            states: [State::Free; Key::PROGRAMS],
        }
    }

    /// A key for `owner`; none if no key is free.  Then the domain is without one, it
    /// does not wait.
    pub fn alloc(&mut self, owner: Owner) -> Option<Key> {
        let i = self.states.iter().position(|s| *s == State::Free)?;
        self.states[i] = State::Bound { owner };
        Key::program(i)
    }

    /// The key drains from now on; it must have been taken off every page before `since`.
    pub fn free(&mut self, key: Key, owner: Owner, since: Stamp) -> Result<(), NotOwner> {
        let i = key.program_index().ok_or(NotOwner)?;
        if self.states[i] != (State::Bound { owner }) {
            return Err(NotOwner);
        }
        self.states[i] = State::Draining { since };
        Ok(())
    }

    /// Takes back the keys that `flush` covers; call once it has completed.
    pub fn flushed(&mut self, flush: &Flush) -> KeySet {
        let mut back = KeySet::EMPTY;
        for (i, state) in self.states.iter_mut().enumerate() {
            match (*state, Key::program(i)) {
                (State::Draining { since }, Some(key)) if flush.covers(since) => {
                    *state = State::Free;
                    back = back.with(key);
                }
                _ => {}
            }
        }
        back
    }

    /// What has become of `key`; none if programs cannot own it.
    pub fn state(&self, key: Key) -> Option<State> {
        Some(self.states[key.program_index()?])
    }

    /// Keys in a state that `which` likes.
    pub fn having(&self, which: impl Fn(State) -> bool) -> KeySet {
        let mut set = KeySet::EMPTY;
        for (i, state) in self.states.iter().enumerate() {
            match Key::program(i) {
                Some(key) if which(*state) => set = set.with(key),
                _ => {}
            }
        }
        set
    }

    /// How many keys are not free.
    pub fn taken(&self) -> usize {
        let states = self.states.iter();
        states.filter(|state| **state != State::Free).count()
    }

    /// Keys that wait for a flush.
    pub fn draining(&self) -> KeySet {
        self.having(|state| matches!(state, State::Draining { .. }))
    }
}

impl Default for KeyAlloc {
    fn default() -> KeyAlloc {
        KeyAlloc::new()
    }
}
