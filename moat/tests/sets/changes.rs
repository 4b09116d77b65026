// SPDX-License-Identifier: GPL-2.0
//! Maps of maps change, several changes at a time: what goes in is announced, and what is
//! gone is told when no run has it any more.

use crate::books::{books, Change, Checked, Map};
use crate::edge::given::Given;
use crate::edge::lock::Locked;
use crate::edge::maps;
use crate::system::{Ended, System};
use crate::victims::Victims;
use kernel::account::{self, Account, Gone};
use kernel::bindings::{bpf_map_inc, bpf_map_put};
use kernel::machine;
use kernel::memory::Shortage;
use std::collections::BTreeMap;
use std::ptr::{addr_of_mut, null_mut};

const MOST_CHANGES: usize = 3;

/// What somebody has found to be gone, and not told yet.
pub struct Collected {
    outer: Map,
    gone: Gone,
    /// Isolated programs used the map of maps.
    used: bool,
}

/// For as long as one call to it takes.
fn account<'a>(outer: Map) -> &'a mut Account {
    // SAFETY: maps outlive the system, and the module is not being called.
    unsafe { account::of(outer) }
}

/// As the module has it.
///
/// # Safety
///
/// It lives for `'a`.
pub unsafe fn borrowed<'a>(map: Map) -> maps::Map<'a> {
    // SAFETY: by contract of this function; it is some map.
    Option::from(unsafe { Given::new(map) }).expect("no map")
}

/// The one of that number, modulo how many there are.
fn nth<T>(list: &mut Vec<T>, i: usize) -> Option<T> {
    match list.len() {
        0 => None,
        n => Some(list.swap_remove(i % n)),
    }
}

impl System {
    /// `map` is about to be put into `outer`.
    pub fn begin(&mut self, outer: Map, map: Map, shortage: Option<Shortage>) -> Checked {
        if books(|books| books.changes.len()) == MOST_CHANGES {
            return Ok(());
        }
        account(outer).hold(map);
        if account(outer).is_used() {
            // SAFETY: maps outlive the system.
            let (outer_map, inner) = unsafe { (borrowed(outer), borrowed(map)) };
            let begin = || Locked::take().inner_begin(outer_map, inner);
            if self.attempt(shortage, begin)? == Ended::Failed {
                account(outer).release(map);
                self.settle_all(outer, shortage.filter(|shortage| shortage.lasts))?;
                return self.finish();
            }
        }
        let change = Change {
            outer,
            announced: map,
            written: false,
        };
        books(|books| books.changes.push(change));
        self.finish()
    }

    /// Puts what was announced into a slot, once.
    pub fn write(&mut self, i: usize, slot: usize) -> Checked {
        let announced = books(|books| {
            let n = books.changes.len().max(1);
            let change = books.changes.get_mut(i % n).filter(|c| !c.written)?;
            change.written = true;
            Some((change.outer, change.announced))
        });
        if let Some((outer, map)) = announced {
            self.replace(outer, slot, map);
        }
        self.finish()
    }

    /// Takes out what is in a slot; it is to be settled yet.
    pub fn delete(&mut self, outer: Map, slot: usize) -> Checked {
        self.replace(outer, slot, null_mut());
        self.finish()
    }

    fn replace(&mut self, outer: Map, slot: usize, map: Map) {
        // SAFETY: maps outlive the system, and those in slots are referred to.
        unsafe {
            let inner = &mut (*outer).inner;
            let slot = slot % inner.len();
            if !map.is_null() {
                bpf_map_inc(map);
            }
            let old = std::mem::replace(&mut inner[slot], map);
            if !old.is_null() {
                account(outer).release(old);
                bpf_map_put(old);
            }
        }
    }

    /// Somebody sees what is gone from `outer`, and waits for runs.
    pub fn collect(&mut self, outer: Map) -> Checked {
        let used = account(outer).is_used();
        let gone = account(outer).collect();
        if used {
            machine::synchronize_rcu();
        }
        self.collected.push(Collected { outer, gone, used });
        self.finish()
    }

    /// Who has waited goes on.
    pub fn settle(&mut self, i: usize, shortage: Option<Shortage>) -> Checked {
        let Some(collected) = nth(&mut self.collected, i) else {
            return Ok(());
        };
        let (outer, mut gone) = (collected.outer, collected.gone);
        if !collected.used {
            account(outer).forget(gone);
            return self.finish();
        }
        books(|books| books.leaving.extend(gone.iter().map(|&map| (outer, map))));
        let before = Victims::possible();
        let list = addr_of_mut!(gone).cast();
        // SAFETY: the map outlives the system; the list is what the module is to be given.
        let (map, told) = unsafe { (borrowed(outer), Given::new(list).into()) };
        self.call(shortage, || Locked::take().inner_end(map, told));
        books(|books| books.leaving.clear());
        if !gone.is_empty() {
            return Err("the module does not look at all that is gone".into());
        }
        before.check()?;
        self.finish()
    }

    /// Until nothing is gone that nobody was told of.
    pub fn settle_all(&mut self, outer: Map, shortage: Option<Shortage>) -> Checked {
        while !account(outer).is_settled() {
            self.collect(outer)?;
            self.settle(self.collected.len() - 1, shortage)?;
        }
        Ok(())
    }

    /// What was begun is over.
    pub fn end(&mut self, i: usize, shortage: Option<Shortage>) -> Checked {
        let Some(change) = books(|books| nth(&mut books.changes, i)) else {
            return Ok(());
        };
        if !change.written {
            account(change.outer).release(change.announced);
        }
        self.settle_all(change.outer, shortage)?;
        self.finish()
    }

    /// The account of `outer` is right.
    pub fn accounted(outer: Map) -> Checked {
        let mut due = BTreeMap::new();
        // SAFETY: maps outlive the system.
        let (inner, counts) = unsafe { (&(*outer).inner, account(outer).counts()) };
        books(|books| {
            let changes = books.changes.iter();
            let announced = changes.filter(|c| c.outer == outer && !c.written);
            let announced = announced.map(|c| c.announced);
            let maps = inner.iter().copied().filter(|map| !map.is_null());
            maps.chain(announced)
                .for_each(|map| *due.entry(map).or_insert(0) += 1);
        });
        let counts = counts.into_iter().filter(|(_, count)| *count != 0);
        match counts.collect::<BTreeMap<_, _>>() == due {
            true => Ok(()),
            false => Err("the account is wrong".into()),
        }
    }
}
