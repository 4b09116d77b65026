// SPDX-License-Identifier: GPL-2.0
//! What `run/tail_call.S` does not do itself.
//!
//! Context: as in `run/mod.rs`.

#![forbid(unsafe_code)]

use super::{violation, Run};
use crate::edge::site::Site;
use crate::edge::stack;
use crate::helpers::audit::{map_of, Allegation, AuditError, Why};
use crate::maps::types::MapTypes;

/// Called by a site that does not know `map`, or in a function that a helper calls: the
/// address of the array, if the program has it, too, or zero, and the run is to be stopped.
#[inline(always)]
pub fn tail_map(run: Run<'_>, site: Site<'_>, map: u64) -> u64 {
    let found = match run.is_called_back() {
        // The helper waits for an answer, and what counts tail calls is not here.
        true => Err(Why::CalledBack),
        false => map_of(MapTypes::PROGRAMS, Allegation(map), &run),
    };
    match found {
        Ok(info) => info.kernel,
        Err(why) => {
            violation::bad_call(&run, site, &AuditError { arg: 1, why });
            0
        }
    }
}

/// Called when a function goes on in another program: whether there is room for that on the
/// kernel's stack.  If not, it stays where it is, as after too many of these calls.
#[inline(always)]
pub fn tail_room() -> u64 {
    stack::has_room().into()
}

/// Called when the program is done that a function has gone to, which may have changed the
/// context and the packet.  Returns whether the run is to be stopped.
#[inline(always)]
pub fn tail_back(run: Run<'_>) -> u64 {
    if run.program.uncovers {
        // What it has left before the packet is its to answer for, as when a run begins.
        run.begin_at_start();
    }
    let failed = run.load_here() != 0;
    u64::from(failed || run.is_over_at(0))
}
