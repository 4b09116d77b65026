// SPDX-License-Identifier: GPL-2.0
//! `choose()` makes the best move there is, and no other.

use crate::config;
use crate::machine::Machine;
use moat_logic::pks::Key;
use moat_logic::state::ranking::*;
use proptest::prelude::*;

fn load() -> impl Strategy<Value = Load> {
    let heat = prop_oneof![0u64..200, 0u64..4, any::<u64>()];
    (heat, any::<bool>(), 0usize..16, 1usize..6).prop_map(|(heat, keyed, wants, frees)| Load {
        id: 0,
        heat,
        keyed,
        wants: if keyed { 0 } else { wants },
        frees: if keyed { frees } else { 0 },
    })
}

/// What freeing `need` keys costs at least, by trying all there is.
fn cheapest(keyed: &[Load], need: usize) -> Option<u128> {
    (0u32..1 << keyed.len())
        .filter_map(|who| {
            let these = keyed.iter().enumerate().filter(|(i, _)| who & 1 << i != 0);
            let (cost, frees) = these.fold((0, 0), |(cost, frees), (_, load)| {
                (cost + u128::from(load.heat), frees + load.frees)
            });
            (frees >= need).then_some(cost)
        })
        .min()
}

proptest! {
    #![proptest_config(config(20_000))]

    #[test]
    fn a_move_is_for_the_hottest_that_deserves_it(
        loads in proptest::collection::vec(load(), 0..14),
        free in 0usize..14,
    ) {
        let mut left = Key::PROGRAMS - free;
        let loads: Vec<Load> = loads
            .into_iter()
            .zip(0..)
            .map(|(load, id)| {
                let frees = load.frees.min(left);
                left -= frees;
                Load { id, frees, ..load }
            })
            .collect();
        let keyed: Vec<Load> = loads.iter().copied().filter(|load| load.keyed).collect();
        let deserves = |load: &&Load| {
            let heat = u128::from(load.heat);
            let cost = cheapest(&keyed, load.wants.saturating_sub(free));
            // Keys there are not make no difference.
            let possible = load.wants <= Key::PROGRAMS;
            !load.keyed && possible && heat > 0 && (load.wants <= free || cost.map_or(false, |cost| {
                // Sums that do not fit are hotter than anything.
                heat > 2 * cost + u128::from(MARGIN)
            }))
        };
        let best = loads.iter().filter(deserves).map(|load| load.heat).max();
        let of = |id: u64| loads[id as usize];
        match choose(loads.iter().copied(), free) {
            Move::Rest => prop_assert_eq!(best, None),
            Move::Promote(id) => {
                prop_assert_eq!(best, Some(of(id).heat));
                prop_assert!(!of(id).keyed && of(id).wants <= free);
            }
            Move::Displace(cold, hot) => {
                let hot = of(hot);
                prop_assert_eq!(best, Some(hot.heat));
                let cold: Vec<Load> = cold.ids().iter().map(|&id| of(id)).collect();
                let cost = cold.iter().map(|load| u128::from(load.heat)).sum();
                let frees: usize = cold.iter().map(|load| load.frees).sum();
                prop_assert!(cold.iter().all(|load| load.keyed));
                prop_assert!(hot.wants > free && hot.wants <= free + frees);
                prop_assert_eq!(cheapest(&keyed, hot.wants - free), Some(cost));
                for load in &cold {
                    prop_assert!(hot.wants > free + frees - load.frees, "needlessly");
                }
            }
        }
    }
}

fn viewed(id: u64, heat: u64, wants: usize) -> Load {
    Load {
        id,
        heat,
        keyed: false,
        wants,
        frees: 0,
    }
}

fn keyed(id: u64, heat: u64, frees: usize) -> Load {
    Load {
        id,
        heat,
        keyed: true,
        wants: 0,
        frees,
    }
}

fn displaced(loads: &[Load], free: usize) -> (Vec<u64>, u64) {
    match choose(loads.iter().copied(), free) {
        Move::Displace(cold, hot) => (cold.ids().to_vec(), hot),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_sum_of_what_is_displaced_counts() {
    let each: Vec<Load> = (0..4).map(|id| keyed(id, 40, 1)).collect();
    let with = |hot| each.iter().copied().chain([hot]);
    // Hotter than any of them, and colder than all four.
    assert_eq!(choose(with(viewed(9, 100, 4)), 0), Move::Rest);
    assert_eq!(choose(with(viewed(9, 2 * 160 + MARGIN, 4)), 0), Move::Rest);
    let loads: Vec<Load> = with(viewed(9, 2 * 160 + MARGIN + 1, 4)).collect();
    assert_eq!(displaced(&loads, 0), (vec![0, 1, 2, 3], 9));
    // With two keys free it displaces two.
    let loads: Vec<Load> = with(viewed(9, 2 * 80 + MARGIN + 1, 4)).collect();
    assert_eq!(displaced(&loads, 2).0.len(), 2);
}

#[test]
fn one_with_many_keys_goes_before_many_with_one() {
    let mut loads: Vec<Load> = (0..4).map(|id| keyed(id, 10, 1)).collect();
    loads.push(keyed(4, 11, 4));
    loads.push(viewed(9, 1_000, 4));
    assert_eq!(displaced(&loads, 0), (vec![4], 9));
    // For one key the coldest is enough.
    loads[3].heat = 9;
    loads[5].wants = 1;
    assert_eq!(displaced(&loads, 0), (vec![3], 9));
}

#[test]
fn one_that_wants_more_than_there_is_hinders_nobody() {
    let greedy = viewed(0, 1_000_000, Key::PROGRAMS + 1);
    let loads = [greedy, viewed(1, 5, 1), viewed(2, 4, 1)];
    assert_eq!(choose(loads.into_iter(), 3), Move::Promote(1));
    let loads = [greedy, keyed(1, 50, 1)];
    assert_eq!(choose(loads.into_iter(), 0), Move::Rest);
    let loads = [greedy, keyed(1, 50, 1), viewed(2, 1_000, 1)];
    assert_eq!(displaced(&loads, 0), (vec![1], 2));
    // With fewer keys for programs, one that was modest is greedy.
    let mut machine = Machine::private(&[4, 1, 1, 1], 3);
    for _ in 0..20 {
        machine.period(|program| if program == 0 { 1_000 } else { 1 });
        assert_eq!(machine.keyed, [false, true, true, true]);
    }
}

#[test]
fn no_sum_of_heats_wraps() {
    let loads = [
        keyed(0, u64::MAX, 1),
        keyed(1, u64::MAX, 1),
        viewed(2, u64::MAX, 2),
    ];
    assert_eq!(choose(loads.into_iter(), 0), Move::Rest);
}
