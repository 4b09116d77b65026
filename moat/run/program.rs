// SPDX-License-Identifier: GPL-2.0
//! An isolated program: what its runs read.
//!
//! `prog->aux->moat` points to it from before verification until after the last run.
//! While it is being admitted who loads it has it alone; after that there are shared
//! references only, and each field is fixed, atomic, replaced by RCU, or the loading
//! thread's.

#![forbid(unsafe_code)]

use crate::code::loading::Loading;
use crate::edge::exclusive::Exclusive;
use crate::edge::ffi;
use crate::edge::fixed::Fixed;
use crate::edge::gates::Gates;
use crate::edge::maps::Map;
use crate::edge::off;
use crate::edge::plan::Plan;
use crate::edge::prog_aux::{Aux, KeptAux};
use crate::edge::rcu::{Rcu, Reader};
use crate::helpers::audit::MapInfo;
use crate::helpers::table::{KFUNCS, KFUNC_BASE};
use crate::maps::types::{MapTypes, RINGBUF};
use crate::pks::{Key, KeySet, Pkrs};
use crate::prog_types::{Level, ProgType};
use crate::state::arena::Id;
use crate::state::{Book, MapValues};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use kernel::bindings;
use kernel::prelude::*;

/// Copying more than this takes long enough to look at the clock, which the audited way does.
const SMALL: u32 = 4096;

/// A map this program uses.
#[derive(Clone, Copy)]
pub struct UsedMap {
    pub info: MapInfo,
    /// None if there are none in the window: they are maps, or out of programs' reach.
    pub values: Option<Values>,
}

/// How many values that it looks up a run can have copies of, if they differ.
pub const COPIES: u64 = 64;
/// Bytes of a slot for these: how many there are, and they themselves, before the snapshot.
pub const COPIES_SIZE: u64 = 8 + 8 * COPIES;

/// The maps that a program was loaded with.
pub struct OwnMaps {
    pub used: Vec<UsedMap>,
    /// How it calls those of them that it calls straight away.
    pub calls: Vec<ffi::moat_map_call>,
}

/// Where a program sees the values of a map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Values {
    /// First address.
    pub base: u64,
    /// In bytes.
    pub span: u64,
    /// Whether it may write them.
    pub writable: bool,
    /// Whether it gets pages as it is used: not all of `span` is there.
    pub grows: bool,
    /// Where in a value its lock would be, if it has one: an offset in bytes.
    pub lock: Option<u32>,
    /// The same of its timer.
    pub timer: Option<u32>,
}

impl UsedMap {
    pub fn new(map: Map<'_>, values: Option<&MapValues>) -> UsedMap {
        UsedMap {
            info: map.info(),
            values: values.map(|values| Values {
                base: values.base,
                span: values.span,
                writable: values.writable,
                grows: map.there() < values.span,
                lock: map.lock(),
                timer: map.timer(),
            }),
        }
    }
}

fn round_up(bytes: u32) -> u32 {
    (bytes + 7) & !7
}

/// The functions of a program that helpers may call, and where these have their stacks.
#[derive(Debug)]
pub struct Callbacks {
    /// Bit `n`: function `n` is one.
    pub functions: [u64; 4],
    /// How many there may be at a time, one called back by another.
    pub levels: u32,
    /// Bytes of stack that each of them has, as the program does, whose own is above.
    pub stack: u32,
    /// The largest key that one of them may be given, in bytes.
    pub key: u32,
    /// Whether timers may call them, too.
    pub timers: bool,
    /// Whether they may be given samples in place of keys.
    pub drains: bool,
    /// Whether the program walks over maps, and has to know what may have changed one.
    pub walks: bool,
}

impl Callbacks {
    pub fn new(functions: [u64; 4], most: u32, stack: u32, key: u32) -> Callbacks {
        let count: u32 = functions.iter().map(|word| word.count_ones()).sum();
        Callbacks {
            functions,
            levels: count.min(most),
            stack,
            key,
            timers: false,
            drains: false,
            walks: false,
        }
    }

    /// Bytes that one takes, with its key.
    fn room(&self) -> u32 {
        self.stack + round_up(self.key)
    }

    /// Bytes that all their stacks take.
    pub fn bytes(&self) -> u64 {
        u64::from(self.levels) * u64::from(self.room())
    }

