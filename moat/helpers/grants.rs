// SPDX-License-Identifier: GPL-2.0
//! What a run holds: what helpers have given it, to be given back.
//!
//! C header: `arch/x86/include/asm/moat.h`, `struct moat_grants`.  A program has a name for
//! each, an address that it may lose or forge: only what is found here under that name, and
//! is of the right kind, reaches a helper (I3), and what is left when a run is stopped is
//! given back from here (I6).  Only the run's CPU touches it; nothing is kept across calls.
//!
//! One record and nothing else need not be listed: `run/record_calls.S` has it where the run
//! is, and it gets here once anything else asks what the run holds.

#![forbid(unsafe_code)]

use crate::edge::off;
use core::cell::Cell;

/// What it is that is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Kind {
    /// Of a ring buffer.  Its name is where the program fills it in.
    Record = 1,
    /// Any `struct sock_common`, once however often the run has got it: programs compare
    /// names.  That is where a program has the copy of what it reads of it.
    Socket = 2,
    /// Of a map value.  Its name is where the value would have it.
    Lock = 3,
    /// An entry of the connection tracker, once however often the run has got it, and named
    /// as a socket is.
    Conn = 4,
    /// One that is not in the tracker's table yet, and nobody else's.
    NewConn = 5,
}

/// Why a run has a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Has {
    /// It has a reference, one more with each time, to give back.
    Reference,
    /// The context has one, for as long as it says so.
    Context,
    /// It listens, and is not freed before the run ends.
    Listener,
    /// Something that it has is a part of it, for now.  Its memory is of one such socket or
    /// another until the run ends: it is for reading, and no helper is given it.
    Part,
}

/// A structure of the kernel's that a program takes a socket for: `enum moat_struct`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Struct {
    Tcp = 0,
    Tcp6 = 1,
    TcpTimewait = 2,
    TcpRequest = 3,
    Udp6 = 4,
    Unix = 5,
    Mptcp = 6,
}

impl Struct {
    pub const ALL: [Struct; 7] = [
        Struct::Tcp,
        Struct::Tcp6,
        Struct::TcpTimewait,
        Struct::TcpRequest,
        Struct::Udp6,
        Struct::Unix,
        Struct::Mptcp,
    ];

    const fn bit(self) -> u32 {
        STRUCT << self as u32
    }
}

/// In the size of a socket: how many references, what else keeps it, and which structures the
/// program has taken it for, a bit each.
const REFS: u32 = STRUCT - 1;
const CONTEXT: u32 = 1 << 31;
const LISTENER: u32 = 1 << 30;
const PART: u32 = 1 << 29;
const STRUCT: u32 = 1 << 20;
const STRUCTS: u32 = 0x7f << 20;

/// Bytes from the copy of a socket, `struct bpf_sock`, to what there is more of TCP's,
/// `struct bpf_tcp_sock`, and of both; behind that is what it reads of the kernel's structures.
pub const TCP_COPY: u64 = 80;
pub const SOCKET_COPY: u64 = TCP_COPY + 112;

/// Bytes of the copy of a connection: the beginning of a `struct nf_conn`.
pub const CONN_COPY: u64 = 320;

/// The kernel's address of something that a helper returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Object(u64);

impl Object {
    /// None is NULL.  Only for what the helper has just returned.
    #[inline(always)]
    pub const fn returned(addr: u64) -> Option<Object> {
        match addr {
            0 => None,
            addr => Some(Object(addr)),
        }
    }

    #[inline(always)]
    pub const fn addr(self) -> u64 {
        self.0
    }
}

/// `struct moat_grant`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Entry {
    name: u64,
    /// 0: this one is free.
    object: u64,
    /// Where the slot has room for a record; fixed when the program is loaded.
    place: u64,
    /// In bytes.
    size: u32,
    kind: u32,
}

impl Entry {
    /// A free one.
    pub const fn at(place: u64) -> Entry {
        Entry {
            name: 0,
            object: 0,
            place,
            size: 0,
            kind: 0,
        }
    }

    const fn is(&self, kind: Kind) -> bool {
        self.kind == kind as u32
    }

