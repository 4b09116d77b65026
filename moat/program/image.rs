// SPDX-License-Identifier: GPL-2.0
//! The compiled images of a program, their calls, and the sites of these.
//!
//! Context: process; the thread that loads the program.

use super::{Coded, Name, Program, INVAL, NOMEM, PAGE};
use crate::boundary::{self, Builder};
use crate::ffi::{self, Table, Zeroed};
use crate::helpers::contract::{Arg, Contract, Ret, XDP};
use crate::helpers::table;
use crate::report;
use crate::sensitive;
use crate::sites;
use core::ffi::c_void;
use core::sync::atomic::Ordering;
use kernel::bindings;
use kernel::prelude::*;

/// Puts `item` where `name` is, or at the end; images are compiled in order, so
/// that the names are sorted, and all of them once before the first is finished.
fn put<T: Copy>(
    names: &mut Table<Name>,
    items: &mut Table<T>,
    name: Name,
    item: T,
) -> Coded<usize> {
    match names.binary_search(&name) {
        Ok(i) => {
            items[i] = item;
            Ok(i)
        }
        Err(at) if at < names.len() => Err(INVAL),
        Err(at) => {
            items.reserve().ok_or(NOMEM)?;
            names.push(name).ok_or(NOMEM)?;
            items.push(item).ok_or(NOMEM)?;
            Ok(at)
        }
    }
}

impl Program {
    /// Which image `ip` is in, and where in it.
    pub fn locate(&self, ip: u64) -> Option<(usize, u64)> {
        self.images
            .iter()
            .position(|image| ip.wrapping_sub(image.start) < image.len)
            .map(|i| (i, ip - self.images[i].start))
    }

    /// Which enter gate the image jumps to.
    pub fn enter_gate(&self) -> unsafe extern "C" fn() {
        if self.dom.flags & bindings::MOAT_DOM_LOAD != 0 {
            ffi::moat_enter_load
        } else {
            ffi::moat_enter
        }
    }

    /// Registers a helper call.  Returns where the image enters the site.
    pub fn add_site(
        &mut self,
        prog: &bindings::bpf_prog,
        name: Name,
        func: *const c_void,
        ret: ffi::moat_return_t,
    ) -> Coded<usize> {
        let known = self
            .sites
            .iter()
            .rev()
            .take(64)
            .find(|s| s.func == func as u64);
        let id = match known {
            Some(site) => site.id as i32,
            // SAFETY: `prog` is a program being compiled.
            None => unsafe { bindings::moat_call_target(prog, func) },
        };
        let contract = match table::contract(id as u32) {
            Some(contract) if id > 0 && contract.refused.is_none() => contract,
            _ => return Err(INVAL),
        };
        let plain = self.unaudited(contract);
        let site = ffi::moat_site {
            ret,
            entry: if plain {
                func as u64
            } else {
                ffi::addr(ffi::moat_audit)
            },
            func: func as u64,
            contract: contract as *const Contract as u64,
            id: id as u64,
        };
        let before = self.sites.len();
        put(&mut self.site_names, &mut self.sites, name, site)?;
        if self.sites.len() > before && !self.images.is_empty() {
            // Sites that were written point at those that just moved.
            return Err(INVAL);
        }
        self.dom.sites = self.sites.as_ptr() as u64;
        self.dom.nr_sites = self.sites.len() as u64;
        Ok(sites::entry(plain))
    }

    /// Registers a local call.  Returns the number it pushes.
    pub fn add_return(&mut self, name: Name, ret: ffi::moat_return_t) -> Coded<u32> {
        let n = put(&mut self.return_names, &mut self.returns, name, ret)?;
        self.dom.returns = self.returns.as_ptr() as u64;
        self.dom.nr_returns = self.returns.len() as u64;
        Ok(n as u32)
    }

    /// Whether a site can call the helper straight away; then it does not keep
    /// the third argument and those after it.
    fn unaudited(&self, contract: &Contract) -> bool {
        contract.is_plain()
            && (contract.sends.is_none() || self.ty == XDP)
            && !contract.effects.store_ctx
            && contract.bounce.is_none()
            && matches!(contract.args[2], Arg::None)
            && matches!(contract.ret, Ret::Scalar)
    }

    /// Takes a finished image: checks where its instructions begin, and that none
    /// of them is one a program must not have; writes its sites.
    pub fn add_image(
        &mut self,
        image: u32,
        (start, code): (u64, &[u8]),
        (sites_at, rw_sites): (u64, &mut [[u8; sites::SIZE]]),
        callee_regs: bool,
    ) -> Coded<()> {
        let mut bits = Zeroed::<u64>::new(boundary::words(code.len())).ok_or(NOMEM)?;
        let mut map = Builder::new(bits.slice_mut(), code.len()).ok_or(INVAL)?;
        let mut at = 0;
        while at < code.len() {
            // SAFETY: reads at most the bytes that are left.
            let len = unsafe {
                bindings::moat_insn_length(
                    code[at..].as_ptr().cast(),
                    (code.len() - at).min(15) as i32,
                )
            };
            if len <= 0 || at + len as usize > code.len() {
                return Err(INVAL);
            }
            let insn = &code[at..at + len as usize];
            if let Some(what) = sensitive::classify(insn) {
                return Err(report::bad_image(self, what));
            }
            let _ = map.mark(at);
            let next = at + insn.len();
            if at / PAGE as usize != next / PAGE as usize {
                // Images may have a million instructions.
                // SAFETY: process context, no lock held.
                unsafe { ffi::moat_shim_cond_resched() };
            }
            at = next;
        }
        self.boundaries.try_push(bits).map_err(|_| NOMEM)?;
        let boundaries = match self.boundaries.last() {
            Some(bits) => bits.addr(),
            None => return Err(INVAL),
        };
        self.write_sites(image, sites_at, rw_sites)?;
        self.images
            .try_push(ffi::moat_image {
                start,
                len: code.len() as u64,
                boundaries,
                sites: sites_at,
                sites_len: (rw_sites.len() * sites::SIZE) as u64,
            })
            .map_err(|_| NOMEM)?;
        if callee_regs {
            // Others may be moving the program to another layer meanwhile.
            self.flags()
                .fetch_or(bindings::MOAT_DOM_CALLEE, Ordering::Relaxed);
        }
        self.dom.images = self.images.as_ptr() as u64;
        self.dom.nr_images = self.images.len() as u32;
        Ok(())
    }

    /// `rw_sites` will be at `at`.  From here on `sites` may not move.
    fn write_sites(&self, image: u32, at: u64, rw_sites: &mut [[u8; sites::SIZE]]) -> Coded<()> {
        for (n, code) in rw_sites.iter_mut().enumerate() {
            let i = self
                .site_names
                .binary_search(&(image, n as u32))
                .map_err(|_| INVAL)?;
            let at = at + (n * sites::SIZE) as u64;
            if !sites::write(code, at, &self.sites[i], &self.dom) {
                return Err(INVAL);
            }
        }
        Ok(())
    }
}
