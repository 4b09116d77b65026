// SPDX-License-Identifier: GPL-2.0
//! An isolated program: its memory, its images, its helper calls.
//!
//! Lives in `prog->aux->moat` from before verification until after the last run.

use crate::balance::Heat;
use crate::boundary::{self, Builder};
use crate::domains::{domains, Area, Domains, MapValues, Tried, View};
use crate::ffi::{self, Lock, Slots, Zeroed};
use crate::helpers::audit::MapInfo;
use crate::helpers::contract::{Arg, Contract, Ret, SCHED_ACT, SCHED_CLS, SOCKET_FILTER, XDP};
use crate::helpers::table;
use crate::pks::{Key, KeySet, Pkrs};
use crate::policy::Level;
use crate::sensitive;
use crate::sets::{self, Domain};
use crate::sites;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::bindings;
use kernel::prelude::*;

/// Bytes of stack of programs with local calls, whose frames add up to
/// `MAX_BPF_STACK` at most; for each of up to eight frames its return address,
/// frame pointer and four saved registers.
const STACK: u64 = 512 + 8 * 8 * 8;
/// Bytes below the stack for what an exception pushes, and its entry stub.
const EXCEPTION: u64 = 128;
/// Bytes of packet a program can be shown.  A longer linear part is shown cut
/// short, as if the rest were in fragments.
const MAX_PACKET: u64 = 4096;
/// Bytes of metadata before the packet: `skb_metadata_set()`, `bpf_xdp_adjust_meta()`.
pub const MAX_META: u64 = 256;
const LANDING: u64 = bindings::MOAT_LANDING_SIZE as u64;
const NR_IST: usize = bindings::MOAT_NR_IST as usize;
const NEST: usize = bindings::MOAT_NEST as usize;
const PAGE: u64 = 4096;
/// Bytes of an area that no slot has, at its ends.  `in_slots()` in
/// `arch/x86/kernel/moat.c` takes no frame less than 256 bytes from the start, where
/// the first slot has a snapshot and the room for exceptions, or 64 from the end.
const MARGIN: (u64, u64) = (192, 64);

/// What an attempt ends in that has to tell the kernel a negative error.
type Coded<T> = core::result::Result<T, i32>;
const NOMEM: i32 = -(bindings::ENOMEM as i32);
const INVAL: i32 = -(bindings::EINVAL as i32);

/// A map this program uses.
pub struct UsedMap {
    pub info: MapInfo,
    pub values: *const MapValues,
}

/// A call: the number of the image, and of the call in the image.
type Name = (u32, u32);

/// See the module documentation.
#[repr(C)]
pub struct Program {
    /// What gates and entry code read; its address is in the images.
    pub dom: ffi::moat_domain,
    pub aux: *mut bindings::bpf_prog_aux,
    pub ty: u32,
    pub level: Level,
    pub plan: ffi::moat_ctx_plan,
    pub maps: Vec<UsedMap>,
    /// The domains it uses; its own is the first.
    pub set: Vec<*mut Domain>,
    /// Where it is in the list of all programs.
    pub place: Option<usize>,
    pub heat: Heat,
    view: Option<View>,
    area: Option<Area>,
    /// Whether it has functions of its own.
    local_calls: bool,
    /// Whether it calls a helper that the context is stored for, or loaded after.
    reloads: bool,
    /// Bytes of packet a slot has room for.
    pub packet: u64,
    shadows: Option<Zeroed<u64>>,
    slots: Option<Slots>,
    sites: Vec<ffi::moat_site>,
    site_names: Vec<Name>,
    returns: Vec<ffi::moat_return_t>,
    return_names: Vec<Name>,
    images: Vec<ffi::moat_image>,
    boundaries: Vec<Zeroed<u64>>,
}

/// What to treat `prog` as.  A classic filter has no type of its own:
/// `bpf_prog_was_classic()`.
pub fn type_of(prog: &bindings::bpf_prog) -> u32 {
    match prog.type_ {
        0 => SOCKET_FILTER,
        ty => ty,
    }
}