    const fn times(&self) -> u32 {
        match self.is(Kind::Socket) || self.is(Kind::Conn) {
            true => self.size & REFS,
            false => 1,
        }
    }

    /// What it adds to the number of all that are held: locks are counted in the upper half,
    /// where `moat_unlocked` looks for them.
    #[inline(always)]
    const fn counts_as(self) -> u64 {
        match self.is(Kind::Lock) {
            true => 1 << 32,
            false => self.times() as u64,
        }
    }

    /// As words of memory.
    pub const fn words(self) -> [u64; 4] {
        let last = self.size as u64 | (self.kind as u64) << 32;
        [self.name, self.object, self.place, last]
    }
}

/// Something that the run holds, or held until just now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    entry: Entry,
}

impl Held {
    #[inline(always)]
    pub const fn object(&self) -> Object {
        Object(self.entry.object)
    }

    /// Where the program has it.
    #[inline(always)]
    pub const fn name(&self) -> u64 {
        self.entry.name
    }

    /// In bytes.
    #[inline(always)]
    pub const fn size(&self) -> u32 {
        self.entry.size
    }

    #[inline(always)]
    pub const fn is(&self, kind: Kind) -> bool {
        self.entry.is(kind)
    }

    /// Where the program has what there is more of a TCP socket.
    #[inline(always)]
    pub const fn tcp_name(&self) -> u64 {
        self.entry.name.wrapping_add(TCP_COPY)
    }

    /// Whether the program has taken it for such a structure.
    pub const fn is_taken_for(&self, what: Struct) -> bool {
        self.entry.is(Kind::Socket) && self.entry.size & what.bit() != 0
    }

    /// How often it is to be given back.
    #[inline(always)]
    pub const fn times(&self) -> u32 {
        self.entry.times()
    }
}

/// What `moat_run.holds` is while anything is listed.
const LISTED: i32 = -1;

/// How many are listed, and `moat_run.holds`, by which gates know whether any are.
#[derive(Clone, Copy)]
struct Count<'a> {
    held: &'a Cell<u64>,
    holds: &'a Cell<i32>,
}

impl Count<'_> {
    #[inline(always)]
    fn set(self, held: u64) {
        self.held.set(held);
        self.holds.set(match held {
            0 => 0,
            _ => LISTED,
        });
    }

    #[inline(always)]
    fn add(self, more: u64) {
        self.set(self.held.get().wrapping_add(more));
    }

    #[inline(always)]
    fn take(self, less: u64) {
        self.set(self.held.get().wrapping_sub(less));
    }
}

/// A place that is free.
pub struct Room<'a> {
    count: Count<'a>,
    entry: &'a Cell<Entry>,
}

impl Room<'_> {
    /// Takes note of a record of `size` bytes, which the program is to have where there is
    /// room for it.
    #[inline(always)]
    pub fn hold_record(self, object: Object, size: u32) -> Held {
        let place = self.entry.get().place;
        self.hold(Entry {
            name: place,
            object: object.0,
            place,
            size,
            kind: Kind::Record as u32,
        })
    }

    /// Takes note of a lock that the program calls `name`.
    #[inline(always)]
    pub fn hold_lock(self, object: Object, name: u64) -> Held {
        let place = self.entry.get().place;
        self.hold(Entry {
            name,
            object: object.0,
            place,
            size: 0,
            kind: Kind::Lock as u32,
        })
    }

    #[inline(always)]
    fn hold(self, entry: Entry) -> Held {
        self.entry.set(entry);
        self.count.add(entry.counts_as());
        Held { entry }
    }
}

/// See the module documentation.
pub struct Grants<'a> {
    count: Count<'a>,
    entries: &'a [Cell<Entry>],
}

