// SPDX-License-Identifier: GPL-2.0
//! Maps whose values get pages as they are used.
//!
//! The values of such a map have a range of the window for all that they may become.  What
//! has no page yet is a hole, and is left alone when the range is tagged, put into a view, taken
//! out or unmapped: each of these is for all of the range.

use super::State;
use crate::edge::maps::Map;
use crate::edge::window_pages;
use crate::load::reason::Tried;
use crate::window::addresses::GRANULE;
use core::mem::take;

impl State {
    /// The values of `map` have `nr` more pages, from number `first` on.  If this fails, what
    /// was mapped stays, and it is tried again before there are values there.
    pub fn map_grown(&mut self, map: Map<'_>, first: u64, nr: u64) -> Tried<()> {
        let values = match self.values_of(map) {
            Some(values) => self.values.at(values)?,
            // Who comes to use it maps all that there is.
            None => return Ok(()),
        };
        let (domain, base) = (values.domain, values.base + (first << 12));
        let tag = self.domains.at(domain)?.tag();
        let mut pages = map.pages(first, nr)?;
        window_pages::map(base, pages.slice_mut(), tag, values.writable)?;

        // Views have the last level of page tables in common with the window, but may lack a
        // table that is new.
        let from = base & !(GRANULE - 1);
        let users = take(&mut self.domains.at_mut(domain)?.users);
        let mut shown = Ok(());
        for &user in &users {
            let view = self.programs.get_mut(user).and_then(|b| b.view.as_mut());
            if let Some(view) = view {
                shown = shown.and(view.pages.add(from, base + (nr << 12) - from));
            }
        }
        self.domains.at_mut(domain)?.users = users;
        shown
    }
}
