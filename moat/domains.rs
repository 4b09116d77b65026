// SPDX-License-Identifier: GPL-2.0
//! The window's memory: who has which addresses, and what is mapped there.
//!
//! One lock covers all of it.  Addresses, keys and PCIDs go back to where they
//! came from only after every TLB was flushed (I5).  Which programs see what is
//! in `sets.rs`.

use crate::balance::Budget;
use crate::drain::{Drain, Flush, Stamp};
use crate::ffi::{self, Lock};
use crate::keyalloc::KeyAlloc;
use crate::pks::Key;
use crate::program::Program;
use crate::reason::Failure::{self, NoMemory, NoRoom, Refused};
use crate::reason::{Reason, Subject, Text, Tried};
use crate::sets::Domain;
use crate::view::Pcids;
use crate::window::{Slot, Window};
use core::ptr::null_mut;
use kernel::bindings;
use kernel::prelude::*;

/// Words of the window's bitmaps: 131,072 granules, 256 GiB.
const WORDS: usize = 2048;

static mut BITS: [[u64; WORDS]; 3] = [[0; WORDS]; 3];

/// Values of one map, mapped where programs find them.  `map->moat.values` points
/// here while isolated programs use the map.
pub struct MapValues {
    /// Its `struct bpf_map`.
    pub map: *mut ffi::bpf_map,
    /// First address.
    pub base: u64,
    /// In bytes.
    pub span: u64,
    /// Whether programs may write them.
    pub writable: bool,
    /// Which domain they are part of.
    pub domain: *mut Domain,
    slot: Option<Slot>,
}

/// All of it; there is one, behind [`Lock`].
pub struct Domains {
    pub keys: KeyAlloc,
    pub budget: Budget,
    /// Nobody had reason to compare programs when that was done last.
    pub rested: bool,
    /// Every isolated program.
    pub programs: Vec<*mut Program>,
    /// Domains made so far: the last one's number.
    pub last_domain: u64,
    drain: Drain,
    window: Option<Window<'static>>,
    pcids: Pcids,
}

static mut DOMAINS: Domains = Domains {
    keys: KeyAlloc::new(),
    budget: Budget::new(),
    rested: false,
    programs: Vec::new(),
    last_domain: 0,
    drain: Drain::new(),
    window: None,
    pcids: Pcids::new(),
};

/// Access to [`Domains`], for as long as the lock is held.
pub fn domains(_lock: &mut Lock) -> &mut Domains {
    // SAFETY: `_lock` proves that the lock is held, and is borrowed as long.
    unsafe { &mut *core::ptr::addr_of_mut!(DOMAINS) }
}

/// Because of `map`, on which the caller has a reference.
pub fn map_refused(map: *mut ffi::bpf_map, why: &'static str) -> Failure {
    // SAFETY: by contract of this function; none of it changes.
    let (name, ty) = unsafe { ((*map).name, (*map).map_type) };
    Refused(Reason {
        insn: None,
        subject: Subject::Map {
            name: Text::new(name.map(|c| c as u8)),
            ty,
            inside: false,
        },
        why,
    })
}

