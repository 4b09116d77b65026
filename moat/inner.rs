// SPDX-License-Identifier: GPL-2.0
//! Maps of maps: what programs may use because it is in a map that they use.
//!
//! A program uses a map that is in one of its maps of maps as if the map were its
//! own: the values are in its set.  The kernel keeps account of what is in a map of
//! maps (`kernel/bpf/moat_inner.c`).  It says what is about to go in, and, after a
//! grace period, what is there no more: runs that looked it up before may use it
//! until then.  A map that is in none of a program's maps of maps leaves its set.
//!
//! The account changes at any time, but for one thing: while isolated programs use a
//! map of maps, a map is taken out of its account here and nowhere else.  What comes
//! in meanwhile is announced when the lock is free again.
//!
//! A lookup hands out the kernel's address of a map, if the program may use that.
//! It is a name and no more: the audit looks for it among the program's maps.
//!
//! Context: process, with the lock held.

use crate::domains::{map_refused, Domains, MapValues};
use crate::ffi;
use crate::helpers::maptype::MapTypes;
use crate::program::{Program, UsedMap};
use crate::reason::Failure::NoMemory;
use crate::reason::{Failure, Tried};
use crate::sets::{at, those};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};
use kernel::bindings;
use kernel::prelude::*;

/// A map of maps that isolated programs use; the kernel remembers it with the map.
pub struct Outer {
    /// Ordered by address.
    users: Vec<*mut Program>,
}

/// So many maps that are gone are looked at together.
const TOGETHER: usize = 64;

/// Whether `map` holds maps.
pub fn is_outer(map: *mut ffi::bpf_map) -> bool {
    // SAFETY: the caller holds a reference on the map.
    MapTypes::OF_MAPS.contains(unsafe { (*map).map_type })
}

/// What is in `outer`, and what is about to be.
fn maps_in(outer: *mut ffi::bpf_map) -> Tried<Vec<*mut ffi::bpf_map>> {
    let mut maps = Vec::new();
    let mut id = 0;
    loop {
        // SAFETY: the caller's map; what is found stays while the lock is held.
        let map = unsafe { bindings::moat_inner_next(outer, &mut id) };
        if map.is_null() {
            return Ok(maps);
        }
        maps.try_push(map).map_err(|_| NoMemory)?;
    }
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
        // SAFETY: a list is freed after a grace period, and runs are read-side
        // critical sections.
        unsafe { &*list }
    }

    /// Those of it that `which` likes, with room for `more`.
    fn copy(&self, which: impl Fn(&UsedMap) -> bool, more: usize) -> Tried<List> {
        let mut list = Vec::new();
        list.try_reserve(self.get().len() + more)
            .map_err(|_| NoMemory)?;
        for used in self.get().iter().filter(|used| which(used)) {
            let _ = list.try_push(*used);
        }
        ffi::try_box(list).map(Some).ok_or(NoMemory)
    }

    /// Replaces the list.  Runs may have the old one until a grace period later.
    fn swap(&self, list: List) -> List {
        let new = list.map_or(null_mut(), Box::into_raw);
        let old = self.0.swap(new, Ordering::AcqRel);
        // SAFETY: made by an earlier call.
        (!old.is_null()).then(|| unsafe { Box::from_raw(old) })
    }
}

/// What a program reaches; none if that is nothing.
type List = Option<Box<Vec<UsedMap>>>;

/// What programs are to reach, in place of what they do.
struct Lists(Vec<(*mut Program, List)>);

impl Lists {
    fn with_room(programs: usize) -> Tried<Lists> {
        let mut lists = Vec::new();
        lists.try_reserve(programs).map_err(|_| NoMemory)?;
        Ok(Lists(lists))
    }

    /// Returns once no run has an old list.
    fn put(mut self) {
        let mut wait = false;
        for (program, list) in self.0.iter_mut() {
            // SAFETY: a program in a list.
            *list = unsafe { at(*program) }.reached.swap(list.take());
            wait |= list.is_some();
        }
        if wait {
            // SAFETY: process context.
            unsafe { ffi::moat_shim_synchronize_rcu() };
        }
    }
}

impl Drop for Reached {
    fn drop(&mut self) {
        let list = *self.0.get_mut();
        if !list.is_null() {
            // SAFETY: made by `swap`; no run is left.
            drop(unsafe { Box::from_raw(list) });
        }
    }
}

/// # Safety
///
/// The lock is held, `map` holds maps, and no other reference to what is returned is in
/// use.
unsafe fn outer_of<'a>(map: *mut ffi::bpf_map) -> Option<&'a mut Outer> {
    // SAFETY: set and cleared here, under the lock.
    unsafe { (bindings::moat_outer_users(map) as *mut Outer).as_mut() }
}

