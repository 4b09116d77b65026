// SPDX-License-Identifier: GPL-2.0
//! The two small programs that load and store the context of one.
//!
//! C header: [`include/linux/moat.h`], `struct moat_ctx_plan`

use super::anywhere::anywhere;
use super::given::Given;
use super::prog_aux::read;
use crate::edge::ffi::moat_ctx_plan;
use core::ops::Deref;
use kernel::bindings;

/// What a program's context accesses need; the programs of it are gone with this.
pub struct Plan(moat_ctx_plan);

anywhere!(Plan);

impl Plan {
    /// For a program that has none yet.
    pub fn none() -> Plan {
        Plan(moat_ctx_plan::default())
    }

    /// Where the code of the program is that loads; 0 if there is none.
    pub fn loader(&self) -> u64 {
        match self.0.load.is_null() {
            true => 0,
            false => read!(self.0.load, bpf_func).map_or(0, |f| f as usize as u64),
        }
    }
}

/// Its programs, compiled or null, are handed over, and to nobody else.
impl From<Given<moat_ctx_plan>> for Plan {
    fn from(given: Given<moat_ctx_plan>) -> Plan {
        Plan(given.get())
    }
}

impl Deref for Plan {
    type Target = moat_ctx_plan;

    fn deref(&self) -> &moat_ctx_plan {
        &self.0
    }
}

/// Context: process.  Nobody runs them any more.
impl Drop for Plan {
    fn drop(&mut self) {
        for prog in [self.0.load, self.0.store] {
            if !prog.is_null() {
                // SAFETY: handed over as `From` says, freed once; a program's runs end
                // before its plan is dropped.
                unsafe { bindings::bpf_prog_free(prog) };
            }
        }
    }
}
