// SPDX-License-Identifier: GPL-2.0
//! Does an image keep to instructions that somebody has judged?
//!
//! Every one of them is judged (`code/sensitive.rs`), every direct jump leads to one of
//! them or out by a way that the caller knows, and none runs on past the end.
//! Decision 0022.
//!
//! Reference: Intel SDM Vol. 2A, "Jcc", "JMP", "LOOP/LOOPcc".

use crate::code::insn_starts::{Boundaries, Builder};
use crate::code::sensitive;
use crate::edge::off;

/// Why an image is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// Bytes that are no instruction.
    Undecodable,
    /// An instruction that no program may have.
    Holds(&'static str),
    /// A direct jump with a prefix: some CPUs take its length to be another.
    Prefixed,
    /// A jump out of the image to this address, where none may lead.
    Astray(u64),
    /// Where no instruction begins, a jump leads.
    Between,
    /// An instruction that does not jump, and behind which the image ends.
    RunsOn,
}

/// What is wrong, and how many bytes into the image.
pub type Found = (usize, Bad);

/// A direct jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// Bytes from the end of the instruction.
    pub by: i32,
    /// Whether it is never not taken.
    pub always: bool,
}

/// What `insn`, one whole instruction, is if it jumps directly.
pub fn jump(insn: &[u8]) -> Result<Option<Jump>, Bad> {
    let (always, by) = match *insn {
        [0xeb, by] => (true, i32::from(by as i8)),
        [0x70..=0x7f | 0xe0..=0xe3, by] => (false, i32::from(by as i8)),
        [0xe9, a, b, c, d] => (true, i32::from_le_bytes([a, b, c, d])),
        [0x0f, 0x80..=0x8f, a, b, c, d] => (false, i32::from_le_bytes([a, b, c, d])),
        _ if is_jump(insn) => return Err(Bad::Prefixed),
        _ => return Ok(None),
    };
    Ok(Some(Jump { by, always }))
}

/// Whether it is one however it is encoded.
fn is_jump(insn: &[u8]) -> bool {
    use crate::code::decode::{Insn, Map};

    match Insn::new(insn).map(|insn| (insn.map, insn.opcode)) {
        Some((Map::One, opcode)) => {
            matches!(opcode, 0x70..=0x7f | 0xe0..=0xe3 | 0xe9 | 0xeb)
        }
        Some((Map::Two, opcode)) => matches!(opcode, 0x80..=0x8f),
        _ => false,
    }
}

/// Goes through the image `code` that will be at `start`, and marks in `marks` where
/// its instructions begin; `targets` is as long, and scratch.
///
/// `length` tells how long the instruction is that a slice begins with, 0 if that is
/// none.  `leaves` is asked of each jump out of the image: the offset of what follows
/// it, and the address it leads to; false if none may lead there.
pub fn walk<'a>(
    code: &[u8],
    start: u64,
    mut marks: Builder<'a>,
    mut targets: Builder<'_>,
    mut length: impl FnMut(&[u8]) -> usize,
    mut leaves: impl FnMut(usize, u64) -> bool,
) -> Result<Boundaries<'a>, Found> {
    let mut at = 0;
    let mut ends = (0, false);
    while at < code.len() {
        let bad = |what| (at, what);
        let len = length(&code[at..]);
        let insn = match code[at..].get(..len) {
            Some(insn) if len != 0 => insn,
            _ => return Err(bad(Bad::Undecodable)),
        };
        match sensitive::classify(insn) {
            Some(name) if !off::sensitive() => return Err(bad(Bad::Holds(name))),
            _ => {}
        }
        let jump = jump(insn).map_err(bad)?;
        let next = at + len;
        if let Some(Jump { by, .. }) = jump {
            let to = (next as u64).wrapping_add(by as u64);
            if to < code.len() as u64 {
                let _ = targets.mark(to as usize);
            } else if !leaves(next, start.wrapping_add(to)) && !off::jumps() {
                return Err(bad(Bad::Astray(start.wrapping_add(to))));
            }
        }
        let _ = marks.mark(at);
        ends = (at, jump.map_or(false, |jump| jump.always));
        at = next;
    }
    let marks = marks.finish();
    match targets.finish().first_not_in(&marks) {
        Some(to) if !off::jumps() => Err((to, Bad::Between)),
        _ if !ends.1 => Err((ends.0, Bad::RunsOn)),
        _ => Ok(marks),
    }
}
