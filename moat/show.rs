// SPDX-License-Identifier: GPL-2.0
//! What people can see: fdinfo, `programs`, `domains` and `keys` in debugfs.

use crate::edge::lock::{with_lock_held, Locked};
use crate::ffi;
use crate::keyalloc;
use crate::pks::Key;
use crate::policy::Level;
use crate::program::Program;
use crate::reason::Text;
use crate::report;
use crate::state::arena::Id;
use crate::state::{Book, Domain, State};
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

/// The number of a program; 0 if it has none.
fn number(program: &Program) -> u32 {
    // SAFETY: a program's aux lives as long as the program; it gets its number last of all.
    unsafe { core::ptr::addr_of!((*program.aux).id).read_volatile() }
}

/// Numbers, with commas between them.
struct List<I>(I);

impl<I: Iterator<Item = u64> + Clone> fmt::Display for List<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, number) in self.0.clone().enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { "," }, number)?;
        }
        Ok(())
    }
}

/// The programs that use a domain.
fn users<'a>(state: &'a State, domain: &'a Domain) -> impl fmt::Display + 'a {
    let books = domain
        .users
        .iter()
        .filter_map(|&user| state.programs.get(user));
    List(books.map(|book| u64::from(number(&book.program))))
}

/// The domains that a program uses.
fn set<'a>(state: &'a State, book: &'a Book) -> impl fmt::Display + 'a {
    let domains = book
        .set
        .iter()
        .filter_map(|&domain| state.domains.get(domain));
    List(domains.map(|domain| domain.number))
}

/// A line of `programs`: `listing.c`.
///
/// # Safety
///
/// `m` is open, `program` the listed name of one, and the lock held.
#[no_mangle]
pub unsafe extern "C" fn moat_show_program(m: *mut seq_file, program: u64) {
    // SAFETY: by contract of this function.
    unsafe {
        with_lock_held(|state| {
            let book = Id::from_bits(program).and_then(|id| state.programs.get(id));
            if let Some(book) = book {
                show_program(&mut Seq(m), state, book);
            }
        });
    }
}

fn show_program(out: &mut Seq, state: &State, book: &Book) {
    let program = &book.program;
    // SAFETY: an aux lives as long as the program.
    let aux = unsafe { &*program.aux };
    // It gets one last of all, and classic filters none.
    let _ = match number(program) {
        0 => out.write_str("-"),
        id => write!(out, "{}", id),
    };
    let name = Text::new(aux.name.iter().map(|&c| c as u8));
    let _ = writeln!(
        out,
        " {} {} {} {} {} {} {} {}[{}]",
        report::type_name(program.row.number),
        if name.is_empty() { "-" } else { name.as_str() },
        match program.level {
            Level::Integrity => 1,
            Level::Confidentiality => 2,
        },
        layer(program),
        set(state, book),
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
    // SAFETY: by contract of this function.
    let program = unsafe { &*((*(*prog).aux).moat as *const Program) };
    let state = Locked::take();
    let mut out = Seq(m);
    let _ = writeln!(out, "moat_layer:\t{}", layer(program));
    if let Some(book) = program.book.get().and_then(|&id| state.programs.get(id)) {
        let _ = writeln!(out, "moat_domains:\t{}", set(&state, book));
    }
}

/// One line for each domain, below the program that is its first user.
///
/// # Safety
///
/// `m` is open.
#[no_mangle]
pub unsafe extern "C" fn moat_show_domains(m: *mut seq_file, _: *mut c_void) -> c_int {
    let state = Locked::take();
    let mut out = Seq(m);
    let _ = writeln!(out, "domain key pages maps binds programs layer runs");
    for (id, book) in state.programs.iter() {
        let domains = book
            .set
            .iter()
            .filter_map(|&domain| state.domains.get(domain));
        for domain in domains.filter(|domain| domain.users.first() == Some(&id)) {
            let _ = write!(out, "{} ", domain.number);
            let _ = match domain.key {
                Some(key) => write!(out, "{}", key.get()),
                None => out.write_str("-"),
            };
            let _ = writeln!(
                out,
                " {} {} {} {} {} {}",
                state.pages(domain),
                domain.maps.len(),
                domain.binds,
                users(&state, domain),
                layer(&book.program),
                book.program.runs()
            );
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
    let state = Locked::take();
    let mut out = Seq(m);
    let _ = writeln!(out, "key state domain programs");
    for key in (0..Key::PROGRAMS).filter_map(Key::program) {
        let known = state.keys.state(key);
        let domain = match known {
            Some(keyalloc::State::Bound { owner }) => Id::from_bits(owner),
            _ => None,
        };
        let _ = match (domain.and_then(|id| state.domains.get(id)), known) {
            (Some(domain), _) => writeln!(
                out,
                "{} bound {} {}",
                key.get(),
                domain.number,
                users(&state, domain)
            ),
            (None, Some(keyalloc::State::Draining { .. })) => {
                writeln!(out, "{} draining - -", key.get())
            }
            _ => writeln!(out, "{} free - -", key.get()),
        };
    }
    0
}

/// Called by a worker.  Returns in how many milliseconds again, or 0: not until there
/// are programs.
#[no_mangle]
pub extern "C" fn moat_balance() -> u32 {
    Locked::take().balance()
}
