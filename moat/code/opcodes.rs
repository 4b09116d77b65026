// SPDX-License-Identifier: GPL-2.0
//! The table behind [`crate::sensitive`]: first row that fits decides.
//!
//! Reference: Intel SDM Vol. 2D, appendix A, tables; AMD APM Vol. 3,
//! appendix A, for what only AMD has.

use crate::code::decode::Map;

/// What a row asks of the prefixes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    Any,
    /// F3 is among them.
    Rep,
    /// Neither F3, F2 nor 66 is among them.
    None,
}

/// What a row asks of the ModRM byte.  A mask has bit `r` for `/r`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Modrm {
    /// Nothing; there may be none.
    Any,
    Reg(u8),
    RegForm(u8),
    MemForm(u8),
    Is(u8),
}

/// Opcodes `first..=last` of `map`.
pub struct Row {
    pub map: Map,
    pub first: u8,
    pub last: u8,
    pub modrm: Modrm,
    pub prefix: Prefix,
    /// The mnemonic; none if the instruction is harmless.
    pub name: Option<&'static str>,
}

const fn row(map: Map, first: u8, last: u8, modrm: Modrm, name: &'static str) -> Row {
    Row {
        map,
        first,
        last,
        modrm,
        prefix: Prefix::Any,
        name: Some(name),
    }
}

/// One-byte opcodes `first..=last`.
const fn one(first: u8, last: u8, name: &'static str) -> Row {
    row(Map::One, first, last, Modrm::Any, name)
}

/// Opcode 0F `op`.
const fn two(op: u8, name: &'static str) -> Row {
    row(Map::Two, op, op, Modrm::Any, name)
}

/// Opcode 0F `op` with a condition on ModRM.
const fn two_if(op: u8, modrm: Modrm, name: &'static str) -> Row {
    row(Map::Two, op, op, modrm, name)
}

/// Group 5 (FF) `/reg`.
const fn group5(reg: u8, name: &'static str) -> Row {
    row(Map::One, 0xff, 0xff, Modrm::Reg(1 << reg), name)
}

const fn harmless(op: u8, modrm: Modrm, prefix: Prefix) -> Row {
    Row {
        map: Map::Two,
        first: op,
        last: op,
        modrm,
        prefix,
        name: None,
    }
}

const ALL: u8 = 0xff;

