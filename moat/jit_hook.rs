// SPDX-License-Identifier: GPL-2.0
//! What the BPF core and the JIT ask of the module.
//!
//! C header: [`include/linux/moat.h`], `struct moat_ops`.

use crate::domains::domains;
use crate::ffi::{self, addr, moat_jit, moat_jit_image, Lock};
use crate::helpers::table;
use crate::policy;
use crate::program::{type_of, Program};
use crate::reason::{Failure, Reason, Subject, Text};
use crate::report;
use crate::sends;
use crate::show;
use crate::sites;
use crate::violation;
use core::ffi::{c_int, c_void};
use core::ptr::{addr_of, addr_of_mut, null_mut};
use kernel::bindings::{self, bpf_map, bpf_prog, moat_candidate};
use kernel::prelude::*;

const NOMEM: c_int = -(bindings::ENOMEM as c_int);

static mut OPS: core::mem::MaybeUninit<bindings::moat_ops> = core::mem::MaybeUninit::uninit();

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
        // SAFETY: module initialisation; the table is not written afterwards.
        let err = unsafe {
            let ops = &mut *addr_of_mut!(OPS);
            ops.write(bindings::moat_ops {
                owner: ffi::moat_shim_module(),
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
            });
            bindings::moat_register(ops.as_ptr())
        };
        if err != 0 {
            // SAFETY: nothing is isolated yet.
            unsafe { bindings::moat_arch_disable() };
            return Err(Error::from_errno(err));
        }
        Ok(Hooks(()))
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        // SAFETY: isolated programs hold the module, so there is none.
        unsafe {
            bindings::moat_unregister(addr_of!(OPS).cast());
            bindings::moat_arch_disable();
        }
    }
}

/// # Safety
///
/// `prog` is a candidate or isolated.
unsafe fn program<'a>(prog: *const bpf_prog) -> &'a mut Program {
    // SAFETY: `begin` stored a program there; the hooks that change it are called
    // by the one thread that loads or frees the program.
    unsafe { &mut *((*(*prog).aux).moat as *mut Program) }
}

unsafe extern "C" fn begin(prog: *mut bpf_prog) -> c_int {
    // SAFETY: a program being loaded.
    let prog = unsafe { &mut *prog };
    let level = match policy::level(type_of(prog)) {
        Some(level) => level,
        None => return 0,
    };
    match Program::new(prog, level) {
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
            (.., false) => Subject::Function(Text::new(ffi::text(reason.func).bytes())),
            _ => Subject::Program,
        };
        Some(Reason {
            insn: u32::try_from(reason.insn).ok(),
            subject,
            why: why.unwrap_or_else(|| ffi::text(reason.text)),
        })
    }
}

unsafe extern "C" fn admit(candidate: *const moat_candidate) -> c_int {
    // SAFETY: the kernel's; valid for the call.
    let (candidate, prog) = unsafe { (&*candidate, &*(*candidate).prog) };
    // SAFETY: a candidate.
    let this = unsafe { program(prog) };
    // SAFETY: as above.
    let result = match unsafe { reason_of(candidate) } {
        Some(reason) => Err(Failure::Refused(reason)),
        None => {
            let maps = match candidate.nr_maps {
                0 => &[][..],
                // SAFETY: the verifier's array of so many maps.
                n => unsafe { core::slice::from_raw_parts(candidate.maps, n as usize) },
            };
            // SAFETY: valid if there is no reason.
            this.admit(prog, maps, unsafe { &*candidate.plan })
        }
    };
    let mut why = match result {
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
        let ret = report::not_isolated(this, prog, log, &why);
        release(candidate.prog);
        ret
    }
}

unsafe extern "C" fn release(prog: *mut bpf_prog) {
    // SAFETY: `begin` made it of a box; nobody else has it any more.
    unsafe {
        let mut this = Box::from_raw((*(*prog).aux).moat as *mut Program);
        (*(*prog).aux).moat = null_mut();
        this.release();
    }
}

