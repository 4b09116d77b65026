// SPDX-License-Identifier: GPL-2.0
//! What the gates call while a program runs: context in and out; calls and the packet are
//! in the files of `run/`.
//!
//! Context: whatever the program runs in, NMI included; must not sleep.  PKRS is
//! open (I2), so the window can be read and written here like any memory, but
//! what is read from it may change at any time (I1): `kernel/program_memory.rs` copies it.

use crate::edge::program_memory::Slot;
use crate::edge::rcu::Reader;
use crate::ffi::{self, moat_run, moat_site};
use crate::helpers::audit::{self, Allegation, CallerMemory, MapInfo};
use crate::helpers::contract::Contract;
use crate::line::Line;
use crate::program::Program;
use crate::sends;
use crate::violation;
use core::ffi::c_void;
use kernel::bindings;

mod call;
mod packet;

/// `BPF_FUNC_map_lookup_elem`
const MAP_LOOKUP_ELEM: u32 = bindings::bpf_func_id_BPF_FUNC_map_lookup_elem;

/// One invocation, as the gates hand it over; there only in [`in_run`].
pub struct Run<'a> {
    run: *mut moat_run,
    pub program: &'a Program,
    slot: &'a ffi::moat_slot,
}

// SAFETY: preemption is off in a run, so that no grace period ends, and `in_run` lends runs
// for no longer.
unsafe impl Reader for Run<'_> {}

/// Does `what` with the invocation `run`.
///
/// # Safety
///
/// `run` is this CPU's current invocation, as built by `moat_enter`.
#[inline(always)]
pub unsafe fn in_run<R>(run: *mut moat_run, what: impl FnOnce(&Run<'_>) -> R) -> R {
    // SAFETY: the gate stored both; a program outlives its runs, and `gates` is its first
    // member; to it and to the slot, which is this run's, there are shared references only.
    what(&unsafe {
        Run {
            run,
            program: &*((*run).domain as *const Program),
            slot: &*((*run).slot as *const ffi::moat_slot),
        }
    })
}

impl Run<'_> {
    pub fn ctx(&self) -> *mut c_void {
        // SAFETY: see `in_run`.
        unsafe { (*self.run).ctx as *mut c_void }
    }

    /// Ends the run with the safe verdict as soon as the gate looks.
    pub fn stop(&self) {
        // SAFETY: see `in_run`; only this CPU touches it.
        unsafe { (*self.run).stop = 1 }
    }

    /// What the program sees of its context.
    fn memory(&self) -> Slot<'_> {
        // SAFETY: see `in_run`; `Program::lay_out` made the slot for the program's plan.
        unsafe { Slot::new(self.slot, &self.program.plan) }
    }

    /// Loads the context and the packet.  0, or 1 + the verdict to end with.
    fn load(&self) -> u64 {
        let plan = &self.program.plan;
        if plan.load.is_null() {
            return 0;
        }
        // SAFETY: `load` writes at most `snap_size` bytes of the shadow.
        let ret = unsafe {
            ffi::moat_shim_run_plan(
                plan.load,
                self.ctx(),
                self.slot.shadow as *mut c_void,
                core::ptr::null_mut(),
            )
        };
        if ret != 0 {
            return ret;
        }
        // The kernel's packet pointers are for it alone.
        let hidden = match plan.classic {
            true => 1 << (plan.data_off / 8),
            false => 7 << (plan.pkt_off / 8),
        };
        self.memory().show(hidden);
        // SAFETY: `load` has just run.
        unsafe {
            if plan.classic {
                self.load_classic_packet();
            } else {
                self.load_packet();
            }
        }
        0
    }

    /// Loads them again after a helper that may have changed them.
    fn reload(&self, contract: &Contract) -> u64 {
        if self.program.uncovers {
            self.cover(contract.uncovers);
        }
        self.load()
    }

    /// Writes back what the program changed.
    fn store(&self) {
        let plan = &self.program.plan;
        if plan.writes_pkt {
            self.store_packet();
        }
        if !plan.store.is_null() {
            // SAFETY: `store` reads `snap_size` bytes of both.
            unsafe {
                ffi::moat_shim_run_plan(
                    plan.store,
                    self.ctx(),
                    self.slot.snap as *mut c_void,
                    self.slot.shadow as *mut c_void,
                );
            }
        }
    }

    /// Whether the run has to end.  Called after helpers that may take long: a program
    /// that spends its time in them is hardly ever found by an interrupt.
    fn is_over(&self, site: &moat_site) -> bool {
        if self.program.is_dead() {
            return true;
        }
        // SAFETY: see `in_run`.
        if unsafe { !bindings::moat_overdue(self.run) } {
            return false;
        }
        let fault = ffi::moat_fault {
            ip: site.ret.ip,
            addr: 0,
            error_code: 0,
            vector: bindings::MOAT_FAULT_BUDGET,
            reserved: 0,
        };
        // SAFETY: this is the current invocation.
        unsafe { violation::fault(self.run, &fault) };
        true
    }

    /// Whether the packet may be sent.  If so, it and its clones say that they were.
    fn sends(&self) -> bool {
        // SAFETY: the context is a socket buffer, as no other is asked about here.
        unsafe {
            let line = Line::from_bits(ffi::moat_shim_skb_line(self.ctx()));
            match sends::may_send(self.program, line) {
                Some(line) => {
                    ffi::moat_shim_set_skb_line(self.ctx(), line.bits());
                    ffi::moat_shim_defer(self.run);
                    true
                }
                None => false,
            }
        }
    }
}

