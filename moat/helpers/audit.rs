// SPDX-License-Identifier: GPL-2.0
//! Turns what a program alleges into what a helper may rely on.
//!
//! An [`Allegation`] is a register as the program left it.  Only an audit makes
//! a [`Grant`] of it, and only a [`Register`] with what was granted reaches a helper
//! (I3).  Run it after PKRS is open, on registers saved in kernel memory, so that
//! nothing can change between the check and the use (I1).

#![forbid(unsafe_code)]

use super::contract::{Access, Arg, Bounce, Contract, BOUNCE_MAX, GFP_ATOMIC, STR_MAX};
use super::dynptr::Dynptr;
use super::grants::Kind;
use crate::edge::off;
use crate::maps::types::{is_array, MapTypes, BLOOM_FILTER, RDONLY_PROG};
use core::marker::PhantomData;

pub use crate::edge::caller_memory::{within, CallerMemory};

/// A value from an untrusted program.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Allegation(pub u64);

/// A value a helper may be given.  Only an audit makes one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Register(u64);

impl Register {
    /// What to put in the register.
    #[inline(always)]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Bytes of a dynptr.
const DYNPTR: u64 = core::mem::size_of::<Dynptr>() as u64;

/// What an argument is.  A call keeps the registers, and of memory only that which it has
/// to copy: runs nest, and their frames have to be small.
enum Grant<'d> {
    Scalar(u64),
    Memory(Memory<'d>),
    Map(&'d MapInfo),
    Ctx(u64),
    Function(u64),
}

/// Memory of a program that it passes to a helper.
///
/// It stays mapped as long as the caller that the audit asked is borrowed.  What is in it
/// may change at any time (I1): `kernel/program_memory.rs` has the ways to look at it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Memory<'d> {
    addr: u64,
    len: u32,
    writable: bool,
    caller: PhantomData<&'d ()>,
}

impl<'d> Memory<'d> {
    /// What to put in the register.
    #[inline(always)]
    pub const fn addr(self) -> u64 {
        self.addr
    }

    /// In bytes.
    #[inline(always)]
    pub const fn len(self) -> u32 {
        self.len
    }

    /// Whether there are no bytes.
    #[inline(always)]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Whether the audit was asked for write access, too.
    #[inline(always)]
    pub const fn is_writable(self) -> bool {
        self.writable
    }
}

/// What the audit needs to know of a map.  Recorded at load from kernel memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapInfo {
    /// Address of its `struct bpf_map`.
    pub kernel: u64,
    /// `enum bpf_map_type`.
    pub ty: u32,
    /// In bytes.
    pub key_size: u32,
    /// In bytes.
    pub value_size: u32,
    /// `map_flags` it was made with.
    pub flags: u32,
}

impl MapInfo {
    /// Whether keys are indices, of 4 bytes.
    #[inline(always)]
    pub const fn is_array(&self) -> bool {
        is_array(self.ty)
    }
}

/// What the kernel knows of the invocation that makes the call.
pub trait Caller: CallerMemory {
    /// The map of this program that `addr` names, if it is one.
    fn map(&self, addr: u64) -> Option<&MapInfo>;
    /// The kernel's context.
    fn ctx(&self) -> u64;
    /// What the program was given for it.
    fn snapshot(&self) -> u64;
    /// `skb->data` of the kernel's context; 0 if it is not a socket buffer.
    fn pkt_data(&self) -> u64;
    /// `skb_headlen()` of the kernel's context; 0 if it is not a socket buffer.
    fn headlen(&self) -> u64;
    /// The kernel's address of the socket that the run holds as `name`.  With `back` the run
    /// holds it no more.
    fn socket(&self, _name: u64, _back: bool) -> Option<u64> {
        None
    }
    /// The same of another object of this kind.
    fn object(&self, _kind: Kind, _name: u64, _back: bool) -> Option<u64> {
        None
    }
    /// Where the function begins that the program means by `addr`, if helpers may call it.
    fn callback(&self, addr: u64) -> Option<u64>;
}

