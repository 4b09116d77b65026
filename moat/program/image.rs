// SPDX-License-Identifier: GPL-2.0
//! The compiled images of a program, their calls, and the sites of these.
//!
//! Context: process; the thread that loads the program.

use super::{Coded, Name, Program, INVAL, NOMEM, PAGE};
use crate::boundary::{self, Builder};
use crate::ffi::{self, Table, Zeroed};
use crate::helpers::contract::{Arg, Contract, Ret, XDP};
use crate::helpers::table;
use crate::sites;
use crate::violation;
use crate::walk::{walk, Bad};
use core::ffi::c_void;
use core::sync::atomic::Ordering;
use kernel::bindings;

/// `BPF_MAX_SUBPROGS`: `include/linux/bpf_verifier.h`.
const MAX_IMAGES: usize = ffi::BPF_MAX_SUBPROGS as usize;

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
        let entry = Program::entry(&site);
        let before = self.sites.len();
        put(&mut self.site_names, &mut self.sites, name, site)?;
        if self.sites.len() > before && !self.images.is_empty() {
            // Sites that were written point at those that just moved.
            return Err(INVAL);
        }
        self.dom.sites = self.sites.as_ptr() as u64;
        self.dom.nr_sites = self.sites.len() as u64;
        Ok(entry)
    }

    /// Where in a site the image enters it.
    fn entry(site: &ffi::moat_site) -> usize {
        sites::entry(site.entry == site.func)
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

    /// Takes a finished image, number `image` of `of`: checks where its instructions
    /// begin, that none of them is one a program must not have, and where they lead;
    /// writes its sites.  With the last one the program can run.
    pub fn add_image(
        &mut self,
        (image, of): (u32, u32),
        (start, code): (u64, &[u8]),
        (sites_at, rw_sites): (u64, &mut [[u8; sites::SIZE]]),
        callee_regs: bool,
    ) -> Coded<()> {
        if image as usize != self.images.len() || image >= of {
            return Err(INVAL);
        }
        let nr_sites = rw_sites.len();
        self.check(image, (start, code), (sites_at, nr_sites))?;
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
                sites_len: (nr_sites * sites::SIZE) as u64,
            })
            .map_err(|_| NOMEM)?;
        if callee_regs {
            // Others may be moving the program to another layer meanwhile.
            self.flags()
                .fetch_or(bindings::MOAT_DOM_CALLEE, Ordering::Relaxed);
        }
        self.dom.images = self.images.as_ptr() as u64;
        self.dom.nr_images = self.images.len() as u32;
        if self.images.len() == of as usize {
            self.check_calls_between_images()?;
            // A run before this would have ended at its first instruction.
            self.dom.body = self.images[0].start;
        }
        Ok(())
    }

    /// Whether image `image` keeps to its instructions, to the starts of others, to
    /// its own sites and its own gate; notes where its instructions begin.
    fn check(
        &mut self,
        image: u32,
        (start, code): (u64, &[u8]),
        (sites_at, nr_sites): (u64, usize),
    ) -> Coded<()> {
        let mut bits = Zeroed::<u64>::new(boundary::words(code.len())).ok_or(NOMEM)?;
        let mut scratch = Zeroed::<u64>::new(boundary::words(code.len())).ok_or(NOMEM)?;
        let marks = Builder::new(bits.slice_mut(), code.len()).ok_or(INVAL)?;
        let targets = Builder::new(scratch.slice_mut(), code.len()).ok_or(INVAL)?;
        let gate = match image {
            0 => ffi::addr(ffi::moat_exit),
            _ => ffi::addr(ffi::moat_return),
        };
        let names = &self.site_names;
        let sites = &self.sites;
        let called = &mut self.called;
        let mut left = code.len();
        let mut memory = true;
        let length = |rest: &[u8]| {
            if left / PAGE as usize != rest.len() / PAGE as usize {
                // Images may have a million instructions.
                // SAFETY: process context, no lock held.
                unsafe { ffi::moat_shim_cond_resched() };
            }
            left = rest.len();
            // SAFETY: reads at most the bytes that are left.
            let len = unsafe {
                bindings::moat_insn_length(rest.as_ptr().cast(), rest.len().min(15) as i32)
            };
            len.max(0) as usize
        };
        let leaves = |next: usize, to: u64| {
            let off = to.wrapping_sub(sites_at);
            if to == gate {
                return true;
            }
            if off < (nr_sites * sites::SIZE) as u64 {
                let n = off as usize / sites::SIZE;
                return match names.binary_search(&(image, n as u32)) {
                    Ok(i) => {
                        off as usize % sites::SIZE == Program::entry(&sites[i])
                            && sites[i].ret.ip == start + next as u64
                    }
                    Err(_) => false,
                };
            }
            // Another image, perhaps one that is still to come.
            if called.contains(&to) {
                return true;
            }
            if called.len() == MAX_IMAGES {
                return false;
            }
            memory &= called.try_push(to).is_ok();
            memory
        };
        let walked = walk(code, start, marks, targets, length, leaves);
        if !memory {
            return Err(NOMEM);
        }
        let marks = match walked {
            Ok(marks) => marks,
            Err(found) => return Err(violation::bad_image(self, image, found)),
        };
        // A forged frame can lead to any site, and a forged number to any return.
        let own = |names: &[Name], at: &dyn Fn(usize) -> u64| {
            let first = names.partition_point(|name| name.0 < image);
            let end = names.partition_point(|name| name.0 <= image);
            let mut places = (first..end).map(at);
            places.find(|at| !marks.is_boundary_ip(start, *at))
        };
        let astray = own(&self.site_names, &|i| self.sites[i].ret.ip)
            .or_else(|| own(&self.return_names, &|i| self.returns[i].ip));
        if let Some(to) = astray {
            let found = (to.wrapping_sub(start) as usize, Bad::Between);
            return Err(violation::bad_image(self, image, found));
        }
        self.boundaries.try_push(bits).map_err(|_| NOMEM)
    }

    /// Whether all jumps out of images that led nowhere else lead to the start of one.
    fn check_calls_between_images(&mut self) -> Coded<()> {
        let begins = |to: &u64| self.images.iter().any(|image| image.start == *to);
        match self.called.iter().find(|to| !begins(to)) {
            Some(&to) => Err(violation::bad_image(self, 0, (0, Bad::Astray(to)))),
            None => Ok(()),
        }
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
