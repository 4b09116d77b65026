// SPDX-License-Identifier: GPL-2.0
//! What is explored: all that CPUs do and that the manager begins, in any order.

use crate::manager::Step;
use crate::properties;
use crate::state::*;
use moat_logic::pks::Pkrs;
use stateright::{Model, Property};

/// How the protocol could be wrong, or could do with less.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
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
pub struct Machine {
    pub programs: usize,
    pub keys: usize,
    /// The first two programs share a page.
    pub shared: bool,
    /// Programs that are unloaded, and others loaded at the same addresses.
    pub reload: &'static [usize],
    /// The second CPU goes offline and comes back.
    pub hotplug: bool,
    pub change: Change,
}

/// What the manager may begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    Load(usize),
    Promote(usize),
    Evict(usize),
    /// All keyed ones at once.
    EvictAll,
    Park,
    Leave(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
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
        properties::of(self)
    }
}
