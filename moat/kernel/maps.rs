// SPDX-License-Identifier: GPL-2.0
//! `struct bpf_map`: borrowed from whoever has a reference, or with a reference of one's
//! own.
//!
//! Context: process.

use super::given::Given;
use super::memory::Zeroed;
use super::shims::given_back;
use crate::edge::ffi::{self, bpf_map, moat_map_call};
use crate::helpers::audit::MapInfo;
use crate::helpers::dynptr::{largest_record, largest_sample, SAMPLE};
use crate::load::reason::Failure::{NoMemory, Refused};
use crate::load::reason::{Failure, Reason, Subject, Text, Tried};
use crate::maps::types::{MapTypes, RINGBUF, USER_RINGBUF};
use crate::state::State;
use core::cell::Cell;
use core::ffi::{c_char, c_void};
use core::marker::PhantomData;
use core::ptr::{addr_of_mut, null_mut, NonNull};
use kernel::bindings;

/// A map on which somebody has a reference for as long.  An optional one is what C has: a
/// pointer, or null.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Map<'a> {
    map: NonNull<bpf_map>,
    held: PhantomData<&'a bpf_map>,
}

/// As what fields are read and written.
fn cell<T>(field: *mut T) -> *const Cell<T> {
    field.cast()
}

/// A field of the map.
macro_rules! field {
    ($map:ident.$($field:ident).+) => {
        // SAFETY: liveness as `Map` says.  Fields are constant, or the lock's, which whoever
        // asks for these has; there are no references to them but such.
        unsafe { &*cell(addr_of_mut!((*$map.map.as_ptr()).$($field).+)) }
    };
}

/// Functions of the kernel about a map, as methods.
macro_rules! of_maps {
    ($(fn $name:ident($self:ident $(, $arg:ident: $ty:ty)*) $(-> $ret:ty)?
        = $function:ident($($pass:expr),*);)*) => {
        impl Map<'_> {$(
            fn $name($self $(, $arg: $ty)*) $(-> $ret)? {
                // SAFETY: liveness of it, and of maps that are passed, as `Map` says;
                // whoever asks for what is the lock's has that.  What is remembered with
                // maps is a number to the kernel.  There is room for what is filled in: as
                // many pages and maps as are said.
                unsafe { bindings::$function($self.map.as_ptr() $(, $pass)*) }
            }
        )*}
    };
}

of_maps! {
    fn value_bytes(self) -> u64 = moat_map_span();
    fn unplaced(self) -> *const c_char = moat_map_unplaced();
    fn remembered(self) -> *mut c_void = moat_outer_users();
    fn remember(self, bits: u64) -> bool = moat_outer_use(bits as *mut c_void);
    fn has(self, map: Map<'_>) -> bool = moat_inner_holds(map.map.as_ptr());
    fn after(self, id: &mut u64) -> *mut bpf_map = moat_inner_next(id);
    fn count(self) = bpf_map_inc();
    fn filled_bytes(self) -> u64 = moat_map_filled();
    fn serve_isolated(self) -> i32 = moat_map_serve(true);
    fn there_bytes(self) -> u64 = moat_map_there();
    fn fill_in(self, first: u64, pages: &mut [*mut ffi::page]) -> i32
        = moat_map_pages(first, pages.as_mut_ptr(), pages.len() as u64);
    fn take_gone(self, gone: &mut Gone, room: &mut [*mut bpf_map; TOGETHER]) -> u32
        = moat_inner_take(&mut gone.0, room.as_mut_ptr(), TOGETHER as u32);
}

/// Somebody has a reference on the map, if it is one.
impl<'a> From<Given<*mut bpf_map>> for Option<Map<'a>> {
    fn from(given: Given<*mut bpf_map>) -> Option<Map<'a>> {
        NonNull::new(given.get()).map(|map| Map {
            map,
            held: PhantomData,
        })
    }
}

impl<'a> Map<'a> {
    /// What it is called where only an address is known.
    pub fn addr(self) -> u64 {
        self.map.as_ptr() as u64
    }

    /// What the audit needs to know of it; none of it changes.
    pub fn info(self) -> MapInfo {
        MapInfo {
            kernel: self.addr(),
            ty: field!(self.map_type).get(),
            key_size: field!(self.key_size).get(),
            value_size: field!(self.value_size).get(),
            flags: field!(self.map_flags).get(),
        }
    }

