// SPDX-License-Identifier: GPL-2.0
//! The rest of the kernel, which calls the module, and looks at it after each call.
//!
//! What it calls it for is in `programs.rs` and `changes.rs`.

use crate::admin::sysctl;
use crate::books::{books, watch, Books, Checked, Map};
use crate::changes::Collected;
use crate::load::reason::{Failure, Tried};
use crate::module::{self, Turn};
use crate::rest;
use crate::setup::Setup;
use kernel::account;
use kernel::bindings::bpf_map_put;
use kernel::machine::{self, machine, Broken, Moment};
use kernel::memory::{self, Shortage};
use kernel::prelude::messages;

/// How a load or a change ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    Well,
    /// It was refused.
    Failed,
}

/// See the module documentation.
pub struct System {
    maps: Vec<Map>,
    outers: Vec<Map>,
    /// Programs loaded so far: the last one's number.
    pub last: usize,
    /// See `collect`.
    pub collected: Vec<Collected>,
    ever_short: bool,
    broken: Broken,
    /// What the module logged.
    pub messages: Vec<String>,
    _turn: Turn,
}

impl System {
    pub fn new(setup: &Setup, broken: Broken) -> System {
        let turn = module::turn();
        machine::boot(broken, watch);
        module::load(&turn);
        sysctl::set_keys(setup.keys);
        let maps = setup.maps();
        books(|books| {
            *books = Books {
                maps: maps.clone(),
                ..Books::default()
            }
        });
        System {
            maps,
            outers: setup.outers(),
            last: 0,
            collected: Vec::new(),
            ever_short: false,
            broken,
            messages: Vec::new(),
            _turn: turn,
        }
    }

    pub fn map(&self, i: usize) -> Map {
        self.maps[i % self.maps.len()]
    }

    pub fn outer(&self, i: usize) -> Map {
        self.outers[i % self.outers.len()]
    }

    /// Calls the module.  With what it returns, whether memory was short.
    pub fn call<T>(&mut self, shortage: Option<Shortage>, what: impl FnOnce() -> T) -> (T, bool) {
        memory::begin(shortage);
        let result = what();
        let short = memory::end();
        self.ever_short |= short;
        (result, short)
    }

    /// As `call`, if the module may refuse, but for nothing but want of memory.
    pub fn attempt(
        &mut self,
        shortage: Option<Shortage>,
        what: impl FnOnce() -> Tried<()>,
    ) -> Result<Ended, String> {
        match self.call(shortage, what) {
            (Ok(()), _) => Ok(Ended::Well),
            (Err(Failure::NoMemory), true) => Ok(Ended::Failed),
            (Err(why), _) => Err(format!("refused: {why:?}")),
        }
    }

    /// After each step.
    pub fn finish(&mut self) -> Checked {
        machine::look(Moment::Rest);
        self.messages.append(&mut messages());
        for &outer in &self.outers {
            System::accounted(outer)?;
        }
        let wrong = machine(|m| m.wrong.take()).or_else(|| books(|books| books.wrong.take()));
        if let Some(why) = wrong {
            return Err(why);
        }
        if self.broken != Broken::Not {
            // The question is what programs reach.
            return Ok(());
        }
        // The lock is taken: not from within `books`.
        let all = books(std::mem::take);
        let checked = rest::check(&all, !self.ever_short);
        books(|books| *books = all);
        match self.dead() != 0 && !self.ever_short {
            true => Err("a program died, and memory was never short".into()),
            false => checked,
        }
    }

    /// Programs that were killed for want of memory.
    pub fn dead(&self) -> usize {
        books(|books| books.programs.iter().filter(|p| !p.is_alive()).count())
    }

    /// Whether an allocation has failed.
    pub fn ever_short(&self) -> bool {
        self.ever_short
    }

    /// All programs go.  What is left?
    pub fn shut_down(mut self) -> Checked {
        while books(|books| !books.changes.is_empty()) {
            self.end(0, None)?;
        }
        while !self.collected.is_empty() {
            self.settle(0, None)?;
        }
        while books(|books| !books.programs.is_empty()) {
            self.unload(0, None)?;
        }
        if machine(|m| !m.tables.is_empty() || !m.views.is_empty()) {
            return Err("something is mapped still".into());
        }
        if machine(|m| !m.listed.is_empty() || m.allocations != 0) {
            return Err("something is listed or allocated still".into());
        }
        for &outer in &self.outers {
            // SAFETY: the map lives, and those in its slots are referred to.
            unsafe {
                let inner = std::mem::take(&mut (*outer).inner).into_iter();
                let account = account::of(outer);
                if account.is_used() {
                    return Err("a map of maps is used by nobody".into());
                }
                for map in inner.filter(|map| !map.is_null()) {
                    account.release(map);
                    bpf_map_put(map);
                }
                while !account.is_settled() {
                    let gone = account.collect();
                    account.forget(gone);
                }
            }
        }
        for map in self.outers.into_iter().chain(self.maps) {
            // SAFETY: made by `new`; nobody has it any more if that is so.
            unsafe {
                let (left, values) = ((*map).refcnt, (*map).moat.values);
                if left != 1 || !values.is_null() {
                    return Err(format!("{left} references on a map, values at {values:?}"));
                }
                drop(Box::from_raw(map));
            }
        }
        Ok(())
    }
}
