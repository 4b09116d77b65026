// SPDX-License-Identifier: GPL-2.0
//! Over many periods the keys are where they should be, and moves are few.

use crate::config;
use crate::machine::*;
use moat_logic::pks::Key;
use moat_logic::state::ranking::*;
use proptest::prelude::*;

proptest! {
    #![proptest_config(config(2_000))]

    /// Sets, loads and the limit change at random; `Machine` checks each move.
    #[test]
    fn keys_suffice_and_moves_end(
        programs in 1usize..60,
        share in any::<bool>(),
        limits in proptest::collection::vec(0usize..=Key::PROGRAMS, 1..6),
        scale in 1u64..40,
        seed in 1u64..,
    ) {
        let mut random = Random(seed);
        let mut machine = if share {
            Machine::new(shared_sets(programs, 1 + programs / 3, &mut random), 0)
        } else {
            Machine::private(&sizes(programs, &mut random), 0)
        };
        for limit in limits {
            machine.limit = limit;
            for _ in 0..20 {
                let loads: Vec<u64> = (0..programs)
                    .map(|_| {
                        let power = random.below(scale);
                        random.below(1 << power)
                    })
                    .collect();
                machine.period(|program| loads[program]);
                machine.check();
                // Nobody is given keys just to lose them again.
                for (i, event) in machine.events.iter().enumerate() {
                    if let (Event::Promoted(id), false) = (event, share) {
                        prop_assert!(!machine.events[i..].contains(&Event::Demoted(*id)));
                    }
                }
            }
        }
    }

    /// What runs steadily comes to rest, whoever shares what.
    #[test]
    fn steady_loads_settle(
        programs in 1usize..60,
        share in any::<bool>(),
        scale in 1u64..20,
        seed in 1u64..,
    ) {
        let mut random = Random(seed);
        let mut machine = if share {
            Machine::new(shared_sets(programs, 1 + programs / 3, &mut random), Key::PROGRAMS)
        } else {
            Machine::private(&sizes(programs, &mut random), Key::PROGRAMS)
        };
        let loads: Vec<u64> = (0..programs)
            .map(|_| {
                let power = random.below(scale);
                random.below(1 << power)
            })
            .collect();
        for _ in 0..60 {
            machine.period(|program| loads[program]);
        }
        for _ in 0..40 {
            machine.period(|program| loads[program]);
            prop_assert!(machine.events.is_empty());
        }
    }

    /// Nobody is displaced by one who runs less than twice as often.
    #[test]
    fn similar_loads_never_displace(
        programs in 14usize..200,
        base in 1u64..100_000,
        seed in 1u64..,
    ) {
        let mut random = Random(seed);
        let mut machine = Machine::private(&sizes(programs, &mut random), Key::PROGRAMS);
        for period in 0..60 {
            let loads: Vec<u64> = (0..programs).map(|_| base + random.below(base)).collect();
            machine.period(|program| loads[program]);
            prop_assert!(period == 0 || machine.demotions() == 0);
        }
    }
}