/// Why a call was not let through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// No isolated program may call this helper.
    Refused,
    /// Not a map of this program.
    NotItsMap,
    /// A map of a type this helper does not take.
    MapType,
    /// A change to a map that programs may only read.
    ReadOnlyMap,
    /// Not the context of this invocation.
    Context,
    /// Memory outside the program's domains.
    Memory,
    /// What would be written is memory that programs may only read.
    ReadOnly,
    /// No function of this program that helpers may call.
    Function,
    /// One callback in another, too often.
    Depth,
    /// Too little is left of the kernel's stack for a callback.
    Stack,
    /// It is in a callback, where this may not be called.
    CalledBack,
    /// A size out of range.
    Size,
    /// Not what the run holds, of the kind that this helper takes.
    NotHeld,
    /// The run holds as much as it was loaded for.
    Holds,
    /// Not the lock of a value of one of its maps.
    NoLock,
    /// The run holds a lock, and may call nothing but what gives that back.
    Locked,
    /// A lock that is taken, and an interrupt cannot wait.
    Taken,
    /// Not the timer of a value of one of its maps.
    NoTimer,
    /// What it runs for has no value of the map.
    NoStorage,
    /// The run is a timer's, which has no context, nor a packet.
    NoContext,
    /// The contract itself is wrong.  The table's tests exclude this.
    Contract,
}

/// A failed audit: the run is stopped and this is reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AuditError {
    /// The argument, counted from 0.
    pub arg: u8,
    pub why: Why,
}

/// A call that may go through.
#[derive(Clone, Copy, Debug)]
pub struct Checked<'d> {
    pub args: [Register; 5],
    /// The map argument, for translating what comes back.
    pub map: Option<&'d MapInfo>,
    /// The argument to pass as a kernel copy, if one must be.
    pub bounce: Option<Bounced<'d>>,
    /// The function that the helper is to call back, which its register does not have.
    pub callback: Option<u64>,
}

/// An argument to be passed as a copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounced<'d> {
    pub how: Bounce,
    /// All that was granted; not NULL.
    pub memory: Memory<'d>,
}

/// Audits one call.  Inlined, as a call of it has much to pass and to return.
#[inline(always)]
pub fn audit<'d, C: Caller>(
    contract: &Contract,
    raw: &[Allegation; 5],
    caller: &'d C,
) -> Result<Checked<'d>, AuditError> {
    // One by one: a kernel that is optimised for size makes calls of `map()`.
    let [a, b, c, d, e] = *raw;
    let mut checked = Checked {
        args: [
            Register(a.0),
            Register(b.0),
            Register(c.0),
            Register(d.0),
            Register(e.0),
        ],
        map: None,
        bounce: None,
        callback: None,
    };
    if contract.refused.is_some() {
        return Err(AuditError {
            arg: 0,
            why: Why::Refused,
        });
    }
    let mut bounce = contract.bounce;
    for i in 0..raw.len() {
        if contract.checked & 1 << i == 0 {
            continue;
        }
        let value = match grant(contract, raw, i, caller, checked.map) {
            Ok(Grant::Scalar(value) | Grant::Ctx(value)) => value,
            Ok(Grant::Map(map)) => {
                checked.map = Some(map);
                bounce = bounce_of(contract, map);
                match off::map_identity() {
                    true => raw[i].0,
                    false => map.kernel,
                }
            }
            Ok(Grant::Memory(memory)) => {
                match bounce {
                    Some(how) if how.arg as usize == i && !memory.is_empty() => {
                        checked.bounce = Some(Bounced { how, memory });
                    }
                    _ => {}
                }
                memory.addr
            }
            Ok(Grant::Function(entry)) => {
                checked.callback = Some(entry);
                0
            }
            Err(why) => return Err(AuditError { arg: i as u8, why }),
        };
        checked.args[i] = Register(value);
    }
    Ok(checked)
}

/// Audits a map lookup: the call to keep cheap.  Same result as [`audit`] on the
/// contract of `map_lookup_elem`.
#[inline(always)]
pub fn audit_lookup<'d, C: Caller>(
    map: Allegation,
    key: Allegation,
    caller: &'d C,
) -> Result<(&'d MapInfo, Memory<'d>), AuditError> {
    let info = match map_of(MapTypes::LOOKED_UP, map, caller) {
        Ok(info) => info,
        Err(why) => return Err(AuditError { arg: 0, why }),
    };
    match memory(key, info.key_size as u64, false, caller) {
        Ok(key) => Ok((info, key)),
        Err(why) => Err(AuditError { arg: 1, why }),
    }
}

