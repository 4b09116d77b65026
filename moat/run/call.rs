// SPDX-License-Identifier: GPL-2.0
//! Audited calls of helpers, and what the program gets back.
//!
//! Context: as in `run/mod.rs`.

#![forbid(unsafe_code)]

use super::{dynptrs, Run};
use crate::edge::callback;
use crate::edge::program_memory::{self, KernelCopy};
use crate::edge::site::{Key, Registers, Site};
use crate::edge::stack;
use crate::edge::storage;
use crate::helpers::audit::{self, Allegation, AuditError, Bounced, MapInfo, Why};
use crate::helpers::contract::{Contract, Ret};
use crate::helpers::geometry::Shape;
use crate::helpers::table;
use crate::maps::types::MapTypes;
use crate::run::reshape;
use kernel::bindings;

const GET_LOCAL_STORAGE: u32 = bindings::bpf_func_id_BPF_FUNC_get_local_storage;

/// A helper's return value.
pub(super) type Called = core::result::Result<u64, AuditError>;

impl Run<'_> {
    /// A map lookup, the call that comes most often.
    pub(super) fn lookup(&self, site: Site<'_>, raw: &[Allegation; 5]) -> Called {
        let (map, key) = audit::audit_lookup(raw[0], raw[1], self)?;
        let mut at = Key::from(key);
        let index;
        // The kernel reads it with a plain load, perhaps again after its check.
        if map.is_array() {
            index = program_memory::first_u32(key).ok_or(AuditError {
                arg: 1,
                why: Why::Memory,
            })?;
            at = Key::from(&index);
        }
        if MapTypes::SOCKMAPS.contains(map.ty) && !self.has_room() {
            return Err(AuditError {
                arg: 0,
                why: Why::Holds,
            });
        }
        Ok(self.value(site.look_up(map, at), Some(map)))
    }

    /// Audits a helper call and makes it.  Inlined where most calls come by.
    #[inline(always)]
    pub(super) fn call(
        &self,
        site: Site<'_>,
        raw: &[Allegation; 5],
    ) -> core::result::Result<u64, AuditError> {
        let contract = site.contract();
        if contract.for_packet && self.is_timers() {
            return Err(AuditError {
                arg: 0,
                why: Why::NoContext,
            });
        }
        let checked = audit::audit(contract, raw, self)?;
        if contract.id == GET_LOCAL_STORAGE
            && !checked.map.map_or(false, |map| storage::is_here(self, map))
        {
            return Err(AuditError {
                arg: 0,
                why: Why::NoStorage,
            });
        }
        if contract.ret.is_held() && !self.has_room() {
            return Err(AuditError {
                arg: 0,
                why: Why::Holds,
            });
        }
        let mut args = Registers::from(checked.args);

        match contract.shape {
            Some(shape) if shape.may_change() => {
                return self.call_reshaping(site, contract, shape, &args);
            }
            Some(shape) => {
                if let Err(answer) = reshape::ask(self, site, contract, shape, &args) {
                    return Ok(answer);
                }
            }
            None => {}
        }
        if let Some(sends) = contract.sends {
            if (sends.at_once && !stack::has_room()) || !self.sends() {
                if self.is_over(site) {
                    self.stop();
                }
                return Ok(sends.answer as u64);
            }
        }
        if let Some(how) = contract.prints {
            return self.call_print(site, contract, how, &mut args);
        }
        if let Some(entry) = checked.callback {
            return self.call_with_callback(site, contract, entry, &mut args, checked.map);
        }
        match checked.bounce {
            Some(bounced) if dynptrs::is_about(site.helper()) => {
                self.call_with_dynptr(site, contract, bounced, &mut args, checked.map)
            }
            Some(bounced) => self.call_bounced(site, contract, bounced, &mut args, checked.map),
            None => Ok(self.make(site, contract, &args, checked.map, |_| true)),
        }
    }

    /// The same for calls that come seldom.
    #[inline(never)]
    pub(super) fn call_apart(&self, site: Site<'_>, raw: &[Allegation; 5]) -> Called {
        self.call(site, raw)
    }

    /// A call of what is no helper.  Apart, so that those of helpers are not asked for each of
    /// these.
    #[inline(never)]
    pub(super) fn call_no_helper(&self, site: Site<'_>, raw: &[Allegation; 5]) -> Called {
        match site.helper() {
            id if table::is_kfunc(id) => self.call_kfunc(site, raw),
            table::STORE_MARK => self.store_mark(site, raw),
            // Map or memory are not what they were to be.
            table::NEXT_ELEMS => audit::audit(site.contract(), raw, self).and(Err(AuditError {
                arg: 0,
                why: Why::NotItsMap,
            })),
            _ => self.call_apart(site, raw),
        }
    }

    /// Makes a call that has passed all checks.  `look` is given what it returned, before
    /// the context is loaded again, and says whether the run may go on.
    #[inline(always)]
    pub(super) fn make(
        &self,
        site: Site<'_>,
        contract: &Contract,
        args: &Registers,
        map: Option<&MapInfo>,
        look: impl FnOnce(u64) -> bool,
    ) -> u64 {
        if contract.effects.store_ctx {
            self.store();
        }
        let ret = site.call(args);
        if !look(ret)
            || (contract.effects.load_ctx && self.reload(contract) != 0)
            || self.is_over(site)
        {
            self.stop();
        }
        if contract.takes_socket {
            self.after_socket(contract);
        }
        match contract.ret {
            Ret::Scalar => ret,
            Ret::Int => ret as u32 as u64,
            Ret::Void => 0,
            Ret::MapValueOrNull => self.value(ret, map),
            Ret::SocketOrNull => self.hold_socket(ret),
            Ret::SameOrNull | Ret::TcpOrNull | Ret::StructOrNull(_) | Ret::ListenerOrNull => {
                self.name_socket(ret, contract.ret)
            }
            Ret::ObjectOrNull(kind) => self.hold_conn(kind, ret),
            Ret::Inserted => self.inserted(args[0], ret),
            // Not made here: `run/records.rs`.
            Ret::RecordOrNull => 0,
        }
    }

    /// A call that may change where the headers of the packet are.  Apart, as is the next
    /// one, since runs nest eight deep in a helper that sends: their frames have to be
    /// small.
    #[inline(never)]
    fn call_reshaping(
        &self,
        site: Site<'_>,
        contract: &Contract,
        shape: Shape,
        args: &Registers,
    ) -> Called {
        match reshape::before(self, site, contract, shape, args) {
            Err(answer) => Ok(answer),
            Ok(change) => Ok(self.make(site, contract, args, None, |ret| {
                change.map_or(true, |change| change.after(self, site, contract, ret))
            })),
        }
    }

    /// A call with a copy in place of an argument that the helper reads more than once.
    #[inline(never)]
    fn call_bounced(
        &self,
        site: Site<'_>,
        contract: &Contract,
        bounced: Bounced<'_>,
        args: &mut Registers,
        map: Option<&MapInfo>,
    ) -> Called {
        let mut copy = KernelCopy::new();
        args.pass(&mut copy, bounced);
        Ok(self.make(site, contract, args, map, |_| {
            if bounced.how.back {
                copy.give_back(bounced.memory);
            }
            true
        }))
    }

    /// A call of a helper that calls the function at `entry`: for the elements of `map`, if
    /// there is one.  If the run was stopped meanwhile, the gate sees that.
    #[inline(never)]
    fn call_with_callback(
        &self,
        site: Site<'_>,
        contract: &Contract,
        entry: u64,
        args: &mut Registers,
        map: Option<&MapInfo>,
    ) -> Called {
        let not = |why| AuditError { arg: 1, why };
        if !stack::has_room() {
            return Err(not(Why::Stack));
        }
        let calling = callback::begin(self, entry, map).ok_or(not(Why::Depth))?;
        // Where nothing interrupts it, others look whether its time is up, which begins now.
        let _ = self.is_overdue();
        Ok(calling.with(args, |args| self.make(site, contract, args, map, |_| true)))
    }

    /// Where the program sees the value that the kernel has at `addr`, of the map at `map`.
    pub(super) fn value_of_map(&self, map: u64, addr: u64) -> u64 {
        let used = self.program.used(map, self);
        used.map_or(0, |used| self.value(addr, Some(&used.info)))
    }

    /// What the program may know of what it found in `map`, of whose values it has no address.
    #[cold]
    fn name(&self, addr: u64, map: Option<&MapInfo>) -> u64 {
        match map {
            _ if addr == 0 => 0,
            Some(map) if MapTypes::OF_MAPS.contains(map.ty) => self.name_of_map(addr),
            Some(map) if MapTypes::SOCKMAPS.contains(map.ty) => self.hold_socket(addr),
            Some(map) if MapTypes::DEVICES.contains(map.ty) => self.copy_of(addr),
            // No helper takes such a socket, and who looks into it is not admitted.
            Some(map) if MapTypes::SOCKETS.contains(map.ty) => map.kernel,
            _ => 0,
        }
    }

    /// What the program may know of a map that it found.
    pub(super) fn name_of_map(&self, addr: u64) -> u64 {
        let inner = self.program.used(addr, self);
        inner.map_or(0, |inner| inner.info.kernel)
    }

    /// Where the program sees a value that the kernel has at `addr`.
    fn value(&self, addr: u64, map: Option<&MapInfo>) -> u64 {
        match map.and_then(|map| self.place(map, addr)) {
            Some((values, off)) if off < values.span => values.base + off,
            Some(_) => 0,
            None => self.name(addr, map),
        }
    }
}
