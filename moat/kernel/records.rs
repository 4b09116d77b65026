// SPDX-License-Identifier: GPL-2.0
//! What a run holds: records of ring buffers, the kernel's and the place in a slot where a
//! program fills one in, sockets, and a lock.
//!
//! C header: [`include/linux/bpf.h`], `kernel/bpf/ringbuf.c`.  Context: as in
//! `invocation.rs`.

use super::conns;
use super::invocation::Run;
use super::program_memory::Copying;
use super::site::Site;
use crate::edge::ffi::{self, moat_grants};
use crate::helpers::audit::MapInfo;
use crate::helpers::grants::{Entry, Grants, Held, Kind, Object};
use core::cell::Cell;
use core::ptr::addr_of;
use kernel::bindings;

impl<'a> Run<'a> {
    /// What it holds; none if it cannot hold anything.
    #[inline(always)]
    pub fn grants(&self) -> Option<Grants<'a>> {
        let grants = self.slot.grants as *const moat_grants;
        if grants.is_null() {
            return None;
        }
        // SAFETY: liveness, initialisation: made for this slot by `load/layout.rs`, with `nr`
        // entries, all free; it lives as long as the slot.  Aliasing: cells, and a slot is
        // one run's at a time, which stays on its CPU.
        unsafe {
            let held = &*(addr_of!((*grants).held) as *const Cell<u64>);
            let entries = addr_of!((*grants).grant) as *const Cell<Entry>;
            let entries = core::slice::from_raw_parts(entries, (*grants).nr as usize);
            // Of the run itself, no callback in it: that is what gates pass.
            let record = || self.unlisted().get();
            Some(Grants::new(held, self.holds(), entries, record))
        }
    }

    /// Has the way out of the run look for what it holds.
    #[inline(always)]
    pub fn look_on_exit(&self) {
        let flags = self.flags();
        flags.set(flags.get() | bindings::MOAT_RUN_STORE);
    }
}

/// Gives the program what is in the record, as it is: old records, which whoever has the ring
/// can read.
#[inline(always)]
pub fn copy_in(held: &Held) {
    copy(held, held.object().addr(), held.name());
}

/// Puts into the record what the program has made of it.
#[inline(always)]
pub fn copy_out(held: &Held) {
    copy(held, held.name(), held.object().addr());
}

#[inline(always)]
fn copy(held: &Held, from: u64, to: u64) {
    // SAFETY: both have `size` bytes: what was reserved, or the next multiple of 8, whose record
    // is the kernel's until it is given back, and a place that has room for the largest.  They
    // are apart, and what is written is no Rust object: the ring's pages, or a slot's.
    unsafe { Copying::new(from, to, held.size().into()) }.all();
}

/// What nobody else will give back, of a run that has ended.
pub fn give_back(held: Held) {
    let addr = held.object().addr();
    let object = addr as *mut core::ffi::c_void;
    // SAFETY: of a grant, which is given up: a record that is neither submitted nor discarded,
    // a lock that was taken in this run, or a socket or connection that it has.
    unsafe {
        match held.is(Kind::Record) {
            true => bindings::moat_discard_record(object),
            false if held.is(Kind::Lock) => bindings::moat_give_lock(addr),
            false if held.is(Kind::Conn) || held.is(Kind::NewConn) => conns::put(&held),
            false => ffi::moat_shim_put_socket(object),
        }
    }
}

impl Site<'_> {
    /// Calls `bpf_ringbuf_reserve()`.
    #[inline(always)]
    pub fn reserve(self, map: &MapInfo, size: u64, flags: u64) -> Option<Object> {
        // SAFETY: the site is of that helper, and the map a ring that the program uses; the
        // rest are numbers, which it checks.
        Object::returned(unsafe { ffi::moat_shim_reserve(self.func(), map.kernel, size, flags) })
    }

    /// Calls `bpf_ringbuf_submit()` or `bpf_ringbuf_discard()`, for what is held no more.
    #[inline(always)]
    pub fn commit(self, held: Held, flags: u64) {
        // SAFETY: the site is of that helper; of a grant, which is given up; any flags will
        // do.
        unsafe { ffi::moat_shim_commit(self.func(), held.object().addr(), flags) }
    }
}
