// SPDX-License-Identifier: GPL-2.0
//! The compiled images of a program, their calls, and the sites of these.
//!
//! Context: process; the thread that loads the program.

#![forbid(unsafe_code)]

use super::loading::{Loading, Name};
use super::sites;
use crate::code::insn_starts::{self, Boundaries, Builder};
use crate::code::walk::{walk, Bad};
use crate::edge::calls;
use crate::edge::code::{insn_length, Image};
use crate::edge::ffi;
use crate::edge::memory::{Table, Zeroable, Zeroed};
use crate::edge::off;
use crate::edge::plan::CalledWith;
use crate::edge::prog::Prog;
use crate::helpers::contract::{Arg, Contract, Ret};
use crate::helpers::table;
use crate::prog_types::Context;
use crate::run::program::Program;
use crate::run::violation;
use core::ops::Range;
use core::sync::atomic::Ordering;
use kernel::bindings;

/// What an attempt ends in that has to tell the kernel a negative error.
type Coded<T> = core::result::Result<T, i32>;
const NOMEM: i32 = -(bindings::ENOMEM as i32);
const INVAL: i32 = -(bindings::EINVAL as i32);
const PAGE: u64 = 4096;

/// `BPF_MAX_SUBPROGS`: `include/linux/bpf_verifier.h`.
const MAX_IMAGES: usize = ffi::BPF_MAX_SUBPROGS as usize;