/// The map that a call is for, of one of `types`, as its first argument.
#[inline(always)]
pub fn audit_map<C: Caller>(
    types: MapTypes,
    map: Allegation,
    caller: &C,
) -> Result<&MapInfo, AuditError> {
    map_of(types, map, caller).map_err(|why| AuditError { arg: 0, why })
}

#[inline(always)]
fn grant<'d, C: Caller>(
    contract: &Contract,
    raw: &[Allegation; 5],
    i: usize,
    caller: &'d C,
    map: Option<&'d MapInfo>,
) -> Result<Grant<'d>, Why> {
    let value = raw[i];
    let memory = match contract.args[i] {
        Arg::None | Arg::Any => return Ok(Grant::Scalar(value.0)),
        Arg::Ctx if value.0 != caller.snapshot() => return Err(Why::Context),
        Arg::Ctx => return Ok(Grant::Ctx(caller.ctx())),
        Arg::PktData => return Ok(Grant::Scalar(caller.pkt_data())),
        Arg::Headlen => return Ok(Grant::Scalar(caller.headlen())),
        Arg::Atomic => return Ok(Grant::Scalar(GFP_ATOMIC)),
        Arg::MapValueOrNull if value.0 == 0 => return Ok(Grant::Scalar(0)),
        Arg::Socket | Arg::SocketBack => {
            let back = matches!(contract.args[i], Arg::SocketBack);
            let socket = caller.socket(value.0, back);
            return socket.map(Grant::Scalar).ok_or(Why::NotHeld);
        }
        Arg::Object(kind) | Arg::ObjectBack(kind) => {
            let back = matches!(contract.args[i], Arg::ObjectBack(_));
            let object = caller.object(kind, value.0, back);
            return object.map(Grant::Scalar).ok_or(Why::NotHeld);
        }
        // `run/records.rs`, `run/locks.rs` and `run/timers.rs` see to these calls.
        Arg::Record | Arg::RecordSize | Arg::Lock | Arg::Timer => return Err(Why::Contract),
        Arg::MapPtr(types) => {
            let info = map_of(types, value, caller)?;
            // The verifier's, from record_func_map(); map operations do not ask.
            if contract.writes_map && info.flags & RDONLY_PROG != 0 {
                return Err(Why::ReadOnlyMap);
            }
            return Ok(Grant::Map(info));
        }
        Arg::MapKey => {
            let info = map.ok_or(Why::Contract)?;
            memory(value, info.key_size as u64, false, caller)
        }
        Arg::MapValue | Arg::MapValueOrNull => {
            let info = map.ok_or(Why::Contract)?;
            if MapTypes::SOCKMAPS.contains(info.ty) {
                let socket = caller.socket(value.0, false);
                return socket.map(Grant::Scalar).ok_or(Why::NotHeld);
            }
            memory(value, value_span(info), false, caller)
        }
        Arg::MapValueOut => {
            let info = map.ok_or(Why::Contract)?;
            // Asking a Bloom filter reads the value; the others fill it in.
            let write = info.ty != BLOOM_FILTER;
            memory(value, value_span(info), write, caller)
        }
        // NULL is no exception: it lies in no domain, so it stands for no bytes.
        Arg::Mem { access, size, .. } => sized(value, raw[size as usize % 5], access, caller),
        Arg::Size { max, zero_ok } => {
            if value.0 > max as u64 || (value.0 == 0 && !zero_ok) {
                return Err(Why::Size);
            }
            return Ok(Grant::Scalar(value.0));
        }
        Arg::ConstStr => match string(value.0, STR_MAX, caller) {
            Some(memory) => Ok(memory),
            None => Err(Why::Memory),
        },
        Arg::Dynptr => memory(value, DYNPTR, false, caller),
        Arg::DynptrOut | Arg::DynptrBack => memory(value, DYNPTR, true, caller),
        Arg::FixedMem { access, bytes } => memory(value, bytes as u64, access.writes(), caller),
        Arg::Function => {
            let entry = caller.callback(value.0).ok_or(Why::Function)?;
            return Ok(Grant::Function(entry));
        }
    };
    memory.map(Grant::Memory)
}

