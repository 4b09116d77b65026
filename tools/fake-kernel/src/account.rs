// SPDX-License-Identifier: GPL-2.0
//! What is in maps of maps: the account that the kernel keeps, without its locks.
//!
//! C source: `kernel/bpf/moat_inner.c`

// C names, and contracts as in C.
#![allow(clippy::missing_safety_doc)]

use crate::bindings::{bpf_map, bpf_map_inc, bpf_map_put, llist_node};
use crate::machine::{self, machine};
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

/// # Safety
///
/// The map lives, and no other reference to its account is in use.
unsafe fn account<'a>(outer: *const bpf_map) -> &'a mut Account {
    // SAFETY: by contract of this function.
    unsafe { &mut (*(outer as Map)).account }
}

/// As `moat_hold`: `map` is about to go into `outer`.
pub unsafe fn hold(outer: Map, map: Map) {
    let account = unsafe { account(outer) };
    let held = account.held.entry(map).or_insert_with(|| {
        unsafe { bpf_map_inc(map) };
        Held::default()
    });
    held.count += 1;
    held.again |= held.count == 1;
}

/// As `moat_drop`: an entry of `outer` less holds `map`.
pub unsafe fn drop(outer: Map, map: Map) {
    let account = unsafe { account(outer) };
    match account.held.get_mut(&map) {
        Some(held) if held.count != 0 => {
            held.count -= 1;
            if held.count == 0 && !held.listed {
                held.listed = true;
                account.gone.push(map);
            }
        }
        _ => machine(|m| m.report("a map that is not in the account is taken out")),
    }
}

/// Whether the module is to be told.
pub unsafe fn is_used(outer: Map) -> bool {
    !unsafe { account(outer) }.users.is_null()
}

/// The first half of `moat_inner_settle`: what is gone, when no run has it any more.
pub unsafe fn collect(outer: Map) -> Gone {
    let account = unsafe { account(outer) };
    let gone = std::mem::take(&mut account.gone);
    for map in &gone {
        if let Some(held) = account.held.get_mut(map) {
            held.again = held.count != 0;
        }
    }
    if !account.users.is_null() {
        machine::synchronize_rcu();
    }
    gone
}

/// As `moat_take`.
unsafe fn take(outer: Map, gone: &mut Gone, told: bool) -> Option<Map> {
    let account = unsafe { account(outer) };
    while let Some(map) = gone.pop() {
        let Some(held) = account.held.get_mut(&map) else {
            machine(|m| m.report("a map is gone twice"));
            continue;
        };
        let unused = account.users.is_null();
        if held.count == 0 && if told { !held.again } else { unused } {
            account.held.remove(&map);
            return Some(map);
        }
        held.listed = held.count == 0;
        if held.listed {
            account.gone.push(map);
        }
    }
    None
}

/// Nobody was given what is gone.
pub unsafe fn forget(outer: Map, mut gone: Gone) {
    while let Some(map) = unsafe { take(outer, &mut gone, false) } {
        unsafe { bpf_map_put(map) };
    }
}

/// Whether something is gone.
pub unsafe fn is_settled(outer: Map) -> bool {
    unsafe { account(outer) }.gone.is_empty()
}

/// The maps in the account, and how often each is counted.
pub unsafe fn counts(outer: Map) -> BTreeMap<Map, usize> {
    let held = unsafe { account(outer) }.held.iter();
    held.map(|(&map, held)| (map, held.count)).collect()
}

pub unsafe fn moat_outer_users(outer: *const bpf_map) -> *mut c_void {
    unsafe { account(outer) }.users
}

pub unsafe fn moat_outer_use(outer: Map, users: *mut c_void) -> bool {
    unsafe { account(outer) }.users = users;
    true
}

/// Maps go by their addresses here.
pub unsafe fn moat_inner_next(outer: *const bpf_map, id: *mut u64) -> Map {
    let account = unsafe { account(outer) };
    let mut rest = account.held.range(unsafe { *id } as Map..);
    match rest.find(|(_, held)| held.count != 0) {
        Some((&map, _)) => {
            unsafe { *id = map as u64 + 1 };
            map
        }
        None => null_mut(),
    }
}

pub unsafe fn moat_inner_holds(outer: *const bpf_map, inner: *const bpf_map) -> bool {
    unsafe { account(outer) }.held.contains_key(&(inner as Map))
}

pub unsafe fn moat_inner_take(
    outer: Map,
    gone: *mut *mut llist_node,
    maps: *mut Map,
    most: u32,
) -> u32 {
    let list = unsafe { &mut *(*gone as *mut Gone) };
    let mut n = 0;
    while n < most {
        match unsafe { take(outer, list, true) } {
            Some(map) => unsafe { *maps.add(n as usize) = map },
            None => break,
        }
        n += 1;
    }
    n
}
