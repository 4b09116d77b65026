// SPDX-License-Identifier: GPL-2.0
//! Which programs are keyed and which run in views.
//!
//! Keyed to viewed: tell the gates, wait for the runs that began before, and only
//! then touch keys.  Viewed to keyed: tag the pages, flush, then tell the gates.  Who
//! deserves keys is for `state/ranking.rs` to say.

use super::arena::Id;
use super::{Book, Domain, MapValues, State};
use crate::admin::sysctl;
use crate::edge::counters::{moat_binds, moat_evictions};
use crate::edge::window_pages;
use crate::keyalloc;
use crate::load::reason::Tried;
use crate::pks::{Key, KeySet};
use crate::state::ranking::{self, Budget, Load, Move};
use core::mem::take;
use core::sync::atomic::Ordering;

impl State {
    /// Gives back the key of a domain that is gone; no page has it any more.
    pub(super) fn release_key(&mut self, domain: Id<Domain>, gone: Domain) {
        if let Some(key) = gone.key {
            self.free_key(key, domain);
            window_pages::trace_unbind(gone.number, key, gone.users.len());
        }
    }

    /// How many keys may be given out now.
    fn free_keys(&self) -> usize {
        match sysctl::keys() {
            0 => 0,
            most => {
                let used = self.keys.taken();
                most.saturating_sub(used).min(Key::PROGRAMS - used)
            }
        }
    }

    fn is_keyed(&self, program: Id<Book>) -> bool {
        let book = self.programs.get(program);
        book.map_or(false, |book| book.program.is_keyed())
    }

    /// How many domains of its set have no key.
    fn wants(&self, book: &Book) -> usize {
        let domains = book
            .set
            .iter()
            .filter_map(|&domain| self.domains.get(domain));
        domains.filter(|domain| domain.key.is_none()).count()
    }

    /// How many of its keys no other program would miss; see `ranking::Load`.
    fn frees(&self, program: Id<Book>, book: &Book) -> usize {
        if !book.program.is_keyed() {
            return 0;
        }
        let misses = |&user: &Id<Book>| {
            let other = self.programs.get(user);
            user != program
                && other.map_or(false, |other| {
                    other.program.is_keyed() || other.heat.value() > book.heat.value()
                })
        };
        let domains = book
            .set
            .iter()
            .filter_map(|&domain| self.domains.get(domain));
        domains
            .filter(|domain| domain.key.is_some() && !domain.users.iter().any(misses))
            .count()
    }

    /// Makes the view of `program`, unless it has one.
    pub(super) fn make_view(&mut self, program: Id<Book>) -> Tried<()> {
        let book = self.programs.at(program)?;
        if book.view.is_some() {
            return Ok(());
        }
        let shared = book.program;
        let area = shared.gates.area();
        let mut view = self.new_view()?;
        let mut added = view.pages.add(area.0, area.1);
        for values in shared.used_maps(self).filter_map(|used| used.values) {
            added = added.and_then(|()| view.pages.add(values.base, values.span));
        }
        if let Err(why) = added {
            self.drop_view(view);
            return Err(why);
        }
        shared.gates.view_cr3().store(view.cr3, Ordering::Relaxed);
        if let Some(book) = self.programs.get_mut(program) {
            book.view = Some(view);
        }
        shared.trace_view();
        Ok(())
    }

    /// Puts `values` into the views of `programs`, or of none of them.
    pub(super) fn add_to_views(
        &mut self,
        programs: &[Id<Book>],
        values: Id<MapValues>,
    ) -> Tried<()> {
        let known = self.values.at(values)?;
        let (base, span) = (known.base, known.span);
        for (i, &program) in programs.iter().enumerate() {
            let view = self.programs.get_mut(program).and_then(|b| b.view.as_mut());
            let added = view.map_or(Ok(()), |view| view.pages.add(base, span));
            if let Err(why) = added {
                self.remove_from_views(&programs[..=i], values);
                return Err(why);
            }
        }
        Ok(())
    }

    /// Takes them out again.  Every TLB is flushed.
    pub(super) fn remove_from_views(&mut self, programs: &[Id<Book>], values: Id<MapValues>) {
        let (base, span) = match self.values.get(values) {
            Some(known) => (known.base, known.span),
            None => return,
        };
        for &program in programs {
            let view = self.programs.get_mut(program).and_then(|b| b.view.as_mut());
            if let Some(view) = view {
                view.pages.remove(base, span);
            }
        }
    }

    /// Lets `programs` run in views: when this returns, no run is left that began
    /// with keys.  Their domains keep their keys.
    fn demote(&mut self, programs: &[Id<Book>]) -> Tried<()> {
        for &program in programs {
            if self.is_keyed(program) {
                self.make_view(program)?;
            }
        }
        let books = || {
            programs
                .iter()
                .filter_map(|&program| self.programs.get(program))
        };
        let mut wait = false;
        for book in books() {
            wait |= book.program.go_viewed();
        }
        if wait {
            window_pages::synchronize_rcu();
        }
        for book in books() {
            book.program.lock_keys();
        }
        Ok(())
    }

    /// As [`State::demote`], the users of `domain`.
    pub(super) fn demote_users(&mut self, domain: Id<Domain>) -> Tried<()> {
        let users = take(&mut self.domains.at_mut(domain)?.users);
        let demoted = self.demote(&users);
        self.domains.at_mut(domain)?.users = users;
        demoted
    }

    /// The key of `domain`, which gets one if it has none.
    fn bind(&mut self, domain: Id<Domain>) -> Option<Key> {
        let known = self.domains.get_mut(domain)?;
        if known.key.is_some() {
            return known.key;
        }
        let key = self.keys.alloc(domain.bits())?;
        known.key = Some(key);
        known.binds += 1;
        let (number, users) = (known.number, known.users.len());
        self.retag(domain, key);
        moat_binds.fetch_add(1, Ordering::Relaxed);
        window_pages::trace_bind(number, key, users);
        Some(key)
    }

