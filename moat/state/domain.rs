// SPDX-License-Identifier: GPL-2.0
//! Domains, and the map values that are in them.

use super::arena::Id;
use super::{Book, State};
use crate::edge::maps::HeldMap;
use crate::edge::window_pages;
use crate::pks::Key;
use crate::window::addresses::Range;
use kernel::prelude::*;

/// Memory that exactly the same programs use: the slots of one and the values of maps that
/// only it uses, or the values of maps that several share.
pub struct Domain {
    /// Its number, for people.
    pub number: u64,
    /// What its pages are tagged with, if not parked.
    pub key: Option<Key>,
    /// How often it was given one.
    pub binds: u64,
    /// The programs that use it, in order.
    pub users: Vec<Id<Book>>,
    pub maps: Vec<Id<MapValues>>,
    /// Slots of its only user, as (first address, bytes).
    pub area: Option<(u64, u64)>,
}

/// Values of one map, mapped where programs find them.  The kernel remembers its name with
/// the map, while isolated programs use it.
pub struct MapValues {
    pub map: HeldMap,
    /// First address.
    pub base: u64,
    /// In bytes.
    pub span: u64,
    /// Whether programs may write them.
    pub writable: bool,
    /// Which domain they are part of.
    pub domain: Id<Domain>,
    pub(super) range: Range,
}

impl Domain {
    /// What its pages are tagged with.
    pub fn tag(&self) -> Key {
        self.key.unwrap_or(Key::PARKED)
    }

    /// Whether it has no memory.
    pub fn is_empty(&self) -> bool {
        self.maps.is_empty() && self.area.is_none()
    }
}

impl State {
    /// The memory of a domain, as (first address, bytes).
    fn ranges<'a>(&'a self, domain: &'a Domain) -> impl Iterator<Item = (u64, u64)> + 'a {
        let values = domain.maps.iter().filter_map(|&map| self.values.get(map));
        let values = values.map(|values| (values.base, values.span));
        domain.area.into_iter().chain(values)
    }

    /// Pages that a domain has.
    pub fn pages(&self, domain: &Domain) -> u64 {
        self.ranges(domain).map(|(_, bytes)| bytes >> 12).sum()
    }

    /// Tags all pages of a domain with `key`.  Every TLB is flushed.
    pub(super) fn retag(&self, domain: Id<Domain>, key: Key) {
        if let Some(domain) = self.domains.get(domain) {
            for (base, bytes) in self.ranges(domain) {
                window_pages::set_key(base, bytes, key);
            }
        }
    }
}
