// SPDX-License-Identifier: GPL-2.0
//! Stands in for `program.rs`: a program's memory, without images and helper calls.
//!
//! `admit` and `release` are those there, less the context's plan and the contracts,
//! which are refused before the lock is taken.  Slots are a page, of no layout: what
//! is in a program's area is its own business.

use crate::balance::Heat;
use crate::domains::{domains, Area, MapValues, View};
use crate::ffi::{self, Lock, Slots};
use crate::helpers::audit::MapInfo;
use crate::inner::{is_outer, Reached};
use crate::pks::{KeySet, Pkrs};
use crate::policy::Level;
use crate::reason::Failure::NoMemory;
use crate::reason::Tried;
use crate::sets::{self, Domain};
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::bindings;
use kernel::prelude::*;

#[path = "../../program/layer.rs"]
mod layer;

/// A map this program uses.
#[derive(Clone, Copy)]
pub struct UsedMap {
    pub info: MapInfo,
    /// NULL if the values are maps.
    pub values: *mut MapValues,
}

impl UsedMap {
    pub fn info(map: *mut ffi::bpf_map) -> MapInfo {
        // SAFETY: the caller has a reference on the map; none of it changes.
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

/// As there.
pub struct Program {
    pub dom: ffi::moat_domain,
    pub aux: *mut bindings::bpf_prog_aux,
    pub level: Level,
    pub maps: Vec<UsedMap>,
    pub outers: Vec<*mut ffi::bpf_map>,
    pub reached: Reached,
    pub set: Vec<*mut Domain>,
    pub place: Option<usize>,
    pub heat: Heat,
    view: Option<View>,
    area: Option<Area>,
    slots: Option<Slots>,
}

impl Program {
    pub fn new(aux: *mut bindings::bpf_prog_aux, level: Level) -> Program {
        let dom = ffi::moat_domain {
            flags: bindings::MOAT_DOM_VIEW,
            pkrs: Pkrs::for_program(KeySet::EMPTY).bits(),
            ..Default::default()
        };
        Program {
            dom,
            aux,
            level,
            maps: Vec::new(),
            outers: Vec::new(),
            reached: Reached::new(),
            set: Vec::new(),
            place: None,
            heat: Heat::new(),
            view: None,
            area: None,
            slots: None,
        }
    }

    pub fn flags(&self) -> &AtomicU32 {
        // SAFETY: aligned, lives as long as `self`, and is only accessed atomically.
        unsafe { &*(core::ptr::addr_of!(self.dom.flags) as *const AtomicU32) }
    }

    pub fn pkrs(&self) -> &AtomicU32 {
        // SAFETY: as in `flags`.
        unsafe { &*(core::ptr::addr_of!(self.dom.pkrs) as *const AtomicU32) }
    }

    pub fn kill(&self) -> bool {
        let old = self
            .flags()
            .fetch_or(bindings::MOAT_DOM_DEAD, Ordering::Relaxed);
        old & bindings::MOAT_DOM_DEAD == 0
    }

    pub fn kill_and_tell(&self) -> bool {
        self.kill()
    }

    pub fn admit(&mut self, maps: &[*mut ffi::bpf_map]) -> Tried<()> {
        self.lay_out()?;
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
        Ok(())
    }

    fn lay_out(&mut self) -> Tried<()> {
        let area = Area::new(4096)?;
        self.dom.slot_lo = area.base;
        self.dom.slot_hi = area.base + area.len;
        self.area = Some(area);
        let slots = Slots::new().ok_or(NoMemory)?;
        self.dom.slots = slots.addr();
        self.slots = Some(slots);
        Ok(())
    }

    pub fn used(&self, map: u64) -> Option<&UsedMap> {
        let is = |m: &&UsedMap| m.info.kernel == map;
        let own = self.maps.iter().find(is);
        own.or_else(|| self.reached.get().iter().find(is))
    }

    pub fn uses(&self, map: *mut ffi::bpf_map) -> bool {
        self.used(map as u64).is_some()
    }

    pub fn used_maps(&self) -> impl Iterator<Item = &UsedMap> {
        self.maps.iter().chain(self.reached.get())
    }

    pub fn area(&self) -> (u64, u64) {
        (self.dom.slot_lo, self.dom.slot_hi - self.dom.slot_lo)
    }

    pub fn release(&mut self) {
        let this: *mut Program = self;
        let mut lock = Lock::take();
        let domains = domains(&mut lock);
        if let Some(view) = self.view.take() {
            domains.drop_view(view);
        }
        self.maps.clear();
        domains.leave_outers(this);
        domains.leave(this);
        self.release_area(domains);
        sets::moat_freed.fetch_add(1, Ordering::Relaxed);
    }
}
