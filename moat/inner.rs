// SPDX-License-Identifier: GPL-2.0
//! Maps of maps: what programs may use because it is in a map that they use.
//!
//! A program uses a map that is in one of its maps of maps as if the map were its
//! own: the values are in its set.  The kernel says what is about to go into a map
//! of maps, and afterwards that something went in or out.  A map that is in none of
//! a program's maps of maps any more leaves its set after a grace period; runs that
//! looked it up before may use it until then.
//!
//! The kernel lets nobody else change what is in maps of maps from the one call to
//! the other.
//!
//! A lookup hands out the kernel's address of a map, if the program may use that.
//! It is a name and no more: the audit looks for it among the program's maps.
//!
//! Context: process, with the lock held.

use crate::domains::{Domains, Tried};
use crate::ffi;
use crate::helpers::maptype::MapTypes;
use crate::program::{Program, UsedMap};
use crate::sets::at;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};
use kernel::bindings;
use kernel::prelude::*;

/// A map of maps that isolated programs use; its `map->moat.values` points here.
pub struct Outer {
    map: *mut ffi::bpf_map,
    users: Vec<*mut Program>,
    inner: Vec<MapRef>,
    /// About to be put there; the kernel holds it until it was.
    pending: Option<*mut ffi::bpf_map>,
}

/// Whether `map` holds maps.
pub fn is_outer(map: *mut ffi::bpf_map) -> bool {
    // SAFETY: the caller holds a reference on the map.
    MapTypes::OF_MAPS.contains(unsafe { (*map).map_type })
}

/// A reference on a map.
struct MapRef(*mut ffi::bpf_map);

impl MapRef {
    fn new(map: *mut ffi::bpf_map) -> MapRef {
        // SAFETY: the caller has one.
        unsafe { bindings::bpf_map_inc(map) };
        MapRef(map)
    }
}

impl Drop for MapRef {
    fn drop(&mut self) {
        // SAFETY: it is given back once.
        unsafe { bindings::bpf_map_put(self.0) };
    }
}

/// The maps in `outer`, in order, each once.
fn maps_in(outer: *mut ffi::bpf_map) -> Tried<Vec<MapRef>> {
    // SAFETY: the caller holds a reference on the map.
    let most = unsafe { (*outer).max_entries } as usize;
    let mut found = ffi::Zeroed::<*mut ffi::bpf_map>::new(most).ok_or("no memory")?;
    let room = found.slice_mut();
    // SAFETY: room for as many as there can be.
    let n = unsafe { ffi::moat_shim_inner_maps(outer, room.as_mut_ptr(), most as u32) };
    if n < 0 {
        return Err("no memory");
    }
    let found = &mut room[..n as usize];
    found.sort_unstable();
    let mut maps: Vec<MapRef> = Vec::new();
    let reserved = maps.try_reserve(found.len());
    for &map in found.iter() {
        // The shim took the reference.
        let map = MapRef(map);
        if reserved.is_ok() && maps.last().map_or(true, |last| last.0 != map.0) {
            let _ = maps.try_push(map);
        }
    }
    reserved.map_err(|_| "no memory")?;
    Ok(maps)
}

/// The maps a program has by way of maps of maps, for its runs to read.
pub struct Reached(AtomicPtr<Vec<UsedMap>>);

impl Reached {
    pub const fn new() -> Reached {
        Reached(AtomicPtr::new(null_mut()))
    }

    /// Valid in a run, or while the lock is held.
    pub fn get(&self) -> &[UsedMap] {
        let list = self.0.load(Ordering::Acquire);
        if list.is_null() {
            return &[];
        }
        // SAFETY: `put` frees a list after a grace period, and runs are read-side
        // critical sections.
        unsafe { &*list }
    }

    /// Replaces the list.  Returns once no run has the old one.
    fn put(&self, list: Vec<UsedMap>) -> Tried<()> {
        let list = ffi::try_box(list).ok_or("no memory")?;
        let old = self.0.swap(Box::into_raw(list), Ordering::AcqRel);
        if !old.is_null() {
            // SAFETY: process context.
            unsafe { ffi::moat_shim_synchronize_rcu() };
            // SAFETY: made by `put`, and no run has it any more.
            drop(unsafe { Box::from_raw(old) });
        }
        Ok(())
    }

