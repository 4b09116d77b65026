// SPDX-License-Identifier: GPL-2.0
//! A name leads to what was given it, and to nothing else, ever: `state/arena.rs`.

use crate::load::reason::Failure;
use crate::state::arena::{Arena, Id};
use kernel::memory::{self, Shortage};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// So large that few fit into a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Thing {
    number: u32,
    _rest: [u64; 100],
}

fn thing(number: u32) -> Thing {
    Thing {
        number,
        _rest: [0; 100],
    }
}

/// What is done; numbers are taken modulo how many there are.
#[derive(Clone, Copy, Debug)]
enum Op {
    Insert,
    /// With so many allocations before one fails.
    Lack(u32),
    /// Room is made and not used.
    Reserve,
    Remove(usize),
    /// By the name of what is gone.
    RemoveAgain(usize),
    Change(usize),
    ChangeAll,
    /// Everything is removed.
    FlushEpochs,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => Just(Op::Insert),
        3 => (0u32..2).prop_map(Op::Lack),
        1 => Just(Op::Reserve),
        8 => any::<usize>().prop_map(Op::Remove),
        2 => any::<usize>().prop_map(Op::RemoveAgain),
        2 => any::<usize>().prop_map(Op::Change),
        1 => Just(Op::ChangeAll),
        1 => Just(Op::FlushEpochs),
    ]
}

/// An arena, and what should be in it.
struct Both {
    arena: Arena<Thing>,
    there: BTreeMap<Id<Thing>, Thing>,
    gone: Vec<Id<Thing>>,
    last: u32,
}

impl Both {
    fn new() -> Both {
        Both {
            arena: Arena::new(),
            there: BTreeMap::new(),
            gone: Vec::new(),
            last: 0,
        }
    }

    fn insert(&mut self) {
        self.last += 1;
        let room = self.arena.reserve().expect("there is memory");
        let id = room.insert(thing(self.last));
        assert!(id.bits() != 0 && id.bits() >> 63 == 0);
        assert!(Id::from_bits(id.bits()) == Some(id));
        assert!(!self.gone.contains(&id), "a name is given again");
        assert_eq!(self.there.insert(id, thing(self.last)), None);
    }

    fn remove(&mut self, id: Id<Thing>) {
        assert_eq!(self.arena.remove(id), self.there.remove(&id));
        self.gone.push(id);
    }

