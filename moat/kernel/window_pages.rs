// SPDX-License-Identifier: GPL-2.0
//! The page tables of the window, and what else is global about them.
//!
//! Context: process, with the lock held, which guards all of it.  Functions here refuse
//! what is not in the window: nothing else is theirs to change.

use crate::ffi::{self, page};
use crate::pks::Key;
use crate::reason::Failure::NoMemory;
use crate::reason::Tried;
use crate::window;
use core::ptr::NonNull;
use kernel::bindings;

/// Whether `bytes` from `addr` on are the window's.
fn is_ours(addr: u64, bytes: u64) -> bool {
    let is = bytes <= window::SIZE && window::holds(addr) && window::holds(addr + (bytes - 1));
    debug_assert!(is);
    is
}

/// Maps pages at `addr`, where nothing is mapped.  Whatever was mapped stays so if it
/// fails: unmap all of it then.
pub fn map(addr: u64, pages: &mut [*mut page], key: Key, writable: bool) -> Tried<()> {
    let nr = pages.len() as u64;
    if nr == 0 || !is_ours(addr, nr << 12) {
        return Err(NoMemory);
    }
    // SAFETY: liveness: the pages are those of who calls, and are unmapped before they are
    // freed; the range is in the window.
    let err =
        unsafe { bindings::moat_map(addr, pages.as_mut_ptr(), nr, key.get().into(), writable) };
    match err {
        0 => Ok(()),
        _ => Err(NoMemory),
    }
}

/// Unmaps a range and flushes every TLB.
pub fn unmap(addr: u64, bytes: u64) {
    if is_ours(addr, bytes) {
        // SAFETY: process context, and the range is in the window.
        unsafe { bindings::moat_unmap(addr, bytes) };
    }
}

/// Tags what is mapped in a range with `key`, and flushes every TLB.
pub fn set_key(addr: u64, bytes: u64, key: Key) {
    if is_ours(addr, bytes) {
        // SAFETY: as in `unmap`.
        unsafe { bindings::moat_set_key(addr, bytes, key.get().into()) };
    }
}

/// Flushes every TLB.
pub fn flush() {
    // SAFETY: process context.
    unsafe { bindings::moat_flush() };
}

/// Page tables in which the window has nothing in it but what is added.
pub struct PageView(NonNull<bindings::moat_view>);

impl PageView {
    pub fn new() -> Tried<PageView> {
        // SAFETY: process context.
        let view = unsafe { bindings::moat_view_create() };
        NonNull::new(view).map(PageView).ok_or(NoMemory)
    }

    /// Physical address of the top level.
    pub fn pgd(&self) -> u64 {
        // SAFETY: ours, and alive.
        unsafe { bindings::moat_view_pgd(self.0.as_ptr()) }
    }

    /// Adds a range that is mapped in the window: whole granules of one owner, so that page
    /// tables can be shared.
    pub fn add(&mut self, base: u64, len: u64) -> Tried<()> {
        if !is_ours(base, len) {
            return Err(NoMemory);
        }
        // SAFETY: ours, and alive; the range is in the window.
        match unsafe { bindings::moat_view_map(self.0.as_ptr(), base, len) } {
            0 => Ok(()),
            _ => Err(NoMemory),
        }
    }

    /// Takes out a range that was added.  Every TLB is flushed.
    pub fn remove(&mut self, base: u64, len: u64) {
        if is_ours(base, len) {
            // SAFETY: as in `add`.
            unsafe { bindings::moat_view_unmap(self.0.as_ptr(), base, len) };
        }
    }
}

/// No CPU runs in it any more.
impl Drop for PageView {
    fn drop(&mut self) {
        // SAFETY: from moat_view_create(), freed once.
        unsafe { bindings::moat_view_destroy(self.0.as_ptr()) };
    }
}

/// Whether CPUs have PCIDs, and keep what is cached for one.
pub fn has_pcids() -> bool {
    // SAFETY: set once, before any program is isolated.
    unsafe { bindings::moat_cr3_noflush != 0 }
}

/// Waits for all runs that began before.
pub fn synchronize_rcu() {
    // SAFETY: process context.
    unsafe { ffi::moat_shim_synchronize_rcu() };
}

/// Whether who is served here may have all of the window.
pub fn is_privileged() -> bool {
    // SAFETY: process context.
    unsafe { ffi::moat_shim_privileged() }
}

/// From now on programs are compared every `ms` milliseconds, if they are not already.
pub fn start_balancing(ms: u32) {
    // SAFETY: any context; does nothing if it is under way.
    unsafe { ffi::moat_shim_start_balancing(ms) };
}

/// Tracepoints: a domain of `users` programs got or lost a key.
pub fn trace_bind(domain: u64, key: Key, users: usize) {
    // SAFETY: any context.
    unsafe { bindings::moat_trace_bind(domain as u32, key.get().into(), users as u32) };
}

/// As above.
pub fn trace_unbind(domain: u64, key: Key, users: usize) {
    // SAFETY: any context.
    unsafe { bindings::moat_trace_unbind(domain as u32, key.get().into(), users as u32) };
}
