// SPDX-License-Identifier: GPL-2.0
//! Histories: what happens to a system, step by step, at random or as written down.

use crate::admin::sysctl::{self, Level};
use crate::books::{Checked, Map};
use crate::plans::{Kind, KINDS};
use crate::setup::{Setup, Size};
use crate::system::System;
use kernel::machine::Broken;
use kernel::memory::Shortage;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// Numbers are taken modulo how many there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Own {
    Map(usize),
    Outer(usize),
}

#[derive(Clone, Debug)]
pub enum Event {
    Load(Vec<Own>, Level, Kind),
    Unload(usize),
    Balance(Vec<u16>),
    Keys(usize),
    /// A map of maps, and what is to be put there.
    Begin(usize, usize),
    /// Which change that was begun, and a slot.
    Write(usize, usize),
    /// Which change.
    End(usize),
    /// A map of maps, and a slot.
    Delete(usize, usize),
    /// Somebody sees what is gone from a map of maps.
    Collect(usize),
    /// Who of them goes on.
    Settle(usize),
    /// The values of a map have more pages.
    Grow(usize),
}

#[derive(Clone, Debug)]
pub struct Step(pub Event, pub Option<Shortage>);

#[derive(Clone, Debug)]
pub struct History {
    pub setup: Setup,
    pub steps: Vec<Step>,
}

/// What came of it, if nothing went wrong.
pub struct Outcome {
    /// Whether an allocation failed.
    pub short: bool,
    /// How many programs were dead at the end.
    pub dead: usize,
}

impl History {
    pub fn run(&self, broken: Broken) -> Result<Outcome, String> {
        let mut system = System::new(&self.setup, broken);
        for (i, step) in self.steps.iter().enumerate() {
            step.run(&mut system).map_err(|why| {
                let said = system.messages.join("");
                format!("step {i}, {step:?}: {why}\n{said}")
            })?;
        }
        let outcome = Outcome {
            short: system.ever_short(),
            dead: system.dead(),
        };
        system
            .shut_down()
            .map_err(|why| format!("at the end: {why}"))?;
        Ok(outcome)
    }
}

impl Step {
    fn run(&self, system: &mut System) -> Checked {
        let Step(event, shortage) = self;
        match event {
            Event::Load(own, level, kind) => {
                let mut maps: Vec<Map> = Vec::new();
                for own in own {
                    let map = match *own {
                        Own::Map(i) => system.map(i),
                        Own::Outer(i) => system.outer(i),
                    };
                    if !maps.contains(&map) {
                        maps.push(map);
                    }
                }
                system.load(&maps, *level, *kind, *shortage)
            }
            Event::Unload(i) => system.unload(*i, *shortage),
            Event::Balance(runs) => system.balance(runs, *shortage),
            Event::Keys(keys) => {
                sysctl::set_keys(*keys);
                Ok(())
            }
            Event::Begin(outer, map) => {
                system.begin(system.outer(*outer), system.map(*map), *shortage)
            }
            Event::Write(change, slot) => system.write(*change, *slot),
            Event::End(change) => system.end(*change, *shortage),
            Event::Delete(outer, slot) => system.delete(system.outer(*outer), *slot),
            Event::Collect(outer) => system.collect(system.outer(*outer)),
            Event::Settle(i) => system.settle(*i, *shortage),
            Event::Grow(map) => system.grow(system.map(*map), *shortage),
        }
    }
}

const KEYS: [usize; 7] = [0, 1, 2, 3, 4, 6, 13];

fn setups() -> impl Strategy<Value = Setup> {
    let size = select(vec![
        Size::Page,
        Size::Granule,
        Size::Granules,
        Size::Growing,
    ]);
    let maps = vec((size, proptest::bool::weighted(0.2)), 3..6);
    (select(&KEYS[..]), maps, vec(1usize..4, 1..3)).prop_map(|(keys, maps, outers)| Setup {
        keys,
        maps,
        outers,
    })
}

fn events() -> impl Strategy<Value = Event> {
    let maps = (0..5).map(Own::Map);
    let all: Vec<Own> = maps.chain((0..2).map(Own::Outer)).collect();
    let own = subsequence(all, 0..5).prop_shuffle();
    let level = select(vec![Level::Confidentiality, Level::Integrity]);
    let runs = (0u32..13, any::<bool>()).prop_map(|(power, runs)| match runs {
        true => 1 << power,
        false => 0,
    });
    prop_oneof![
        6 => (own, level, select(&KINDS[..]))
            .prop_map(|(own, level, kind)| Event::Load(own, level, kind)),
        2 => any::<usize>().prop_map(Event::Unload),
        4 => vec(runs, 1..7).prop_map(Event::Balance),
        1 => select(&KEYS[..]).prop_map(Event::Keys),
        8 => (0usize..2, 0usize..5).prop_map(|(outer, map)| Event::Begin(outer, map)),
        8 => (0usize..3, 0usize..3).prop_map(|(change, slot)| Event::Write(change, slot)),
        5 => (0usize..3).prop_map(Event::End),
        4 => (0usize..2, 0usize..3).prop_map(|(outer, slot)| Event::Delete(outer, slot)),
        3 => (0usize..2).prop_map(Event::Collect),
        4 => (0usize..3).prop_map(Event::Settle),
        4 => (0usize..5).prop_map(Event::Grow),
    ]
}

/// An allocation fails in three steps of ten, or all do from one on.
pub fn shortages() -> impl Strategy<Value = Option<Shortage>> {
    let after = prop_oneof![0u32..4, 0u32..12, 0u32..30, 0u32..80];
    let shortage = (after, proptest::bool::weighted(0.25))
        .prop_map(|(after, lasts)| Shortage { after, lasts });
    proptest::option::weighted(0.3, shortage)
}

/// Histories, with such shortages.
pub fn histories(
    shortages: impl Strategy<Value = Option<Shortage>>,
) -> impl Strategy<Value = History> {
    let step = (events(), shortages).prop_map(|(event, shortage)| Step(event, shortage));
    (setups(), vec(step, 1..60)).prop_map(|(setup, steps)| History { setup, steps })
}
