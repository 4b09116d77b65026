// SPDX-License-Identifier: GPL-2.0
//! What `moat/shims.c` exports, as far as it is called.
//!
//! C header: `moat/shims.h`

use crate::bindings::page;
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

#[no_mangle]
extern "C" fn moat_shim_lock() {
    set_locked(true);
}

#[no_mangle]
extern "C" fn moat_shim_unlock() {
    set_locked(false);
}

/// The caller is root, all over.
#[no_mangle]
extern "C" fn moat_whoami(_who: *mut c_void) {}

#[no_mangle]
extern "C" fn moat_may_log(_uid: u32) -> bool {
    true
}

#[no_mangle]
extern "C" fn moat_shim_synchronize_rcu() {
    machine::synchronize_rcu();
}

#[no_mangle]
extern "C" fn moat_shim_start_balancing(_ms: u32) {}

#[no_mangle]
extern "C" fn moat_shim_privileged() -> bool {
    true
}

#[no_mangle]
extern "C" fn moat_shim_zalloc(size: usize) -> *mut c_void {
    match memory::fails() {
        true => null_mut(),
        // SAFETY: any size is fine.
        false => unsafe { calloc(1, size) },
    }
}

#[no_mangle]
unsafe extern "C" fn moat_shim_free(p: *mut c_void) {
    // SAFETY: from moat_shim_zalloc(), once.
    unsafe { free(p) };
}

/// A program's slots: here how often it ran.
#[no_mangle]
extern "C" fn moat_shim_alloc_slots() -> u64 {
    moat_shim_zalloc(8) as u64
}

#[no_mangle]
unsafe extern "C" fn moat_shim_free_slots(slots: u64) {
    // SAFETY: from moat_shim_alloc_slots(), once.
    unsafe { moat_shim_free(slots as *mut c_void) };
}

#[no_mangle]
unsafe extern "C" fn moat_shim_runs(slots: u64) -> u64 {
    // SAFETY: from moat_shim_alloc_slots().
    unsafe { *(slots as *const u64) }
}

#[no_mangle]
extern "C" fn moat_shim_alloc_page() -> *mut page {
    match memory::fails() {
        true => null_mut(),
        false => Box::into_raw(Box::new(page::new())),
    }
}

#[no_mangle]
unsafe extern "C" fn moat_shim_free_page(page: *mut page) {
    machine(|m| {
        if m.leads_to(page as usize) {
            m.report("a page is freed and in use");
        }
    });
    // SAFETY: from moat_shim_alloc_page(), once.
    drop(unsafe { Box::from_raw(page) });
}
