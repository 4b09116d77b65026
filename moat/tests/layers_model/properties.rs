// SPDX-License-Identifier: GPL-2.0
//! What must hold in every state, and what must be so in some.

use crate::keys::KeyState;
use crate::machine::Machine;
use crate::state::*;
use moat_logic::keyalloc::Owner;
use moat_logic::pks::{Key, Pkrs};
use stateright::Property;

pub const SAFE: &str = "a program reaches nothing but its own";
pub const USABLE: &str = "a program reaches its own";
pub const OWNED: &str = "a key on a page has one owner";

/// CPUs in programs: which, in what layer, and with what rights.
fn in_programs(state: &State) -> impl Iterator<Item = (&Cpu, usize, bool, Pkrs)> {
    state.cpus.iter().filter_map(|cpu| match cpu.run {
        Run::Bpf {
            program,
            viewed,
            pkrs,
        } => Some((cpu, program, viewed, pkrs)),
        _ => None,
    })
}

/// What `cpu` may take for the translation of an address.
fn translations(state: &State, cpu: &Cpu, page: usize) -> impl Iterator<Item = Translation> {
    let now = match state.pages[page].mapped {
        true => state.pages[page].now.bit(),
        false => 0,
    };
    Translation::of_bits(cpu.tlb[page] | now)
}

fn safe(machine: &Machine, state: &State) -> bool {
    in_programs(state).all(|(cpu, program, viewed, pkrs)| {
        // In a view there is nothing else.
        let there = |page: &usize| !viewed || machine.uses(program, *page);
        (0..PAGES).filter(there).all(|page| {
            let Page { mapped, now, .. } = state.pages[page];
            translations(state, cpu, page).all(|t| {
                let own = machine.uses(program, page) && mapped && t.odd == now.odd;
                own || !pkrs.permits(t.tag, false) && !pkrs.permits(t.tag, true)
            })
        })
    })
}

fn usable(machine: &Machine, state: &State) -> bool {
    in_programs(state).all(|(cpu, program, _, pkrs)| {
        let own = |page: &usize| machine.uses(program, *page);
        (0..PAGES).filter(own).all(|page| {
            state.pages[page].mapped
                && translations(state, cpu, page)
                    .all(|t| pkrs.permits(t.tag, false) && pkrs.permits(t.tag, true))
        })
    })
}

fn owned(_: &Machine, state: &State) -> bool {
    let owner = |key: Key| state.keys.states[key.program_index().unwrap()];
    let bound = |(domain, key): (usize, &Option<Key>)| {
        key.map_or(true, |key| owner(key) == KeyState::Bound(domain as Owner))
    };
    state.tags.iter().enumerate().all(bound)
        && state.pages.iter().all(|page| {
            let key = page.now.tag;
            !page.mapped || !key.is_program() || matches!(owner(key), KeyState::Bound(_))
        })
}

/// The properties of a machine
pub fn of(machine: &Machine) -> Vec<Property<Machine>> {
    let mut all = vec![
        Property::always(SAFE, safe),
        Property::always(USABLE, usable),
        Property::always(OWNED, owned),
        // Otherwise nothing was explored worth speaking of.
        Property::sometimes("the first runs keyed", |_: &Machine, state: &State| {
            in_programs(state).any(|(_, program, viewed, _)| program == 0 && !viewed)
        }),
        Property::sometimes("the last runs keyed", |machine: &Machine, state| {
            let last = machine.programs - 1;
            in_programs(state).any(|(_, program, viewed, _)| program == last && !viewed)
        }),
        Property::sometimes("one program in both layers", |_, state| {
            let running: Vec<_> = in_programs(state).collect();
            matches!(running[..], [(_, a, x, _), (_, b, y, _)] if a == b && x != y)
        }),
        Property::sometimes("all keys are given out", |_, state: &State| {
            state.keys.free() == 0
        }),
    ];
    if machine.hotplug {
        all.push(Property::sometimes(
            "keyed with the other offline",
            |_, state: &State| {
                !state.cpus[1].online && in_programs(state).any(|(_, _, viewed, _)| !viewed)
            },
        ));
    }
    if !machine.reload.is_empty() {
        all.push(Property::sometimes(
            "another page at the same address",
            |_, state: &State| state.pages[1].mapped && !state.pages[1].now.odd,
        ));
    }
    all
}
