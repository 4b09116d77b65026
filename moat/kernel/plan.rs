// SPDX-License-Identifier: GPL-2.0
//! The two small programs that load and store the context of one.
//!
//! C header: [`include/linux/moat.h`], `struct moat_ctx_plan`

use super::anywhere::anywhere;
use super::given::Given;
use super::prog_aux::read;
use super::shims::given_back;
use crate::edge::ffi::moat_ctx_plan;
use core::ops::Deref;
use core::ptr::NonNull;
use kernel::bindings::{self, bpf_prog};

/// What a program's context accesses need; the programs of it are gone with this.
pub struct Plan(moat_ctx_plan);

anywhere!(Plan);

impl Plan {
    /// For a program that has none yet.
    pub fn none() -> Plan {
        Plan(moat_ctx_plan::default())
    }

    /// Where the code of the program is that loads, and of the one that stores; 0 if there is
    /// none.
    pub fn code(&self) -> (u64, u64) {
        let code = |prog: *mut bpf_prog| match prog.is_null() {
            true => 0,
            false => read!(prog, bpf_func).map_or(0, |f| f as usize as u64),
        };
        (code(self.0.load), code(self.0.store))
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

/// A program of a plan.
struct Own(NonNull<bpf_prog>);

given_back! {
    Own => bindings::bpf_prog_free, |prog| prog.0.as_ptr();
}

/// Context: process.  Nobody runs them any more.
impl Drop for Plan {
    fn drop(&mut self) {
        for prog in [self.0.load, self.0.store] {
            drop(NonNull::new(prog).map(Own));
        }
    }
}