    /// As it is, without `less`, and with room for one more.
    fn copy(&self, less: *mut ffi::bpf_map) -> Tried<Vec<UsedMap>> {
        let mut list = Vec::new();
        list.try_reserve(self.get().len() + 1)
            .map_err(|_| "no memory")?;
        for used in self.get().iter().filter(|u| u.info.kernel != less as u64) {
            let _ = list.try_push(*used);
        }
        Ok(list)
    }
}

impl Drop for Reached {
    fn drop(&mut self) {
        let list = *self.0.get_mut();
        if !list.is_null() {
            // SAFETY: made by `put`; no run is left.
            drop(unsafe { Box::from_raw(list) });
        }
    }
}

/// # Safety
///
/// The lock is held, `outer` holds maps, and no other reference to it is in use.
unsafe fn outer_of<'a>(map: *mut ffi::bpf_map) -> Option<&'a mut Outer> {
    // SAFETY: set and cleared here, under the lock.
    unsafe { ((*map).moat.values as *mut Outer).as_mut() }
}

impl Domains {
    /// Lets `program`, which is being loaded, use what is in `map`.
    pub fn use_outer(&mut self, program: *mut Program, map: *mut ffi::bpf_map) -> Tried<()> {
        // SAFETY: the verifier holds a reference on the map.
        if unsafe { outer_of(map) }.is_none() {
            let outer = ffi::try_box(Outer {
                map,
                users: Vec::new(),
                inner: maps_in(map)?,
                pending: None,
            })
            .ok_or("no memory")?;
            // SAFETY: as above; a load that fails gives up its maps before its programs.
            unsafe {
                bindings::bpf_map_inc(map);
                (*map).moat.values = Box::into_raw(outer).cast();
            }
        }
        // SAFETY: it is there now.
        let outer = match unsafe { outer_of(map) } {
            Some(outer) => outer,
            None => return Err("no memory"),
        };
        let known = outer.users.try_reserve(1);
        // SAFETY: the caller's program.
        let mine = unsafe { at(program) }.outers.try_reserve(1);
        if known.is_err() || mine.is_err() {
            self.drop_outer(map);
            return Err("no memory");
        }
        let _ = outer.users.try_push(program);
        // SAFETY: as above.
        let _ = unsafe { at(program) }.outers.try_push(map);
        let outer: &Outer = outer;
        for inner in &outer.inner {
            self.gain(program, inner.0)?;
        }
        outer
            .pending
            .map_or(Ok(()), |inner| self.gain(program, inner))
    }

    /// Forgets a map of maps that no program uses.
    fn drop_outer(&mut self, map: *mut ffi::bpf_map) {
        // SAFETY: made by `use_outer`, whose reference on the map goes with it.
        unsafe {
            if !matches!(outer_of(map), Some(outer) if outer.users.is_empty()) {
                return;
            }
            drop(Box::from_raw((*map).moat.values as *mut Outer));
            (*map).moat.values = null_mut();
            bindings::bpf_map_put(map);
        }
    }

    /// Takes out a program that has no run left.
    pub fn leave_outers(&mut self, program: *mut Program) {
        // SAFETY: a program in a list, or one that never got there.
        while let Some(map) = unsafe { at(program) }.outers.pop() {
            // SAFETY: it uses that.
            if let Some(outer) = unsafe { outer_of(map) } {
                outer.users.retain(|&user| user != program);
            }
            self.drop_outer(map);
        }
    }

    /// Lets `program` use `map`, unless it does.
    fn gain(&mut self, program: *mut Program, map: *mut ffi::bpf_map) -> Tried<()> {
        // SAFETY: a program in a list.
        if unsafe { at(program) }.used(map as u64).is_some() {
            return Ok(());
        }
        if is_outer(map) {
            return Err("a map of maps");
        }
        // SAFETY: as above.
        let mut list = unsafe { at(program) }.reached.copy(null_mut())?;
        let info = UsedMap::info(map);
        let values = self.use_map(program, map)?;
        let _ = list.try_push(UsedMap { info, values });
        // SAFETY: as above.
        let put = unsafe { at(program) }.see(values).and_then(|()| {
            // SAFETY: as above.
            unsafe { at(program) }.reached.put(list)
        });
        // SAFETY: it uses them since just now.
        if put.is_err() && unsafe { self.drop_map(program, values) }.is_err() {
            kill(program);
        }
        put
    }

