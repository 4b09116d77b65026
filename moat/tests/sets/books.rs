// SPDX-License-Identifier: GPL-2.0
//! What each program and its runs may have, kept apart from what the module knows, and
//! compared with the machine whenever page tables, TLBs or runs change: `reach.rs`.

use crate::edge::rcu::Reader;
use crate::load;
use crate::pks::{KeySet, Pkrs};
use crate::reach;
use crate::run::program::Program;
use kernel::account;
use kernel::bindings::bpf_map;
use kernel::machine::{machine, Machine, Moment};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::mem::ManuallyDrop;
use std::sync::atomic::Ordering;

pub type Map = *mut bpf_map;
/// What goes wrong, in words.
pub type Checked = Result<(), String>;

const NO_KEYS: Pkrs = Pkrs::for_program(KeySet::EMPTY);

/// A map that a program finds: its values are here, and in use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    pub map: Map,
    /// What the kernel remembered with the map.
    pub values: usize,
    pub base: u64,
    pub writable: bool,
}

/// What runs may have that no grace period has waited for.
#[derive(Default)]
pub struct Runs {
    pub pkrs: BTreeSet<u32>,
    pub listed: BTreeSet<Listed>,
    /// The maps that were the program's to use.
    pub had: BTreeSet<Map>,
}

/// A program that can be run.
pub struct Loaded {
    /// Not freed with the books: after a failed history that need not work.
    pub program: ManuallyDrop<load::Loaded>,
    pub aux: *mut kernel::bindings::bpf_prog_aux,
    /// Its number, for people.
    pub id: usize,
    /// The maps it was loaded with.
    pub own: Vec<Map>,
    /// What its slots are in.
    pub area: usize,
    pub runs: Runs,
    /// It is dead, and no run is left.
    pub over: bool,
}

/// A map that is being put into a map of maps.
pub struct Change {
    pub outer: Map,
    pub announced: Map,
    /// It is in a slot, or was.
    pub written: bool,
}

/// See the module documentation.
#[derive(Default)]
pub struct Books {
    /// All there are that have values.
    pub maps: Vec<Map>,
    pub programs: Vec<Loaded>,
    /// Those that the module has agreed to.
    pub changes: Vec<Change>,
    /// Maps that the module is taking from programs, and which map of maps they were in.
    pub leaving: Vec<(Map, Map)>,
    /// The first thing that was not as it should be.
    pub wrong: Option<String>,
}

/// Whoever looks at lists that the module may be changing.
pub struct Looking;

// SAFETY: the module runs in this thread, and has called the kernel, or is not called, while
// somebody looks; whoever does so is done with it before the module goes on.
unsafe impl Reader for Looking {}

thread_local! {
    static BOOKS: RefCell<Books> = RefCell::default();
}

/// Access to them.  The module must not be called meanwhile: it is watched.
pub fn books<T>(what: impl FnOnce(&mut Books) -> T) -> T {
    BOOKS.with_borrow_mut(what)
}

/// For `kernel::machine::boot`.
pub fn watch(moment: Moment) {
    books(|books| {
        let checked = machine(|machine| {
            for loaded in &mut books.programs {
                loaded.note(machine, &books.leaving, moment);
            }
            let mut programs = books.programs.iter();
            programs.try_for_each(|loaded| reach::check(books, machine, loaded))
        });
        if let (Err(why), None) = (checked, &books.wrong) {
            books.wrong = Some(format!("{moment:?}: {why}"));
        }
    });
}

/// Those of `own` that are no maps of maps, and those that are.
fn kinds(own: &[Map]) -> (BTreeSet<Map>, Vec<Map>) {
    // SAFETY: maps outlive the books.
    let (outers, maps) = own.iter().partition(|&&map| unsafe { (*map).span == 0 });
    let outers: Vec<Map> = outers;
    let maps: Vec<Map> = maps;
    (maps.into_iter().collect(), outers)
}

/// The maps that a program may use that was loaded with `own`.
fn due(own: &[Map], leaving: &[(Map, Map)]) -> BTreeSet<Map> {
    let (mut maps, outers) = kinds(own);
    for outer in outers {
        // SAFETY: as above; nobody uses the account now.
        maps.extend(unsafe { account::of(outer) }.counts().keys());
        maps.extend(leaving.iter().filter(|l| l.0 == outer).map(|l| l.1));
    }
    maps
}

impl Loaded {
    pub fn new(
        program: load::Loaded,
        aux: *mut kernel::bindings::bpf_prog_aux,
        id: usize,
        own: Vec<Map>,
    ) -> Loaded {
        let mut loaded = Loaded {
            program: ManuallyDrop::new(program),
            aux,
            id,
            own,
            area: 0,
            runs: Runs::default(),
            over: false,
        };
        let (base, _) = loaded.get().gates.area();
        loaded.area = machine(|m| m.tables.get(&base).map_or(0, |page| page.frame));
        loaded
    }

    pub fn get(&self) -> &Program {
        &self.program
    }

    pub fn is_alive(&self) -> bool {
        !self.get().is_dead()
    }

    /// The maps it finds.
    pub fn finds(&self) -> BTreeSet<Map> {
        let used = self.get().used_maps(&Looking);
        let used = used.filter(|used| used.values.is_some());
        used.map(|used| used.info.kernel as Map).collect()
    }

    /// Writes down what a run has that begins now, or may have that is under way.
    fn note(&mut self, machine: &mut Machine, leaving: &[(Map, Map)], moment: Moment) {
        let program: &Program = &self.program;
        if moment == Moment::GraceOver {
            self.runs = Runs::default();
            self.over |= !self.is_alive();
        }
        if self.over {
            return;
        }
        self.runs.had.extend(due(&self.own, leaving));
        let pkrs = program.gates.pkrs().load(Ordering::Relaxed);
        // Who began keyed has PKRS to read yet, whatever the flags say meanwhile.
        let keyed = program.is_keyed() || moment == Moment::GraceBegins;
        if keyed && pkrs != NO_KEYS.bits() {
            self.runs.pkrs.insert(pkrs);
        }
        let cr3 = program.gates.view_cr3().load(Ordering::Relaxed);
        if cr3 != 0 {
            machine.run_in(cr3);
        }
        for used in program.used_maps(&Looking) {
            if let Some(values) = used.values {
                let map = used.info.kernel as Map;
                self.runs.listed.insert(Listed {
                    map,
                    // SAFETY: maps outlive the books.
                    values: unsafe { (*map).moat.values as usize },
                    base: values.base,
                    writable: values.writable,
                });
            }
        }
    }
}

impl Books {
    /// The maps that `loaded` may use.
    pub fn due(&self, loaded: &Loaded) -> BTreeSet<Map> {
        due(&loaded.own, &self.leaving)
    }

    /// Those of them that it must have: what is there, and what may be at any moment.
    pub fn needed(&self, loaded: &Loaded) -> BTreeSet<Map> {
        let (mut maps, outers) = kinds(&loaded.own);
        for outer in outers {
            // SAFETY: maps outlive the books.
            let inner = unsafe { &(*outer).inner };
            maps.extend(inner.iter().filter(|map| !map.is_null()));
            let changes = self.changes.iter().filter(|c| c.outer == outer);
            maps.extend(changes.filter(|c| !c.written).map(|c| c.announced));
        }
        maps
    }
}