    fn nth(&self, n: usize) -> Option<Id<Thing>> {
        let all = self.there.len().max(1);
        self.there.keys().nth(n % all).copied()
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Insert => self.insert(),
            Op::Lack(after) => {
                memory::begin(Some(Shortage {
                    after,
                    lasts: false,
                }));
                let failed = self.arena.reserve().map(|_| ()).err();
                assert_eq!(failed.is_some(), memory::end());
                assert!(matches!(failed, None | Some(Failure::NoMemory)));
            }
            Op::Reserve => assert!(self.arena.reserve().is_ok()),
            Op::Remove(n) => {
                if let Some(id) = self.nth(n) {
                    self.remove(id);
                }
            }
            Op::RemoveAgain(n) => {
                let all = self.gone.len().max(1);
                if let Some(&id) = self.gone.get(n % all) {
                    assert_eq!(self.arena.remove(id), None);
                }
            }
            Op::Change(n) => {
                if let Some(id) = self.nth(n) {
                    self.last += 1;
                    *self.arena.get_mut(id).expect("it is there") = thing(self.last);
                    self.there.insert(id, thing(self.last));
                }
            }
            Op::ChangeAll => {
                for thing in self.arena.values_mut().chain(self.there.values_mut()) {
                    thing.number += 1_000_000;
                }
            }
            Op::FlushEpochs => {
                while let Some(id) = self.nth(0) {
                    self.remove(id);
                }
            }
        }
    }

    fn check(&mut self) {
        assert_eq!(self.arena.len(), self.there.len());
        assert_eq!(self.arena.is_empty(), self.there.is_empty());
        let found: Vec<(Id<Thing>, Thing)> =
            self.arena.iter().map(|(id, thing)| (id, *thing)).collect();
        let due: BTreeSet<u64> = self.there.keys().map(|id| id.bits()).collect();
        let names: BTreeSet<u64> = found.iter().map(|(id, _)| id.bits()).collect();
        assert!(found.len() == names.len() && names == due);
        for (id, thing) in found {
            assert_eq!(self.there.get(&id), Some(&thing));
            assert_eq!(self.arena.get(id), Some(&thing));
            assert_eq!(self.arena.at(id).ok(), Some(&thing));
            assert_eq!(self.arena.at_mut(id).ok(), Some(&mut thing.clone()));
        }
        for &id in &self.gone {
            assert_eq!(self.arena.get(id), None);
            assert_eq!(self.arena.get_mut(id), None);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn an_arena_is_a_map(ops in vec(op(), 0..120)) {
        let mut both = Both::new();
        for op in ops {
            both.run(op);
            both.check();
        }
    }
}

#[test]
fn a_place_that_is_used_again_has_another_name() {
    let mut both = Both::new();
    both.insert();
    // So that it is not empty meanwhile.
    both.insert();
    let place = |id: Id<Thing>| id.bits() % (1 << 24);
    let first = both.nth(0).expect("two");
    let mut names = BTreeSet::new();
    let mut id = first;
    for _ in 0..1_000 {
        assert!(names.insert(id.bits()));
        both.remove(id);
        both.insert();
        id = *both.there.keys().next_back().expect("two");
        assert_eq!(place(id), place(first));
    }
    both.check();
}

#[test]
fn an_arena_that_was_empty_gives_no_name_again() {
    let mut both = Both::new();
    for n in 1..40 {
        (0..n % 13).for_each(|_| both.insert());
        both.check();
        both.run(Op::FlushEpochs);
        both.check();
    }
}

#[test]
fn many_are_in_many_chunks() {
    let mut both = Both::new();
    (0..3_000).for_each(|_| both.insert());
    both.check();
    let numbers: Vec<u32> = both.arena.iter().map(|(_, thing)| thing.number).collect();
    assert!(numbers.is_sorted(), "in the order of their places");
    // Every other place is free, and used before there are new ones.
    let names: Vec<Id<Thing>> = both.there.keys().copied().step_by(2).collect();
    names.iter().for_each(|&id| both.remove(id));
    memory::begin(Some(Shortage {
        after: 0,
        lasts: true,
    }));
    names.iter().for_each(|_| both.insert());
    assert!(!memory::end(), "memory was asked for");
    both.check();
}

/// The list of chunks and the chunk: each may be what there is no memory for.
#[test]
fn without_memory_nothing_changes() {
    let mut both = Both::new();
    let mut failed = 0;
    for _ in 0..100 {
        for after in 0..3 {
            memory::begin(Some(Shortage { after, lasts: true }));
            let room = both.arena.reserve().is_ok();
            let short = memory::end();
            assert_eq!(room, !short);
            failed += usize::from(short);
            both.check();
            if room {
                break;
            }
        }
        both.insert();
        both.check();
    }
    assert!(failed > 20);
}

/// Names that nobody was given: from elsewhere, or from numbers.
#[test]
fn other_names_lead_nowhere() {
    let mut both = Both::new();
    assert!(Id::<Thing>::from_bits(0).is_none());
    (0..10).for_each(|_| both.insert());
    for bits in [1, 9, 1 << 24 | 10, 1 << 24 | 0xff_ffff, 2 << 24, u64::MAX] {
        let id = Id::from_bits(bits).expect("a name");
        assert_eq!(both.arena.get(id), None, "{bits:x}");
        assert_eq!(both.arena.remove(id), None, "{bits:x}");
    }
    both.check();
}

/// After many have come and gone, few are where the first ones were.
#[test]
fn an_arena_shrinks() {
    let mut both = Both::new();
    (0..10_000).for_each(|_| both.insert());
    // The last one stays, then another comes.
    let ids: Vec<_> = both.there.keys().copied().collect();
    let last = *ids.last().expect("many");
    for &id in ids.iter().filter(|&&id| id != last) {
        both.remove(id);
    }
    both.insert();
    let new = *both.there.keys().find(|&&id| id != last).expect("one");
    assert_eq!(new.bits() % (1 << 24), 0);
    both.remove(last);
    both.check();
    (0..100).for_each(|_| both.insert());
    assert!(both.there.keys().all(|id| id.bits() % (1 << 24) <= 100));
    both.check();
}
