// SPDX-License-Identifier: GPL-2.0
//! Keys go to the programs that run most, and stay there.

use moat_logic::balance::*;
use moat_logic::pks::Key;
use proptest::prelude::*;

/// How many programs `Domains::balance` moves at most in a period.
const MOVES: usize = Key::PROGRAMS;

/// Numbers that look random; the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Event {
    Promoted(usize),
    Demoted(usize),
}

/// What `sets.rs` has in the kernel: programs, the domains of their sets, and who
/// has keys.
struct Machine {
    sets: Vec<Vec<usize>>,
    users: Vec<Vec<usize>>,
    has_key: Vec<bool>,
    keyed: Vec<bool>,
    counter: Vec<u64>,
    heat: Vec<Heat>,
    budget: Budget,
    limit: usize,
    keyed_runs: u64,
    runs: u64,
    /// What happened in the last period.
    events: Vec<Event>,
}

impl Machine {
    /// `sets`: which domains each program uses; its own is the first.
    fn new(sets: Vec<Vec<usize>>, limit: usize) -> Machine {
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
    fn private(sizes: &[usize], limit: usize) -> Machine {
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

    fn used(&self) -> usize {
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
            id,
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
    fn period(&mut self, runs: impl Fn(usize) -> u64) {
        for program in 0..self.programs() {
            let n = runs(program);
            self.counter[program] = self.counter[program].wrapping_add(n);
            self.runs += n;
            self.keyed_runs += if self.keyed[program] { n } else { 0 };
        }
        self.balance();
    }

    /// As `Domains::balance` does it, but for the bound on moves, which is checked.
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
                Move::Promote(id) => self.promote(id),
                Move::Displace(cold, hot) => {
                    let sum: u64 = cold.ids().iter().map(|&c| self.heat[c].value()).sum();
                    assert!(self.heat[hot].value() > 2 * sum + MARGIN);
                    if !self.budget.take(cold.ids().len()) {
                        return;
                    }
                    self.evict(cold.ids());
                    self.promote(hot);
                }
                Move::Rest => return,
            }
            assert!(moves < MOVES, "no end of it");
        }
    }

    fn demotions(&self) -> usize {
        let demoted = |event: &&Event| matches!(event, Event::Demoted(_));
        self.events.iter().filter(demoted).count()
    }

