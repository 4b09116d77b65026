// SPDX-License-Identifier: GPL-2.0
//! Turns what a program alleges into what a helper may rely on.
//!
//! An [`Allegation`] is a register as the program left it.  Only an audit makes
//! a [`Grant`] of it, and only grants reach a helper (I3).  Run it after PKRS is
//! open, on registers saved in kernel memory, so that nothing can change between
//! the check and the use (I1).

use super::contract::{Access, Arg, Bounce, Contract, BOUNCE_MAX};
use crate::maps::types::{MapTypes, BLOOM_FILTER, RDONLY_PROG};

/// A value from an untrusted program.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Allegation(pub u64);

/// A value a helper may be given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Grant(u64);

impl Grant {
    /// What to put in the register.
    #[inline(always)]
    pub const fn get(self) -> u64 {
        self.0
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

/// What the kernel knows of the invocation that makes the call.
pub trait Domain {
    /// Whether the program may itself read, or with `write` also write, all of
    /// `len` bytes from `addr`, and the kernel will not fault there.  Must hold
    /// for any `addr` and `len`; true if `len` is 0.  See [`within`].
    fn contains(&self, addr: u64, len: u64, write: bool) -> bool;
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
}

/// Whether `addr .. addr + len` lies in `base .. base + size`.  No overflow: ends
/// past the address space lie nowhere.
#[inline(always)]
pub const fn within(base: u64, size: u64, addr: u64, len: u64) -> bool {
    let offset = addr.wrapping_sub(base);
    offset <= size && len <= size - offset
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
    /// Memory outside the program's domains, or not writable there.
    Memory,
    /// A size out of range.
    Size,
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
    pub args: [Grant; 5],
    /// The map argument, for translating what comes back.
    pub map: Option<&'d MapInfo>,
    /// The argument to pass as a kernel copy, if one must be.
    pub bounce: Option<Bounce>,
}

/// Audits one call.
#[inline]
pub fn audit<'d, D: Domain>(
    contract: &Contract,
    raw: &[Allegation; 5],
    domain: &'d D,
) -> Result<Checked<'d>, AuditError> {
    let mut checked = Checked {
        args: raw.map(|a| Grant(a.0)),
        map: None,
        bounce: contract.bounce,
    };
    if contract.refused.is_some() {
        return Err(AuditError {
            arg: 0,
            why: Why::Refused,
        });
    }
    for i in 0..raw.len() {
        if contract.checked & 1 << i == 0 {
            continue;
        }
        match grant(contract, raw, i, domain, &mut checked.map) {
            Ok(value) => checked.args[i] = value,
            Err(why) => return Err(AuditError { arg: i as u8, why }),
        }
    }
    if let Some(map) = checked.map {
        if MapTypes::TRIES.contains(map.ty) {
            checked.bounce = bounce_of(contract, map);
        }
    }
    Ok(checked)
}

/// Audits a map lookup: the call to keep cheap.  Same result as [`audit`] on the
/// contract of `map_lookup_elem`.
#[inline(always)]
pub fn audit_lookup<D: Domain>(
    map: Allegation,
    key: Allegation,
    domain: &D,
) -> Result<(&MapInfo, Grant), AuditError> {
    let info = match map_of(MapTypes::LOOKED_UP, map, domain) {
        Ok(info) => info,
        Err(why) => return Err(AuditError { arg: 0, why }),
    };
    match memory(key, info.key_size as u64, false, domain) {
        Ok(key) => Ok((info, key)),
        Err(why) => Err(AuditError { arg: 1, why }),
    }
}

#[inline(always)]
fn grant<'d, D: Domain>(
    contract: &Contract,
    raw: &[Allegation; 5],
    i: usize,
    domain: &'d D,
    map: &mut Option<&'d MapInfo>,
) -> Result<Grant, Why> {
    let value = raw[i];
    match contract.args[i] {
        Arg::None | Arg::Any => Ok(Grant(value.0)),
        Arg::Ctx if value.0 != domain.snapshot() => Err(Why::Context),
        Arg::Ctx => Ok(Grant(domain.ctx())),
        Arg::PktData => Ok(Grant(domain.pkt_data())),
        Arg::Headlen => Ok(Grant(domain.headlen())),
        Arg::MapPtr(types) => {
            let info = map_of(types, value, domain)?;
            // The verifier's, from record_func_map(); map operations do not ask.
            if contract.writes_map && info.flags & RDONLY_PROG != 0 {
                return Err(Why::ReadOnlyMap);
            }
            *map = Some(info);
            Ok(Grant(info.kernel))
        }
        Arg::MapKey => {
            let info = (*map).ok_or(Why::Contract)?;
            memory(value, info.key_size as u64, false, domain)
        }
        Arg::MapValue => {
            let info = (*map).ok_or(Why::Contract)?;
            memory(value, value_span(info), false, domain)
        }
        Arg::MapValueOut => {
            let info = (*map).ok_or(Why::Contract)?;
            // Asking a Bloom filter reads the value; the others fill it in.
            let write = info.ty != BLOOM_FILTER;
            memory(value, value_span(info), write, domain)
        }
        // NULL is no exception: it lies in no domain, so it stands for no bytes.
        Arg::Mem { access, size, .. } => sized(value, raw[size as usize % 5], access, domain),
        Arg::Size { max, zero_ok } => {
            if value.0 > max as u64 || (value.0 == 0 && !zero_ok) {
                return Err(Why::Size);
            }
            Ok(Grant(value.0))
        }
        Arg::FixedMem { access, bytes } => memory(value, bytes as u64, access.writes(), domain),
    }
}

#[inline(always)]
fn map_of<D: Domain>(types: MapTypes, map: Allegation, domain: &D) -> Result<&MapInfo, Why> {
    let info = domain.map(map.0).ok_or(Why::NotItsMap)?;
    if !types.contains(info.ty) {
        return Err(Why::MapType);
    }
    Ok(info)
}

#[inline(always)]
fn memory<D: Domain>(addr: Allegation, len: u64, write: bool, domain: &D) -> Result<Grant, Why> {
    if domain.contains(addr.0, len, write) {
        Ok(Grant(addr.0))
    } else {
        Err(Why::Memory)
    }
}

/// Memory of a size the program chose.  No bytes are granted as NULL, so that an
/// address nobody checked never reaches a helper.
#[inline(always)]
fn sized<D: Domain>(
    addr: Allegation,
    len: Allegation,
    access: Access,
    domain: &D,
) -> Result<Grant, Why> {
    if len.0 == 0 {
        return Ok(Grant(0));
    }
    memory(addr, len.0, access.writes(), domain)
}

/// How many bytes of a value argument the kernel touches.  A per-CPU hash copies
/// whole words: `pcpu_init_value()` and `copy_map_value_long()`.
#[inline(always)]
const fn value_span(map: &MapInfo) -> u64 {
    let bytes = map.value_size as u64;
    if MapTypes::PERCPU.contains(map.ty) {
        (bytes + 7) & !7
    } else {
        bytes
    }
}

/// `trie_update_elem()` checks `key->prefixlen`, then reads it again for the new
/// node, whose later walks believe it.
const fn bounce_of(contract: &Contract, map: &MapInfo) -> Option<Bounce> {
    if !matches!(contract.args[2], Arg::MapValue) {
        return contract.bounce;
    }
    let bytes = if map.key_size as usize > BOUNCE_MAX {
        BOUNCE_MAX as u16
    } else {
        map.key_size as u16
    };
    Some(Bounce {
        arg: 1,
        bytes,
        back: false,
    })
}
