// SPDX-License-Identifier: GPL-2.0
//! A program did what it may not: say so once, and let it not run again.
//!
//! The gates and entry code end the run; this file only reports.  Context: the
//! program's, NMI included; PKRS open.

#![forbid(unsafe_code)]

use crate::admin::report;
use crate::code::sites::{EXT, TRACED};
use crate::code::walk::{Bad, Found};
use crate::edge::counters::{moat_refused, moat_violations};
use crate::edge::ffi::{self, moat_fault};
use crate::edge::site::Site;
use crate::helpers::audit::{AuditError, Why};
use crate::helpers::contract::Contract;
use crate::helpers::dynptr::E2BIG;
use crate::helpers::{geometry, table};
use crate::pks::PF_PK;
use crate::run::program::{Program, COPIES};
use crate::run::Run;
use core::fmt;
use core::sync::atomic::Ordering;
use kernel::bindings;
use kernel::prelude::*;

/// Page-fault error code: Intel SDM Vol. 3A, 4.7.
const PF_PROT: u64 = ffi::x86_pf_error_code_X86_PF_PROT as u64;
const PF_WRITE: u64 = ffi::x86_pf_error_code_X86_PF_WRITE as u64;
const PF_INSTR: u64 = ffi::x86_pf_error_code_X86_PF_INSTR as u64;

/// Vectors: `arch/x86/include/asm/trapnr.h`.
const DIVIDE: u32 = ffi::X86_TRAP_DE;
const BREAKPOINT: u32 = ffi::X86_TRAP_BP;
const OVERFLOW: u32 = ffi::X86_TRAP_OF;
const INVALID_OPCODE: u32 = ffi::X86_TRAP_UD;
const DOUBLE_FAULT: u32 = ffi::X86_TRAP_DF;
const STACK_FAULT: u32 = ffi::X86_TRAP_SS;
const PROTECTION: u32 = ffi::X86_TRAP_GP;
const PAGE_FAULT: u32 = ffi::X86_TRAP_PF;
/// What the kernel reports for a return address it will not go back to.
const BAD_RETURN: u32 = ffi::X86_TRAP_IRET;
/// A run that would not end.
const BUDGET: u32 = bindings::MOAT_FAULT_BUDGET;

/// Names a program in a report: `name (id 5, type xdp, of tc[42], uid 0)`.
struct Who<'a>(&'a Program);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let aux = self.0.aux();
        match self.0.plan.classic {
            true => f.write_str("classic filter (")?,
            false => write!(f, "{} (id {}, ", aux.name(), aux.id())?,
        }
        let ty = report::type_name(self.0.row.number);
        write!(f, "type {}, of {})", ty, report::By(&self.0.by))
    }
}

/// How far into which image: `main+0x1c`, `func1+0x20`.
struct Place(usize, u64);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => write!(f, "main+{:#x}", self.1),
            image => write!(f, "func{}+{:#x}", image, self.1),
        }
    }
}

/// Where in a program.
struct At<'a>(&'a Program, u64);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.locate(self.1) {
            Some((image, off)) => Place(image, off).fmt(f),
            None => f.write_str("an address outside of it"),
        }
    }
}

/// Stops the program for good, tells who traces that, and counts it.  True if the log may say
/// so, too.
fn stop(program: &Program, ip: u64, addr: u64, what: u32) -> bool {
    let first = program.kill();
    // The same run, which another CPU has found once more before it was left.
    if what == BUDGET && !first {
        return false;
    }
    program.aux().trace_violation(ip, addr, what);
    moat_violations.fetch_add(1, Ordering::Relaxed);
    first && program.by.may_log()
}

/// `moat_ops.violation`
#[inline(always)]
pub fn fault(run: Run<'_>, fault: &moat_fault) {
    stopped_by(run.program, fault);
}

