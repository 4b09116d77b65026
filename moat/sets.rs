// SPDX-License-Identifier: GPL-2.0
//! Which programs use what memory, and in which layer they run.
//!
//! A *domain* is memory used by exactly the same programs: one program's slots
//! and the maps only it uses, or the values of maps that several share.  A
//! program's *set* is the domains it uses.  A program is *keyed* while every
//! domain of its set has a key; otherwise it runs in a *view*, whose window holds
//! its set and nothing else.  In a view every key is open, so a domain may get or
//! lose its key while viewed programs run.
//!
//! Keyed to viewed: tell the gates, wait for the runs that began before, and only
//! then touch keys.  Viewed to keyed: tag the pages, flush, then tell the gates.
//!
//! Context: process, with the lock held.

use crate::balance::{self, Budget, Load, Move};
use crate::domains::{Domains, MapValues, Tried};
use crate::ffi;
use crate::keyalloc::{Owner, State};
use crate::pks::{Key, KeySet};
use crate::policy;
use crate::program::Program;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::bindings;
use kernel::prelude::*;

/// Shown in debugfs as `binds`: keys given to domains.
#[no_mangle]
pub static moat_binds: AtomicU64 = AtomicU64::new(0);
/// Shown in debugfs as `freed`: programs that are gone, with all they had.
#[no_mangle]
pub static moat_freed: AtomicU64 = AtomicU64::new(0);
/// Shown in debugfs as `evictions`: programs that lost their keys to hotter ones.
#[no_mangle]
pub static moat_evictions: AtomicU64 = AtomicU64::new(0);

/// See the module documentation.
pub struct Domain {
    /// Its number, for people.
    pub id: u32,
    /// What its pages are tagged with, if not parked.
    pub key: Option<Key>,
    /// How often it was given one.
    pub binds: u32,
    /// The programs that use it, ordered by address.
    pub users: Vec<*mut Program>,
    maps: Vec<*mut MapValues>,
    /// Slots of its only user, as (first address, bytes).
    area: Option<(u64, u64)>,
}

impl Domain {
    fn owner(&self) -> Owner {
        self as *const Domain as Owner
    }

    fn tag(&self) -> Key {
        self.key.unwrap_or(Key::PARKED)
    }

    /// Pages it has.
    pub fn pages(&self) -> u64 {
        // SAFETY: the lock is held.
        let maps: u64 = self.maps.iter().map(|&m| unsafe { (*m).span }).sum();
        (maps + self.area.map_or(0, |(_, len)| len)) >> 12
    }

    /// Maps it has.
    pub fn maps(&self) -> usize {
        self.maps.len()
    }

    fn is_empty(&self) -> bool {
        self.maps.is_empty() && self.area.is_none()
    }

    /// Tags all of its pages with `key`.  Every TLB is flushed.
    fn retag(&self, key: Key) {
        if let Some((base, len)) = self.area {
            retag(base, len, key);
        }
        for &values in &self.maps {
            // SAFETY: the lock is held.
            unsafe { retag((*values).base, (*values).span, key) };
        }
    }
}

fn retag(base: u64, len: u64, key: Key) {
    // SAFETY: mapped by us; process context.
    unsafe { bindings::moat_set_key(base, len, key.get().into()) };
}

/// Those of `users` that `which` likes, in their order.
pub fn those(users: &[*mut Program], which: impl Fn(&Program) -> bool) -> Tried<Vec<*mut Program>> {
    let mut some = Vec::new();
    some.try_reserve(users.len()).map_err(|_| "no memory")?;
    // SAFETY: programs in a list.
    for &user in users.iter().filter(|&&user| which(unsafe { at(user) })) {
        let _ = some.try_push(user);
    }
    Ok(some)
}