    /// What the maps in it are like, if it holds maps.
    fn inner(self) -> Option<Map<'a>> {
        let map = NonNull::new(field!(self.inner_map_meta).get())?;
        Some(Map { map, ..self })
    }

    /// The type of the maps that are in it, if it holds maps.
    pub fn inner_type(self) -> Option<u32> {
        Some(self.inner()?.info().ty)
    }

    /// Where in a value its lock is, if it has one: an offset in bytes.
    pub fn lock(self) -> Option<u32> {
        u32::try_from(field!(self.spin_lock_off).get()).ok()
    }

    /// The same of its timer.
    pub fn timer(self) -> Option<u32> {
        u32::try_from(field!(self.timer_off).get()).ok()
    }

    /// Bytes of the largest record that it, or what may be in it, ever has.
    pub fn largest_record(self) -> u32 {
        match self.info().ty {
            RINGBUF => largest_record(field!(self.max_entries).get()),
            ty if MapTypes::OF_MAPS.contains(ty) => u32::MAX,
            _ => 0,
        }
    }

    /// Bytes that a function needs which is called for a sample of it, or of what may be in it
    /// if no ring is larger than the one that it was made with; 0 if it has none.
    pub fn sample(self) -> u32 {
        let ring = self.inner().unwrap_or(self);
        match ring.info().ty {
            USER_RINGBUF => SAMPLE + largest_sample(field!(ring.max_entries).get()),
            _ => 0,
        }
    }

    /// From now on it serves isolated programs, if its values have fields that only the kernel
    /// may write.
    pub fn serve(self) -> Tried<()> {
        match self.serve_isolated().wrapping_neg() as u32 {
            0 => Ok(()),
            bindings::ENOMEM => Err(NoMemory),
            _ => Err(self.refused("serves programs that are not isolated")),
        }
    }

    /// How long the keys are that a callback may be given of it, or of what is in it.
    pub fn callback_key(self) -> u32 {
        match MapTypes::WALKED
            .or(MapTypes::OF_MAPS)
            .contains(self.info().ty)
        {
            // SAFETY: liveness as `Map` says.
            true => unsafe { ffi::moat_shim_key_size(self.map.as_ptr()) },
            false => 0,
        }
    }

    /// How programs call it straight away, less what `load/map_calls.rs` adds; none if
    /// they may not.
    pub fn call(self) -> Option<moat_map_call> {
        let mut call = moat_map_call::default();
        // SAFETY: liveness as `Map` says; there is room for what is filled in.
        unsafe { ffi::moat_shim_map_call(self.map.as_ptr(), &mut call) }.then_some(call)
    }

    /// Bytes of a batch of its elements, if programs get some.
    pub fn batch(self) -> u64 {
        self.call().map_or(0, |call| call.last_elems)
    }

    /// Because of it.
    pub fn refused(self, why: &'static str) -> Failure {
        let name = field!(self.name).get();
        Refused(Reason {
            insn: None,
            subject: Subject::Map {
                name: Text::new(name.map(|c| c as u8)),
                ty: self.info().ty,
                inside: false,
            },
            why,
        })
    }

    /// Bytes that its values take in the window.
    pub fn span(self) -> Tried<u64> {
        match self.value_bytes() {
            // SAFETY: it says so in a constant.
            0 => Err(self.refused(unsafe { Given::new(self.unplaced()) }.into())),
            span => Ok(span),
        }
    }

    /// Bytes of that, from its start, that have pages; they become more, never fewer.
    pub fn filled(self) -> u64 {
        self.filled_bytes()
    }

    /// Bytes of them that the module has been told of: these are in the window, if it is.
    pub fn there(self) -> u64 {
        self.there_bytes()
    }

    /// `nr` pages of its values, which it has, from number `first` on; they live as long as
    /// the map.
    pub fn pages(self, first: u64, nr: u64) -> Tried<Zeroed<*mut ffi::page>> {
        let mut pages = Zeroed::<*mut ffi::page>::new(nr as usize).ok_or(NoMemory)?;
        match self.fill_in(first, pages.slice_mut()) {
            0 => Ok(pages),
            _ => Err(NoMemory),
        }
    }

    /// What was remembered with it, or 0.
    pub fn values(self, _state: &State) -> u64 {
        field!(self.moat.values).get() as u64
    }

    /// Remembers `bits` with it, 0 for nothing.
    pub fn set_values(self, _state: &mut State, bits: u64) {
        field!(self.moat.values).set(bits as *mut c_void);
    }

    /// What was remembered with it as a map of maps, or 0.
    pub fn users(self, _state: &State) -> u64 {
        self.remembered() as u64
    }

    /// Remembers `bits` with it as a map of maps; 0 for nothing.  False if it cannot be:
    /// nobody keeps account of what is in it.
    #[must_use]
    pub fn set_users(self, _state: &mut State, bits: u64) -> bool {
        self.remember(bits)
    }

    /// Whether `map` is in it, or about to be, or not known here to be gone.
    pub fn holds(self, map: Map<'_>) -> bool {
        self.has(map)
    }

    /// The next map after number `id` that is in it, or is about to be.
    ///
    /// What is in its account stays there while the lock is held.
    pub fn next_in<'s>(self, _state: &'s State, id: &mut u64) -> Option<Map<'s>> {
        // It is in the account, and with that alive, while the lock is held.
        NonNull::new(self.after(id)).map(|map| Map {
            map,
            held: PhantomData,
        })
    }

    /// A reference of one's own.
    pub fn hold(self) -> HeldMap {
        self.count();
        HeldMap(self.map)
    }
}

/// A reference on a map.
pub struct HeldMap(NonNull<bpf_map>);

impl HeldMap {
    pub fn get(&self) -> Map<'_> {
        Map {
            map: self.0,
            held: PhantomData,
        }
    }
}

given_back! {
    HeldMap => bindings::bpf_map_put, |held| held.0.as_ptr();
}

/// Maps that are in a map of maps no more.
pub struct Gone(*mut bindings::llist_node);

/// The kernel's list, for `moat_inner_take()`.
impl From<Given<*mut bindings::llist_node>> for Gone {
    fn from(given: Given<*mut bindings::llist_node>) -> Gone {
        Gone(given.get())
    }
}

impl Gone {
    /// Takes as many as there is room for out of the account of `outer`, and returns how many
    /// that were, in order of their addresses.
    pub fn take(&mut self, outer: Map<'_>, room: &mut [Option<HeldMap>; TOGETHER]) -> usize {
        let mut maps = [null_mut(); TOGETHER];
        let n = outer.take_gone(self, &mut maps);
        let maps = &mut maps[..(n as usize).min(TOGETHER)];
        maps.sort_unstable();
        for (room, &mut map) in room.iter_mut().zip(maps.iter_mut()) {
            // Each comes with a reference.
            *room = NonNull::new(map).map(HeldMap);
        }
        n as usize
    }
}

/// So many maps that are gone are looked at together.
pub const TOGETHER: usize = 64;
