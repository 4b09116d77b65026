// SPDX-License-Identifier: GPL-2.0
//! Which programs deserve keys.
//!
//! A program is *keyed* when every domain of its set has a key, otherwise it runs
//! in a view.  Now and then the caller reads how often each program ran and asks
//! [`choose`] for one move after the other.  Hotter programs displace colder ones,
//! but only much colder ones, and only so often: nothing thrashes.

/// What is known of one program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Load {
    /// The caller's name for it.
    pub id: usize,
    /// Runs, decayed: see [`Heat`].
    pub heat: u64,
    /// Whether it is keyed.
    pub keyed: bool,
    /// How many domains of its set have no key.
    pub wants: usize,
}

/// What to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Move {
    /// Give keys to what it lacks, and let it run keyed.
    Promote(usize),
    /// Let it run in a view, and take back the keys nobody needs then.
    Demote(usize),
    /// Nothing is worth moving.
    Rest,
}

/// How much hotter a program must be than the one it displaces: twice, and this.
pub const MARGIN: u64 = 16;

/// The next move, with `free` keys to give away.
pub fn choose(loads: impl Iterator<Item = Load>, free: usize) -> Move {
    let mut hot: Option<Load> = None;
    let mut cold: Option<Load> = None;
    for load in loads {
        if load.keyed {
            if cold.map_or(true, |c| load.heat < c.heat) {
                cold = Some(load);
            }
        } else if load.heat > 0 && hot.map_or(true, |h| load.heat > h.heat) {
            hot = Some(load);
        }
    }
    match (hot, cold) {
        (Some(hot), _) if hot.wants <= free => Move::Promote(hot.id),
        (Some(hot), Some(cold)) if hot.heat > 2 * cold.heat + MARGIN => Move::Demote(cold.id),
        _ => Move::Rest,
    }
}

/// How hot a program is: its runs, half forgotten at each reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Heat {
    seen: u64,
    value: u64,
}

impl Heat {
    pub const fn new() -> Heat {
        Heat { seen: 0, value: 0 }
    }

    /// Takes in a reading of the run counter, which only grows, and may wrap.
    pub fn read(&mut self, runs: u64) {
        let new = runs.wrapping_sub(self.seen);
        self.seen = runs;
        self.value = (self.value / 2).saturating_add(new.min(1 << 40));
    }

    pub const fn value(self) -> u64 {
        self.value
    }
}

/// Bounds how many moves that take a key from somebody are made.
#[derive(Debug)]
pub struct Budget {
    left: u32,
}

impl Budget {
    /// Moves in a burst after a rest.
    pub const BURST: u32 = 32;
    /// Moves that each period adds.
    pub const PER_PERIOD: u32 = 5;
    /// Length of a period in milliseconds.  50 moves a second, then.
    pub const PERIOD_MS: u32 = 100;

    pub const fn new() -> Budget {
        Budget {
            left: Budget::BURST,
        }
    }

    /// A period has passed.
    pub fn refill(&mut self) {
        self.left = (self.left + Budget::PER_PERIOD).min(Budget::BURST);
    }

    /// Whether one more may be made now.
    #[must_use]
    pub fn take(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        true
    }
}

impl Default for Budget {
    fn default() -> Budget {
        Budget::new()
    }
}
