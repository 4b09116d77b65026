// SPDX-License-Identifier: GPL-2.0
//! What MOAT knows of maps.
//!
//! - [`types`]: one row for each map type that programs may use, and sets of them.

pub mod types;
