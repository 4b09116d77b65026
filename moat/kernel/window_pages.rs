// SPDX-License-Identifier: GPL-2.0
//! The page tables of the window, and what else is global about them.
//!
//! Context: process, with the lock held, which guards all of it.  Functions here refuse
//! what is not in the window: nothing else is theirs to change.

use super::off;
use super::shims::{given_back, safe_shims};
use crate::edge::ffi::{self, page};
use crate::load::reason::Failure::NoMemory;
use crate::load::reason::Tried;
use crate::pks::Key;
use crate::window::addresses;
use core::ptr::NonNull;
use kernel::bindings;

safe_shims! {
    /// Flushes every TLB.
    pub fn flush() = bindings::moat_flush;
    /// Waits for all runs that began before.
    pub fn synchronize_rcu() = ffi::moat_shim_synchronize_rcu;
    /// Whether who is served here may have all of the window.
    pub fn is_privileged() -> bool = ffi::moat_shim_privileged;
    /// From now on programs are compared every `ms` milliseconds, if they are not already.
    pub fn start_balancing(ms: u32) = ffi::moat_shim_start_balancing;
    fn trace_bound(domain: u32, key: u32, users: u32) = bindings::moat_trace_bind;
    fn trace_unbound(domain: u32, key: u32, users: u32) = bindings::moat_trace_unbind;
    /// Null if memory is short.
    fn new_view() -> *mut bindings::moat_view = bindings::moat_view_create;
}

/// A range of the window.
#[derive(Clone, Copy)]
struct Range {
    addr: u64,
    bytes: u64,
}

impl Range {
    /// `bytes` from `addr` on; none if these are not all the window's.
    fn new(addr: u64, bytes: u64) -> Option<Range> {
        let is = bytes != 0
            && bytes <= addresses::SIZE
            && addresses::holds(addr)
            && addresses::holds(addr + (bytes - 1));
        debug_assert!(is);
        match is {
            true => Some(Range { addr, bytes }),
            false => None,
        }
    }
}

/// Functions of C that change what is in a range, as methods of it.
macro_rules! of_ranges {
    ($(fn $name:ident($self:ident $(, $arg:ident: $ty:ty)*) $(-> $ret:ty)?
        = $function:ident($($pass:expr),*);)*) => {
        impl Range {$(
            fn $name($self $(, $arg: $ty)*) $(-> $ret)? {
                // SAFETY: process context; the range is in the window, where nobody has a
                // reference.  Liveness: pages are those of who calls, and are unmapped
                // before they are freed; a view is borrowed.
                unsafe { bindings::$function($($pass),*) }
            }
        )*}
    };
}

of_ranges! {
    fn map(self, pages: &mut [*mut page], key: Key, writable: bool) -> i32
        = moat_map(self.addr, pages.as_mut_ptr(), pages.len() as u64, key.get().into(), writable);
    fn unmap(self) = moat_unmap(self.addr, self.bytes);
    fn set_key(self, key: Key) -> i32 = moat_set_key(self.addr, self.bytes, key.get().into());
    fn show(self, view: &mut PageView) -> i32
        = moat_view_map(view.0.as_ptr(), self.addr, self.bytes);
    fn hide(self, view: &mut PageView) = moat_view_unmap(view.0.as_ptr(), self.addr, self.bytes);
}

/// Maps pages at `addr`, where nothing is mapped.  Whatever was mapped stays so if it
/// fails: unmap all of it then.
pub fn map(addr: u64, pages: &mut [*mut page], key: Key, writable: bool) -> Tried<()> {
    if pages.is_empty() {
        return Err(NoMemory);
    }
    match Range::new(addr, (pages.len() as u64) << 12) {
        Some(range) if range.map(pages, key, writable) == 0 => Ok(()),
        _ => Err(NoMemory),
    }
}

/// Unmaps a range and flushes every TLB.
pub fn unmap(addr: u64, bytes: u64) {
    if let Some(range) = Range::new(addr, bytes) {
        range.unmap();
    }
}

/// Tags what is mapped in a range with `key`, and flushes every TLB.
pub fn set_key(addr: u64, bytes: u64, key: Key) {
    let key = match key.is_program() && off::page_key() {
        true => Key::FIRST_PROGRAM,
        false => key,
    };
    if let Some(range) = Range::new(addr, bytes) {
        let _ = range.set_key(key);
    }
}

/// Page tables in which the window has nothing in it but what is added.  When they are
/// dropped, no CPU runs in them any more.
pub struct PageView(NonNull<bindings::moat_view>);

impl PageView {
    pub fn new() -> Tried<PageView> {
        NonNull::new(new_view()).map(PageView).ok_or(NoMemory)
    }

    /// Physical address of the top level.
    pub fn pgd(&self) -> u64 {
        // SAFETY: ours, and alive.
        unsafe { bindings::moat_view_pgd(self.0.as_ptr()) }
    }

    /// Adds a range that is mapped in the window: whole granules of one owner, so that page
    /// tables can be shared.
    pub fn add(&mut self, base: u64, len: u64) -> Tried<()> {
        match Range::new(base, len) {
            Some(range) if range.show(self) == 0 => Ok(()),
            _ => Err(NoMemory),
        }
    }

    /// Takes out a range that was added.  Every TLB is flushed.
    pub fn remove(&mut self, base: u64, len: u64) {
        if let Some(range) = Range::new(base, len) {
            range.hide(self);
        }
    }
}

given_back! {
    PageView => bindings::moat_view_destroy, |view| view.0.as_ptr();
}

/// Whether CPUs have PCIDs, and keep what is cached for one.
pub fn has_pcids() -> bool {
    // SAFETY: set once, before any program is isolated.
    unsafe { bindings::moat_cr3_noflush != 0 }
}

/// Tracepoints: a domain of `users` programs got or lost a key.
pub fn trace_bind(domain: u64, key: Key, users: usize) {
    trace_bound(domain as u32, key.get().into(), users as u32);
}

/// As above.
pub fn trace_unbind(domain: u64, key: Key, users: usize) {
    trace_unbound(domain as u32, key.get().into(), users as u32);
}
