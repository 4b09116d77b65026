// SPDX-License-Identifier: GPL-2.0
//! What the BPF core and the JIT ask of the module.
//!
//! C header: [`include/linux/moat.h`], `struct moat_ops`.

use crate::code::image::enter_gate;
use crate::code::loading::Loading;
use crate::code::sites;
use crate::edge::fixed::Fixed;
use crate::edge::lock::Locked;
use crate::edge::maps::{Gone, Map};
use crate::edge::memory::text;
use crate::ffi::{self, addr, moat_jit, moat_jit_image};
use crate::helpers::contract::SOCKET_FILTER;
use crate::helpers::table;
use crate::load;
use crate::load::calls::Calls;
use crate::policy;
use crate::prog_types;
use crate::program::Program;
use crate::reason::{Failure, Reason, Subject, Text, Tried};
use crate::report;
use crate::sends;
use crate::show;
use crate::violation;
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use kernel::bindings::{self, bpf_map, bpf_prog, moat_candidate};
use kernel::prelude::*;

/// What an attempt ends in that has to tell the kernel a negative error.
type Coded<T> = core::result::Result<T, c_int>;
const NOMEM: c_int = -(bindings::ENOMEM as c_int);

/// The table of hooks, as the kernel has it.
struct Ops(bindings::moat_ops);

// SAFETY: functions, and the module, which are the same everywhere.
unsafe impl Send for Ops {}
// SAFETY: as above; nobody changes it.
unsafe impl Sync for Ops {}

static OPS: Fixed<Ops> = Fixed::new();

/// The registered hooks; gone when dropped, which the kernel allows only once no
/// isolated program is left.
pub struct Hooks(());

impl Hooks {
    /// Context: module initialisation.
    pub fn register() -> Result<Hooks> {
        let [site_open, site_commit, site_jmp] = sites::labels();
        let gates = ffi::moat_gates {
            ret: addr(ffi::moat_return),
            ret_open: addr(ffi::moat_return_open),
            ret_commit: addr(ffi::moat_return_commit),
            ret_jmp: addr(ffi::moat_return_jmp),
            ret_jmp_end: addr(ffi::moat_return_jmp_end),
            exit: addr(ffi::moat_exit),
            exit_open: addr(ffi::moat_exit_open),
            enter_commit: addr(ffi::moat_enter_commit),
            enter_jmp: addr(ffi::moat_enter_jmp),
            enter_jmp_end: addr(ffi::moat_enter_jmp_end),
            view_commit: addr(ffi::moat_view_commit),
            view_jmp: addr(ffi::moat_view_jmp),
            view_jmp_end: addr(ffi::moat_view_jmp_end),
            stop: addr(ffi::moat_stop),
            site_open,
            site_commit,
            site_jmp,
        };
        // SAFETY: module initialisation.
        let err = unsafe { bindings::moat_arch_enable(&gates) };
        if err != 0 {
            let why = match -err as u32 {
                bindings::ENODEV => "this CPU has no supervisor protection keys (PKS), or no SMAP",
                bindings::EOPNOTSUPP => "page table isolation is on; boot with nopti",
                _ => "no memory",
            };
            pr_err!("not loaded: {}\n", why);
            return Err(Error::from_errno(err));
        }
        OPS.set(Ops(bindings::moat_ops {
            // SAFETY: it only returns an address.
            owner: unsafe { ffi::moat_shim_module() },
            begin: Some(begin),
            admit: Some(admit),
            attach: Some(report::attach),
            direct_value: Some(direct_value),
            release: Some(release),
            jit_gates: Some(jit_gates),
            jit_site: Some(jit_site),
            jit_return: Some(jit_return),
            jit_done: Some(jit_done),
            jit_error: Some(jit_error),
            violation: Some(violation::fault),
            inner_begin: Some(inner_begin),
            inner_end: Some(inner_end),
            send: Some(sends::send),
            show: Some(show::program),
        }));
        // SAFETY: module initialisation; the table is not written afterwards.
        let err = unsafe { bindings::moat_register(ops()) };
        if err != 0 {
            // SAFETY: nothing is isolated yet.
            unsafe { bindings::moat_arch_disable() };
            return Err(Error::from_errno(err));
        }
        Ok(Hooks(()))
    }
}

