// SPDX-License-Identifier: GPL-2.0
//! What `moat/kernel/shims.c` exports, as far as it is called.
//!
//! C header: `moat/kernel/shims.h`

// Contracts as in C.
#![allow(clippy::missing_safety_doc)]

use crate::bindings::{bpf_map, moat_cpu_slots, moat_map_call, page};
use crate::machine::{self, machine};
use crate::memory;
use std::ffi::c_void;
use std::ptr::null_mut;

/// A number that is not 1.
const CPUS: usize = 2;

/// `include/linux/bpf_verifier.h`
pub const MAX_CALL_FRAMES: u32 = 8;

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

pub unsafe fn moat_shim_nr_cpus() -> u32 {
    CPUS as u32
}

pub unsafe fn moat_shim_zalloc(size: usize) -> *mut c_void {
    if memory::fails() {
        return null_mut();
    }
    machine(|m| m.allocations += 1);
    // SAFETY: any size is fine.
    unsafe { calloc(1, size) }
}

pub unsafe fn moat_shim_free(p: *mut c_void) {
    if !p.is_null() {
        machine(|m| m.allocations -= 1);
    }
    // SAFETY: from moat_shim_zalloc(), once.
    unsafe { free(p) };
}

/// Of the map types here, hash maps; their values are where the map is.
pub unsafe fn moat_shim_map_call(map: *const bpf_map, call: *mut moat_map_call) -> bool {
    const HASH: u32 = 1;
    // SAFETY: the map is held; there is room for what is known.
    unsafe {
        if (*map).map_type != HASH {
            return false;
        }
        (*call).map = map as u64;
        (*call).to_window = (map as u64).wrapping_neg();
        // A word, and 16 elements with a value's address and the key, in words
        (*call).last_elems = 8 + 16 * (8 + u64::from((*map).key_size + 7) / 8 * 8);
        (*call).lookup = 1;
        (*call).update = 2;
        (*call).delete = 3;
    }
    true
}

/// Of the maps that are in a map of maps, too.
pub unsafe fn moat_shim_key_size(map: *const bpf_map) -> u32 {
    // SAFETY: the map is held.
    unsafe { (*map).key_size }
}

/// An array, one entry a CPU.
pub unsafe fn moat_shim_alloc_slots() -> u64 {
    moat_shim_zalloc(CPUS * size_of::<moat_cpu_slots>()) as u64
}

pub unsafe fn moat_shim_free_slots(slots: u64) {
    // SAFETY: from moat_shim_alloc_slots(), once.
    unsafe { moat_shim_free(slots as *mut c_void) };
}

pub unsafe fn moat_shim_cpu_slots(slots: u64, cpu: u32) -> *mut moat_cpu_slots {
    // SAFETY: from moat_shim_alloc_slots(), and a CPU that there is.
    unsafe { (slots as *mut moat_cpu_slots).add(cpu as usize) }
}

pub unsafe fn moat_shim_runs(slots: u64) -> u64 {
    let of = |cpu| {
        // SAFETY: from moat_shim_alloc_slots(), and nobody writes to them now.
        unsafe { (*moat_shim_cpu_slots(slots, cpu)).runs }
    };
    (0..moat_shim_nr_cpus()).map(of).fold(0, u64::wrapping_add)
}

pub unsafe fn moat_list_add(program: u64) -> u32 {
    if memory::fails() {
        return 0;
    }
    machine(|m| {
        let number = m.listed.keys().next_back().map_or(1, |last| last + 1);
        m.listed.insert(number, program);
        number
    })
}

pub unsafe fn moat_list_del(number: u32) {
    machine(|m| {
        if m.listed.remove(&number).is_none() {
            m.report("what is not listed is taken off the list");
        }
    });
}

pub unsafe fn moat_shim_alloc_page() -> *mut page {
    if memory::fails() {
        return null_mut();
    }
    machine(|m| m.allocations += 1);
    Box::into_raw(Box::new(page::new()))
}

pub unsafe fn moat_shim_free_page(page: *mut page) {
    machine(|m| {
        if m.leads_to(page as usize) {
            m.report("a page is freed and in use");
        }
        m.allocations -= 1;
    });
    // SAFETY: from moat_shim_alloc_page(), once.
    drop(unsafe { Box::from_raw(page) });
}
