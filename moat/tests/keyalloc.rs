// SPDX-License-Identifier: GPL-2.0
//! Keys never have two owners, and never change owner without a flush (I5).

use moat_logic::keyalloc::*;
use moat_logic::pks::{Key, KeySet};
use moat_logic::window::flush_epoch::{Flush, FlushEpochs};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Alloc(Owner),
    Free(usize),
    /// Free somebody else's key, or one that nobody owns.
    FreeWrongly(u8, Owner),
    Begin,
    /// Complete one of the flushes under way, not always the oldest.
    Complete(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0u64..20).prop_map(Op::Alloc),
        4 => (0usize..40).prop_map(Op::Free),
        1 => (0u8..16, 0u64..20).prop_map(|(k, o)| Op::FreeWrongly(k, o)),
        2 => Just(Op::Begin),
        2 => (0usize..4).prop_map(Op::Complete),
    ]
}

/// What the TLBs of the machine may still say: per key, the last owner whose
/// pages carried it, until a flush that began after it was taken off them ends.
#[derive(Default)]
struct Tlb {
    stale: Vec<(Key, Owner)>,
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_key_changes_owner_while_a_tlb_remembers(ops in proptest::collection::vec(op(), 0..120)) {
        let mut keys = KeyAlloc::new();
        let mut drain = FlushEpochs::new();
        let mut held: Vec<(Key, Owner)> = Vec::new();
        let mut tlb = Tlb::default();
        let mut flushes: Vec<(Flush, Vec<(Key, Owner)>)> = Vec::new();
        for op in ops {
            match op {
                Op::Alloc(owner) => match keys.alloc(owner) {
                    Some(key) => {
                        prop_assert!(key.is_program());
                        prop_assert!(held.iter().all(|(k, _)| *k != key), "two owners");
                        prop_assert!(tlb.stale.iter().all(|(k, _)| *k != key), "stale key");
                        held.push((key, owner));
                    }
                    None => {
                        prop_assert!(keys.having(|s| s == State::Free).is_empty());
                    }
                },
                Op::Free(n) if !held.is_empty() => {
                    let (key, owner) = held.swap_remove(n % held.len());
                    tlb.stale.push((key, owner));
                    prop_assert_eq!(keys.free(key, owner, drain.stamp()), Ok(()));
                }
                Op::FreeWrongly(n, owner) => {
                    let key = Key::new(n).unwrap();
                    if !held.contains(&(key, owner)) {
                        let before = keys.state(key);
                        prop_assert_eq!(keys.free(key, owner, drain.stamp()), Err(NotOwner));
                        prop_assert_eq!(keys.state(key), before);
                    }
                }
                Op::Begin => flushes.push((drain.begin(), tlb.stale.clone())),
                Op::Complete(n) if !flushes.is_empty() => {
                    let (flush, covered) = flushes.remove(n % flushes.len());
                    tlb.stale.retain(|entry| !covered.contains(entry));
                    let back = keys.flushed(&flush);
                    prop_assert!(held.iter().all(|(k, _)| !back.contains(*k)));
                }
                _ => {}
            }
            for (key, owner) in &held {
                prop_assert_eq!(keys.state(*key), Some(State::Bound { owner: *owner }));
            }
        }
        // Give everything up: every key comes back after one flush.
        for (key, owner) in held {
            keys.free(key, owner, drain.stamp()).unwrap();
        }
        let flush = drain.begin();
        keys.flushed(&flush);
        prop_assert_eq!(keys.having(|s| s == State::Free), KeySet::PROGRAMS);
    }
}

#[test]
fn the_fourteenth_domain_gets_none() {
    let mut keys = KeyAlloc::new();
    for owner in 0..13 {
        assert!(keys.alloc(owner).is_some());
    }
    assert_eq!(keys.alloc(13), None);
}

#[test]
fn a_flush_that_began_too_early_frees_nothing() {
    let mut keys = KeyAlloc::new();
    let mut drain = FlushEpochs::new();
    let key = keys.alloc(1).unwrap();
    let early = drain.begin();
    assert_eq!(keys.free(key, 1, drain.stamp()), Ok(()));
    assert!(keys.flushed(&early).is_empty());
    assert_eq!(keys.draining(), KeySet::of(key));
    let late = drain.begin();
    assert_eq!(keys.flushed(&late), KeySet::of(key));
}

#[test]
fn fixed_keys_belong_to_nobody() {
    let keys = KeyAlloc::new();
    for key in [Key::KERNEL, Key::SHARED_RO, Key::PARKED] {
        assert_eq!(keys.state(key), None);
    }
}