/// `len` bytes at `addr` that the program may read, if so.
pub fn readable<C: Caller>(addr: u64, len: u64, caller: &C) -> Option<Memory<'_>> {
    memory(Allegation(addr), len, false, caller).ok()
}

/// As many bytes from `addr` on as the program may read, up to `most`; none if that is none.
pub fn string<C: Caller>(addr: u64, most: u32, caller: &C) -> Option<Memory<'_>> {
    match caller.readable(addr, most.into()) {
        0 => None,
        len => readable(addr, len, caller),
    }
}

/// `len` bytes at `addr` that the program may write, if so.
pub fn writable<C: Caller>(addr: u64, len: u64, caller: &C) -> Option<Memory<'_>> {
    memory(Allegation(addr), len, true, caller).ok()
}

/// The map of the caller that `map` names, of one of these types.
#[inline(always)]
pub fn map_of<C: Caller>(types: MapTypes, map: Allegation, caller: &C) -> Result<&MapInfo, Why> {
    let info = caller.map(map.0).ok_or(Why::NotItsMap)?;
    if !types.contains(info.ty) {
        return Err(Why::MapType);
    }
    Ok(info)
}

/// No program has 4 GiB in one piece that a helper could be given: lengths are 32 bits.
#[inline(always)]
pub(super) fn memory<C: Caller>(
    addr: Allegation,
    len: u64,
    writable: bool,
    caller: &C,
) -> Result<Memory<'_>, Why> {
    if len >> 32 != 0 || !caller.contains(addr.0, len, writable) {
        return Err(not_granted(addr.0, len, writable, caller));
    }
    Ok(Memory {
        addr: addr.0,
        len: len as u32,
        writable,
        caller: PhantomData,
    })
}

#[cold]
#[inline(never)]
fn not_granted<C: Caller>(addr: u64, len: u64, writable: bool, caller: &C) -> Why {
    match writable && len >> 32 == 0 && caller.contains(addr, len, false) {
        true => Why::ReadOnly,
        false => Why::Memory,
    }
}

/// Memory of a size the program chose.  No bytes are granted as NULL, so that an
/// address nobody checked never reaches a helper.
#[inline(always)]
fn sized<C: Caller>(
    addr: Allegation,
    len: Allegation,
    access: Access,
    caller: &C,
) -> Result<Memory<'_>, Why> {
    match len.0 {
        0 => Ok(Memory {
            addr: 0,
            len: 0,
            writable: access.writes(),
            caller: PhantomData,
        }),
        len => memory(addr, len, access.writes(), caller),
    }
}

/// How many bytes of a value argument the kernel touches.  A per-CPU hash copies
/// whole words: `pcpu_init_value()` and `copy_map_value_long()`.
#[inline(always)]
pub const fn value_span(map: &MapInfo) -> u64 {
    let bytes = map.value_size as u64;
    if MapTypes::PERCPU.contains(map.ty) {
        (bytes + 7) & !7
    } else {
        bytes
    }
}

/// What has to be passed as a copy, now that the map is known.
///
/// `trie_update_elem()` checks `key->prefixlen`, then reads it again for the new
/// node, whose later walks believe it; so does `trie_delete_elem()`, and may look at the bit
/// behind the key then.  A lookup goes by the lengths that nodes have.  The index of an array
/// is read with a plain load, perhaps again after the check.
const fn bounce_of(contract: &Contract, map: &MapInfo) -> Option<Bounce> {
    let keyed = matches!(contract.args[1], Arg::MapKey);
    let writes = keyed && contract.writes_map;
    let bytes = match MapTypes::TRIES.contains(map.ty) {
        true if writes && (map.key_size as usize) < BOUNCE_MAX => map.key_size as u16,
        true if writes => BOUNCE_MAX as u16,
        _ if keyed && map.is_array() => 4,
        _ => return contract.bounce,
    };
    Some(Bounce {
        arg: 1,
        bytes,
        back: false,
    })
}
