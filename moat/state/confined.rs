// SPDX-License-Identifier: GPL-2.0
//! Classic filters that run plainly, confined by what they are converted to, and what else
//! is listed.

use super::arena::Id;
use super::{Book, State};
use crate::edge::ffi::Who;
use crate::edge::listing;
use crate::load::reason::Failure::NoMemory;
use crate::load::reason::Tried;
use crate::prog_types::ProgType;

/// A filter that MOAT leaves alone, and lists.
pub struct Confined {
    /// Of its kind.
    pub row: &'static ProgType,
    /// Who has attached it.
    pub by: Who,
    /// Under which it is listed in debugfs.
    number: u32,
}

/// What a line of `programs` in debugfs is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listed {
    Isolated(Id<Book>),
    Confined(Id<Confined>),
}

/// An id has 62 bits, and an entry of the list 63.
const CONFINED: u64 = 1 << 62;

impl Listed {
    /// It as a number of 63 bits; never 0.
    pub fn bits(self) -> u64 {
        match self {
            Listed::Isolated(id) => id.bits(),
            Listed::Confined(id) => id.bits() | CONFINED,
        }
    }

    /// What [`Listed::bits`] gave.
    pub fn from_bits(bits: u64) -> Option<Listed> {
        match bits & CONFINED {
            0 => Id::from_bits(bits).map(Listed::Isolated),
            _ => Id::from_bits(bits & !CONFINED).map(Listed::Confined),
        }
    }
}

impl State {
    /// Lists a filter that runs plainly.
    pub fn confine(&mut self, row: &'static ProgType, by: Who) -> Tried<Id<Confined>> {
        let room = self.confined.reserve()?;
        let id = room.insert(Confined { row, by, number: 0 });
        let number = listing::add(Listed::Confined(id));
        match self.confined.at_mut(id)? {
            filter if number != 0 => filter.number = number,
            _ => {
                self.confined.remove(id);
                return Err(NoMemory);
            }
        }
        Ok(id)
    }

    /// It is gone.
    pub fn forget(&mut self, id: Id<Confined>) {
        if let Some(filter) = self.confined.remove(id) {
            listing::remove(filter.number);
        }
    }
}