    fn check(&self) {
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
fn shared_sets(programs: usize, shared: usize, random: &mut Random) -> Vec<Vec<usize>> {
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

fn sizes(programs: usize, random: &mut Random) -> Vec<usize> {
    let size = |_| 1 + random.below(4) as usize;
    (0..programs).map(size).collect()
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn load() -> impl Strategy<Value = Load> {
    let heat = prop_oneof![0u64..200, 0u64..4, any::<u64>()];
    (heat, any::<bool>(), 0usize..16, 1usize..6).prop_map(|(heat, keyed, wants, frees)| Load {
        id: 0,
        heat,
        keyed,
        wants: if keyed { 0 } else { wants },
        frees: if keyed { frees } else { 0 },
    })
}

/// What freeing `need` keys costs at least, by trying all there is.
fn cheapest(keyed: &[Load], need: usize) -> Option<u128> {
    (0u32..1 << keyed.len())
        .filter_map(|who| {
            let these = keyed.iter().enumerate().filter(|(i, _)| who & 1 << i != 0);
            let (cost, frees) = these.fold((0, 0), |(cost, frees), (_, load)| {
                (cost + u128::from(load.heat), frees + load.frees)
            });
            (frees >= need).then_some(cost)
        })
        .min()
}

proptest! {
    #![proptest_config(config(20_000))]

    #[test]
    fn a_move_is_for_the_hottest_that_deserves_it(
        loads in proptest::collection::vec(load(), 0..14),
        free in 0usize..14,
    ) {
        let mut left = Key::PROGRAMS - free;
        let loads: Vec<Load> = loads
            .into_iter()
            .enumerate()
            .map(|(id, load)| {
                let frees = load.frees.min(left);
                left -= frees;
                Load { id, frees, ..load }
            })
            .collect();
        let keyed: Vec<Load> = loads.iter().copied().filter(|load| load.keyed).collect();
        let deserves = |load: &&Load| {
            let heat = u128::from(load.heat);
            let cost = cheapest(&keyed, load.wants.saturating_sub(free));
            // Keys there are not make no difference.
            let possible = load.wants <= Key::PROGRAMS;
            !load.keyed && possible && heat > 0 && (load.wants <= free || cost.map_or(false, |cost| {
                // Sums that do not fit are hotter than anything.
                heat > 2 * cost + u128::from(MARGIN)
            }))
        };
        let best = loads.iter().filter(deserves).map(|load| load.heat).max();
        match choose(loads.iter().copied(), free) {
            Move::Rest => prop_assert_eq!(best, None),
            Move::Promote(id) => {
                prop_assert_eq!(best, Some(loads[id].heat));
                prop_assert!(!loads[id].keyed && loads[id].wants <= free);
            }
            Move::Displace(cold, hot) => {
                prop_assert_eq!(best, Some(loads[hot].heat));
                let cold: Vec<Load> = cold.ids().iter().map(|&id| loads[id]).collect();
                let cost = cold.iter().map(|load| u128::from(load.heat)).sum();
                let frees: usize = cold.iter().map(|load| load.frees).sum();
                prop_assert!(cold.iter().all(|load| load.keyed));
                prop_assert!(loads[hot].wants > free && loads[hot].wants <= free + frees);
                prop_assert_eq!(cheapest(&keyed, loads[hot].wants - free), Some(cost));
                for load in &cold {
                    prop_assert!(loads[hot].wants > free + frees - load.frees, "needlessly");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(config(2_000))]

    /// Sets, loads and the limit change at random; `Machine` checks each move.
    #[test]
    fn keys_suffice_and_moves_end(
        programs in 1usize..60,
        share in any::<bool>(),
        limits in proptest::collection::vec(0usize..=Key::PROGRAMS, 1..6),
        scale in 1u64..40,
        seed in 1u64..,
    ) {
        let mut random = Random(seed);
        let mut machine = if share {
            Machine::new(shared_sets(programs, 1 + programs / 3, &mut random), 0)
        } else {
            Machine::private(&sizes(programs, &mut random), 0)
        };
        for limit in limits {
            machine.limit = limit;
            for _ in 0..20 {
                let loads: Vec<u64> = (0..programs)
                    .map(|_| {
                        let power = random.below(scale);
                        random.below(1 << power)
                    })
                    .collect();
                machine.period(|program| loads[program]);
                machine.check();
                // Nobody is given keys just to lose them again.
                for (i, event) in machine.events.iter().enumerate() {
                    if let (Event::Promoted(id), false) = (event, share) {
                        prop_assert!(!machine.events[i..].contains(&Event::Demoted(*id)));
                    }
                }
            }
        }
    }

    /// What runs steadily comes to rest, whoever shares what.
    #[test]
    fn steady_loads_settle(
        programs in 1usize..60,
        share in any::<bool>(),
        scale in 1u64..20,
        seed in 1u64..,
    ) {
        let mut random = Random(seed);
        let mut machine = if share {
            Machine::new(shared_sets(programs, 1 + programs / 3, &mut random), Key::PROGRAMS)
        } else {
            Machine::private(&sizes(programs, &mut random), Key::PROGRAMS)
        };
        let loads: Vec<u64> = (0..programs)
            .map(|_| {
                let power = random.below(scale);
                random.below(1 << power)
            })
            .collect();
        for _ in 0..60 {
            machine.period(|program| loads[program]);
        }
        for _ in 0..40 {
            machine.period(|program| loads[program]);
            prop_assert!(machine.events.is_empty());
        }
    }

    /// Nobody is displaced by one who runs less than twice as often.
    #[test]
    fn similar_loads_never_displace(
        programs in 14usize..200,
        base in 1u64..100_000,
        seed in 1u64..,
    ) {
        let mut random = Random(seed);
        let mut machine = Machine::private(&sizes(programs, &mut random), Key::PROGRAMS);
        for period in 0..60 {
            let loads: Vec<u64> = (0..programs).map(|_| base + random.below(base)).collect();
            machine.period(|program| loads[program]);
            prop_assert!(period == 0 || machine.demotions() == 0);
        }
    }
}

proptest! {
    #![proptest_config(config(12))]

    #[test]
    fn the_hot_programs_get_the_keys(share in any::<bool>(), seed in 1u64..) {
        const PROGRAMS: usize = 1_000;
        let mut random = Random(seed);
        let mut machine = if share {
            Machine::new(shared_sets(PROGRAMS, 400, &mut random), Key::PROGRAMS)
        } else {
            Machine::private(&sizes(PROGRAMS, &mut random), Key::PROGRAMS)
        };
        // As many as there are keys for, up to eight.
        let mut hot: Vec<usize> = Vec::new();
        let mut domains: Vec<usize> = Vec::new();
        for _ in 0..200 {
            let program = random.below(PROGRAMS as u64) as usize;
            let mut more = domains.clone();
            more.extend(&machine.sets[program]);
            more.sort_unstable();
            more.dedup();
            // A key at least is left for each that is to come.
            let room = Key::PROGRAMS - (7 - hot.len().min(7));
            if hot.len() < 8 && !hot.contains(&program) && more.len() <= room {
                hot.push(program);
                domains = more;
            }
        }
        prop_assert_eq!(hot.len(), 8);

        // All run alike at first, so that others have the keys.
        for _ in 0..20 {
            machine.period(|_| 50);
        }
        let chance = random.below(1 << 32);
        let mut random = Random(chance + 1);
        let mut loads = |hot: &[usize]| -> Vec<u64> {
            let mut loads: Vec<u64> = (0..PROGRAMS).map(|_| random.below(2)).collect();
            for &program in hot {
                loads[program] = 8_000 + random.below(8_000);
            }
            loads
        };
        for _ in 0..10 {
            let loads = loads(&hot);
            machine.period(|program| loads[program]);
        }
        prop_assert!(hot.iter().all(|&program| machine.keyed[program]));
        (machine.keyed_runs, machine.runs) = (0, 0);
        for _ in 0..100 {
            let loads = loads(&hot);
            machine.period(|program| loads[program]);
            prop_assert!(hot.iter().all(|&program| machine.keyed[program]));
        }
        prop_assert!(machine.keyed_runs * 100 > machine.runs * 99);
    }
}

#[test]
fn equal_loads_stay_where_they_are() {
    for programs in [1, 13, 14, 1_000] {
        let mut random = Random(42);
        let mut machine = Machine::private(&sizes(programs, &mut random), Key::PROGRAMS);
        machine.period(|_| 1_000);
        let keyed = machine.keyed.clone();
        for _ in 0..100 {
            machine.period(|_| 1_000);
            assert!(machine.events.is_empty());
        }
        assert_eq!(machine.keyed, keyed);
        assert!(machine.used() > Key::PROGRAMS - 4 || programs < 13);
    }
}

/// Each period others run, and those before are as good as forgotten two later: the
/// worst there is for whoever has keys.
#[test]
fn round_robin_cannot_spend_more_than_the_budget() {
    const PROGRAMS: usize = 1_000;
    const PERIODS: usize = 3_000;
    let second = (1_000 / Budget::PERIOD_MS) as usize;
    let per_second = second * Budget::PER_PERIOD as usize;
    assert_eq!(per_second, 50);

    let mut machine = Machine::private(&[1; PROGRAMS], Key::PROGRAMS);
    let mut demotions = Vec::new();
    for period in 0..PERIODS {
        let group = period % (PROGRAMS / Key::PROGRAMS);
        machine.period(|program| match program / Key::PROGRAMS == group {
            true => 1_000_000,
            false => 0,
        });
        machine.check();
        demotions.push(machine.demotions());
    }
    for window in demotions.windows(second) {
        assert!(window.iter().sum::<usize>() <= Budget::BURST as usize + per_second);
    }
    let all: usize = demotions.iter().sum();
    let budget = Budget::BURST as usize + PERIODS / second * per_second;
    assert!(all <= budget);
    // Otherwise this was no attack.
    assert!(all * 10 > budget * 9, "{all} of {budget}");
}

#[test]
fn ten_thousand_programs() {
    const PROGRAMS: usize = 10_000;
    let mut random = Random(7);
    let mut machine = Machine::new(shared_sets(PROGRAMS, 3_000, &mut random), Key::PROGRAMS);
    for _ in 0..20 {
        let loads: Vec<u64> = (0..PROGRAMS)
            .map(|program| (1 << (program % 20)) + random.below(100))
            .collect();
        machine.period(|program| loads[program]);
        machine.check();
    }
    assert!(machine.used() > Key::PROGRAMS - 4);
}

fn viewed(id: usize, heat: u64, wants: usize) -> Load {
    Load {
        id,
        heat,
        keyed: false,
        wants,
        frees: 0,
    }
}

fn keyed(id: usize, heat: u64, frees: usize) -> Load {
    Load {
        id,
        heat,
        keyed: true,
        wants: 0,
        frees,
    }
}

fn displaced(loads: &[Load], free: usize) -> (Vec<usize>, usize) {
    match choose(loads.iter().copied(), free) {
        Move::Displace(cold, hot) => (cold.ids().to_vec(), hot),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_sum_of_what_is_displaced_counts() {
    let each: Vec<Load> = (0..4).map(|id| keyed(id, 40, 1)).collect();
    let with = |hot| each.iter().copied().chain([hot]);
    // Hotter than any of them, and colder than all four.
    assert_eq!(choose(with(viewed(9, 100, 4)), 0), Move::Rest);
    assert_eq!(choose(with(viewed(9, 2 * 160 + MARGIN, 4)), 0), Move::Rest);
    let loads: Vec<Load> = with(viewed(9, 2 * 160 + MARGIN + 1, 4)).collect();
    assert_eq!(displaced(&loads, 0), (vec![0, 1, 2, 3], 9));
    // With two keys free it displaces two.
    let loads: Vec<Load> = with(viewed(9, 2 * 80 + MARGIN + 1, 4)).collect();
    assert_eq!(displaced(&loads, 2).0.len(), 2);
}

#[test]
fn one_with_many_keys_goes_before_many_with_one() {
    let mut loads: Vec<Load> = (0..4).map(|id| keyed(id, 10, 1)).collect();
    loads.push(keyed(4, 11, 4));
    loads.push(viewed(9, 1_000, 4));
    assert_eq!(displaced(&loads, 0), (vec![4], 9));
    // For one key the coldest is enough.
    loads[3].heat = 9;
    loads[5].wants = 1;
    assert_eq!(displaced(&loads, 0), (vec![3], 9));
}

#[test]
fn one_that_wants_more_than_there_is_hinders_nobody() {
    let greedy = viewed(0, 1_000_000, Key::PROGRAMS + 1);
    let loads = [greedy, viewed(1, 5, 1), viewed(2, 4, 1)];
    assert_eq!(choose(loads.into_iter(), 3), Move::Promote(1));
    let loads = [greedy, keyed(1, 50, 1)];
    assert_eq!(choose(loads.into_iter(), 0), Move::Rest);
    let loads = [greedy, keyed(1, 50, 1), viewed(2, 1_000, 1)];
    assert_eq!(displaced(&loads, 0), (vec![1], 2));
    // With fewer keys for programs, one that was modest is greedy.
    let mut machine = Machine::private(&[4, 1, 1, 1], 3);
    for _ in 0..20 {
        machine.period(|program| if program == 0 { 1_000 } else { 1 });
        assert_eq!(machine.keyed, [false, true, true, true]);
    }
}

#[test]
fn what_does_not_run_gets_no_key() {
    let mut machine = Machine::private(&[1; 20], Key::PROGRAMS);
    machine.period(|program| u64::from(program == 3));
    assert_eq!(machine.events, [Event::Promoted(3)]);
}

#[test]
fn no_sum_of_heats_wraps() {
    let loads = [
        keyed(0, u64::MAX, 1),
        keyed(1, u64::MAX, 1),
        viewed(2, u64::MAX, 2),
    ];
    assert_eq!(choose(loads.into_iter(), 0), Move::Rest);
}

#[test]
fn heat_is_runs_half_forgotten() {
    let mut heat = Heat::new();
    heat.read(100);
    assert_eq!(heat.value(), 100);
    heat.read(100);
    assert_eq!(heat.value(), 50);
    heat.read(130);
    assert_eq!(heat.value(), 55);
    for _ in 0..6 {
        heat.read(130);
    }
    assert_eq!(heat.value(), 0);
}

#[test]
fn run_counters_may_wrap() {
    let mut heat = Heat::new();
    heat.read(u64::MAX - 4);
    let before = heat.value();
    heat.read(5);
    assert_eq!(heat.value(), before / 2 + 10);
}

proptest! {
    #![proptest_config(config(4_000))]

    /// So that `choose` never has to do with sums that do not fit.
    #[test]
    fn heat_is_bounded(readings in proptest::collection::vec(any::<u64>(), 0..40)) {
        let mut heat = Heat::new();
        for reading in readings {
            heat.read(reading);
            prop_assert!(heat.value() <= 1 << 41);
        }
    }
}

#[test]
fn the_budget_gives_all_or_nothing() {
    let mut budget = Budget::new();
    assert!(!budget.take(Budget::BURST as usize + 1));
    assert!(!budget.take(usize::MAX));
    assert!(budget.take(Budget::BURST as usize));
    assert!(budget.take(0));
    assert!(!budget.take(1));
    budget.refill();
    assert!(budget.take(Budget::PER_PERIOD as usize));
    for _ in 0..100 {
        budget.refill();
    }
    assert!(!budget.take(Budget::BURST as usize + 1));
    assert!(budget.take(Budget::BURST as usize));
}
