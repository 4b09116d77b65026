// SPDX-License-Identifier: GPL-2.0
//! Keys go to the programs that run most, and stay there.

mod choose;
mod heat_and_budget;
mod machine;
mod periods;

use proptest::prelude::*;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
