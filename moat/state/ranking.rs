// SPDX-License-Identifier: GPL-2.0
//! Which programs deserve keys.
//!
//! A program is *keyed* when every domain of its set has a key, otherwise it runs
//! in a view.  Now and then the caller reads how often each program ran and asks
//! [`choose`] for one move after the other.  A hotter program displaces colder
//! ones, but only if they are much colder all together, and only so often: nothing
//! thrashes.

use crate::pks::Key;

/// What is known of one program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Load {
    /// The caller's name for it.
    pub id: u64,
    /// Runs, decayed: see [`Heat`].
    pub heat: u64,
    /// Whether it is keyed.
    pub keyed: bool,
    /// How many domains of its set have no key.
    pub wants: usize,
    /// How many of the keys of its set are for it alone: no other user of the
    /// domain is keyed, or hotter.  They come back when it no longer is keyed.
    pub frees: usize,
}

/// What to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Move {
    /// Give keys to what it lacks, and let it run keyed.
    Promote(u64),
    /// Let these run in views, take back the keys nobody needs then, and promote
    /// that one.
    Displace(Colder, u64),
    /// Nothing is worth moving.
    Rest,
}

/// Keyed programs that a hotter one displaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Colder {
    ids: [u64; Key::PROGRAMS],
    len: usize,
}

impl Colder {
    /// The caller's names for them.
    pub fn ids(&self) -> &[u64] {
        &self.ids[..self.len]
    }
}

/// How much hotter a program must be than all it displaces: twice, and this.
pub const MARGIN: u64 = 16;

/// The next move, with `free` keys to give away.
///
/// It is for the hottest program that can have all the keys it wants; one that
/// cannot, now or ever, is in nobody's way.  What it displaces is the coldest, all
/// in all, that makes room for it.  Each move leaves the keyed programs hotter than
/// they were, so there is an end to them.
pub fn choose(loads: impl Iterator<Item = Load>, free: usize) -> Move {
    // The hottest of those that want so many keys, by their number.
    let mut hottest = [(0, 0); Key::PROGRAMS + 1];
    // Each keyed program has a key that no other has.
    let mut keyed = [0; Key::PROGRAMS];
    let mut len = 0;
    // What it costs to free so many keys, by their number, and who pays.
    let mut costs: [Option<(u64, u16)>; Key::PROGRAMS + 1] = [None; Key::PROGRAMS + 1];
    costs[0] = Some((0, 0));
    for load in loads {
        if !load.keyed {
            match hottest.get_mut(load.wants) {
                Some(known) if load.heat > known.0 => *known = (load.heat, load.id),
                _ => {}
            }
        } else if len < keyed.len() {
            keyed[len] = load.id;
            // From many keys to few, so that nobody pays twice.
            for n in (0..costs.len()).rev() {
                if let Some((heat, who)) = costs[n] {
                    let all = heat.saturating_add(load.heat);
                    let sum = &mut costs[(n + load.frees).min(Key::PROGRAMS)];
                    if sum.map_or(true, |(known, _)| all < known) {
                        *sum = Some((all, who | 1 << len));
                    }
                }
            }
            len += 1;
        }
    }

    let mut best = (0, Move::Rest);
    for (wants, &(heat, id)) in hottest.iter().enumerate() {
        if heat <= best.0 {
            continue;
        }
        if wants <= free {
            best = (heat, Move::Promote(id));
            continue;
        }
        let cost = costs[wants - free..].iter().flatten().min_by_key(|c| c.0);
        match cost {
            Some(&(cost, who)) if heat > cost.saturating_mul(2).saturating_add(MARGIN) => {
                let mut cold = Colder {
                    ids: [0; Key::PROGRAMS],
                    len: 0,
                };
                for (i, &id) in keyed.iter().enumerate() {
                    if who & 1 << i != 0 {
                        cold.ids[cold.len] = id;
                        cold.len += 1;
                    }
                }
                best = (heat, Move::Displace(cold, id));
            }
            _ => {}
        }
    }
    best.1
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

    /// Takes note of a reading after a time in which nobody read: how long that was is
    /// not known, so those runs do not count.
    pub fn skip(&mut self, runs: u64) {
        self.seen = runs;
    }

    pub const fn value(self) -> u64 {
        self.value
    }
}

/// Bounds how many programs lose their keys to others.
#[derive(Debug)]
pub struct Budget {
    left: u32,
}

impl Budget {
    /// Programs in a burst after a rest.
    pub const BURST: u32 = 32;
    /// Programs that each period adds.
    pub const PER_PERIOD: u32 = 5;
    /// Length of a period in milliseconds.  50 a second, then.
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

    /// Whether `n` programs more may lose their keys now; all of them or none.
    #[must_use]
    pub fn take(&mut self, n: usize) -> bool {
        match u32::try_from(n).ok().and_then(|n| self.left.checked_sub(n)) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

impl Default for Budget {
    fn default() -> Budget {
        Budget::new()
    }
}
