// SPDX-License-Identifier: GPL-2.0
//! Map operations that sites call straight away: `run/map_calls.S`.
//!
//! A site does so if the call is for the map that it knows, and key and value are in the
//! program's slots.  Both stay what they are for as long as the program is loaded, so that this
//! says what the audit would say.

#![forbid(unsafe_code)]

use crate::edge::ffi::moat_map_call;
use crate::edge::maps::Map;
use crate::edge::off;
use crate::helpers::audit::value_span;
use crate::load::reason::Failure::NoMemory;
use crate::load::reason::Tried;
use crate::maps::types::{MapTypes, RDONLY_PROG, RINGBUF};
use crate::run::program::{Program, UsedMap};
use kernel::prelude::*;

/// Copying more than this takes long enough to look at the clock, which the audited way does.
const MOST: u64 = 4096;

/// The maps that `program` calls straight away, of those it uses.
pub fn all(program: &Program, used: &[UsedMap], maps: &[Map<'_>]) -> Tried<Vec<moat_map_call>> {
    let area = program.gates.area();
    let mut calls = Vec::new();
    for (used, map) in used.iter().zip(maps) {
        let call = map.call();
        if let Some(call) = call.and_then(|call| complete(call, area, used, program)) {
            calls.try_push(call).map_err(|_| NoMemory)?;
        }
    }
    Ok(calls)
}

/// `call` of a map that a program uses whose slots are the `len` bytes at `area`.
fn complete(
    mut call: moat_map_call,
    (area, len): (u64, u64),
    UsedMap { info, values }: &UsedMap,
    program: &Program,
) -> Option<moat_map_call> {
    let (key, value) = (info.key_size.into(), value_span(info));
    if value > MOST {
        return None;
    }
    call.area = area;
    call.last_key = len.checked_sub(key)?;
    call.last_value = len.checked_sub(value)?;
    // What it has for now is how long they are.
    call.last_elems = match call.last_elems {
        0 => 0,
        elems => len.saturating_sub(elems),
    };
    if off::map_calls() {
        call.last_key = u64::MAX;
        call.last_value = u64::MAX;
        call.last_elems |= u64::MAX * u64::from(call.last_elems != 0);
    }
    match values {
        Some(values) => call.to_window = call.to_window.wrapping_add(values.base),
        None if MapTypes::OF_MAPS.contains(info.ty) => {}
        // Of a ring, the largest record.
        None if info.ty == RINGBUF => call.last_value = program.record.into(),
        None => return None,
    }
    if info.flags & RDONLY_PROG != 0 {
        call.update = 0;
        call.delete = 0;
    }
    Some(call)
}
