// SPDX-License-Identifier: GPL-2.0
//! The two small programs that load and store the context of one.
//!
//! C header: [`include/linux/moat.h`], `struct moat_ctx_plan`

use super::anywhere::anywhere;
use super::given::Given;
use super::prog_aux::read;
use super::shims::given_back;
use crate::edge::ffi::{self, moat_ctx_plan};
use core::ffi::c_void;
use core::ops::Deref;
use core::ptr::{null_mut, NonNull};
use kernel::bindings::{self, bpf_prog, moat_sockets};

/// What a program's context accesses need; the programs of it are gone with this.
pub struct Plan(Kept);

/// What runs, and who lays slots out, have to know of `struct moat_ctx_plan`.
pub struct Kept {
    pub load: *mut bpf_prog,
    pub store: *mut bpf_prog,
    pub sockets: *mut moat_sockets,
    pub snap_size: u32,
    pub max_pkt_offset: u32,
    pub leaf: bool,
    pub reads_pkt: bool,
    pub reads_meta: bool,
    pub writes_pkt: bool,
    pub writes_fields: bool,
    pub reads_sk: bool,
    pub classic: bool,
    pub called_with: CalledWith,
}

/// What an extension is called with; other programs are with their context.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum CalledWith {
    Context,
    /// And with numbers.
    More,
    /// With numbers, if with anything.
    NoContext,
}

impl Kept {
    fn of(plan: moat_ctx_plan) -> Kept {
        Kept {
            load: plan.load,
            store: plan.store,
            sockets: plan.sockets,
            snap_size: plan.snap_size,
            max_pkt_offset: plan.max_pkt_offset,
            leaf: plan.leaf,
            reads_pkt: plan.reads_pkt,
            reads_meta: plan.reads_meta,
            writes_pkt: plan.writes_pkt,
            writes_fields: plan.writes_fields,
            reads_sk: plan.reads_sk,
            classic: plan.classic,
            called_with: match (plan.bare, plan.args) {
                (true, _) => CalledWith::NoContext,
                (_, true) => CalledWith::More,
                _ => CalledWith::Context,
            },
        }
    }
}

anywhere!(Plan);

impl Plan {
    /// For a program that has none yet.
    pub fn none() -> Plan {
        Plan(Kept::of(moat_ctx_plan::default()))
    }

    /// Bytes of the copy of a socket as structures of the kernel's.
    pub fn struct_size(&self) -> u64 {
        self.sockets().map_or(0, |sockets| sockets.size.into())
    }

    /// What it reads of sockets.
    pub fn sockets(&self) -> Option<&moat_sockets> {
        // SAFETY: liveness: ours, with us, or null.  Nobody writes there any more.
        unsafe { self.0.sockets.as_ref() }
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
        Plan(Kept::of(given.get()))
    }
}

impl Deref for Plan {
    type Target = Kept;

    fn deref(&self) -> &Kept {
        &self.0
    }
}

/// A program of a plan.
struct Own(NonNull<bpf_prog>);

/// What it reads of sockets.
struct Sockets(NonNull<moat_sockets>);

given_back! {
    Own => bindings::bpf_prog_free, |prog| prog.0.as_ptr();
    Sockets => ffi::moat_shim_free, |sockets| sockets.0.as_ptr() as *mut c_void;
}

/// Context: process.  Nobody runs them any more.
impl Drop for Plan {
    fn drop(&mut self) {
        let copy = self.sockets().map_or(null_mut(), |sockets| sockets.copy);
        for prog in [self.0.load, self.0.store, copy] {
            drop(NonNull::new(prog).map(Own));
        }
        drop(NonNull::new(self.0.sockets).map(Sockets));
    }
}
