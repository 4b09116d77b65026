// SPDX-License-Identifier: GPL-2.0
//! CPUs, page tables and programs at a moment, and what the manager has still to do.

use crate::keys::Keys;
use crate::machine::Machine;
use crate::manager::Step;
use moat_logic::pks::{Key, KeySet, Pkrs};
use std::collections::VecDeque;

pub const CPUS: usize = 2;
/// At most, with one more page, and one more domain, that two of them share.
pub const PROGRAMS: usize = 3;
pub const PAGES: usize = PROGRAMS + 1;
/// The page, and the domain, that the first two programs share.
pub const SHARED: usize = PROGRAMS;

/// What a program's PKRS value is while it is not keyed.
pub const NO_KEYS: Pkrs = Pkrs::for_program(KeySet::EMPTY);

/// What a CPU is at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Run {
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
pub struct Translation {
    pub tag: Key,
    /// Tells the page there now from the one there before.
    pub odd: bool,
}

impl Translation {
    pub fn bit(self) -> u32 {
        1 << (self.tag.get() + 16 * u8::from(self.odd))
    }

    pub fn of_bits(bits: u32) -> impl Iterator<Item = Translation> {
        (0..32u8)
            .filter(move |bit| bits & 1 << bit != 0)
            .map(|bit| Translation {
                tag: Key::new(bit % 16).unwrap(),
                odd: bit >= 16,
            })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Cpu {
    pub online: bool,
    pub run: Run,
    /// By page: which translations it may have cached.
    pub tlb: [u32; PAGES],
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Page {
    pub mapped: bool,
    pub now: Translation,
    /// The domain it is part of.
    pub domain: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Life {
    Absent,
    /// May be run.
    Here,
    /// No run begins; these CPUs, by bits, are in one that may be its.
    Leaving(u8),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Program {
    pub life: Life,
    /// `MOAT_DOM_VIEW` in `moat_domain.flags`
    pub viewed: bool,
    /// `moat_domain.pkrs`
    pub pkrs: Pkrs,
}

impl Program {
    pub fn new(life: Life) -> Program {
        Program {
            life,
            viewed: true,
            pkrs: NO_KEYS,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct State {
    pub cpus: [Cpu; CPUS],
    pub pages: [Page; PAGES],
    pub programs: [Program; PROGRAMS],
    /// By domain.
    pub tags: [Option<Key>; PAGES],
    pub keys: Keys,
    /// What the manager has still to do.
    pub todo: VecDeque<Step>,
    /// CPUs, by bits, that `Step::Wait` waits for.
    pub grace: u8,
}

impl State {
    pub fn new(machine: &Machine) -> State {
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

    pub fn is_keyed(&self, program: usize) -> bool {
        let program = self.programs[program];
        program.life != Life::Absent && !program.viewed
    }

    pub fn keyed(&self) -> Vec<usize> {
        (0..PROGRAMS).filter(|p| self.is_keyed(*p)).collect()
    }

    /// Pages of a domain.
    pub fn pages(&self, domain: usize) -> Vec<usize> {
        let is_there =
            |page: &usize| self.pages[*page].mapped && self.pages[*page].domain == domain;
        (0..PAGES).filter(is_there).collect()
    }

    /// The domains that `program` uses, its own first.
    pub fn set(&self, machine: &Machine, program: usize) -> Vec<usize> {
        let mut set = vec![program];
        if machine.uses(program, SHARED) && self.pages[SHARED].domain == SHARED {
            set.push(SHARED);
        }
        set
    }

    pub fn wants(&self, machine: &Machine, program: usize) -> usize {
        let set = self.set(machine, program);
        set.iter().filter(|d| self.tags[**d].is_none()).count()
    }

    /// CPUs in a run, by bits.
    pub fn running(&self) -> u8 {
        let in_run = |cpu: &usize| self.cpus[*cpu].run != Run::Idle;
        (0..CPUS).filter(in_run).map(|cpu| 1 << cpu).sum()
    }

    /// The page tables say something new.
    pub fn set_page(&mut self, page: usize, now: Translation) {
        self.pages[page].now = now;
        for cpu in self.cpus.iter_mut().filter(|cpu| cpu.online) {
            cpu.tlb[page] |= now.bit();
        }
    }

    pub fn flush(&mut self, cpu: usize) {
        for (tlb, page) in self.cpus[cpu].tlb.iter_mut().zip(&self.pages) {
            *tlb = if page.mapped { page.now.bit() } else { 0 };
        }
    }
}
