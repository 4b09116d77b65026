// SPDX-License-Identifier: GPL-2.0
//! Which programs are keyed and which run in views.
//!
//! Keyed to viewed: tell the gates, wait for the runs that began before, and only
//! then touch keys.  Viewed to keyed: tag the pages, flush, then tell the gates.  Who
//! deserves keys is for `balance.rs` to say.
//!
//! Context: process, with the lock held.

use crate::balance::{self, Load, Move};
use crate::domains::Domains;
use crate::ffi;
use crate::keyalloc::State;
use crate::pks::{Key, KeySet};
use crate::policy;
use crate::program::Program;
use crate::reason::Tried;
use crate::sets::{at, Domain};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::bindings;

/// Shown in debugfs as `binds`: keys given to domains.
#[no_mangle]
pub static moat_binds: AtomicU64 = AtomicU64::new(0);
/// Shown in debugfs as `evictions`: programs that lost their keys to hotter ones.
#[no_mangle]
pub static moat_evictions: AtomicU64 = AtomicU64::new(0);

impl Domains {
    /// Takes the key off the list of those in use; no page has it any more.
    pub fn release_key(&mut self, domain: &mut Domain) {
        if let Some(key) = domain.key.take() {
            let since = self.stamp();
            let _ = self.keys.free(key, domain.owner(), since);
            self.flush();
            // SAFETY: any context.
            unsafe {
                bindings::moat_trace_unbind(
                    domain.id as u32,
                    key.get().into(),
                    domain.users.len() as u32,
                )
            };
        }
    }

    /// How many keys may be given out now.
    pub fn free_keys(&self) -> usize {
        let used = self.keys_used();
        policy::keys()
            .saturating_sub(used)
            .min(Key::PROGRAMS - used)
    }

    /// Lets `programs` run in views: when this returns, no run is left that began
    /// with keys.  Their domains keep their keys.
    pub fn demote(&mut self, programs: &[*mut Program]) -> Tried<()> {
        // SAFETY: programs in a list.
        let keyed = |program: &&*mut Program| unsafe { at(**program) }.is_keyed();
        for &program in programs.iter().filter(keyed) {
            // SAFETY: as above.
            unsafe { at(program) }.make_view(self)?;
        }
        let mut wait = false;
        for &program in programs.iter().filter(keyed) {
            // SAFETY: as above.
            wait |= unsafe { at(program) }.go_viewed();
        }
        if wait {
            // SAFETY: process context.
            unsafe { ffi::moat_shim_synchronize_rcu() };
        }
        for &program in programs {
            // SAFETY: as above.
            unsafe { at(program) }.lock_keys();
        }
        Ok(())
    }

    /// Lets `program` run keyed, if there are keys for all of its set.
    pub fn promote(&mut self, program: *mut Program) -> bool {
        // SAFETY: a program in a list.
        let program = unsafe { at(program) };
        if program.is_keyed() {
            return true;
        }
        if program.wants() > self.free_keys() {
            return false;
        }
        let mut keys = KeySet::EMPTY;
        for &domain in &program.set {
            // SAFETY: a domain in a set.
            let domain = unsafe { at(domain) };
            if domain.key.is_none() {
                domain.key = self.keys.alloc(domain.owner());
                domain.binds += 1;
                domain.retag(domain.tag());
                moat_binds.fetch_add(1, Ordering::Relaxed);
                // SAFETY: any context.
                unsafe {
                    bindings::moat_trace_bind(
                        domain.id as u32,
                        domain.tag().get().into(),
                        domain.users.len() as u32,
                    )
                };
            }
            keys = match domain.key {
                Some(key) => keys.with(key),
                None => return false,
            };
        }
        program.go_keyed(keys);
        true
    }