/// Puts `item` where `name` is, or at the end; images are compiled in order, so
/// that the names are sorted, and all of them once before the first is finished.
fn put<T>(names: &mut Vec<Name>, items: &mut Vec<T>, name: Name, item: T) -> Coded<usize> {
    match names.binary_search(&name) {
        Ok(i) => {
            items[i] = item;
            Ok(i)
        }
        Err(at) if at < names.len() => Err(INVAL),
        Err(at) => {
            items.try_reserve(1).map_err(|_| NOMEM)?;
            names.try_push(name).map_err(|_| NOMEM)?;
            items.try_push(item).map_err(|_| NOMEM)?;
            Ok(at)
        }
    }
}

fn round_up(n: u64, to: u64) -> u64 {
    (n + to - 1) / to * to
}

impl Program {
    /// A candidate: no memory in the window yet.
    pub fn new(prog: &bindings::bpf_prog, level: Level) -> Option<Box<Program>> {
        let ty = type_of(prog);
        // SAFETY: plain integers and pointers, for which zero is a value.
        let (mut dom, plan): (ffi::moat_domain, ffi::moat_ctx_plan) =
            unsafe { (core::mem::zeroed(), core::mem::zeroed()) };
        dom.verdict = table::verdict_of_abort(ty).into();
        dom.flags = bindings::MOAT_DOM_VIEW;
        dom.pkrs = Pkrs::for_program(KeySet::EMPTY).bits();
        dom.view_pkrs = match level {
            Level::Integrity => Pkrs::for_integrity_view(),
            Level::Confidentiality => Pkrs::for_view(),
        }
        .bits();
        ffi::try_box(Program {
            dom,
            aux: prog.aux,
            ty,
            level,
            plan,
            maps: Vec::new(),
            set: Vec::new(),
            place: None,
            heat: Heat::new(),
            view: None,
            area: None,
            local_calls: false,
            reloads: false,
            packet: 0,
            shadows: None,
            slots: None,
            sites: Vec::new(),
            site_names: Vec::new(),
            returns: Vec::new(),
            return_names: Vec::new(),
            images: Vec::new(),
            boundaries: Vec::new(),
        })
    }

    /// The program's flags, which other CPUs may be reading.
    pub fn flags(&self) -> &AtomicU32 {
        // SAFETY: aligned, lives as long as `self`, and is only accessed atomically
        // or by single instructions once the program can run.
        unsafe { &*(core::ptr::addr_of!(self.dom.flags) as *const AtomicU32) }
    }

    fn pkrs(&self) -> &AtomicU32 {
        // SAFETY: as in `flags`.
        unsafe { &*(core::ptr::addr_of!(self.dom.pkrs) as *const AtomicU32) }
    }

    /// Later runs return the verdict at once.  True for the first to say so.
    pub fn kill(&self) -> bool {
        let old = self
            .flags()
            .fetch_or(bindings::MOAT_DOM_DEAD, Ordering::Relaxed);
        old & bindings::MOAT_DOM_DEAD == 0
    }

    /// Whether runs that begin now run keyed, not in a view.
    pub fn is_keyed(&self) -> bool {
        self.flags().load(Ordering::Relaxed) & bindings::MOAT_DOM_VIEW == 0
    }

    /// How many domains of its set have no key.
    pub fn wants(&self) -> usize {
        self.set
            .iter()
            // SAFETY: a domain in a set; the caller holds the lock.
            .filter(|&&domain| unsafe { (*domain).key.is_none() })
            .count()
    }

    /// How many of its keys no other program would miss; see `balance::Load`.
    pub fn frees(&self) -> usize {
        let misses = |user: &Program| user.is_keyed() || user.heat.value() > self.heat.value();
        self.set
            .iter()
            // SAFETY: a domain in a set; the caller holds the lock.
            .map(|&domain| unsafe { &*domain })
            .filter(|domain| self.is_keyed() && domain.key.is_some())
            .filter(|domain| {
                let mut others = domain.users.iter().filter(|&&user| !ptr::eq(user, self));
                // SAFETY: programs in a list, as above.
                !others.any(|&user| misses(unsafe { &*user }))
            })
            .count()
    }

