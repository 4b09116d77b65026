// SPDX-License-Identifier: GPL-2.0
//! No order of events lets a program reach what is not its own (I5), or keeps it
//! from what is: programs get and lose keys, come and go, share memory, while CPUs
//! run them, and go offline and come back.
//!
//! Explicit-state model checking, with `stateright`: every interleaving of a small
//! machine.  `loom` and `shuttle` check real atomics in real code; what matters
//! here is between page tables, TLBs, gates in assembly and grace periods, none of
//! which a thread of the host has.  The manager is `Domains` of `sets.rs`: its steps
//! are those of the functions there, in their order, one at a time.  Keys, flushes
//! and PKRS values are the real ones.
//!
//! Two things keep the machine small and lose nothing.  A TLB is a set: whatever
//! the page tables said since its last flush, the CPU may have cached, for it
//! speculates.  And no access is an event: in each state, all that a running
//! program could access with what the TLB or the page tables say is checked.

use moat_logic::drain::{Drain, Flush};
use moat_logic::keyalloc::{self, KeyAlloc, Owner};
use moat_logic::pks::{Key, KeySet, Pkrs};
use stateright::{Checker, HasDiscoveries, Model, Property};
use std::collections::VecDeque;
use std::time::Instant;

const CPUS: usize = 2;
/// At most, with one more page, and one more domain, that two of them share.
const PROGRAMS: usize = 3;
const PAGES: usize = PROGRAMS + 1;
/// The page, and the domain, that the first two programs share.
const SHARED: usize = PROGRAMS;
const KEYS: usize = 3;

/// What a program's PKRS value is while it is not keyed.
const NO_KEYS: Pkrs = Pkrs::for_program(KeySet::EMPTY);

const SAFE: &str = "a program reaches nothing but its own";
const USABLE: &str = "a program reaches its own";
const OWNED: &str = "a key on a page has one owner";

/// How the protocol could be wrong, or could do with less.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Change {
    None,
    /// Nobody ever flushes.
    NoFlush,
    /// Only the first CPU is flushed.
    OneCpuFlushed,
    /// A domain is parked and its key given up without a flush.
    NoFlushToPark,
    /// As above, but that the key's is kept: one flush, not two.
    OneFlushToPark,
    /// A domain is given a key without a flush.
    NoFlushToBind,
    /// Pages are unmapped without a flush.
    NoFlushToUnmap,
    /// Keys are taken while runs that have them may be under way.
    NoGrace,
    /// The same, but only when a key goes because two domains become one.
    NoGraceToNarrow,
    /// Runs that began keyed are waited for, and then others told not to be.
    GraceFirst,
    /// Runs that began keyed lose their PKRS value before they are waited for.
    PkrsBeforeGrace,
    /// A key is given up, and its pages keep it.
    NotParked,
    /// Runs may be keyed before the pages are tagged.
    KeyedBeforeTagged,
    /// Runs may be keyed before the TLBs are flushed.
    KeyedBeforeFlushed,
    /// Runs may be keyed before their PKRS value is there.
    KeyedBeforePkrs,
    /// A program's memory goes while it runs.
    NoGraceToLeave,
    /// A CPU that comes online remembers.
    OnlineWithStaleTlb,
}

/// What is explored.
#[derive(Clone, Debug)]
struct Machine {
    programs: usize,
    keys: usize,
    /// The first two programs share a page.
    shared: bool,
    /// Programs that are unloaded, and others loaded at the same addresses.
    reload: &'static [usize],
    /// The second CPU goes offline and comes back.
    hotplug: bool,
    change: Change,
}

/// What a CPU is at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Run {
    Idle,
    /// In a run that began keyed, with kernel rights: about to close PKRS, or in a
    /// helper.
    Kernel {
        program: usize,
    },
    /// In the program.
    Bpf {
        program: usize,
        viewed: bool,
        pkrs: Pkrs,
    },
}

/// What page tables, and TLBs, say of an address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Translation {
    tag: Key,
    /// Tells the page there now from the one there before.
    odd: bool,
}

impl Translation {
    fn bit(self) -> u32 {
        1 << (self.tag.get() + 16 * u8::from(self.odd))
    }

