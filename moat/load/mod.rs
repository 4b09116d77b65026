// SPDX-License-Identifier: GPL-2.0
//! Programs are admitted and released.
//!
//! Context: process; the thread that loads or frees the program.

pub mod calls;
mod layout;

pub use layout::{EXCEPTION, MARGIN, MAX_META};

use crate::edge::counters::moat_freed;
use crate::edge::gates::Gates;
use crate::edge::held::Held;
use crate::edge::lock::Locked;
use crate::edge::maps::Map;
use crate::edge::memory::try_box;
use crate::ffi;
use crate::pks::{KeySet, Pkrs};
use crate::prog_types::{Level, ProgType};
use crate::program::Program;
use crate::reason::Tried;
use calls::Calls;
use core::sync::atomic::Ordering;
use kernel::bindings;
use kernel::prelude::*;

/// A program as it is before it is admitted: it can run nowhere.
pub fn candidate(
    aux: *mut bindings::bpf_prog_aux,
    row: &'static ProgType,
    level: Level,
) -> Option<Box<Program>> {
    // SAFETY: plain integers and pointers, for which zero is a value.
    let (mut domain, plan): (ffi::moat_domain, ffi::moat_ctx_plan) =
        unsafe { (core::mem::zeroed(), core::mem::zeroed()) };
    domain.flags = bindings::MOAT_DOM_VIEW;
    domain.pkrs = Pkrs::for_program(KeySet::EMPTY).bits();
    domain.view_pkrs = match level {
        Level::Integrity => Pkrs::for_integrity_view(),
        Level::Confidentiality => Pkrs::for_view(),
    }
    .bits();
    try_box(Program::new(aux, row, level, Gates::new(domain), plan))
}

/// What `struct bpf_prog` says of a program.
#[derive(Clone, Copy, Default)]
pub struct Facts {
    /// `expected_attach_type`
    pub attach_type: u32,
    /// Bytes.
    pub stack_depth: u32,
}

/// Gives the program all it needs to run, or says what is in the way.  Either way it is to
/// be released in the end, and `plan` with it.
///
/// # Safety
///
/// Liveness: `program` is [`Box::into_raw`]'s, and not released.  Aliasing: nobody else has
/// a reference to it yet.
pub unsafe fn admit(
    program: *mut Program,
    plan: &ffi::moat_ctx_plan,
    calls: Tried<Calls>,
    prog: Facts,
    maps: &[Map<'_>],
) -> Tried<()> {
    // SAFETY: by contract of this function; the reference ends before it is shared.
    let mine = unsafe { &mut *program };
    // From here on `release` frees the plan's programs.
    mine.plan = *plan;
    let verdict = mine.row.verdict_or_refuse(prog.attach_type)?;
    mine.gates.edit().verdict = verdict.into();
    let layout = mine.lay_out(&calls?, prog.stack_depth)?;
    // SAFETY: by contract of this function; `release` takes the program out of the state
    // before it frees it, and nobody has an exclusive reference any more.
    let shared = unsafe { Held::new(&*program) };
    Locked::take().admit(shared, layout, maps)
}

/// Frees a program with all it has.
///
/// # Safety
///
/// Liveness: `program` is [`Box::into_raw`]'s, and nobody uses it afterwards; no run of it
/// is left.
pub unsafe fn release(program: *mut Program) {
    // SAFETY: by contract of this function.
    let shared = unsafe { &*program };
    for plan in [shared.plan.load, shared.plan.store] {
        if !plan.is_null() {
            // SAFETY: ours since `admit`, and nobody runs them any more.
            unsafe { bindings::bpf_prog_free(plan) };
        }
    }
    Locked::take().leave(shared);
    // SAFETY: by contract of this function; it has left the state, which had references.
    drop(unsafe { Box::from_raw(program) });
    moat_freed.fetch_add(1, Ordering::Relaxed);
}
