// SPDX-License-Identifier: GPL-2.0
//! A decoder of its own for the tests: how long an instruction is, whether a general
//! register is one of its operands, and where it jumps.
//!
//! Written from Intel SDM Vol. 2D, appendix A, in its notation: E is ModRM.rm, a
//! register or memory; M the same where it is memory only, or another kind of
//! register; R a register only; G is ModRM.reg; Z the low bits of the opcode; J, I
//! and O are a distance, a constant and an address; `b`, `w`, `z` and `v` their sizes.
//! Operands without a letter here name no general register, or always the same one.

/// Operands of one-byte opcodes from 0x40 up.  Prefixes and what is invalid in 64-bit
/// mode, VEX, EVEX: `!`.
const ONE: [&str; 192] = [
    "!", "!", "!", "!", "!", "!", "!", "!", "!", "!", "!", "!", "!", "!", "!", "!", // 40
    "Z", "Z", "Z", "Z", "Z", "Z", "Z", "Z", "Z", "Z", "Z", "Z", "Z", "Z", "Z", "Z", // 50
    "!", "!", "!", "G E", "!", "!", "!", "!", // 60
    "Iz", "G E Iz", "Ib", "G E Ib", "", "", "", "", // 68
    "Jb", "Jb", "Jb", "Jb", "Jb", "Jb", "Jb", "Jb", // 70
    "Jb", "Jb", "Jb", "Jb", "Jb", "Jb", "Jb", "Jb", // 78
    "E Ib", "E Iz", "!", "E Ib", "E G", "E G", "E G", "E G", // 80
    "E G", "E G", "E G", "E G", "E", "G M", "E", "E", // 88
    "Z", "Z", "Z", "Z", "Z", "Z", "Z", "Z", // 90
    "", "", "!", "", "", "", "", "", // 98
    "O", "O", "O", "O", "", "", "", "", // a0
    "Ib", "Iz", "", "", "", "", "", "", // a8
    "Z Ib", "Z Ib", "Z Ib", "Z Ib", "Z Ib", "Z Ib", "Z Ib", "Z Ib", // b0
    "Z Iv", "Z Iv", "Z Iv", "Z Iv", "Z Iv", "Z Iv", "Z Iv", "Z Iv", // b8
    "E Ib", "E Ib", "Iw", "", "!", "!", "E Ib", "E Iz", // c0
    "Iw Ib", "", "Iw", "", "", "Ib", "!", "", // c8
    "E", "E", "E", "E", "!", "!", "!", "", // d0
    "M", "M", "M", "M", "M", "M", "M", "M", // d8
    "Jb", "Jb", "Jb", "Jb", "Ib", "Ib", "Ib", "Ib", // e0
    "Jz", "Jz", "!", "Jb", "", "", "", "", // e8
    "!", "", "!", "!", "", "", "E 3", "E 3", // f0
    "", "", "", "", "", "", "E", "E", // f8
];

/// Operands of opcodes after 0F.
const TWO: [&str; 256] = [
    "E", "E", "G E", "G E", "!", "", "", "", "", "", "!", "", "!", "M", "", "M Ib", // 00
    "M", "M", "M", "M", "M", "M", "M", "M", "E", "E", "E", "E", "E", "E", "E", "E", // 10
    "R", "R", "R", "R", "!", "!", "!", "!", "M", "M", "E", "M", "G M", "G M", "M", "M", // 20
    "", "", "", "", "", "", "!", "", "!", "!", "!", "!", "!", "!", "!", "!", // 30
    "G E", "G E", "G E", "G E", "G E", "G E", "G E", "G E", // 40
    "G E", "G E", "G E", "G E", "G E", "G E", "G E", "G E", // 48
    "G M", "M", "M", "M", "M", "M", "M", "M", "M", "M", "M", "M", "M", "M", "M", "M", // 50
    "M", "M", "M", "M", "M", "M", "M", "M", "M", "M", "M", "M", "M", "M", "E", "M", // 60
    "M Ib", "M Ib", "M Ib", "M Ib", "M", "M", "M", "", // 70
    "G E", "G E", "!", "!", "M", "M", "E", "M", // 78
    "Jz", "Jz", "Jz", "Jz", "Jz", "Jz", "Jz", "Jz", // 80
    "Jz", "Jz", "Jz", "Jz", "Jz", "Jz", "Jz", "Jz", // 88
    "E", "E", "E", "E", "E", "E", "E", "E", "E", "E", "E", "E", "E", "E", "E", "E", // 90
    "", "", "", "E G", "E G Ib", "E G", "!", "!", // a0
    "", "", "", "E G", "E G Ib", "E G", "E", "G E", // a8
    "E G", "E G", "G M", "E G", "G M", "G M", "G E", "G E", // b0
    "G E", "G E", "E Ib", "E G", "G E", "G E", "G E", "G E", // b8
    "E G", "E G", "M Ib", "G M", "E Ib", "G M Ib", "M Ib", "E", // c0
    "Z", "Z", "Z", "Z", "Z", "Z", "Z", "Z", // c8
    "M", "M", "M", "M", "M", "M", "M", "G M", "M", "M", "M", "M", "M", "M", "M", "M", // d0
    "M", "M", "M", "M", "M", "M", "M", "M", "M", "M", "M", "M", "M", "M", "M", "M", // e0
    "M", "M", "M", "M", "M", "M", "M", "M", "M", "M", "M", "M", "M", "M", "M", "G E", // f0
];