    fn of_bits(bits: u32) -> impl Iterator<Item = Translation> {
        (0..32u8)
            .filter(move |bit| bits & 1 << bit != 0)
            .map(|bit| Translation {
                tag: Key::new(bit % 16).unwrap(),
                odd: bit >= 16,
            })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Cpu {
    online: bool,
    run: Run,
    /// By page: which translations it may have cached.
    tlb: [u32; PAGES],
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Page {
    mapped: bool,
    now: Translation,
    /// The domain it is part of.
    domain: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Life {
    Absent,
    /// May be run.
    Here,
    /// No run begins; these CPUs, by bits, are in one that may be its.
    Leaving(u8),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Program {
    life: Life,
    /// `MOAT_DOM_VIEW` in `moat_domain.flags`
    viewed: bool,
    /// `moat_domain.pkrs`
    pkrs: Pkrs,
}

impl Program {
    fn new(life: Life) -> Program {
        Program {
            life,
            viewed: true,
            pkrs: NO_KEYS,
        }
    }
}

/// `keyalloc::State`, without its stamp: a number that only grows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum KeyState {
    Free,
    Bound(Owner),
    /// Covered by the flush under way, or by the next.
    Draining {
        covered: bool,
    },
}

/// The allocator's state; the real one is made of it when there is something to do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Keys {
    states: [KeyState; KEYS],
    flushing: bool,
}

/// The real ones.
struct Real {
    keys: KeyAlloc,
    drain: Drain,
    flush: Option<Flush>,
}

impl Keys {
    /// Who has the keys that the machine has not.
    const NOBODY: Owner = 99;

    fn new(keys: usize) -> Keys {
        let mut states = [KeyState::Bound(Keys::NOBODY); KEYS];
        states[..keys].fill(KeyState::Free);
        Keys {
            states,
            flushing: false,
        }
    }

    fn free(&self) -> usize {
        let free = self.states.iter().filter(|s| **s == KeyState::Free);
        free.count()
    }

    fn real(&self) -> Real {
        let mut keys = KeyAlloc::new();
        let mut drain = Drain::new();
        for i in 0..Key::PROGRAMS {
            let owner = match self.states.get(i) {
                Some(KeyState::Bound(owner)) => *owner,
                _ => Keys::NOBODY,
            };
            assert_eq!(keys.alloc(owner), Key::program(i));
        }
        let give_up = |keys: &mut KeyAlloc, drain: &Drain, which: KeyState| {
            for (i, _) in self.states.iter().enumerate().filter(|s| *s.1 == which) {
                let key = Key::program(i).unwrap();
                assert_eq!(keys.free(key, Keys::NOBODY, drain.stamp()), Ok(()));
            }
        };
        give_up(&mut keys, &drain, KeyState::Free);
        keys.flushed(&drain.begin());
        give_up(&mut keys, &drain, KeyState::Draining { covered: true });
        let flush = self.flushing.then(|| drain.begin());
        give_up(&mut keys, &drain, KeyState::Draining { covered: false });
        Real { keys, drain, flush }
    }

    fn of(real: &Real) -> Keys {
        let covered = |since| matches!(&real.flush, Some(flush) if flush.covers(since));
        let mut states = [KeyState::Free; KEYS];
        for (i, state) in states.iter_mut().enumerate() {
            *state = match real.keys.state(Key::program(i).unwrap()).unwrap() {
                keyalloc::State::Free => KeyState::Free,
                keyalloc::State::Bound { owner } => KeyState::Bound(owner),
                keyalloc::State::Draining { since } => KeyState::Draining {
                    covered: covered(since),
                },
            };
        }
        Keys {
            states,
            flushing: real.flush.is_some(),
        }
    }

    /// Lets `what` happen to the real ones.
    fn with<T>(&mut self, what: impl FnOnce(&mut Real) -> T) -> T {
        let mut real = self.real();
        assert_eq!(Keys::of(&real), *self);
        let result = what(&mut real);
        *self = Keys::of(&real);
        result
    }
}

/// What the manager does at once, as CPUs see it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Step {
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

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct State {
    cpus: [Cpu; CPUS],
    pages: [Page; PAGES],
    programs: [Program; PROGRAMS],
    /// By domain.
    tags: [Option<Key>; PAGES],
    keys: Keys,
    /// What the manager has still to do.
    todo: VecDeque<Step>,
    /// CPUs, by bits, that `Step::Wait` waits for.
    grace: u8,
}

/// What the manager may begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Op {
    Load(usize),
    Promote(usize),
    Evict(usize),
    /// All keyed ones at once.
    EvictAll,
    Park,
    Leave(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    /// A CPU reads the flag, and is in a run from then on.
    Enter(usize, usize),
    /// A gate reads PKRS and closes it.
    Close(usize),
    /// A helper call, an interruption or the end; of a keyed run.
    Open(usize),
    Exit(usize),
    Offline(usize),
    Online(usize),
    /// No run of a program begins from now on.
    Detach(usize),
    Begin(Op),
    /// The manager's next step.
    Go,
}

impl State {
    fn new(machine: &Machine) -> State {
        let page = Page {
            mapped: false,
            now: Translation {
                tag: Key::PARKED,
                odd: false,
            },
            domain: SHARED,
        };
        State {
            cpus: [Cpu {
                online: true,
                run: Run::Idle,
                tlb: [0; PAGES],
            }; CPUS],
            pages: [page; PAGES],
            programs: [Program::new(Life::Absent); PROGRAMS],
            tags: [None; PAGES],
            keys: Keys::new(machine.keys),
            todo: VecDeque::new(),
            grace: 0,
        }
    }

    fn is_keyed(&self, program: usize) -> bool {
        let program = self.programs[program];
        program.life != Life::Absent && !program.viewed
    }

    fn keyed(&self) -> Vec<usize> {
        (0..PROGRAMS).filter(|p| self.is_keyed(*p)).collect()
    }

    /// Pages of a domain.
    fn pages(&self, domain: usize) -> Vec<usize> {
        let is_there =
            |page: &usize| self.pages[*page].mapped && self.pages[*page].domain == domain;
        (0..PAGES).filter(is_there).collect()
    }

    /// The domains that `program` uses, its own first.
    fn set(&self, machine: &Machine, program: usize) -> Vec<usize> {
        let mut set = vec![program];
        if machine.uses(program, SHARED) && self.pages[SHARED].domain == SHARED {
            set.push(SHARED);
        }
        set
    }

    fn wants(&self, machine: &Machine, program: usize) -> usize {
        let set = self.set(machine, program);
        set.iter().filter(|d| self.tags[**d].is_none()).count()
    }

    /// CPUs in a run, by bits.
    fn running(&self) -> u8 {
        let in_run = |cpu: &usize| self.cpus[*cpu].run != Run::Idle;
        (0..CPUS).filter(in_run).map(|cpu| 1 << cpu).sum()
    }

    /// The page tables say something new.
    fn set_page(&mut self, page: usize, now: Translation) {
        self.pages[page].now = now;
        for cpu in self.cpus.iter_mut().filter(|cpu| cpu.online) {
            cpu.tlb[page] |= now.bit();
        }
    }

    fn flush(&mut self, cpu: usize) {
        for (tlb, page) in self.cpus[cpu].tlb.iter_mut().zip(&self.pages) {
            *tlb = if page.mapped { page.now.bit() } else { 0 };
        }
    }
}

/// What the functions of `sets.rs` and `domains.rs` do.
impl Machine {
    fn uses(&self, program: usize, page: usize) -> bool {
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

    /// `Domains::release_key`
    fn release(&self, domain: usize) -> Vec<Step> {
        let begin = vec![Step::Free(domain), Step::Begin];
        [begin, self.flushes(), vec![Step::Flushed]].concat()
    }

    /// `Domains::unmap`
    fn unmap(&self, page: usize) -> Vec<Step> {
        let mut flushes = self.flushes();
        if self.change == Change::NoFlushToUnmap {
            flushes.clear();
        }
        let begin = vec![Step::Begin, Step::Unmap(page)];
        [begin, flushes, vec![Step::Flushed]].concat()
    }

    /// `Domains::demote`
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
    fn idle(&self, state: &State, programs: &[usize]) -> Vec<usize> {
        let keyed = state.keyed().into_iter().filter(|p| !programs.contains(p));
        let used: Vec<_> = keyed.flat_map(|p| state.set(self, p)).collect();
        let idle = |domain: &usize| state.tags[*domain].is_some() && !used.contains(domain);
        (0..PAGES).filter(idle).collect()
    }

    /// `Domains::evict`, and of nobody `Domains::park_idle`
    fn evict(&self, state: &State, programs: &[usize]) -> Vec<Step> {
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

    /// `Domains::promote`; gives out the keys.
    fn promote(&self, state: &mut State, program: usize) -> Vec<Step> {
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

    /// `Domains::join` and `Domains::use_map`
    fn load(&self, state: &State, program: usize) -> Vec<Step> {
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

    /// `Domains::leave` and `Domains::merge`
    fn leave(&self, state: &State, program: usize) -> Vec<Step> {
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

    fn step(&self, state: &mut State, step: Step) {
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

/// CPUs in programs: which, in what layer, and with what rights.
fn in_programs(state: &State) -> impl Iterator<Item = (&Cpu, usize, bool, Pkrs)> {
    state.cpus.iter().filter_map(|cpu| match cpu.run {
        Run::Bpf {
            program,
            viewed,
            pkrs,
        } => Some((cpu, program, viewed, pkrs)),
        _ => None,
    })
}

/// What `cpu` may take for the translation of an address.
fn translations(state: &State, cpu: &Cpu, page: usize) -> impl Iterator<Item = Translation> {
    let now = match state.pages[page].mapped {
        true => state.pages[page].now.bit(),
        false => 0,
    };
    Translation::of_bits(cpu.tlb[page] | now)
}

fn safe(machine: &Machine, state: &State) -> bool {
    in_programs(state).all(|(cpu, program, viewed, pkrs)| {
        // In a view there is nothing else.
        let there = |page: &usize| !viewed || machine.uses(program, *page);
        (0..PAGES).filter(there).all(|page| {
            let Page { mapped, now, .. } = state.pages[page];
            translations(state, cpu, page).all(|t| {
                let own = machine.uses(program, page) && mapped && t.odd == now.odd;
                own || !pkrs.permits(t.tag, false) && !pkrs.permits(t.tag, true)
            })
        })
    })
}

fn usable(machine: &Machine, state: &State) -> bool {
    in_programs(state).all(|(cpu, program, _, pkrs)| {
        let own = |page: &usize| machine.uses(program, *page);
        (0..PAGES).filter(own).all(|page| {
            state.pages[page].mapped
                && translations(state, cpu, page)
                    .all(|t| pkrs.permits(t.tag, false) && pkrs.permits(t.tag, true))
        })
    })
}

fn owned(_: &Machine, state: &State) -> bool {
    let owner = |key: Key| state.keys.states[key.program_index().unwrap()];
    let bound = |(domain, key): (usize, &Option<Key>)| {
        key.map_or(true, |key| owner(key) == KeyState::Bound(domain as Owner))
    };
    state.tags.iter().enumerate().all(bound)
        && state.pages.iter().all(|page| {
            let key = page.now.tag;
            !page.mapped || !key.is_program() || matches!(owner(key), KeyState::Bound(_))
        })
}

impl Model for Machine {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut state = State::new(self);
        for program in 0..self.programs {
            let todo = self.load(&state, program);
            todo.into_iter()
                .for_each(|step| self.step(&mut state, step));
        }
        (0..CPUS).for_each(|cpu| state.flush(cpu));
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (cpu, now) in state.cpus.iter().enumerate() {
            match now.run {
                Run::Idle if !now.online => actions.push(Action::Online(cpu)),
                Run::Idle => {
                    for program in 0..self.programs {
                        if state.programs[program].life == Life::Here {
                            actions.push(Action::Enter(cpu, program));
                        }
                    }
                    if self.hotplug && cpu == 1 {
                        actions.push(Action::Offline(cpu));
                    }
                }
                Run::Kernel { .. } => actions.extend([Action::Close(cpu), Action::Exit(cpu)]),
                Run::Bpf { viewed: true, .. } => actions.push(Action::Exit(cpu)),
                Run::Bpf { viewed: false, .. } => actions.push(Action::Open(cpu)),
            }
        }
        for program in 0..self.programs {
            if self.reload.contains(&program) && state.programs[program].life == Life::Here {
                actions.push(Action::Detach(program));
            }
        }
        match state.todo.front() {
            Some(Step::Wait) if state.grace != 0 => {}
            Some(_) => actions.push(Action::Go),
            None => {
                if !self.idle(state, &[]).is_empty() {
                    actions.push(Action::Begin(Op::Park));
                }
                if state.keyed().len() > 1 {
                    actions.push(Action::Begin(Op::EvictAll));
                }
                for program in 0..self.programs {
                    match state.programs[program].life {
                        Life::Absent => {
                            actions.push(Action::Begin(Op::Load(program)));
                            continue;
                        }
                        Life::Leaving(0) => actions.push(Action::Begin(Op::Leave(program))),
                        _ => {}
                    }
                    if state.is_keyed(program) {
                        actions.push(Action::Begin(Op::Evict(program)));
                    } else if state.wants(self, program) <= state.keys.free() {
                        actions.push(Action::Begin(Op::Promote(program)));
                    }
                }
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Enter(cpu, program) => {
                state.cpus[cpu].run = match state.programs[program].viewed {
                    // What it closes PKRS with does not change: it is as good as in.
                    true => Run::Bpf {
                        program,
                        viewed: true,
                        pkrs: Pkrs::for_view(),
                    },
                    false => Run::Kernel { program },
                };
            }
            Action::Close(cpu) => {
                if let Run::Kernel { program } = state.cpus[cpu].run {
                    state.cpus[cpu].run = Run::Bpf {
                        program,
                        viewed: false,
                        pkrs: state.programs[program].pkrs,
                    };
                }
            }
            Action::Open(cpu) => {
                if let Run::Bpf { program, .. } = state.cpus[cpu].run {
                    state.cpus[cpu].run = Run::Kernel { program };
                }
            }
            Action::Exit(cpu) => {
                state.cpus[cpu].run = Run::Idle;
                state.grace &= !(1 << cpu);
                for program in &mut state.programs {
                    if let Life::Leaving(cpus) = &mut program.life {
                        *cpus &= !(1 << cpu);
                    }
                }
            }
            Action::Offline(cpu) => {
                state.cpus[cpu].online = false;
                if self.change != Change::OnlineWithStaleTlb {
                    state.cpus[cpu].tlb = [0; PAGES];
                }
            }
            Action::Online(cpu) => {
                state.cpus[cpu].online = true;
                let stale = state.cpus[cpu].tlb;
                state.flush(cpu);
                for (tlb, stale) in state.cpus[cpu].tlb.iter_mut().zip(stale) {
                    *tlb |= stale;
                }
            }
            Action::Detach(program) => {
                let running = match self.change {
                    Change::NoGraceToLeave => 0,
                    _ => state.running(),
                };
                state.programs[program].life = Life::Leaving(running);
            }
            Action::Begin(op) => {
                state.todo = match op {
                    Op::Load(program) => self.load(&state, program),
                    Op::Promote(program) => self.promote(&mut state, program),
                    Op::Evict(program) => self.evict(&state, &[program]),
                    Op::EvictAll => self.evict(&state, &state.keyed()),
                    Op::Park => self.evict(&state, &[]),
                    Op::Leave(program) => self.leave(&state, program),
                }
                .into();
            }
            Action::Go => {
                let step = state.todo.pop_front()?;
                self.step(&mut state, step);
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Machine>> {
        let mut all = vec![
            Property::always(SAFE, safe),
            Property::always(USABLE, usable),
            Property::always(OWNED, owned),
            // Otherwise nothing was explored worth speaking of.
            Property::sometimes("the first runs keyed", |_: &Machine, state: &State| {
                in_programs(state).any(|(_, program, viewed, _)| program == 0 && !viewed)
            }),
            Property::sometimes("the last runs keyed", |machine: &Machine, state| {
                let last = machine.programs - 1;
                in_programs(state).any(|(_, program, viewed, _)| program == last && !viewed)
            }),
            Property::sometimes("one program in both layers", |_, state| {
                let running: Vec<_> = in_programs(state).collect();
                matches!(running[..], [(_, a, x, _), (_, b, y, _)] if a == b && x != y)
            }),
            Property::sometimes("all keys are given out", |_, state: &State| {
                state.keys.free() == 0
            }),
        ];
        if self.hotplug {
            all.push(Property::sometimes(
                "keyed with the other offline",
                |_, state: &State| {
                    !state.cpus[1].online && in_programs(state).any(|(_, _, viewed, _)| !viewed)
                },
            ));
        }
        if !self.reload.is_empty() {
            all.push(Property::sometimes(
                "another page at the same address",
                |_, state: &State| state.pages[1].mapped && !state.pages[1].now.odd,
            ));
        }
        all
    }
}

/// Explores all of `machine`, in which nothing goes wrong.
fn holds(machine: Machine) {
    let began = Instant::now();
    let checker = machine.checker().spawn_bfs().join();
    checker.assert_properties();
    println!(
        "{:?}: {} states, {} transitions, {:.1} s",
        checker.model(),
        checker.unique_state_count(),
        checker.state_count(),
        began.elapsed().as_secs_f32(),
    );
}

/// Explores `machine` until each of `properties` is seen to fail.
fn fails(machine: Machine, properties: &[&'static str]) {
    let all = HasDiscoveries::AllOf(properties.iter().copied().collect());
    let checker = machine.checker().finish_when(all).spawn_bfs().join();
    for property in properties {
        let path = checker.assert_any_discovery(property);
        println!(
            "{:?}: after {} steps not so: {}",
            checker.model().change,
            path.into_actions().len(),
            property,
        );
    }
}

/// Two programs that come and go, one key, and all that can happen.
const SMALL: Machine = Machine {
    programs: 2,
    keys: 1,
    shared: false,
    reload: &[0, 1],
    hotplug: true,
    change: Change::None,
};

/// The first two share a page, so that each needs two keys; both need three.
const SHARING: Machine = Machine {
    keys: 2,
    shared: true,
    ..SMALL
};

/// A third one takes what is left.
const CROWD: Machine = Machine {
    programs: 3,
    ..SHARING
};

#[test]
fn two_programs_and_one_key() {
    holds(SMALL);
}

#[test]
fn two_programs_and_two_keys() {
    holds(Machine { keys: 2, ..SMALL });
}

#[test]
fn three_programs_and_two_keys() {
    holds(Machine {
        programs: 3,
        keys: 2,
        ..SMALL
    });
}

#[test]
fn a_shared_page_and_two_keys() {
    holds(SHARING);
}

#[test]
fn a_shared_page_and_three_keys() {
    holds(Machine { keys: 3, ..SHARING });
}

#[test]
fn a_shared_page_and_three_programs() {
    holds(CROWD);
}

/// Keys go from one to the other, and nothing else happens.
fn keys_only(change: Change) -> Machine {
    Machine {
        reload: &[],
        hotplug: false,
        change,
        ..SMALL
    }
}

#[test]
fn reuse_needs_a_flush() {
    fails(keys_only(Change::NoFlush), &[SAFE, USABLE]);
}

#[test]
fn reuse_needs_a_flush_of_every_cpu() {
    fails(keys_only(Change::OneCpuFlushed), &[SAFE, USABLE]);
}

#[test]
fn binding_needs_a_flush() {
    fails(keys_only(Change::NoFlushToBind), &[USABLE]);
}

#[test]
fn parking_needs_a_grace_period() {
    fails(keys_only(Change::NoGrace), &[SAFE, USABLE]);
}

#[test]
fn parking_needs_a_grace_period_after_the_flag() {
    fails(keys_only(Change::GraceFirst), &[SAFE, USABLE]);
}

#[test]
fn pkrs_goes_after_the_grace_period() {
    fails(keys_only(Change::PkrsBeforeGrace), &[USABLE]);
}

#[test]
fn a_key_is_taken_off_the_pages() {
    fails(keys_only(Change::NotParked), &[SAFE, OWNED]);
}

#[test]
fn pages_are_tagged_before_runs_are_keyed() {
    fails(keys_only(Change::KeyedBeforeTagged), &[USABLE]);
}

#[test]
fn tlbs_are_flushed_before_runs_are_keyed() {
    fails(keys_only(Change::KeyedBeforeFlushed), &[USABLE]);
}

#[test]
fn pkrs_is_there_before_runs_are_keyed() {
    fails(keys_only(Change::KeyedBeforePkrs), &[USABLE]);
}

#[test]
fn a_cpu_that_comes_online_has_forgotten() {
    let hotplug = true;
    let machine = keys_only(Change::OnlineWithStaleTlb);
    fails(Machine { hotplug, ..machine }, &[SAFE, USABLE]);
}

#[test]
fn unmapping_needs_a_flush() {
    let change = Change::NoFlushToUnmap;
    fails(Machine { change, ..SMALL }, &[SAFE]);
}

#[test]
fn leaving_needs_a_grace_period() {
    let change = Change::NoGraceToLeave;
    fails(Machine { change, ..SMALL }, &[SAFE, USABLE]);
}

#[test]
fn joining_domains_needs_a_grace_period() {
    let change = Change::NoGraceToNarrow;
    fails(Machine { change, ..CROWD }, &[SAFE]);
}

/// Less than I5 asks for, but who is given a key is tagged with a flush as well.
#[test]
fn one_flush_between_two_owners_would_do() {
    for change in [Change::OneFlushToPark, Change::NoFlushToPark] {
        holds(Machine { change, ..SMALL });
    }
    let change = Change::NoFlushToPark;
    holds(Machine { change, ..SHARING });
}
