// SPDX-License-Identifier: GPL-2.0
//! Packets that programs send one another for ever.
//!
//! A run that sends is short, and so is the next, which its packet starts: no budget
//! of a run sees that they keep the CPU.  A packet is refused when its line
//! (`line.rs`) has gone on for longer than the budget and this CPU has had packets to
//! see to for as long.  The program it came back to sends nothing at all from this
//! CPU then, until that is over, and is stopped if it does so again and again.
//!
//! Context: a run, or right after it; softirqs are off.

use crate::edge::counters::moat_refused_sends;
use crate::ffi;
use crate::line::{Age, Line, Name, PER_SECOND};
use crate::program::Program;
use crate::violation;
use core::sync::atomic::Ordering;
use kernel::bindings;

/// How often a program is spared.
const SPARED: u32 = 3;

/// Counts one more time, and returns how often it was.  What goes on on several CPUs at
/// once counts once.
fn count(program: &Program, clock: &ffi::moat_clock) -> u32 {
    let until = program.loops_until.load(Ordering::Relaxed);
    let next = clock.jiffies + budget() * clock.hz;
    let exchanged = |until| {
        program
            .loops_until
            .compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    };
    if clock.jiffies >= until && exchanged(until) {
        return program.loops.fetch_add(1, Ordering::Relaxed) + 1;
    }
    0
}

fn budget() -> u64 {
    // SAFETY: a plain integer that a sysctl changes.
    unsafe { core::ptr::addr_of!(bindings::moat_budget).read_volatile() }.into()
}

/// What a packet of `line` is to tell once `program` has sent it, or nothing: it may
/// not.
pub fn may_send(program: &Program, line: Line) -> Option<Line> {
    // SAFETY: a program's aux lives as long as the program.
    let name = Name::of(unsafe { (*program.aux).id });
    // SAFETY: no preemption, see above.
    let clock = unsafe { ffi::moat_shim_clock() };
    // SAFETY: as above; an isolated program has slots.
    let mine = unsafe { &mut *ffi::moat_shim_this_slots(program.gates.slots()) };

    let now = clock.jiffies * PER_SECOND / clock.hz;
    match line.judge(name, now, budget() * PER_SECOND) {
        Age::Young(line) if mine.silent_until == 0 => return Some(line),
        Age::Young(line) if !clock.busy || clock.jiffies >= mine.silent_until => {
            mine.silent_until = 0;
            return Some(line);
        }
        Age::Young(_) => {}
        Age::Old { .. } if !clock.busy => return Some(line),
        Age::Old { returned: false } => {}
        Age::Old { returned: true } => {
            let again = mine.silent_until == 0 || clock.jiffies >= mine.silent_until;
            mine.silent_until = clock.jiffies + budget() * clock.hz;
            if again && count(program, &clock) > SPARED {
                violation::kept_on(program);
            }
        }
    }
    moat_refused_sends.fetch_add(1, Ordering::Relaxed);
    violation::not_sent(program);
    None
}

/// `moat_ops.send`: an XDP program's verdict.
///
/// # Safety
///
/// `prog` is isolated and its run has just ended here; `line` is the packet's.
pub unsafe extern "C" fn send(prog: *mut ffi::bpf_prog, line: *mut u32) -> bool {
    // SAFETY: by contract of this function.
    unsafe {
        let program = &*((*(*prog).aux).moat as *const Program);
        match may_send(program, Line::from_bits(*line)) {
            Some(new) => {
                *line = new.bits();
                true
            }
            None => false,
        }
    }
}
