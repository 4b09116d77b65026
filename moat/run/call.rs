// SPDX-License-Identifier: GPL-2.0
//! Audited calls of helpers, and what the program gets back.
//!
//! Context: as in `run.rs`.

use super::Run;
use crate::ffi::{self, moat_site};
use crate::helpers::audit::{self, Allegation, AuditError, MapInfo};
use crate::helpers::contract::{Arg, Bounce, Contract, Ret, BOUNCE_MAX};
use crate::helpers::geometry::Shape;
use crate::helpers::maptype::{MapTypes, ARRAY, ARRAY_OF_MAPS, PERCPU_ARRAY};
use crate::reshape;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use kernel::bindings;

/// A helper's return value.
type Called = core::result::Result<u64, AuditError>;

/// The index of an array, which the kernel reads with a plain load and may read
/// again after the check.
const ARRAY_KEY: Bounce = Bounce {
    arg: 1,
    bytes: 4,
    back: false,
};

fn is_array(map: &MapInfo) -> bool {
    matches!(map.ty, ARRAY | PERCPU_ARRAY | ARRAY_OF_MAPS)
}

impl Run<'_> {
    /// A map lookup, the call that comes most often.
    pub(super) fn lookup(&self, site: &moat_site, raw: &[Allegation; 5]) -> Called {
        let (map, key) = audit::audit_lookup(raw[0], raw[1], self)?;
        let mut args = [map.kernel, key.get(), 0, 0, 0];
        let index;
        if is_array(map) {
            // SAFETY: the audit granted `key_size` bytes, which is 4.
            index = unsafe { (args[1] as *const u32).read_volatile() };
            args[1] = &index as *const u32 as u64;
        }
        // SAFETY: what the contract of the helper grants.
        let ret = unsafe { ffi::moat_shim_call(site.func, args.as_ptr()) };
        Ok(self.value(ret, Some(map)))
    }

    /// Audits a helper call and makes it.
    pub(super) fn call(
        &self,
        site: &moat_site,
        raw: &[Allegation; 5],
    ) -> core::result::Result<u64, AuditError> {
        // SAFETY: `add_site` stored a contract of the table.
        let contract = unsafe { &*(site.contract as *const Contract) };
        let checked = audit::audit(contract, raw, self)?;
        let mut args = checked.args.map(|grant| grant.get());

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
            if !self.sends() {
                if self.is_over(site) {
                    self.stop();
                }
                return Ok(sends.answer as u64);
            }
        }
        let bounce = match (checked.bounce, checked.map, contract.args[1]) {
            (None, Some(map), Arg::MapKey) if is_array(map) => Some(ARRAY_KEY),
            (bounce, _, _) => bounce,
        };
        match bounce {
            Some(bounce) => self.call_bounced(site, contract, &bounce, &mut args, checked.map),
            None => Ok(self.make(site, contract, &args, checked.map, |_| true)),
        }
    }

    /// Makes a call that has passed all checks.  `look` is given what it returned, before
    /// the context is loaded again, and says whether the run may go on.
    #[inline(always)]
    fn make(
        &self,
        site: &moat_site,
        contract: &Contract,
        args: &[u64; 5],
        map: Option<&MapInfo>,
        look: impl FnOnce(u64) -> bool,
    ) -> u64 {
        if contract.effects.store_ctx {
            self.store();
        }
        // SAFETY: the arguments are what the contract of this helper grants.
        let ret = unsafe { ffi::moat_shim_call(site.func, args.as_ptr()) };
        if !look(ret)
            || (contract.effects.load_ctx && self.reload(contract) != 0)
            || self.is_over(site)
        {
            self.stop();
        }
        match contract.ret {
            Ret::Scalar => ret,
            Ret::Int => ret as u32 as u64,
            Ret::Void => 0,
            Ret::MapValueOrNull => self.value(ret, map),
        }
    }

    /// A call that may change where the headers of the packet are.  Apart, as is the next
    /// one, since runs nest eight deep in a helper that sends: their frames have to be
    /// small.
    #[inline(never)]
    fn call_reshaping(
        &self,
        site: &moat_site,
        contract: &Contract,
        shape: Shape,
        args: &[u64; 5],
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
        site: &moat_site,
        contract: &Contract,
        bounce: &Bounce,
        args: &mut [u64; 5],
        map: Option<&MapInfo>,
    ) -> Called {
        let mut copy = MaybeUninit::<[u64; (BOUNCE_MAX + 7) / 8]>::uninit();
        let copy = copy.as_mut_ptr().cast::<u8>();
        let i = bounce.arg as usize % 5;
        let len = bounce_len(contract, bounce, args, map);
        let theirs = args[i];
        if theirs != 0 {
            // SAFETY: the audit granted `len` bytes there; `copy` has room.
            unsafe { core::ptr::copy_nonoverlapping(theirs as *const u8, copy, len) };
            args[i] = copy as u64;
        }
        Ok(self.make(site, contract, args, map, |_| {
            if theirs != 0 && bounce.back {
                // SAFETY: as above; the audit asked for write access.
                unsafe { core::ptr::copy_nonoverlapping(copy, theirs as *mut u8, len) };
            }
            true
        }))
    }

    /// What the program may know of a map that it found in `map`.
    #[cold]
    fn name(&self, addr: u64, map: Option<&MapInfo>) -> u64 {
        match map {
            Some(map) if MapTypes::OF_MAPS.contains(map.ty) => {
                self.program.used(addr, self).map_or(0, |inner| inner.info.kernel)
            }
            _ => 0,
        }
    }

    /// Where the program sees a value that the kernel has at `addr`.
    fn value(&self, addr: u64, map: Option<&MapInfo>) -> u64 {
        let used = map.and_then(|map| self.program.used(map.kernel, self));
        let (map, values) = match used.and_then(|used| Some((used.info.kernel, used.values?))) {
            Some(known) if addr != 0 => known,
            _ => return self.name(addr, map),
        };
        let map = map as *const ffi::bpf_map;
        // SAFETY: the program holds a reference on the map.
        let off = unsafe { bindings::moat_map_offset(map, addr as *const c_void) };
        if off < values.span {
            values.base + off
        } else {
            0
        }
    }
}

/// Bytes that a [`Bounce`] copies.
fn bounce_len(
    contract: &Contract,
    bounce: &Bounce,
    args: &[u64; 5],
    map: Option<&MapInfo>,
) -> usize {
    let told = match contract.args[bounce.arg as usize % 5] {
        Arg::Mem { size, .. } => args[size as usize % 5],
        Arg::FixedMem { bytes, .. } => bytes.into(),
        Arg::MapKey => map.map_or(0, |m| m.key_size.into()),
        Arg::MapValue | Arg::MapValueOut => map.map_or(0, |m| m.value_size.into()),
        _ => 0,
    };
    told.min(bounce.bytes.into()).min(BOUNCE_MAX as u64) as usize
}