impl<'a> Grants<'a> {
    /// `held` is how many of `entries` are not free.  If a record is not listed, as `holds`
    /// has it, then none is, and that becomes the first: `record` is the kernel's address.
    #[inline(always)]
    pub fn new(
        held: &'a Cell<u64>,
        holds: &'a Cell<i32>,
        entries: &'a [Cell<Entry>],
        record: impl FnOnce() -> u64,
    ) -> Grants<'a> {
        let count = Count { held, holds };
        let grants = Grants { count, entries };
        if let Ok(words @ 1..) = u32::try_from(holds.get()) {
            grants.list(record(), 8 * (words - 1));
        }
        grants
    }

    /// The program has been told that the record is where the first has its place.
    #[inline(never)]
    fn list(&self, object: u64, size: u32) {
        if let (Some(entry), Some(object)) = (self.entries.first(), Object::returned(object)) {
            let count = self.count;
            Room { count, entry }.hold_record(object, size);
        }
    }

    /// How many are held.
    #[inline(always)]
    pub fn held(&self) -> u64 {
        let held = self.count.held.get();
        (held & u64::from(u32::MAX)) + (held >> 32)
    }

    /// One that is free.
    #[inline(always)]
    pub fn room(&self) -> Option<Room<'a>> {
        let free = |entry: &&Cell<Entry>| entry.get().object == 0;
        let entry = self.entries.iter().find(free)?;
        Some(Room {
            count: self.count,
            entry,
        })
    }

    /// Whether it may be given one more of anything: there are as many places as the program
    /// may hold references, also if several are on one socket.
    pub fn has_room(&self) -> bool {
        self.held() < self.entries.len() as u64 && self.room().is_some()
    }

    /// What the program has under `name`, if it is of this kind.
    #[inline(always)]
    pub fn find(&self, kind: Kind, name: u64) -> Option<Held> {
        self.entry_of(kind, name)
            .map(|entry| Held { entry: entry.get() })
    }

    /// The same, and the program has it no more.
    #[inline(always)]
    pub fn release(&self, kind: Kind, name: u64) -> Option<Held> {
        self.entry_of(kind, name).map(|entry| self.free(entry))
    }

    /// Any, until there is none; of a socket all references at once, or none.
    pub fn release_any(&self) -> Option<Held> {
        let held = |entry: &&Cell<Entry>| entry.get().object != 0;
        self.entries.iter().find(held).map(|entry| self.free(entry))
    }

    /// Takes note of a socket.  None if there is no room.
    pub fn hold_socket(&self, object: Object, has: Has) -> Option<Held> {
        let known = self.sockets().find(|cell| cell.get().object == object.0);
        let free = || self.entries.iter().find(|cell| cell.get().object == 0);
        let cell = known.or_else(free)?;
        let mut entry = cell.get();
        if entry.object == 0 {
            entry.name = entry.place;
            entry.object = object.0;
            entry.kind = Kind::Socket as u32;
            entry.size = 0;
        }
        match has {
            Has::Reference => {
                entry.size += 1;
                self.count.add(1);
            }
            Has::Context => entry.size |= CONTEXT,
            Has::Listener => entry.size |= LISTENER,
            Has::Part => entry.size |= PART,
        }
        cell.set(entry);
        Some(Held { entry })
    }

    /// The program takes the kernel's `object`, which it has, for such a structure.
    pub fn take_for(&self, object: Object, what: Struct) -> Option<Held> {
        let cell = self.sockets().find(|cell| cell.get().object == object.0)?;
        let mut entry = cell.get();
        entry.size |= what.bit();
        cell.set(entry);
        Some(Held { entry })
    }

    /// Those that it has taken for any.
    pub fn taken(&self) -> impl Iterator<Item = Held> + 'a {
        let taken = |entry: &Entry| entry.size & STRUCTS != 0;
        let entries = self.sockets().map(Cell::get).filter(taken);
        entries.map(|entry| Held { entry })
    }

    /// The socket that the program has under `name`.
    pub fn socket(&self, name: u64) -> Option<Held> {
        let entry = self.socket_cell(name)?.get();
        Some(Held { entry })
    }

    /// That which is the kernel's `object`.
    pub fn socket_of(&self, object: Object) -> Option<Held> {
        let mut entries = self.sockets().map(Cell::get);
        let entry = entries.find(|entry| entry.object == object.0)?;
        Some(Held { entry })
    }

    /// The same, and the program has one reference less; none if it had none.
    pub fn put_socket(&self, name: u64) -> Option<Held> {
        let cell = self.socket_cell(name)?;
        let entry = cell.get();
        if entry.times() == 0 {
            return None;
        }
        self.count.take(1);
        self.keep(cell, entry.size - 1);
        Some(Held { entry })
    }

    /// The context's socket is `object` now.  None if there is none, or no room.
    pub fn set_context(&self, object: Option<Object>) -> Option<Held> {
        let before = self.sockets().filter(|cell| {
            let entry = cell.get();
            entry.size & CONTEXT != 0 && Object::returned(entry.object) != object
        });
        for cell in before {
            self.keep(cell, cell.get().size & !CONTEXT);
        }
        self.hold_socket(object?, Has::Context)
    }

    /// A run begins: what others kept for the last one it has no more.
    pub fn forget_kept(&self) {
        for cell in self.sockets() {
            self.keep(cell, cell.get().size & REFS);
        }
    }

    fn sockets(&self) -> impl Iterator<Item = &'a Cell<Entry>> {
        let held = |cell: &&Cell<Entry>| cell.get().object != 0 && cell.get().is(Kind::Socket);
        self.entries.iter().filter(held)
    }

    fn socket_cell(&self, name: u64) -> Option<&'a Cell<Entry>> {
        let mut held = self
            .sockets()
            .filter(|cell| cell.get().size & !(PART | STRUCTS) != 0);
        held.find(|cell| {
            let its = cell.get().name;
            its == name || its.wrapping_add(TCP_COPY) == name || off::names()
        })
    }

    /// Takes note of one more reference on a connection, or of a new one.  None if there is no
    /// room.
    pub fn hold_conn(&self, kind: Kind, object: Object) -> Option<Held> {
        let is = |cell: &&Cell<Entry>| cell.get().object == object.0 && cell.get().is(kind);
        let known = self.entries.iter().find(is);
        let free = || self.entries.iter().find(|cell| cell.get().object == 0);
        let cell = known.or_else(free)?;
        let mut entry = cell.get();
        if entry.object == 0 {
            entry.name = entry.place;
            entry.object = object.0;
            entry.kind = kind as u32;
            entry.size = 0;
        }
        entry.size += 1;
        self.count.add(1);
        cell.set(entry);
        Some(Held { entry })
    }

    /// The new connection `object` is in the tracker's table, or else it is gone.  None if it
    /// is.
    pub fn inserted(&self, object: Object, is: bool) -> Option<Held> {
        let new =
            |cell: &&Cell<Entry>| cell.get().object == object.0 && cell.get().is(Kind::NewConn);
        let cell = self.entries.iter().find(new)?;
        if !is {
            self.free(cell);
            return None;
        }
        let entry = Entry {
            kind: Kind::Conn as u32,
            ..cell.get()
        };
        cell.set(entry);
        Some(Held { entry })
    }

    /// The connection that the program has under `name`, and on which it has one reference
    /// less.
    pub fn put_conn(&self, name: u64) -> Option<Held> {
        let cell = self.entry_of(Kind::Conn, name)?;
        let entry = cell.get();
        self.count.take(1);
        self.keep(cell, entry.size - 1);
        Some(Held { entry })
    }

    /// What keeps the object in `cell` is `size`, if anything.
    fn keep(&self, cell: &Cell<Entry>, size: u32) {
        let entry = cell.get();
        cell.set(match size & !STRUCTS {
            0 => Entry::at(entry.place),
            _ => Entry { size, ..entry },
        });
    }

    #[inline(always)]
    fn entry_of(&self, kind: Kind, name: u64) -> Option<&'a Cell<Entry>> {
        self.entries.iter().find(|entry| {
            let entry = entry.get();
            let named = entry.name == name || off::names();
            entry.object != 0 && named && entry.kind == kind as u32
        })
    }

    #[inline(always)]
    fn free(&self, cell: &Cell<Entry>) -> Held {
        let entry = cell.get();
        cell.set(Entry::at(entry.place));
        self.count.take(entry.counts_as());
        Held { entry }
    }
}
