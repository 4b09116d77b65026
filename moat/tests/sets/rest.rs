// SPDX-License-Identifier: GPL-2.0
//! What holds whenever the lock is free.

use crate::admin::sysctl::Level;
use crate::books::{Books, Checked, Loaded, Looking, Map};
use crate::changes::borrowed;
use crate::edge::lock::Locked;
use crate::keyalloc;
use crate::pks::{Key, KeySet, Pkrs};
use crate::state::arena::Id;
use crate::state::{Book, Domain, MapValues, State};
use kernel::machine::{granules, machine};
use std::collections::{BTreeMap, BTreeSet};
use std::ptr;
use std::sync::atomic::Ordering;

/// An error, unless `holds`.
fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Checked {
    match holds {
        true => Ok(()),
        false => Err(otherwise()),
    }
}

/// The values of a map, while it has any in the window.
fn values_of(known: &State, map: Map) -> Option<&MapValues> {
    // SAFETY: maps outlive the books.
    let id = known.values_of(unsafe { borrowed(map) })?;
    known.values.get(id)
}

/// Which maps are in which domain.
type Contents = BTreeMap<Id<Domain>, Vec<Map>>;

fn contents(known: &State, maps: &[Map]) -> Contents {
    let mut contents = Contents::new();
    for &map in maps {
        if let Some(values) = values_of(known, map) {
            contents.entry(values.domain).or_default().push(map);
        }
    }
    contents
}

/// Those of `maps` that are in the set of `book`.
fn has<'a>(known: &'a State, book: &'a Book, maps: &'a [Map]) -> impl Iterator<Item = Map> + 'a {
    let is_in = |map: &Map| values_of(known, *map).is_some_and(|v| book.set.contains(&v.domain));
    maps.iter().copied().filter(is_in)
}

/// Checks all.  `exact`: no program lacks anything, which it may once memory was short.
pub fn check(books: &Books, exact: bool) -> Checked {
    let locked = Locked::take();
    let known: &State = &locked;
    let contents = contents(known, &books.maps);
    let mut all = BTreeSet::new();
    for (id, book) in known.programs.iter() {
        let loaded = books.programs.iter();
        let loaded = loaded.clone().find(|p| ptr::eq(p.get(), &*book.program));
        let loaded = loaded.ok_or("a program that is gone is known")?;
        all.extend(book.set.iter().copied());
        ensure(book.program.book.get() == Some(&id), || {
            "has not the name that it is known by".into()
        })
        .and_then(|()| layer(known, book))
        .and_then(|()| set(known, books, (loaded, book), exact))
        .map_err(|why| format!("program {}: {why}", loaded.id))?;
    }
    ensure(known.programs.len() == books.programs.len(), || {
        "a program is not known".into()
    })?;
    for &id in &all {
        let domain = known.domains.get(id).ok_or("a set leads nowhere")?;
        let maps = contents.get(&id).map_or(&[][..], |maps| maps);
        domain_is_right(known, (id, domain), maps)
            .map_err(|why| format!("domain {}: {why}", domain.number))?;
    }
    ensure(known.domains.len() == all.len(), || {
        "a domain is in no set".into()
    })?;
    ensure(contents.keys().all(|domain| all.contains(domain)), || {
        "values in no set".into()
    })?;
    let values: usize = contents.values().map(Vec::len).sum();
    ensure(known.values.len() == values, || "values of no map".into())?;
    for key in (0..Key::PROGRAMS).filter_map(Key::program) {
        if let Some(keyalloc::State::Bound { owner }) = known.keys.state(key) {
            let bound = Id::from_bits(owner).and_then(|id| known.domains.get(id));
            ensure(bound.is_some_and(|domain| domain.key == Some(key)), || {
                format!("{key:?} belongs to no domain")
            })?;
        }
    }
    let programs: BTreeSet<u64> = known.programs.iter().map(|(id, _)| id.bits()).collect();
    let listed: Vec<u64> = machine(|m| m.listed.values().copied().collect());
    let in_list: BTreeSet<u64> = listed.iter().copied().collect();
    ensure(listed.len() == in_list.len() && in_list == programs, || {
        "not just the programs are listed".into()
    })?;
    let users: BTreeSet<_> = known.domains.iter().map(|(_, d)| &d.users[..]).collect();
    ensure(!exact || users.len() == all.len(), || {
        "two domains of the same programs".into()
    })
}

/// No lookup returns a value there yet.
fn is_hole(known: &State, addr: u64) -> bool {
    known.values.iter().any(|(_, values)| {
        // SAFETY: maps outlive what the module knows of them.
        let told = unsafe { (*(values.map.get().addr() as Map)).told };
        (values.base + told..values.base + values.span).contains(&addr)
    })
}

