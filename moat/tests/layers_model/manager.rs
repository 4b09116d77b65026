// SPDX-License-Identifier: GPL-2.0
//! What the functions of `state/sharing.rs`, `state/residence.rs` and `state/space.rs`
//! do, as steps that CPUs see one at a time.

use crate::machine::{Change, Machine};
use crate::state::*;
use moat_logic::keyalloc::Owner;
use moat_logic::pks::{Key, KeySet, Pkrs};

/// What the manager does at once, as CPUs see it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    Map(usize),
    Unmap(usize),
    /// Moves a page to another domain, in the books.
    Move(usize, usize),
    Tag(usize, Key),
    Flush(usize),
    Pkrs(usize, Pkrs),
    Keyed(usize),
    Viewed(usize),
    /// Who is in a run now?
    Grace,
    /// Until they have left it.
    Wait,
    /// Gives up the key of a domain.
    Free(usize),
    Begin,
    Flushed,
    Here(usize),
    Absent(usize),
}

/// What the functions of the module's `State` do.
impl Machine {
    pub fn uses(&self, program: usize, page: usize) -> bool {
        page == program || self.shared && page == SHARED && program < 2
    }

    fn flushes(&self) -> Vec<Step> {
        match self.change {
            Change::NoFlush => vec![],
            Change::OneCpuFlushed => vec![Step::Flush(0)],
            _ => (0..CPUS).map(Step::Flush).collect(),
        }
    }

    /// `moat_set_key()`
    fn retag(&self, page: usize, key: Key) -> Vec<Step> {
        [vec![Step::Tag(page, key)], self.flushes()].concat()
    }

    /// `State::release_key`
    fn release(&self, domain: usize) -> Vec<Step> {
        let begin = vec![Step::Free(domain), Step::Begin];
        [begin, self.flushes(), vec![Step::Flushed]].concat()
    }

    /// `State::unmap`
    fn unmap(&self, page: usize) -> Vec<Step> {
        let mut flushes = self.flushes();
        if self.change == Change::NoFlushToUnmap {
            flushes.clear();
        }
        let begin = vec![Step::Begin, Step::Unmap(page)];
        [begin, flushes, vec![Step::Flushed]].concat()
    }

    /// `State::demote`
    fn demote(&self, state: &State, programs: &[usize]) -> Vec<Step> {
        let viewed: Vec<_> = programs.iter().map(|p| Step::Viewed(*p)).collect();
        let grace = match programs.iter().any(|p| state.is_keyed(*p)) {
            true => vec![Step::Grace, Step::Wait],
            false => vec![],
        };
        let locked = programs.iter().map(|p| Step::Pkrs(*p, NO_KEYS)).collect();
        match self.change {
            Change::NoGrace => [viewed, locked].concat(),
            Change::GraceFirst => [grace, viewed, locked].concat(),
            Change::PkrsBeforeGrace => [viewed, locked, grace].concat(),
            _ => [viewed, grace, locked].concat(),
        }
    }

    /// Domains with a key that no keyed program would use without `programs`.
    pub fn idle(&self, state: &State, programs: &[usize]) -> Vec<usize> {
        let keyed = state.keyed().into_iter().filter(|p| !programs.contains(p));
        let used: Vec<_> = keyed.flat_map(|p| state.set(self, p)).collect();
        let idle = |domain: &usize| state.tags[*domain].is_some() && !used.contains(domain);
        (0..PAGES).filter(idle).collect()
    }

    /// `State::evict`, and of nobody `State::park_idle`
    pub fn evict(&self, state: &State, programs: &[usize]) -> Vec<Step> {
        let mut todo = self.demote(state, programs);
        for domain in self.idle(state, programs) {
            for page in state.pages(domain) {
                todo.extend(match self.change {
                    Change::NotParked => vec![],
                    Change::NoFlushToPark | Change::OneFlushToPark => {
                        vec![Step::Tag(page, Key::PARKED)]
                    }
                    _ => self.retag(page, Key::PARKED),
                });
            }
            let mut release = self.release(domain);
            if self.change == Change::NoFlushToPark {
                release.retain(|step| !matches!(step, Step::Flush(_)));
            }
            todo.extend(release);
        }
        todo
    }

