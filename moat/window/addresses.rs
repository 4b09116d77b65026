// SPDX-License-Identifier: GPL-2.0
//! Addresses for domains: ranges of the MOAT window.
//!
//! Reference: `Documentation/x86/x86_64/mm.rst`.  The window is the hole between
//! cpu_entry_area and the %esp fixup stacks: 512 GiB, one 4-level PGD slot, free
//! with and without KASLR, with 4 and with 5 levels.
//!
//! Ranges are whole 2 MiB granules, so that a page-table page never serves two
//! domains.  One unmapped granule lies before the first range and after each, so
//! that running off a range faults before it reaches another.  A freed range comes
//! back when a flush covers it (I5).  The caller serialises all calls.

use crate::window::flush_epoch::{Flush, Stamp};
use crate::x86::{PGD4_SIZE, PMD_SIZE};

/// First address of the window.
pub const BASE: u64 = 0xffff_fe80_0000_0000;
/// Length of the window in bytes: 512 GiB.
pub const SIZE: u64 = PGD4_SIZE;
/// First address for ranges; the kernel keeps the first GiB for its resume pages.
pub const ARENA: u64 = BASE + (1 << 30);
/// Length of a granule in bytes: 2 MiB, what one last-level table maps.
pub const GRANULE: u64 = PMD_SIZE;
/// How many words of 64 granules span the window from [`ARENA`] on.
pub const WORDS: usize = ((SIZE - (ARENA - BASE)) / GRANULE / 64) as usize;

/// Whether `addr` lies in the window.
#[inline(always)]
pub const fn holds(addr: u64) -> bool {
    addr.wrapping_sub(BASE) < SIZE
}

/// A range of the window that has one owner.  Not to be copied: what is freed is
/// gone.
#[derive(PartialEq, Eq, Debug)]
pub struct Range {
    first: u32,
    granules: u32,
}

impl Range {
    /// First address; a multiple of [`GRANULE`].
    pub const fn addr(&self) -> u64 {
        ARENA + self.first as u64 * GRANULE
    }

    /// Length in bytes, without the guard; a multiple of [`GRANULE`].
    pub const fn size(&self) -> u64 {
        self.granules as u64 * GRANULE
    }
}

/// Freed granules that wait for a flush, and when the last of them was freed.
struct Batch<const N: usize> {
    bits: [u64; N],
    since: Option<Stamp>,
}

impl<const N: usize> Batch<N> {
    const NONE: Batch<N> = Batch {
        bits: [0; N],
        since: None,
    };
}

/// Which of `N * 64` granules are taken.
pub struct Window<const N: usize> {
    /// Owned, guarding, or waiting for a flush.
    used: [u64; N],
    /// All words of `used` before this one are full.
    full: usize,
    batches: [Batch<N>; 2],
    /// Which of these is joined by everything that is freed.  Nothing joins the other, so
    /// that the next flush surely covers it.
    open: usize,
}

impl<const N: usize> Window<N> {
    /// All free.  In a static it takes no room in the file: it is all zeros.
    pub const fn new() -> Window<N> {
        assert!(N != 0 && N <= WORDS);
        Window {
            used: [0; N],
            full: 0,
            batches: [Batch::NONE, Batch::NONE],
            open: 0,
        }
    }

    /// A range of at least `bytes` bytes; none if `bytes` is 0 or no hole fits.
    ///
    /// First fit from the bottom: last-level page tables are never given back, so
    /// the fewer addresses are ever in use, the less memory they take.
    pub fn alloc(&mut self, bytes: u64) -> Option<Range> {
        self.alloc_below(bytes, N * 64)
    }

    /// The same in the lower half only, so that whoever is content with that cannot
    /// take everything.
    pub fn alloc_low(&mut self, bytes: u64) -> Option<Range> {
        self.alloc_below(bytes, N * 32)
    }

    fn alloc_below(&mut self, bytes: u64, total: usize) -> Option<Range> {
        if bytes == 0 || bytes > total as u64 * GRANULE {
            return None;
        }
        let granules = ((bytes + GRANULE - 1) / GRANULE) as usize;
        // The guard after the range is taken with it.
        let want = granules + 1;
        // The guard before the first range.
        self.used[0] |= 1;
        let first = self.hole(self.full * 64, total, want)?;
        for granule in first..first + want {
            self.used[granule / 64] |= 1 << (granule % 64);
        }
        while matches!(self.used.get(self.full), Some(&u64::MAX)) {
            self.full += 1;
        }
        Some(Range {
            first: first as u32,
            granules: granules as u32,
        })
    }

    /// Gives up a range, unmapped before `since`.  Flush, then call `flushed`.
    pub fn free(&mut self, range: Range, since: Stamp) {
        if matches!(self.batches[self.open].since, Some(older) if older < since) {
            self.close();
        }
        let open = &mut self.batches[self.open];
        let first = range.first as usize;
        for granule in first..first + range.granules as usize + 1 {
            open.bits[granule / 64] |= 1 << (granule % 64);
        }
        open.since = Some(since);
    }

    /// Takes back what `flush` covers; call once it has completed.
    pub fn flushed(&mut self, flush: &Flush) {
        for batch in &mut self.batches {
            let freed = release(&mut self.used, batch, flush);
            self.full = self.full.min(freed);
        }
        self.close();
    }

    /// Whether anything waits for a flush.
    pub fn draining(&self) -> bool {
        self.batches.iter().any(|batch| batch.since.is_some())
    }

    /// Closes the open batch, unless one is closed already.
    fn close(&mut self) {
        if self.batches[1 - self.open].since.is_none() {
            self.open = 1 - self.open;
        }
    }

    /// First of `want` free granules in a row, all in `from..to`.
    fn hole(&self, from: usize, to: usize, want: usize) -> Option<usize> {
        let mut start = from;
        let mut granule = from;
        while granule < to {
            if granule - start >= want {
                return Some(start);
            }
            let word = self.used[granule / 64] >> (granule % 64);
            if word == 0 {
                // The rest of this word is free.
                granule += 64 - granule % 64;
            } else if word & 1 == 0 {
                granule += word.trailing_zeros() as usize;
            } else {
                granule += (!word).trailing_zeros() as usize;
                start = granule;
            }
        }
        if to >= start && to - start >= want {
            Some(start)
        } else {
            None
        }
    }
}

impl<const N: usize> Default for Window<N> {
    fn default() -> Window<N> {
        Window::new()
    }
}

/// Takes back a batch that `flush` covers.  Returns the first word with something in it that
/// comes back.
fn release<const N: usize>(used: &mut [u64; N], batch: &mut Batch<N>, flush: &Flush) -> usize {
    let mut first = N;
    if !matches!(batch.since, Some(since) if flush.covers(since)) {
        return first;
    }
    for (i, (used, freed)) in used.iter_mut().zip(batch.bits.iter_mut()).enumerate() {
        if *freed != 0 {
            first = first.min(i);
            *used &= !*freed;
            *freed = 0;
        }
    }
    batch.since = None;
    first
}
