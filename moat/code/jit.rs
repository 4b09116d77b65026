// SPDX-License-Identifier: GPL-2.0
//! What the JIT asks of the module.
//!
//! C header: [`include/linux/moat.h`], `struct moat_ops`.  Context: process; the thread that
//! loads the program.

#![forbid(unsafe_code)]

use super::image::{enter_gate, Call};
use super::loading::Loading;
use super::sites;
use crate::admin::report;
use crate::edge::code::Image;
use crate::edge::ffi::{self, addr, moat_jit, moat_jit_caller};
use crate::edge::given::Out;
use crate::edge::prog::Isolated;
use crate::run::program::Program;
use core::ffi::{c_int, c_void};
use kernel::bindings;

/// What an attempt ends in that has to tell the kernel a negative error.
type Coded<T> = core::result::Result<T, c_int>;
const NOMEM: c_int = -(bindings::ENOMEM as c_int);

/// The places in gates that entry code has to know.
pub fn addresses() -> ffi::moat_gates {
    let [site_open, site_commit, site_jmp] = sites::labels();
    ffi::moat_gates {
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
        callback_commit: addr(ffi::moat_callback_commit),
        callback_jmp: addr(ffi::moat_callback_jmp),
        callback_jmp_end: addr(ffi::moat_callback_jmp_end),
        stop: addr(ffi::moat_stop),
        site_open,
        site_commit,
        site_jmp,
    }
}

/// Does `what` with the program behind `prog` and what the JIT has told of it.
fn with_loading<R>(
    prog: Isolated<'_>,
    what: impl FnOnce(&Program, &mut Loading) -> Coded<R>,
) -> Coded<R> {
    let program = prog.program();
    let done = program.loading.enter(|loading| {
        let result = what(program, loading);
        result.map_err(|errno| failed(loading, errno))
    });
    // Only one thread compiles a program.
    done.unwrap_or(Err(-(bindings::EBUSY as c_int)))
}

/// Takes note of an error, for `error`; returns it.
fn failed(loading: &mut Loading, errno: c_int) -> c_int {
    if loading.failed.is_none() && errno == NOMEM {
        report::count_no_memory();
    }
    *loading.failed.get_or_insert(errno)
}

/// `moat_ops.jit_gates`
pub fn gates(prog: Isolated<'_>, jit: Out<'_, moat_jit>) {
    let program = prog.program();
    jit.set(moat_jit {
        domain: program.gates.as_ptr().cast(),
        enter: enter_gate(program) as *const c_void,
        ret: ffi::moat_return as *const c_void,
        exit: ffi::moat_exit as *const c_void,
    });
}

/// Where a call goes on, as the JIT tells it.
fn ret_of(ip: u64, frame: u32) -> ffi::moat_return_t {
    ffi::moat_return_t {
        ip,
        frame: frame.into(),
    }
}

/// `moat_ops.jit_site`
pub fn site(prog: Isolated<'_>, n: u32, func: u64, map: u32, ret: u64, frame: u32) -> c_int {
    let (image, _) = prog.aux().function();
    let added = with_loading(prog, |program, loading| {
        let call = Call { func, map };
        loading.add_site(program, *prog, (image, n), call, ret_of(ret, frame))
    });
    added.map_or_else(|errno| errno, |entry| entry as c_int)
}

/// `moat_ops.jit_return`
pub fn local_call(prog: Isolated<'_>, n: u32, func: u32, ret: u64, frame: u32) -> u32 {
    let (image, _) = prog.aux().function();
    let added = with_loading(prog, |program, loading| {
        loading.add_return(program, (image, n), func, ret_of(ret, frame))
    });
    // `done` will say what failed; and this is a number no program has.
    added.unwrap_or(u32::MAX >> 1)
}

/// `moat_ops.jit_caller`
pub fn caller(prog: Isolated<'_>, n: u32, caller: Out<'_, moat_jit_caller>) -> u32 {
    let (image, _) = prog.aux().function();
    let found = with_loading(prog, |_, loading| Ok(loading.caller(image, n)));
    match found {
        Ok(Some((number, ip))) => {
            caller.set(moat_jit_caller {
                ret: ip as *const c_void,
                number,
            });
            1
        }
        _ => 0,
    }
}

/// `moat_ops.jit_error`
pub fn error(prog: Isolated<'_>) -> c_int {
    let failed = with_loading(prog, |_, loading| Ok(loading.failed));
    failed.map_or_else(|errno| errno, |failed| failed.unwrap_or(0))
}

/// Whether the entry stub of `image` leaves for the gate `enter`: by a jump, or by a call if
/// it has registers to restore.
fn enters_gate(image: &Image<'_>, enter: u64) -> bool {
    match image.stub.get(..image.entered) {
        Some([.., 0xe8 | 0xe9, a, b, c, d]) => {
            let offset = i32::from_le_bytes([*a, *b, *c, *d]);
            let behind = image.start - (image.stub.len() - image.entered) as u64;
            behind.wrapping_add(offset as u64) == enter
        }
        _ => false,
    }
}

/// `moat_ops.jit_done`.  The entry stub of the main image runs with kernel rights and is no
/// part of what the program may come back to.
pub fn done(prog: Isolated<'_>, image: Image<'_>) -> c_int {
    let function = prog.aux().function();
    let added = with_loading(prog, |program, loading| {
        if let Some(errno) = loading.failed {
            return Err(errno);
        }
        if function.0 == 0 && !enters_gate(&image, enter_gate(program)) {
            return Err(-(bindings::EINVAL as c_int));
        }
        loading.add_image(program, function, image)
    });
    added.map_or_else(|errno| errno, |()| 0)
}
