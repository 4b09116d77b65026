// SPDX-License-Identifier: GPL-2.0
//! Things that name one another by number, not by address.
//!
//! An [`Id`] is a place and how often that place was used before, so that one that was
//! kept for too long leads nowhere, not to somebody else.
//!
//! Context: as the owner of the arena; only [`Arena::reserve`] allocates.

#![forbid(unsafe_code)]

use crate::load::reason::Failure::NoMemory;
use crate::load::reason::Tried;
use core::cmp::Ordering;
use core::fmt;
use core::marker::PhantomData;
use core::mem::size_of;
use kernel::prelude::*;

/// Names something in an `Arena<T>`.
pub struct Id<T> {
    place: u32,
    /// From 1 to [`LAST`].
    generation: u32,
    of: PhantomData<fn() -> T>,
}

/// So that the bits of an id fit into an entry of an xarray, which has 63.
const LAST: u32 = u32::MAX >> 1;

impl<T> Id<T> {
    /// It as a number, for who knows nothing of types; never 0.
    pub fn bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.place)
    }

    /// What [`Id::bits`] gave; none for 0.
    pub fn from_bits(bits: u64) -> Option<Id<T>> {
        (bits != 0).then_some(Id {
            place: bits as u32,
            generation: (bits >> 32) as u32,
            of: PhantomData,
        })
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Id<T> {
        *self
    }
}

impl<T> Copy for Id<T> {}

impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Id<T>) -> bool {
        self.bits() == other.bits()
    }
}

impl<T> Eq for Id<T> {}

impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Id<T>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Id<T>) -> Ordering {
        self.bits().cmp(&other.bits())
    }
}

impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.place, self.generation)
    }
}

struct Entry<T> {
    generation: u32,
    /// If there is no value: the next entry without one.
    next_free: Option<u32>,
    value: Option<T>,
}

/// See the module documentation.
pub struct Arena<T> {
    /// Each with room for `PER_CHUNK` entries, so that no allocation is large.
    chunks: Vec<Vec<Entry<T>>>,
    free: Option<u32>,
    len: usize,
    /// Of entries that have not been used.
    first_generation: u32,
}

/// Room for one more.
pub struct Room<'a, T>(&'a mut Arena<T>);

impl<T> Arena<T> {
    /// As many as fit into a page.
    const PER_CHUNK: usize = match 4096 / size_of::<Entry<T>>() {
        0 => 1,
        n => n,
    };

    pub const fn new() -> Arena<T> {
        Arena {
            chunks: Vec::new(),
            free: None,
            len: 0,
            first_generation: 1,
        }
    }