/// Operands of opcodes after 0F 38 and 0F 3A; those that are not defined are taken
/// for vector instructions.
fn three(escape: u8, opcode: u8) -> &'static str {
    match (escape, opcode) {
        (0x38, 0x80..=0x82 | 0xf0 | 0xf1 | 0xf5..=0xfc) => "G E",
        (0x38, _) => "M",
        (_, 0x14..=0x17 | 0x20 | 0x22) => "E Ib",
        (_, _) => "M Ib",
    }
}

/// An instruction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decoded {
    pub len: usize,
    /// Bit `n`: general register `n` is an operand, or part of an address.
    pub registers: u16,
    /// Bit `n`: one of the fields for registers says `n`, heeded or not.
    pub fields: u16,
    /// Bytes from its end, if it jumps or calls directly.
    pub by: Option<i32>,
    pub call: bool,
    /// Whether what follows it comes next, too.
    pub runs_on: bool,
}

fn little(bytes: &[u8]) -> i32 {
    match *bytes {
        [a] => i32::from(a as i8),
        [a, b] => i32::from(i16::from_le_bytes([a, b])),
        [a, b, c, d] => i32::from_le_bytes([a, b, c, d]),
        _ => 0,
    }
}

/// What `bytes` begin with; none if that is no instruction, or not all of one.
pub fn decode(bytes: &[u8]) -> Option<Decoded> {
    let legacy = |b: &&u8| {
        matches!(
            **b,
            0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3
        )
    };
    let prefixes = bytes.iter().take_while(legacy).count();
    let opsize = bytes[..prefixes].contains(&0x66);
    let addrsize = bytes[..prefixes].contains(&0x67);
    let mut at = prefixes;
    let mut rex = 0;
    if let Some(0x40..=0x4f) = bytes.get(at) {
        rex = bytes[at];
        at += 1;
    }
    let extended = |bit: u8, low: u8| (rex >> bit & 1) << 3 | low & 7;
    let opcode = *bytes.get(at)?;
    at += 1;
    let second = *bytes.get(at).unwrap_or(&0);
    let mut last = opcode;
    let operands = match (opcode, second) {
        (0x0f, escape @ (0x38 | 0x3a)) => {
            at += 2;
            three(escape, *bytes.get(at - 1)?)
        }
        (0x0f, _) => {
            at += 1;
            last = *bytes.get(at - 1)?;
            TWO[last as usize]
        }
        (0x00..=0x3f, _) => match opcode & 7 {
            0..=3 => "E G",
            4 => "Ib",
            5 => "Iz",
            _ => "!",
        },
        _ => ONE[opcode as usize - 0x40],
    };

    let mut d = Decoded {
        runs_on: !(opcode == 0xe9 || opcode == 0xeb),
        call: opcode == 0xe8,
        ..Decoded::default()
    };
    let mut immediate = 0;
    let has = |letters: &str| {
        operands
            .split(' ')
            .any(|o| letters.contains(&o[..o.len().min(1)]) && !o.is_empty())
    };
    if has("!") {
        return None;
    }
    if has("EMRG") {
        let modrm = *bytes.get(at)?;
        at += 1;
        let (mode, reg, rm) = (modrm >> 6, modrm >> 3 & 7, modrm & 7);
        d.fields |= 1 << extended(2, reg);
        if has("G") {
            d.registers |= 1 << extended(2, reg);
        }
        if has("3") && reg < 2 {
            immediate += if opcode == 0xf6 {
                1
            } else if opsize && rex & 8 == 0 {
                2
            } else {
                4
            };
        }
        if mode == 3 || has("R") {
            d.fields |= 1 << extended(0, rm);
            if has("ER") {
                d.registers |= 1 << extended(0, rm);
            }
        } else {
            let mut base = Some(extended(0, rm));
            let mut relative = mode == 0 && rm == 5;
            if rm == 4 {
                let sib = *bytes.get(at)?;
                at += 1;
                relative = mode == 0 && sib & 7 == 5;
                base = Some(extended(0, sib));
                let index = extended(1, sib >> 3);
                d.fields |= 1 << index;
                if index != 4 {
                    d.registers |= 1 << index;
                }
            }
            d.fields |= 1 << extended(0, if rm == 4 { bytes[at - 1] } else { rm });
            if relative {
                base = None;
            }
            if let Some(base) = base {
                d.registers |= 1 << base;
            }
            at += match mode {
                1 => 1,
                2 => 4,
                _ if relative => 4,
                _ => 0,
            };
        }
    } else {
        d.fields |= 1 << extended(0, last);
    }
    for operand in operands.split(' ') {
        match operand {
            "Z" => d.registers |= 1 << extended(0, last),
            "Ib" | "Jb" => immediate += 1,
            "Iw" => immediate += 2,
            "Jz" => immediate += 4,
            "Iz" => immediate += if opsize && rex & 8 == 0 { 2 } else { 4 },
            "Iv" if rex & 8 != 0 => immediate += 8,
            "Iv" => immediate += if opsize { 2 } else { 4 },
            "O" => immediate += if addrsize { 4 } else { 8 },
            _ => {}
        }
    }
    d.len = at + immediate;
    if d.len > bytes.len() || d.len > 15 {
        return None;
    }
    if has("J") {
        d.by = Some(little(&bytes[at..d.len]));
    }
    Some(d)
}
