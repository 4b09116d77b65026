// SPDX-License-Identifier: GPL-2.0
//! Programs are loaded and unloaded, and run while time passes.

use crate::admin::sysctl::{self, Level};
use crate::books::{books, Checked, Loaded, Map};
use crate::changes::borrowed;
use crate::edge::given::Given;
use crate::edge::lock::Locked;
use crate::load;
use crate::plans::{self, Kind};
use crate::state::ranking::Heat;
use crate::system::{Ended, System};
use kernel::bindings::{bpf_map_inc, bpf_map_put, bpf_prog_aux};
use kernel::memory::Shortage;
use std::mem::ManuallyDrop;

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
        // SAFETY: it is freed after the program.
        let known = unsafe { Given::new(aux.cast_const()) }.into();
        let program = load::candidate(known, draft.ty, level).ok_or("no memory, for once")?;
        // SAFETY: maps outlive the system; the verifier takes references.
        own.iter().for_each(|&map| unsafe { bpf_map_inc(map) });
        // SAFETY: as above.
        let maps: Vec<_> = own.iter().map(|&map| unsafe { borrowed(map) }).collect();
        // SAFETY: its programs were made for it.
        let plan = unsafe { Given::new(draft.plan) }.into();
        let facts = draft.facts();
        let mut made = None;
        let ended = self.attempt(shortage, || {
            let (loaded, ended) = load::admit(program, plan, Ok(draft.calls), facts, &maps);
            made = Some(loaded);
            ended
        })?;
        let program = made.ok_or("it is gone")?;
        let loaded = Loaded::new(program, aux, self.last, own.to_vec());
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
        let program = ManuallyDrop::into_inner(loaded.program);
        self.call(shortage, || load::release(program));
        // SAFETY: made by `load`; the program is gone, and the verifier gives up its maps.
        unsafe {
            drop(Box::from_raw(loaded.aux));
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
        let (before, idle) = (heats(), sysctl::keys() == 0 && !keyed());
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
