// SPDX-License-Identifier: GPL-2.0
//! What there is before anything is loaded.

use crate::books::Map;
use crate::maps::types::{ARRAY, ARRAY_OF_MAPS, HASH};
use kernel::account::Account;
use kernel::bindings::{bpf_map, moat_values, BPF_F_RDONLY_PROG};
use kernel::machine::GRANULE;
use std::ptr::null_mut;

/// Bytes of values: less than a granule, one, and more, perhaps not all of them at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Size {
    Page,
    Granule,
    Granules,
    /// So many, of which the first has pages.
    Growing,
}

/// See the module documentation.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How many keys programs may use.
    pub keys: usize,
    /// Maps, and whether programs may only read them.
    pub maps: Vec<(Size, bool)>,
    /// Maps of maps, by how many slots they have.
    pub outers: Vec<usize>,
}

impl Size {
    fn bytes(self) -> u64 {
        match self {
            Size::Page => 4096,
            Size::Granule => GRANULE,
            Size::Granules => GRANULE + 4096,
            Size::Growing => 4 * GRANULE,
        }
    }

    fn filled(self) -> u64 {
        match self {
            Size::Growing => GRANULE,
            _ => self.bytes(),
        }
    }
}

fn new_map(span: u64, filled: u64, slots: usize, flags: u32) -> Map {
    Box::into_raw(Box::new(bpf_map {
        map_type: match span {
            0 => ARRAY_OF_MAPS,
            4096 => HASH,
            _ => ARRAY,
        },
        key_size: 4,
        value_size: 8,
        max_entries: slots.max(1) as u32,
        map_flags: flags,
        inner_map_meta: null_mut(),
        spin_lock_off: -1,
        timer_off: -1,
        name: [0; 16],
        moat: moat_values { values: null_mut() },
        refcnt: 1,
        span,
        filled,
        told: filled,
        inner: vec![null_mut(); slots],
        account: Account::default(),
    }))
}

impl Setup {
    /// A map that has no place in the window.
    pub fn unplaced() -> Map {
        let map = new_map(0, 0, 0, 0);
        // SAFETY: just made.
        unsafe { (*map).map_type = ARRAY };
        map
    }

    /// Makes the maps.
    pub fn maps(&self) -> Vec<Map> {
        let flags = |read_only| if read_only { BPF_F_RDONLY_PROG } else { 0 };
        let map = |&(size, read_only): &(Size, bool)| {
            new_map(size.bytes(), size.filled(), 0, flags(read_only))
        };
        self.maps.iter().map(map).collect()
    }

    /// Makes the maps of maps, with nothing in them.
    pub fn outers(&self) -> Vec<Map> {
        let outer = |&slots: &usize| new_map(0, 0, slots, 0);
        self.outers.iter().map(outer).collect()
    }
}
