// SPDX-License-Identifier: GPL-2.0
//! What the administrator wants, and is told.

pub mod again;
pub mod report;
pub mod show;
pub mod sysctl;
