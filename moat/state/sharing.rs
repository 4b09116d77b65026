// SPDX-License-Identifier: GPL-2.0
//! Which programs use what memory.
//!
//! A *domain* is memory used by exactly the same programs: one program's slots
//! and the maps only it uses, or the values of maps that several share.  A
//! program's *set* is the domains it uses.  A program is *keyed* while every
//! domain of its set has a key; otherwise it runs in a *view*, whose window holds
//! its set and nothing else.  In a view every key is open, so a domain may get or
//! lose its key while viewed programs run.  Who is keyed is in `residence.rs`.

use super::arena::Id;
use super::{Book, Domain, MapValues, State};
use crate::edge::maps::Map;
use crate::edge::window_pages;
use crate::load::reason::Failure::NoMemory;
use crate::load::reason::Tried;
use core::mem::take;
use kernel::prelude::*;

/// Some programs, each once, in order.
pub(super) type Programs = Vec<Id<Book>>;

/// The one program.
pub(super) fn one(program: Id<Book>) -> Tried<Programs> {
    union(&[], &[program])
}

/// Those of `programs` that `which` likes, in their order.
pub(super) fn filter(programs: &[Id<Book>], which: impl Fn(Id<Book>) -> bool) -> Tried<Programs> {
    let mut some = Vec::new();
    some.try_reserve(programs.len()).map_err(|_| NoMemory)?;
    for &program in programs.iter().filter(|&&program| which(program)) {
        let _ = some.try_push(program);
    }
    Ok(some)
}