/// An exception in BPF mode, or a run that would not end.
#[cold]
#[inline(never)]
pub fn stopped_by(program: &Program, fault: &moat_fault) {
    if !stop(program, fault.ip, fault.addr, fault.vector) {
        return;
    }
    let (who, at) = (Who(program), At(program, fault.ip));
    match fault.vector {
        PAGE_FAULT => {
            let access = if fault.error_code & PF_INSTR != 0 {
                "exec"
            } else if fault.error_code & PF_WRITE != 0 {
                "write"
            } else {
                "read"
            };
            let why = if fault.error_code & PF_PK != 0 {
                "key"
            } else if fault.error_code & PF_PROT != 0 {
                "protection"
            } else {
                "not mapped"
            };
            pr_err!(
                "{}: {} of {:#018x} ({}) at {}; stopped\n",
                who,
                access,
                fault.addr,
                why,
                at
            );
        }
        PROTECTION | STACK_FAULT => {
            let access = if fault.error_code & PF_WRITE != 0 {
                "write"
            } else {
                "read"
            };
            pr_err!(
                "{}: {} of {:#018x} (not canonical) at {}; stopped\n",
                who,
                access,
                fault.addr,
                at
            );
        }
        DOUBLE_FAULT => pr_err!("{}: stack pointer lost at {}; stopped\n", who, at),
        // Found by another CPU, wherever it was.
        BUDGET if fault.ip == 0 => pr_err!("{}: ran too long; stopped\n", who),
        BUDGET => pr_err!("{}: ran too long at {}; stopped\n", who, at),
        BAD_RETURN => pr_err!("{}: interrupt frame forged at {}; stopped\n", who, at),
        DIVIDE | BREAKPOINT | OVERFLOW | INVALID_OPCODE => {
            pr_err!("{}: exception {} at {}; stopped\n", who, fault.vector, at)
        }
        vector => pr_err!("{}: exception {} at {}; stopped\n", who, vector, at),
    }
}

/// A helper call whose audit failed.
pub fn bad_call(run: &Run<'_>, site: Site<'_>, error: &AuditError) {
    let program = run.program;
    if !stop(program, site.ip(), 0, 0x100 + u32::from(error.arg)) {
        return;
    }
    let name = match site.helper() {
        EXT => "a function that another program may take the place of",
        TRACED => "a function that other programs may trace",
        id => table::contract(id).map_or("?", |contract| contract.name),
    };
    let why = match error.why {
        Why::Refused => "is of a helper it may not call",
        Why::Context => "is not its context",
        Why::NotItsMap => "is not a map of the program",
        Why::MapType => "is a map of another type",
        Why::Memory => "is memory outside of the program",
        Why::ReadOnly => "is memory it may only read",
        Why::Function => "is no function of the program to call back",
        Why::CalledBack => "may not be gone on in by a function that helpers call",
        Why::Depth => "is called back from too many callbacks in one another",
        Why::Stack => "is called back where too little is left of the kernel's stack",
        Why::ReadOnlyMap => "is a map it may only read",
        Why::Size => "is out of range",
        Why::NotHeld => "is nothing that it holds",
        Why::Holds => "is one more than it can hold",
        Why::NoLock => "is no lock of a value of its maps",
        Why::NoTimer => "is no timer of a value of its maps",
        Why::NoStorage => "is a map of which the cgroup has no value here",
        Why::Taken => "is a lock that an interrupt cannot wait for",
        Why::NoContext => {
            pr_err!(
                "{}: {} at {}, where a timer has called it and there is no packet; stopped\n",
                Who(program),
                name,
                At(program, site.ip())
            );
            return;
        }
        Why::Locked => {
            pr_err!(
                "{}: helper {} called with a lock held at {}; stopped\n",
                Who(program),
                name,
                At(program, site.ip())
            );
            return;
        }
        Why::Contract => "has no contract",
    };
    pr_err!(
        "{}: helper {} argument {} {} at {}; stopped\n",
        Who(program),
        name,
        error.arg + 1,
        why,
        At(program, site.ip())
    );
}

/// Whether the log may say what was not done for a program: once for each, and not too often
/// for all of them.
fn tell_once(program: &Program) -> bool {
    !program.told.load(Ordering::Relaxed)
        && program.by.may_log()
        && !program.told.swap(true, Ordering::Relaxed)
}

/// A call that was not made: it would have broken the packet.  Once for each program,
/// and not too often for all of them.
pub fn kept(run: &Run<'_>, site: Site<'_>, contract: &Contract, why: geometry::Why, ret: i64) {
    let program = run.program;
    if !tell_once(program) {
        return;
    }
    pr_info!(
        "{}: {} at {} got {}: the packet would have {}; see kept_packets in debugfs, docs/support.md\n",
        Who(program),
        contract.name,
        At(program, site.ip()),
        ret,
        why.text()
    );
}

