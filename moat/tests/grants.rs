// SPDX-License-Identifier: GPL-2.0
//! The table of what a run holds, against a list.

use moat_logic::helpers::grants::*;
use proptest::prelude::*;
use std::cell::Cell;

const PLACE: u64 = 0xffff_fe80_0020_0000;
const SIZE: u64 = SOCKET_COPY;

struct Table {
    held: Cell<u64>,
    /// `moat_run.holds`, and the record that this is about
    holds: Cell<i32>,
    record: Cell<u64>,
    entries: Vec<Cell<Entry>>,
}

impl Table {
    fn new(nr: usize) -> Table {
        let places = (0..nr as u64).map(|i| PLACE + SIZE * i);
        Table {
            held: Cell::new(0),
            holds: Cell::new(0),
            record: Cell::new(0xbad),
            entries: places.map(|place| Cell::new(Entry::at(place))).collect(),
        }
    }

    fn grants(&self) -> Grants<'_> {
        Grants::new(&self.held, &self.holds, &self.entries, || self.record.get())
    }

    /// `moat_record_reserve`: false if it leaves that to the audit.
    fn reserves(&self, object: u64, size: u32) -> bool {
        if self.holds.get() != 0 {
            return false;
        }
        self.holds.set(1 + (size as i32 + 7) / 8);
        self.record.set(object);
        true
    }

    /// `moat_record_submit`: the record, and its length in bytes.
    fn submits(&self, name: u64) -> Option<(u64, u32)> {
        if name != self.entries[0].get().words()[2] || self.holds.get() <= 0 {
            return None;
        }
        let words = self.holds.replace(0) - 1;
        Some((self.record.get(), 8 * words as u32))
    }
}

fn object(addr: u64) -> Object {
    Object::returned(addr).unwrap()
}

#[test]
fn null_is_no_object() {
    assert_eq!(Object::returned(0), None);
    assert_eq!(object(8).addr(), 8);
}

#[test]
fn a_program_without_room_holds_nothing() {
    let table = Table::new(0);
    assert!(table.grants().room().is_none());
    assert!(table.grants().release_any().is_none());
}

#[test]
fn an_entry_is_as_the_gates_have_it() {
    let table = Table::new(1);
    table
        .grants()
        .room()
        .unwrap()
        .hold_record(object(0x1000), 17);
    let words = table.entries[0].get().words();
    assert_eq!(
        words,
        [PLACE, 0x1000, PLACE, 17 | (Kind::Record as u64) << 32]
    );
    assert_eq!(Entry::at(PLACE).words(), [0, 0, PLACE, 0]);
}

/// What a program, or a gate, may do with the table.
#[derive(Clone, Debug)]
enum Step {
    Reserve(u32),
    /// Give back under the name of place `0`, plus `1`.
    Release(u64, u64),
    GiveAllBack,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..SIZE as u32).prop_map(Step::Reserve),
        4 => (0..6_u64, prop_oneof![4 => Just(0), 1 => 1..SIZE]).prop_map(|(i, off)| Step::Release(i, off)),
        1 => Just(Step::GiveAllBack),
    ]
}

proptest! {
    /// Nothing is released twice, under another name, or forgotten; no two have one place.
    #[test]
    fn it_is_a_list(nr in 0..5_usize, steps in prop::collection::vec(step(), 0..60)) {
        let table = Table::new(nr);
        let grants = table.grants();
        let mut list: Vec<(u64, u64, u32)> = Vec::new();
        let mut next = 0xffff_8880_0000_0000;
        for step in steps {
            match step {
                Step::Reserve(size) => match grants.room() {
                    None => prop_assert_eq!(list.len(), nr),
                    Some(room) => {
                        next += 8;
                        let held = room.hold_record(object(next), size);
                        prop_assert!(held.is(Kind::Record));
                        prop_assert!(list.iter().all(|one| one.0 != held.name()));
                        let off = held.name() - PLACE;
                        prop_assert!(off % SIZE == 0 && off / SIZE < nr as u64);
                        list.push((held.name(), next, size));
                    }
                },
                Step::Release(i, off) => {
                    let name = PLACE + SIZE * i + off;
                    let at = list.iter().position(|one| one.0 == name);
                    let found = grants.find(Kind::Record, name);
                    let released = grants.release(Kind::Record, name);
                    prop_assert_eq!(found, released);
                    let ours = at.map(|at| list.remove(at));
                    let theirs = released.map(|held| {
                        (held.name(), held.object().addr(), held.size())
                    });
                    prop_assert_eq!(theirs, ours);
                }
                Step::GiveAllBack => {
                    let mut objects = Vec::new();
                    while let Some(held) = grants.release_any() {
                        objects.push(held.object().addr());
                    }
                    objects.sort_unstable();
                    let mut ours: Vec<_> = list.drain(..).map(|one| one.1).collect();
                    ours.sort_unstable();
                    prop_assert_eq!(objects, ours);
                }
            }
            prop_assert_eq!(grants.held(), list.len() as u64);
        }
    }
}

