// SPDX-License-Identifier: GPL-2.0
//! Which programs use what memory.
//!
//! A *domain* is memory used by exactly the same programs: one program's slots
//! and the maps only it uses, or the values of maps that several share.  A
//! program's *set* is the domains it uses.  A program is *keyed* while every
//! domain of its set has a key; otherwise it runs in a *view*, whose window holds
//! its set and nothing else.  In a view every key is open, so a domain may get or
//! lose its key while viewed programs run.  Who is keyed is in `layers.rs`.
//!
//! Context: process, with the lock held.

use crate::balance::Budget;
use crate::domains::{Domains, MapValues};
use crate::ffi;
use crate::keyalloc::Owner;
use crate::pks::Key;
use crate::program::Program;
use crate::reason::Failure::NoMemory;
use crate::reason::Tried;
use core::sync::atomic::AtomicU64;
use kernel::bindings;
use kernel::prelude::*;

/// Shown in debugfs as `freed`: programs that are gone, with all they had.
#[no_mangle]
pub static moat_freed: AtomicU64 = AtomicU64::new(0);
/// See the module documentation.
pub struct Domain {
    /// Its number, for people.
    pub id: u64,
    /// What its pages are tagged with, if not parked.
    pub key: Option<Key>,
    /// How often it was given one.
    pub binds: u64,
    /// The programs that use it, ordered by address.
    pub users: Vec<*mut Program>,
    maps: Vec<*mut MapValues>,
    /// Slots of its only user, as (first address, bytes).
    area: Option<(u64, u64)>,
}

impl Domain {
    /// Its name, for who allocates keys.
    pub fn owner(&self) -> Owner {
        self as *const Domain as Owner
    }

    /// What its pages are tagged with.
    pub fn tag(&self) -> Key {
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
    pub fn retag(&self, key: Key) {
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
    some.try_reserve(users.len()).map_err(|_| NoMemory)?;
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
        .map_err(|_| NoMemory)?;
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
                .map_err(|_| NoMemory)?;
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
        .ok_or(NoMemory)?;
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

    /// Takes in a program with its slots.  It runs nowhere yet, and is viewed.
    pub fn join(&mut self, program: *mut Program, area: (u64, u64)) -> Tried<()> {
        self.programs.try_reserve(1).map_err(|_| NoMemory)?;
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
        domain.maps.try_reserve(1).map_err(|_| NoMemory)?;
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
        room.map_err(|_| NoMemory)
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
}
