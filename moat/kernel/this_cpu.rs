// SPDX-License-Identifier: GPL-2.0
//! What a program has on each CPU, beside memory; and for how long it may run on one.

use super::gates::Gates;
use crate::edge::ffi;
use core::sync::atomic::{AtomicU32, AtomicU64};

/// How often the program with `gates` began to run, on all CPUs.
pub fn runs(gates: &Gates) -> u64 {
    match gates.slots() {
        0 => 0,
        // SAFETY: liveness: slots are freed after the program has left the state, and nobody
        // asks who could not have found it there.
        slots => unsafe { ffi::moat_shim_runs(slots) },
    }
}

/// Until when, in jiffies, it is not to send from this CPU; 0 if it may.  None before it has
/// slots.  Context: no preemption, and a run of it, or right after it.
#[cfg(MODULE)]
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
#[cfg(MODULE)]
pub fn budget() -> &'static AtomicU32 {
    // SAFETY: a word of the kernel's that is always there; C reads it by READ_ONCE().
    unsafe { &*(core::ptr::addr_of_mut!(kernel::bindings::moat_budget) as *const AtomicU32) }
}
