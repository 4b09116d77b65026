// SPDX-License-Identifier: GPL-2.0
//! What a move is weighed with: how hot a program is, and the budget.

use crate::config;
use moat_logic::state::ranking::*;
use proptest::prelude::*;

#[test]
fn heat_is_runs_half_forgotten() {
    let mut heat = Heat::new();
    heat.read(100);
    assert_eq!(heat.value(), 100);
    heat.read(100);
    assert_eq!(heat.value(), 50);
    heat.read(130);
    assert_eq!(heat.value(), 55);
    for _ in 0..6 {
        heat.read(130);
    }
    assert_eq!(heat.value(), 0);
}

#[test]
fn runs_that_nobody_read_do_not_count() {
    let mut heat = Heat::new();
    heat.read(100);
    heat.skip(1_000_000);
    assert_eq!(heat.value(), 100);
    heat.read(1_000_010);
    assert_eq!(heat.value(), 60);
}

#[test]
fn run_counters_may_wrap() {
    let mut heat = Heat::new();
    heat.read(u64::MAX - 4);
    let before = heat.value();
    heat.read(5);
    assert_eq!(heat.value(), before / 2 + 10);
}

proptest! {
    #![proptest_config(config(4_000))]

    /// So that `choose` never has to do with sums that do not fit.
    #[test]
    fn heat_is_bounded(readings in proptest::collection::vec(any::<u64>(), 0..40)) {
        let mut heat = Heat::new();
        for reading in readings {
            heat.read(reading);
            prop_assert!(heat.value() <= 1 << 41);
        }
    }
}

#[test]
fn the_budget_gives_all_or_nothing() {
    let mut budget = Budget::new();
    assert!(!budget.take(Budget::BURST as usize + 1));
    assert!(!budget.take(usize::MAX));
    assert!(budget.take(Budget::BURST as usize));
    assert!(budget.take(0));
    assert!(!budget.take(1));
    budget.refill();
    assert!(budget.take(Budget::PER_PERIOD as usize));
    for _ in 0..100 {
        budget.refill();
    }
    assert!(!budget.take(Budget::BURST as usize + 1));
    assert!(budget.take(Budget::BURST as usize));
}