/// Whether `map` is in `outer`, or about to be, or not known here to be gone.
fn holds(outer: *mut ffi::bpf_map, map: *mut ffi::bpf_map) -> bool {
    // SAFETY: the caller's maps.
    unsafe { bindings::moat_inner_holds(outer, map) }
}

/// The values of `map`, if isolated programs use it.
fn values_of(map: *mut ffi::bpf_map) -> Option<*mut MapValues> {
    // SAFETY: the caller holds a reference on the map, and the lock is held.
    let values = unsafe { (*map).moat.values } as *mut MapValues;
    (!values.is_null()).then_some(values)
}

impl Domains {
    /// Lets `program`, which is being loaded, use what is in `map`.
    pub fn use_outer(&mut self, program: *mut Program, map: *mut ffi::bpf_map) -> Tried<()> {
        // SAFETY: the verifier holds a reference on the map.
        if unsafe { outer_of(map) }.is_none() {
            let outer = ffi::try_box(Outer { users: Vec::new() }).ok_or(NoMemory)?;
            let outer = Box::into_raw(outer);
            // SAFETY: as above; a load that fails gives up its maps before its programs.
            unsafe {
                if !bindings::moat_outer_use(map, outer.cast()) {
                    drop(Box::from_raw(outer));
                    return Err(map_refused(map, "was made before MOAT was loaded"));
                }
                bindings::bpf_map_inc(map);
            }
        }
        // SAFETY: it is there now.
        let outer = match unsafe { outer_of(map) } {
            Some(outer) => outer,
            None => return Err(NoMemory),
        };
        let known = outer.users.try_reserve(1);
        // SAFETY: the caller's program.
        let mine = unsafe { at(program) }.outers.try_reserve(1);
        if known.is_err() || mine.is_err() {
            self.drop_outer(map);
            return Err(NoMemory);
        }
        let _ = outer.users.try_push(program);
        outer.users.sort_unstable();
        // SAFETY: as above.
        let _ = unsafe { at(program) }.outers.try_push(map);
        // Whatever goes in from now on is announced.
        self.gain(&[program], &maps_in(map)?)
            .map_err(Failure::inside)
    }

