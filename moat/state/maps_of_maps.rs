// SPDX-License-Identifier: GPL-2.0
//! Maps of maps: what programs may use because it is in a map that they use.
//!
//! A program uses a map that is in one of its maps of maps as if the map were its
//! own: the values are in its set.  The kernel keeps account of what is in a map of
//! maps (`kernel/bpf/moat_inner.c`).  It says what is about to go in, and, after a
//! grace period, what is there no more: runs that looked it up before may use it
//! until then.  A map that is in none of a program's maps of maps leaves its set.
//!
//! The account changes at any time, but for one thing: while isolated programs use a
//! map of maps, a map is taken out of its account here and nowhere else.  What comes
//! in meanwhile is announced when the lock is free again.
//!
//! A lookup hands out the kernel's address of a map, if the program may use that.
//! It is a name and no more: the audit looks for it among the program's maps.

use super::arena::Id;
use super::lifecycle::has_values_in_window;
use super::sharing::{filter, Programs};
use super::{Book, MapValues, State};
use crate::edge::held::Held;
use crate::edge::maps::{Gone, HeldMap, Map, TOGETHER};
use crate::edge::memory::try_box;
use crate::edge::rcu;
use crate::load::reason::Failure::NoMemory;
use crate::load::reason::{Failure, Tried};
use crate::maps::types::MapTypes;
use crate::run::program::{Program, UsedMap};
use core::mem::take;
use kernel::prelude::*;

/// A map of maps that isolated programs use; the kernel remembers its name with the map.
pub struct Outer {
    map: HeldMap,
    /// In order.
    users: Programs,
}

/// Whether `map` holds maps.
pub fn is_outer(map: Map<'_>) -> bool {
    MapTypes::OF_MAPS.contains(map.info().ty)
}

/// A new list of reachable maps for a program, not yet installed.
type List = rcu::Replacement<Program, Vec<UsedMap>>;

/// Installs the lists.  Returns once no run has an old one, and frees these.
fn install(state: &mut State, mut lists: Vec<List>) {
    rcu::replace(state, &mut lists, |program| &program.reached);
}

fn lists_for(programs: usize) -> Tried<Vec<List>> {
    let mut lists = Vec::new();
    lists.try_reserve(programs).map_err(|_| NoMemory)?;
    Ok(lists)
}

impl State {
    /// Those of the maps that `program` reaches that `which` likes, with room for `more`.
    fn copy_reached(
        &self,
        program: Held<Program>,
        which: impl Fn(&UsedMap) -> bool,
        more: usize,
    ) -> Tried<List> {
        let reached = program.reached(self);
        let mut list = Vec::new();
        list.try_reserve(reached.len() + more)
            .map_err(|_| NoMemory)?;
        for used in reached.iter().filter(|used| which(used)) {
            let _ = list.try_push(*used);
        }
        let list = try_box(list).ok_or(NoMemory)?;
        Ok((program, Some(list)))
    }

    fn outer_of(&self, map: Map<'_>) -> Option<Id<Outer>> {
        Id::from_bits(map.users(self))
    }

    fn uses(&self, program: Id<Book>, map: u64) -> bool {
        let book = self.programs.get(program);
        book.map_or(false, |book| book.program.uses(map, self))
    }

    /// Lets `program`, which is being loaded, use what is in `map`.
    pub(super) fn use_outer(&mut self, program: Id<Book>, map: Map<'_>) -> Tried<()> {
        let outer = match self.outer_of(map) {
            Some(outer) => outer,
            None => self.new_outer(map)?,
        };
        let users = self.outers.at_mut(outer)?.users.try_reserve(1);
        let mine = self.programs.at_mut(program)?.outers.try_reserve(1);
        if users.is_err() || mine.is_err() {
            self.drop_outer(outer);
            return Err(NoMemory);
        }
        let users = &mut self.outers.at_mut(outer)?.users;
        let _ = users.try_push(program);
        users.sort_unstable();
        let _ = self.programs.at_mut(program)?.outers.try_push(outer);
        // Whatever goes in from now on is announced.
        let maps = self.maps_in(map)?;
        self.gain(&[program], &maps).map_err(Failure::inside)
    }

