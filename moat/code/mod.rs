// SPDX-License-Identifier: GPL-2.0
//! The images of programs: what they may be, where they lead, how they call out.

pub mod decode;
pub mod image;
#[allow(dead_code)]
pub mod insn_starts;
pub mod jit;
pub mod loading;
pub mod opcodes;
pub mod sensitive;
pub mod sites;
pub mod walk;
