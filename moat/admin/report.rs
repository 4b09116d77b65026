// SPDX-License-Identifier: GPL-2.0
//! Who is told that something is not isolated, and what they can do.
//!
//! Who loads a program reads it in the verifier's log, the administrator in the
//! kernel's, once.  Context: process.

#![forbid(unsafe_code)]

use crate::admin::again::{Refusal, Told};
use crate::admin::sysctl;
use crate::edge::calls;
use crate::edge::counters::{moat_no_memory, moat_plain, moat_refused, moat_refused_maps};
use crate::edge::ffi::Who;
use crate::edge::lock::Locked;
use crate::edge::maps::Map;
use crate::edge::prog::{Isolated, Prog};
use crate::edge::writers::Log;
use crate::load::reason::{Failure, Line, Reason, Subject, Text};
use crate::run::program::Program;
use core::ffi::c_int;
use core::fmt;
use core::sync::atomic::Ordering;
use kernel::bindings;
use kernel::prelude::*;

pub use crate::prog_types::name as type_name;

const ACCES: c_int = -(bindings::EACCES as c_int);

/// Names a program that has no number: `name (type xdp, of tc[42], uid 0)`.
struct Of<'a> {
    name: Text,
    classic: bool,
    ty: u32,
    by: &'a Who,
}

impl<'a> Of<'a> {
    fn new(prog: Prog<'_>, ty: u32, by: &'a Who) -> Of<'a> {
        Of {
            name: prog.name(),
            classic: prog.kernel_type() == 0,
            ty,
            by,
        }
    }
}

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.classic {
            true => f.write_str("classic filter")?,
            false => write!(f, "{}", self.name)?,
        }
        let (ty, by) = (type_name(self.ty), By(self.by));
        write!(f, " (type {}, of {})", ty, by)
    }
}

/// Names who does something: `tc[42], uid 0`.
pub struct By<'a>(pub &'a Who);

impl fmt::Display for By<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let comm = Text::new(self.0.comm);
        write!(f, "{}[{}], uid {}", comm, self.0.pid, self.0.uid)
    }
}

/// What to do about it, with the document that says more.
enum Advice {
    /// A program of this type was refused.
    Refused(u32),
    /// It runs plainly.
    Plain,
    /// The program that was to be changed is of this type.
    Attached(u32),
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Advice::Refused(ty) => write!(
                f,
                "kernel.moat.strict=0 runs such programs plainly, kernel.moat.{}=0 all of its type",
                type_name(ty)
            ),
            Advice::Plain => f.write_str("kernel.moat.strict=1 refuses such programs"),
            Advice::Attached(ty) => write!(
                f,
                "it could, had that been loaded with kernel.moat.{}=0",
                type_name(ty)
            ),
        }?;
        f.write_str(" (docs/support.md)")
    }
}

/// The map, in a message.
pub fn subject(map: Map<'_>) -> Subject {
    match map.refused("") {
        Failure::Refused(reason) => reason.subject,
        _ => Subject::Program,
    }
}

fn map_name(map: Map<'_>) -> Text {
    match subject(map) {
        Subject::Map { name, .. } => name,
        _ => Text::new([]),
    }
}

/// Writes two lines for who loads a program.  If there is a log the second is whole only
/// if the first is.
fn tell(log: Log<'_>, lines: [fmt::Arguments<'_>; 2]) -> Told {
    let mut told = Told::No;
    for text in lines {
        told = match log.write(Line::new(text).as_bytes()) {
            0 => Told::No,
            1 => Told::Cut,
            _ => Told::Whole,
        };
    }
    told
}

/// Whether it was counted and logged before.
fn is_again(prog: Prog<'_>, by: &Who, ty: u32, told: Told, reason: &Reason) -> bool {
    let refusal = Refusal {
        tid: by.tid,
        ty,
        tag: prog.tag(),
        name: prog.name(),
        reason: *reason,
    };
    let mut state = Locked::take();
    state.untold.note(&refusal, told, calls::seconds())
}

/// Program `prog` could not be isolated.  Returns what the kernel is told: 0, if it is
/// to run plainly, or an error.
pub fn not_isolated(program: &Program, prog: Prog<'_>, log: Log<'_>, why: &Failure) -> c_int {
    let reason = match why {
        Failure::Refused(reason) => reason,
        _ => return ran_out(log, &program.by, why),
    };
    let strict = sysctl::strict();
    let (what, advice) = match strict {
        true => ("refused", Advice::Refused(program.row.number)),
        false => ("runs without isolation", Advice::Plain),
    };
    let told = tell(
        log,
        [
            format_args!("MOAT cannot isolate this program: {}", reason),
            format_args!("MOAT: {}; {}", what, advice),
        ],
    );
    if strict && is_again(prog, &program.by, program.row.number, told, reason) {
        return ACCES;
    }
    if !strict && told == Told::Cut {
        // The verifier refuses it for its log.
        return 0;
    }
    let counter = if strict { &moat_refused } else { &moat_plain };
    counter.fetch_add(1, Ordering::Relaxed);
    if program.by.may_log() {
        let who = Of::new(prog, program.row.number, &program.by);
        pr_info!("{}: {}: {}; {}\n", who, what, reason, advice);
    }
    match strict {
        true => ACCES,
        false => 0,
    }
}

/// A load fails for want of memory, before there is anything to say of the program.
pub fn count_no_memory() {
    moat_no_memory.fetch_add(1, Ordering::Relaxed);
}

/// Something ran out that all share, which is no reason to run a program plainly.
fn ran_out(log: Log<'_>, by: &Who, what: &Failure) -> c_int {
    count_no_memory();
    let (what, advice) = match what {
        Failure::NoRoom => ("its window is full", "see docs/support.md"),
        _ => ("there is no memory", "try again later"),
    };
    tell(
        log,
        [
            format_args!("MOAT cannot isolate this program now: {}", what),
            format_args!("MOAT: {}", advice),
        ],
    );
    if by.may_log() {
        pr_info!("{}: cannot be served now: {}\n", By(by), what);
    }
    -(bindings::ENOMEM as c_int)
}

/// `moat_ops.attach`: `prog` is not attached to an isolated program, because of `why`.
pub fn attach(log: Log<'_>, prog: Prog<'_>, target: Isolated<'_>, why: &'static str) -> c_int {
    let ty = target.program().row.number;
    let by = Who::am_i();
    let reason = Reason {
        insn: None,
        subject: Subject::Target {
            name: target.name(),
            id: target.aux().id(),
        },
        why,
    };
    let advice = Advice::Attached(ty);
    let told = tell(
        log,
        [
            format_args!("MOAT refuses this program: {}", reason),
            format_args!("MOAT: {}", advice),
        ],
    );
    if is_again(prog, &by, prog.kernel_type(), told, &reason) {
        return ACCES;
    }
    moat_refused.fetch_add(1, Ordering::Relaxed);
    if by.may_log() {
        let who = Of::new(prog, prog.kernel_type(), &by);
        pr_info!("{}: refused: {}; {}\n", who, reason, advice);
    }
    ACCES
}

/// A map does not go into `outer`.  Returns an error.
pub fn not_put(outer: Map<'_>, why: &Failure) -> c_int {
    let by = Who::am_i();
    let reason = match why {
        Failure::Refused(reason) => reason,
        _ => return ran_out(Log::none(), &by, why),
    };
    moat_refused_maps.fetch_add(1, Ordering::Relaxed);
    if by.may_log() {
        pr_info!(
            "{} (map of maps of isolated programs, changed by {}): refused: {} (docs/support.md)\n",
            map_name(outer),
            By(&by),
            reason
        );
    }
    ACCES
}
