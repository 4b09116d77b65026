// SPDX-License-Identifier: GPL-2.0
//! What the gates call while a program runs: copies in and out, audited calls.
//!
//! Context: whatever the program runs in, NMI included; must not sleep.  PKRS is
//! open (I2), so the window can be read and written here like any memory, but
//! what is read from it may change at any time (I1): it is copied first.

use crate::ffi::{self, moat_run, moat_site};
use crate::helpers::audit::{self, Allegation, AuditError, Domain, MapInfo};
use crate::helpers::contract::{Arg, Bounce, Contract, Ret, BOUNCE_MAX};
use crate::helpers::geometry::Shape;
use crate::helpers::maptype::{MapTypes, ARRAY, ARRAY_OF_MAPS, PERCPU_ARRAY};
use crate::line::Line;
use crate::program::Program;
use crate::reshape;
use crate::sends;
use crate::violation;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::sync::atomic::Ordering;
use kernel::bindings;

mod packet;

/// A helper's return value.
type Called = core::result::Result<u64, AuditError>;

/// `BPF_FUNC_map_lookup_elem`
const MAP_LOOKUP_ELEM: u32 = 1;

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

/// One invocation, as the gates hand it over.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    run: *mut moat_run,
    pub program: &'a Program,
    slot: &'a ffi::moat_slot,
}

impl<'a> Run<'a> {
    /// # Safety
    ///
    /// `run` is this CPU's current invocation, as built by `moat_enter`.
    pub unsafe fn new(run: *mut moat_run) -> Run<'a> {
        // SAFETY: the gate stored both; a program outlives its runs, and `dom` is
        // its first member.
        unsafe {
            Run {
                run,
                program: &*((*run).domain as *const Program),
                slot: &*((*run).slot as *const ffi::moat_slot),
            }
        }
    }

    pub fn ctx(&self) -> *mut c_void {
        // SAFETY: see `new`.
        unsafe { (*self.run).ctx as *mut c_void }
    }

    /// Ends the run with the safe verdict as soon as the gate looks.
    pub fn stop(&self) {
        // SAFETY: see `new`; only this CPU touches it.
        unsafe { (*self.run).stop = 1 }
    }

    /// A word of the kernel-owned copy of the snapshot.
    fn shadow(&self, off: u32) -> *mut u64 {
        (self.slot.shadow + u64::from(off)) as *mut u64
    }

    /// Loads the context and the packet.  0, or 1 + the verdict to end with.
    fn load(&self) -> u64 {
        let plan = &self.program.plan;
        if plan.load.is_null() {
            return 0;
        }
        // SAFETY: `load` writes at most `snap_size` bytes of the shadow.
        let ret = unsafe {
            ffi::moat_shim_run_plan(
                plan.load,
                self.ctx(),
                self.slot.shadow as *mut c_void,
                core::ptr::null_mut(),
            )
        };
        if ret != 0 {
            return ret;
        }
        // SAFETY: shadow and snapshot both have room for the words `load` writes;
        // the packet area is sized for what is copied.
        unsafe {
            let (from, to) = (self.slot.shadow as *const u64, self.slot.snap as *mut u64);
            // The kernel's packet pointers are for it alone.
            let hidden = match plan.classic {
                true => 1 << (plan.data_off / 8),
                false => 7 << (plan.pkt_off / 8),
            };
            let mut left = plan.words & !hidden;
            while left != 0 {
                let i = left.trailing_zeros() as usize;
                left &= left - 1;
                *to.add(i) = *from.add(i);
            }
            if plan.classic {
                self.load_classic_packet();
            } else {
                self.load_packet();
            }
        }
        0
    }

    /// Loads them again after a helper that may have changed them.
    fn reload(&self, contract: &Contract) -> u64 {
        if self.program.uncovers {
            self.cover(contract.uncovers);
        }
        self.load()
    }

    /// Writes back what the program changed.
    fn store(&self) {
        let plan = &self.program.plan;
        if plan.writes_pkt {
            self.store_packet();
        }
        if !plan.store.is_null() {
            // SAFETY: `store` reads `snap_size` bytes of both.
            unsafe {
                ffi::moat_shim_run_plan(
                    plan.store,
                    self.ctx(),
                    self.slot.snap as *mut c_void,
                    self.slot.shadow as *mut c_void,
                );
            }
        }
    }

    /// Whether the run has to end.  Called after helpers that may take long: a program
    /// that spends its time in them is hardly ever found by an interrupt.
    fn is_over(&self, site: &moat_site) -> bool {
        if self.program.flags().load(Ordering::Relaxed) & bindings::MOAT_DOM_DEAD != 0 {
            return true;
        }
        // SAFETY: see `new`.
        if unsafe { !bindings::moat_overdue(self.run) } {
            return false;
        }
        let fault = ffi::moat_fault {
            ip: site.ret.ip,
            addr: 0,
            error_code: 0,
            vector: bindings::MOAT_FAULT_BUDGET,
            reserved: 0,
        };
        // SAFETY: this is the current invocation.
        unsafe { violation::fault(self.run, &fault) };
        true
    }

    /// Whether the packet may be sent.  If so, it and its clones say that they were.
    fn sends(&self) -> bool {
        // SAFETY: the context is a socket buffer, as no other is asked about here.
        unsafe {
            let line = Line::from_bits(ffi::moat_shim_skb_line(self.ctx()));
            match sends::may_send(self.program, line) {
                Some(line) => {
                    ffi::moat_shim_set_skb_line(self.ctx(), line.bits());
                    ffi::moat_shim_defer(self.run);
                    true
                }
                None => false,
            }
        }
    }

    /// A map lookup, the call that comes most often.
    fn lookup(&self, site: &moat_site, raw: &[Allegation; 5]) -> Called {
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
    fn call(
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
                self.program.used(addr).map_or(0, |inner| inner.info.kernel)
            }
            _ => 0,
        }
    }

    /// Where the program sees a value that the kernel has at `addr`.
    fn value(&self, addr: u64, map: Option<&MapInfo>) -> u64 {
        let values = match map.and_then(|map| self.program.values(map.kernel)) {
            Some(values) if addr != 0 => values,
            _ => return self.name(addr, map),
        };
        // SAFETY: the program holds a reference on the map.
        let off = unsafe { bindings::moat_map_offset(values.map, addr as *const c_void) };
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

impl Domain for Run<'_> {
    fn contains(&self, addr: u64, len: u64, write: bool) -> bool {
        let (base, size) = self.program.area();
        if audit::within(base, size, addr, len) {
            return true;
        }
        self.program.used_maps().any(|map| {
            // SAFETY: the program's until it is released, or while they are listed.
            unsafe { map.values.as_ref() }.map_or(false, |values| {
                (values.writable || !write) && audit::within(values.base, values.span, addr, len)
            })
        })
    }

    fn map(&self, addr: u64) -> Option<&MapInfo> {
        self.program.used(addr).map(|used| &used.info)
    }

    fn ctx(&self) -> u64 {
        Run::ctx(self) as u64
    }

    fn snapshot(&self) -> u64 {
        self.slot.snap
    }

    fn pkt_data(&self) -> u64 {
        // SAFETY: asked for socket buffers only.
        unsafe { ffi::moat_shim_skb_data(Run::ctx(self)) }
    }

    fn headlen(&self) -> u64 {
        // SAFETY: asked for socket buffers only.
        unsafe { ffi::moat_shim_skb_headlen(Run::ctx(self)).into() }
    }
}

