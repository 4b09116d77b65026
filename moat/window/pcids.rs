// SPDX-License-Identifier: GPL-2.0
//! What CR3 is in a page-table view.
//!
//! Reference: Intel SDM Vol. 3A, 4.10.4.1.  Without PCIDs, writing CR3 drops every
//! translation that is not global, and none of the window's is.  With PCIDs, a
//! view that has one of its own keeps its translations from run to run: what is
//! in a view changes only together with a flush of every PCID on every CPU, and
//! a PCID has a new owner only after such a flush (I5).  Views beyond that share
//! one, and start without translations each time.

use crate::window::flush_epoch::{Flush, Stamp};

/// CR3 bit 63: keep the translations of this PCID.
pub const NOFLUSH: u64 = 1 << 63;
/// The kernel's own are 1 to 6, and from 2048 on with page-table isolation, see
/// `arch/x86/mm/tlb.c`.
pub const FIRST: u16 = 64;
/// How many views have one of their own.
pub const OWN: usize = 1024;
/// What the others share.
pub const SHARED: u16 = FIRST - 1;

/// CR3 for the view whose top level is at physical address `pgd`.
///
/// `pcid`: its own, if it has one; `pcids`: whether CR4.PCIDE is set.
pub const fn cr3(pgd: u64, pcid: Option<u16>, pcids: bool) -> u64 {
    match (pcids, pcid) {
        (false, _) => pgd,
        (true, Some(pcid)) => pgd | pcid as u64 | NOFLUSH,
        (true, None) => pgd | SHARED as u64,
    }
}

/// The PCID in a CR3 made by [`cr3`]; none if it is 0, which no view has.
pub const fn of(cr3: u64) -> Option<u16> {
    match cr3 as u16 & 0xfff {
        0 => None,
        pcid => Some(pcid),
    }
}

/// Which PCIDs views own.  The caller serialises all calls.
#[derive(Debug)]
pub struct Pcids {
    used: [u64; OWN / 64],
    freed: [u64; OWN / 64],
    since: Option<Stamp>,
}

impl Pcids {
    pub const fn new() -> Pcids {
        Pcids {
            used: [0; OWN / 64],
            freed: [0; OWN / 64],
            since: None,
        }
    }

    /// A PCID nobody has translations for; none if all are taken.
    pub fn alloc(&mut self) -> Option<u16> {
        for (i, word) in self.used.iter_mut().enumerate() {
            if *word != u64::MAX {
                let bit = word.trailing_ones();
                *word |= 1 << bit;
                return Some(FIRST + (64 * i) as u16 + bit as u16);
            }
        }
        None
    }

    /// Gives one up; its view runs on no CPU since before `since`.
    pub fn free(&mut self, pcid: u16, since: Stamp) {
        let i = pcid.wrapping_sub(FIRST) as usize;
        if let Some(word) = self.freed.get_mut(i / 64) {
            *word |= 1 << (i % 64);
            self.since = Some(since);
        }
    }

    /// Takes back what `flush` covers; call once it has completed.
    pub fn flushed(&mut self, flush: &Flush) {
        if !matches!(self.since, Some(since) if flush.covers(since)) {
            return;
        }
        for (used, freed) in self.used.iter_mut().zip(self.freed.iter_mut()) {
            *used &= !*freed;
            *freed = 0;
        }
        self.since = None;
    }
}

impl Default for Pcids {
    fn default() -> Pcids {
        Pcids::new()
    }
}
