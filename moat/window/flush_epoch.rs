// SPDX-License-Identifier: GPL-2.0
//! What was unmapped but may still be cached: the wait between two owners.
//!
//! Invariant I5: a key or an address changes owner only after every CPU has
//! dropped its translations for the old one.  The order is
//!
//! 1. change the page tables, then take a [`Stamp`] for what was given up;
//! 2. begin a [`Flush`], then flush every CPU's TLB;
//! 3. show that `Flush` to the allocators, which release what it covers.
//!
//! Stamps and flushes are counted, so a flush that began too early covers
//! nothing of what came after, even if the same key was reused in between.

/// Counts flushes.  One for all allocators, under their common lock.
#[derive(Debug)]
pub struct FlushEpochs {
    epoch: u64,
}

/// When something was unmapped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Stamp(u64);

/// A flush of every TLB.  Hold on to it until the flush has completed.
#[must_use]
#[derive(Debug)]
pub struct Flush(u64);

impl FlushEpochs {
    pub const fn new() -> FlushEpochs {
        FlushEpochs { epoch: 0 }
    }

    /// For what has just been unmapped.
    pub const fn stamp(&self) -> Stamp {
        Stamp(self.epoch)
    }

    /// Call right before flushing; what is stamped from now on is not covered.
    pub fn begin(&mut self) -> Flush {
        let flush = Flush(self.epoch);
        self.epoch += 1;
        flush
    }
}

impl Default for FlushEpochs {
    fn default() -> FlushEpochs {
        FlushEpochs::new()
    }
}

impl Flush {
    /// Whether what was stamped so was unmapped before this flush began.
    pub const fn covers(&self, stamp: Stamp) -> bool {
        stamp.0 <= self.0
    }
}
