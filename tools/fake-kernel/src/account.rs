// SPDX-License-Identifier: GPL-2.0
//! What is in maps of maps: the account that the kernel keeps, without its locks.
//!
//! C source: `kernel/bpf/moat_inner.c`

// C names, and contracts as in C.
#![allow(clippy::missing_safety_doc, clippy::not_unsafe_ptr_arg_deref)]

use crate::bindings::{bpf_map, bpf_map_inc, bpf_map_put, llist_node};
use crate::machine::machine;
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::ptr::null_mut;

type Map = *mut bpf_map;

/// A map in the account.
#[derive(Clone, Copy, Default)]
struct Held {
    /// Entries that hold it, or are about to.
    count: usize,
    /// It came back while somebody waits for runs to end.
    again: bool,
    /// It is gone, and on a list for that.
    listed: bool,
}

/// See the module documentation.
#[derive(Default)]
pub struct Account {
    held: BTreeMap<Map, Held>,
    gone: Vec<Map>,
    users: *mut c_void,
}

/// Maps that are gone, as the module is given them: it has the address of this.
pub type Gone = Vec<Map>;

/// The account of `outer`.
///
/// # Safety
///
/// The map lives, and no other reference to its account is in use.
pub unsafe fn of<'a>(outer: *const bpf_map) -> &'a mut Account {
    // SAFETY: by contract of this function.
    unsafe { &mut (*(outer as Map)).account }
}

impl Account {
    /// As `moat_hold`: `map`, which the caller has a reference on, is about to go in.
    pub fn hold(&mut self, map: Map) {
        let held = self.held.entry(map).or_insert_with(|| {
            // SAFETY: the caller has a reference.
            unsafe { bpf_map_inc(map) };
            Held::default()
        });
        held.count += 1;
        held.again |= held.count == 1;
    }

    /// As `moat_drop`: an entry less holds `map`.
    pub fn release(&mut self, map: Map) {
        match self.held.get_mut(&map) {
            Some(held) if held.count != 0 => {
                held.count -= 1;
                if held.count == 0 && !held.listed {
                    held.listed = true;
                    self.gone.push(map);
                }
            }
            _ => machine(|m| m.report("a map that is not in the account is taken out")),
        }
    }

    /// Whether the module is to be told.
    pub fn is_used(&self) -> bool {
        !self.users.is_null()
    }

    /// What is gone, as `moat_inner_settle` takes it: if the map is used, the caller waits
    /// for a grace period, and tells the module.
    pub fn collect(&mut self) -> Gone {
        let gone = std::mem::take(&mut self.gone);
        for map in &gone {
            if let Some(held) = self.held.get_mut(map) {
                held.again = held.count != 0;
            }
        }
        gone
    }

    /// As `moat_take`.
    fn take(&mut self, gone: &mut Gone, told: bool) -> Option<Map> {
        let used = self.is_used();
        while let Some(map) = gone.pop() {
            let Some(held) = self.held.get_mut(&map) else {
                machine(|m| m.report("a map is gone twice"));
                continue;
            };
            if held.count == 0 && !if told { held.again } else { used } {
                self.held.remove(&map);
                return Some(map);
            }
            held.listed = held.count == 0;
            if held.listed {
                self.gone.push(map);
            }
        }
        None
    }

    /// Nobody was given what is gone.
    pub fn forget(&mut self, mut gone: Gone) {
        while let Some(map) = self.take(&mut gone, false) {
            // SAFETY: `hold` took the reference.
            unsafe { bpf_map_put(map) };
        }
    }

    /// Whether nothing is gone that nobody has collected.
    pub fn is_settled(&self) -> bool {
        self.gone.is_empty()
    }

    /// The maps in the account, and how often each is counted.
    pub fn counts(&self) -> BTreeMap<Map, usize> {
        let held = self.held.iter();
        held.map(|(&map, held)| (map, held.count)).collect()
    }
}

pub unsafe fn moat_outer_users(outer: *const bpf_map) -> *mut c_void {
    // SAFETY: the module's map; the reference ends here.
    unsafe { of(outer) }.users
}

pub unsafe fn moat_outer_use(outer: Map, users: *mut c_void) -> bool {
    // SAFETY: as above.
    unsafe { of(outer) }.users = users;
    true
}

/// Maps go by their addresses here.
pub unsafe fn moat_inner_next(outer: *const bpf_map, id: *mut u64) -> Map {
    // SAFETY: as above, and the module's variable.
    let (account, id) = unsafe { (of(outer), &mut *id) };
    let mut rest = account.held.range(*id as Map..);
    match rest.find(|(_, held)| held.count != 0) {
        Some((&map, _)) => {
            *id = map as u64 + 1;
            map
        }
        None => null_mut(),
    }
}

pub unsafe fn moat_inner_holds(outer: *const bpf_map, inner: *const bpf_map) -> bool {
    // SAFETY: as above.
    unsafe { of(outer) }.held.contains_key(&(inner as Map))
}

pub unsafe fn moat_inner_take(
    outer: Map,
    gone: *mut *mut llist_node,
    maps: *mut Map,
    most: u32,
) -> u32 {
    // SAFETY: as above; the list is what the module was given, and there is so much room.
    let (account, gone, maps) = unsafe {
        let maps = std::slice::from_raw_parts_mut(maps, most as usize);
        (of(outer), &mut *(*gone as *mut Gone), maps)
    };
    let mut n = 0;
    for room in maps {
        match account.take(gone, true) {
            Some(map) => *room = map,
            None => break,
        }
        n += 1;
    }
    n
}