    /// Whether function `n` is one.
    pub fn has(&self, n: usize) -> bool {
        let word = self.functions.get(n / 64);
        word.map_or(false, |word| word >> (n % 64) & 1 != 0)
    }

    /// Where the next one has its stack, `outer` being how many there are: bytes below the
    /// top of the program's, under a key of `key` bytes.  None if that is one too many.
    pub fn stack_of_next(&self, outer: u64, key: u32) -> Option<u32> {
        if outer >= self.levels.into() || key > self.key {
            return None;
        }
        Some(self.stack + outer as u32 * self.room() + round_up(key))
    }
}

/// See the module documentation.
#[repr(C)]
pub struct Program {
    /// What gates and entry code read; its address is in the images.
    pub gates: Gates,
    aux: KeptAux,
    /// Of its type.
    pub row: &'static ProgType,
    pub level: Level,
    /// Who loads it.
    pub by: ffi::Who,
    pub plan: Plan,
    /// The maps it was loaded with, once it is admitted.
    pub maps: Fixed<OwnMaps>,
    /// The maps it uses because these hold them.
    pub reached: Rcu<Vec<UsedMap>>,
    /// Its book, once it is admitted.
    pub book: Fixed<Id<Book>>,
    /// What the JIT's hooks gather.
    pub loading: Exclusive<Loading>,
    /// Until when, in jiffies, one more packet that came back does not count.
    pub loops_until: AtomicU64,
    /// How often packets came back to it for too long; see `run/sends.rs`.
    pub loops: AtomicU32,
    /// Whether somebody was told.
    pub loops_told: AtomicBool,
    /// Whether it calls one that may move the start of the packet, or of its metadata,
    /// down to old kernel memory, or looks at metadata whose start others may have moved.
    pub uncovers: bool,
    /// Whether it writes to socket buffers' packets itself, not by helpers alone.
    pub rewrites: bool,
    /// Whether its slots have room for copies of what it looks up: see `run/copies.rs`.
    pub has_copies: bool,
    /// Whether the log has said that a call of it was not made.
    pub told: AtomicBool,
    /// Whether it may hold a reference, or a record of a ring buffer.
    pub holds: bool,
    /// Whether it takes locks of map values.
    pub locks: bool,
    /// Whether it may have sockets that others keep for it: see `run/sockets.rs`.
    pub keeps: bool,
    /// Bytes of the largest record.
    pub record: u32,
    /// What few programs have, apart.
    pub rare: Option<Box<Rare>>,
}

/// What few programs have.
pub struct Rare {
    /// What of it helpers may call, if they call any of it.
    pub callbacks: Option<Callbacks>,
    /// Where those functions of the kernel's begin that it calls by name: `load/calls.rs`.
    pub kfuncs: [u64; KFUNCS],
}

impl Program {
    /// A candidate: no memory in the window yet.
    #[inline(always)]
    pub fn new(aux: KeptAux, row: &'static ProgType, level: Level, gates: Gates) -> Program {
        Program {
            gates,
            aux,
            row,
            level,
            by: ffi::Who::am_i(),
            plan: Plan::none(),
            maps: Fixed::new(),
            reached: Rcu::new(),
            book: Fixed::new(),
            loading: Exclusive::new(Loading::new()),
            loops_until: AtomicU64::new(0),
            loops: AtomicU32::new(0),
            loops_told: AtomicBool::new(false),
            uncovers: false,
            rewrites: false,
            has_copies: false,
            told: AtomicBool::new(false),
            record: 0,
            holds: false,
            rare: None,
            locks: false,
            keeps: false,
        }
    }

