// SPDX-License-Identifier: GPL-2.0
//! Stands in for `code/mod.rs`: nothing is compiled here.

#[allow(dead_code)]
#[path = "../../code/loading.rs"]
pub mod loading;
