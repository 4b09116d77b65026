// SPDX-License-Identifier: GPL-2.0
//! What a program reaches, by all translations there may be.

use crate::books::{Books, Checked, Loaded, Map};
use crate::pks::{Key, Pkrs};
use kernel::bindings::BPF_F_RDONLY_PROG;
use kernel::machine::{granules, Machine};
use std::sync::atomic::Ordering;

/// It reaches nothing but what is its own, and all that it finds.
pub fn check(books: &Books, machine: &Machine, loaded: &Loaded) -> Checked {
    if loaded.over {
        return Ok(());
    }
    no_more(books, machine, loaded)
        .and_then(|()| match loaded.is_alive() {
            true => no_less(machine, loaded),
            false => Ok(()),
        })
        .map_err(|why| format!("program {}: {why}", loaded.id))
}

/// Neither by a PKRS value nor in its view is there anything else.
fn no_more(books: &Books, machine: &Machine, loaded: &Loaded) -> Checked {
    let program = loaded.get();
    let mut maps = books.due(loaded);
    if !loaded.is_alive() {
        // There was no memory to take from it what it had; its last runs use that.
        maps.extend(&loaded.runs.had);
    }
    let own = |frame: usize| frame == loaded.area || maps.contains(&(frame as Map));

    let cr3 = program.gates.view_cr3().load(Ordering::Relaxed);
    if cr3 == 0 && !program.is_keyed() {
        return Err("is not keyed and has no view".into());
    }
    let seen = machine.seen(cr3);
    for (addr, page) in machine.translations().filter(|(_, page)| !own(page.frame)) {
        let key = Key::new(page.key).ok_or("no key")?;
        let permits = |&&pkrs: &&u32| Pkrs::from_bits(pkrs).permits(key, false);
        if let Some(pkrs) = loaded.runs.pkrs.iter().find(permits) {
            return Err(format!("reaches {addr:x}, {page:x?}, by PKRS {pkrs:x}"));
        }
        if seen.contains(&addr) {
            return Err(format!("reaches {addr:x}, {page:x?}, in its view"));
        }
    }
    Ok(())
}

/// Its values are there, in any run, keyed or in the view.
fn no_less(machine: &Machine, loaded: &Loaded) -> Checked {
    let cr3 = loaded.get().gates.view_cr3().load(Ordering::Relaxed);
    let shown = machine.shown(cr3);
    for listed in &loaded.runs.listed {
        // SAFETY: maps outlive the books.
        let map = unsafe { &*listed.map };
        if map.moat.values.is_null() || map.moat.values as usize != listed.values {
            return Err("finds values that are gone".into());
        }
        let writable = map.map_flags & BPF_F_RDONLY_PROG == 0;
        if listed.writable != writable {
            return Err(format!("is told that it may write: {}", listed.writable));
        }
        for addr in granules(listed.base, map.told) {
            let page = match machine.tables.get(&addr) {
                Some(page) if page.frame == listed.map as usize => page,
                other => return Err(format!("finds {other:x?} at {addr:x}")),
            };
            if page.writable != writable {
                return Err(format!("finds {addr:x} writable: {}", page.writable));
            }
            let key = Key::new(page.key).ok_or("no key")?;
            let denies = |&&pkrs: &&u32| !Pkrs::from_bits(pkrs).permits(key, true);
            if let Some(pkrs) = loaded.runs.pkrs.iter().find(denies) {
                return Err(format!("PKRS {pkrs:x} denies {addr:x}, {page:x?}"));
            }
            if matches!(shown, Some(shown) if !shown.contains(&addr)) {
                return Err(format!("its view lacks {addr:x}, {page:x?}"));
            }
        }
    }
    Ok(())
}
