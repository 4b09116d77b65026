// SPDX-License-Identifier: GPL-2.0
//! What people can see: fdinfo, `programs`, `domains` and `keys` in debugfs.

use crate::balance::Budget;
use crate::domains::domains;
use crate::ffi::{self, Lock};
use crate::keyalloc::State;
use crate::pks::Key;
use crate::policy::Level;
use crate::program::Program;
use crate::reason::Text;
use crate::report;
use crate::sets::Domain;
use core::ffi::{c_int, c_void};
use core::fmt::{self, Write};
use kernel::bindings::{bpf_prog, seq_file};

/// A seq_file to write to.
struct Seq(*mut seq_file);

impl Write for Seq {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: the file is open for as long as this exists.
        unsafe { ffi::moat_shim_seq_write(self.0, text.as_ptr().cast(), text.len()) };
        Ok(())
    }
}

/// `keyed` or `view`.
fn layer(program: &Program) -> &'static str {
    if program.is_keyed() {
        "keyed"
    } else {
        "view"
    }
}

/// The numbers of the programs that use a domain.
struct Users<'a>(&'a Domain);

impl fmt::Display for Users<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, &user) in self.0.users.iter().enumerate() {
            // SAFETY: a program in a list; the lock is held.
            let id = unsafe { (*(*user).aux).id };
            write!(f, "{}{}", if i == 0 { "" } else { "," }, id)?;
        }
        Ok(())
    }
}

/// The numbers of the domains that a program uses.
struct Set<'a>(&'a Program);

impl fmt::Display for Set<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, &domain) in self.0.set.iter().enumerate() {
            // SAFETY: a domain in a set; the lock is held.
            let id = unsafe { (*domain).id };
            write!(f, "{}{}", if i == 0 { "" } else { "," }, id)?;
        }
        Ok(())
    }
}

/// A line of `programs`: `listing.c`.
///
/// # Safety
///
/// `m` is open, `program` listed, and the lock held.
#[no_mangle]
pub unsafe extern "C" fn moat_show_program(m: *mut seq_file, program: *const c_void) {
    // SAFETY: by contract of this function; an aux lives as long as the program.
    let (program, aux) = unsafe {
        let program = &*program.cast::<Program>();
        (program, &*program.aux)
    };
    let mut out = Seq(m);
    // It gets one last of all, and classic filters none.
    let _ = match aux.id {
        0 => out.write_str("-"),
        id => write!(out, "{}", id),
    };
    let name = Text::new(aux.name.iter().map(|&c| c as u8));
    let _ = writeln!(
        out,
        " {} {} {} {} {} {} {} {}[{}]",
        report::type_name(program.ty),
        if name.is_empty() { "-" } else { name.as_str() },
        match program.level {
            Level::Integrity => 1,
            Level::Confidentiality => 2,
        },
        layer(program),
        Set(program),
        program.runs(),
        if program.is_dead() { "stopped" } else { "live" },
        Text::new(program.by.comm),
        program.by.pid
    );
}

/// `moat_ops.show`: two lines of fdinfo.
///
/// # Safety
///
/// `prog` is isolated and held by the caller, `m` open.
pub unsafe extern "C" fn program(prog: *mut bpf_prog, m: *mut seq_file) {
    let _lock = Lock::take();
    // SAFETY: by contract of this function; the set only changes under the lock.
    let program = unsafe { &*((*(*prog).aux).moat as *const Program) };
    let mut out = Seq(m);
    let _ = writeln!(
        out,
        "moat_layer:\t{}\nmoat_domains:\t{}",
        layer(program),
        Set(program)
    );
}

/// One line for each domain, below the program that is its first user.
///
/// # Safety
///
/// `m` is open.
#[no_mangle]
pub unsafe extern "C" fn moat_show_domains(m: *mut seq_file, _: *mut c_void) -> c_int {
    let mut lock = Lock::take();
    let mut out = Seq(m);
    let _ = writeln!(out, "domain key pages maps binds programs layer runs");
    for &program in &domains(&mut lock).programs {
        // SAFETY: programs and domains in lists.
        unsafe {
            for &domain in (*program).set.iter() {
                let domain = &*domain;
                if domain.users[0] != program {
                    continue;
                }
                let _ = write!(out, "{} ", domain.id);
                let _ = match domain.key {
                    Some(key) => write!(out, "{}", key.get()),
                    None => out.write_str("-"),
                };
                let _ = writeln!(
                    out,
                    " {} {} {} {} {} {}",
                    domain.pages(),
                    domain.maps(),
                    domain.binds,
                    Users(domain),
                    layer(&*program),
                    (*program).runs()
                );
            }
        }
    }
    0
}

/// One line for each key that programs can have.
///
/// # Safety
///
/// `m` is open.
#[no_mangle]
pub unsafe extern "C" fn moat_show_keys(m: *mut seq_file, _: *mut c_void) -> c_int {
    let mut lock = Lock::take();
    let mut out = Seq(m);
    let _ = writeln!(out, "key state domain programs");
    let domains = domains(&mut lock);
    for i in 0..Key::PROGRAMS {
        let key = match Key::program(i) {
            Some(key) => key,
            None => continue,
        };
        let _ = match domains.keys.state(key) {
            Some(State::Bound { owner }) => {
                // SAFETY: owners are domains, which give their keys back first.
                let domain = unsafe { &*(owner as *const Domain) };
                writeln!(out, "{} bound {} {}", key.get(), domain.id, Users(domain))
            }
            Some(State::Draining { .. }) => writeln!(out, "{} draining - -", key.get()),
            _ => writeln!(out, "{} free - -", key.get()),
        };
    }
    0
}

/// Called by a worker.  Returns in how many milliseconds again, or 0: not until there
/// are programs.
#[no_mangle]
pub extern "C" fn moat_balance() -> u32 {
    let mut lock = Lock::take();
    let domains = domains(&mut lock);
    domains.balance();
    match domains.programs.is_empty() {
        true => 0,
        false => Budget::PERIOD_MS,
    }
}
