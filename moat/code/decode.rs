// SPDX-License-Identifier: GPL-2.0
//! Takes an x86 instruction apart: prefixes, opcode, ModRM, SIB.
//!
//! Reference: Intel SDM Vol. 2A, 2.1 "Instruction Format" and 2.2.1 "REX
//! Prefixes"; which opcodes have a ModRM byte: Vol. 2D, appendix A, tables A-2 to
//!
//!
//! Not its length: that comes from the kernel's decoder.

/// Longest instruction the CPU takes, in bytes.  Intel SDM Vol. 2A, 2.3.11.
const MAX_LEN: usize = 15;

/// Which opcode map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    One,
    /// After 0F.
    Two,
    /// After 0F 38.
    Three38,
    /// After 0F 3A.
    Three3a,
}

/// Prefixes seen; order is left out, because it only ever hides something.
#[derive(Clone, Copy, Default)]
pub struct Prefixes {
    pub rep: bool,
    pub repne: bool,
    pub opsize: bool,
    /// The bits of all REX prefixes; the CPU heeds only one right before the opcode.
    pub rex: u8,
}

/// REX: 8 to 15 for the register in ModRM.reg, SIB.index, and ModRM.rm, SIB.base or
/// the opcode.
const REX_R: u8 = 4;
const REX_X: u8 = 2;
const REX_B: u8 = 1;

/// An instruction up to its operands.
#[derive(Clone, Copy)]
pub struct Insn<'a> {
    pub prefixes: Prefixes,
    pub map: Map,
    pub opcode: u8,
    /// What follows the opcode.
    pub rest: &'a [u8],
}

impl<'a> Insn<'a> {
    /// What `bytes` begin with; none if they end before the opcode does, or have more
    /// prefixes than an instruction can.
    pub fn new(bytes: &'a [u8]) -> Option<Insn<'a>> {
        let mut prefixes = Prefixes::default();
        let mut at = 0;
        loop {
            match *bytes.get(at)? {
                _ if at >= MAX_LEN => return None,
                0xf3 => prefixes.rep = true,
                0xf2 => prefixes.repne = true,
                0x66 => prefixes.opsize = true,
                // Segments, address size, LOCK.
                0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 | 0x67 | 0xf0 => {}
                rex @ 0x40..=0x4f => prefixes.rex |= rex & 0xf,
                _ => break,
            }
            at += 1;
        }
        let (map, opcode_at) = match bytes[at..] {
            [0x0f, 0x38, ..] => (Map::Three38, at + 2),
            [0x0f, 0x3a, ..] => (Map::Three3a, at + 2),
            [0x0f, ..] => (Map::Two, at + 1),
            _ => (Map::One, at),
        };
        Some(Insn {
            prefixes,
            map,
            opcode: *bytes.get(opcode_at)?,
            rest: &bytes[opcode_at + 1..],
        })
    }

    /// Whether one of its fields for a register names register `n`, 8 to 15; none if
    /// a byte is missing that may.
    ///
    /// Some instructions have something else in these fields, or ignore REX: it is
    /// better to be told too much of an instruction that nobody emits.  No
    /// instruction has one of these registers as an operand that it does not name,
    /// but for what SYSCALL and SYSRET do with R11.
    pub fn names(&self, n: u8) -> Option<bool> {
        let has = |bit| self.prefixes.rex & bit != 0;
        let low = n & 7;
        if !has_modrm(self.map, self.opcode) {
            return Some(has(REX_B) && self.opcode & 7 == low);
        }
        let modrm = *self.rest.first()?;
        let (mode, reg, rm) = (modrm >> 6, modrm >> 3 & 7, modrm & 7);
        let mut named = has(REX_R) && reg == low;
        if mode == 3 || rm != 4 {
            named |= has(REX_B) && rm == low;
        } else {
            let sib = *self.rest.get(1)?;
            named |= has(REX_X) && sib >> 3 & 7 == low;
            named |= has(REX_B) && sib & 7 == low;
        }
        Some(named)
    }
}

/// Whether a ModRM byte follows the opcode.
fn has_modrm(map: Map, opcode: u8) -> bool {
    match map {
        Map::One => match opcode {
            0x00..=0x3f => opcode & 4 == 0,
            0x62 | 0x63 | 0x69 | 0x6b | 0x80..=0x8f => true,
            0xc0 | 0xc1 | 0xc4..=0xc7 | 0xd0..=0xd3 | 0xd8..=0xdf => true,
            0xf6 | 0xf7 | 0xfe | 0xff => true,
            _ => false,
        },
        Map::Two => !matches!(
            opcode,
            0x04..=0x0c | 0x0e | 0x30..=0x3f | 0x77 | 0x80..=0x8f | 0xa0..=0xa2 | 0xa8..=0xaa
                | 0xc8..=0xcf
        ),
        Map::Three38 | Map::Three3a => true,
    }
}
