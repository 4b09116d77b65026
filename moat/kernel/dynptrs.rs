// SPDX-License-Identifier: GPL-2.0
//! Helpers that take a dynptr, which they are given in the kernel's memory.
//!
//! C header: [`include/linux/bpf.h`], `struct bpf_dynptr_kern`; `kernel/bpf/ringbuf.c`.
//! Context: as in `invocation.rs`.

use super::site::Site;
use crate::edge::ffi;
use crate::helpers::audit::MapInfo;
use crate::helpers::dynptr::{self, Dynptr};
use crate::helpers::grants::{Held, Object};
use core::ptr::{addr_of, addr_of_mut};

/// Bytes of the largest record that `map`, a ring that the program uses, ever has.
pub fn largest_record(map: &MapInfo) -> u32 {
    let map = map.kernel as *const ffi::bpf_map;
    // SAFETY: the program has a reference on the map, or the run is a reader of what has;
    // nobody changes that of a map.
    dynptr::largest_record(unsafe { addr_of!((*map).max_entries).read() })
}

impl Site<'_> {
    /// Calls `bpf_ringbuf_reserve_dynptr()`; or what it has returned.
    #[inline(always)]
    pub fn reserve_dynptr(self, map: &MapInfo, size: u32) -> Result<Object, u64> {
        let mut dynptr = Dynptr::NULL;
        let to = addr_of_mut!(dynptr);
        let args = [map.kernel, size.into(), 0, to as u64, 0];
        // SAFETY: the site is of that helper, and the map a ring that the program uses.  The
        // helper writes a dynptr, and `checks/layouts.rs` has compared what that is.
        let (ret, data) = unsafe {
            let ret = ffi::moat_shim_call(self.func(), args.as_ptr());
            (ret, addr_of!((*to).data).read())
        };
        Object::returned(data).ok_or(ret)
    }

    /// Calls `bpf_ringbuf_submit_dynptr()` or `bpf_ringbuf_discard_dynptr()`, for what is held
    /// no more.
    #[inline(always)]
    pub fn commit_dynptr(self, held: Held, flags: u64) {
        let mut dynptr = Dynptr::of_record(held.object().addr(), held.size());
        let args = [addr_of_mut!(dynptr) as u64, flags, 0, 0, 0];
        // SAFETY: the site is of that helper; the record is of a grant, which is given up; any
        // flags will do.
        unsafe { ffi::moat_shim_call(self.func(), args.as_ptr()) };
    }
}