/// `users` and `more`, each once, in order.
fn with(users: &[*mut Program], more: &[*mut Program]) -> Tried<Vec<*mut Program>> {
    let mut all = Vec::new();
    all.try_reserve(users.len() + more.len())
        .map_err(|_| "no memory")?;
    for &user in users.iter().chain(more) {
        let _ = all.try_push(user);
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// `users` without `less`, which is in order as they are.
fn without(users: &[*mut Program], less: &[*mut Program]) -> Tried<Vec<*mut Program>> {
    those(users, |user| {
        let user = user as *const Program as *mut Program;
        less.binary_search(&user).is_err()
    })
}

/// Puts `values` into the views of `programs`, or of none of them.
fn show(programs: &[*mut Program], values: *mut MapValues) -> Tried<()> {
    for (i, &program) in programs.iter().enumerate() {
        // SAFETY: a program in a list.
        if let Err(why) = unsafe { at(program) }.see(values) {
            hide(&programs[..=i], values);
            return Err(why);
        }
    }
    Ok(())
}

/// Takes them out again.
fn hide(programs: &[*mut Program], values: *mut MapValues) {
    for &program in programs {
        // SAFETY: a program in a list.
        unsafe { at(program) }.unsee(values);
    }
}

/// The others keep their order.
fn remove<T: PartialEq>(list: &mut Vec<T>, item: &T) {
    list.retain(|other| other != item);
}

/// The programs and domains that pointers here lead to live as long as they are
/// in a list, and only the holder of the lock follows these pointers.
///
/// # Safety
///
/// `p` is in a list of [`Domains`], and no other reference to it is in use.
pub unsafe fn at<'a, T>(p: *mut T) -> &'a mut T {
    // SAFETY: by contract of this function.
    unsafe { &mut *p }
}

impl Domains {
    /// A domain of `users`, which all have it in their sets afterwards.
    fn new_domain(&mut self, users: Vec<*mut Program>) -> Tried<*mut Domain> {
        for &user in &users {
            // SAFETY: a program in a list.
            unsafe { at(user) }
                .set
                .try_reserve(1)
                .map_err(|_| "no memory")?;
        }
        self.last_domain += 1;
        let domain = ffi::try_box(Domain {
            id: self.last_domain,
            key: None,
            binds: 0,
            users,
            maps: Vec::new(),
            area: None,
        })
        .ok_or("no memory")?;
        let domain = Box::into_raw(domain);
        // SAFETY: just made; each program is in a list, and has room.
        unsafe {
            for &user in &at(domain).users {
                let _ = at(user).set.try_push(domain);
            }
        }
        Ok(domain)
    }

    /// Frees a domain without memory, whose key runs may have.
    fn withdraw(&mut self, domain: *mut Domain) {
        // SAFETY: domains and programs in lists.
        unsafe {
            if let Some(key) = at(domain).key {
                let mut wait = false;
                for &user in &at(domain).users {
                    wait |= at(user).narrow(key);
                }
                if wait {
                    ffi::moat_shim_synchronize_rcu();
                }
            }
        }
        self.drop_domain(domain);
    }

    /// Frees a domain without memory, and its key, which no run has.
    fn drop_domain(&mut self, domain: *mut Domain) {
        // SAFETY: programs and domains in lists.
        unsafe {
            for &user in &at(domain).users {
                remove(&mut at(user).set, &domain);
            }
        }
        // SAFETY: made by `new_domain`, and in no set any more.
        let mut domain = unsafe { Box::from_raw(domain) };
        self.release_key(&mut domain);
    }

    /// Takes the key off the list of those in use; no page has it any more.
    fn release_key(&mut self, domain: &mut Domain) {
        if let Some(key) = domain.key.take() {
            let since = self.stamp();
            let _ = self.keys.free(key, domain.owner(), since);
            self.flush();
            // SAFETY: any context.
            unsafe {
                bindings::moat_trace_unbind(domain.id, key.get().into(), domain.users.len() as u32)
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

    /// Takes in a program with its slots.  It runs nowhere yet, and is viewed.
    pub fn join(&mut self, program: *mut Program, area: (u64, u64)) -> Tried<()> {
        self.programs.try_reserve(1).map_err(|_| "no memory")?;
        let domain = self.new_domain(with(&[], &[program])?)?;
        // SAFETY: just made, or the caller's.
        unsafe {
            at(domain).area = Some(area);
            at(program).place = Some(self.programs.len());
        }
        let _ = self.programs.try_push(program);
        // SAFETY: any context; does nothing if it is under way.
        unsafe { ffi::moat_shim_start_balancing(Budget::PERIOD_MS) };
        Ok(())
    }

    /// Gives `programs`, none of which uses it, access to the values of `map`.
    pub fn use_map(
        &mut self,
        programs: &[*mut Program],
        map: *mut ffi::bpf_map,
    ) -> Tried<*mut MapValues> {
        // SAFETY: the caller holds a reference on the map; the lock is held.
        let known = unsafe { (*map).moat.values } as *mut MapValues;
        let values = match known.is_null() {
            true => self.first_use(programs[0], map)?,
            false => known,
        };
        // SAFETY: in a domain, and `programs` in a list.
        let shared = unsafe { self.share(programs, values) };
        if shared.is_err() && known.is_null() {
            // SAFETY: made just now, and in the domain they were put into.
            unsafe {
                remove(&mut at((*values).domain).maps, &values);
                self.unmap_values(values);
            }
        }
        shared.map(|()| values)
    }

    /// Maps the values of `map` in the own domain of `program`.
    fn first_use(
        &mut self,
        program: *mut Program,
        map: *mut ffi::bpf_map,
    ) -> Tried<*mut MapValues> {
        // SAFETY: the caller's program, and a domain of its set.
        let own = unsafe { at(program) }.set[0];
        // SAFETY: as above.
        let domain = unsafe { at(own) };
        domain.maps.try_reserve(1).map_err(|_| "no memory")?;
        let values = self.map_values(map)?;
        // SAFETY: just made.
        unsafe {
            (*values).domain = own;
            if let Some(key) = domain.key {
                retag((*values).base, (*values).span, key);
            }
        }
        let _ = domain.maps.try_push(values);
        Ok(values)
    }

    /// Makes `programs` users of `values`, besides those they have.
    ///
    /// # Safety
    ///
    /// `values` are in a domain, and `programs` in a list.
    unsafe fn share(&mut self, programs: &[*mut Program], values: *mut MapValues) -> Tried<()> {
        // SAFETY: programs, domains and values in lists.
        unsafe {
            let from = (*values).domain;
            let to = self.domain_of(programs[0], with(&at(from).users, programs)?)?;
            if to == from {
                return show(programs, values);
            }
            // Runs that have the old domain's key, or keys but not the new one's, may
            // not go on with them.
            let ready = self
                .make_room(to)
                .and_then(|()| self.demote(&at(to).users))
                .and_then(|()| show(programs, values));
            if ready.is_err() {
                self.drop_if_empty(to);
            } else {
                self.move_map(values, to);
                self.drop_if_empty(from);
            }
            ready
        }
    }

    /// Takes from `programs`, in order, the values of a map they used, and unmaps them
    /// if no other program uses them; otherwise those may be in views afterwards.  On an
    /// error, for want of memory, the programs may have them still.
    ///
    /// # Safety
    ///
    /// `values` are in their sets, and they have them listed nowhere.
    pub unsafe fn drop_map(
        &mut self,
        programs: &[*mut Program],
        values: *mut MapValues,
    ) -> Tried<()> {
        hide(programs, values);
        // SAFETY: programs, domains and values in lists.
        unsafe {
            let from = (*values).domain;
            let users = without(&at(from).users, programs)?;
            let first = match users.first() {
                Some(&first) => first,
                None => {
                    remove(&mut at(from).maps, &values);
                    self.unmap_values(values);
                    if at(from).is_empty() {
                        self.withdraw(from);
                    }
                    return Ok(());
                }
            };
            let to = self.domain_of(first, users)?;
            let ready = self
                .make_room(to)
                .and_then(|()| self.demote(&at(from).users));
            if ready.is_err() {
                self.drop_if_empty(to);
                return ready;
            }
            self.move_map(values, to);
            self.drop_if_empty(from);
        }
        Ok(())
    }

    fn make_room(&self, domain: *mut Domain) -> Tried<()> {
        // SAFETY: a domain in a set.
        let room = unsafe { at(domain) }.maps.try_reserve(1);
        room.map_err(|_| "no memory")
    }

    fn drop_if_empty(&mut self, domain: *mut Domain) {
        // SAFETY: a domain in a set.
        if unsafe { at(domain) }.is_empty() {
            self.drop_domain(domain);
        }
    }

    /// The domain of exactly `users`, one of which is `program`.
    fn domain_of(&mut self, program: *mut Program, users: Vec<*mut Program>) -> Tried<*mut Domain> {
        // SAFETY: programs and domains in lists.
        let known = unsafe {
            at(program)
                .set
                .iter()
                .copied()
                .find(|&d| at(d).users[..] == users[..])
        };
        match known {
            Some(domain) => Ok(domain),
            None => self.new_domain(users),
        }
    }

    /// Moves values to another domain, which has room.  No user of either is keyed,
    /// or all users of both are and have both keys.
    fn move_map(&mut self, values: *mut MapValues, to: *mut Domain) {
        // SAFETY: in the domain it says; all of them in lists.
        unsafe {
            let from = (*values).domain;
            retag((*values).base, (*values).span, at(to).tag());
            remove(&mut at(from).maps, &values);
            (*values).domain = to;
            let _ = at(to).maps.try_push(values);
        }
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
                        domain.id,
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

    /// Takes out a program that has no run left, with what only it used.
    pub fn leave(&mut self, program: *mut Program) {
        // SAFETY: a program in a list, and its domains.
        unsafe {
            if let Some(i) = at(program).place.take() {
                let _ = self.programs.swap_remove(i);
                if let Some(&moved) = self.programs.get(i) {
                    at(moved).place = Some(i);
                }
            }
            while let Some(domain) = at(program).set.pop() {
                remove(&mut at(domain).users, &program);
                if at(domain).users.is_empty() {
                    while let Some(values) = at(domain).maps.pop() {
                        self.unmap_values(values);
                    }
                    // Its slots go with the program, before the next flush.
                    at(program).release_area(self);
                    self.drop_domain(domain);
                } else {
                    self.merge(domain);
                }
            }
        }
        self.park_idle();
        if self.programs.is_empty() {
            // The module may go now, and statics are not dropped.
            self.programs = Vec::new();
        }
    }

    /// Joins a domain with the one that now has the same users, if there is one.
    fn merge(&mut self, from: *mut Domain) {
        // SAFETY: domains and programs in lists.
        unsafe {
            let user = at(from).users[0];
            let to = at(user)
                .set
                .iter()
                .copied()
                .find(|&d| d != from && at(d).users == at(from).users);
            let to = match to {
                Some(to) => to,
                None => return,
            };
            if at(to).maps.try_reserve(at(from).maps.len()).is_err() {
                // They stay apart, at the cost of a key.
                return;
            }
            while let Some(&values) = at(from).maps.last() {
                self.move_map(values, to);
            }
            self.withdraw(from);
        }
    }

    /// Gives keys to the programs that run most.  Every 100 ms.
    pub fn balance(&mut self) {
        self.budget.refill();
        for &program in &self.programs {
            // SAFETY: a program in a list.
            unsafe { at(program) }.read_heat();
        }
        self.park_idle();
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
