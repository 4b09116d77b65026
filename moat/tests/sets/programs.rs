// SPDX-License-Identifier: GPL-2.0
//! Programs are loaded and unloaded, and run while time passes.

use crate::balance::Heat;
use crate::books::{books, Checked, Loaded, Map};
use crate::changes::borrowed;
use crate::edge::lock::Locked;
use crate::load;
use crate::plans::{self, Kind};
use crate::policy::{self, Level};
use crate::prog_types;
use crate::system::{Ended, System};
use kernel::bindings::{bpf_map_inc, bpf_map_put, bpf_prog_aux};
use kernel::memory::Shortage;

const MOST_PROGRAMS: usize = 7;

impl System {
    pub fn load(
        &mut self,
        own: &[Map],
        level: Level,
        kind: Kind,
        shortage: Option<Shortage>,
    ) -> Checked {
        if books(|books| books.programs.len()) == MOST_PROGRAMS {
            return Ok(());
        }
        self.last += 1;
        let aux = Box::into_raw(Box::new(bpf_prog_aux {
            id: self.last as u32,
        }));
        let draft = kind.draft();
        let program = prog_types::find(draft.ty)
            .and_then(|row| load::candidate(aux, row, level))
            .ok_or("no memory, for once")?;
        let program = Box::into_raw(program);
        // SAFETY: maps outlive the system; the verifier takes references.
        own.iter().for_each(|&map| unsafe { bpf_map_inc(map) });
        // SAFETY: as above.
        let maps: Vec<_> = own.iter().map(|&map| unsafe { borrowed(map) }).collect();
        // SAFETY: just made of a box, and nobody else has it.
        let ended = self.attempt(shortage, || unsafe {
            load::admit(program, &draft.plan, Ok(draft.calls), draft.facts(), &maps)
        })?;
        let loaded = Loaded::new(program, self.last, own.to_vec());
        match ended {
            Ended::Well => {
                plans::check_slots(loaded.get(), kind)?;
                books(|books| books.programs.push(loaded));
            }
            Ended::Failed => {
                let lasts = shortage.filter(|shortage| shortage.lasts);
                self.free(loaded, lasts.map(|lasts| Shortage { after: 0, ..lasts }));
            }
        }
        self.finish()
    }

    pub fn unload(&mut self, i: usize, shortage: Option<Shortage>) -> Checked {
        let loaded = books(|books| match books.programs.len() {
            0 => None,
            n => Some(books.programs.swap_remove(i % n)),
        });
        if let Some(loaded) = loaded {
            self.free(loaded, shortage);
        }
        self.finish()
    }

    fn free(&mut self, loaded: Loaded, shortage: Option<Shortage>) {
        // SAFETY: made by `load`, and in the books no more, so that it does not run; the
        // verifier gives up its maps.
        unsafe {
            let aux = loaded.get().aux;
            self.call(shortage, || load::release(loaded.program));
            drop(Box::from_raw(aux));
            loaded.own.iter().for_each(|&map| bpf_map_put(map));
        }
    }

    /// Programs run, one after the other so often, and a period has passed.
    pub fn balance(&mut self, runs: &[u16], shortage: Option<Shortage>) -> Checked {
        books(|books| {
            for (loaded, &runs) in books.programs.iter().zip(runs.iter().cycle()) {
                plans::run(loaded.get(), runs);
            }
        });
        let (before, idle) = (heats(), policy::keys() == 0 && !keyed());
        self.call(shortage, || Locked::take().balance());
        // Where nobody has a key or can have one, nobody is looked at.
        if idle && heats() != before {
            return Err("programs were compared for nothing".into());
        }
        self.finish()
    }
}

/// What is known of how often each program ran.
fn heats() -> Vec<Heat> {
    Locked::take()
        .programs
        .iter()
        .map(|(_, book)| book.heat)
        .collect()
}

/// Whether somebody has a key.
fn keyed() -> bool {
    books(|books| books.programs.iter().any(|p| p.get().is_keyed()))
}
