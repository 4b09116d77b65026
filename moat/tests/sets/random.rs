// SPDX-License-Identifier: GPL-2.0
//! Random histories.

use crate::history::{histories, shortages, History, Outcome};
use kernel::machine::Broken;
use proptest::strategy::{Just, Strategy};
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use std::cell::Cell;

/// As many as `PROPTEST_CASES` says, or `cases`.
fn config(cases: u32) -> Config {
    let wanted = std::env::var("PROPTEST_CASES").ok();
    Config {
        cases: wanted.and_then(|n| n.parse().ok()).unwrap_or(cases),
        failure_persistence: None,
        ..Config::default()
    }
}

/// Runs so many `histories`.
fn explore(cases: u32, histories: impl Strategy<Value = History>, seen: impl Fn(Outcome)) {
    let mut runner = TestRunner::new(config(cases));
    let explored = runner.run(&histories, |history| {
        let outcome = history.run(Broken::Not).map_err(TestCaseError::fail)?;
        seen(outcome);
        Ok(())
    });
    match explored {
        Ok(()) => {}
        Err(TestError::Fail(why, history)) => panic!("{why}\n{history:?}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

#[test]
fn sets_are_exact() {
    explore(6_000, histories(Just(None)), |_| ());
}

/// Programs may lack something, or be killed, but are nowhere they should not be.
#[test]
fn sets_are_safe_when_memory_is_short() {
    let (all, short, dead) = (Cell::new(0), Cell::new(0), Cell::new(0));
    explore(10_000, histories(shortages()), |outcome| {
        all.set(all.get() + 1);
        short.set(short.get() + usize::from(outcome.short));
        dead.set(dead.get() + outcome.dead);
    });
    let (all, short, dead) = (all.get(), short.get(), dead.get());
    println!("{all} histories, {short} short of memory; {dead} programs dead");
    // Otherwise this says nothing.
    assert!(all < 100 || short > all / 2 && dead != 0);
}
