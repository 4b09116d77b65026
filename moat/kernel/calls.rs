// SPDX-License-Identifier: GPL-2.0
//! Functions of C that may be called with any arguments, where the context is right.
//!
//! C header: `moat/kernel/shims.h`

use super::shims::safe_shims;
use crate::edge::ffi;

safe_shims! {
    /// How many CPUs there can be; never changes.  Context: any.
    pub fn nr_cpus() -> u32 = ffi::moat_shim_nr_cpus;
    /// Lists a number, and returns its own in the list, or 0: no memory.  Context: process,
    /// with the lock held.
    pub fn list_add(program: u64) -> u32 = ffi::moat_list_add;
    /// Takes a number off the list.  Context: as above.
    pub fn list_del(number: u32) = ffi::moat_list_del;
}

#[cfg(MODULE)]
safe_shims! {
    /// What time it is on this CPU.  Context: any, without preemption.
    pub fn clock() -> ffi::moat_clock = ffi::moat_shim_clock;
    /// Seconds since boot.  Context: any.
    pub fn seconds() -> u64 = ffi::moat_shim_seconds;
    /// Eight bytes of the kernel's at `addr`, or 0 if they cannot be read.  Context: any.
    pub fn value(addr: u64) -> u64 = ffi::moat_shim_value;
    /// Lets others run.  Context: process, without locks.
    pub fn cond_resched() = ffi::moat_shim_cond_resched;
    /// This module.
    pub fn this_module() -> *mut kernel::bindings::module = ffi::moat_shim_module;
    /// Context: module initialisation.
    pub fn counters_init() -> i32 = ffi::moat_counters_init;
    /// Context: module exit.
    pub fn counters_exit() = ffi::moat_counters_exit;
    /// Context: module initialisation.
    pub fn watch_init() -> i32 = ffi::moat_watch_init;
    /// Context: module exit, or initialisation that fails.
    pub fn watch_exit() = ffi::moat_watch_exit;
    /// Context: module exit.
    pub fn stop_balancing() = ffi::moat_shim_stop_balancing;
}
