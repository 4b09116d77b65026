// SPDX-License-Identifier: GPL-2.0
//! The images of programs: what they may be, where they lead, how they call out.

pub mod image;
pub mod jit;
pub mod loading;
pub mod sites;
