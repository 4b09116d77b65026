// SPDX-License-Identifier: GPL-2.0
//! Programs are admitted and released.
//!
//! Context: process; the thread that loads or frees the program.

#![forbid(unsafe_code)]

pub mod calls;
mod layout;
pub mod map_calls;
#[allow(dead_code)]
pub mod reason;

pub use crate::edge::loaded::Loaded;
pub use layout::{EXCEPTION, MARGIN};

use crate::edge::counters::moat_confined;
use crate::edge::ffi;
use crate::edge::gates::Gates;
use crate::edge::lock::Locked;
use crate::edge::maps::Map;
use crate::edge::memory::try_box;
use crate::edge::plan::Plan;
use crate::edge::prog_aux::KeptAux;
use crate::load::reason::Tried;
use crate::maps::types::MapTypes;
use crate::pks::{KeySet, Pkrs};
use crate::prog_types::{self, Level};
use crate::run::program::Program;
use crate::state::arena::Id;
use crate::state::{Confined, Layout};
use calls::Calls;
use core::sync::atomic::Ordering;
use kernel::bindings;
use kernel::prelude::*;

/// What `struct bpf_prog` says of a program.
#[derive(Clone, Copy, Default)]
pub struct Facts {
    /// `expected_attach_type`
    pub attach_type: u32,
    /// Bytes.
    pub stack_depth: u32,
    /// How many references and records it may hold at once.
    pub refs: u32,
    /// Bytes of the largest of these records.
    pub record: u32,
    /// Bit `n`: helpers may call function `n`.
    pub callbacks: [u64; 4],
}

/// A program of type `ty` as it is before it is admitted: it can run nowhere.  None if
/// memory is short, or the type has no row.
#[inline(always)]
pub fn candidate(aux: KeptAux, ty: u32, level: Level) -> Option<Box<Program>> {
    let row = prog_types::find(ty)?;
    let view = match level {
        Level::Integrity => Pkrs::for_integrity_view(),
        Level::Confidentiality => Pkrs::for_view(),
    };
    let domain = ffi::moat_domain {
        flags: bindings::MOAT_DOM_VIEW,
        pkrs: Pkrs::for_program(KeySet::EMPTY).bits(),
        view_pkrs: view.in_force().bits(),
        ..Default::default()
    };
    try_box(Program::new(aux, row, level, Gates::new(domain)))
}

/// Gives a candidate all it needs to run, or says what is in the way.  Either way it is to
/// be released in the end.
pub fn admit(
    mut program: Box<Program>,
    plan: Plan,
    calls: Tried<Calls>,
    prog: Facts,
    maps: &[Map<'_>],
) -> (Loaded, Tried<()>) {
    program.plan = plan;
    let layout = lay_out(&mut program, calls, prog, maps);
    // From here on there are shared references only.
    let program = Loaded::new(program);
    let admitted = layout.and_then(|layout| Locked::take().admit(program.share(), layout, maps));
    // When nothing else is in the way: it is for good.
    let admitted = admitted.and_then(|()| maps.iter().try_for_each(|map| map.serve()));
    (program, admitted)
}

fn lay_out(
    program: &mut Program,
    calls: Tried<Calls>,
    prog: Facts,
    maps: &[Map<'_>],
) -> Tried<Layout> {
    let verdict = program.row.verdict_or_refuse(prog.attach_type)?;
    program.gates.edit().verdict = verdict.into();
    let mut calls = calls?;
    let looks_up = |types: MapTypes| {
        let has = |map: &Map<'_>| types.contains(map.inner_type().unwrap_or_else(|| map.info().ty));
        calls.lookup && maps.iter().any(has)
    };
    program.has_copies = looks_up(MapTypes::DEVICES);
    let sockets = looks_up(MapTypes::SOCKMAPS);
    calls.grants |= sockets;
    calls.sockets |= sockets;
    program.lay_out(&calls, &prog, maps)
}

/// Has a classic filter of kind `ty` run plainly, and lists it.  None if memory is short, or
/// the kind has no row.
pub fn confine(ty: u32) -> Option<Id<Confined>> {
    let row = prog_types::find(ty)?;
    let listed = Locked::take().confine(row, ffi::Who::am_i());
    if listed.is_ok() {
        moat_confined.fetch_add(1, Ordering::Relaxed);
    }
    listed.ok()
}

/// Such a filter is gone.
pub fn forget(id: Id<Confined>) {
    Locked::take().forget(id);
}

/// Frees a program with all it has.  No run of it is left.
pub fn release(program: Loaded) {
    drop(program);
}