impl Domains {
    fn window(&mut self) -> &mut Window<'static> {
        self.window.get_or_insert_with(|| {
            // SAFETY: only here, once, under the lock.
            let [used, closed, open] = unsafe { &mut *core::ptr::addr_of_mut!(BITS) };
            match Window::new(used, closed, open) {
                Some(window) => window,
                None => unreachable!(),
            }
        })
    }

    /// Maps `pages` into a range of their own.
    pub fn map(&mut self, pages: &mut [*mut ffi::page], key: Key, writable: bool) -> Tried<Slot> {
        let bytes = (pages.len() as u64) << 12;
        // SAFETY: process context.
        let slot = match unsafe { ffi::moat_shim_privileged() } {
            true => self.window().alloc(bytes),
            // Each classic filter takes some of it, and anybody can have these.
            false => self.window().alloc_low(bytes),
        };
        let slot = slot.ok_or(NoRoom)?;
        // SAFETY: the range is ours and nothing is mapped there.
        let err = unsafe {
            bindings::moat_map(
                slot.addr(),
                pages.as_mut_ptr(),
                pages.len() as u64,
                key.get().into(),
                writable,
            )
        };
        if err != 0 {
            self.unmap(slot, bytes);
            return Err(NoMemory);
        }
        Ok(slot)
    }

    /// Unmaps a range and gives it back, and keys and PCIDs given up before.
    pub fn unmap(&mut self, slot: Slot, bytes: u64) {
        let addr = slot.addr();
        let since = self.drain.stamp();
        self.window().free(slot, since);
        let flush = self.drain.begin();
        // SAFETY: the range was ours; process context.
        unsafe { bindings::moat_unmap(addr, bytes) };
        self.flushed(&flush);
    }

    /// When something was given up that the next flush has to cover.
    pub fn stamp(&self) -> Stamp {
        self.drain.stamp()
    }

    /// Flushes every TLB; what was given up before can be had again.
    pub fn flush(&mut self) {
        let flush = self.drain.begin();
        // SAFETY: process context.
        unsafe { bindings::moat_flush() };
        self.flushed(&flush);
    }

    fn flushed(&mut self, flush: &Flush) {
        self.window().flushed(flush);
        self.keys.flushed(flush);
        self.pcids.flushed(flush);
    }

    /// Maps the values of `map`, parked; to be put into a domain.
    pub fn map_values(&mut self, map: *mut ffi::bpf_map) -> Tried<*mut MapValues> {
        // SAFETY: the verifier holds a reference on the map.
        let (span, ro) = unsafe {
            (
                bindings::moat_map_span(map),
                (*map).map_flags & bindings::BPF_F_RDONLY_PROG != 0,
            )
        };
        if span == 0 {
            // SAFETY: as above; it says so in a constant.
            let why = unsafe { ffi::text(bindings::moat_map_unplaced(map)) };
            return Err(map_refused(map, why));
        }
        let mut pages =
            ffi::Zeroed::<*mut ffi::page>::new((span >> 12) as usize).ok_or(NoMemory)?;
        // SAFETY: there is room for one pointer per page of the span.
        if unsafe { bindings::moat_map_pages(map, pages.slice_mut().as_mut_ptr()) } != 0 {
            return Err(NoMemory);
        }
        let mut values = ffi::try_box(MapValues {
            map,
            base: 0,
            span,
            writable: !ro,
            domain: null_mut(),
            slot: None,
        })
        .ok_or(NoMemory)?;
        let slot = self.map(pages.slice_mut(), Key::PARKED, !ro)?;
        // A load that fails gives up its maps before its programs.
        // SAFETY: the verifier holds a reference on the map.
        unsafe { bindings::bpf_map_inc(map) };
        values.base = slot.addr();
        values.slot = Some(slot);
        let values = Box::into_raw(values);
        // SAFETY: under the lock, as every access to that member.
        unsafe { (*map).moat.values = values.cast() };
        Ok(values)
    }

    /// Unmaps values that no program uses any more.  The map still exists.
    ///
    /// # Safety
    ///
    /// `values` came from [`Domains::map_values`], and is in no domain.
    pub unsafe fn unmap_values(&mut self, values: *mut MapValues) {
        // SAFETY: by contract of this function.
        let mut values = unsafe { Box::from_raw(values) };
        // SAFETY: `map_values` took a reference.
        unsafe { (*values.map).moat.values = null_mut() };
        if let Some(slot) = values.slot.take() {
            self.unmap(slot, values.span);
        }
        // SAFETY: as above; it is given back once.
        unsafe { bindings::bpf_map_put(values.map) };
    }

    /// A view with nothing of anybody's in it.
    pub fn view(&mut self) -> Tried<View> {
        // SAFETY: process context.
        let view = unsafe { bindings::moat_view_create() };
        if view.is_null() {
            return Err(NoMemory);
        }
        // SAFETY: set once, before any program is isolated.
        let noflush = unsafe { bindings::moat_cr3_noflush };
        let pcid = if noflush != 0 {
            self.pcids.alloc()
        } else {
            None
        };
        // SAFETY: just made.
        let pgd = unsafe { bindings::moat_view_pgd(view) };
        Ok(View {
            view,
            pcid,
            cr3: crate::view::cr3(pgd, pcid, noflush != 0),
        })
    }

    /// Frees a view that no CPU runs in.
    pub fn drop_view(&mut self, view: View) {
        if let Some(pcid) = view.pcid {
            let since = self.drain.stamp();
            self.pcids.free(pcid, since);
        }
        // SAFETY: from moat_view_create(), freed once.
        unsafe { bindings::moat_view_destroy(view.view) };
    }
}

/// A page-table view; given back with [`Domains::drop_view`].
pub struct View {
    view: *mut bindings::moat_view,
    pcid: Option<u16>,
    /// What to put into CR3.
    pub cr3: u64,
}

impl View {
    /// Adds a range that is mapped in the window.
    pub fn add(&mut self, base: u64, len: u64) -> Tried<()> {
        // SAFETY: ranges are whole granules of one owner, page tables included.
        match unsafe { bindings::moat_view_map(self.view, base, len) } {
            0 => Ok(()),
            _ => Err(NoMemory),
        }
    }

    /// Takes out a range that was added.  Every TLB is flushed.
    pub fn remove(&mut self, base: u64, len: u64) {
        // SAFETY: ours; process context.
        unsafe { bindings::moat_view_unmap(self.view, base, len) };
    }
}

/// Pages in the window that belong to a program alone.
pub struct Area {
    pages: ffi::Zeroed<*mut ffi::page>,
    slot: Option<Slot>,
    /// First address.
    pub base: u64,
    /// In bytes.
    pub len: u64,
}

impl Area {
    /// `len` zeroed bytes, a multiple of the page size, parked.  Takes the lock once it has
    /// the memory, for which it may have to wait.
    pub fn new(len: u64) -> Tried<Area> {
        let pages = ffi::Zeroed::new((len >> 12) as usize).ok_or(NoMemory)?;
        let mut area = Area {
            pages,
            slot: None,
            base: 0,
            len,
        };
        for page in area.pages.slice_mut() {
            // SAFETY: process context.
            *page = unsafe { ffi::moat_shim_alloc_page() };
            if page.is_null() {
                return Err(NoMemory);
            }
        }
        let mut lock = Lock::take();
        let slot = domains(&mut lock).map(area.pages.slice_mut(), Key::PARKED, true)?;
        area.base = slot.addr();
        area.slot = Some(slot);
        Ok(area)
    }

    /// Unmaps it.
    pub fn release(&mut self, domains: &mut Domains) {
        if let Some(slot) = self.slot.take() {
            domains.unmap(slot, self.len);
        }
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        if self.slot.is_some() {
            // Pages that a program may still reach are nobody else's, ever.
            pr_err!("WARNING: memory that is still mapped is lost\n");
            return;
        }
        for &page in self.pages.slice() {
            if !page.is_null() {
                // SAFETY: ours, and mapped nowhere any more.
                unsafe { ffi::moat_shim_free_page(page) };
            }
        }
    }
}