    /// What else the kernel knows of it.
    #[inline(always)]
    pub fn aux(&self) -> Aux<'_> {
        self.aux.get()
    }

    /// Whether it was stopped for good.
    pub fn is_dead(&self) -> bool {
        self.gates.flags().load(Ordering::Relaxed) & bindings::MOAT_DOM_DEAD != 0
    }

    /// Later runs return the verdict at once.  True for the first to say so.
    pub fn kill(&self) -> bool {
        let flags = self.gates.flags();
        let dead = match off::dead() {
            true => 0,
            false => bindings::MOAT_DOM_DEAD,
        };
        let old = flags.fetch_or(dead, Ordering::Relaxed);
        old & bindings::MOAT_DOM_DEAD == 0
    }

    /// The maps it was loaded with.
    #[inline(always)]
    pub fn own_maps(&self) -> &[UsedMap] {
        self.maps.get().map_or(&[], |maps| &maps.used)
    }

    /// The maps it has by way of maps of maps.
    #[inline(always)]
    pub fn reached<'a>(&'a self, reader: &'a impl Reader) -> &'a [UsedMap] {
        self.reached.get(reader).map_or(&[], |maps| maps)
    }

    /// All maps it uses.
    pub fn used_maps<'a>(&'a self, reader: &'a impl Reader) -> impl Iterator<Item = &'a UsedMap> {
        self.own_maps().iter().chain(self.reached(reader))
    }

    /// The map `map` if the program uses it.
    pub fn used<'a>(&'a self, map: u64, reader: &'a impl Reader) -> Option<&'a UsedMap> {
        let is = |m: &&UsedMap| m.info.kernel == map;
        let own = self.own_maps().iter().find(is);
        own.or_else(|| self.reached(reader).iter().find(is))
    }

    /// Whether it uses `map`.
    pub fn uses(&self, map: u64, reader: &impl Reader) -> bool {
        self.used(map, reader).is_some()
    }

    /// The map with number `number`, from 1, and how it calls that straight away.
    pub fn map_call(&self, number: u32) -> Option<(&MapInfo, &ffi::moat_map_call)> {
        let info = &self.own_maps().get((number as usize).checked_sub(1)?)?.info;
        let mut calls = self.maps.get()?.calls.iter();
        let call = calls.find(|call| call.map == info.kernel)?;
        Some((info, call))
    }

    /// The map with number `number`, from 1, if tail calls go through it, or 0.
    pub fn array_of_programs(&self, number: u32) -> u64 {
        let used = (number as usize).checked_sub(1);
        let info = used
            .and_then(|i| self.own_maps().get(i))
            .map(|used| &used.info);
        let known = info.filter(|info| MapTypes::PROGRAMS.contains(info.ty));
        known.map_or(0, |info| info.kernel)
    }

    /// The ring buffer that it is likely to call, the only one mostly, and how.
    pub fn ring_call(&self) -> Option<(&MapInfo, &ffi::moat_map_call)> {
        let maps = self.own_maps().iter().enumerate();
        let mut rings = maps.filter(|(_, map)| map.info.ty == RINGBUF);
        self.map_call(rings.next()?.0 as u32 + 1)
    }

    /// Whether its slots have room for a record, which takes no long time to copy, and is the
    /// first there if the program holds nothing; and it is always the run itself that gets
    /// one, no callback in it.
    pub fn has_small_records(&self) -> bool {
        let flags = self.gates.flags().load(Ordering::Relaxed);
        flags & bindings::MOAT_DOM_GRANTS != 0
            && self.holds
            && !self.keeps
            && self.record <= SMALL
            && self.callbacks().is_none()
    }

    /// Whether something is stored at the end of its runs.
    pub fn stores(&self) -> bool {
        self.gates.flags().load(Ordering::Relaxed) & bindings::MOAT_DOM_STORE != 0
    }

    /// What of it helpers may call, if they call any of it.
    pub fn callbacks(&self) -> Option<&Callbacks> {
        self.rare.as_ref()?.callbacks.as_ref()
    }

    /// Whether it walks over maps.
    pub fn walks(&self) -> bool {
        self.callbacks().map_or(false, |all| all.walks)
    }

    /// The number of the function at `func`, if it was loaded with a call of it by name.
    pub fn kfunc(&self, func: u64) -> Option<u32> {
        let mut funcs = self.rare.as_ref()?.kfuncs.iter();
        let number = funcs.position(|&known| known == func && known != 0)?;
        Some(KFUNC_BASE + number as u32)
    }

    /// Where the function begins whose address is `addr`, if helpers may call it.
    pub fn callback(&self, addr: u64) -> Option<u64> {
        match off::callbacks() {
            true => self.callbacks().map(|_| addr),
            false => self.callback_image(addr).map(|image| image.start),
        }
    }

    /// Whether it has no function that is given samples, or room for those of `bytes`.
    pub fn has_room_for_samples(&self, bytes: u32) -> bool {
        self.callbacks()
            .map_or(true, |all| !all.drains || bytes <= all.key)
    }

    /// Whether timers may call functions of it.
    pub fn has_timers(&self) -> bool {
        self.callbacks().map_or(false, |all| all.timers)
    }

    /// The image of that function.
    pub fn callback_image(&self, addr: u64) -> Option<&ffi::moat_image> {
        let callbacks = self.callbacks()?;
        let images = self.gates.images();
        let n = images.iter().position(|image| image.start == addr)?;
        images.get(n).filter(|_| callbacks.has(n))
    }

    /// Of which map, and how far into its values, the value is whose lock would be at `addr`.
    pub fn locked_value(&self, addr: u64) -> Option<(&MapInfo, u64)> {
        self.value_with(addr, off::lock_identity(), |values| values.lock)
    }

    /// The same of a timer.
    pub fn timed_value(&self, addr: u64) -> Option<(&MapInfo, u64)> {
        self.value_with(addr, off::timer_identity(), |values| values.timer)
    }

    /// The same of what a value would have where `field` says; with `any`, of whatever is at
    /// `addr`.
    fn value_with(
        &self,
        addr: u64,
        any: bool,
        field: impl Fn(&Values) -> Option<u32>,
    ) -> Option<(&MapInfo, u64)> {
        self.own_maps().iter().find_map(|UsedMap { info, values }| {
            let values = (*values)?;
            let off = addr.wrapping_sub(values.base + u64::from(field(&values)?));
            let size = round_up(info.value_size);
            let off = match any {
                true => 0,
                false => off,
            };
            (off < values.span && off % u64::from(size) == 0).then_some((info, off))
        })
    }

    /// Which image `ip` is in, and where in it.
    pub fn locate(&self, ip: u64) -> Option<(usize, u64)> {
        let images = self.gates.images();
        images
            .iter()
            .position(|image| ip.wrapping_sub(image.start) < image.len)
            .map(|i| (i, ip - images[i].start))
    }
}

