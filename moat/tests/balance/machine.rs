// SPDX-License-Identifier: GPL-2.0
//! Programs with sets of domains, run period by period as the kernel would.

use moat_logic::pks::Key;
use moat_logic::state::ranking::*;

/// How many programs `State::balance` moves at most in a period.
const MOVES: usize = Key::PROGRAMS;

/// Numbers that look random; the same each time.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    Promoted(usize),
    Demoted(usize),
}

/// What `State` has in the kernel, in `state/`: programs, the domains of their sets, and who
/// has keys.
pub struct Machine {
    pub sets: Vec<Vec<usize>>,
    users: Vec<Vec<usize>>,
    has_key: Vec<bool>,
    pub keyed: Vec<bool>,
    counter: Vec<u64>,
    heat: Vec<Heat>,
    budget: Budget,
    pub limit: usize,
    pub keyed_runs: u64,
    pub runs: u64,
    /// What happened in the last period.
    pub events: Vec<Event>,
}

impl Machine {
    /// `sets`: which domains each program uses; its own is the first.
    pub fn new(sets: Vec<Vec<usize>>, limit: usize) -> Machine {
        let domains = sets.iter().flatten().max().map_or(0, |&d| d + 1);
        let mut users = vec![Vec::new(); domains];
        for (program, set) in sets.iter().enumerate() {
            for &domain in set {
                users[domain].push(program);
            }
        }
        Machine {
            has_key: vec![false; domains],
            keyed: vec![false; sets.len()],
            counter: vec![0; sets.len()],
            heat: vec![Heat::new(); sets.len()],
            sets,
            users,
            budget: Budget::new(),
            limit,
            keyed_runs: 0,
            runs: 0,
            events: Vec::new(),
        }
    }

    /// Programs that share nothing, with sets of so many domains.
    pub fn private(sizes: &[usize], limit: usize) -> Machine {
        let mut next = 0;
        let sets = sizes.iter().map(|&size| {
            next += size;
            (next - size..next).collect()
        });
        Machine::new(sets.collect(), limit)
    }

    fn programs(&self) -> usize {
        self.sets.len()
    }

    pub fn used(&self) -> usize {
        self.has_key.iter().filter(|&&key| key).count()
    }

    fn free(&self) -> usize {
        self.limit.saturating_sub(self.used())
    }

    fn wants(&self, program: usize) -> usize {
        let set = self.sets[program].iter();
        set.filter(|&&domain| !self.has_key[domain]).count()
    }

    fn load(&self, id: usize) -> Load {
        let alone = |&domain: &usize| {
            let mut others = self.users[domain].iter().filter(|&&user| user != id);
            let missed =
                |user: usize| self.keyed[user] || self.heat[user].value() > self.heat[id].value();
            !others.any(|&user| missed(user))
        };
        Load {
            id: id as u64,
            heat: self.heat[id].value(),
            keyed: self.keyed[id],
            wants: self.wants(id),
            frees: match self.keyed[id] {
                true => self.sets[id].iter().copied().filter(alone).count(),
                false => 0,
            },
        }
    }

    fn promote(&mut self, program: usize) {
        assert!(!self.keyed[program]);
        assert!(
            self.wants(program) <= self.free(),
            "more keys than are free"
        );
        for &domain in &self.sets[program] {
            self.has_key[domain] = true;
        }
        self.keyed[program] = true;
        self.events.push(Event::Promoted(program));
    }

    fn evict(&mut self, programs: &[usize]) {
        for &program in programs {
            assert!(self.keyed[program]);
            self.keyed[program] = false;
            self.events.push(Event::Demoted(program));
        }
        for &domain in programs.iter().flat_map(|&program| &self.sets[program]) {
            self.has_key[domain] = self.users[domain].iter().any(|&user| self.keyed[user]);
        }
    }

    /// Programs run, each so often, and then a period has passed.
    pub fn period(&mut self, runs: impl Fn(usize) -> u64) {
        for program in 0..self.programs() {
            let n = runs(program);
            self.counter[program] = self.counter[program].wrapping_add(n);
            self.runs += n;
            self.keyed_runs += if self.keyed[program] { n } else { 0 };
        }
        self.balance();
    }

    /// As `State::balance` does it, but for the bound on moves, which is checked.
    fn balance(&mut self) {
        self.events.clear();
        self.budget.refill();
        for (heat, &counter) in self.heat.iter_mut().zip(&self.counter) {
            heat.read(counter);
        }
        while self.used() > self.limit {
            let keyed = (0..self.programs()).filter(|&program| self.keyed[program]);
            let coldest = keyed.min_by_key(|&program| self.heat[program].value());
            self.evict(&[coldest.expect("keys without a user")]);
        }
        for moves in 0.. {
            match choose((0..self.programs()).map(|id| self.load(id)), self.free()) {
                Move::Promote(id) => self.promote(id as usize),
                Move::Displace(cold, hot) => {
                    let cold: Vec<usize> = cold.ids().iter().map(|&id| id as usize).collect();
                    let hot = hot as usize;
                    let sum: u64 = cold.iter().map(|&c| self.heat[c].value()).sum();
                    assert!(self.heat[hot].value() > 2 * sum + MARGIN);
                    if !self.budget.take(cold.len()) {
                        return;
                    }
                    self.evict(&cold);
                    self.promote(hot);
                }
                Move::Rest => return,
            }
            assert!(moves < MOVES, "no end of it");
        }
    }

    pub fn demotions(&self) -> usize {
        let demoted = |event: &&Event| matches!(event, Event::Demoted(_));
        self.events.iter().filter(demoted).count()
    }

    pub fn check(&self) {
        assert!(self.used() <= self.limit);
        for (program, set) in self.sets.iter().enumerate() {
            assert!(!self.keyed[program] || set.iter().all(|&domain| self.has_key[domain]));
        }
        for (domain, users) in self.users.iter().enumerate() {
            assert!(!self.has_key[domain] || users.iter().any(|&user| self.keyed[user]));
        }
    }
}

/// Sets of one to four domains: one's own, and some that others use as well.
pub fn shared_sets(programs: usize, shared: usize, random: &mut Random) -> Vec<Vec<usize>> {
    (0..programs)
        .map(|program| {
            let mut set = vec![program];
            for _ in 0..random.below(4) {
                let domain = programs + random.below(shared as u64) as usize;
                if !set.contains(&domain) {
                    set.push(domain);
                }
            }
            set
        })
        .collect()
}

pub fn sizes(programs: usize, random: &mut Random) -> Vec<usize> {
    let size = |_| 1 + random.below(4) as usize;
    (0..programs).map(size).collect()
}
