// SPDX-License-Identifier: GPL-2.0
//! Entries of the connection tracker, which are the kernel's.
//!
//! C header: [`include/linux/moat.h`], `kernel/bpf/moat_conn.c`.  Context: as in
//! `invocation.rs`.

use crate::helpers::audit::Memory;
use crate::helpers::grants::{Held, Kind, CONN_COPY};
use core::ffi::c_void;
use kernel::bindings;

fn at(held: &Held) -> *mut c_void {
    debug_assert!(held.is(Kind::Conn) || held.is(Kind::NewConn));
    held.object().addr() as *mut c_void
}

/// Gives the program what it may read of it, in `memory`.
pub fn copy(held: &Held, memory: Memory<'_>) {
    if u64::from(memory.len()) >= CONN_COPY && memory.is_writable() {
        // SAFETY: liveness: the run holds a connection, and the memory is mapped as long as
        // it is borrowed.  There is room, and nobody makes a reference to program memory.
        unsafe { bindings::moat_copy_conn(memory.addr() as *mut c_void, at(held)) };
    }
}

/// Gives it `bytes` bytes of the mark in the program's copy, which is in `memory`.
pub fn store_mark(held: &Held, memory: Memory<'_>, bytes: u32) {
    if u64::from(memory.len()) >= CONN_COPY {
        // SAFETY: liveness: the run holds a connection, and the memory is mapped as long as
        // it is borrowed.  It is read once, and nobody makes a reference to it.  Aliasing:
        // others write the mark, too, as the kernel does, with single instructions.
        unsafe { bindings::moat_store_mark(at(held), memory.addr() as *const c_void, bytes) };
    }
}

/// Whether its addresses of this kind were set already.
pub fn has_nat(held: &Held, manip: u32) -> bool {
    // SAFETY: liveness: the run holds it.
    unsafe { bindings::moat_conn_has_nat(at(held), manip) }
}

/// What nobody else will give back: a reference, or what was never inserted.
///
/// # Safety
///
/// `held` was in the table of a run, and is not any more.
pub unsafe fn put(held: &Held) {
    // SAFETY: by contract of this function.
    unsafe { bindings::moat_put_conn(at(held), held.is(Kind::Conn)) }
}
