// SPDX-License-Identifier: GPL-2.0
//! Page tables, views and TLBs.
//!
//! A TLB is a set: whatever page tables said since the last flush, some CPU may have
//! cached, for it speculates.  Nothing is finer than a granule of the window, and a
//! frame stands for all that is mapped with it.

use crate::memory;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

/// What one last-level page table maps, and no two owners share.
pub const GRANULE: u64 = 2 << 20;
/// CR3: what is cached for this PCID stays.
pub const NOFLUSH: u64 = 1 << 63;
const PCID: u64 = 0xfff;
/// The key that no program has.
const PARKED: u8 = 15;

/// What page tables say of a granule.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Page {
    /// The address of what owns the memory: a page, or the map that has the values.
    pub frame: usize,
    pub key: u8,
    pub writable: bool,
}

/// How the machine could be wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Broken {
    #[default]
    Not,
    /// TLBs keep what they have.
    Flush,
    /// Nobody is waited for.
    Grace,
    /// What is in a view stays there.
    ViewUnmap,
    /// Pages keep their keys.
    SetKey,
    /// As above, but only those that nobody is to have a key for.
    Park,
    /// What is mapped stays mapped.
    Unmap,
}

/// When somebody may want to look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// Page tables or views are about to say something else.
    Changing,
    /// They do; TLBs may say both.
    Changed,
    /// TLBs say what page tables say.
    Flushed,
    /// Runs that are under way are waited for.
    GraceBegins,
    /// They have ended.
    GraceOver,
    /// Nothing is under way.
    Rest,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Machine {
    /// The window, by address.
    pub tables: BTreeMap<u64, Page>,
    /// Which granules views show, by their top level.
    pub views: BTreeMap<u64, BTreeSet<u64>>,
    /// By address: what `tables` said since the last flush.
    cached: BTreeSet<(u64, Page)>,
    /// By PCID: which granules views showed since the last flush.
    cached_views: BTreeSet<(u64, u64)>,
    last_view: u64,
    /// Whether the lock is held.
    pub(crate) locked: bool,
    /// Pages, slots, arrays and programs of plans that were not freed yet.
    pub allocations: i64,
    /// What is listed in debugfs, by its number there.
    pub listed: BTreeMap<u32, u64>,
    pub broken: Broken,
    /// The first thing that no kernel would bear.
    pub wrong: Option<String>,
}

thread_local! {
    static MACHINE: RefCell<Machine> = RefCell::default();
    static WATCH: Cell<Option<fn(Moment)>> = const { Cell::new(None) };
}

/// Access to this thread's machine.
pub fn machine<T>(what: impl FnOnce(&mut Machine) -> T) -> T {
    MACHINE.with_borrow_mut(what)
}

/// A new machine, and who looks at it.
pub fn boot(broken: Broken, watch: fn(Moment)) {
    machine(|m| {
        *m = Machine {
            broken,
            ..Machine::default()
        }
    });
    WATCH.set(Some(watch));
}

/// Lets whoever watches look.
pub fn look(moment: Moment) {
    if let Some(watch) = WATCH.get() {
        watch(moment);
    }
}

/// The granules from `addr` on.
pub fn granules(addr: u64, len: u64) -> impl Iterator<Item = u64> {
    (addr..addr + len).step_by(GRANULE as usize)
}

impl Machine {
    pub(crate) fn report(&mut self, what: impl Into<String>) {
        self.wrong.get_or_insert(what.into());
    }

