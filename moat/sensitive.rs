// SPDX-License-Identifier: GPL-2.0
//! Which x86 instructions no isolated program may hold.
//!
//! Reference: Intel SDM Vol. 2, appendix A "Opcode Map"; Vol. 3A, 5.9
//! "Privileged Instructions".
//!
//! An isolated program runs in ring 0, so only PKRS and the image itself hold it
//! back.  None of these may begin where an instruction of the image begins: what
//! changes rights or modes, what reaches devices, and what takes the next
//! instruction from a register or from memory the program can write (I1).
//! Direct jumps and calls stay, and they are checked against the boundary map.
//!
//! Only prefixes, opcode and ModRM are looked at; lengths come from the kernel's
//! instruction decoder.

use crate::opcodes::{Map, Modrm, Prefix, Row, ROWS};

/// What is told of bytes that end before they can be judged, or that have more
/// prefixes than an instruction can.
pub const TRUNCATED: &str = "(truncated)";

/// Longest instruction the CPU takes, in bytes.  Intel SDM Vol. 2A, 2.3.11.
const MAX_LEN: usize = 15;

/// Prefixes seen; order is left out, because it only ever hides something.
#[derive(Clone, Copy, Default)]
struct Prefixes {
    rep: bool,
    repne: bool,
    opsize: bool,
}

/// The mnemonic of the instruction that `bytes` begin with, if it is sensitive.
pub fn classify(bytes: &[u8]) -> Option<&'static str> {
    let mut prefixes = Prefixes::default();
    let mut at = 0;
    loop {
        match bytes.get(at) {
            None => return Some(TRUNCATED),
            Some(_) if at >= MAX_LEN => return Some(TRUNCATED),
            Some(0xf3) => prefixes.rep = true,
            Some(0xf2) => prefixes.repne = true,
            Some(0x66) => prefixes.opsize = true,
            // Segments, address size, LOCK, REX.
            Some(0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 | 0x67 | 0xf0 | 0x40..=0x4f) => {}
            Some(_) => break,
        }
        at += 1;
    }
    let (map, opcode_at) = match bytes[at..] {
        [0x0f, 0x38, ..] => (Map::Three38, at + 2),
        [0x0f, 0x3a, ..] => (Map::Three3a, at + 2),
        [0x0f, ..] => (Map::Two, at + 1),
        _ => (Map::One, at),
    };
    let opcode = match bytes.get(opcode_at) {
        Some(opcode) => *opcode,
        None => return Some(TRUNCATED),
    };
    let modrm = bytes.get(opcode_at + 1).copied();
    for row in ROWS {
        if row.map != map || opcode < row.first || opcode > row.last {
            continue;
        }
        match matches(row, prefixes, modrm) {
            None => return Some(TRUNCATED),
            Some(true) => return row.name,
            Some(false) => {}
        }
    }
    None
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
