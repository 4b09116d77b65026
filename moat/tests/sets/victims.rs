// SPDX-License-Identifier: GPL-2.0
//! Who may be killed when a map of maps has changed and there is no memory.

use crate::books::{books, Checked, Loaded, Map};
use std::collections::BTreeSet;

/// The programs that live when something is gone, with what each finds.
pub struct Victims(Vec<(usize, BTreeSet<Map>)>);

impl Victims {
    /// The module is about to be told.
    pub fn possible() -> Victims {
        let alive = |loaded: &&Loaded| loaded.is_alive();
        let with_maps = |loaded: &Loaded| (loaded.id, loaded.finds());
        Victims(books(|books| {
            let programs = books.programs.iter().filter(alive);
            programs.map(with_maps).collect()
        }))
    }

    /// It was told: who lost nothing lives.
    pub fn check(&self) -> Checked {
        books(|books| {
            for (id, found) in &self.0 {
                let Some(loaded) = books.programs.iter().find(|p| p.id == *id) else {
                    continue;
                };
                let lost = !found.is_subset(&books.due(loaded));
                if !(loaded.is_alive() || lost) {
                    return Err(format!("program {id} died and had lost nothing"));
                }
            }
            Ok(())
        })
    }
}