    /// What translations there are or may be cached: address and page.
    pub fn translations(&self) -> impl Iterator<Item = (u64, Page)> + '_ {
        let tables = self.tables.iter().map(|(&addr, &page)| (addr, page));
        tables.chain(self.cached.iter().copied())
    }

    /// The granules a run in the view `cr3` may have translations for.
    pub fn seen(&self, cr3: u64) -> BTreeSet<u64> {
        let mut seen = self.shown(cr3).cloned().unwrap_or_default();
        if cr3 & NOFLUSH != 0 {
            let pcid = cr3 & PCID;
            let cached = self.cached_views.range((pcid, 0)..(pcid + 1, 0));
            seen.extend(cached.map(|&(_, addr)| addr));
        }
        seen
    }

    /// The granules in the view `cr3`.
    pub fn shown(&self, cr3: u64) -> Option<&BTreeSet<u64>> {
        self.views.get(&(cr3 & !(NOFLUSH | PCID)))
    }

    /// A CPU may have run in the view `cr3`.
    pub fn run_in(&mut self, cr3: u64) {
        let pcid = cr3 & PCID;
        let shown = self.shown(cr3).cloned().unwrap_or_default();
        self.cached_views
            .extend(shown.into_iter().map(|addr| (pcid, addr)));
    }

    /// Whether a translation leads to `frame`.
    pub(crate) fn leads_to(&self, frame: usize) -> bool {
        self.translations().any(|(_, page)| page.frame == frame)
    }

    pub(crate) fn new_view(&mut self) -> u64 {
        self.last_view += PCID + 1;
        self.views.insert(self.last_view, BTreeSet::new());
        self.last_view
    }

    /// The page tables say of `addr` what `page` says, or nothing.  What they said
    /// before may be cached.
    fn set(&mut self, addr: u64, page: Option<Page>) -> Option<Page> {
        let old = match page {
            Some(page) => self.tables.insert(addr, page),
            None => self.tables.remove(&addr),
        };
        self.cached.extend(old.map(|old| (addr, old)));
        old
    }

    fn flush(&mut self) {
        if self.broken != Broken::Flush {
            self.cached.clear();
            self.cached_views.clear();
        }
    }

    fn map(&mut self, addr: u64, page: Page) {
        if self.tables.get(&addr) == Some(&page) {
            // What has failed is done again.
            return;
        }
        if self.set(addr, Some(page)).is_some() {
            self.report(format!("{addr:x} is mapped already"));
        }
        if self.views.values().any(|shown| shown.contains(&addr)) {
            self.report(format!("{addr:x} is in a view already"));
        }
    }

    fn set_key(&mut self, addr: u64, key: u8) {
        // Otherwise it is a hole, beside something else.
        if let Some(page) = self.tables.get(&addr).copied() {
            self.set(addr, Some(Page { key, ..page }));
        }
    }
}

/// Changes page tables or views, with the lock held.
fn change(what: impl FnOnce(&mut Machine)) {
    look(Moment::Changing);
    machine(|m| {
        if !m.locked {
            m.report("page tables change without the lock");
        }
        what(m);
    });
    look(Moment::Changed);
}

pub(crate) fn flush() {
    machine(Machine::flush);
    look(Moment::Flushed);
}

/// Maps `frames`, a page each, or fails half-way.
pub(crate) fn map(addr: u64, frames: &[usize], key: u8, writable: bool) -> bool {
    let fails = memory::fails();
    let mut tables: Vec<_> = granules(addr, (frames.len() as u64) << 12).collect();
    if fails {
        tables.pop();
    }
    change(|m| {
        for (i, &addr) in tables.iter().enumerate() {
            let page = Page {
                frame: frames[i * (GRANULE >> 12) as usize],
                key,
                writable,
            };
            m.map(addr, page);
        }
    });
    !fails
}

pub(crate) fn unmap(addr: u64, len: u64) {
    change(|m| {
        if m.broken != Broken::Unmap {
            for addr in granules(addr, len) {
                m.set(addr, None);
            }
        }
    });
    flush();
}

pub(crate) fn set_key(addr: u64, len: u64, key: u8) {
    change(|m| {
        let stays = match m.broken {
            Broken::SetKey => true,
            Broken::Park => key == PARKED,
            _ => false,
        };
        if !stays {
            if !granules(addr, len).any(|addr| m.tables.contains_key(&addr)) {
                m.report(format!("{addr:x} is given a key and is not mapped"));
            }
            granules(addr, len).for_each(|addr| m.set_key(addr, key));
        }
    });
    flush();
}

/// Puts a range into the view at `pgd`, or fails half-way.
pub(crate) fn view_map(pgd: u64, addr: u64, len: u64) -> bool {
    let fails = memory::fails();
    let mut tables: Vec<_> = granules(addr, len).collect();
    if fails {
        tables.pop();
    }
    change(|m| {
        // What is a hole is not there; not all is.
        let before = tables.len();
        tables.retain(|addr| m.tables.contains_key(addr));
        if before != 0 && tables.is_empty() {
            m.report(format!("{addr:x} is put into a view and is not mapped"));
        }
        m.views.entry(pgd).or_default().extend(tables);
    });
    !fails
}

pub(crate) fn view_unmap(pgd: u64, addr: u64, len: u64) {
    change(|m| {
        if m.broken != Broken::ViewUnmap {
            let shown = m.views.entry(pgd).or_default();
            for addr in granules(addr, len) {
                shown.remove(&addr);
            }
        }
    });
    flush();
}

pub fn synchronize_rcu() {
    look(Moment::GraceBegins);
    if machine(|m| m.broken) != Broken::Grace {
        look(Moment::GraceOver);
    }
}
