// SPDX-License-Identifier: GPL-2.0
//! Who owns which key and which part of the window.
//!
//! One lock covers all of it.  A range or a key goes back to its allocator only
//! after `moat_unmap()` has flushed every TLB (I5).

use crate::drain::Drain;
use crate::ffi::{self, Lock};
use crate::keyalloc::{KeyAlloc, Owner, State};
use crate::pks::Key;
use crate::window::{Slot, Window};
use core::ptr::null_mut;
use kernel::bindings;
use kernel::prelude::*;

/// Words of the window's bitmaps: 32,768 granules, 64 GiB.
const WORDS: usize = 512;

static mut BITS: [[u64; WORDS]; 3] = [[0; WORDS]; 3];

/// Shown in debugfs as `keys`.
#[no_mangle]
pub static mut moat_keys_used: u64 = 0;

/// Values of one map, mapped where programs find them.
pub struct MapValues {
    /// Its `struct bpf_map`.
    pub map: *mut ffi::bpf_map,
    /// First address.
    pub base: u64,
    /// In bytes.
    pub span: u64,
    /// Whether programs may write them.
    pub writable: bool,
    key: Key,
    /// The program whose key it is, while only that one uses the map.
    private_to: Owner,
    users: usize,
    slot: Option<Slot>,
}

/// All of it; there is one, behind [`Lock`].
pub struct Domains {
    keys: KeyAlloc,
    drain: Drain,
    window: Option<Window<'static>>,
    maps: Vec<Box<MapValues>>,
}

static mut DOMAINS: Domains = Domains {
    keys: KeyAlloc::new(),
    drain: Drain::new(),
    window: None,
    maps: Vec::new(),
};

/// Access to [`Domains`], for as long as the lock is held.
pub fn domains(_lock: &mut Lock) -> &mut Domains {
    // SAFETY: `_lock` proves that the lock is held, and is borrowed as long.
    unsafe { &mut *core::ptr::addr_of_mut!(DOMAINS) }
}

