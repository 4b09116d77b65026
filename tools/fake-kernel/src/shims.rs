// SPDX-License-Identifier: GPL-2.0
//! What `moat/shims.c` exports, as far as it is called.
//!
//! C header: `moat/shims.h`

// Contracts as in C.
#![allow(clippy::missing_safety_doc)]

use crate::bindings::{moat_cpu_slots, page};
use crate::machine::{self, machine};
use crate::memory;
use std::ffi::c_void;
use std::ptr::null_mut;

extern "C" {
    fn calloc(n: usize, size: usize) -> *mut c_void;
    fn free(p: *mut c_void);
}

fn set_locked(locked: bool) {
    machine(|m| {
        if m.locked == locked {
            m.report("the lock is taken or let go twice");
        }
        m.locked = locked;
    });
}

pub unsafe fn moat_shim_lock() {
    set_locked(true);
}

pub unsafe fn moat_shim_unlock() {
    set_locked(false);
}

/// The caller is root, all over.
pub unsafe fn moat_whoami(_who: *mut c_void) {}

pub unsafe fn moat_may_log(_uid: u32) -> bool {
    true
}

pub unsafe fn moat_shim_synchronize_rcu() {
    machine::synchronize_rcu();
}

pub unsafe fn moat_shim_start_balancing(_ms: u32) {}

pub unsafe fn moat_shim_privileged() -> bool {
    true
}

pub unsafe fn moat_shim_zalloc(size: usize) -> *mut c_void {
    match memory::fails() {
        true => null_mut(),
        // SAFETY: any size is fine.
        false => unsafe { calloc(1, size) },
    }
}

pub unsafe fn moat_shim_free(p: *mut c_void) {
    // SAFETY: from moat_shim_zalloc(), once.
    unsafe { free(p) };
}

/// A program's slots: here how often it ran.
pub unsafe fn moat_shim_alloc_slots() -> u64 {
    // SAFETY: any size is fine.
    unsafe { moat_shim_zalloc(8) as u64 }
}

/// Nobody writes to them here.
pub unsafe fn moat_shim_cpu_slots(_slots: u64, _cpu: u32) -> *mut moat_cpu_slots {
    null_mut()
}

pub unsafe fn moat_shim_free_slots(slots: u64) {
    // SAFETY: from moat_shim_alloc_slots(), once.
    unsafe { moat_shim_free(slots as *mut c_void) };
}

pub unsafe fn moat_shim_runs(slots: u64) -> u64 {
    // SAFETY: from moat_shim_alloc_slots().
    unsafe { *(slots as *const u64) }
}

pub unsafe fn moat_shim_alloc_page() -> *mut page {
    match memory::fails() {
        true => null_mut(),
        false => Box::into_raw(Box::new(page::new())),
    }
}

pub unsafe fn moat_shim_free_page(page: *mut page) {
    machine(|m| {
        if m.leads_to(page as usize) {
            m.report("a page is freed and in use");
        }
    });
    // SAFETY: from moat_shim_alloc_page(), once.
    drop(unsafe { Box::from_raw(page) });
}
