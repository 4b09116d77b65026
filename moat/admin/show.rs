// SPDX-License-Identifier: GPL-2.0
//! What people can see: fdinfo, `programs`, `domains` and `keys` in debugfs.

#![forbid(unsafe_code)]

use crate::admin::sysctl::Level;
use crate::edge::hooks::Unused;
use crate::edge::lock::Locked;
use crate::edge::prog::Isolated;
use crate::edge::writers::Seq;
use crate::keyalloc;
use crate::load::reason::Text;
use crate::pks::Key;
use crate::run::program::Program;
use crate::state::arena::Id;
use crate::state::{Book, Confined, Domain, Listed, State, View};
use core::ffi::c_int;
use core::fmt::{self, Write};

/// `keyed` or `view`.
fn layer(program: &Program) -> &'static str {
    if program.is_keyed() {
        "keyed"
    } else {
        "view"
    }
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
    List(books.map(|book| u64::from(book.program.aux().id())))
}

/// The domains that a program uses.
fn set<'a>(state: &'a State, book: &'a Book) -> impl fmt::Display + 'a {
    let domains = book
        .set
        .iter()
        .filter_map(|&domain| state.domains.get(domain));
    List(domains.map(|domain| domain.number))
}

/// A line of `programs`: `admin/listing.c`.  `program` is the listed name of one.
pub fn line(mut out: Seq<'_>, state: &State, program: u64) {
    match Listed::from_bits(program) {
        Some(Listed::Isolated(id)) => {
            if let Some(book) = state.programs.get(id) {
                show_program(&mut out, state, book);
            }
        }
        Some(Listed::Confined(id)) => {
            if let Some(filter) = state.confined.get(id) {
                show_confined(&mut out, filter);
            }
        }
        None => {}
    }
}

/// It has no level and no domains, and nobody counts its runs.
fn show_confined(out: &mut Seq<'_>, filter: &Confined) {
    let comm = Text::new(filter.by.comm);
    let _ = writeln!(
        out,
        "- {} - - confined - - live {}[{}]",
        filter.row.name, comm, filter.by.pid
    );
}

fn show_program(out: &mut Seq<'_>, state: &State, book: &Book) {
    let program = &book.program;
    let aux = program.aux();
    // It gets one last of all, and classic filters none.
    let _ = match aux.id() {
        0 => out.write_str("-"),
        id => write!(out, "{}", id),
    };
    let name = aux.name();
    let _ = writeln!(
        out,
        " {} {} {} {} {} {} {} {}[{}]",
        program.row.name,
        if name.is_empty() { "-" } else { name.as_str() },
        match program.level {
            Level::Integrity => 1,
            Level::Confidentiality => 2,
        },
        layer(program),
        set(state, book),
        book.runs(),
        if program.is_dead() { "stopped" } else { "live" },
        Text::new(program.by.comm),
        program.by.pid
    );
}

/// `moat_ops.show`: lines of fdinfo.
pub fn program(prog: Isolated<'_>, mut out: Seq<'_>) {
    let program = prog.program();
    let state = Locked::take();
    let _ = writeln!(out, "moat_layer:\t{}", layer(program));
    if let Some(book) = program.book.get().and_then(|&id| state.programs.get(id)) {
        let _ = writeln!(out, "moat_domains:\t{}", set(&state, book));
        if let Some(pcid) = book.view.as_ref().and_then(View::pcid) {
            let _ = writeln!(out, "moat_pcid:\t{}", pcid);
        }
    }
}

/// One line for each domain, below the program that is its first user.
pub fn domains(mut out: Seq<'_>, _: Unused) -> c_int {
    let state = Locked::take();
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
                book.runs()
            );
        }
    }
    0
}

/// One line for each key that programs can have.
pub fn keys(mut out: Seq<'_>, _: Unused) -> c_int {
    let state = Locked::take();
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
