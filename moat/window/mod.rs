// SPDX-License-Identifier: GPL-2.0
//! The window: addresses, flushes between two owners, and what CR3 is in a view.

pub mod addresses;
pub mod flush_epoch;
pub mod pcids;