    /// Makes its view, unless it has one.
    pub fn make_view(&mut self, domains: &mut Domains) -> Tried<()> {
        if self.view.is_some() {
            return Ok(());
        }
        let mut view = domains.view()?;
        let mut added = view.add(self.dom.slot_lo, self.dom.slot_hi - self.dom.slot_lo);
        for used in &self.maps {
            // SAFETY: the program's until it is released.
            let values = unsafe { &*used.values };
            added = added.and_then(|()| view.add(values.base, values.span));
        }
        if let Err(why) = added {
            domains.drop_view(view);
            return Err(why);
        }
        self.dom.view_cr3 = view.cr3;
        self.view = Some(view);
        // SAFETY: a program's aux lives as long as the program.
        unsafe { bindings::moat_trace_view(self.aux) };
        Ok(())
    }

    /// Runs that begin from now on run in the view, which there is.  True if some
    /// may be on their way that began keyed: wait for them.
    pub fn go_viewed(&mut self) -> bool {
        let old = self
            .flags()
            .fetch_or(bindings::MOAT_DOM_VIEW, Ordering::SeqCst);
        old & bindings::MOAT_DOM_VIEW == 0
    }

    /// Runs that begin from now on run with `keys`, which all of its set has.
    pub fn go_keyed(&mut self, keys: KeySet) {
        let pkrs = match self.level {
            Level::Integrity => Pkrs::for_integrity(keys),
            Level::Confidentiality => Pkrs::for_program(keys),
        };
        self.pkrs().store(pkrs.bits(), Ordering::SeqCst);
        self.flags()
            .fetch_and(!bindings::MOAT_DOM_VIEW, Ordering::SeqCst);
    }

    /// No run with keys is left: none may begin by accident.
    pub fn lock_keys(&mut self) {
        let none = Pkrs::for_program(KeySet::EMPTY);
        self.pkrs().store(none.bits(), Ordering::Relaxed);
    }

    /// Takes away `key`, if it runs keyed.  True if runs may have it still.
    pub fn narrow(&mut self, key: Key) -> bool {
        let pkrs = Pkrs::from_bits(self.pkrs().load(Ordering::Relaxed)).deny(key);
        self.pkrs().store(pkrs.bits(), Ordering::SeqCst);
        self.is_keyed()
    }

    /// Reads how often it ran.
    pub fn read_heat(&mut self) {
        let runs = sets::runs(self);
        self.heat.read(runs);
    }

    /// Unmaps its slots.
    pub fn release_area(&mut self, domains: &mut Domains) {
        if let Some(area) = &mut self.area {
            area.release(domains);
        }
    }

    /// Gives the program all it needs to run, or says what is in the way.
    pub fn admit(
        &mut self,
        prog: &bindings::bpf_prog,
        maps: &[*mut ffi::bpf_map],
        plan: &ffi::moat_ctx_plan,
    ) -> Tried<()> {
        // From here on `release` frees the plan's programs.
        self.plan = *plan;
        if !matches!(self.ty, XDP | SCHED_CLS | SCHED_ACT | SOCKET_FILTER) {
            return Err("program type");
        }
        self.check_calls(prog)?;

        let mut lock = Lock::take();
        let domains = domains(&mut lock);
        self.lay_out(domains, prog)?;
        let this: *mut Program = self;
        domains.join(this, self.area())?;
        for &map in maps {
            // SAFETY: the verifier holds a reference on the map.
            let info = unsafe {
                MapInfo {
                    kernel: map as u64,
                    ty: (*map).map_type,
                    key_size: (*map).key_size,
                    value_size: (*map).value_size,
                    flags: (*map).map_flags,
                }
            };
            self.maps.try_reserve(1).map_err(|_| "no memory")?;
            let values = domains.use_map(this, map)?;
            let _ = self.maps.try_push(UsedMap { info, values });
        }
        if !domains.promote(this) {
            self.make_view(domains)?;
        }
        domains.promote_neighbours(this);
        domains.park_idle();
        Ok(())
    }

