// SPDX-License-Identifier: GPL-2.0
//! A helper that calls functions of the program: `struct moat_calling`.
//!
//! C header: `arch/x86/include/asm/moat.h`; the gates are in `run/callback.S`.  Context: as in
//! `invocation.rs`.

use super::invocation::Run;
use super::samples;
use super::site::Registers;
use crate::edge::ffi::{self, addr, moat_calling, moat_run};
use crate::helpers::audit::MapInfo;
use crate::maps::types::USER_RINGBUF;
use core::ptr::addr_of_mut;
use kernel::bindings;

const CALLBACK: u32 = bindings::MOAT_RUN_CALLBACK;
const STORE: u32 = bindings::MOAT_RUN_STORE;

/// What the gate has to know of such a call.
pub struct Calling {
    it: moat_calling,
    /// The run, or the callback in it, that makes the call.
    by: *mut moat_run,
    gate: u64,
}

/// Prepares for a helper that calls the function at `entry`: for each element or sample of `map`,
/// if there is one.  None if that would be too deep.
#[inline(always)]
pub fn begin(run: &Run<'_>, entry: u64, map: Option<&MapInfo>) -> Option<Calling> {
    // SAFETY: this CPU's, as no other run is current while gates wait for us: `run`, or a
    // callback of it, whose helper waits on the stack with what it is a callback of.
    let (by, flags, outer) = unsafe {
        let by = ffi::moat_shim_this_run();
        if !ffi::moat_shim_may_call_back(by) {
            return None;
        }
        let flags = (*by).flags;
        let outer = match flags & CALLBACK {
            0 => 0,
            _ => (*((*by).of as *const moat_calling)).level,
        };
        (by, flags, outer)
    };
    Some(Calling {
        it: run.calling(flags, outer, entry, map)?,
        by,
        gate: match map {
            Some(map) if map.ty == USER_RINGBUF => samples::gate(),
            Some(_) => addr(ffi::moat_callback_element),
            None => addr(ffi::moat_callback),
        },
    })
}

impl Calling {
    /// Makes the call: `args`, with a gate in place of the function, go to `call`.
    #[inline(always)]
    pub fn with<R>(&self, args: &mut Registers, call: impl FnOnce(&Registers) -> R) -> R {
        args.pass_gate(self.gate);
        // SAFETY: as in `begin`.  The gate, which the helper calls on this CPU, is the only one
        // to read what is pointed at, which is there until that is done.
        unsafe { addr_of_mut!((*self.by).calling).write(&self.it as *const moat_calling as u64) };
        call(args)
    }
}

/// The same for the function that a timer of a value of `map` calls, in `run`, which the gate has
/// begun for it.  False if that would be too deep.
#[inline(always)]
pub fn begin_timer(run: &Run<'_>, map: u64) -> bool {
    // It was set for a value of one of these.
    let own = run.program.own_maps().iter();
    let map = own.map(|used| &used.info).find(|info| info.kernel == map);
    // SAFETY: `run` is current, and no callback is in it; its `calling` is what C has made for
    // the gate, with `entry`, which nobody else has.
    unsafe {
        if map.is_none() || !ffi::moat_shim_may_call_back(run.as_ptr()) {
            return false;
        }
        let it = (*run.as_ptr()).calling as *mut moat_calling;
        match run.calling(run.flags().get(), 0, (*it).entry, map) {
            Some(calling) => it.write(calling),
            None => return false,
        }
    }
    true
}

impl Run<'_> {
    /// A call of the function at `entry` by what has `flags`, and is the callback number
    /// `outer`, or none.  None if there is no stack for it.
    #[inline(always)]
    fn calling(
        &self,
        flags: u32,
        outer: u64,
        entry: u64,
        map: Option<&MapInfo>,
    ) -> Option<moat_calling> {
        let callbacks = self.program.callbacks()?;
        let key_size = map.map_or(0, samples::room);
        let below = callbacks.stack_of_next(outer, key_size)?;
        let sp = self.slot.rsp - u64::from(below);
        Some(moat_calling {
            root: self.as_ptr() as u64,
            // And it holds nothing: what it does is the run's.
            flags: u64::from(flags | CALLBACK | STORE),
            entry,
            sp,
            level: outer + 1,
            key: sp,
            key_size: key_size.into(),
            to_window: map.map_or(0, |map| self.to_window(map)),
        })
    }

    /// What makes the address of a value of `map` that of the window, if it is the same for
    /// all that this CPU may be given; or 0.
    #[inline(always)]
    fn to_window(&self, map: &MapInfo) -> u64 {
        let values = self
            .program
            .used(map.kernel, self)
            .and_then(|used| used.values);
        // SAFETY: liveness: as in `place`.
        let at = unsafe { ffi::moat_shim_values_at(map.kernel as *const ffi::bpf_map) };
        match (values, at) {
            (None, _) | (_, 0) => 0,
            (Some(values), at) => values.base.wrapping_sub(at),
        }
    }
}