/// Users, pages and key are those it says.
fn domain_is_right(known: &State, (id, domain): (Id<Domain>, &Domain), maps: &[Map]) -> Checked {
    let users = &domain.users;
    ensure(!users.is_empty() && users.is_sorted(), || {
        "its users are not in order".into()
    })?;
    let users: Option<Vec<&Book>> = users.iter().map(|&user| known.programs.get(user)).collect();
    let users = users.ok_or("a user that is gone")?;
    let has_it = |user: &&Book| user.set.iter().filter(|&&domain| domain == id).count() == 1;
    ensure(users.iter().all(has_it), || {
        "not in the set of a user".into()
    })?;

    let values = maps.iter().filter_map(|&map| values_of(known, map));
    let mut ranges: Vec<(u64, u64)> = values.map(|values| (values.base, values.span)).collect();
    let listed: BTreeSet<_> = domain.maps.iter().collect();
    ensure(
        domain.maps.len() == ranges.len() && listed.len() == ranges.len(),
        || "maps are missing".into(),
    )?;
    let own = users.iter().filter(|user| user.set[0] == id);
    ranges.extend(own.map(|user| user.program.gates.area()));
    let bytes: u64 = ranges.iter().map(|(_, len)| len).sum();
    let pages = known.pages(domain);
    ensure(bytes != 0 && bytes == pages << 12, || {
        format!("{pages} pages, not {}", bytes >> 12)
    })?;
    let tag = domain.tag().get();
    let tagged = |addr| machine(|m| m.tables.get(&addr).map(|page| page.key)) == Some(tag);
    let pages = ranges.iter().flat_map(|&(base, len)| granules(base, len));
    let mut pages = pages.filter(|&addr| !is_hole(known, addr));
    ensure(pages.all(tagged), || "pages with another key".into())?;

    let owner = id.bits();
    let bound = |key| known.keys.state(key) == Some(keyalloc::State::Bound { owner });
    ensure(domain.key.is_none_or(bound), || {
        "a key that is not its own".into()
    })
}

/// Its PKRS value is for the keys of its set, or none.
fn layer(known: &State, book: &Book) -> Checked {
    let program = &book.program;
    let mut keys = KeySet::EMPTY;
    if program.is_keyed() {
        for &domain in book.set.iter() {
            let key = known.domains.get(domain).and_then(|domain| domain.key);
            keys = keys.with(key.ok_or("keyed, and lacks a key")?);
        }
    }
    let due = match program.level {
        Level::Integrity if program.is_keyed() => Pkrs::for_integrity(keys),
        _ => Pkrs::for_program(keys),
    };
    let pkrs = program.gates.pkrs().load(Ordering::Relaxed);
    ensure(pkrs == due.bits(), || {
        format!("PKRS {pkrs:x}, not {:x}", due.bits())
    })
}

/// Its set, what it finds, its view and what it may use are the same.
fn set(known: &State, books: &Books, (loaded, book): (&Loaded, &Book), exact: bool) -> Checked {
    let program = loaded.get();
    if !loaded.is_alive() {
        return Ok(());
    }
    let has: BTreeSet<Map> = has(known, book, &books.maps).collect();
    ensure(has == loaded.finds(), || "finds not what it has".into())?;
    let due = books.due(loaded);
    ensure(has.is_subset(&due), || "has what is not there".into())?;
    let needed = books.needed(loaded);
    ensure(!exact || has.is_superset(&needed), || {
        "lacks what is there".into()
    })?;
    for used in program.used_maps(&Looking) {
        let there = values_of(known, used.info.kernel as Map);
        let there = there.map(|values| (values.base, values.span, values.writable));
        let found = used.values.map(|v| (v.base, v.span, v.writable));
        ensure(found.is_none() || found == there, || {
            format!("finds {found:x?}, not {there:x?}")
        })?;
    }

    let ranges = has.iter().filter_map(|&map| values_of(known, map));
    let ranges = ranges.map(|values| (values.base, values.span));
    let view: BTreeSet<u64> = ranges
        .chain([program.gates.area()])
        .flat_map(|(base, len)| granules(base, len))
        .collect();
    let cr3 = program.gates.view_cr3().load(Ordering::Relaxed);
    let is_right = machine(|m| match m.shown(cr3) {
        // What failed may have left something where there is a hole.
        Some(shown) => {
            let mut due = view.iter().filter(|&&addr| !is_hole(known, addr));
            shown.is_subset(&view) && due.all(|addr| shown.contains(addr))
        }
        None => cr3 == 0,
    });
    ensure(is_right, || "its view is not its set".into())
}
