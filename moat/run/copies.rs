// SPDX-License-Identifier: GPL-2.0
//! Copies of what a run looks up and what lies in kernel memory: the values of devmaps, of
//! which programs may read eight bytes.
//!
//! Who looks up two entries has both, for as long as the run takes: there is room for each
//! that differs, and who has more is stopped.  The room is the program's own, which may write
//! there what it likes: that decides only what it reads itself.
//!
//! Context: as in `run/mod.rs`.

#![forbid(unsafe_code)]

use super::Run;
use crate::edge::calls;
use crate::edge::program_memory::Words;
use crate::helpers::audit;
use crate::run::program::{COPIES, COPIES_SIZE};
use crate::run::violation;

impl Run<'_> {
    fn copies(&self) -> Option<Words<'_>> {
        if !self.program.has_copies {
            return None;
        }
        // Before the snapshot: `load/layout.rs`.
        let at = self.slot.snap - (COPIES_SIZE + 63) / 64 * 64;
        audit::writable(at, COPIES_SIZE, self).map(Words::from)
    }

    /// A run begins.
    #[inline(always)]
    pub(super) fn forget_copies(&self) {
        if let Some(words) = self.copies() {
            words.set(0, 0);
        }
    }

    /// Where the program has the value that the kernel has at `addr`.
    #[cold]
    pub(super) fn copy_of(&self, addr: u64) -> u64 {
        let words = match self.copies() {
            Some(words) => words,
            None => return 0,
        };
        let value = calls::value(addr);
        let count = words.get(0).min(COPIES);
        for i in 1..=count {
            if words.get(i) == value {
                return words.addr(i);
            }
        }
        if count == COPIES {
            violation::too_many(self.program);
            self.stop();
            return 0;
        }
        words.set(count + 1, value);
        words.set(0, count + 1);
        words.addr(count + 1)
    }
}