/// Called by `moat_enter` for programs with MOAT_DOM_PREPARE.
///
/// # Safety
///
/// `run` is the current invocation.
#[no_mangle]
pub unsafe extern "C" fn moat_prepare(run: *mut moat_run) -> u64 {
    // SAFETY: by contract of this function.
    unsafe {
        (*run).pkt_len = 0;
        let run = Run::new(run);
        if run.program.rewrites && !ffi::moat_shim_make_one(run.ctx()) {
            return 1 + run.program.dom.verdict;
        }
        if run.program.uncovers {
            run.begin_at_start();
        }
        run.load()
    }
}

/// Called by `moat_exit` for programs with MOAT_DOM_FINISH.
///
/// # Safety
///
/// `run` is the current invocation.
#[no_mangle]
pub unsafe extern "C" fn moat_finish(run: *mut moat_run) {
    // SAFETY: by contract of this function.
    unsafe { Run::new(run) }.store();
}

/// Called by `moat_audit`.
///
/// # Safety
///
/// `run` is the current invocation, `site` one of its program's, `args` five
/// registers saved in kernel memory.
#[no_mangle]
pub unsafe extern "C" fn moat_audited_call(
    run: *mut moat_run,
    site: *const moat_site,
    args: *const [Allegation; 5],
) -> u64 {
    // SAFETY: by contract of this function.
    let (run, site, args) = unsafe { (Run::new(run), &*site, &*args) };
    let called = match site.id as u32 {
        MAP_LOOKUP_ELEM => run.lookup(site, args),
        _ => run.call(site, args),
    };
    match called {
        Ok(ret) => ret,
        Err(error) => {
            violation::bad_call(&run, site, &error);
            run.stop();
            0
        }
    }
}

/// Called by `moat_return` for a number the program does not have.
///
/// # Safety
///
/// `run` is the current invocation.
#[no_mangle]
pub unsafe extern "C" fn moat_no_return(run: *mut moat_run) {
    // SAFETY: by contract of this function.
    violation::no_return(&unsafe { Run::new(run) });
}