fn ops() -> *const bindings::moat_ops {
    OPS.get().map_or(core::ptr::null(), |ops| &ops.0)
}

impl Drop for Hooks {
    fn drop(&mut self) {
        // SAFETY: isolated programs hold the module, so there is none.
        unsafe {
            bindings::moat_unregister(ops());
            bindings::moat_arch_disable();
        }
    }
}

/// What to treat `prog` as.  A classic filter has no type of its own:
/// `bpf_prog_was_classic()`.
fn type_of(prog: &bpf_prog) -> u32 {
    match prog.type_ {
        0 => SOCKET_FILTER,
        ty => ty,
    }
}

/// What `begin` stored with `prog`.
///
/// # Safety
///
/// `prog` is a candidate or isolated.
unsafe fn stored(prog: *const bpf_prog) -> *mut Program {
    // SAFETY: by contract of this function; every program has an aux.
    unsafe { (*(*prog).aux).moat as *mut Program }
}

/// Does `what` with the program behind `prog`.
///
/// # Safety
///
/// `prog` is isolated, and not released meanwhile.
unsafe fn with<R>(prog: *const bpf_prog, what: impl FnOnce(&Program) -> R) -> R {
    // SAFETY: alive by contract of this function.  Who admitted it is done with the
    // exclusive reference, and nobody makes another.
    what(unsafe { &*stored(prog) })
}

unsafe extern "C" fn begin(prog: *mut bpf_prog) -> c_int {
    // SAFETY: a program being loaded.
    let prog = unsafe { &*prog };
    let ty = type_of(prog);
    // Only a type with a row has a level.
    let (row, level) = match (prog_types::find(ty), policy::level(ty)) {
        (Some(row), Some(level)) => (row, level),
        _ => return 0,
    };
    match load::candidate(prog.aux, row, level) {
        Some(program) => {
            // SAFETY: every program has an aux.
            unsafe { (*prog.aux).moat = Box::into_raw(program).cast() };
            0
        }
        None => {
            report::count_no_memory();
            NOMEM
        }
    }
}

/// What the kernel has found.
///
/// # Safety
///
/// What `candidate` leads to is the kernel's.
unsafe fn reason_of(candidate: &moat_candidate) -> Option<Reason> {
    let reason = &candidate.reason;
    if reason.text.is_null() {
        return None;
    }
    // SAFETY: constants of the kernel, BTF and a map, which are there for the call.
    unsafe {
        let contract = match reason.helper {
            0 => None,
            id => table::contract(id),
        };
        let why = contract.and_then(|contract| contract.refused);
        let subject = match (contract, reason.map.as_ref(), reason.func.is_null()) {
            (Some(contract), ..) => Subject::Helper(contract.name),
            (_, Some(map), _) => Subject::Map {
                name: Text::new(map.name.map(|c| c as u8)),
                ty: map.map_type,
                inside: false,
            },
            (.., false) => Subject::Function(Text::new(text(reason.func).bytes())),
            _ => Subject::Program,
        };
        Some(Reason {
            insn: u32::try_from(reason.insn).ok(),
            subject,
            why: why.unwrap_or_else(|| text(reason.text)),
        })
    }
}

/// The instructions of `prog`.
fn insns(prog: &bpf_prog) -> &[bindings::bpf_insn] {
    // SAFETY: `len` instructions follow the structure, and are as constant as it is.
    unsafe {
        core::slice::from_raw_parts(
            prog.__bindgen_anon_1
                .__bindgen_anon_2
                .as_ref()
                .insnsi
                .as_ptr(),
            prog.len as usize,
        )
    }
}

/// The maps that a candidate names.
///
/// # Safety
///
/// What `candidate` leads to is the kernel's.
unsafe fn maps_of(candidate: &moat_candidate) -> Tried<Vec<Map<'_>>> {
    let mut maps = Vec::new();
    for i in 0..candidate.nr_maps as usize {
        // SAFETY: the verifier's array of so many maps, which it has references on.
        if let Some(map) = unsafe { Map::new(*candidate.maps.add(i)) } {
            maps.try_push(map).map_err(|_| Failure::NoMemory)?;
        }
    }
    Ok(maps)
}

