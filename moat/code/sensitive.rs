// SPDX-License-Identifier: GPL-2.0
//! Which x86 instructions no isolated program may hold.
//!
//! Reference: Intel SDM Vol. 2, appendix A "Opcode Map"; Vol. 3A, 5.9
//! "Privileged Instructions".
//!
//! An isolated program runs in ring 0, so only PKRS and the image itself hold it
//! back.  None of these may begin where an instruction of the image begins: what
//! changes rights or modes, what reaches devices, what takes the next instruction
//! from a register or from memory the program can write (I1), and what has R12 for
//! an operand, which is how entry code knows a program (decision 0001).
//! Direct jumps stay: `code/walk.rs` looks where they lead.
//!
//! Only prefixes, opcode, ModRM and SIB are looked at; lengths come from the
//! kernel's instruction decoder.

use crate::code::decode::{Insn, Prefixes};
use crate::code::opcodes::{Modrm, Prefix, Row, ROWS};

/// What is told of bytes that end before they can be judged, or that have more
/// prefixes than an instruction can.
pub const TRUNCATED: &str = "(truncated)";

/// What is told of an instruction that may read or write the trusted register.
pub const TRUSTED: &str = "an instruction with R12";

/// The number of R12.
const R12: u8 = 12;

/// The mnemonic of the instruction that `bytes` begin with, if it is sensitive.
pub fn classify(bytes: &[u8]) -> Option<&'static str> {
    let insn = match Insn::new(bytes) {
        Some(insn) => insn,
        None => return Some(TRUNCATED),
    };
    let modrm = insn.rest.first().copied();
    for row in ROWS {
        if row.map != insn.map || insn.opcode < row.first || insn.opcode > row.last {
            continue;
        }
        match matches(row, insn.prefixes, modrm) {
            None => return Some(TRUNCATED),
            Some(true) if row.name.is_some() => return row.name,
            Some(true) => break,
            Some(false) => {}
        }
    }
    match insn.names(R12) {
        None => Some(TRUNCATED),
        Some(true) => Some(TRUSTED),
        Some(false) => None,
    }
}

/// Whether a row fits; none if the ModRM byte it asks for is missing.
fn matches(row: &Row, prefixes: Prefixes, modrm: Option<u8>) -> Option<bool> {
    let prefix = match row.prefix {
        Prefix::Any => true,
        Prefix::Rep => prefixes.rep,
        Prefix::None => !(prefixes.rep || prefixes.repne || prefixes.opsize),
    };
    if matches!(row.modrm, Modrm::Any) {
        return Some(prefix);
    }
    let modrm = modrm?;
    let register = modrm >= 0xc0;
    let bit = 1 << (modrm >> 3 & 7);
    let fits = match row.modrm {
        Modrm::Any => true,
        Modrm::Reg(mask) => mask & bit != 0,
        Modrm::RegForm(mask) => register && mask & bit != 0,
        Modrm::MemForm(mask) => !register && mask & bit != 0,
        Modrm::Is(byte) => modrm == byte,
    };
    Some(prefix && fits)
}
