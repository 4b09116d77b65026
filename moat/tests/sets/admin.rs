// SPDX-License-Identifier: GPL-2.0
//! Stands in for `admin/mod.rs`.

#[allow(dead_code)]
#[path = "../../admin/again.rs"]
pub mod again;
#[path = "sysctl.rs"]
pub mod sysctl;
