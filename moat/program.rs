// SPDX-License-Identifier: GPL-2.0
//! An isolated program: its memory, its images, its helper calls.
//!
//! Lives in `prog->aux->moat` from before verification until after the last run.

use crate::balance::Heat;
use crate::domains::{domains, Area, MapValues, View};
use crate::ffi::{self, Lock, Slots, Table, Zeroed};
use crate::helpers::audit::MapInfo;
use crate::helpers::contract::{SOCKET_FILTER, XDP};
use crate::helpers::table;
use crate::inner::{is_outer, Reached};
use crate::pks::{KeySet, Pkrs};
use crate::policy::Level;
use crate::reason::Failure::{self, NoMemory};
use crate::reason::{Reason, Subject, Tried};
use crate::sets::{self, Domain};
use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use kernel::bindings;
use kernel::prelude::*;

/// Bytes of stack of programs with local calls, whose frames add up to
/// `MAX_BPF_STACK` at most; for each of up to eight frames its return address,
/// frame pointer and four saved registers.
const STACK: u64 = (bindings::MAX_BPF_STACK + ffi::MAX_CALL_FRAMES * 8 * 8) as u64;
/// Bytes below the stack for what an exception pushes, and its entry stub.
pub const EXCEPTION: u64 = 128;
/// Bytes of packet that the verifier lets a program reach: its `MAX_PACKET_OFF`, and
/// the byte at that offset.
const MAX_PACKET: u64 = 0xffff + 1;
/// Bytes of packet that classic filters have at hand.  What is behind they call for, and
/// anybody may attach one.
const CLASSIC_PACKET: u64 = 4096;
/// Bytes of metadata before the packet: `skb_metadata_set()`, `bpf_xdp_adjust_meta()`.
pub const MAX_META: u64 = 256;
const LANDING: u64 = bindings::MOAT_LANDING_SIZE as u64;
const NR_IST: usize = bindings::MOAT_NR_IST as usize;
const NEST: usize = bindings::MOAT_NEST as usize;
const PAGE: u64 = 4096;
/// Bytes of an area that no slot has, at its ends.  `in_slots()` in
/// `arch/x86/kernel/moat.c` takes no frame less than 256 bytes from the start, where
/// the first slot has a snapshot and the room for exceptions, or 64 from the end.
pub const MARGIN: (u64, u64) = (192, 64);

mod calls;
mod image;
mod layer;

/// What an attempt ends in that has to tell the kernel a negative error.
type Coded<T> = core::result::Result<T, i32>;
const NOMEM: i32 = -(bindings::ENOMEM as i32);
const INVAL: i32 = -(bindings::EINVAL as i32);

/// A map this program uses.
#[derive(Clone, Copy)]
pub struct UsedMap {
    pub info: MapInfo,
    /// NULL if the values are maps.
    pub values: *mut MapValues,
}

impl UsedMap {
    /// What the audit needs to know of `map`, on which the caller has a reference.
    pub fn info(map: *mut ffi::bpf_map) -> MapInfo {
        // SAFETY: by contract of this function; none of it changes.
        unsafe {
            MapInfo {
                kernel: map as u64,
                ty: (*map).map_type,
                key_size: (*map).key_size,
                value_size: (*map).value_size,
                flags: (*map).map_flags,
            }
        }
    }
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
    /// Who loads it.
    pub by: ffi::Who,
    pub plan: ffi::moat_ctx_plan,
    pub maps: Vec<UsedMap>,
    /// Those of them that hold maps.
    pub outers: Vec<*mut ffi::bpf_map>,
    /// The maps it uses because these hold them.
    pub reached: Reached,
    /// The domains it uses; its own is the first.
    pub set: Vec<*mut Domain>,
    /// Where it is in the list of all programs.
    pub place: Option<usize>,
    /// Under which it is listed in debugfs, or 0.
    number: u32,
    pub heat: Heat,
    /// How often packets came back to it for too long; see `sends.rs`.
    pub loops: AtomicU32,
    /// Until when, in jiffies, one more does not count.
    pub loops_until: AtomicU64,
    /// Whether somebody was told.
    pub loops_told: AtomicBool,
    view: Option<View>,
    area: Option<Area>,
    /// Whether it has functions of its own.
    local_calls: bool,
    /// Whether it calls a helper that the context is stored for, or loaded after.
    reloads: bool,
    /// Whether it calls one that may move the start of the packet, or of its metadata,
    /// down to old kernel memory, or looks at metadata whose start others may have moved.
    pub uncovers: bool,
    /// Whether it writes to socket buffers' packets itself, not by helpers alone.
    pub rewrites: bool,
    /// Whether the log has said that a call of it was not made.
    pub told: AtomicBool,
    /// Bytes of packet a slot has room for.
    pub packet: u64,
    shadows: Option<Zeroed<u64>>,
    slots: Option<Slots>,
    sites: Table<ffi::moat_site>,
    site_names: Table<Name>,
    returns: Table<ffi::moat_return_t>,
    return_names: Table<Name>,
    images: Vec<ffi::moat_image>,
    boundaries: Vec<Zeroed<u64>>,
    /// Where images jump to that may be the start of others.
    called: Vec<u64>,
    /// What went wrong first with its images, a negative error.
    pub failed: Option<i32>,
}