    /// Promotes the programs that share memory with `program`, which a load or the
    /// end of another may have taken out of keys.
    pub fn promote_neighbours(&mut self, program: *mut Program) {
        // SAFETY: programs and domains in lists; sets do not change here.
        unsafe {
            for i in 0..at(program).set.len() {
                let domain = at(program).set[i];
                for j in 0..at(domain).users.len() {
                    if self.free_keys() == 0 && at(domain).key.is_none() {
                        return;
                    }
                    let _ = self.promote(at(domain).users[j]);
                }
            }
        }
    }

    /// Parks the domains that have a key and no keyed program.
    pub fn park_idle(&mut self) {
        for i in 0..Key::PROGRAMS {
            let state = Key::program(i).and_then(|key| self.keys.state(key));
            let domain = match state {
                Some(State::Bound { owner }) => owner as *mut Domain,
                _ => continue,
            };
            // SAFETY: owners are domains, which give their keys back first, and
            // their users are in the list.
            unsafe {
                if at(domain).users.iter().any(|&u| at(u).is_keyed()) {
                    continue;
                }
                at(domain).retag(Key::PARKED);
                self.release_key(at(domain));
            }
        }
    }

    /// Gives keys to the programs that run most.  Every 100 ms.
    pub fn balance(&mut self) {
        self.budget.refill();
        self.park_idle();
        if self.is_settled() {
            self.rested = true;
            return;
        }
        let rested = core::mem::take(&mut self.rested);
        for &program in &self.programs {
            // SAFETY: a program in a list.
            unsafe { at(program) }.read_heat(rested);
        }
        // The limit may have been lowered.
        while self.keys_used() > policy::keys() {
            match self.coldest() {
                Some(program) if self.evict(&[program]) => {}
                _ => break,
            }
        }
        for _ in 0..Key::PROGRAMS {
            // SAFETY: programs in a list.
            let programs = self.programs.iter().map(|&p| unsafe { at(p) });
            let some = programs.filter(|p| p.heat.value() != 0 || p.is_keyed());
            let loads = some.map(|program| Load {
                heat: program.heat.value(),
                keyed: program.is_keyed(),
                wants: program.wants(),
                frees: program.frees(),
                id: program as *mut Program as usize,
            });
            let done = match balance::choose(loads, self.free_keys()) {
                Move::Promote(id) => self.promote(id as *mut Program),
                Move::Displace(cold, hot) => {
                    let mut programs = [null_mut(); Key::PROGRAMS];
                    for (program, &id) in programs.iter_mut().zip(cold.ids()) {
                        *program = id as *mut Program;
                    }
                    self.budget.take(cold.ids().len())
                        && self.evict(&programs[..cold.ids().len()])
                        && self.promote(hot as *mut Program)
                }
                Move::Rest => false,
            };
            if !done {
                break;
            }
        }
    }

    /// Whether nobody can gain or lose a key, whoever runs most: there is none, or
    /// everybody has what it wants.
    fn is_settled(&self) -> bool {
        // SAFETY: a program in a list.
        let wants = |&p: &*mut Program| !unsafe { at(p) }.is_keyed();
        self.keys_used() <= policy::keys()
            && (policy::keys() == 0 || !self.programs.iter().any(wants))
    }

    fn keys_used(&self) -> usize {
        let used = self.keys.having(|state| !matches!(state, State::Free));
        used.len() as usize
    }

    fn coldest(&self) -> Option<*mut Program> {
        self.programs
            .iter()
            .copied()
            // SAFETY: programs in a list.
            .filter(|&p| unsafe { at(p) }.is_keyed())
            // SAFETY: as above.
            .min_by_key(|&p| unsafe { at(p) }.heat.value())
    }

    /// Takes `programs` out of keys, after one grace period for all of them.
    fn evict(&mut self, programs: &[*mut Program]) -> bool {
        if self.demote(programs).is_err() {
            return false;
        }
        moat_evictions.fetch_add(programs.len() as u64, Ordering::Relaxed);
        self.park_idle();
        true
    }
}
