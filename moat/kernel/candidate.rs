// SPDX-License-Identifier: GPL-2.0
//! `struct moat_candidate`: a program that is to be admitted, and what the kernel knows.
//!
//! C header: [`include/linux/moat.h`].  Context: process; the thread that loads the program.

use super::given::Given;
use super::loaded::Loaded;
use super::maps::Map;
use super::plan::Plan;
use super::prog::{Mine, Prog};
use super::writers::Log;
use crate::edge::ffi;
use crate::load::calls::Kfunc;
use crate::load::reason::{Failure, Text, Tried};
use crate::run::program::Program;
use core::ptr::null_mut;
use kernel::bindings::{self, bpf_map, moat_candidate};
use kernel::prelude::*;

/// See the module documentation.
pub struct Candidate<'a> {
    mine: Mine<'a>,
    it: &'a moat_candidate,
    maps: &'a [Option<Map<'a>>],
    plan: Option<Plan>,
    found: Option<Found<'a>>,
    log: Log<'a>,
}

/// What the kernel has found.
pub struct Found<'a> {
    /// In words.
    pub text: &'static str,
    /// `BPF_FUNC_*` of the helper that is called, or 0.
    pub helper: u32,
    /// The function of the kernel that is called.
    pub func: Option<Text>,
    /// Index of the instruction.
    pub insn: Option<u32>,
    /// What it is about.
    pub map: Option<Map<'a>>,
}

impl<'a> From<Given<*const moat_candidate>> for Candidate<'a> {
    fn from(given: Given<*const moat_candidate>) -> Candidate<'a> {
        let it: &'a moat_candidate = given.borrow();
        let reason = &it.reason;
        // SAFETY: liveness: by contract of `Given::new` what it points to is there for the
        // call: constants of the kernel, BTF, the log, maps that the verifier has references
        // on and its array of so many.  What that holds is what an optional `Map` is.  If
        // there is no reason there is a plan, whose programs are ours from here on.
        unsafe {
            let found = (!reason.text.is_null()).then(|| Found {
                text: Given::new(reason.text).into(),
                helper: reason.helper,
                func: (!reason.func.is_null()).then(|| {
                    let func: &str = Given::new(reason.func).into();
                    Text::new(func.bytes())
                }),
                insn: u32::try_from(reason.insn).ok(),
                map: Given::new(reason.map as *mut bpf_map).into(),
            });
            let log = match it.env.is_null() {
                true => Log::none(),
                false => Given::new(ffi::moat_shim_log_of(it.env)).into(),
            };
            let maps = match it.nr_maps as usize {
                0 => &[],
                n => core::slice::from_raw_parts(it.maps.cast(), n),
            };
            Candidate {
                mine: Given::new(it.prog).into(),
                it,
                maps,
                plan: found.is_none().then(|| Given::new(*it.plan).into()),
                found,
                log,
            }
        }
    }
}

impl<'a> Candidate<'a> {
    /// The program.
    pub fn prog(&self) -> Prog<'a> {
        *self.mine
    }

    /// What `begin` has stored with it, and is not stored any more.
    pub fn take(&mut self) -> Option<Box<Program>> {
        let program = self.mine.swap(null_mut());
        // SAFETY: liveness: `begin` stored a box's content.  Aliasing: it was never shared.
        program.map(|program| unsafe { Box::from_raw(program.as_ptr()) })
    }

    /// Makes it isolated.
    pub fn admit(mut self, program: Loaded) {
        self.mine.store(program);
    }

    /// The functions whose addresses it takes, a bit each.
    pub fn callbacks(&self) -> [u64; 4] {
        self.it.callbacks
    }

    /// Its plan, once; none if there is a reason not to isolate it.
    pub fn take_plan(&mut self) -> Option<Plan> {
        self.plan.take()
    }

    /// The maps that it uses.
    pub fn maps(&self) -> Tried<Vec<Map<'a>>> {
        let mut maps = Vec::new();
        for &map in self.maps.iter().flatten() {
            maps.try_push(map).map_err(|_| Failure::NoMemory)?;
        }
        Ok(maps)
    }

    /// What the kernel has found that is in the way, once.
    pub fn take_found(&mut self) -> Option<Found<'a>> {
        self.found.take()
    }

    /// The number that who wrote the program knows instruction `insn` by, an index of the
    /// verifier's.
    pub fn insn_number(&self, insn: u32) -> u32 {
        match self.it.env.is_null() {
            true => insn,
            // SAFETY: liveness: the verifier's, which waits.
            false => unsafe { ffi::moat_shim_insn_number(self.it.env, insn) },
        }
    }

    /// What instruction `i` calls, a function of the kernel's that is no helper.
    pub fn kfunc(&self, i: usize) -> Option<Kfunc<'a>> {
        let insn: *const _ = self.prog().insns().get(i)?;
        let mut func = 0;
        if self.it.env.is_null() {
            return None;
        }
        // SAFETY: liveness: the verifier's, which waits, and one of its instructions; there is
        // room for what is filled in.  A name of BTF, which the program has a reference on.
        let name = unsafe { bindings::moat_kfunc(self.it.env, insn, &mut func) };
        (!name.is_null()).then(|| Kfunc {
            // SAFETY: as above.
            name: unsafe { Given::new(name) }.into(),
            func,
        })
    }

    /// How many references and records it may hold at once, and how large one of these is,
    /// in bytes.
    pub fn most(&self) -> (u32, u32) {
        let (mut refs, mut record) = (0, 0);
        if !self.it.env.is_null() {
            // SAFETY: liveness: the verifier's, which waits; there is room for what is filled
            // in.
            unsafe { ffi::moat_shim_most(self.it.env, &mut refs, &mut record) };
        }
        (refs, record)
    }

    /// The log of the verifier; a classic filter has none.
    pub fn log(&self) -> Log<'a> {
        self.log
    }
}
