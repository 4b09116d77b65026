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
use core::num::NonZeroU64;
use kernel::prelude::*;

/// Names something in an `Arena<T>`.
pub struct Id<T> {
    /// The place, below [`PLACES`], and above that the generation, from 1 to [`LAST`].
    bits: NonZeroU64,
    of: PhantomData<fn() -> T>,
}

/// More than the window has room for.
const PLACES: u64 = 1 << 24;
/// So that an id and another bit fit into an entry of an xarray, which has 63 bits.
const LAST: u64 = (1 << 38) - 1;

impl<T> Id<T> {
    fn new(place: usize, generation: u64) -> Id<T> {
        let bits = NonZeroU64::new(generation * PLACES + place as u64);
        Id {
            bits: bits.expect("generations begin at 1"),
            of: PhantomData,
        }
    }

    fn place(self) -> usize {
        (self.bits() % PLACES) as usize
    }

    fn generation(self) -> u64 {
        self.bits() / PLACES
    }

    /// It as a number, for who knows nothing of types; never 0.
    pub fn bits(self) -> u64 {
        self.bits.get()
    }

    /// What [`Id::bits`] gave; none for 0.
    pub fn from_bits(bits: u64) -> Option<Id<T>> {
        let bits = NonZeroU64::new(bits)?;
        Some(Id {
            bits,
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
        write!(f, "{}.{}", self.place(), self.generation())
    }
}

struct Entry<T> {
    generation: u64,
    value: Option<T>,
}

/// So many entries that no allocation is large.
struct Chunk<T> {
    /// A bit for each entry with a value, or that is not to be used again.
    taken: u64,
    /// Those that were ever used, up to [`Arena::PER_CHUNK`]; none if none is taken.
    entries: Vec<Entry<T>>,
}

/// See the module documentation.  What it holds is proportional to what is in it, within a
/// chunk: places are used from the lowest on.
pub struct Arena<T> {
    /// The last one has something in it.
    chunks: Vec<Chunk<T>>,
    /// All chunks before this one are full.
    full: usize,
    len: usize,
    /// Of entries that are made anew: no place has been used in it.
    generation: u64,
}

/// Room for one more.
pub struct Room<'a, T>(&'a mut Arena<T>);

impl<T> Arena<T> {
    /// As many as fit into a page.
    const PER_CHUNK: usize = match 4096 / size_of::<Entry<T>>() {
        0 => 1,
        n if n > 64 => 64,
        n => n,
    };

    pub const fn new() -> Arena<T> {
        Arena {
            chunks: Vec::new(),
            full: 0,
            len: 0,
            generation: 1,
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
        let is_full = |chunk: &Chunk<T>| chunk.taken.trailing_ones() as usize >= Self::PER_CHUNK;
        while matches!(self.chunks.get(self.full), Some(chunk) if is_full(chunk)) {
            self.full += 1;
        }
        if self.full >= PLACES as usize / Self::PER_CHUNK {
            return Err(NoMemory);
        }
        if self.full == self.chunks.len() {
            self.chunks.try_reserve(1).map_err(|_| NoMemory)?;
        }
        let mut anew = Vec::new();
        match self.chunks.get_mut(self.full) {
            Some(chunk) if !chunk.entries.is_empty() => return Ok(Room(self)),
            _ => anew.try_reserve(Self::PER_CHUNK).map_err(|_| NoMemory)?,
        }
        match self.chunks.get_mut(self.full) {
            Some(chunk) => chunk.entries = anew,
            // There is room.
            None => {
                let _ = self.chunks.try_push(Chunk {
                    taken: 0,
                    entries: anew,
                });
            }
        }
        Ok(Room(self))
    }

    fn entry(&self, id: Id<T>) -> Option<&Entry<T>> {
        let chunk = self.chunks.get(id.place() / Self::PER_CHUNK)?;
        let entry = chunk.entries.get(id.place() % Self::PER_CHUNK)?;
        (entry.generation == id.generation()).then_some(entry)
    }

    fn entry_mut(&mut self, id: Id<T>) -> Option<&mut Entry<T>> {
        let chunk = self.chunks.get_mut(id.place() / Self::PER_CHUNK)?;
        let entry = chunk.entries.get_mut(id.place() % Self::PER_CHUNK)?;
        (entry.generation == id.generation()).then_some(entry)
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
        let value = self.entry_mut(id)?.value.take()?;
        let i = id.place() / Self::PER_CHUNK;
        let chunk = self.chunks.get_mut(i)?;
        let entry = chunk.entries.get_mut(id.place() % Self::PER_CHUNK)?;
        entry.generation += 1;
        self.len -= 1;
        // A place that was used so often is not used again.
        if entry.generation < LAST {
            self.generation = self.generation.max(entry.generation);
            chunk.taken &= !(1 << (id.place() % Self::PER_CHUNK));
            self.full = self.full.min(i);
        }
        if chunk.taken == 0 {
            chunk.entries = Vec::new();
            while matches!(self.chunks.last(), Some(last) if last.taken == 0) {
                self.chunks.pop();
            }
            if self.chunks.is_empty() {
                self.chunks = Vec::new();
            }
        }
        Some(value)
    }

    /// All of them, with their names.
    pub fn iter(&self) -> impl Iterator<Item = (Id<T>, &T)> {
        self.chunks.iter().enumerate().flat_map(|(i, chunk)| {
            let entries = chunk.entries.iter().enumerate();
            entries.filter_map(move |(j, entry)| {
                let value = entry.value.as_ref()?;
                Some((Id::new(i * Self::PER_CHUNK + j, entry.generation), value))
            })
        })
    }

    /// All of them, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let chunks = self.chunks.iter_mut();
        let entries = chunks.flat_map(|chunk| chunk.entries.iter_mut());
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
    #[inline(always)]
    pub fn insert(self, value: T) -> Id<T> {
        let (i, generation) = (self.0.full, self.0.generation);
        let chunk = &mut self.0.chunks[i];
        // `reserve` has seen that it is not full, and made room for all it may have.
        let j = chunk.taken.trailing_ones() as usize;
        chunk.taken |= 1 << j;
        self.0.len += 1;
        let generation = match chunk.entries.get_mut(j) {
            Some(entry) => {
                entry.value = Some(value);
                entry.generation
            }
            None => {
                let _ = chunk.entries.try_push(Entry {
                    generation,
                    value: Some(value),
                });
                generation
            }
        };
        Id::new(i * Arena::<T>::PER_CHUNK + j, generation)
    }
}
