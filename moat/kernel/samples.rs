// SPDX-License-Identifier: GPL-2.0
//! Samples of user ring buffers, for the functions that a helper calls for them.
//!
//! C header: [`include/linux/bpf.h`], `kernel/bpf/ringbuf.c`.  The helper has a dynptr on its stack,
//! for memory that user space writes.  The function gets one above its own stack, where others
//! get a key, and behind it a copy of the sample, which goes back when it returns: plainly it could
//! write there, too.  Context: as in `invocation.rs`.

use super::program_memory::Copying;
use crate::edge::ffi::{self, addr, moat_calling};
use crate::helpers::audit::MapInfo;
use crate::helpers::dynptr::{largest_sample, Dynptr, SAMPLE};
use crate::maps::types::USER_RINGBUF;
use core::ptr::addr_of;

/// What a helper that is to stop is answered.
const STOP: u64 = 1;

/// Bytes above its stack that a function needs which is called for `map`.
#[inline(always)]
pub fn room(map: &MapInfo) -> u32 {
    match map.ty {
        USER_RINGBUF => {
            let map = map.kernel as *const ffi::bpf_map;
            // SAFETY: the program uses the map; nobody changes that of one.
            SAMPLE + largest_sample(unsafe { addr_of!((*map).max_entries).read() })
        }
        _ => map.key_size,
    }
}

/// What the helper calls.
pub fn gate() -> u64 {
    sample as usize as u64
}

/// # Safety
///
/// `bpf_user_ringbuf_drain()` calls it, in a call that `callback::begin` has prepared.
unsafe extern "C" fn sample(dynptr: u64, context: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: the run, or the callback in it, that makes the call is this CPU's current one, and
    // its `calling` is on the stack of who calls the helper; the dynptr is on the helper's.
    let (theirs, room, bytes) = unsafe {
        let calling = (*ffi::moat_shim_this_run()).calling as *const moat_calling;
        let theirs = *(dynptr as *const Dynptr);
        (theirs, (*calling).key, (*calling).key_size)
    };
    let own = Dynptr {
        data: room + u64::from(SAMPLE),
        ..theirs
    };
    let len = u64::from(theirs.bytes());
    // No ring has a larger one: `__bpf_user_ringbuf_peek()`.
    if len + u64::from(SAMPLE) > bytes {
        return STOP;
    }
    // SAFETY: of the slot, which is the run's, there is room for both at `room`, `bytes` bytes;
    // the sample is the kernel's until the helper lets go of it, whatever user space writes there.
    // They are apart, and neither is a Rust object.
    unsafe {
        Copying::new(&own as *const Dynptr as u64, room, SAMPLE.into()).all();
        Copying::new(theirs.data, own.data, len).all();
        let args = [room, context, 0, 0, 0];
        let ret = ffi::moat_shim_call(addr(ffi::moat_callback), args.as_ptr());
        Copying::new(own.data, theirs.data, len).all();
        ret
    }
}