// SAFETY: a program's own memory is mapped until it is released, and so are the values of
// its maps; of maps that it has reached, while they are listed, which outlasts the run.
unsafe impl CallerMemory for Run<'_> {
    fn contains(&self, addr: u64, len: u64, write: bool) -> bool {
        let (base, size) = self.program.gates.area();
        if audit::within(base, size, addr, len) {
            return true;
        }
        self.program.used_maps(self).any(|map| {
            map.values.map_or(false, |values| {
                (values.writable || !write) && audit::within(values.base, values.span, addr, len)
            })
        })
    }

    fn map(&self, addr: u64) -> Option<&MapInfo> {
        self.program.used(addr, self).map(|used| &used.info)
    }

    fn ctx(&self) -> u64 {
        Run::ctx(self) as u64
    }

    fn snapshot(&self) -> u64 {
        self.slot.snap
    }

    fn pkt_data(&self) -> u64 {
        // SAFETY: asked for socket buffers only.
        unsafe { ffi::moat_shim_skb_data(Run::ctx(self)) }
    }

    fn headlen(&self) -> u64 {
        // SAFETY: asked for socket buffers only.
        unsafe { ffi::moat_shim_skb_headlen(Run::ctx(self)).into() }
    }
}

/// Called by `moat_enter` for programs with MOAT_DOM_PREPARE.
///
/// # Safety
///
/// `run` is the current invocation.
#[no_mangle]
pub unsafe extern "C" fn moat_prepare(run: *mut moat_run) -> u64 {
    // SAFETY: by contract of this function.
    unsafe {
        (*run).pkt_len = 0;
        in_run(run, |run| {
            if run.program.rewrites {
                ffi::moat_shim_make_one(run.ctx());
            }
            if run.program.uncovers {
                run.begin_at_start();
            }
            run.load()
        })
    }
}

/// Called by `moat_exit` for programs with MOAT_DOM_FINISH.
///
/// # Safety
///
/// `run` is the current invocation.
#[no_mangle]
pub unsafe extern "C" fn moat_finish(run: *mut moat_run) {
    // SAFETY: by contract of this function.
    unsafe { in_run(run, |run| run.store()) }
}

/// Called by `moat_audit`.
///
/// # Safety
///
/// `run` is the current invocation, `site` one of its program's, `args` five
/// registers saved in kernel memory.
#[no_mangle]
pub unsafe extern "C" fn moat_audited_call(
    run: *mut moat_run,
    site: *const moat_site,
    args: *const [Allegation; 5],
) -> u64 {
    // SAFETY: by contract of this function.
    let (site, args) = unsafe { (&*site, &*args) };
    let call = |run: &Run<'_>| {
        let called = match site.id as u32 {
            MAP_LOOKUP_ELEM => run.lookup(site, args),
            _ => run.call(site, args),
        };
        match called {
            Ok(ret) => ret,
            Err(error) => {
                violation::bad_call(run, site, &error);
                run.stop();
                0
            }
        }
    };
    // SAFETY: as above.
    unsafe { in_run(run, call) }
}

/// Called by `moat_return` for a number the program does not have.
///
/// # Safety
///
/// `run` is the current invocation.
#[no_mangle]
pub unsafe extern "C" fn moat_no_return(run: *mut moat_run) {
    // SAFETY: by contract of this function.
    unsafe { in_run(run, violation::no_return) }
}