/// Why something could not be had.
pub type Reason = &'static str;
/// What an attempt to have it ends in.
pub type Tried<T> = core::result::Result<T, Reason>;

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

    /// Whether a key is free.
    pub fn has_key(&self) -> bool {
        !self
            .keys
            .having(|state| matches!(state, State::Free))
            .is_empty()
    }

    /// A key for `owner`.
    pub fn take_key(&mut self, owner: Owner) -> Tried<Key> {
        let key = self.keys.alloc(owner).ok_or("no protection key left")?;
        // SAFETY: under the lock; debugfs may read any value.
        unsafe { moat_keys_used += 1 };
        Ok(key)
    }

    /// Gives back a key that never was on a page.
    pub fn drop_key(&mut self, key: Key, owner: Owner) {
        let since = self.drain.stamp();
        if let Ok(true) = self.keys.free(key, owner, since) {
            // SAFETY: under the lock.
            unsafe { moat_keys_used -= 1 };
        }
        let flush = self.drain.begin();
        self.keys.flushed(&flush);
    }

    /// Maps `pages` into a range of their own.
    pub fn map(&mut self, pages: &mut [*mut ffi::page], key: Key, writable: bool) -> Tried<Slot> {
        let bytes = (pages.len() as u64) << 12;
        let slot = self.window().alloc(bytes).ok_or("no room in the window")?;
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
            self.unmap(slot, bytes, None);
            return Err("no memory");
        }
        Ok(slot)
    }

    /// Unmaps a range and gives it back, and the key with it if one is named.
    pub fn unmap(&mut self, slot: Slot, bytes: u64, key: Option<(Key, Owner)>) {
        let addr = slot.addr();
        let since = self.drain.stamp();
        self.window().free(slot, since);
        let flush = self.drain.begin();
        // SAFETY: the range was ours; process context.
        unsafe { bindings::moat_unmap(addr, bytes) };
        if let Some((key, owner)) = key {
            // The map or program that owned the key was its last page.
            if let Ok(true) = self.keys.free(key, owner, since) {
                // SAFETY: under the lock.
                unsafe { moat_keys_used -= 1 };
            }
        }
        self.window().flushed(&flush);
        self.keys.flushed(&flush);
    }

    /// The values of `map` for program `owner` with key `own`.
    ///
    /// Returns them and, if they have a key of their own, that.  `widen` is told
    /// when a program that had the map for itself needs another key from now on.
    pub fn share_map(
        &mut self,
        map: *mut ffi::bpf_map,
        owner: Owner,
        own: Key,
        widen: impl FnOnce(Owner, Key),
    ) -> Tried<(*const MapValues, Option<Key>)> {
        if let Some(i) = self.maps.iter().position(|m| m.map == map) {
            if self.maps[i].private_to != 0 {
                let key = self.take_key(map as Owner)?;
                let values = &mut self.maps[i];
                widen(values.private_to, key);
                // Runs that began with the old set end before the key changes.
                // SAFETY: process context.
                unsafe { ffi::moat_shim_synchronize_rcu() };
                // SAFETY: mapped by us.
                unsafe { bindings::moat_set_key(values.base, values.span, key.get().into()) };
                values.key = key;
                values.private_to = 0;
            }
            let values = &mut self.maps[i];
            values.users += 1;
            return Ok((&**values, Some(values.key)));
        }

        // SAFETY: the verifier holds a reference on the map.
        let (span, ro) = unsafe {
            (
                bindings::moat_map_span(map),
                (*map).map_flags & bindings::BPF_F_RDONLY_PROG != 0,
            )
        };
        if span == 0 {
            return Err("a map type, or a map made before MOAT was loaded");
        }
        let mut pages =
            ffi::Zeroed::<*mut ffi::page>::new((span >> 12) as usize).ok_or("no memory")?;
        // SAFETY: there is room for one pointer per page of the span.
        if unsafe { bindings::moat_map_pages(map, pages.slice_mut().as_mut_ptr()) } != 0 {
            return Err("no memory");
        }
        let slot = self.map(pages.slice_mut(), own, !ro)?;
        let values = ffi::try_box(MapValues {
            map,
            base: slot.addr(),
            span,
            writable: !ro,
            key: own,
            private_to: owner,
            users: 1,
            slot: None,
        });
        let mut values = match values {
            Some(values) => values,
            None => {
                self.unmap(slot, span, None);
                return Err("no memory");
            }
        };
        values.slot = Some(slot);
        let ptr: *const MapValues = &*values;
        if let Err(_e) = self.maps.try_reserve(1) {
            let slot = values.slot.take();
            if let Some(slot) = slot {
                self.unmap(slot, span, None);
            }
            return Err("no memory");
        }
        // Cannot fail: reserved.
        let _ = self.maps.try_push(values);
        Ok((ptr, None))
    }

    /// One user of the values less.  The map still exists.
    pub fn unshare_map(&mut self, values: *const MapValues) {
        let i = match self
            .maps
            .iter()
            .position(|m| &**m as *const MapValues == values)
        {
            Some(i) => i,
            None => return,
        };
        self.maps[i].users -= 1;
        if self.maps[i].users != 0 {
            return;
        }
        let mut values = self.maps.swap_remove(i);
        let own = if values.private_to == 0 {
            Some((values.key, values.map as Owner))
        } else {
            None
        };
        if let Some(slot) = values.slot.take() {
            self.unmap(slot, values.span, own);
        }
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
    /// `len` zeroed bytes, a multiple of the page size, under `key`.
    pub fn new(domains: &mut Domains, len: u64, key: Key) -> Tried<Area> {
        let pages = ffi::Zeroed::new((len >> 12) as usize).ok_or("no memory")?;
        let mut area = Area {
            pages,
            slot: None,
            base: 0,
            len,
        };
        for page in area.pages.slice_mut() {
            // SAFETY: process context.
            *page = unsafe { ffi::moat_shim_alloc_page() };
            if *page == null_mut() {
                return Err("no memory");
            }
        }
        let slot = domains.map(area.pages.slice_mut(), key, true)?;
        area.base = slot.addr();
        area.slot = Some(slot);
        Ok(area)
    }

    /// Unmaps it and gives its key back.
    pub fn release(&mut self, domains: &mut Domains, key: Key, owner: Owner) {
        if let Some(slot) = self.slot.take() {
            domains.unmap(slot, self.len, Some((key, owner)));
        }
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        debug_assert!(self.slot.is_none());
        for &page in self.pages.slice() {
            if !page.is_null() {
                // SAFETY: ours, and mapped nowhere any more.
                unsafe { ffi::moat_shim_free_page(page) };
            }
        }
    }
}
