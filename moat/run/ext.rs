// SPDX-License-Identifier: GPL-2.0
//! What `run/extension.S` does not do itself: around the call of a program that is in the place
//! of a function, and of trampolines for programs that trace it.
//!
//! Context: as in `run/mod.rs`.

#![forbid(unsafe_code)]

use super::{violation, Run};
use crate::code::sites::EXT;
use crate::edge::off;
use crate::edge::site::Site;
use crate::helpers::audit::{AuditError, Why};

/// Nobody is there to be called.
const NOBODY: u64 = 1;

/// Puts the context where it belongs in what the program has passed, and has what the program
/// has changed of it stored.  False, and the run is to be stopped: it has none, or no time.
#[inline(always)]
fn may_leave(run: &Run<'_>, site: Site<'_>, args: &mut [u64; 5]) -> bool {
    let known = site.args();
    if known.has_context() && run.has_no_context() {
        // It would be called with the run's.
        let why = Why::NoContext;
        violation::bad_call(run, site, &AuditError { arg: 0, why });
        return false;
    }
    for (n, arg) in args.iter_mut().enumerate() {
        if known.is_context(n) || known.are_unknown() && *arg == run.slot.snap {
            *arg = run.ctx() as u64;
        }
    }
    // From here on there is a deadline, which what it calls is told.
    if run.is_over(site) {
        return false;
    }
    if !run.has_no_context() {
        run.store();
    }
    true
}

/// Called before, with what the program has passed: where what is in the place of the function
/// is entered, or zero, and the run is to be stopped.
#[inline(always)]
pub fn go(run: Run<'_>, site: Site<'_>, args: &mut [u64; 5]) -> u64 {
    match site.extension() {
        0 => nothing(&run),
        entry if may_leave(&run, site, args) => entry,
        _ => 0,
    }
}

/// The same of what traces it.
#[inline(always)]
pub fn trace(run: Run<'_>, site: Site<'_>, args: &mut [u64; 5]) -> u64 {
    match site.trace() {
        0 => nothing(&run),
        entry if may_leave(&run, site, args) => entry,
        _ => 0,
    }
}

/// The same of what does when it is done: nobody may.
#[inline(always)]
pub fn traced(run: Run<'_>, site: Site<'_>, args: &mut [u64; 5]) -> u64 {
    match site.extension() {
        0 => NOBODY,
        entry if may_leave(&run, site, args) => entry,
        _ => 0,
    }
}

/// The function's first instruction does not lead here then.
#[cold]
fn nothing(run: &Run<'_>) -> u64 {
    violation::no_return(run);
    0
}

/// Called when it is done, and may have changed the context and the packet.  Returns whether
/// the run is to be stopped: what is in the place of a function that was stopped has no result.
#[inline(always)]
pub fn back(run: Run<'_>, site: Site<'_>) -> u64 {
    run.tell_of_change();
    if site.helper() == EXT && site.extension_is_dead() && !off::ext_result() {
        return 1;
    }
    match run.has_no_context() {
        true => run.is_over(site).into(),
        false => super::tail::tail_back(run),
    }
}
