// SPDX-License-Identifier: GPL-2.0
//! Locks of map values, which are the kernel's.
//!
//! C header: [`include/linux/moat.h`], `kernel/bpf/moat_lock.c`.  Context: as in
//! `invocation.rs`.

use super::invocation::Run;
use crate::edge::ffi;
use crate::helpers::audit::MapInfo;
use crate::helpers::grants::Object;

/// Takes the lock of the value that is `off` bytes into those of `map`, which have locks.
/// None if an interrupt would have to wait for it.
#[inline(always)]
pub fn take(run: &Run<'_>, map: &MapInfo, off: u64) -> Option<Object> {
    // SAFETY: the current invocation; the program uses the map, which serves isolated
    // programs since this one was admitted.  No offset is wrong.
    Object::returned(unsafe { ffi::moat_shim_take_lock(run.as_ptr(), map.kernel, off) })
}
