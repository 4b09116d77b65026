// SPDX-License-Identifier: GPL-2.0
//! Kernels that do not do what they should are noticed, by what programs reach then.

use crate::history::histories;
use kernel::machine::Broken;
use proptest::strategy::{Just, Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// In some history it is noticed, in each of these words.
fn is_noticed(broken: Broken, words: &[&str]) {
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let histories = histories(Just(None));
    let run = |_| {
        let history = histories.new_tree(&mut runner).ok()?.current();
        history.run(broken).err()
    };
    let noticed: Vec<String> = (0..400).filter_map(run).collect();
    println!("{broken:?}: noticed in {} histories", noticed.len());
    for words in words {
        let example = noticed.iter().find(|why| why.contains(words));
        println!("{}", example.unwrap_or_else(|| panic!("never {words}")));
    }
}

#[test]
fn tlbs_are_not_flushed() {
    is_noticed(Broken::Flush, &["by PKRS", "in its view"]);
}

#[test]
fn runs_are_not_waited_for() {
    is_noticed(Broken::Grace, &["by PKRS", "finds values that are gone"]);
}

#[test]
fn views_keep_what_they_had() {
    is_noticed(Broken::ViewUnmap, &["in its view"]);
}

#[test]
fn pages_keep_their_keys() {
    is_noticed(Broken::SetKey, &["denies"]);
}

#[test]
fn pages_are_not_parked() {
    is_noticed(Broken::Park, &["by PKRS"]);
}

#[test]
fn pages_stay_mapped() {
    is_noticed(Broken::Unmap, &["a page is freed and in use"]);
}