proptest! {
    #![proptest_config(config(12))]

    #[test]
    fn the_hot_programs_get_the_keys(share in any::<bool>(), seed in 1u64..) {
        const PROGRAMS: usize = 1_000;
        let mut random = Random(seed);
        let mut machine = if share {
            Machine::new(shared_sets(PROGRAMS, 400, &mut random), Key::PROGRAMS)
        } else {
            Machine::private(&sizes(PROGRAMS, &mut random), Key::PROGRAMS)
        };
        // As many as there are keys for, up to eight.
        let mut hot: Vec<usize> = Vec::new();
        let mut domains: Vec<usize> = Vec::new();
        for _ in 0..200 {
            let program = random.below(PROGRAMS as u64) as usize;
            let mut more = domains.clone();
            more.extend(&machine.sets[program]);
            more.sort_unstable();
            more.dedup();
            // A key at least is left for each that is to come.
            let room = Key::PROGRAMS - (7 - hot.len().min(7));
            if hot.len() < 8 && !hot.contains(&program) && more.len() <= room {
                hot.push(program);
                domains = more;
            }
        }
        prop_assert_eq!(hot.len(), 8);

        // All run alike at first, so that others have the keys.
        for _ in 0..20 {
            machine.period(|_| 50);
        }
        let chance = random.below(1 << 32);
        let mut random = Random(chance + 1);
        let mut loads = |hot: &[usize]| -> Vec<u64> {
            let mut loads: Vec<u64> = (0..PROGRAMS).map(|_| random.below(2)).collect();
            for &program in hot {
                loads[program] = 8_000 + random.below(8_000);
            }
            loads
        };
        for _ in 0..10 {
            let loads = loads(&hot);
            machine.period(|program| loads[program]);
        }
        prop_assert!(hot.iter().all(|&program| machine.keyed[program]));
        (machine.keyed_runs, machine.runs) = (0, 0);
        for _ in 0..100 {
            let loads = loads(&hot);
            machine.period(|program| loads[program]);
            prop_assert!(hot.iter().all(|&program| machine.keyed[program]));
        }
        prop_assert!(machine.keyed_runs * 100 > machine.runs * 99);
    }
}

#[test]
fn equal_loads_stay_where_they_are() {
    for programs in [1, 13, 14, 1_000] {
        let mut random = Random(42);
        let mut machine = Machine::private(&sizes(programs, &mut random), Key::PROGRAMS);
        machine.period(|_| 1_000);
        let keyed = machine.keyed.clone();
        for _ in 0..100 {
            machine.period(|_| 1_000);
            assert!(machine.events.is_empty());
        }
        assert_eq!(machine.keyed, keyed);
        assert!(machine.used() > Key::PROGRAMS - 4 || programs < 13);
    }
}

/// Each period others run, and those before are as good as forgotten two later: the
/// worst there is for whoever has keys.
#[test]
fn round_robin_cannot_spend_more_than_the_budget() {
    const PROGRAMS: usize = 1_000;
    const PERIODS: usize = 3_000;
    let second = (1_000 / Budget::PERIOD_MS) as usize;
    let per_second = second * Budget::PER_PERIOD as usize;
    assert_eq!(per_second, 50);

    let mut machine = Machine::private(&[1; PROGRAMS], Key::PROGRAMS);
    let mut demotions = Vec::new();
    for period in 0..PERIODS {
        let group = period % (PROGRAMS / Key::PROGRAMS);
        machine.period(|program| match program / Key::PROGRAMS == group {
            true => 1_000_000,
            false => 0,
        });
        machine.check();
        demotions.push(machine.demotions());
    }
    for window in demotions.windows(second) {
        assert!(window.iter().sum::<usize>() <= Budget::BURST as usize + per_second);
    }
    let all: usize = demotions.iter().sum();
    let budget = Budget::BURST as usize + PERIODS / second * per_second;
    assert!(all <= budget);
    // Otherwise this was no attack.
    assert!(all * 10 > budget * 9, "{all} of {budget}");
}

#[test]
fn ten_thousand_programs() {
    const PROGRAMS: usize = 10_000;
    let mut random = Random(7);
    let mut machine = Machine::new(shared_sets(PROGRAMS, 3_000, &mut random), Key::PROGRAMS);
    for _ in 0..20 {
        let loads: Vec<u64> = (0..PROGRAMS)
            .map(|program| (1 << (program % 20)) + random.below(100))
            .collect();
        machine.period(|program| loads[program]);
        machine.check();
    }
    assert!(machine.used() > Key::PROGRAMS - 4);
}

#[test]
fn what_does_not_run_gets_no_key() {
    let mut machine = Machine::private(&[1; 20], Key::PROGRAMS);
    machine.period(|program| u64::from(program == 3));
    assert_eq!(machine.events, [Event::Promoted(3)]);
}