/// What to treat `prog` as.  A classic filter has no type of its own:
/// `bpf_prog_was_classic()`.
pub fn type_of(prog: &bindings::bpf_prog) -> u32 {
    match prog.type_ {
        0 => SOCKET_FILTER,
        ty => ty,
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
            by: ffi::Who::am_i(),
            plan,
            maps: Vec::new(),
            outers: Vec::new(),
            reached: Reached::new(),
            set: Vec::new(),
            place: None,
            number: 0,
            heat: Heat::new(),
            loops: AtomicU32::new(0),
            loops_until: AtomicU64::new(0),
            loops_told: AtomicBool::new(false),
            view: None,
            area: None,
            local_calls: false,
            reloads: false,
            uncovers: false,
            rewrites: false,
            told: AtomicBool::new(false),
            packet: 0,
            shadows: None,
            slots: None,
            sites: Table::new(),
            site_names: Table::new(),
            returns: Table::new(),
            return_names: Table::new(),
            images: Vec::new(),
            boundaries: Vec::new(),
            called: Vec::new(),
            failed: None,
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

    /// Whether it was stopped for good.
    pub fn is_dead(&self) -> bool {
        self.flags().load(Ordering::Relaxed) & bindings::MOAT_DOM_DEAD != 0
    }

    /// Later runs return the verdict at once.  True for the first to say so.
    pub fn kill(&self) -> bool {
        let old = self
            .flags()
            .fetch_or(bindings::MOAT_DOM_DEAD, Ordering::Relaxed);
        old & bindings::MOAT_DOM_DEAD == 0
    }

    /// The same.  True if that is to be logged now, and it may be.
    pub fn kill_and_tell(&self) -> bool {
        self.kill() && self.by.may_log()
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
        self.check_calls(prog)?;
        self.lay_out(prog)?;

        let mut lock = Lock::take();
        let domains = domains(&mut lock);
        let this: *mut Program = self;
        domains.join(this, self.area())?;
        for &map in maps {
            self.maps.try_reserve(1).map_err(|_| NoMemory)?;
            let values = if is_outer(map) {
                core::ptr::null_mut()
            } else {
                domains.use_map(&[this], map)?
            };
            let info = UsedMap::info(map);
            let _ = self.maps.try_push(UsedMap { info, values });
        }
        for &map in maps.iter().filter(|&&map| is_outer(map)) {
            domains.use_outer(this, map)?;
        }
        if !domains.promote(this) {
            self.make_view(domains)?;
        }
        domains.promote_neighbours(this);
        domains.park_idle();
        // SAFETY: the lock is held until it is on the list, and when it is taken off.
        self.number = unsafe { ffi::moat_list_add(this as *const c_void) };
        match self.number {
            0 => Err(NoMemory),
            _ => Ok(()),
        }
    }

    /// Lays out the slots: snapshot, packet, stack, landing areas.  The lock is free: their
    /// memory is charged to who loads the program, and may have to be waited for.
    fn lay_out(&mut self, prog: &bindings::bpf_prog) -> Tried<()> {
        // A program that reads nothing of its context has only an address for it.
        let size = if self.plan.load.is_null() && self.plan.store.is_null() {
            1
        } else {
            self.plan.snap_size.into()
        };
        let snap = round_up(size, 64);
        self.uncovers |= self.ty != XDP && self.plan.reads_meta;
        self.rewrites = self.ty != XDP && self.plan.writes_pkt;
        let reach = u64::from(self.plan.max_pkt_offset);
        if !self.plan.classic && reach > MAX_PACKET {
            return Err(Failure::Refused(Reason {
                insn: None,
                subject: Subject::Program,
                why: "reach into packets beyond MAX_PACKET_OFF",
            }));
        }
        self.packet = match self.plan.classic {
            _ if !self.plan.reads_pkt && !self.plan.reads_meta => 0,
            true => round_up(reach.min(CLASSIC_PACKET), 64),
            false => round_up(reach, 64),
        };
        let meta = if self.plan.reads_meta { MAX_META } else { 0 };
        let slot = round_up(snap + meta + self.packet + EXCEPTION + self.stack(prog), 64);
        // Runs that nest do so in the kernel: what lies in the landing areas then
        // has been copied, and one for each vector will do.
        let per_cpu = slot * NEST as u64 + NR_IST as u64 * LANDING;
        // SAFETY: constant after boot.
        let nr_cpus = unsafe { ffi::moat_shim_nr_cpus() };

        // A margin at either end, so that what a stub pushes stays inside.
        let area = Area::new(round_up(
            MARGIN.0 + per_cpu * u64::from(nr_cpus) + MARGIN.1,
            PAGE,
        ))?;
        let base = area.base;
        self.dom.slot_lo = base;
        self.dom.slot_hi = base + area.len;
        self.area = Some(area);

        if self.plan.words != 0
            && !self.plan.reads_pkt
            && !self.plan.reads_meta
            && !self.plan.writes_pkt
            && !self.uncovers
            && self.plan.store.is_null()
        {
            // Nothing is read back from the snapshot, so the loader may fill it in.
            // SAFETY: `admit` was given a compiled program.
            self.dom.load = unsafe { (*self.plan.load).bpf_func }.map_or(0, |f| f as usize as u64);
            self.dom.flags |= bindings::MOAT_DOM_LOAD;
        } else if self.plan.words != 0 || self.packet != 0 || self.plan.writes_pkt || self.uncovers
        {
            self.dom.flags |= bindings::MOAT_DOM_PREPARE;
        }
        if !self.plan.store.is_null() || self.plan.writes_pkt {
            self.dom.flags |= bindings::MOAT_DOM_FINISH;
        }

        // Only what is read back has to be kept where the program cannot write.
        let direct = self.dom.flags & bindings::MOAT_DOM_PREPARE == 0 && !self.reloads;
        let words = if direct { 0 } else { (snap / 8) as usize };
        let shadows = Zeroed::new(words * NEST * nr_cpus as usize).ok_or(NoMemory)?;
        let mut slots = Slots::new().ok_or(NoMemory)?;
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

    /// The map `map` if the program uses it.
    pub fn used(&self, map: u64) -> Option<&UsedMap> {
        let is = |m: &&UsedMap| m.info.kernel == map;
        let own = self.maps.iter().find(is);
        own.or_else(|| self.reached.get().iter().find(is))
    }

    /// Whether it uses `map`.
    pub fn uses(&self, map: *mut ffi::bpf_map) -> bool {
        self.used(map as u64).is_some()
    }

    /// All maps it uses.
    pub fn used_maps(&self) -> impl Iterator<Item = &UsedMap> {
        self.maps.iter().chain(self.reached.get())
    }

    /// Where the program sees the values of its map `map`, if it has such.
    pub fn values(&self, map: u64) -> Option<&MapValues> {
        // SAFETY: `release` gives them up last, and what is reached is listed while
        // the program has its values.
        self.used(map).and_then(|m| unsafe { m.values.as_ref() })
    }

    /// The program area as (first address, bytes).
    pub fn area(&self) -> (u64, u64) {
        (self.dom.slot_lo, self.dom.slot_hi - self.dom.slot_lo)
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
        if self.number != 0 {
            // SAFETY: the lock is held.
            unsafe { ffi::moat_list_del(self.number) };
        }
        if let Some(view) = self.view.take() {
            domains.drop_view(view);
        }
        self.maps.clear();
        domains.leave_outers(this);
        domains.leave(this);
        // If it never got so far as to join.
        self.release_area(domains);
        sets::moat_freed.fetch_add(1, Ordering::Relaxed);
    }
}