/// What a program may do with records of which the gates list as few as they can.
#[derive(Clone, Debug)]
enum Call {
    /// So many bytes; audited, or as the site does it
    Reserve(u32, bool),
    /// Of place `0`
    Submit(u64, bool),
    /// Something else that asks for the table
    Ask,
    /// The run ends.
    End,
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        4 => (0..=4096_u32, any::<bool>()).prop_map(|(size, audited)| Call::Reserve(size, audited)),
        4 => (0..4_u64, any::<bool>()).prop_map(|(i, audited)| Call::Submit(i, audited)),
        1 => Just(Call::Ask),
        1 => Just(Call::End),
    ]
}

proptest! {
    /// Whoever gives out a record, and whoever takes it back: each once, under the one name
    /// that it has; and gates see whether there is any.
    #[test]
    fn what_is_not_listed_is_held(nr in 1..4_usize, calls in prop::collection::vec(call(), 0..60)) {
        let table = Table::new(nr);
        let mut list: Vec<(u64, u64, u32)> = Vec::new();
        let mut next = 0xffff_8880_0000_0000;
        for call in calls {
            match call {
                Call::Reserve(size, audited) => {
                    next += 8;
                    let words = (size + 7) / 8 * 8;
                    if !audited && table.reserves(next, size) {
                        prop_assert!(list.is_empty());
                        list.push((PLACE, next, words));
                    } else if let Some(room) = table.grants().room() {
                        let held = room.hold_record(object(next), words);
                        prop_assert!(list.iter().all(|one| one.0 != held.name()));
                        list.push((held.name(), next, words));
                    } else {
                        prop_assert_eq!(list.len(), nr);
                    }
                }
                Call::Submit(i, audited) => {
                    let name = PLACE + SIZE * i;
                    let at = list.iter().position(|one| one.0 == name);
                    let ours = at.map(|at| list.remove(at)).map(|one| (one.1, one.2));
                    let quick = if audited { None } else { table.submits(name) };
                    let theirs = quick.or_else(|| {
                        let held = table.grants().release(Kind::Record, name);
                        held.map(|held| (held.object().addr(), held.size()))
                    });
                    prop_assert_eq!(theirs, ours);
                }
                Call::Ask => {
                    prop_assert_eq!(table.grants().held(), list.len() as u64);
                    prop_assert!(table.holds.get() <= 0);
                    prop_assert!(table.grants().find(Kind::Socket, PLACE).is_none());
                }
                Call::End => {
                    let grants = table.grants();
                    let mut objects: Vec<u64> = Vec::new();
                    while let Some(held) = grants.release_any() {
                        objects.push(held.object().addr());
                    }
                    objects.sort_unstable();
                    let mut ours: Vec<_> = list.drain(..).map(|one| one.1).collect();
                    ours.sort_unstable();
                    prop_assert_eq!(objects, ours);
                }
            }
            prop_assert_eq!(table.holds.get() == 0, list.is_empty());
        }
    }
}

#[test]
fn a_lock_is_told_from_what_else_is_held() {
    let table = Table::new(3);
    let grants = table.grants();
    grants.room().unwrap().hold_record(object(0x1000), 8);
    assert_eq!(table.held.get() >> 32, 0);
    grants.room().unwrap().hold_lock(object(0x2001), PLACE + 16);
    assert_eq!(grants.held(), 2);
    // `moat_unlocked`
    assert_eq!(table.held.get() >> 32, 1);
    assert_eq!(grants.release(Kind::Record, PLACE + 16), None);
    assert_eq!(grants.release(Kind::Lock, PLACE), None);
    let lock = grants.release(Kind::Lock, PLACE + 16).unwrap();
    assert_eq!(lock.object().addr(), 0x2001);
    assert_eq!(table.held.get() >> 32, 0);
    assert_eq!(table.held.get(), 1);
}