    /// Every helper must have a contract; before fix-ups the number is still there.
    fn check_calls(&mut self, prog: &bindings::bpf_prog) -> Tried<()> {
        if self.plan.classic {
            return Ok(());
        }
        // SAFETY: `len` instructions follow the structure.
        let insns = unsafe {
            core::slice::from_raw_parts(
                prog.__bindgen_anon_1
                    .__bindgen_anon_2
                    .as_ref()
                    .insnsi
                    .as_ptr(),
                prog.len as usize,
            )
        };
        let mut skip = false;
        for insn in insns {
            if core::mem::take(&mut skip) {
                continue;
            }
            // The second half of a 64-bit load is no instruction.
            skip = u32::from(insn.code) == bindings::BPF_LD | bindings::BPF_IMM | bindings::BPF_DW;
            if u32::from(insn.code) != bindings::BPF_JMP | bindings::BPF_CALL {
                continue;
            }
            if insn.src_reg() != 0 {
                self.local_calls = true;
                continue;
            }
            match table::contract(insn.imm as u32) {
                Some(contract) => {
                    if let Some(why) = contract.refused {
                        return Err(why);
                    }
                    if !contract.types.contains(self.ty) {
                        return Err("a helper without a contract");
                    }
                    self.reloads |= contract.effects.load_ctx || contract.effects.store_ctx;
                }
                None => return Err("a helper without a contract"),
            }
        }
        Ok(())
    }

    /// Lays out the slots: snapshot, packet, stack, landing areas.
    fn lay_out(&mut self, domains: &mut Domains, prog: &bindings::bpf_prog) -> Tried<()> {
        // A program that reads nothing of its context has only an address for it.
        let size = if self.plan.load.is_null() && self.plan.store.is_null() {
            1
        } else {
            self.plan.snap_size.into()
        };
        let snap = round_up(size, 64);
        self.packet = if self.plan.reads_pkt || self.plan.reads_meta {
            round_up(u64::from(self.plan.max_pkt_offset).min(MAX_PACKET), 64)
        } else {
            0
        };
        let meta = if self.plan.reads_meta { MAX_META } else { 0 };
        let slot = round_up(snap + meta + self.packet + EXCEPTION + self.stack(prog), 64);
        // Runs that nest do so in the kernel: what lies in the landing areas then
        // has been copied, and one for each vector will do.
        let per_cpu = slot * NEST as u64 + NR_IST as u64 * LANDING;
        // SAFETY: constant after boot.
        let nr_cpus = unsafe { ffi::moat_shim_nr_cpus() };

        // A margin at either end, so that what a stub pushes stays inside.
        let area = Area::new(
            domains,
            round_up(MARGIN.0 + per_cpu * u64::from(nr_cpus) + MARGIN.1, PAGE),
        )?;
        let base = area.base;
        self.dom.slot_lo = base;
        self.dom.slot_hi = base + area.len;
        self.area = Some(area);

        if self.plan.words != 0
            && !self.plan.reads_pkt
            && !self.plan.reads_meta
            && !self.plan.writes_pkt
            && self.plan.store.is_null()
        {
            // Nothing is read back from the snapshot, so the loader may fill it in.
            // SAFETY: `admit` was given a compiled program.
            self.dom.load = unsafe { (*self.plan.load).bpf_func }.map_or(0, |f| f as usize as u64);
            self.dom.flags |= bindings::MOAT_DOM_LOAD;
        } else if self.plan.words != 0 || self.packet != 0 || self.plan.writes_pkt {
            self.dom.flags |= bindings::MOAT_DOM_PREPARE;
        }
        if !self.plan.store.is_null() || self.plan.writes_pkt {
            self.dom.flags |= bindings::MOAT_DOM_FINISH;
        }

        // Only what is read back has to be kept where the program cannot write.
        let direct = self.dom.flags & bindings::MOAT_DOM_PREPARE == 0 && !self.reloads;
        let words = if direct { 0 } else { (snap / 8) as usize };
        let shadows = Zeroed::new(words * NEST * nr_cpus as usize).ok_or("no memory")?;
        let mut slots = Slots::new().ok_or("no memory")?;
        for cpu in 0..nr_cpus as usize {
            let mine = slots.of(cpu as u32);
            for (nest, s) in mine.slot.iter_mut().enumerate().rev() {
                let cpu_low = base + MARGIN.0 + per_cpu * cpu as u64;
                let low = cpu_low + slot * nest as u64;
                s.snap = low;
                s.pkt = low + snap + meta;
                s.rsp = low + slot;
                for (ist, land) in s.land.iter_mut().enumerate() {
                    *land = cpu_low + per_cpu - LANDING * ist as u64;
                }
                s.shadow = shadows.addr() + 8 * (words * (cpu * NEST + nest)) as u64;
                s.next = mine.head;
                mine.head = s as *mut ffi::moat_slot as u64;
            }
        }
        self.dom.slots = slots.addr();
        self.slots = Some(slots);
        self.shadows = Some(shadows);
        Ok(())
    }

