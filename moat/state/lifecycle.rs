// SPDX-License-Identifier: GPL-2.0
//! Programs come and go.

use super::arena::Id;
use super::maps_of_maps::is_outer;
use super::sharing::one;
use super::{Area, Book, Listed, State};
use crate::edge::held::Held;
use crate::edge::listing;
use crate::edge::maps::Map;
use crate::edge::memory::{Slots, Zeroed};
use crate::edge::window_pages;
use crate::load::map_calls;
use crate::load::reason::Failure::NoMemory;
use crate::load::reason::Tried;
use crate::maps::types::MapTypes;
use crate::run::program::{OwnMaps, Program, UsedMap};
use crate::state::ranking::{Budget, Heat};
use kernel::prelude::*;

/// Where a program's slots are, and what belongs to them.
pub struct Layout {
    pub area: Area,
    pub slots: Slots,
    pub shadows: Zeroed<u64>,
    pub grants: Zeroed<u64>,
}

/// Whether programs that use `map` need its values in the window: they may have addresses
/// of these, or it is of a type that cannot be isolated, which will be said then.
pub(super) fn has_values_in_window(map: Map<'_>) -> bool {
    !MapTypes::WITHOUT_ADDRESSES.contains(map.info().ty)
}

impl State {
    /// Gives a program, which has slots, all it needs to run.  It runs nowhere yet, and is
    /// viewed.  Whatever this ends in, the program is to leave.
    pub fn admit(&mut self, program: Held<Program>, layout: Layout, maps: &[Map<'_>]) -> Tried<()> {
        let id = self.join(program, layout)?;
        program.book.set(id);
        let mut used = Vec::new();
        used.try_reserve(maps.len()).map_err(|_| NoMemory)?;
        for &map in maps {
            let values = match has_values_in_window(map) {
                true => Some(self.use_map(&[id], map)?),
                false => None,
            };
            let values = match values {
                Some(values) => Some(self.values.at(values)?),
                None => None,
            };
            let _ = used.try_push(UsedMap::new(map, values));
        }
        let calls = map_calls::all(&program, &used, maps)?;
        program.maps.set(OwnMaps { used, calls });
        for &map in maps.iter().filter(|&&map| is_outer(map)) {
            self.use_outer(id, map)?;
        }
        if !self.promote(id) {
            self.make_view(id)?;
        }
        self.promote_neighbours(id);
        self.park_idle();
        let book = self.programs.at_mut(id)?;
        book.number = listing::add(Listed::Isolated(id));
        match book.number {
            0 => Err(NoMemory),
            _ => Ok(()),
        }
    }

    /// Takes in a program with its slots, in a domain of its own.
    fn join(&mut self, program: Held<Program>, mut layout: Layout) -> Tried<Id<Book>> {
        let area = (layout.area.base, layout.area.len);
        let room = match self.programs.reserve() {
            Ok(room) => room,
            Err(why) => {
                if let Some((range, len)) = layout.area.give_up() {
                    self.unmap(range, len);
                    layout.area.is_unmapped();
                }
                return Err(why);
            }
        };
        let id = room.insert(Book {
            program,
            set: Vec::new(),
            outers: Vec::new(),
            heat: Heat::new(),
            view: None,
            layout,
            number: 0,
        });
        match one(id).and_then(|users| self.new_domain(users)) {
            Ok(domain) => self.domains.at_mut(domain)?.area = Some(area),
            Err(why) => {
                self.release_area(id);
                self.programs.remove(id);
                return Err(why);
            }
        }
        window_pages::start_balancing(Budget::PERIOD_MS);
        Ok(id)
    }

    /// Takes out a program that has no run left, with what only it used.  What is returned
    /// is to be dropped when the lock is free: it may be many pages.
    #[must_use]
    pub fn leave(&mut self, program: &Program) -> Option<Book> {
        let id = *program.book.get()?;
        let view = self.programs.get_mut(id).and_then(|book| {
            listing::remove(core::mem::take(&mut book.number));
            book.view.take()
        });
        if let Some(view) = view {
            self.drop_view(view);
        }
        self.leave_outers(id);
        self.leave_domains(id);
        self.release_area(id);
        let book = self.programs.remove(id);
        self.park_idle();
        book
    }

    /// Unmaps its slots.
    pub(super) fn release_area(&mut self, program: Id<Book>) {
        let book = self.programs.get_mut(program);
        let (range, len) = match book.and_then(|book| book.layout.area.give_up()) {
            Some(range) => range,
            None => return,
        };
        self.unmap(range, len);
        if let Some(book) = self.programs.get_mut(program) {
            book.layout.area.is_unmapped();
        }
    }
}