/// What a run may do with three sockets.
#[derive(Clone, Debug)]
enum Get {
    Reference(u64),
    Put(u64, bool),
    Context(Option<u64>),
    Listener(u64),
    Part(u64),
    Take(u64, usize),
    Begin,
}

fn get() -> impl Strategy<Value = Get> {
    prop_oneof![
        4 => (1..4_u64).prop_map(Get::Reference),
        4 => (1..4_u64, any::<bool>()).prop_map(|(socket, tcp)| Get::Put(socket, tcp)),
        2 => prop::option::of(1..4_u64).prop_map(Get::Context),
        2 => (1..4_u64).prop_map(Get::Listener),
        1 => (1..4_u64).prop_map(Get::Part),
        2 => (1..4_u64, 0..Struct::ALL.len()).prop_map(|(socket, what)| Get::Take(socket, what)),
        1 => Just(Get::Begin),
    ]
}

/// Who keeps a socket: references, the context, the run, what it is a part of.
type Kept = (u64, bool, bool, bool);

proptest! {
    /// A socket has one name while anybody keeps it, and none afterwards; references are counted.
    /// One that only something else is a part of no helper is given.  What it was taken for is
    /// known for as long.
    #[test]
    fn sockets_are_counted(nr in 0..4_usize, steps in prop::collection::vec(get(), 0..60)) {
        let table = Table::new(nr);
        let grants = table.grants();
        let mut kept: [Kept; 4] = Default::default();
        let mut names = [0; 4];
        let mut taken = [0_u32; 4];
        let count = |kept: &[Kept; 4]| kept.iter().filter(|k| **k != Kept::default()).count();
        for step in steps {
            let (got, socket) = match step {
                Get::Reference(s) => (grants.hold_socket(object(s << 8), Has::Reference), s),
                Get::Listener(s) => (grants.hold_socket(object(s << 8), Has::Listener), s),
                Get::Part(s) => (grants.hold_socket(object(s << 8), Has::Part), s),
                Get::Take(s, what) => {
                    let got = grants.take_for(object(s << 8), Struct::ALL[what]);
                    let had = kept[s as usize] != Kept::default();
                    prop_assert_eq!(got.is_some(), had);
                    taken[s as usize] |= u32::from(had) << what;
                    (None, 0)
                }
                Get::Context(s) => {
                    kept.iter_mut().for_each(|k| k.1 = false);
                    (grants.set_context(s.map(|s| object(s << 8))), s.unwrap_or(0))
                }
                Get::Put(s, tcp) => {
                    let name = names[s as usize] + if tcp { TCP_COPY } else { 0 };
                    let put = grants.put_socket(name);
                    prop_assert_eq!(put.is_some(), kept[s as usize].0 > 0);
                    kept[s as usize].0 -= u64::from(put.is_some());
                    (None, 0)
                }
                Get::Begin => {
                    grants.forget_kept();
                    kept.iter_mut().for_each(|k| *k = (k.0, false, false, false));
                    (None, 0)
                }
            };
            if socket != 0 {
                let known = kept[socket as usize] != Kept::default();
                prop_assert_eq!(got.is_some(), known || count(&kept) < nr);
            }
            if let Some(held) = got {
                let k = &mut kept[socket as usize];
                match step {
                    Get::Reference(_) => k.0 += 1,
                    Get::Context(_) => k.1 = true,
                    Get::Part(_) => k.3 = true,
                    _ => k.2 = true,
                }
                prop_assert_eq!(u64::from(held.times()), k.0);
                names[socket as usize] = held.name();
            }
            for s in 1..4 {
                let found = grants.socket_of(object((s as u64) << 8));
                prop_assert_eq!(found.is_some(), kept[s] != Kept::default());
                let named = found.and_then(|held| grants.socket(held.tcp_name()));
                let (refs, context, listens, _) = kept[s];
                let is_held = refs > 0 || context || listens;
                prop_assert_eq!(named, found.filter(|_| is_held));
                if found.is_none() || matches!(step, Get::Begin) {
                    taken[s] = 0;
                }
                for (i, what) in Struct::ALL.into_iter().enumerate() {
                    let is = found.map_or(false, |held| held.is_taken_for(what));
                    prop_assert_eq!(is, taken[s] & 1 << i != 0);
                }
                match found {
                    Some(held) => names[s] = held.name(),
                    None => names[s] = 0,
                }
            }
            let held: u64 = kept.iter().map(|k| k.0).sum();
            let all = taken.iter().filter(|bits| **bits != 0).count();
            prop_assert_eq!(grants.taken().count(), all);
            prop_assert_eq!(grants.held(), held);
            prop_assert_eq!(grants.has_room(), held < nr as u64 && count(&kept) < nr);
        }
        let mut times = 0;
        while let Some(held) = grants.release_any() {
            times += u64::from(held.times());
        }
        prop_assert_eq!(times, kept.iter().map(|k| k.0).sum::<u64>());
        prop_assert_eq!(grants.held(), 0);
    }
}

