// SPDX-License-Identifier: GPL-2.0
//! Is this refusal one that was counted before?
//!
//! Who loads programs loads without a log, which is faster, and once more with one if
//! that failed, and again with a larger one if it was full: libbpf, and with it bpftool,
//! ip, tc and libxdp.  That is one refusal.  So a refusal that nobody has read to its
//! end in a log is remembered for a while, and the same one with a log is its
//! repetition.

use crate::load::reason::{Reason, Text};

/// How long a refusal is remembered, in seconds: a load can take that long.
pub const MEMORY: u64 = 60;
/// How many are.
pub const MOST: usize = 32;

/// What is refused, to whom and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The thread's number.
    pub tid: u32,
    /// `enum bpf_prog_type`
    pub ty: u32,
    /// The kernel's digest of the instructions.
    pub tag: [u8; 8],
    pub name: Text,
    pub reason: Reason,
}

/// How a refusal is told to who loads the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// There is no log.
    No,
    /// The log is full, and the load will fail for that.
    Cut,
    Whole,
}

/// The refusals that nobody has read.
pub struct Untold {
    entries: [Option<(Refusal, u64)>; MOST],
    /// Whose place is the next one's, if none is free.
    next: usize,
}

impl Untold {
    pub const fn new() -> Untold {
        Untold {
            entries: [None; MOST],
            next: 0,
        }
    }

    /// Takes note of a refusal `now`, in seconds of any clock.  Whether it was counted
    /// before.
    pub fn note(&mut self, refusal: &Refusal, told: Told, now: u64) -> bool {
        for entry in &mut self.entries {
            if matches!(entry, Some((_, since)) if now.saturating_sub(*since) > MEMORY) {
                *entry = None;
            }
        }
        let known = self
            .entries
            .iter()
            .position(|entry| matches!(entry, Some((other, _)) if other == refusal));
        match told {
            Told::Whole => {
                if let Some(entry) = known.and_then(|i| self.entries.get_mut(i)) {
                    *entry = None;
                }
            }
            Told::No | Told::Cut => {
                let free = || self.entries.iter().position(Option::is_none);
                let i = known.or_else(free).unwrap_or(self.next) % MOST;
                self.entries[i] = Some((*refusal, now));
                self.next = (i + 1) % MOST;
            }
        }
        known.is_some() && told != Told::No
    }
}

impl Default for Untold {
    fn default() -> Untold {
        Untold::new()
    }
}