    /// Lets `program` run keyed, if there are keys for all of its set.
    pub(super) fn promote(&mut self, program: Id<Book>) -> bool {
        match self.programs.get(program) {
            Some(book) if book.program.is_keyed() => return true,
            Some(book) if self.wants(book) <= self.free_keys() => {}
            _ => return false,
        }
        let mut keys = KeySet::EMPTY;
        let mut i = 0;
        while let Some(&domain) = self.programs.get(program).and_then(|b| b.set.get(i)) {
            keys = match self.bind(domain) {
                Some(key) => keys.with(key),
                None => return false,
            };
            i += 1;
        }
        if let Some(book) = self.programs.get(program) {
            book.program.go_keyed(keys);
        }
        true
    }

    /// Promotes the programs that share memory with `program`, which a load or an unload
    /// may have moved to views.
    pub(super) fn promote_neighbours(&mut self, program: Id<Book>) {
        let nth = |state: &State, i| state.programs.get(program)?.set.get(i).copied();
        let mut i = 0;
        while let Some(domain) = nth(self, i) {
            let mut j = 0;
            while let Some((&user, key)) = self
                .domains
                .get(domain)
                .and_then(|domain| Some((domain.users.get(j)?, domain.key)))
            {
                if self.free_keys() == 0 && key.is_none() {
                    return;
                }
                let _ = self.promote(user);
                j += 1;
            }
            i += 1;
        }
    }

    /// Parks the domains that have a key and no keyed program.
    pub(super) fn park_idle(&mut self) {
        for i in 0..Key::PROGRAMS {
            let state = Key::program(i).and_then(|key| self.keys.state(key));
            let bound = match state {
                Some(keyalloc::State::Bound { owner }) => Id::from_bits(owner),
                _ => continue,
            };
            let (id, domain) = match bound.and_then(|id| Some((id, self.domains.get(id)?))) {
                Some(known) => known,
                None => continue,
            };
            if domain.users.iter().any(|&user| self.is_keyed(user)) {
                continue;
            }
            self.retag(id, Key::PARKED);
            if let Some(domain) = self.domains.get_mut(id) {
                let (number, users) = (domain.number, domain.users.len());
                if let Some(key) = domain.key.take() {
                    self.free_key(key, id);
                    window_pages::trace_unbind(number, key, users);
                }
            }
        }
    }

    /// Gives keys to the programs that run most.  In how many milliseconds it is to be called
    /// again; 0: not until there are programs.
    pub fn balance(&mut self) -> u32 {
        self.compare();
        match self.programs.is_empty() {
            true => 0,
            false => Budget::PERIOD_MS,
        }
    }

    fn compare(&mut self) {
        self.budget.refill();
        self.park_idle();
        if self.is_settled() {
            self.rested = true;
            return;
        }
        let rested = take(&mut self.rested);
        for book in self.programs.values_mut() {
            let runs = book.runs();
            match rested {
                true => book.heat.skip(runs),
                false => book.heat.read(runs),
            }
        }
        // The limit may have been lowered.
        while self.keys.taken() > sysctl::keys() {
            match self.coldest() {
                Some(program) if self.evict(&[program]) => {}
                _ => break,
            }
        }
        for _ in 0..Key::PROGRAMS {
            if !self.move_one() {
                break;
            }
        }
    }

    /// Makes the next move, if one is worth it.
    fn move_one(&mut self) -> bool {
        let books = self.programs.iter();
        let some = books.filter(|(_, book)| book.heat.value() != 0 || book.program.is_keyed());
        let loads = some.map(|(id, book)| Load {
            heat: book.heat.value(),
            keyed: book.program.is_keyed(),
            wants: self.wants(book),
            frees: self.frees(id, book),
            id: id.bits(),
        });
        match ranking::choose(loads, self.free_keys()) {
            Move::Promote(hot) => Id::from_bits(hot).map_or(false, |hot| self.promote(hot)),
            Move::Displace(cold, hot) => {
                let hot = match Id::from_bits(hot) {
                    Some(hot) => hot,
                    None => return false,
                };
                let mut programs = [hot; Key::PROGRAMS];
                let ids = cold.ids().iter().filter_map(|&id| Id::from_bits(id));
                for (program, id) in programs.iter_mut().zip(ids) {
                    *program = id;
                }
                self.budget.take(cold.ids().len())
                    && self.evict(&programs[..cold.ids().len()])
                    && self.promote(hot)
            }
            Move::Rest => false,
        }
    }

    /// Whether nobody can gain or lose a key, whoever runs most: there is none, or
    /// everybody has what it wants.
    fn is_settled(&self) -> bool {
        self.keys.taken() <= sysctl::keys()
            && (sysctl::keys() == 0
                || self
                    .programs
                    .iter()
                    .all(|(_, book)| book.program.is_keyed()))
    }

    fn coldest(&self) -> Option<Id<Book>> {
        let keyed = self
            .programs
            .iter()
            .filter(|(_, book)| book.program.is_keyed());
        keyed
            .min_by_key(|(_, book)| book.heat.value())
            .map(|(id, _)| id)
    }

    /// Takes `programs` out of keys, after one grace period for all of them.
    fn evict(&mut self, programs: &[Id<Book>]) -> bool {
        if self.demote(programs).is_err() {
            return false;
        }
        moat_evictions.fetch_add(programs.len() as u64, Ordering::Relaxed);
        self.park_idle();
        true
    }
}