unsafe extern "C" fn direct_value(prog: *mut bpf_prog, map: *mut bpf_map, off: u32) -> u64 {
    // SAFETY: an isolated program, perhaps running while it is dumped.
    let this = unsafe { &*((*(*prog).aux).moat as *const Program) };
    match this.values(map as u64) {
        Some(values) => values.base + u64::from(off),
        // A null pointer stops the program if it is ever used.
        None => 0,
    }
}

unsafe extern "C" fn inner_begin(outer: *mut bpf_map, inner: *mut bpf_map) -> c_int {
    let mut lock = Lock::take();
    match domains(&mut lock).inner_begin(outer, inner) {
        Ok(()) => 0,
        Err(why) => {
            drop(lock);
            // SAFETY: the kernel holds the map.
            unsafe { report::not_put(outer, &why) }
        }
    }
}

unsafe extern "C" fn inner_end(outer: *mut bpf_map, gone: *mut bindings::llist_node) {
    let mut lock = Lock::take();
    domains(&mut lock).inner_end(outer, gone);
}

unsafe extern "C" fn jit_gates(prog: *mut bpf_prog, jit: *mut moat_jit) {
    // SAFETY: an isolated program being compiled.
    unsafe {
        *jit = moat_jit {
            domain: addr_of!(program(prog).dom).cast(),
            enter: program(prog).enter_gate() as *const c_void,
            ret: ffi::moat_return as *const c_void,
            exit: ffi::moat_exit as *const c_void,
        };
    }
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
    unsafe {
        let image = (*(*prog).aux).func_idx;
        let this = program(prog);
        match this.add_site(&*prog, (image, n), func, ret_of(ret, frame)) {
            Ok(entry) => entry as c_int,
            Err(errno) => failed(this, errno),
        }
    }
}

unsafe extern "C" fn jit_return(
    prog: *mut bpf_prog,
    n: u32,
    ret: *const c_void,
    frame: u32,
) -> u32 {
    // SAFETY: an isolated program being compiled.
    unsafe {
        let image = (*(*prog).aux).func_idx;
        let this = program(prog);
        match this.add_return((image, n), ret_of(ret, frame)) {
            Ok(number) => number,
            Err(errno) => {
                // `jit_done` will say so; and this is a number no program has.
                failed(this, errno);
                u32::MAX >> 1
            }
        }
    }
}

/// Takes note of an error, for `jit_error`; returns it.
fn failed(this: &mut Program, errno: c_int) -> c_int {
    if this.failed.is_none() && errno == NOMEM {
        report::count_no_memory();
    }
    *this.failed.get_or_insert(errno)
}

unsafe extern "C" fn jit_error(prog: *const bpf_prog) -> c_int {
    // SAFETY: an isolated program that was being compiled.
    unsafe { program(prog) }.failed.unwrap_or(0)
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
    // will be at `image`, and its sites behind. The entry stub of the main image
    // runs with kernel rights and is no part of what the program may come back to.
    unsafe {
        let (this, done) = (program(prog), &*done);
        if let Some(errno) = this.failed {
            return errno;
        }
        let code = core::slice::from_raw_parts(done.rw_image as *const u8, done.len as usize);
        let (stub, code) = code.split_at(done.body as usize);
        let start = done.image as u64 + stub.len() as u64;
        let aux = &*(*prog).aux;
        if aux.func_idx == 0 && !enters_gate(stub, start, addr(this.enter_gate())) {
            return failed(this, -(bindings::EINVAL as c_int));
        }
        let sites = core::slice::from_raw_parts_mut(
            done.rw_sites as *mut [u8; sites::SIZE],
            done.nr_sites as usize,
        );
        let result = this.add_image(
            // Without functions of its own it is one image.
            (aux.func_idx, aux.func_cnt.max(1)),
            (start, code),
            (done.sites as u64, sites),
            done.callee_regs,
        );
        match result {
            Ok(()) => 0,
            Err(errno) => failed(this, errno),
        }
    }
}