/// Keyed or in a view: what the gates go by.  `state/residence.rs` decides, with the lock
/// held.
impl Program {
    /// Whether runs that begin now run keyed, not in a view.
    pub fn is_keyed(&self) -> bool {
        self.gates.flags().load(Ordering::Relaxed) & bindings::MOAT_DOM_VIEW == 0
    }

    /// Runs that begin from now on run in the view, which there is.  True if some
    /// may be on their way that began keyed: wait for them.
    pub fn go_viewed(&self) -> bool {
        let flags = self.gates.flags();
        let old = flags.fetch_or(bindings::MOAT_DOM_VIEW, Ordering::SeqCst);
        old & bindings::MOAT_DOM_VIEW == 0
    }

    /// Runs that begin from now on run with `keys`, which all of its set has.
    pub fn go_keyed(&self, keys: KeySet) {
        let keys = match off::page_key() {
            true => keys.with(Key::FIRST_PROGRAM),
            false => keys,
        };
        let pkrs = match self.level {
            Level::Integrity => Pkrs::for_integrity(keys),
            Level::Confidentiality => Pkrs::for_program(keys),
        };
        self.gates
            .pkrs()
            .store(pkrs.in_force().bits(), Ordering::SeqCst);
        let flags = self.gates.flags();
        flags.fetch_and(!bindings::MOAT_DOM_VIEW, Ordering::SeqCst);
    }

    /// No run with keys is left: none may begin by accident.
    pub fn lock_keys(&self) {
        let none = Pkrs::for_program(KeySet::EMPTY);
        self.gates.pkrs().store(none.bits(), Ordering::Relaxed);
    }

    /// Takes away `key`, if it runs keyed.  True if runs may have it still.
    pub fn narrow(&self, key: Key) -> bool {
        let pkrs = Pkrs::from_bits(self.gates.pkrs().load(Ordering::Relaxed)).deny(key);
        if !off::narrow() {
            self.gates.pkrs().store(pkrs.bits(), Ordering::SeqCst);
        }
        self.is_keyed()
    }

    /// Tracepoint: it got a view.
    pub fn trace_view(&self) {
        self.aux().trace_view();
    }
}

// A program is an allocation of its own: half of it would be lost above this.
const _: () = assert!(core::mem::size_of::<Program>() <= 512);
