// SPDX-License-Identifier: GPL-2.0
//! Who may be killed when a map of maps has changed and there is no memory.

use crate::books::{books, Checked, Loaded, Map};
use std::collections::BTreeSet;

/// The programs that live when a change ends.
pub struct Victims {
    outer: Map,
    /// With what each finds.
    alive: Vec<(usize, BTreeSet<Map>)>,
}

impl Victims {
    /// `outer` has changed, which the module is about to be told.
    pub fn possible(outer: Map) -> Victims {
        let alive = |loaded: &&Loaded| loaded.is_alive();
        let with_maps = |loaded: &Loaded| (loaded.id, loaded.finds());
        let alive = books(|books| {
            let programs = books.programs.iter().filter(alive);
            programs.map(with_maps).collect()
        });
        Victims { outer, alive }
    }

    /// It was told: who lost nothing lives, unless nobody could see what went, and then
    /// all users of the map are dead.
    pub fn check(&self) -> Checked {
        books(|books| {
            let users = || {
                books
                    .programs
                    .iter()
                    .filter(|p| p.own.contains(&self.outer))
            };
            let blind = !users().any(Loaded::is_alive);
            for (id, found) in &self.alive {
                let Some(loaded) = books.programs.iter().find(|p| p.id == *id) else {
                    continue;
                };
                let lost = !found.is_subset(&books.due(loaded));
                let user = loaded.own.contains(&self.outer);
                if !(loaded.is_alive() || lost || user && blind) {
                    return Err(format!("program {id} died and had lost nothing"));
                }
            }
            Ok(())
        })
    }
}