pub static ROWS: &[Row] = &[
    // Ports.
    one(0x6c, 0x6d, "INS"),
    one(0x6e, 0x6f, "OUTS"),
    one(0xe4, 0xe5, "IN"),
    one(0xe6, 0xe7, "OUT"),
    one(0xec, 0xed, "IN"),
    one(0xee, 0xef, "OUT"),
    // Flags and modes.
    one(0x9d, 0x9d, "POPF"),
    one(0xf4, 0xf4, "HLT"),
    one(0xfa, 0xfa, "CLI"),
    one(0xfb, 0xfb, "STI"),
    // Segments.
    one(0x8e, 0x8e, "MOV to segment"),
    // Where to go next, from a register or from memory.
    one(0xc2, 0xc3, "RET"),
    one(0xca, 0xcb, "far RET"),
    one(0xcf, 0xcf, "IRET"),
    // Leaves its return address where the program can write it.
    one(0xe8, 0xe8, "CALL"),
    group5(2, "indirect CALL"),
    group5(3, "far CALL"),
    group5(4, "indirect JMP"),
    group5(5, "far JMP"),
    // Into the kernel by a door that is not a gate.
    one(0xcc, 0xcc, "INT3"),
    one(0xcd, 0xcd, "INT"),
    one(0xf1, 0xf1, "INT1"),
    // A transaction hides its faults.
    row(Map::One, 0xc6, 0xc6, Modrm::Is(0xf8), "XABORT"),
    row(Map::One, 0xc7, 0xc7, Modrm::Is(0xf8), "XBEGIN"),
    // Not in 64-bit mode, or another encoding space there: POP of a segment,
    // PUSH of one, BCD, PUSHA, POPA, INTO, SALC, far pointers.
    one(0x06, 0x07, "(invalid)"),
    one(0x0e, 0x0e, "(invalid)"),
    one(0x16, 0x17, "(invalid)"),
    one(0x1e, 0x1f, "(invalid)"),
    one(0x27, 0x27, "(invalid)"),
    one(0x2f, 0x2f, "(invalid)"),
    one(0x37, 0x37, "(invalid)"),
    one(0x3f, 0x3f, "(invalid)"),
    one(0x60, 0x61, "(invalid)"),
    one(0x82, 0x82, "(invalid)"),
    one(0x9a, 0x9a, "far CALL"),
    one(0xce, 0xce, "(invalid)"),
    one(0xd4, 0xd6, "(invalid)"),
    one(0xea, 0xea, "far JMP"),
    // The JIT of 6.1 emits no vector code, and vector registers are the user's.
    one(0x62, 0x62, "EVEX"),
    one(0xc4, 0xc5, "VEX"),
    row(Map::One, 0x8f, 0x8f, Modrm::Reg(ALL - 1), "XOP"),
    // Segments and descriptor tables.
    two_if(0x00, Modrm::Reg(1 << 2), "LLDT"),
    two_if(0x00, Modrm::Reg(1 << 3), "LTR"),
    two_if(0x01, Modrm::MemForm(1 << 0), "SGDT"),
    two_if(0x01, Modrm::MemForm(1 << 1), "SIDT"),
    two_if(0x01, Modrm::MemForm(1 << 2), "LGDT"),
    two_if(0x01, Modrm::MemForm(1 << 3), "LIDT"),
    two_if(0x01, Modrm::MemForm(1 << 5), "RSTORSSP"),
    two_if(0x01, Modrm::Reg(1 << 4), "SMSW"),
    two_if(0x01, Modrm::Reg(1 << 6), "LMSW"),
    two_if(0x01, Modrm::MemForm(1 << 7), "INVLPG"),
    two_if(0x01, Modrm::Is(0xca), "CLAC"),
    two_if(0x01, Modrm::Is(0xcb), "STAC"),
    two_if(0x01, Modrm::Is(0xd1), "XSETBV"),
    two_if(0x01, Modrm::Is(0xef), "WRPKRU"),
    two_if(0x01, Modrm::Is(0xf8), "SWAPGS"),
    // Virtual machines, enclaves, MONITOR, ends of transactions and the like.
    two_if(0x01, Modrm::Reg(ALL), "system group 0F 01"),
    two(0xa1, "POP FS"),
    two(0xa9, "POP GS"),
    two(0xb2, "LSS"),
    two(0xb4, "LFS"),
    two(0xb5, "LGS"),
    // Between privilege levels.
    two(0x05, "SYSCALL"),
    two(0x07, "SYSRET"),
    two(0x34, "SYSENTER"),
    two(0x35, "SYSEXIT"),
    two(0x37, "GETSEC"),
    two(0xaa, "RSM"),
    // Registers that hold rights.
    two(0x06, "CLTS"),
    two(0x20, "MOV from CR"),
    two(0x21, "MOV from DR"),
    two(0x22, "MOV to CR"),
    two(0x23, "MOV to DR"),
    two(0x24, "MOV from TR"),
    two(0x26, "MOV to TR"),
    two(0x30, "WRMSR"),
    two(0x32, "RDMSR"),
    two(0x33, "RDPMC"),
    two(0x78, "VMREAD"),
    two(0x79, "VMWRITE"),
    // Caches.
    two(0x08, "INVD"),
    two(0x09, "WBINVD"),
    // Processor state; of this group only LFENCE, MFENCE, SFENCE are harmless.
    harmless(0xae, Modrm::RegForm(1 << 5 | 1 << 6 | 1 << 7), Prefix::None),
    Row {
        map: Map::Two,
        first: 0xae,
        last: 0xae,
        modrm: Modrm::RegForm(1 << 2),
        prefix: Prefix::Rep,
        name: Some("WRFSBASE"),
    },
    Row {
        map: Map::Two,
        first: 0xae,
        last: 0xae,
        modrm: Modrm::RegForm(1 << 3),
        prefix: Prefix::Rep,
        name: Some("WRGSBASE"),
    },
    two_if(0xae, Modrm::MemForm(1 << 5), "XRSTOR"),
    two_if(0xae, Modrm::Reg(ALL), "state group 0F AE"),
    // Of this group only CMPXCHG8B and CMPXCHG16B are harmless.
    harmless(0xc7, Modrm::MemForm(1 << 1), Prefix::Any),
    two_if(0xc7, Modrm::MemForm(1 << 3), "XRSTORS"),
    two_if(0xc7, Modrm::Reg(ALL), "state group 0F C7"),
    // Translations, shadow stacks, work queues.
    row(Map::Three38, 0x80, 0x80, Modrm::Any, "INVEPT"),
    row(Map::Three38, 0x81, 0x81, Modrm::Any, "INVVPID"),
    row(Map::Three38, 0x82, 0x82, Modrm::Any, "INVPCID"),
    row(Map::Three38, 0xf5, 0xf5, Modrm::Any, "WRUSS"),
    row(Map::Three38, 0xf6, 0xf6, Modrm::Any, "WRSS"),
    row(Map::Three38, 0xf8, 0xf8, Modrm::Any, "ENQCMD"),
    row(Map::Three3a, 0xf0, 0xf0, Modrm::Any, "HRESET"),
];
