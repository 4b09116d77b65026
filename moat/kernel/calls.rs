// SPDX-License-Identifier: GPL-2.0
//! Functions of C that may be called with any arguments, where the context is right.
//!
//! C header: `moat/kernel/shims.h`

use crate::edge::ffi;

/// Makes each of them a function of the same name here, without `moat_` and `shim_`.
macro_rules! calls {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),*) $(-> $ret:ty)? => $c:path;)*) => {
        $($(#[$doc])*
        pub fn $name($($arg: $type),*) $(-> $ret)? {
            // SAFETY: it follows no pointer of ours, and works on any number; the context,
            // which is said below, is up to who calls: it may deadlock, and no more.
            unsafe { $c($($arg),*) }
        })*
    };
}

calls! {
    /// How many CPUs there can be; never changes.  Context: any.
    fn nr_cpus() -> u32 => ffi::moat_shim_nr_cpus;
    /// Lists a number, and returns its own in the list, or 0: no memory.  Context: process,
    /// with the lock held.
    fn list_add(program: u64) -> u32 => ffi::moat_list_add;
    /// Takes a number off the list.  Context: as above.
    fn list_del(number: u32) => ffi::moat_list_del;
}

#[cfg(MODULE)]
calls! {
    /// What time it is on this CPU.  Context: any, without preemption.
    fn clock() -> ffi::moat_clock => ffi::moat_shim_clock;
    /// Seconds since boot.  Context: any.
    fn seconds() -> u64 => ffi::moat_shim_seconds;
    /// Lets others run.  Context: process, without locks.
    fn cond_resched() => ffi::moat_shim_cond_resched;
    /// This module.
    fn this_module() -> *mut kernel::bindings::module => ffi::moat_shim_module;
    /// Context: module initialisation.
    fn counters_init() -> i32 => ffi::moat_counters_init;
    /// Context: module exit.
    fn counters_exit() => ffi::moat_counters_exit;
    /// Context: module initialisation.
    fn watch_init() -> i32 => ffi::moat_watch_init;
    /// Context: module exit, or initialisation that fails.
    fn watch_exit() => ffi::moat_watch_exit;
    /// Context: module exit.
    fn stop_balancing() => ffi::moat_shim_stop_balancing;
}
