// SPDX-License-Identifier: GPL-2.0
//! Programs are loaded and unloaded, and run while time passes.

use crate::balance::Heat;
use crate::books::{books, Checked, Loaded, Map};
use crate::domains::domains;
use crate::ffi::Lock;
use crate::policy::{self, Level};
use crate::program::Program;
use crate::system::{Ended, System};
use kernel::bindings::{bpf_map_inc, bpf_map_put, bpf_prog_aux};
use kernel::memory::Shortage;

const MOST_PROGRAMS: usize = 7;

impl System {
    pub fn load(&mut self, own: &[Map], level: Level, shortage: Option<Shortage>) -> Checked {
        if books(|books| books.programs.len()) == MOST_PROGRAMS {
            return Ok(());
        }
        self.last += 1;
        let aux = Box::into_raw(Box::new(bpf_prog_aux {
            id: self.last as u32,
        }));
        let program = Box::into_raw(Box::new(Program::new(aux, level)));
        // SAFETY: maps outlive the system; the verifier takes references.
        own.iter().for_each(|&map| unsafe { bpf_map_inc(map) });
        // SAFETY: just made.
        let ended = self.attempt(shortage, || unsafe { (*program).admit(own) })?;
        let loaded = Loaded::new(program, self.last, own.to_vec());
        match ended {
            Ended::Well => books(|books| books.programs.push(loaded)),
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
        // SAFETY: made by `load`, and in the books no more; it gives up its maps.
        unsafe {
            self.call(shortage, || (*loaded.program).release());
            drop(Box::from_raw((*loaded.program).aux));
            drop(Box::from_raw(loaded.program));
            loaded.own.iter().for_each(|&map| bpf_map_put(map));
        }
    }

    /// Programs run, one after the other so often, and a period has passed.
    pub fn balance(&mut self, runs: &[u16], shortage: Option<Shortage>) -> Checked {
        books(|books| {
            for (loaded, &runs) in books.programs.iter().zip(runs.iter().cycle()) {
                // SAFETY: its slots are a counter; see `moat_shim_alloc_slots`.
                unsafe { *(loaded.get().dom.slots as *mut u64) += u64::from(runs) };
            }
        });
        let (before, idle) = (heats(), policy::keys() == 0 && !keyed());
        self.call(shortage, || domains(&mut Lock::take()).balance());
        // Where nobody has a key or can have one, nobody is looked at.
        if idle && heats() != before {
            return Err("programs were compared for nothing".into());
        }
        self.finish()
    }
}

/// What is known of how often each program ran.
fn heats() -> Vec<Heat> {
    books(|books| books.programs.iter().map(|p| p.get().heat).collect())
}

/// Whether somebody has a key.
fn keyed() -> bool {
    books(|books| books.programs.iter().any(|p| p.get().is_keyed()))
}
