// SPDX-License-Identifier: GPL-2.0
//! Packets that programs send one another for ever.
//!
//! A run that sends is short, and so is the next, which its packet starts: no budget
//! of a run sees that they keep the CPU.  A packet is refused when its line
//! (`run/line.rs`) has gone on for longer than the budget and this CPU has had packets to
//! see to for as long.  The program it came back to sends nothing at all from this
//! CPU then, until that is over, and is stopped if it does so again and again.
//!
//! Context: a run, or right after it; softirqs are off.

#![forbid(unsafe_code)]

use crate::edge::calls;
use crate::edge::counters::moat_refused_sends;
use crate::edge::ffi;
use crate::edge::off;
use crate::edge::prog::Isolated;
use crate::edge::this_cpu;
use crate::run::line::{Age, Line, Name, PER_SECOND};
use crate::run::program::Program;
use crate::run::violation;
use core::sync::atomic::Ordering;

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
    this_cpu::budget().load(Ordering::Relaxed).into()
}

/// What a packet of `line` is to tell once `program` has sent it, or nothing: it may
/// not.
pub fn may_send(program: &Program, line: Line) -> Option<Line> {
    if off::line() {
        return Some(line);
    }
    let name = Name::of(program.aux().id());
    let clock = calls::clock();
    let until = this_cpu::silent_until(&program.gates)?;
    let silent_until = until.load(Ordering::Relaxed);

    let now = clock.jiffies * PER_SECOND / clock.hz;
    match line.judge(name, now, budget() * PER_SECOND) {
        Age::Young(line) if silent_until == 0 => return Some(line),
        Age::Young(line) if !clock.busy || clock.jiffies >= silent_until => {
            until.store(0, Ordering::Relaxed);
            return Some(line);
        }
        Age::Young(_) => {}
        Age::Old { .. } if !clock.busy => return Some(line),
        Age::Old { returned: false } => {}
        Age::Old { returned: true } => {
            let again = silent_until == 0 || clock.jiffies >= silent_until;
            until.store(clock.jiffies + budget() * clock.hz, Ordering::Relaxed);
            if again && count(program, &clock) > SPARED {
                violation::kept_on(program);
            }
        }
    }
    moat_refused_sends.fetch_add(1, Ordering::Relaxed);
    violation::not_sent(program);
    None
}

/// `moat_ops.send`: an XDP program's verdict, right after its run; `line` is the packet's.
pub fn send(prog: Isolated<'_>, line: &mut u32) -> bool {
    match may_send(prog.program(), Line::from_bits(*line)) {
        Some(new) => {
            *line = new.bits();
            true
        }
        None => false,
    }
}