/// # Safety
///
/// As of [`load::admit`]; what `candidate` leads to is the kernel's.
unsafe fn try_to_admit(candidate: &moat_candidate, this: *mut Program) -> Tried<()> {
    // SAFETY: by contract of this function; a plan is there if no reason is.
    unsafe {
        if let Some(reason) = reason_of(candidate) {
            return Err(Failure::Refused(reason));
        }
        let (prog, plan) = (&*candidate.prog, &*candidate.plan);
        let maps = maps_of(candidate);
        let calls = match maps {
            // The plan is ours to free, so that `admit` has to have it.
            Err(_) => Err(Failure::NoMemory),
            Ok(_) if plan.classic => Ok(Calls::default()),
            Ok(_) => Calls::check(insns(prog), (*this).row),
        };
        let facts = load::Facts {
            attach_type: prog.expected_attach_type,
            stack_depth: (*prog.aux).stack_depth,
        };
        let maps = maps.as_ref().map_or(&[][..], |maps| maps);
        load::admit(this, plan, calls, facts, maps)
    }
}

unsafe extern "C" fn admit(candidate: *const moat_candidate) -> c_int {
    // SAFETY: the kernel's; valid for the call, and a candidate that `begin` has seen.
    let (candidate, this) = unsafe { (&*candidate, stored((*candidate).prog)) };
    // SAFETY: `begin` made it of a box, and nobody else has it yet.
    let mut why = match unsafe { try_to_admit(candidate, this) } {
        Ok(()) => return 1,
        Err(why) => why,
    };
    let mut log = null_mut();
    if !candidate.env.is_null() {
        if let Failure::Refused(Reason {
            insn: Some(insn), ..
        }) = &mut why
        {
            // SAFETY: the verifier's, and the index of one of its instructions.
            *insn = unsafe { ffi::moat_shim_insn_number(candidate.env, *insn) };
        }
        // SAFETY: the verifier's.
        log = unsafe { ffi::moat_shim_log_of(candidate.env) };
    }
    // SAFETY: the verifier's log, or none; then a candidate with no run and no image.
    unsafe {
        let ret = report::not_isolated(&*this, &*candidate.prog, log, &why);
        release(candidate.prog);
        ret
    }
}

unsafe extern "C" fn release(prog: *mut bpf_prog) {
    // SAFETY: `begin` made it of a box; nobody else has it any more, and it does not run.
    unsafe {
        let program = stored(prog);
        (*(*prog).aux).moat = null_mut();
        load::release(program);
    }
}

unsafe extern "C" fn direct_value(prog: *mut bpf_prog, map: *mut bpf_map, off: u32) -> u64 {
    let find = |program: &Program| {
        let maps = program.own_maps();
        let used = maps.iter().find(|used| used.info.kernel == map as u64);
        used.and_then(|used| used.values)
    };
    // SAFETY: an isolated program, perhaps running while it is dumped.
    match unsafe { with(prog, find) } {
        Some(values) => values.base + u64::from(off),
        // A null pointer stops the program if it is ever used.
        None => 0,
    }
}

unsafe extern "C" fn inner_begin(outer: *mut bpf_map, inner: *mut bpf_map) -> c_int {
    // SAFETY: the kernel holds both for the call.
    let maps = unsafe { Map::new(outer).zip(Map::new(inner)) };
    let begun = match maps {
        Some((outer, inner)) => Locked::take().inner_begin(outer, inner),
        None => return NOMEM,
    };
    match begun {
        Ok(()) => 0,
        // SAFETY: the kernel holds the map.
        Err(why) => unsafe { report::not_put(outer, &why) },
    }
}

unsafe extern "C" fn inner_end(outer: *mut bpf_map, gone: *mut bindings::llist_node) {
    // SAFETY: the kernel holds the map for the call, and the list is for us.
    unsafe {
        if let Some(outer) = Map::new(outer) {
            Locked::take().inner_end(outer, Gone::new(gone));
        }
    }
}

/// Does `what` with the program behind `prog` and what the JIT has told of it.
///
/// # Safety
///
/// `prog` is an isolated program that is being compiled.
unsafe fn with_loading<R>(
    prog: *const bpf_prog,
    what: impl FnOnce(&Program, &mut Loading) -> Coded<R>,
) -> Coded<R> {
    let hook = |program: &Program| {
        let done = program.loading.enter(|loading| {
            let result = what(program, loading);
            result.map_err(|errno| failed(loading, errno))
        });
        // Only one thread compiles a program.
        done.unwrap_or(Err(-(bindings::EBUSY as c_int)))
    };
    // SAFETY: by contract of this function.
    unsafe { with(prog, hook) }
}

