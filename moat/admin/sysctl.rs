// SPDX-License-Identifier: GPL-2.0
//! What the administrator wants: `/proc/sys/kernel/moat/`.
//!
//! - `<program type>`: 0 none, 1 integrity, 2 confidentiality; for programs loaded
//!   from then on.
//! - `keys`: how many protection keys programs may use, 0 to 13; with 0 all run in
//!   views.  Taken into account within 100 ms.
//! - `budget`: how long a run may go on once it was interrupted, in seconds, 1 to 60.
//! - `confined`: 1 lets classic filters run plainly whose kind has a level, 0 isolates them,
//!   too; for filters attached from then on.
//! - `strict`: 1 refuses what cannot be isolated, 0 runs it plainly (I8).

#![forbid(unsafe_code)]

use crate::edge::sysctl::{Entry, Sysctls};
use crate::edge::this_cpu;
use crate::pks::Key;
use crate::prog_types::ROWS;
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::prelude::*;

pub use crate::prog_types::Level;

const ZERO: AtomicU32 = AtomicU32::new(0);

/// For each row, what its sysctl holds.
static LEVELS: [AtomicU32; ROWS.len()] = [ZERO; ROWS.len()];
static STRICT: AtomicU32 = AtomicU32::new(1);
static CONFINED: AtomicU32 = ZERO;
static KEYS: AtomicU32 = AtomicU32::new(Key::PROGRAMS as u32);
static MOST_KEYS: AtomicU32 = AtomicU32::new(Key::PROGRAMS as u32);
static ONE: AtomicU32 = AtomicU32::new(1);
static TWO: AtomicU32 = AtomicU32::new(2);
static MINUTE: AtomicU32 = AtomicU32::new(60);

fn entry(name: &'static str, value: &'static AtomicU32, max: &'static AtomicU32) -> Entry {
    Entry {
        name,
        value,
        min: None,
        max,
    }
}

/// Makes them.  Context: module initialisation.
pub fn register() -> Result<Sysctls> {
    let mut entries = Vec::new();
    for (row, level) in ROWS.iter().zip(&LEVELS) {
        let max = match row.max_level {
            Level::Integrity => &ONE,
            Level::Confidentiality => &TWO,
        };
        entries.try_push(entry(row.sysctl, level, max))?;
    }
    let budget = Entry {
        min: Some(&ONE),
        ..entry("budget\0", this_cpu::budget(), &MINUTE)
    };
    entries.try_push(entry("strict\0", &STRICT, &ONE))?;
    entries.try_push(entry("confined\0", &CONFINED, &ONE))?;
    entries.try_push(entry("keys\0", &KEYS, &MOST_KEYS))?;
    entries.try_push(budget)?;
    Sysctls::register("kernel/moat\0", &entries)
}

/// What the administrator wants for programs of type `ty`.  Nothing is to be had for a
/// type without a row.
pub fn level(ty: u32) -> Option<Level> {
    let i = ROWS.iter().position(|row| row.number == ty)?;
    Level::of_sysctl(LEVELS.get(i)?.load(Ordering::Relaxed))
}

/// Whether programs of some type are to be isolated.
pub fn any() -> bool {
    LEVELS
        .iter()
        .any(|level| level.load(Ordering::Relaxed) != 0)
}

/// How many protection keys programs may use.
pub fn keys() -> usize {
    KEYS.load(Ordering::Relaxed) as usize
}

/// Whether classic filters are left to what they are converted to.
pub fn confined() -> bool {
    CONFINED.load(Ordering::Relaxed) != 0
}

/// Whether what cannot be isolated is refused.
pub fn strict() -> bool {
    STRICT.load(Ordering::Relaxed) != 0
}