    /// How many there are.
    #[allow(dead_code)] // Tests ask.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes room for one more, which is all that can fail.  May sleep.
    pub fn reserve(&mut self) -> Tried<Room<'_, T>> {
        let full = |chunk: &Vec<Entry<T>>| chunk.len() == Self::PER_CHUNK;
        if self.free.is_none() && self.chunks.last().map_or(true, full) {
            if self.chunks.len() == u32::MAX as usize / Self::PER_CHUNK {
                return Err(NoMemory);
            }
            let mut chunk = Vec::new();
            chunk.try_reserve(Self::PER_CHUNK).map_err(|_| NoMemory)?;
            self.chunks.try_push(chunk).map_err(|_| NoMemory)?;
        }
        Ok(Room(self))
    }

    fn entry(&self, id: Id<T>) -> Option<&Entry<T>> {
        let place = id.place as usize;
        let chunk = self.chunks.get(place / Self::PER_CHUNK)?;
        let entry = chunk.get(place % Self::PER_CHUNK)?;
        (entry.generation == id.generation).then_some(entry)
    }

    fn entry_mut(&mut self, id: Id<T>) -> Option<&mut Entry<T>> {
        let place = id.place as usize;
        let chunk = self.chunks.get_mut(place / Self::PER_CHUNK)?;
        let entry = chunk.get_mut(place % Self::PER_CHUNK)?;
        (entry.generation == id.generation).then_some(entry)
    }

    /// What has the name `id`.
    pub fn get(&self, id: Id<T>) -> Option<&T> {
        self.entry(id)?.value.as_ref()
    }

    /// As [`Arena::get`].
    pub fn get_mut(&mut self, id: Id<T>) -> Option<&mut T> {
        self.entry_mut(id)?.value.as_mut()
    }

    /// What must have the name `id`.  If nothing does we have lost count, and say so.
    pub fn at(&self, id: Id<T>) -> Tried<&T> {
        self.get(id).ok_or_else(|| lost(id))
    }

    /// As [`Arena::at`].
    pub fn at_mut(&mut self, id: Id<T>) -> Tried<&mut T> {
        self.get_mut(id).ok_or_else(|| lost(id))
    }

    /// Takes it out; its name leads nowhere from now on.
    pub fn remove(&mut self, id: Id<T>) -> Option<T> {
        let free = self.free;
        let entry = self.entry_mut(id)?;
        let value = entry.value.take()?;
        entry.generation += 1;
        // A place that was used so often is not used again.
        if entry.generation < LAST {
            entry.next_free = free;
            self.free = Some(id.place);
        }
        self.len -= 1;
        if self.len == 0 {
            self.give_back();
        }
        Some(value)
    }

    /// Frees the memory of an arena with nothing in it.
    fn give_back(&mut self) {
        let entries = self.chunks.iter().flat_map(|chunk| chunk.iter());
        let last = entries.map(|entry| entry.generation).max().unwrap_or(1);
        if last < LAST {
            self.first_generation = last;
            self.chunks = Vec::new();
            self.free = None;
        }
    }

    /// All of them, with their names.
    pub fn iter(&self) -> impl Iterator<Item = (Id<T>, &T)> {
        self.chunks.iter().enumerate().flat_map(|(i, chunk)| {
            chunk.iter().enumerate().filter_map(move |(j, entry)| {
                let id = Id {
                    place: (i * Self::PER_CHUNK + j) as u32,
                    generation: entry.generation,
                    of: PhantomData,
                };
                entry.value.as_ref().map(|value| (id, value))
            })
        })
    }

    /// All of them, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let entries = self.chunks.iter_mut().flat_map(|chunk| chunk.iter_mut());
        entries.filter_map(|entry| entry.value.as_mut())
    }
}

#[cold]
fn lost<T>(id: Id<T>) -> crate::load::reason::Failure {
    debug_assert!(false, "{:?} leads nowhere", id);
    pr_err!("WARNING: {:?} leads nowhere\n", id);
    NoMemory
}

impl<T> Room<'_, T> {
    /// Puts it there.
    pub fn insert(self, value: T) -> Id<T> {
        let arena = self.0;
        arena.len += 1;
        let (place, generation) = match arena.free {
            Some(place) => arena.reuse(place, value),
            None => arena.append(value),
        };
        Id {
            place,
            generation,
            of: PhantomData,
        }
    }
}

impl<T> Arena<T> {
    fn reuse(&mut self, place: u32, value: T) -> (u32, u32) {
        let i = place as usize;
        let entry = &mut self.chunks[i / Self::PER_CHUNK][i % Self::PER_CHUNK];
        self.free = entry.next_free.take();
        entry.value = Some(value);
        (place, entry.generation)
    }

    /// The last chunk has room.
    fn append(&mut self, value: T) -> (u32, u32) {
        let generation = self.first_generation;
        let before = (self.chunks.len() - 1) * Self::PER_CHUNK;
        let last = &mut self.chunks[before / Self::PER_CHUNK];
        let place = (before + last.len()) as u32;
        let _ = last.try_push(Entry {
            generation,
            next_free: None,
            value: Some(value),
        });
        (place, generation)
    }
}