    /// Bytes of stack it may need.
    fn stack(&self, prog: &bindings::bpf_prog) -> u64 {
        // SAFETY: every program has an aux.
        let aux = unsafe { &*prog.aux };
        if self.plan.classic || self.local_calls {
            return STACK;
        }
        round_up(u64::from(aux.stack_depth), 8)
    }

    /// Where the program sees the values of its map `map`.
    pub fn values(&self, map: u64) -> Option<&MapValues> {
        self.maps
            .iter()
            .find(|m| m.info.kernel == map)
            // SAFETY: `release` gives them up last.
            .map(|m| unsafe { &*m.values })
    }

    /// Which image `ip` is in, and where in it.
    pub fn locate(&self, ip: u64) -> Option<(usize, u64)> {
        self.images
            .iter()
            .position(|image| ip.wrapping_sub(image.start) < image.len)
            .map(|i| (i, ip - self.images[i].start))
    }

    /// The program area as (first address, bytes).
    pub fn area(&self) -> (u64, u64) {
        (self.dom.slot_lo, self.dom.slot_hi - self.dom.slot_lo)
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
        let plain = Program::unaudited(contract);
        let site = ffi::moat_site {
            ret,
            entry: if plain {
                func as u64
            } else {
                ffi::moat_audit as usize as u64
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
    fn unaudited(contract: &Contract) -> bool {
        contract.is_plain()
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
                pr_err!("refused: the image holds {}\n", what);
                return Err(-(bindings::EACCES as i32));
            }
            let _ = map.mark(at);
            at += insn.len();
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
            let call = sites::Call {
                site: &self.sites[i],
                dom: &self.dom,
            };
            if !sites::write(code, at + (n * sites::SIZE) as u64, &call) {
                return Err(INVAL);
            }
        }
        Ok(())
    }

    /// Gives up everything but the structure itself.  No run is left.
    pub fn release(&mut self) {
        for plan in [self.plan.load, self.plan.store] {
            if !plan.is_null() {
                // SAFETY: ours since `admit`, and nobody runs them any more.
                unsafe { bindings::bpf_prog_free(plan) };
            }
        }
        self.plan.load = core::ptr::null_mut();
        self.plan.store = core::ptr::null_mut();

        let this: *mut Program = self;
        let mut lock = Lock::take();
        let domains = domains(&mut lock);
        if let Some(view) = self.view.take() {
            domains.drop_view(view);
        }
        self.maps.clear();
        domains.leave(this);
        // If it never got so far as to join.
        self.release_area(domains);
        sets::moat_freed.fetch_add(1, Ordering::Relaxed);
    }
}