    /// Forgets a map of maps that no program uses.
    fn drop_outer(&mut self, map: *mut ffi::bpf_map) {
        // SAFETY: made by `use_outer`, whose reference on the map goes with it.
        unsafe {
            if !matches!(outer_of(map), Some(outer) if outer.users.is_empty()) {
                return;
            }
            let outer = bindings::moat_outer_users(map) as *mut Outer;
            bindings::moat_outer_use(map, null_mut());
            drop(Box::from_raw(outer));
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

    /// Lets `programs` use `maps`, as far as they do not.  All of it, or none.  With
    /// more than one map, no program may be keyed: a view that is made because of the
    /// second would not have the first, which is not listed before the end.
    fn gain(&mut self, programs: &[*mut Program], maps: &[*mut ffi::bpf_map]) -> Tried<()> {
        // SAFETY: programs in a list.
        let lacks =
            |&map: &*mut ffi::bpf_map| programs.iter().any(|&p| !unsafe { at(p) }.uses(map));
        if !maps.iter().any(lacks) {
            return Ok(());
        }
        let mut lists = Lists::with_room(programs.len())?;
        for &program in programs {
            // SAFETY: a program in a list.
            let list = unsafe { at(program) }.reached.copy(|_| true, maps.len())?;
            let _ = lists.0.try_push((program, list));
        }
        for (i, &map) in maps.iter().enumerate() {
            if let Err(why) = self.gain_one(programs, map, &mut lists) {
                self.take_unlisted(&maps[..i]);
                return Err(why);
            }
        }
        lists.put();
        Ok(())
    }

    fn gain_one(
        &mut self,
        programs: &[*mut Program],
        map: *mut ffi::bpf_map,
        lists: &mut Lists,
    ) -> Tried<()> {
        let takers = those(programs, |program| !program.uses(map))?;
        if takers.is_empty() {
            return Ok(());
        }
        if is_outer(map) {
            return Err(map_refused(map, "holds maps"));
        }
        let info = UsedMap::info(map);
        let values = self.use_map(&takers, map)?;
        for (program, list) in lists.0.iter_mut() {
            // SAFETY: a program in a list.
            if let (Some(list), false) = (list, unsafe { at(*program) }.uses(map)) {
                let _ = list.try_push(UsedMap { info, values });
            }
        }
        Ok(())
    }

    /// Takes `maps`, in order, from `programs`, but for those that they have in another
    /// way.
    fn lose(&mut self, programs: &[*mut Program], maps: &[*mut ffi::bpf_map]) {
        let goes = |program: &Program, used: &UsedMap| {
            let map = used.info.kernel as *mut ffi::bpf_map;
            maps.binary_search(&map).is_ok() && !program.outers.iter().any(|&o| holds(o, map))
        };
        let mut lists = Lists::with_room(programs.len());
        for &program in programs {
            // SAFETY: a program in a list.
            let this: &Program = unsafe { at(program) };
            if !this.reached.get().iter().any(|used| goes(this, used)) {
                continue;
            }
            let list = this.reached.copy(|used| !goes(this, used), 0);
            match (&mut lists, list) {
                (Ok(lists), Ok(list)) => {
                    let _ = lists.0.try_push((program, list));
                }
                _ => kill(program),
            }
        }
        if let Ok(lists) = lists {
            lists.put();
        }
        self.take_unlisted(maps);
    }

    /// Takes `maps` from the programs that have them in their sets, but not listed.
    fn take_unlisted(&mut self, maps: &[*mut ffi::bpf_map]) {
        for &map in maps {
            if let Some(values) = values_of(map) {
                self.take_one(map, values);
            }
        }
        for &map in maps {
            if let Some(values) = values_of(map) {
                // SAFETY: values in a domain, which has users.
                self.promote_neighbours(unsafe { at((*values).domain).users[0] });
            }
        }
    }

    fn take_one(&mut self, map: *mut ffi::bpf_map, values: *mut MapValues) {
        // SAFETY: values in a domain, of programs in a list.
        unsafe {
            let taken = match those(&at((*values).domain).users, |program| !program.uses(map)) {
                Ok(programs) if programs.is_empty() => return,
                Ok(programs) => self.drop_map(&programs, values),
                Err(why) => Err(why),
            };
            if taken.is_err() {
                for &user in &at((*values).domain).users {
                    if !at(user).uses(map) {
                        kill(user);
                    }
                }
            }
        }
    }

    /// Gives keys to programs, or to those they share with, that a change took out.
    fn settle(&mut self, programs: &[*mut Program]) {
        for &program in programs {
            let _ = self.promote(program);
        }
        if let Some(&first) = programs.first() {
            self.promote_neighbours(first);
        }
        self.park_idle();
    }

    /// See `struct moat_ops`.
    pub fn inner_begin(&mut self, map: *mut ffi::bpf_map, inner: *mut ffi::bpf_map) -> Tried<()> {
        let users = users_of(map);
        let result = self.gain(&users, &[inner]).map_err(Failure::inside);
        self.settle(&users);
        give_back(map, users);
        result
    }

    /// See `struct moat_ops`.
    pub fn inner_end(&mut self, map: *mut ffi::bpf_map, mut gone: *mut bindings::llist_node) {
        let users = users_of(map);
        let mut maps = [null_mut(); TOGETHER];
        loop {
            // SAFETY: the kernel holds the map, and the list is for this; room for so many.
            let n = unsafe {
                let room = maps.as_mut_ptr();
                bindings::moat_inner_take(map, &mut gone, room, TOGETHER as u32)
            };
            if n == 0 {
                break;
            }
            let maps = &mut maps[..n as usize];
            maps.sort_unstable();
            self.lose(&users, maps);
            for &mut map in maps {
                // SAFETY: it came with a reference.
                unsafe { bindings::bpf_map_put(map) };
            }
        }
        self.settle(&users);
        give_back(map, users);
    }
}

/// The users of `map`, to be given back before the lock is let go.
fn users_of(map: *mut ffi::bpf_map) -> Vec<*mut Program> {
    // SAFETY: the kernel holds the map, and the lock is held; the reference ends here.
    let outer = unsafe { outer_of(map) };
    outer.map_or(Vec::new(), |outer| core::mem::take(&mut outer.users))
}

fn give_back(map: *mut ffi::bpf_map, users: Vec<*mut Program>) {
    // SAFETY: as in `users_of`.
    if let Some(outer) = unsafe { outer_of(map) } {
        outer.users = users;
    }
}

/// For want of memory to take something from it.
fn kill(program: *mut Program) {
    // SAFETY: a program in a list; the lock is held.
    if unsafe { at(program) }.kill_and_tell() {
        pr_err!("no memory to take a map from a program: it runs no more\n");
    }
}