/// Takes note of an error, for `jit_error`; returns it.
fn failed(loading: &mut Loading, errno: c_int) -> c_int {
    if loading.failed.is_none() && errno == NOMEM {
        report::count_no_memory();
    }
    *loading.failed.get_or_insert(errno)
}

unsafe extern "C" fn jit_gates(prog: *mut bpf_prog, jit: *mut moat_jit) {
    let gates = |program: &Program| moat_jit {
        domain: program.gates.as_ptr().cast(),
        enter: enter_gate(program) as *const c_void,
        ret: ffi::moat_return as *const c_void,
        exit: ffi::moat_exit as *const c_void,
    };
    // SAFETY: an isolated program being compiled, and the JIT's variable.
    unsafe { *jit = with(prog, gates) };
}

/// Where a call goes on, as the JIT tells it.
fn ret_of(ip: *const c_void, frame: u32) -> ffi::moat_return_t {
    ffi::moat_return_t {
        ip: ip as u64,
        frame: frame.into(),
    }
}

unsafe extern "C" fn jit_site(
    prog: *mut bpf_prog,
    n: u32,
    func: *const c_void,
    ret: *const c_void,
    frame: u32,
) -> c_int {
    // SAFETY: an isolated program being compiled.
    let added = unsafe {
        let name = ((*(*prog).aux).func_idx, n);
        with_loading(prog, |program, loading| {
            loading.add_site(program, &*prog, name, func, ret_of(ret, frame))
        })
    };
    added.map_or_else(|errno| errno, |entry| entry as c_int)
}

unsafe extern "C" fn jit_return(
    prog: *mut bpf_prog,
    n: u32,
    ret: *const c_void,
    frame: u32,
) -> u32 {
    // SAFETY: an isolated program being compiled.
    let added = unsafe {
        let name = ((*(*prog).aux).func_idx, n);
        with_loading(prog, |program, loading| {
            loading.add_return(program, name, ret_of(ret, frame))
        })
    };
    // `jit_done` will say what failed; and this is a number no program has.
    added.unwrap_or(u32::MAX >> 1)
}

unsafe extern "C" fn jit_error(prog: *const bpf_prog) -> c_int {
    // SAFETY: an isolated program that was being compiled.
    let failed = unsafe { with_loading(prog, |_, loading| Ok(loading.failed)) };
    failed.map_or_else(|errno| errno, |failed| failed.unwrap_or(0))
}

/// Whether an entry stub ends in a jump to the gate `enter`.
fn enters_gate(stub: &[u8], body: u64, enter: u64) -> bool {
    match stub {
        [.., 0xe9, a, b, c, d] => {
            let offset = i32::from_le_bytes([*a, *b, *c, *d]);
            body.wrapping_add(offset as u64) == enter
        }
        _ => false,
    }
}

unsafe extern "C" fn jit_done(prog: *mut bpf_prog, done: *const moat_jit_image) -> c_int {
    // SAFETY: an isolated program just compiled: `len` bytes at `rw_image`, which
    // will be at `image`, and its sites behind, which are ours to write. The entry stub of
    // the main image runs with kernel rights and is no part of what the program may come
    // back to.
    let added = unsafe {
        let (done, aux) = (&*done, &*(*prog).aux);
        let code = core::slice::from_raw_parts(done.rw_image as *const u8, done.len as usize);
        let (stub, code) = code.split_at(done.body as usize);
        let start = done.image as u64 + stub.len() as u64;
        let sites = core::slice::from_raw_parts_mut(
            done.rw_sites as *mut [u8; sites::SIZE],
            done.nr_sites as usize,
        );
        with_loading(prog, |program, loading| {
            if let Some(errno) = loading.failed {
                return Err(errno);
            }
            if aux.func_idx == 0 && !enters_gate(stub, start, addr(enter_gate(program))) {
                return Err(-(bindings::EINVAL as c_int));
            }
            loading.add_image(
                program,
                // Without functions of its own it is one image.
                (aux.func_idx, aux.func_cnt.max(1)),
                (start, code),
                (done.sites as u64, sites),
                done.callee_regs,
            )
        })
    };
    added.map_or_else(|errno| errno, |()| 0)
}
