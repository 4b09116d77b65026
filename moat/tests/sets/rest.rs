// SPDX-License-Identifier: GPL-2.0
//! What holds whenever the lock is free.

use crate::books::{Books, Checked, Loaded, Map};
use crate::domains::{domains, Domains, MapValues};
use crate::ffi::Lock;
use crate::keyalloc::State;
use crate::pks::{Key, KeySet, Pkrs};
use crate::policy::Level;
use crate::program::Program;
use crate::sets::Domain;
use kernel::machine::{granules, machine};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

/// An error, unless `holds`.
fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Checked {
    match holds {
        true => Ok(()),
        false => Err(otherwise()),
    }
}

/// The values of a map, while it has any in the window.
pub fn values_of(map: Map) -> Option<&'static MapValues> {
    // SAFETY: the map lives, and so do values that it points to.
    unsafe { ((*map).moat.values as *const MapValues).as_ref() }
}

fn domain<'a>(domain: *mut Domain) -> &'a Domain {
    // SAFETY: the caller has it from a set.
    unsafe { &*domain }
}

/// Which maps are in which domain.
type Contents = BTreeMap<*mut Domain, Vec<Map>>;

fn contents(maps: &[Map]) -> Contents {
    let mut contents = Contents::new();
    for &map in maps {
        if let Some(values) = values_of(map) {
            contents.entry(values.domain).or_default().push(map);
        }
    }
    contents
}

/// Those of `maps` that are in the set of `program`.
pub fn has<'a>(program: &'a Program, maps: &'a [Map]) -> impl Iterator<Item = Map> + 'a {
    let is_in = |map: &Map| values_of(*map).is_some_and(|v| program.set.contains(&v.domain));
    maps.iter().copied().filter(is_in)
}

/// Checks all.  `exact`: no program lacks anything, which it may once memory was short.
pub fn check(books: &Books, exact: bool) -> Checked {
    let mut lock = Lock::take();
    let known = domains(&mut lock);
    let contents = contents(&books.maps);
    let mut all = BTreeSet::new();
    for (place, &program) in known.programs.iter().enumerate() {
        let loaded = books.programs.iter().find(|p| p.program == program);
        let loaded = loaded.ok_or("a program that is gone is in the list")?;
        let program = loaded.get();
        all.extend(program.set.iter().copied());
        ensure(program.place == Some(place), || "not in its place".into())
            .and_then(|()| layer(program))
            .and_then(|()| set(books, loaded, exact))
            .map_err(|why| format!("program {}: {why}", loaded.id))?;
    }
    ensure(known.programs.len() == books.programs.len(), || {
        "a program is not in the list".into()
    })?;
    for &this in &all {
        let maps = contents.get(&this).map_or(&[][..], |maps| maps);
        domain_is_right(known, this, maps)
            .map_err(|why| format!("domain {}: {why}", domain(this).id))?;
    }
    ensure(contents.keys().all(|domain| all.contains(domain)), || {
        "values in no set".into()
    })?;
    for key in (0..Key::PROGRAMS).filter_map(Key::program) {
        if let Some(State::Bound { owner }) = known.keys.state(key) {
            let bound = all.get(&(owner as *mut Domain));
            ensure(bound.is_some_and(|&d| domain(d).key == Some(key)), || {
                format!("{key:?} belongs to no domain")
            })?;
        }
    }
    let users: BTreeSet<_> = all.iter().map(|&d| &domain(d).users[..]).collect();
    ensure(!exact || users.len() == all.len(), || {
        "two domains of the same programs".into()
    })
}

/// Users, pages and key are those it says.
fn domain_is_right(known: &Domains, this: *mut Domain, maps: &[Map]) -> Checked {
    let domain = domain(this);
    let users = &domain.users;
    ensure(!users.is_empty() && users.is_sorted(), || {
        "its users are not in order".into()
    })?;
    // SAFETY: programs in the list.
    let users: Vec<&Program> = users.iter().map(|&user| unsafe { &*user }).collect();
    let has_it = |user: &&Program| user.set.iter().filter(|&&d| d == this).count() == 1;
    ensure(users.iter().all(has_it), || {
        "not in the set of a user".into()
    })?;

    let mut ranges: Vec<(u64, u64)> = maps
        .iter()
        .filter_map(|&map| values_of(map))
        .map(|values| (values.base, values.span))
        .collect();
    ensure(domain.maps() == ranges.len(), || "maps are missing".into())?;
    ranges.extend(users.iter().filter(|u| u.set[0] == this).map(|u| u.area()));
    let bytes: u64 = ranges.iter().map(|(_, len)| len).sum();
    ensure(bytes != 0 && bytes == domain.pages() << 12, || {
        format!("{} pages, not {}", domain.pages(), bytes >> 12)
    })?;
    let tag = domain.key.unwrap_or(Key::PARKED).get();
    let tagged = |addr| machine(|m| m.tables.get(&addr).map(|page| page.key)) == Some(tag);
    let mut pages = ranges.iter().flat_map(|&(base, len)| granules(base, len));
    ensure(pages.all(tagged), || "pages with another key".into())?;

    let owner = this as u64;
    let bound = |key| known.keys.state(key) == Some(State::Bound { owner });
    ensure(domain.key.is_none_or(bound), || {
        "a key that is not its own".into()
    })
}

/// Its PKRS value is for the keys of its set, or none.
fn layer(program: &Program) -> Checked {
    let mut keys = KeySet::EMPTY;
    if program.is_keyed() {
        for &this in &program.set {
            keys = keys.with(domain(this).key.ok_or("keyed, and lacks a key")?);
        }
    }
    let pkrs = match program.level {
        Level::Integrity if program.is_keyed() => Pkrs::for_integrity(keys),
        _ => Pkrs::for_program(keys),
    };
    ensure(
        program.pkrs().load(Ordering::Relaxed) == pkrs.bits(),
        || format!("PKRS {:x}, not {:x}", program.dom.pkrs, pkrs.bits()),
    )
}

/// Its set, what it finds, its view and what it may use are the same.
fn set(books: &Books, loaded: &Loaded, exact: bool) -> Checked {
    let program = loaded.get();
    if !loaded.is_alive() {
        return Ok(());
    }
    let has: BTreeSet<Map> = has(program, &books.maps).collect();
    ensure(has == loaded.finds(), || "finds not what it has".into())?;
    let due = books.due(loaded);
    ensure(has.is_subset(&due), || "has what is not there".into())?;
    let needed = books.needed(loaded);
    ensure(!exact || has.is_superset(&needed), || {
        "lacks what is there".into()
    })?;

    let ranges = has.iter().filter_map(|&map| values_of(map));
    let ranges = ranges.map(|values| (values.base, values.span));
    let view: BTreeSet<u64> = ranges
        .chain([program.area()])
        .flat_map(|(base, len)| granules(base, len))
        .collect();
    let cr3 = program.dom.view_cr3;
    let is_right = machine(|m| cr3 == 0 || m.shown(cr3) == Some(&view));
    ensure(is_right, || "its view is not its set".into())
}
