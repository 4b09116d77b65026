// SPDX-License-Identifier: GPL-2.0
//! How long have programs been sending this packet on?
//!
//! C header: [`include/linux/moat_line.h`]
//!
//! What a program sends may start runs, which send again.  Such packets are of one
//! line: a packet inherits when its line began, and so does its clone.  Halfway to
//! the budget, whoever sends it next puts its name there.  If it comes back to that
//! program when the budget is used up, then it goes round, and this program is one of
//! those that keep it going; others may only have been on the way.

/// What a packet tells of its line: 8 bits for when it began, 16 for a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line(u32);

/// Ticks of the clock that lines go by, in a second.
pub const PER_SECOND: u64 = 2;

/// A value of the 8 bits stands for no line at all.
const ROUND: u64 = 255;

/// A program, among those that send at one time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Name(u16);

impl Name {
    /// By its number.  Those of two programs are the same once in 65,535 times.
    pub const fn of(id: u32) -> Name {
        Name((id % 0xffff + 1) as u16)
    }
}

/// Whether the packet may be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Age {
    /// Yes, and this is what it is to tell from then on.
    Young(Line),
    /// Its line has gone on for longer than the budget.
    Old {
        /// And the program that is to send it has been one of those that sent it.
        returned: bool,
    },
}

impl Line {
    /// Of a packet that no program sent.
    pub const NONE: Line = Line(0);

    /// As a packet has it.
    pub const fn from_bits(bits: u32) -> Line {
        Line(bits & 0xff_ffff)
    }

    /// For a packet.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// What to make of a packet of this line that `name` is to send at `now`, in ticks
    /// of any clock that goes on for ever; `budget` in ticks, below 240.
    ///
    /// Lines are told apart from younger ones for some two minutes.
    pub const fn judge(self, name: Name, now: u64, budget: u64) -> Age {
        let began = (self.0 & 0xff) as u64;
        if began == 0 {
            return Age::Young(Line((now % ROUND + 1) as u32));
        }
        let age = (now % ROUND + 1 + ROUND - began) % ROUND;
        let sender = (self.0 >> 8) as u16;
        if age > budget {
            return Age::Old {
                returned: sender == name.0,
            };
        }
        if sender == 0 && 2 * age >= budget {
            return Age::Young(Line(self.0 | (name.0 as u32) << 8));
        }
        Age::Young(self)
    }
}