/// What was not printed.  Once for each program, and not too often for all of them.
pub fn not_printed(run: &Run<'_>, site: Site<'_>, contract: &Contract, what: &str, ret: i64) {
    let program = run.program;
    if !tell_once(program) {
        return;
    }
    pr_info!(
        "{}: {} at {} got {}: it was to print {}; see refused_prints in debugfs, docs/support.md\n",
        Who(program),
        contract.name,
        At(program, site.ip()),
        ret,
        what
    );
}

/// A record that was not reserved.  Once for each program, and not too often for all of them.
pub fn not_reserved(run: &Run<'_>, site: Site<'_>, size: u32) {
    let program = run.program;
    if !tell_once(program) {
        return;
    }
    pr_info!(
        "{}: ringbuf_reserve_dynptr at {} got {}: {} bytes are more than {}; see refused_records in debugfs, docs/support.md\n",
        Who(program),
        At(program, site.ip()),
        E2BIG,
        size,
        program.record
    );
}

/// A helper left a packet that the kernel cannot take, against all expectations.
pub fn misshapen(run: &Run<'_>, site: Site<'_>, contract: &Contract, why: geometry::Why) {
    let program = run.program;
    if !stop(program, site.ip(), 0, 0x300) {
        return;
    }
    pr_err!(
        "{}: {} at {} broke the packet: it has {}; stopped\n",
        Who(program),
        contract.name,
        At(program, site.ip()),
        why.text()
    );
}

/// The program ended, and had not given back all that it had been given.
pub fn held_on(program: &Program, held: u64) {
    if stop(program, 0, 0, 0x500) {
        pr_err!(
            "{}: came to its end with {} references, records or locks; stopped\n",
            Who(program),
            held
        );
    }
}

/// A return to nowhere: only forged control flow gets there.
pub fn no_return(run: &Run<'_>) {
    if stop(run.program, 0, 0, 0x200) {
        pr_err!(
            "{}: return to an unknown place; stopped\n",
            Who(run.program)
        );
    }
}

/// More values that differ than a run can have copies of.
pub fn too_many(program: &Program) {
    if stop(program, 0, 0, 0x500) {
        pr_err!(
            "{}: looked up more than {} entries of devmaps in one run; stopped\n",
            Who(program),
            COPIES
        );
    }
}

/// More sockets than a run can have that it does not give back.
pub fn too_many_sockets(program: &Program) {
    if stop(program, 0, 0, 0x500) {
        pr_err!(
            "{}: asked for more sockets that nobody gives back than it can have in one run; stopped\n",
            Who(program)
        );
    }
}

/// Packets that it sent came back to it for too long, again.
pub fn kept_on(program: &Program) {
    if stop(program, 0, 0, 0x400) {
        pr_err!(
            "{}: the packets that it sends came back to it for too long once more; stopped\n",
            Who(program)
        );
    }
}

/// A packet that it may not send.
pub fn not_sent(program: &Program) {
    if !program.loops_told.swap(true, Ordering::Relaxed) && program.by.may_log() {
        pr_err!(
            "{}: redirect refused: programs have sent this packet on for longer than kernel.moat.budget\n",
            Who(program)
        );
    }
}

/// Tells why an image is refused, which only a JIT that this module does not know, or that
/// is wrong, makes.  Returns the error for that.
pub fn bad_image(program: &Program, image: u32, (at, what): Found) -> i32 {
    moat_refused.fetch_add(1, Ordering::Relaxed);
    let who = Who(program);
    let say = |what: fmt::Arguments<'_>| {
        if program.by.may_log() {
            pr_err!(
                "{}: refused: its image has {} at {}, which the JIT should not have made\n",
                who,
                what,
                Place(image as usize, at as u64)
            );
        }
    };
    match what {
        Bad::Undecodable => say(format_args!("what is no instruction")),
        Bad::Holds(name) => say(format_args!("{}", name)),
        Bad::Prefixed => say(format_args!("a jump with a prefix")),
        Bad::Astray(to) => say(format_args!("a jump out of the program, to {:#x},", to)),
        Bad::Between => say(format_args!("no instruction where a jump leads,")),
        Bad::RunsOn => say(format_args!("an end that is no jump")),
    }
    -(bindings::EINVAL as i32)
}
