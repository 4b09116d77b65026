// SPDX-License-Identifier: GPL-2.0
//! Packets that go round are told from those that pass through, whatever the clock.

use moat_logic::run::line::*;
use proptest::prelude::*;

const A: Name = Name::of(7);
const B: Name = Name::of(8);

/// Sends a packet round `names`, one each tick, until that is refused; the tick, and
/// whether it had returned to the one who was refused.
fn round(names: &[Name], began: u64, budget: u64) -> (u64, bool) {
    let mut line = Line::NONE;
    for n in 0.. {
        match line.judge(names[n as usize % names.len()], began + n, budget) {
            Age::Young(next) => line = next,
            Age::Old { returned } => return (n, returned),
        }
    }
    unreachable!()
}

#[test]
fn a_packet_of_no_line_begins_one() {
    for now in 0..1000 {
        match Line::NONE.judge(A, now, 2) {
            Age::Young(line) => assert!(line != Line::NONE && line.bits() < 256),
            old => panic!("{old:?}"),
        }
    }
}

#[test]
fn bits_that_a_packet_has_no_room_for_are_ignored() {
    assert_eq!(Line::from_bits(0xff00_0000), Line::NONE);
    assert_eq!(Line::from_bits(u32::MAX).bits(), 0xff_ffff);
}

#[test]
fn no_program_has_the_name_nobody_has() {
    for id in [0, 1, 0xfffe, 0xffff, 0x10000, u32::MAX] {
        let old = Line::from_bits(1).judge(Name::of(id), 100, 10);
        assert_eq!(old, Age::Old { returned: false }, "{id}");
    }
}

proptest! {
    /// Alone or in turn, what goes round is refused right after the budget, and those
    /// that are refused are told that it came back.
    #[test]
    fn rounds_end(began in 0u64..1 << 40, budget in 2u64..=120, both in any::<bool>()) {
        let names = if both { &[A, B][..] } else { &[A][..] };
        let (at, returned) = round(names, began, budget);
        prop_assert_eq!(at, budget + 1);
        // Halfway B may be first to sign, and be an odd number of ticks away.
        prop_assert!(returned || both);
    }

    /// Who is only on the way is never told that a packet came back to it.
    #[test]
    fn passers_by_are_not_blamed(began in 0u64..1 << 40, budget in 2u64..=120, at in 0u64..200) {
        let mut line = Line::NONE;
        for n in 0..=at {
            match line.judge(A, began + n, budget) {
                Age::Young(next) => line = next,
                Age::Old { .. } => break,
            }
        }
        prop_assert_ne!(line.judge(B, began + at, budget), Age::Old { returned: true });
    }

    /// Until the clock comes round, an old packet does not look young.
    #[test]
    fn old_packets_stay_old(began in 0u64..1 << 40, budget in 2u64..=120, late in 1u64..=134) {
        let line = match Line::NONE.judge(A, began, budget) {
            Age::Young(line) => line,
            Age::Old { .. } => unreachable!(),
        };
        let age = budget + late;
        prop_assume!(age < 255);
        prop_assert_eq!(line.judge(B, began + age, budget), Age::Old { returned: false });
    }
}
