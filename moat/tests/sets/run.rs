// SPDX-License-Identifier: GPL-2.0
//! Stands in for `run/mod.rs`: nothing runs here.

#[allow(dead_code)]
#[path = "../../run/program.rs"]
pub mod program;