    fn new_outer(&mut self, map: Map<'_>) -> Tried<Id<Outer>> {
        let outer = self.outers.reserve()?.insert(Outer {
            map: map.hold(),
            users: Vec::new(),
        });
        if map.set_users(self, outer.bits()) {
            return Ok(outer);
        }
        self.outers.remove(outer);
        Err(map.refused("was made before MOAT was loaded"))
    }

    /// What is in the map of maps `outer`, and what is about to be.
    fn maps_in(&self, outer: Map<'_>) -> Tried<Vec<HeldMap>> {
        let mut maps = Vec::new();
        let mut id = 0;
        while let Some(map) = outer.next_in(self, &mut id) {
            maps.try_push(map.hold()).map_err(|_| NoMemory)?;
        }
        Ok(maps)
    }

    /// Forgets a map of maps that no program uses.
    fn drop_outer(&mut self, id: Id<Outer>) {
        if !matches!(self.outers.get(id), Some(outer) if outer.users.is_empty()) {
            return;
        }
        if let Some(outer) = self.outers.remove(id) {
            let _ = outer.map.get().set_users(self, 0);
        }
    }

    /// Takes out a program that has no run left.
    pub(super) fn leave_outers(&mut self, program: Id<Book>) {
        let pop = |state: &mut State| state.programs.get_mut(program)?.outers.pop();
        while let Some(id) = pop(self) {
            if let Some(outer) = self.outers.get_mut(id) {
                outer.users.retain(|&user| user != program);
            }
            self.drop_outer(id);
        }
    }

    /// Lets `programs` use `maps`, as far as they do not.  All of it, or none.  With
    /// more than one map, no program may be keyed: a view that is made because of the
    /// second would not have the first, which is not listed before the end.
    fn gain(&mut self, programs: &[Id<Book>], maps: &[HeldMap]) -> Tried<()> {
        let lacks = |map: &HeldMap| {
            let map = map.get().addr();
            programs.iter().any(|&program| !self.uses(program, map))
        };
        if !maps.iter().any(lacks) {
            return Ok(());
        }
        let mut lists = lists_for(programs.len())?;
        for &program in programs {
            let shared = self.programs.at(program)?.program;
            let _ = lists.try_push(self.copy_reached(shared, |_| true, maps.len())?);
        }
        for (i, map) in maps.iter().enumerate() {
            if let Err(why) = self.gain_one(programs, map.get(), &mut lists) {
                self.take_unlisted(maps[..i].iter());
                return Err(why);
            }
        }
        install(self, lists);
        Ok(())
    }

    fn gain_one(&mut self, programs: &[Id<Book>], map: Map<'_>, lists: &mut [List]) -> Tried<()> {
        let takers = filter(programs, |program| !self.uses(program, map.addr()))?;
        if takers.is_empty() {
            return Ok(());
        }
        if is_outer(map) {
            return Err(map.refused("holds maps"));
        }
        if !MapTypes::INNER.contains(map.info().ty) {
            return Err(map.refused("cannot be isolated"));
        }
        // The kernel does not ask for that here, and lets programs write it.
        if map.lock().is_some() {
            return Err(map.refused("has a bpf_spin_lock in its values"));
        }
        let sample = map.sample();
        let small = |program: &Id<Book>| {
            let book = self.programs.get(*program);
            book.map_or(false, |book| !book.program.has_room_for_samples(sample))
        };
        if takers.iter().any(small) {
            return Err(map.refused("has larger samples than what its map of maps was made with"));
        }
        let used = match has_values_in_window(map) {
            true => {
                let id = self.use_map(&takers, map)?;
                UsedMap::new(map, Some(self.values.at(id)?))
            }
            false => UsedMap::new(map, None),
        };
        for (program, list) in lists.iter_mut() {
            if let (Some(list), false) = (list, program.uses(map.addr(), self)) {
                let _ = list.try_push(used);
            }
        }
        Ok(())
    }

