// SPDX-License-Identifier: GPL-2.0
//! What the BPF core asks of the module; what the JIT does is in `code/jit.rs`.
//!
//! C header: [`include/linux/moat.h`], `struct moat_ops`.  Context: process.

#![forbid(unsafe_code)]

use crate::admin::report;
use crate::admin::sysctl;
use crate::edge::candidate::{Candidate, Found};
use crate::edge::lock::Locked;
use crate::edge::maps::{Gone, Map};
use crate::edge::plan::{CalledWith, Plan};
use crate::edge::prog::{Isolated, Kind, Mine, Prog};
use crate::helpers::table;
use crate::load;
use crate::load::calls::Calls;
use crate::load::reason::{Failure, Reason, Subject, Tried};
use crate::prog_types::{ProgType, SECCOMP, SOCKET_FILTER};
use crate::run::program::UsedMap;
use core::ffi::c_int;
use kernel::bindings;
use kernel::prelude::*;

const NOMEM: c_int = -(bindings::ENOMEM as c_int);
const INVAL: c_int = -(bindings::EINVAL as c_int);

/// `moat_ops.begin`
pub fn begin(mut prog: Mine<'_>, kind: Option<Kind>) -> c_int {
    // A classic filter has no type.
    let (ty, classic) = match kind {
        Some(Kind::Extended) => (prog.resolved_type(), false),
        Some(Kind::ClassicSkb) => (SOCKET_FILTER, true),
        Some(Kind::ClassicSeccomp) => (SECCOMP, true),
        None => return INVAL,
    };
    let level = match sysctl::level(ty) {
        Some(level) => level,
        None => return 0,
    };
    let begun = match classic && sysctl::confined() {
        true => load::confine(ty).map(|id| prog.store_confined(id)),
        false => {
            let program = load::candidate(prog.keep_aux(), ty, level);
            program.map(|mut program| {
                if prog.is_extension() {
                    program.gates.edit().flags |= bindings::MOAT_DOM_EXT;
                }
                prog.store_candidate(program)
            })
        }
    };
    match begun {
        Some(()) => 0,
        None => {
            report::count_no_memory();
            NOMEM
        }
    }
}

/// What the kernel has found, as a reason.
fn reason_of(found: Found<'_>) -> Reason {
    let contract = match found.helper {
        0 => None,
        id => table::contract(id),
    };
    let why = contract.and_then(|contract| contract.refused);
    let subject = match (contract, found.map, found.func) {
        (Some(contract), ..) => Subject::Helper(contract.name),
        (_, Some(map), _) => report::subject(map),
        (.., Some(func)) => Subject::Function(func),
        _ => Subject::Program,
    };
    Reason {
        insn: found.insn,
        subject,
        why: why.unwrap_or(found.text),
    }
}

/// What the program needs of what is known, or why it cannot be isolated.
type Known<'a> = (Plan, Tried<Calls>, Vec<Map<'a>>);

fn known<'a>(candidate: &mut Candidate<'a>, row: &ProgType) -> Tried<Known<'a>> {
    if let Some(found) = candidate.take_found() {
        return Err(Failure::Refused(reason_of(found)));
    }
    let maps = candidate.maps()?;
    // There is one if there is no reason.
    let plan = candidate.take_plan().unwrap_or_else(Plan::none);
    let calls = match plan.classic {
        true => Ok(Calls::default()),
        false => {
            let ty = (row, plan.called_with == CalledWith::NoContext);
            Calls::check(candidate.prog().insns(), ty, |i| candidate.kfunc(i))
        }
    };
    Ok((plan, calls, maps))
}

/// `moat_ops.admit`
pub fn admit(mut candidate: Candidate<'_>) -> c_int {
    let prog = candidate.prog();
    let program = match candidate.take() {
        Some(program) => program,
        // `begin` made no candidate of it.
        None => return 0,
    };
    let (refs, record) = candidate.most();
    let facts = load::Facts {
        attach_type: prog.expected_attach_type(),
        stack_depth: prog.aux().stack_depth(),
        refs,
        record,
        callbacks: candidate.callbacks(),
    };
    let (program, admitted) = match known(&mut candidate, program.row) {
        Ok((plan, calls, maps)) => load::admit(program, plan, calls, facts, &maps),
        Err(why) => (load::Loaded::new(program), Err(why)),
    };
    let mut why = match admitted {
        Ok(()) => {
            candidate.admit(program);
            return 1;
        }
        Err(why) => why,
    };
    if let Failure::Refused(Reason {
        insn: Some(insn), ..
    }) = &mut why
    {
        *insn = candidate.insn_number(*insn);
    }
    let told = report::not_isolated(&program, prog, candidate.log(), &why);
    load::release(program);
    told
}

/// `moat_ops.release`
pub fn release(mut prog: Mine<'_>) {
    if let Some(program) = prog.take() {
        load::release(program);
    }
    if let Some(id) = prog.take_confined() {
        load::forget(id);
    }
}

/// `moat_ops.direct_value`.  The program may be running while it is dumped.
pub fn direct_value(prog: Isolated<'_>, map: Option<Map<'_>>, off: u32) -> u64 {
    let is = |used: &&UsedMap| map.map(Map::addr) == Some(used.info.kernel);
    let used = prog.program().own_maps().iter().find(is);
    match used.and_then(|used| used.values) {
        Some(values) => values.base + u64::from(off),
        // A null pointer stops the program if it is ever used.
        None => 0,
    }
}

/// `moat_ops.extend`.  Who traces `ext` sees that it is called, too.
pub fn extend(func: Isolated<'_>, ext: Option<Prog<'_>>) {
    let (image, _) = func.aux().function();
    let (entry, domain) = ext.map_or((0, 0), |ext| {
        let domain = ext.isolated().map(|ext| ext.program().gates.as_ptr());
        (ext.entry(), domain.map_or(0, |domain| domain as u64))
    });
    func.program().gates.extend(image, entry, domain);
}

/// `moat_ops.trace`
pub fn trace(func: Isolated<'_>, enter: u64, leave: u64) {
    let (image, _) = func.aux().function();
    func.program().gates.trace(image, enter, leave);
}

/// `moat_ops.inner_begin`
pub fn inner_begin(outer: Option<Map<'_>>, inner: Option<Map<'_>>) -> c_int {
    let (outer, inner) = match outer.zip(inner) {
        Some(maps) => maps,
        None => return NOMEM,
    };
    let begun = Locked::take().inner_begin(outer, inner);
    match begun {
        Ok(()) => 0,
        Err(why) => report::not_put(outer, &why),
    }
}

/// `moat_ops.inner_end`
pub fn inner_end(outer: Option<Map<'_>>, gone: Gone) {
    if let Some(outer) = outer {
        Locked::take().inner_end(outer, gone);
    }
}

/// `moat_ops.map_grown`
pub fn map_grown(map: Option<Map<'_>>, first: u64, nr: u64) -> c_int {
    let grown = map.map_or(Ok(()), |map| Locked::take().map_grown(map, first, nr));
    match grown {
        Ok(()) => 0,
        Err(_) => NOMEM,
    }
}
