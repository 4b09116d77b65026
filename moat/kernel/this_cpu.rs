// SPDX-License-Identifier: GPL-2.0
//! For how long a program may run and send on this CPU.

use super::gates::Gates;
use crate::edge::ffi;
use core::sync::atomic::{AtomicU32, AtomicU64};

/// Until when, in jiffies, it is not to send from this CPU; 0 if it may.  None before it has
/// slots.  Context: no preemption, and a run of it, or right after it.
pub fn silent_until(gates: &Gates) -> Option<&AtomicU64> {
    match gates.slots() {
        0 => None,
        // SAFETY: liveness: slots outlive the runs.  An aligned word, which is zero at first
        // and only written here.
        slots => unsafe {
            let mine = ffi::moat_shim_this_slots(slots);
            Some(&*(core::ptr::addr_of_mut!((*mine).silent_until) as *const AtomicU64))
        },
    }
}

/// `kernel.moat.budget`: how long a run may go on once it was interrupted, in seconds.
pub fn budget() -> &'static AtomicU32 {
    // SAFETY: a word of the kernel's that is always there; C reads it by READ_ONCE().
    unsafe { &*(core::ptr::addr_of_mut!(kernel::bindings::moat_budget) as *const AtomicU32) }
}