    /// Takes `map` from `program`, unless it has it in another way.
    fn lose(&mut self, program: *mut Program, map: *mut ffi::bpf_map) -> Tried<()> {
        // SAFETY: a program in a list, and maps of maps it uses.
        let (program_ref, still) = unsafe {
            let program = at(program);
            let still = program.maps.iter().any(|m| m.info.kernel == map as u64)
                || program.outers.iter().any(|&outer| {
                    outer_of(outer).map_or(false, |outer| {
                        outer.inner.iter().any(|inner| inner.0 == map) || outer.pending == Some(map)
                    })
                });
            (program, still)
        };
        let values = match program_ref.used(map as u64) {
            Some(used) if !still => used.values,
            _ => return Ok(()),
        };
        program_ref.reached.put(program_ref.reached.copy(map)?)?;
        // SAFETY: it used them until now, and has nothing of them listed.
        unsafe { self.drop_map(program, values) }
    }

    /// Makes what the users of `map` use what is in it.  An error leaves them with
    /// what they had, or without some of what they should have.
    fn reconcile(&mut self, map: *mut ffi::bpf_map) -> Tried<()> {
        let is = maps_in(map)?;
        // SAFETY: the lock is held; the borrow ends before anything else is done.
        let (was, users) = match unsafe { outer_of(map) } {
            Some(outer) => {
                let mut users = Vec::new();
                users
                    .try_reserve(outer.users.len())
                    .map_err(|_| "no memory")?;
                for &user in &outer.users {
                    let _ = users.try_push(user);
                }
                (core::mem::replace(&mut outer.inner, is), users)
            }
            None => return Ok(()),
        };
        let mut waited = false;
        for &user in users.iter() {
            // SAFETY: as above.
            let outer: &Outer = match unsafe { outer_of(map) } {
                Some(outer) => outer,
                None => return Ok(()),
            };
            for inner in &outer.inner {
                if self.gain(user, inner.0).is_err() {
                    // It finds nothing there.
                    pr_err!("no memory: a program does not see a map in a map\n");
                }
            }
            for gone in &was {
                if outer.inner.iter().any(|inner| inner.0 == gone.0) {
                    continue;
                }
                if !core::mem::replace(&mut waited, true) {
                    // Runs may have looked it up before it was taken out.
                    // SAFETY: process context.
                    unsafe { ffi::moat_shim_synchronize_rcu() };
                }
                if self.lose(user, gone.0).is_err() {
                    kill(user);
                }
            }
            self.promote_neighbours(user);
        }
        self.park_idle();
        Ok(())
    }

    /// See `struct moat_ops`.
    pub fn inner_begin(&mut self, map: *mut ffi::bpf_map, inner: *mut ffi::bpf_map) -> Tried<()> {
        // SAFETY: the kernel holds both maps.
        let outer = match unsafe { outer_of(map) } {
            Some(outer) => outer,
            None => return Ok(()),
        };
        // For `inner_end`, which cannot fail.
        outer.inner.try_reserve(1).map_err(|_| "no memory")?;
        outer.pending = Some(inner);
        let outer: &Outer = outer;
        let mut result = Ok(());
        for &user in &outer.users {
            result = result.and_then(|()| self.gain(user, inner));
            self.promote_neighbours(user);
        }
        if result.is_err() {
            self.inner_end(map);
        }
        result
    }

    /// See `struct moat_ops`.
    pub fn inner_end(&mut self, map: *mut ffi::bpf_map) {
        // SAFETY: the kernel holds the map.
        let outer = match unsafe { outer_of(map) } {
            Some(outer) => outer,
            None => return,
        };
        if let Some(inner) = outer.pending.take() {
            // Whether it got there or not: `reconcile` finds out.
            let _ = outer.inner.try_push(MapRef::new(inner));
        }
        if self.reconcile(map).is_ok() {
            return;
        }
        // They may have what was taken out, and nobody would notice.
        // SAFETY: as above.
        for &user in unsafe { outer_of(map) }.map_or(&[][..], |outer| &outer.users) {
            kill(user);
        }
    }
}

/// For want of memory to take something from it.
fn kill(program: *mut Program) {
    // SAFETY: a program in a list; the lock is held.
    if unsafe { at(program) }.kill() {
        pr_err!("no memory to take a map from a program: it runs no more\n");
    }
}