/// What a run may do with three connections.
#[derive(Clone, Debug)]
enum Conn {
    Get(u64),
    New(u64),
    Insert(u64, bool),
    Put(u64),
}

fn conn() -> impl Strategy<Value = Conn> {
    prop_oneof![
        3 => (1..4_u64).prop_map(Conn::Get),
        3 => (1..4_u64).prop_map(Conn::New),
        3 => (1..4_u64, any::<bool>()).prop_map(|(conn, is)| Conn::Insert(conn, is)),
        3 => (1..4_u64).prop_map(Conn::Put),
    ]
}

proptest! {
    /// A connection has one name from when it is made until its last reference is given back;
    /// until it is inserted it has no references to give back.
    #[test]
    fn connections_are_counted(nr in 0..4_usize, steps in prop::collection::vec(conn(), 0..60)) {
        let table = Table::new(nr);
        let grants = table.grants();
        // References, or a new one, and what it is called.
        let mut kept = [(0_u64, false, 0_u64); 4];
        for step in steps {
            let held: u64 = kept.iter().map(|k| k.0 + u64::from(k.1)).sum();
            let room = held < nr as u64;
            prop_assert_eq!(grants.has_room(), room);
            match step {
                // The kernel finds none that is not inserted, and makes none twice.
                Conn::Get(c) if room && !kept[c as usize].1 => {
                    let held = grants.hold_conn(Kind::Conn, object(c << 8)).unwrap();
                    let k = &mut kept[c as usize];
                    prop_assert!(k.0 == 0 || k.2 == held.name());
                    *k = (k.0 + 1, false, held.name());
                    prop_assert_eq!(u64::from(held.times()), k.0);
                }
                Conn::New(c) if room && kept[c as usize].0 == 0 && !kept[c as usize].1 => {
                    let held = grants.hold_conn(Kind::NewConn, object(c << 8)).unwrap();
                    kept[c as usize] = (0, true, held.name());
                    prop_assert_eq!(held.times(), 1);
                }
                Conn::Insert(c, is) => {
                    let k = &mut kept[c as usize];
                    let held = grants.inserted(object(c << 8), is);
                    prop_assert_eq!(held.is_some(), k.1 && is);
                    prop_assert!(held.map_or(true, |held| held.name() == k.2));
                    if k.1 {
                        *k = (u64::from(is), false, k.2);
                    }
                }
                Conn::Put(c) => {
                    let k = &mut kept[c as usize];
                    let put = grants.put_conn(k.2);
                    let other = kept.iter().position(|k| k.0 > 0 && k.2 == kept[c as usize].2);
                    prop_assert_eq!(put.map(|held| held.object().addr() >> 8), other.map(|c| c as u64));
                    if let Some(c) = other {
                        kept[c].0 -= 1;
                    }
                }
                _ => {}
            }
            for (c, k) in kept.iter().enumerate() {
                let named = |kind| grants.find(kind, k.2).map(|held| held.object().addr());
                let object = Some((c as u64) << 8);
                prop_assert_eq!(k.0 > 0 && named(Kind::Conn) == object, k.0 > 0);
                prop_assert_eq!(k.1 && named(Kind::NewConn) == object, k.1);
                prop_assert_eq!(grants.socket(k.2), None);
            }
        }
        let mut times = 0;
        while let Some(held) = grants.release_any() {
            times += u64::from(held.times());
        }
        prop_assert_eq!(times, kept.iter().map(|k| k.0 + u64::from(k.1)).sum::<u64>());
        prop_assert_eq!(grants.held(), 0);
    }
}
