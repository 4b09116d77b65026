// SPDX-License-Identifier: GPL-2.0
//! The values of maps get pages.

use crate::books::{Checked, Map};
use crate::changes::borrowed;
use crate::edge::lock::Locked;
use crate::system::{Ended, System};
use kernel::machine::GRANULE;
use kernel::memory::Shortage;

impl System {
    /// A granule of `map` has pages, or had when this was tried last.
    pub fn grow(&mut self, map: Map, shortage: Option<Shortage>) -> Checked {
        // SAFETY: maps outlive the system, and the module is not being called.
        let known = unsafe { &mut *map };
        if known.filled == known.told {
            if known.filled >= known.span {
                return Ok(());
            }
            known.filled += GRANULE;
        }
        let (filled, told) = (known.filled, known.told);
        // SAFETY: maps outlive the system.
        let grown = unsafe { borrowed(map) };
        let grow = || Locked::take().map_grown(grown, told >> 12, (filled - told) >> 12);
        if self.attempt(shortage, grow)? == Ended::Well {
            // SAFETY: as above; who looks next finds lookups that return what is there.
            unsafe { (*map).told = filled };
        }
        self.finish()
    }
}
