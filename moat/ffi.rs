// SPDX-License-Identifier: GPL-2.0
//! What the module calls in C and assembly.
//!
//! C header: `moat/shims.h`, `arch/x86/include/asm/moat.h`.  Each function does
//! what its C comment says; the contexts are the C function's.

use crate::helpers::geometry::Geometry;
use core::ffi::c_void;
use kernel::bindings;

pub use bindings::{
    bpf_map, bpf_prog, moat_cpu_slots, moat_ctx_plan, moat_domain, moat_fault, moat_gates,
    moat_image, moat_jit, moat_jit_image, moat_ops, moat_return as moat_return_t, moat_run,
    moat_site, moat_slot, page,
};

// bindgen makes structures of what is empty in this configuration.
#[allow(improper_ctypes)]
extern "C" {
    pub fn moat_shim_lock();
    pub fn moat_shim_unlock();
    pub fn moat_shim_module() -> *mut bindings::module;
    pub fn moat_shim_synchronize_rcu();
    pub fn moat_shim_cond_resched();
    pub fn moat_shim_nr_cpus() -> u32;
    pub fn moat_shim_privileged() -> bool;
    pub fn moat_shim_zalloc(size: usize) -> *mut c_void;
    pub fn moat_shim_free(p: *const c_void);
    pub fn moat_shim_runs(slots: u64) -> u64;
    pub fn moat_shim_start_balancing(ms: u32);
    pub fn moat_shim_stop_balancing();
    pub fn moat_shim_seq_write(m: *mut bindings::seq_file, text: *const u8, len: usize);
    pub fn moat_shim_alloc_slots() -> u64;
    pub fn moat_shim_cpu_slots(slots: u64, cpu: u32) -> *mut moat_cpu_slots;
    pub fn moat_shim_free_slots(slots: u64);
    pub fn moat_shim_alloc_page() -> *mut page;
    pub fn moat_shim_free_page(page: *mut page);
    pub fn moat_shim_run_plan(
        prog: *const bpf_prog,
        a: *mut c_void,
        b: *mut c_void,
        c: *mut c_void,
    ) -> u64;
    pub fn moat_shim_call(func: u64, args: *const u64) -> u64;
    pub fn moat_shim_skb_data(skb: *const c_void) -> u64;
    pub fn moat_shim_skb_headlen(skb: *const c_void) -> u32;
    pub fn moat_shim_skb_start(skb: *mut c_void) -> u64;
    pub fn moat_shim_xdp_start(xdp: *const c_void, meta: bool) -> u64;
    pub fn moat_shim_zero(from: u64, to: u64);
    pub fn moat_shim_skb_line(skb: *const c_void) -> u32;
    pub fn moat_shim_set_skb_line(skb: *mut c_void, line: u32);
    pub fn moat_shim_this_slots(slots: u64) -> *mut moat_cpu_slots;
    pub fn moat_shim_defer(run: *mut moat_run);
    pub fn moat_shim_clock() -> Clock;
    pub fn moat_shim_seconds() -> u64;
    pub fn moat_shim_insn_number(env: *const bindings::bpf_verifier_env, i: u32) -> u32;
    pub fn moat_shim_log_of(
        env: *mut bindings::bpf_verifier_env,
    ) -> *mut bindings::bpf_verifier_log;
    pub fn moat_shim_log(log: *mut bindings::bpf_verifier_log, text: *const u8, len: u32) -> u32;
    pub fn moat_list_add(program: u64) -> u32;
    pub fn moat_list_del(number: u32);
    fn moat_may_log(uid: u32) -> bool;
    fn moat_whoami(who: *mut Who);
    pub fn moat_shim_skb_is_simple(skb: *const c_void) -> bool;
    pub fn moat_shim_geometry(skb: *const c_void, geometry: *mut Geometry);
    pub fn moat_shim_xdp_geometry(xdp: *const c_void, geometry: *mut Geometry);
    pub fn moat_shim_mend(skb: *mut c_void, geometry: *const Geometry);
    pub fn moat_shim_is_blind() -> bool;
    pub fn moat_shim_make_one(skb: *mut c_void) -> bool;
    pub fn moat_shim_defuse(skb: *mut c_void);
    pub fn moat_counters_init() -> i32;
    pub fn moat_counters_exit();
    pub fn moat_watch_init() -> i32;
    pub fn moat_watch_exit();

    // gates.S: addresses only, never called from Rust.
    pub fn moat_enter();
    pub fn moat_enter_commit();
    pub fn moat_enter_jmp();
    pub fn moat_enter_jmp_end();
    pub fn moat_enter_load();
    pub fn moat_view_commit();
    pub fn moat_view_jmp();
    pub fn moat_view_jmp_end();
    pub fn moat_exit();
    pub fn moat_exit_open();
    pub fn moat_return();
    pub fn moat_return_open();
    pub fn moat_return_commit();
    pub fn moat_return_jmp();
    pub fn moat_return_jmp_end();
    pub fn moat_call_long();
    pub fn moat_audit();
    pub fn moat_stop();
    // The site to copy, and the places in it.
    pub fn moat_site_begin();
    pub fn moat_site_hole_site();
    pub fn moat_site_lean();
    pub fn moat_site_open();
    pub fn moat_site_hole_entry();
    pub fn moat_site_hole_frame();
    pub fn moat_site_hole_pkrs();
    pub fn moat_site_jmp();
    pub fn moat_site_hole_ret();
    pub fn moat_site_commit();
    pub fn moat_site_hole_site_long();
    pub fn moat_site_hole_long();
    pub fn moat_site_end();
}

/// `struct moat_clock`: what time it is on this CPU.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Clock {
    pub jiffies: u64,
    /// Jiffies in a second.
    pub hz: u64,
    /// Whether the CPU has had packets to see to for longer than the budget.
    pub busy: bool,
}

/// Address of something in `gates.S`.
pub fn addr(label: unsafe extern "C" fn()) -> u64 {
    label as usize as u64
}

/// Somebody who calls the kernel; numbers as in the initial namespaces.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Who {
    /// Of the process.
    pub pid: u32,
    pub tid: u32,
    pub uid: u32,
    pub comm: [u8; 16],
}

impl Who {
    /// Who does what is done here.  Context: process.
    pub fn am_i() -> Who {
        let mut who = Who {
            pid: 0,
            tid: 0,
            uid: 0,
            comm: [0; 16],
        };
        // SAFETY: there is room for it.
        unsafe { moat_whoami(&mut who) };
        who
    }

    /// Whether a message may be logged that is because of them: `limit.c`.  To be asked
    /// once for each.  Context: any.
    pub fn may_log(&self) -> bool {
        // SAFETY: any context.
        unsafe { moat_may_log(self.uid) }
    }
}
