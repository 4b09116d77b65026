// SPDX-License-Identifier: GPL-2.0
//! What the module calls in C and assembly.
//!
//! C header: `moat/kernel/shims.h`, `arch/x86/include/asm/moat.h`.  Each function does
//! what its C comment says; the contexts are the C function's.

use kernel::bindings;

pub use bindings::{
    bpf_map, bpf_prog, moat_calling, moat_changes, moat_cpu_slots, moat_ctx_plan, moat_domain,
    moat_fault, moat_gates, moat_grants, moat_image, moat_jit, moat_jit_caller, moat_jit_image,
    moat_map_call, moat_ops, moat_return as moat_return_t, moat_run, moat_site, moat_slot, page,
};

pub use crate::bindings::*;

// The gates, `run/*.S`: addresses only, never called from Rust.
extern "C" {
    pub fn moat_enter();
    pub fn moat_enter_commit();
    pub fn moat_enter_jmp();
    pub fn moat_enter_jmp_end();
    pub fn moat_enter_bare();
    pub fn moat_enter_load();
    pub fn moat_enter_args();
    pub fn moat_enter_bare_args();
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
    pub fn moat_audit_nested();
    pub fn moat_callback();
    pub fn moat_callback_element();
    pub fn moat_callback_commit();
    pub fn moat_callback_jmp();
    pub fn moat_callback_jmp_end();
    pub fn moat_audit_lock();
    pub fn moat_audit_lock_nested();
    pub fn moat_audit_timer();
    pub fn moat_unlocked();
    pub fn moat_map_lookup();
    pub fn moat_map_lookup_percpu();
    pub fn moat_map_lookup_outer();
    pub fn moat_map_lookup_outer_array();
    pub fn moat_map_next_elems();
    pub fn moat_map_update();
    pub fn moat_map_update_told();
    pub fn moat_map_update_lru_told();
    pub fn moat_map_delete();
    pub fn moat_map_delete_told();
    pub fn moat_record_reserve();
    pub fn moat_record_submit();
    pub fn moat_record_discard();
    pub fn moat_record_submit_stores();
    pub fn moat_record_discard_stores();
    pub fn moat_stop();
    pub fn moat_tail_call();
    pub fn moat_tail_nested();
    pub fn moat_extension();
    pub fn moat_traced();
    // The site to copy, and the places in it.
    pub fn moat_site_begin();
    pub fn moat_site_three();
    pub fn moat_site_two();
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

/// Address of something in the gates.
pub fn addr(label: unsafe extern "C" fn()) -> u64 {
    label as usize as u64
}

/// Somebody who calls the kernel; numbers as in the initial namespaces.
///
/// C header: `moat/kernel/shims.h`, `struct moat_who`.
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
        unsafe { moat_whoami((&mut who as *mut Who).cast()) };
        who
    }

    /// Whether a message may be logged that is because of them: `run/limit.c`.  To be asked
    /// once for each.  Context: any.
    pub fn may_log(&self) -> bool {
        // SAFETY: any context.
        unsafe { moat_may_log(self.uid) }
    }
}