    /// `State::promote`; gives out the keys.
    pub fn promote(&self, state: &mut State, program: usize) -> Vec<Step> {
        let mut tag = Vec::new();
        let mut keys = KeySet::EMPTY;
        for domain in state.set(self, program) {
            let key = state.tags[domain].unwrap_or_else(|| {
                let key = state.keys.with(|real| real.keys.alloc(domain as Owner));
                let key = key.expect("no more than are free");
                for page in state.pages(domain) {
                    tag.extend(self.retag(page, key));
                }
                key
            });
            state.tags[domain] = Some(key);
            keys = keys.with(key);
        }
        let flushes = self.flushes();
        let pkrs = vec![Step::Pkrs(program, Pkrs::for_program(keys))];
        let keyed = vec![Step::Keyed(program)];
        if matches!(
            self.change,
            Change::NoFlushToBind | Change::KeyedBeforeFlushed
        ) {
            tag.retain(|step| !matches!(step, Step::Flush(_)));
        }
        match self.change {
            Change::KeyedBeforeTagged => [pkrs, keyed, tag].concat(),
            Change::KeyedBeforeFlushed => [tag, pkrs, keyed, flushes].concat(),
            Change::KeyedBeforePkrs => [tag, keyed, pkrs].concat(),
            _ => [tag, pkrs, keyed].concat(),
        }
    }

    /// `State::join` and `State::use_map`
    pub fn load(&self, state: &State, program: usize) -> Vec<Step> {
        let mut todo = vec![Step::Move(program, program), Step::Map(program)];
        let other = 1 - program.min(1);
        if self.uses(program, SHARED) {
            if state.pages[SHARED].mapped {
                todo.extend(self.demote(state, &[other]));
                todo.push(Step::Move(SHARED, SHARED));
                todo.extend(self.retag(SHARED, Key::PARKED));
            } else {
                todo.extend([Step::Move(SHARED, program), Step::Map(SHARED)]);
            }
        }
        todo.push(Step::Here(program));
        todo
    }

    /// `State::leave_domains` and `State::merge`
    pub fn leave(&self, state: &State, program: usize) -> Vec<Step> {
        let mut todo = Vec::new();
        if self.uses(program, SHARED) {
            let other = 1 - program;
            if state.pages[SHARED].domain == SHARED {
                todo.push(Step::Move(SHARED, other));
                todo.extend(self.retag(SHARED, state.tags[other].unwrap_or(Key::PARKED)));
                if let Some(key) = state.tags[SHARED] {
                    todo.push(Step::Pkrs(other, state.programs[other].pkrs.deny(key)));
                    if state.is_keyed(other) && self.change != Change::NoGraceToNarrow {
                        todo.extend([Step::Grace, Step::Wait]);
                    }
                    todo.extend(self.release(SHARED));
                }
            } else {
                todo.extend(self.unmap(SHARED));
            }
        }
        todo.extend(self.unmap(program));
        if state.tags[program].is_some() {
            todo.extend(self.release(program));
        }
        todo.push(Step::Absent(program));
        todo
    }

    pub fn step(&self, state: &mut State, step: Step) {
        match step {
            Step::Map(page) => {
                state.pages[page].mapped = true;
                let odd = !state.pages[page].now.odd;
                let tag = Key::PARKED;
                state.set_page(page, Translation { tag, odd });
            }
            Step::Unmap(page) => {
                state.pages[page].mapped = false;
                state.pages[page].now.tag = Key::PARKED;
            }
            Step::Move(page, domain) => state.pages[page].domain = domain,
            Step::Tag(page, tag) => {
                let odd = state.pages[page].now.odd;
                state.set_page(page, Translation { tag, odd });
            }
            Step::Flush(cpu) => {
                if state.cpus[cpu].online {
                    state.flush(cpu);
                }
            }
            Step::Pkrs(program, pkrs) => state.programs[program].pkrs = pkrs,
            Step::Keyed(program) => state.programs[program].viewed = false,
            Step::Viewed(program) => state.programs[program].viewed = true,
            Step::Grace => state.grace = state.running(),
            Step::Wait => {}
            Step::Free(domain) => {
                let key = state.tags[domain].take().expect("a key");
                let freed = state.keys.with(|real| {
                    let since = real.drain.stamp();
                    real.keys.free(key, domain as Owner, since)
                });
                assert_eq!(freed, Ok(()));
            }
            Step::Begin => state
                .keys
                .with(|real| real.flush = Some(real.drain.begin())),
            Step::Flushed => state.keys.with(|real| {
                real.keys.flushed(&real.flush.take().expect("a flush"));
            }),
            Step::Here(program) => state.programs[program] = Program::new(Life::Here),
            Step::Absent(program) => state.programs[program] = Program::new(Life::Absent),
        }
    }
}