    /// Takes `maps`, in order of their addresses, from `programs`, but for those that they
    /// have in another way.
    fn lose(&mut self, programs: &[Id<Book>], maps: &[Option<HeldMap>]) {
        let gone = |used: &UsedMap| {
            let map = used.info.kernel;
            let place =
                maps.binary_search_by_key(&map, |m| m.as_ref().map_or(0, |m| m.get().addr()));
            place.ok().and_then(|i| maps[i].as_ref())
        };
        let mut lists = lists_for(programs.len());
        for &program in programs {
            let book = match self.programs.get(program) {
                Some(book) => book,
                None => continue,
            };
            let outers = || {
                book.outers
                    .iter()
                    .filter_map(|&outer| self.outers.get(outer))
            };
            let goes = |used: &UsedMap| match gone(used) {
                Some(map) => !outers().any(|outer| outer.map.get().holds(map.get())),
                None => false,
            };
            if !book.program.reached(self).iter().any(goes) {
                continue;
            }
            let list = self.copy_reached(book.program, |used| !goes(used), 0);
            match (&mut lists, list) {
                (Ok(lists), Ok(list)) => {
                    let _ = lists.try_push(list);
                }
                _ => kill(&book.program),
            }
        }
        if let Ok(lists) = lists {
            install(self, lists);
        }
        self.take_unlisted(maps.iter().flatten());
    }

    /// Takes `maps` from the programs that have them in their sets, but not listed.
    fn take_unlisted<'a>(&mut self, maps: impl Iterator<Item = &'a HeldMap> + Clone) {
        for map in maps.clone() {
            if let Some(values) = self.values_of(map.get()) {
                self.take_one(map.get().addr(), values);
            }
        }
        for map in maps {
            let values = self.values_of(map.get());
            let domain = values
                .and_then(|values| self.values.get(values))
                .map(|v| v.domain);
            let domain = domain.and_then(|domain| self.domains.get(domain));
            if let Some(&user) = domain.and_then(|domain| domain.users.first()) {
                self.promote_neighbours(user);
            }
        }
    }

    fn take_one(&mut self, map: u64, values: Id<MapValues>) {
        let taken =
            self.unlisted_users(map, values)
                .and_then(|programs| match programs.is_empty() {
                    true => Ok(()),
                    false => self.drop_map(&programs, values),
                });
        if taken.is_ok() {
            return;
        }
        let domain = self.values.get(values).map(|known| known.domain);
        let domain = domain.and_then(|domain| self.domains.get(domain));
        let users = domain.iter().flat_map(|domain| domain.users.iter());
        for book in users.filter_map(|&user| self.programs.get(user)) {
            if !book.program.uses(map, self) {
                kill(&book.program);
            }
        }
    }

    /// The programs that have `values`, which are those of `map`, and do not list it.
    fn unlisted_users(&self, map: u64, values: Id<MapValues>) -> Tried<Programs> {
        let domain = self.domains.at(self.values.at(values)?.domain)?;
        filter(&domain.users, |user| !self.uses(user, map))
    }

    /// Gives keys to programs, or to those they share with, that a change took out.
    fn settle(&mut self, programs: &[Id<Book>]) {
        for &program in programs {
            let _ = self.promote(program);
        }
        if let Some(&first) = programs.first() {
            self.promote_neighbours(first);
        }
        self.park_idle();
    }

    /// See `struct moat_ops`.
    pub fn inner_begin(&mut self, map: Map<'_>, inner: Map<'_>) -> Tried<()> {
        self.with_users(map, |state, users| {
            let result = state.gain(users, &[inner.hold()]).map_err(Failure::inside);
            state.settle(users);
            result
        })
    }

    /// See `struct moat_ops`.
    pub fn inner_end(&mut self, map: Map<'_>, mut gone: Gone) {
        self.with_users(map, |state, users| {
            const NONE: Option<HeldMap> = None;
            let mut maps = [NONE; TOGETHER];
            loop {
                let n = gone.take(map, &mut maps);
                if n == 0 {
                    break;
                }
                state.lose(users, &maps[..n]);
                maps = [NONE; TOGETHER];
            }
            state.settle(users);
        });
    }

    /// Does `what` with the users of `map`, which stay what they are meanwhile.
    fn with_users<R>(
        &mut self,
        map: Map<'_>,
        what: impl FnOnce(&mut State, &[Id<Book>]) -> R,
    ) -> R {
        let outer = self.outer_of(map);
        let users = outer.and_then(|outer| self.outers.get_mut(outer));
        let users = users.map_or(Vec::new(), |outer| take(&mut outer.users));
        let result = what(self, &users);
        if let Some(outer) = outer.and_then(|outer| self.outers.get_mut(outer)) {
            outer.users = users;
        }
        result
    }
}

/// For want of memory to take something from it.
fn kill(program: &Program) {
    if program.kill() && program.by.may_log() {
        pr_err!("no memory to take a map from a program: it runs no more\n");
    }
}
