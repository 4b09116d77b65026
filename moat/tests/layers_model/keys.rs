// SPDX-License-Identifier: GPL-2.0
//! The keys: a state small enough to be explored, which the real allocator and drain
//! are made of when there is something to do, and which is made of them afterwards.

use moat_logic::keyalloc::{self, KeyAlloc, Owner};
use moat_logic::pks::Key;
use moat_logic::window::flush_epoch::{Flush, FlushEpochs};

const KEYS: usize = 3;

/// `keyalloc::State`, without its stamp: a number that only grows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeyState {
    Free,
    Bound(Owner),
    /// Covered by the flush under way, or by the next.
    Draining {
        covered: bool,
    },
}

/// The allocator's state; the real one is made of it when there is something to do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Keys {
    pub states: [KeyState; KEYS],
    pub flushing: bool,
}

/// The real ones.
pub struct Real {
    pub keys: KeyAlloc,
    pub drain: FlushEpochs,
    pub flush: Option<Flush>,
}

impl Keys {
    /// Who has the keys that the machine has not.
    const NOBODY: Owner = 99;

    pub fn new(keys: usize) -> Keys {
        let mut states = [KeyState::Bound(Keys::NOBODY); KEYS];
        states[..keys].fill(KeyState::Free);
        Keys {
            states,
            flushing: false,
        }
    }

    pub fn free(&self) -> usize {
        let free = self.states.iter().filter(|s| **s == KeyState::Free);
        free.count()
    }

    fn real(&self) -> Real {
        let mut keys = KeyAlloc::new();
        let mut drain = FlushEpochs::new();
        for i in 0..Key::PROGRAMS {
            let owner = match self.states.get(i) {
                Some(KeyState::Bound(owner)) => *owner,
                _ => Keys::NOBODY,
            };
            assert_eq!(keys.alloc(owner), Key::program(i));
        }
        let give_up = |keys: &mut KeyAlloc, drain: &FlushEpochs, which: KeyState| {
            for (i, _) in self.states.iter().enumerate().filter(|s| *s.1 == which) {
                let key = Key::program(i).unwrap();
                assert_eq!(keys.free(key, Keys::NOBODY, drain.stamp()), Ok(()));
            }
        };
        give_up(&mut keys, &drain, KeyState::Free);
        keys.flushed(&drain.begin());
        give_up(&mut keys, &drain, KeyState::Draining { covered: true });
        let flush = self.flushing.then(|| drain.begin());
        give_up(&mut keys, &drain, KeyState::Draining { covered: false });
        Real { keys, drain, flush }
    }

    fn of(real: &Real) -> Keys {
        let covered = |since| matches!(&real.flush, Some(flush) if flush.covers(since));
        let mut states = [KeyState::Free; KEYS];
        for (i, state) in states.iter_mut().enumerate() {
            *state = match real.keys.state(Key::program(i).unwrap()).unwrap() {
                keyalloc::State::Free => KeyState::Free,
                keyalloc::State::Bound { owner } => KeyState::Bound(owner),
                keyalloc::State::Draining { since } => KeyState::Draining {
                    covered: covered(since),
                },
            };
        }
        Keys {
            states,
            flushing: real.flush.is_some(),
        }
    }

    /// Lets `what` happen to the real ones.
    pub fn with<T>(&mut self, what: impl FnOnce(&mut Real) -> T) -> T {
        let mut real = self.real();
        assert_eq!(Keys::of(&real), *self);
        let result = what(&mut real);
        *self = Keys::of(&real);
        result
    }
}
