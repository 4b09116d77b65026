// SPDX-License-Identifier: GPL-2.0
//! What the lock guards: who uses what, where it is in the window, who has keys.
//!
//! Programs, domains, values and maps of maps are in arenas and name one another by
//! [`Id`].  What runs read is not here: see [`Program`].
//!
//! Context: process, with the lock held: whoever has a [`State`] has it from
//! [`Locked`](crate::edge::lock::Locked).

#![forbid(unsafe_code)]

pub mod arena;
mod confined;
mod domain;
mod growth;
mod lifecycle;
mod maps_of_maps;
pub mod ranking;
mod residence;
mod sharing;
mod space;

pub use confined::{Confined, Listed};
pub use domain::{Domain, MapValues};
pub use lifecycle::Layout;
pub use maps_of_maps::Outer;
pub use space::{Area, View};

use crate::admin::again::Untold;
use crate::edge::held::Held;
use crate::keyalloc::KeyAlloc;
use crate::run::program::Program;
use crate::state::ranking::{Budget, Heat};
use crate::window::addresses::Window;
use crate::window::flush_epoch::FlushEpochs;
use crate::window::pcids::Pcids;
use arena::{Arena, Id};
use kernel::prelude::*;

/// Words of the window's bitmaps: 131,072 granules, 256 GiB.
const WORDS: usize = 2048;

/// All of it; there is one.
pub struct State {
    pub programs: Arena<Book>,
    pub domains: Arena<Domain>,
    pub values: Arena<MapValues>,
    outers: Arena<Outer>,
    pub confined: Arena<Confined>,
    pub keys: KeyAlloc,
    budget: Budget,
    /// Nobody had reason to compare programs when that was done last.
    rested: bool,
    /// Domains made so far: the last one's number.
    last_domain: u64,
    epochs: FlushEpochs,
    window: Window<WORDS>,
    pcids: Pcids,
    /// Who was told why something is not isolated.
    pub untold: Untold,
}

/// What is known of a program that its runs need not know.
pub struct Book {
    pub program: Held<Program>,
    /// The domains it uses; its own is the first.
    pub set: Vec<Id<Domain>>,
    /// The maps of maps that it uses.
    outers: Vec<Id<Outer>>,
    pub heat: Heat,
    pub view: Option<View>,
    layout: Layout,
    /// Under which it is listed in debugfs, or 0.
    number: u32,
}

impl Book {
    /// How often the program began to run, on all CPUs.
    pub fn runs(&self) -> u64 {
        self.layout.slots.runs()
    }
}

impl State {
    pub const fn new() -> State {
        State {
            programs: Arena::new(),
            domains: Arena::new(),
            values: Arena::new(),
            outers: Arena::new(),
            confined: Arena::new(),
            keys: KeyAlloc::new(),
            budget: Budget::new(),
            rested: false,
            last_domain: 0,
            epochs: FlushEpochs::new(),
            window: Window::new(),
            pcids: Pcids::new(),
            untold: Untold::new(),
        }
    }

    /// Gives back what memory is left with nothing in it.
    pub fn clear(&mut self) {
        self.programs = Arena::new();
        self.domains = Arena::new();
        self.values = Arena::new();
        self.outers = Arena::new();
        self.confined = Arena::new();
    }
}
