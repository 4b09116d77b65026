// SPDX-License-Identifier: GPL-2.0
//! Addresses in the window and what is mapped there, views and their PCIDs.
//!
//! Addresses, keys and PCIDs go back to where they came from only after every TLB was
//! flushed (I5).

use super::arena::Id;
use super::{Domain, MapValues, State};
use crate::edge::ffi::page;
use crate::edge::lock::Locked;
use crate::edge::maps::Map;
use crate::edge::memory::Pages;
use crate::edge::window_pages::{self, PageView};
use crate::load::reason::Failure::NoRoom;
use crate::load::reason::Tried;
use crate::maps::types::RDONLY_PROG;
use crate::pks::Key;
use crate::window::addresses::Range;
use crate::window::flush_epoch::Flush;
use crate::window::pcids::{self, cr3};

impl State {
    /// Maps `pages` at the start of a range of their own of `bytes` bytes.
    fn map(
        &mut self,
        bytes: u64,
        pages: &mut [*mut page],
        key: Key,
        writable: bool,
    ) -> Tried<Range> {
        let range = match window_pages::is_privileged() {
            true => self.window.alloc(bytes),
            // Each classic filter takes some of it, and anybody can have these.
            false => self.window.alloc_low(bytes),
        };
        let range = range.ok_or(NoRoom)?;
        if let Err(why) = window_pages::map(range.addr(), pages, key, writable) {
            self.unmap(range, bytes);
            return Err(why);
        }
        Ok(range)
    }

    /// Unmaps a range and gives it back, and keys and PCIDs given up before.
    pub(super) fn unmap(&mut self, range: Range, bytes: u64) {
        let addr = range.addr();
        let since = self.epochs.stamp();
        self.window.free(range, since);
        let flush = self.epochs.begin();
        window_pages::unmap(addr, bytes);
        self.flushed(&flush);
    }

    /// Flushes every TLB; what was given up before can be had again.
    fn flush(&mut self) {
        let flush = self.epochs.begin();
        window_pages::flush();
        self.flushed(&flush);
    }

    fn flushed(&mut self, flush: &Flush) {
        self.window.flushed(flush);
        self.keys.flushed(flush);
        self.pcids.flushed(flush);
    }

    /// Takes `key`, which no page has any more, from who was bound to it as `owner`.
    pub(super) fn free_key(&mut self, key: Key, owner: Id<Domain>) {
        let since = self.epochs.stamp();
        let _ = self.keys.free(key, owner.bits(), since);
        self.flush();
    }

    /// Maps the values of `map`, parked, into `domain`, which has room for them and does not
    /// list them yet.
    pub(super) fn map_values(&mut self, map: Map<'_>, domain: Id<Domain>) -> Tried<Id<MapValues>> {
        let span = map.span()?;
        let writable = map.info().flags & RDONLY_PROG == 0;
        let mut pages = map.pages(0, map.filled() >> 12)?;
        // There is room from here on.
        let _ = self.values.reserve()?;
        let range = self.map(span, pages.slice_mut(), Key::PARKED, writable)?;
        let room = match self.values.reserve() {
            Ok(room) => room,
            Err(why) => {
                self.unmap(range, span);
                return Err(why);
            }
        };
        let id = room.insert(MapValues {
            // A load that fails gives up its maps before its programs.
            map: map.hold(),
            base: range.addr(),
            span,
            writable,
            domain,
            range,
        });
        map.set_values(self, id.bits());
        Ok(id)
    }

    /// Unmaps values that no program uses any more, and no domain lists.
    pub(super) fn unmap_values(&mut self, values: Id<MapValues>) {
        if let Some(values) = self.values.remove(values) {
            values.map.get().set_values(self, 0);
            self.unmap(values.range, values.span);
        }
    }

    /// A view with nothing of anybody's in it.
    pub(super) fn new_view(&mut self) -> Tried<View> {
        let pages = PageView::new()?;
        let pcids = window_pages::has_pcids();
        let pcid = match pcids {
            true => self.pcids.alloc(),
            false => None,
        };
        Ok(View {
            cr3: cr3(pages.pgd(), pcid, pcids),
            pages,
            pcid,
        })
    }

    /// Frees a view that no CPU runs in.
    pub(super) fn drop_view(&mut self, view: View) {
        if let Some(pcid) = view.pcid {
            let since = self.epochs.stamp();
            self.pcids.free(pcid, since);
        }
    }
}

/// A page-table view; given back with [`State::drop_view`].
pub struct View {
    pub(super) pages: PageView,
    pcid: Option<u16>,
    /// What to put into CR3.
    pub(super) cr3: u64,
}

impl View {
    /// The PCID under which its translations are kept or, if all were taken, dropped; none
    /// where CPUs have none.
    pub fn pcid(&self) -> Option<u16> {
        pcids::of(self.cr3)
    }
}

/// Pages in the window that belong to a program alone.
pub struct Area {
    pages: Pages,
    range: Option<Range>,
    /// First address.
    pub base: u64,
    /// In bytes.
    pub len: u64,
}

impl Area {
    /// `len` zeroed bytes, a multiple of the page size, parked.  Takes the lock once it has
    /// the memory, for which it may have to wait.
    pub fn new(len: u64) -> Tried<Area> {
        let mut pages = Pages::new((len >> 12) as usize)?;
        let range = Locked::take().map(len, pages.as_mut(), Key::PARKED, true)?;
        pages.are_mapped(true);
        Ok(Area {
            base: range.addr(),
            pages,
            range: Some(range),
            len,
        })
    }

    /// Its range, to be unmapped; [`Area::is_unmapped`] says that it was.
    pub(super) fn give_up(&mut self) -> Option<(Range, u64)> {
        let range = self.range.take()?;
        Some((range, self.len))
    }

    /// Its pages can be freed.
    pub(super) fn is_unmapped(&mut self) {
        self.pages.are_mapped(false);
    }
}