/// `programs` and `more`, each once, in order.
fn union(programs: &[Id<Book>], more: &[Id<Book>]) -> Tried<Programs> {
    let mut all = Vec::new();
    all.try_reserve(programs.len() + more.len())
        .map_err(|_| NoMemory)?;
    for &program in programs.iter().chain(more) {
        let _ = all.try_push(program);
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// The others keep their order.
pub(super) fn remove<T: PartialEq>(list: &mut Vec<T>, item: &T) {
    list.retain(|other| other != item);
}

impl State {
    /// The values of `map`, if isolated programs use it.
    pub fn values_of(&self, map: Map<'_>) -> Option<Id<MapValues>> {
        Id::from_bits(map.values(self))
    }

    /// A domain of `users`, which all have it in their sets afterwards.
    pub(super) fn new_domain(&mut self, users: Programs) -> Tried<Id<Domain>> {
        for &user in &users {
            let set = &mut self.programs.at_mut(user)?.set;
            set.try_reserve(1).map_err(|_| NoMemory)?;
        }
        let room = self.domains.reserve()?;
        self.last_domain += 1;
        let domain = room.insert(Domain {
            number: self.last_domain,
            key: None,
            binds: 0,
            users,
            maps: Vec::new(),
            area: None,
        });
        for &user in &self.domains.at(domain)?.users {
            if let Some(user) = self.programs.get_mut(user) {
                // There is room.
                let _ = user.set.try_push(domain);
            }
        }
        Ok(domain)
    }

    /// Frees an empty domain; first waits for runs that may still have its key open.
    fn withdraw(&mut self, domain: Id<Domain>) {
        if let Some(Domain {
            key: Some(key),
            users,
            ..
        }) = self.domains.get(domain)
        {
            let mut wait = false;
            for user in users.iter().filter_map(|&user| self.programs.get(user)) {
                wait |= user.program.narrow(*key);
            }
            if wait {
                window_pages::synchronize_rcu();
            }
        }
        self.drop_domain(domain);
    }

    /// Frees an empty domain and its key, which no run has.
    pub(super) fn drop_domain(&mut self, domain: Id<Domain>) {
        let removed = match self.domains.remove(domain) {
            Some(removed) => removed,
            None => return,
        };
        for &user in &removed.users {
            if let Some(user) = self.programs.get_mut(user) {
                remove(&mut user.set, &domain);
            }
        }
        self.release_key(domain, removed);
    }

    /// Gives `programs`, none of which uses it, access to the values of `map`.
    pub(super) fn use_map(&mut self, programs: &[Id<Book>], map: Map<'_>) -> Tried<Id<MapValues>> {
        let known = self.values_of(map);
        let values = match (known, programs.first()) {
            (Some(values), _) => values,
            (None, Some(&first)) => self.first_use(first, map)?,
            (None, None) => return Err(NoMemory),
        };
        let shared = self.share(programs, values);
        if shared.is_err() && known.is_none() {
            self.take_out(values);
            self.unmap_values(values);
        }
        shared.map(|()| values)
    }

    /// Maps the values of `map` in the own domain of `program`.
    fn first_use(&mut self, program: Id<Book>, map: Map<'_>) -> Tried<Id<MapValues>> {
        let own = *self.programs.at(program)?.set.first().ok_or(NoMemory)?;
        let maps = &mut self.domains.at_mut(own)?.maps;
        maps.try_reserve(1).map_err(|_| NoMemory)?;
        let values = self.map_values(map, own)?;
        let known = self.values.at(values)?;
        let domain = self.domains.at_mut(own)?;
        if let Some(key) = domain.key {
            window_pages::set_key(known.base, known.span, key);
        }
        let _ = domain.maps.try_push(values);
        Ok(values)
    }

    /// Makes `programs` users of `values`, besides those they have.
    fn share(&mut self, programs: &[Id<Book>], values: Id<MapValues>) -> Tried<()> {
        let from = self.values.at(values)?.domain;
        let users = union(&self.domains.at(from)?.users, programs)?;
        let to = self.domain_of(users)?;
        if to == from {
            return self.add_to_views(programs, values);
        }
        // Before the map moves, all runs end that can open the old domain, and all keyed
        // runs that cannot open the new one.
        let ready = self
            .make_room(to)
            .and_then(|()| self.demote_users(to))
            .and_then(|()| self.add_to_views(programs, values));
        if ready.is_err() {
            self.drop_if_empty(to);
        } else {
            self.move_map(values, to);
            self.drop_if_empty(from);
        }
        ready
    }

    /// Takes from `programs`, in order, the values of a map they used and have listed no
    /// more, and unmaps them if no other program uses them; otherwise those may be in views
    /// afterwards.  On an error, for want of memory, the programs may have them still.
    pub(super) fn drop_map(&mut self, programs: &[Id<Book>], values: Id<MapValues>) -> Tried<()> {
        self.remove_from_views(programs, values);
        let from = self.values.at(values)?.domain;
        let users = filter(&self.domains.at(from)?.users, |user| {
            programs.binary_search(&user).is_err()
        })?;
        if users.is_empty() {
            self.take_out(values);
            self.unmap_values(values);
            if self.domains.at(from)?.is_empty() {
                self.withdraw(from);
            }
            return Ok(());
        }
        let to = self.domain_of(users)?;
        let ready = self.make_room(to).and_then(|()| self.demote_users(from));
        if ready.is_err() {
            self.drop_if_empty(to);
            return ready;
        }
        self.move_map(values, to);
        self.drop_if_empty(from);
        Ok(())
    }

    fn make_room(&mut self, domain: Id<Domain>) -> Tried<()> {
        let maps = &mut self.domains.at_mut(domain)?.maps;
        maps.try_reserve(1).map_err(|_| NoMemory)
    }

    fn drop_if_empty(&mut self, domain: Id<Domain>) {
        if self.domains.get(domain).map_or(false, Domain::is_empty) {
            self.drop_domain(domain);
        }
    }

    /// The domain of exactly `users`.
    fn domain_of(&mut self, users: Programs) -> Tried<Id<Domain>> {
        let first = *users.first().ok_or(NoMemory)?;
        let has_them = |&domain: &Id<Domain>| {
            let domain = self.domains.get(domain);
            domain.map_or(false, |domain| domain.users[..] == users[..])
        };
        let known = self.programs.at(first)?.set.iter().copied().find(has_them);
        match known {
            Some(domain) => Ok(domain),
            None => self.new_domain(users),
        }
    }

    /// Takes values off the list of their domain.
    fn take_out(&mut self, values: Id<MapValues>) {
        let domain = self.values.get(values).map(|known| known.domain);
        if let Some(domain) = domain.and_then(|domain| self.domains.get_mut(domain)) {
            remove(&mut domain.maps, &values);
        }
    }

    /// Moves values to another domain, which has room.  No user of either is keyed,
    /// or all users of both are and have both keys.
    fn move_map(&mut self, values: Id<MapValues>, to: Id<Domain>) {
        let tag = match self.domains.at(to) {
            Ok(domain) => domain.tag(),
            // They stay where they are.
            Err(_) => return,
        };
        self.take_out(values);
        if let (Ok(known), Ok(domain)) = (self.values.at_mut(values), self.domains.at_mut(to)) {
            window_pages::set_key(known.base, known.span, tag);
            known.domain = to;
            let _ = domain.maps.try_push(values);
        }
    }

    /// Takes a program that has no run left out of its domains, with what only it used.
    pub(super) fn leave_domains(&mut self, program: Id<Book>) {
        let pop = |state: &mut State| state.programs.get_mut(program)?.set.pop();
        while let Some(domain) = pop(self) {
            let left = match self.domains.get_mut(domain) {
                Some(domain) => {
                    remove(&mut domain.users, &program);
                    domain.users.len()
                }
                None => continue,
            };
            if left != 0 {
                self.merge(domain);
                continue;
            }
            let maps = self.domains.get_mut(domain).map(|d| take(&mut d.maps));
            for &values in maps.iter().flatten() {
                self.unmap_values(values);
            }
            // Its slots go with the program, before the next flush.
            self.release_area(program);
            self.drop_domain(domain);
        }
    }

    /// Joins a domain with the one that now has the same users, if there is one.
    fn merge(&mut self, from: Id<Domain>) {
        let users = match self.domains.get(from) {
            Some(domain) => &domain.users,
            None => return,
        };
        let is_same = |&&other: &&Id<Domain>| {
            let domain = self.domains.get(other);
            other != from && domain.map_or(false, |domain| domain.users == *users)
        };
        let first = users.first().and_then(|&user| self.programs.get(user));
        let to = match first.and_then(|first| first.set.iter().find(is_same)) {
            Some(&to) => to,
            None => return,
        };
        let maps = self.domains.get(from).map_or(0, |from| from.maps.len());
        let room = self.domains.get_mut(to).map(|to| to.maps.try_reserve(maps));
        if !matches!(room, Some(Ok(()))) {
            // They stay apart, at the cost of a key.
            return;
        }
        let moved = self.domains.get_mut(from).map(|from| take(&mut from.maps));
        for &values in moved.iter().flatten() {
            self.move_map(values, to);
        }
        self.withdraw(from);
    }
}