/// Replaces the entry called `name`, or appends it.  The JIT's first pass names every call
/// in order, so that the names are sorted; later passes only replace.
fn put<N: Zeroable + Ord, T: Zeroable>(
    names: &mut Table<N>,
    items: &mut Table<T>,
    name: N,
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

/// Those of `names`, which are sorted, that are of image `image`.
fn own<N>(names: &[N], image_of: impl Fn(&N) -> u32, image: u32) -> Range<usize> {
    let first = names.partition_point(|name| image_of(name) < image);
    first..names.partition_point(|name| image_of(name) <= image)
}

/// Whether a site of `program` can call the helper straight away; then it does not keep
/// the third argument and those after it.
fn is_unaudited(program: &Program, contract: &Contract) -> bool {
    contract.is_plain()
        && !(contract.for_packet && program.has_timers())
        && (contract.sends.is_none() || program.row.context == Context::XdpBuff)
        && !contract.effects.store_ctx
        && contract.bounce.is_none()
        && matches!(contract.args[2], Arg::None)
        && matches!(contract.ret, Ret::Scalar)
}

/// What a site calls for helper `id`, which is `func`, and what it knows of map `number`; `sites`
/// are those that are known so far.
fn entry_for(
    program: &Program,
    contract: &Contract,
    id: u32,
    func: u64,
    number: u32,
    sites: &[ffi::moat_site],
) -> (u64, u64) {
    // The verifier does not say for which ring a record is.
    let map = match contract.ret {
        Ret::RecordOrNull => program.ring_call(),
        _ => program.map_call(number),
    };
    let known = map.and_then(|(info, call)| {
        let of = call as *const _ as u64;
        // Before the last pass of the JIT all calls are known.
        let is_walk = |site: &ffi::moat_site| site.id as u32 == table::NEXT_ELEMS && site.map == of;
        sites::map_entry(id, info, call, || {
            program.walks() && sites.iter().any(is_walk)
        })
    });
    let known = known.or_else(|| sites::commit_entry(id, program.stores()));
    let entry = match known {
        Some(entry) if !contract.is_held() || program.has_small_records() => entry,
        _ if is_unaudited(program, contract) => func,
        _ if matches!(contract.args[0], Arg::Lock) => match program.callbacks() {
            Some(_) => ffi::addr(ffi::moat_audit_lock_nested),
            None => ffi::addr(ffi::moat_audit_lock),
        },
        _ if matches!(contract.args[0], Arg::Timer) => ffi::addr(ffi::moat_audit_timer),
        _ if program.callbacks().is_some() => ffi::addr(ffi::moat_audit_nested),
        _ => ffi::addr(ffi::moat_audit),
    };
    (entry, map.map_or(0, |(_, call)| call as *const _ as u64))
}

/// The same site, in a program that may hold a lock.
fn may_lock(program: &Program, site: ffi::moat_site) -> ffi::moat_site {
    match program.locks && !off::unlocked() {
        true => sites::unlocked(site),
        false => site,
    }
}

/// Which enter gate the images of `program` jump to.
pub fn enter_gate(program: &Program) -> u64 {
    let flags = program.gates.flags().load(Ordering::Relaxed);
    match program.plan.called_with {
        CalledWith::NoContext => return ffi::addr(ffi::moat_enter_bare_args),
        CalledWith::More => return ffi::addr(ffi::moat_enter_args),
        CalledWith::Context => {}
    }
    match flags & bindings::MOAT_DOM_LOAD != 0 {
        false => ffi::addr(ffi::moat_enter_bare),
        true if program.plan.leaf => ffi::addr(ffi::moat_enter),
        true => ffi::addr(ffi::moat_enter_load),
    }
}

/// A helper call, as the JIT knows it.
pub struct Call {
    pub func: u64,
    /// 1 + the index of the map that it is likely for, or 0.
    pub map: u32,
}

impl Loading {
    /// Registers a helper call.  Returns where the image enters the site.
    pub fn add_site(
        &mut self,
        program: &Program,
        prog: Prog<'_>,
        name: Name,
        Call { func, map }: Call,
        ret: ffi::moat_return_t,
    ) -> Coded<usize> {
        if matches!(func, sites::EXT_FUNC | sites::TRACED_FUNC) {
            let site = sites::extension(ret, map, func == sites::TRACED_FUNC);
            return self.put_site(program, name, may_lock(program, site));
        }
        let known = self.sites.iter().rev().take(64).find(|s| s.func == func);
        let id = match known {
            _ if func == 0 => sites::TAIL_CALL as i32,
            Some(site) => site.id as i32,
            None => match program.kfunc(func) {
                Some(id) => id as i32,
                None => prog.call_target(func),
            },
        };
        let contract = match table::contract(id as u32) {
            Some(contract) if id > 0 && contract.refused.is_none() => contract,
            _ => return Err(INVAL),
        };
        // Nobody has looked at what classic filters call.
        if !contract.types.contains(program.row.number) && !off::callees() {
            return Err(INVAL);
        }
        let (entry, map) = match id as u32 {
            sites::TAIL_CALL => (sites::tail_entry(name.0), program.array_of_programs(map)),
            // What would be a map is a number of BTF.
            id if table::is_kfunc(id) => entry_for(program, contract, id, func, 0, &[]),
            id => entry_for(program, contract, id, func, map, &self.sites),
        };
        // Whoever writes such calls has asked for the same of the map.
        if id as u32 == table::NEXT_ELEMS && entry != ffi::addr(ffi::moat_map_next_elems) {
            return Err(INVAL);
        }
        let site = ffi::moat_site {
            ret,
            entry,
            func,
            contract: contract as *const Contract as u64,
            id: id as u64,
            map,
            traced: 0,
            unlocked: 0,
        };
        let site = match id as u32 {
            // The second was no call when the verifier looked at what is done with a lock.
            sites::SPIN_UNLOCK | table::STORE_MARK => site,
            _ => may_lock(program, site),
        };
        self.put_site(program, name, site)
    }

    fn put_site(&mut self, program: &Program, name: Name, site: ffi::moat_site) -> Coded<usize> {
        let entry = sites::entry(&site);
        let before = self.sites.len();
        put(&mut self.site_names, &mut self.sites, name, site)?;
        if self.sites.len() > before && !self.images.is_empty() {
            // Sites that were written point at those that just moved.
            return Err(INVAL);
        }
        program.gates.set_sites(&self.sites);
        Ok(entry)
    }

    /// Registers a local call of function `func`.  Returns the number it pushes.
    pub fn add_return(
        &mut self,
        program: &Program,
        name: Name,
        func: u32,
        ret: ffi::moat_return_t,
    ) -> Coded<u32> {
        let call = (name.0, name.1, func);
        let known = self.local_calls.binary_search(&call);
        let moves = known.map_or(true, |n| self.returns[n].ip != ret.ip);
        if moves && !self.images.is_empty() {
            // A finished image may return to where it was.
            return Err(INVAL);
        }
        let n = put(&mut self.local_calls, &mut self.returns, call, ret)?;
        program.gates.set_returns(&self.returns);
        Ok(n as u32)
    }

    /// Call number `n` of function `func`: what it pushes, and where it goes on.
    pub fn caller(&self, func: u32, n: u32) -> Option<(u32, u64)> {
        let calls = self.local_calls.iter().enumerate();
        let mut calls = calls.filter(|(_, call)| call.2 == func);
        let (number, _) = calls.nth(n as usize)?;
        Some((number as u32, self.returns[number].ip))
    }

    /// Takes a finished image, number `image` of `of`: checks where its instructions
    /// begin, that none of them is one a program must not have, and where they lead;
    /// writes its sites.  With the last one the program can run.
    pub fn add_image(
        &mut self,
        program: &Program,
        (image, of): (u32, u32),
        done: Image<'_>,
    ) -> Coded<()> {
        let (start, code, sites_at) = (done.start, done.body, done.sites_at);
        if image as usize != self.images.len() || image >= of {
            return Err(INVAL);
        }
        let nr_sites = done.sites.len();
        self.check(program, image, (start, code), (sites_at, nr_sites))?;
        let boundaries = match self.boundaries.last() {
            Some(bits) => bits.addr(),
            None => return Err(INVAL),
        };
        let patch = self.patch_of(program, image, &done)?;
        self.write_sites(program, image, sites_at, done.sites)?;
        self.images
            .try_push(ffi::moat_image {
                start,
                len: code.len() as u64,
                boundaries,
                sites: sites_at,
                sites_len: (nr_sites * sites::SIZE) as u64,
                patch,
                domain: program.gates.as_ptr() as u64,
            })
            .map_err(|_| NOMEM)?;
        if image == 0 {
            program.gates.set_tail(done.tail);
        }
        // Tail calls look for their count where such a stub has put it.
        let tail_calls = |site: &ffi::moat_site| site.id == sites::TAIL_CALL.into();
        if !program.gates.has_tail() && self.sites.iter().any(tail_calls) {
            return Err(INVAL);
        }
        if self.images.len() == of as usize {
            self.check_calls_between_images(program)?;
            program.gates.let_run(self);
        }
        Ok(())
    }

    /// Where image `image`, the last one that was checked, has the instruction that is made a
    /// jump when another program comes to its place, or 0 if none can.  The jump leads into the
    /// image, so that it has to do so to an instruction.
    fn patch_of(&self, program: &Program, image: u32, done: &Image<'_>) -> Coded<u64> {
        let way = match done.way {
            Some(way) => way,
            None => return Ok(0),
        };
        let len = done.body.len();
        let bits = self.boundaries.last().ok_or(INVAL)?;
        let marks = Boundaries::new(bits.slice(), len).ok_or(INVAL)?;
        let at = match done.body.get(..4) {
            Some(&[0xf3, 0x0f, 0x1e, 0xfa]) => 4,
            _ => 0,
        };
        let ends = at + bindings::MOAT_PATCH_SIZE as usize;
        let whole = |at: usize| marks.is_boundary(at as u64);
        let inside = (at + 1..ends).any(whole);
        if image == 0 || !whole(at) || inside || !whole(ends) || !whole(way) {
            return Err(violation::bad_image(program, image, (at, Bad::Between)));
        }
        Ok(done.start + at as u64)
    }

    /// Whether image `image` keeps to its instructions, to the starts of others and where
    /// calls of it go on, to its own sites and its own gate; notes where its instructions begin.
    fn check(
        &mut self,
        program: &Program,
        image: u32,
        (start, code): (u64, &[u8]),
        (sites_at, nr_sites): (u64, usize),
    ) -> Coded<()> {
        let mut bits = Zeroed::<u64>::new(insn_starts::words(code.len())).ok_or(NOMEM)?;
        let mut scratch = Zeroed::<u64>::new(insn_starts::words(code.len())).ok_or(NOMEM)?;
        let marks = Builder::new(bits.slice_mut(), code.len()).ok_or(INVAL)?;
        let targets = Builder::new(scratch.slice_mut(), code.len()).ok_or(INVAL)?;
        let gate = match image {
            0 => ffi::addr(ffi::moat_exit),
            _ => ffi::addr(ffi::moat_return),
        };
        let names = &self.site_names;
        let sites = &self.sites;
        let (local, returns) = (&self.local_calls, &self.returns);
        let called = &mut self.called;
        let mut left = code.len();
        let mut memory = true;
        let length = |rest: &[u8]| {
            if left / PAGE as usize != rest.len() / PAGE as usize {
                // Images may have a million instructions.
                calls::cond_resched();
            }
            left = rest.len();
            insn_length(rest)
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
                        off as usize % sites::SIZE == sites::entry(&sites[i])
                            && sites[i].ret.ip == start + next as u64
                    }
                    Err(_) => false,
                };
            }
            // Another image, perhaps one that is still to come.
            if called.contains(&to) {
                return true;
            }
            // Few jumps get here: a program may have half a million calls.
            let mut calls = local.iter().zip(returns.iter());
            if calls.any(|(call, ret)| call.2 == image && ret.ip == to) {
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
            Err(found) => return Err(violation::bad_image(program, image, found)),
        };
        // A forged frame can lead to any site, and a forged number to any return.
        let lost = |at: &u64| !marks.is_boundary_ip(start, *at);
        let sites = &self.sites[own(&self.site_names, |name| name.0, image)];
        let calls = &self.returns[own(&self.local_calls, |call| call.0, image)];
        let astray = sites.iter().map(|site| site.ret.ip).find(lost);
        let astray = astray.or_else(|| calls.iter().map(|ret| ret.ip).find(lost));
        if let Some(to) = astray {
            let found = (to.wrapping_sub(start) as usize, Bad::Between);
            return Err(violation::bad_image(program, image, found));
        }
        self.boundaries.try_push(bits).map_err(|_| NOMEM)
    }

    /// Whether all jumps out of images that led nowhere else lead to the start of one.
    fn check_calls_between_images(&self, program: &Program) -> Coded<()> {
        let begins = |to: &u64| self.images.iter().any(|image| image.start == *to);
        match self.called.iter().find(|to| !begins(to)) {
            Some(&to) if !off::jumps() => {
                Err(violation::bad_image(program, 0, (0, Bad::Astray(to))))
            }
            _ => Ok(()),
        }
    }

    /// `rw_sites` will be at `at`.  From here on `sites` may not move.
    fn write_sites(
        &self,
        program: &Program,
        image: u32,
        at: u64,
        rw_sites: &mut [[u8; sites::SIZE]],
    ) -> Coded<()> {
        for (n, code) in rw_sites.iter_mut().enumerate() {
            let i = self
                .site_names
                .binary_search(&(image, n as u32))
                .map_err(|_| INVAL)?;
            let at = at + (n * sites::SIZE) as u64;
            if !sites::write(code, at, &self.sites[i], program.gates.pkrs()) {
                return Err(INVAL);
            }
        }
        Ok(())
    }
}
