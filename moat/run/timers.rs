// SPDX-License-Identifier: GPL-2.0
//! Timers of map values.
//!
//! The program has a place in the value for each, and that is what it calls them; the timer
//! itself is the kernel's.  What a timer calls is a function of the program in a run of its own,
//! without a context (`run/timer.S`).  Context: as in `run/mod.rs`.

#![forbid(unsafe_code)]

use super::call::Called;
use super::Run;
use crate::edge::site::Site;
use crate::edge::{callback, timers};
use crate::helpers::audit::{Allegation, AuditError, Why};
use kernel::bindings;

const INIT: u32 = bindings::bpf_func_id_BPF_FUNC_timer_init;
const SET_CALLBACK: u32 = bindings::bpf_func_id_BPF_FUNC_timer_set_callback;
const START: u32 = bindings::bpf_func_id_BPF_FUNC_timer_start;

const fn because(arg: u8, why: Why) -> AuditError {
    AuditError { arg, why }
}

impl Run<'_> {
    /// One of the helpers that take a timer.
    fn on_timer(&self, site: Site<'_>, args: &[Allegation; 5]) -> Called {
        let value = self.program.timed_value(args[0].0);
        let (map, off) = value.ok_or(because(0, Why::NoTimer))?;
        let timer = timers::at(map, off).ok_or(because(0, Why::NoTimer))?;
        let ret = match site.helper() {
            INIT if args[1].0 != map.kernel => return Err(because(1, Why::NotItsMap)),
            INIT => site.init_timer(&timer, map, args[2]),
            SET_CALLBACK => {
                let image = self.program.callback_image(args[1].0);
                let image = image.ok_or(because(1, Why::Function))?;
                site.set_callback(&timer, image, self)
            }
            START => site.start_timer(&timer, args[1], args[2]),
            _ => site.cancel_timer(&timer, self),
        };
        if self.is_over(site) {
            self.stop();
        }
        Ok(ret)
    }
}

/// Called by `moat_audit_timer`, as [`super::audited_call`] is by `moat_audit`.
#[inline(always)]
pub fn audited_timer(run: Run<'_>, site: Site<'_>, args: &[Allegation; 5]) -> u64 {
    let called = run.on_timer(site, args);
    // It may have waited for what the timer's function does, on another CPU.
    run.tell_of_change();
    run.answer(site, called)
}

/// Called by `moat_timer`, for a value of `map`.  Returns whether the function is to be called.
#[inline(always)]
pub fn begin(run: Run<'_>, map: u64) -> u64 {
    run.forget_copies();
    run.forget_kept();
    // Where nothing interrupts it, others look whether its time is up, which begins now.
    let _ = run.is_overdue();
    callback::begin_timer(&run, map).into()
}
