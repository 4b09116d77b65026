// SPDX-License-Identifier: GPL-2.0
//! What `run/extension.S` does not do itself: around the call of a program that is in the place
//! of a function.
//!
//! Context: as in `run/mod.rs`.

#![forbid(unsafe_code)]

use super::{violation, Run};
use crate::edge::off;
use crate::edge::site::Site;
use crate::helpers::audit::{AuditError, Why};

/// Called before, with what the program has passed, in which the context is put where it
/// belongs: where it is entered, or zero, and the run is to be stopped.
#[inline(always)]
pub fn go(run: Run<'_>, site: Site<'_>, args: &mut [u64; 5]) -> u64 {
    let entry = site.extension();
    if entry == 0 {
        // The function's first instruction does not lead here then.
        violation::no_return(&run);
        return 0;
    }
    let context = site.context_args();
    if context != 0 && run.has_no_context() {
        // It would be called with a context, and the run's, of which there is none.
        let why = Why::NoContext;
        violation::bad_call(&run, site, &AuditError { arg: 0, why });
        return 0;
    }
    for (n, arg) in args.iter_mut().enumerate() {
        if context >> n & 1 != 0 {
            *arg = run.ctx() as u64;
        }
    }
    // From here on there is a deadline, which what it calls is told.
    if run.is_over(site) {
        return 0;
    }
    if !run.has_no_context() {
        run.store();
    }
    entry
}

/// Called when it is done, and may have changed the context and the packet.  Returns whether
/// the run is to be stopped: what is in the place of a function that was stopped has no result.
#[inline(always)]
pub fn back(run: Run<'_>, site: Site<'_>) -> u64 {
    if site.extension_is_dead() && !off::ext_result() {
        return 1;
    }
    match run.has_no_context() {
        true => run.is_over(site).into(),
        false => super::tail::tail_back(run),
    }
}
