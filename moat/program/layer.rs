// SPDX-License-Identifier: GPL-2.0
//! Keyed or in a view: what the gates go by.  `layers.rs` decides.
//!
//! Context: process, with the lock held, but for [`Program::is_keyed`].

use super::Program;
use crate::domains::{Domains, MapValues};
use crate::ffi;
use crate::pks::{Key, KeySet, Pkrs};
use crate::policy::Level;
use crate::reason::Tried;
use core::ptr;
use core::sync::atomic::Ordering;
use kernel::bindings;

impl Program {
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
        for used in self.used_maps() {
            // SAFETY: the program's until it is released.
            if let Some(values) = unsafe { used.values.as_ref() } {
                added = added.and_then(|()| view.add(values.base, values.span));
            }
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

    /// Puts values that it came to use later into its view, if it has one.
    pub fn see(&mut self, values: *const MapValues) -> Tried<()> {
        // SAFETY: in its set; the caller holds the lock.
        let values = unsafe { &*values };
        match &mut self.view {
            Some(view) => view.add(values.base, values.span),
            None => Ok(()),
        }
    }

    /// Takes them out again.  Every TLB is flushed.
    pub fn unsee(&mut self, values: *const MapValues) {
        // SAFETY: as above.
        let values = unsafe { &*values };
        if let Some(view) = &mut self.view {
            view.remove(values.base, values.span);
        }
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

    /// How often it began to run, on all CPUs.
    pub fn runs(&self) -> u64 {
        // SAFETY: its slots, which it has before it is in a list.
        unsafe { ffi::moat_shim_runs(self.dom.slots) }
    }

    /// Reads how often it ran; with `rested`, after a time in which nobody did.
    pub fn read_heat(&mut self, rested: bool) {
        match rested {
            true => self.heat.skip(self.runs()),
            false => self.heat.read(self.runs()),
        }
    }

    /// Unmaps its slots.
    pub fn release_area(&mut self, domains: &mut Domains) {
        if let Some(area) = &mut self.area {
            area.release(domains);
        }
    }
}
