// SPDX-License-Identifier: GPL-2.0
//! The call of a helper: `struct moat_site`, as the gates pass it on, and its arguments.
//!
//! C header: `arch/x86/include/asm/moat.h`.  Context: as in `invocation.rs`.

use super::desk::Lent;
use super::gates::Gates;
use super::given::Given;
use super::program_memory::{KeptAt, KernelCopy};
use crate::edge::ffi::{self, moat_site};
use crate::helpers::audit::{Bounced, MapInfo, Memory, Register};
use crate::helpers::contract::Contract;
use crate::helpers::dynptr::{Dynptr, Reached};
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::addr_of;
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::bindings;

/// A call of the program that runs: one of those that `Loading::add_site` made for it.
#[derive(Clone, Copy)]
pub struct Site<'a>(&'a moat_site);

impl<'a> From<Given<*const moat_site>> for Site<'a> {
    #[inline(always)]
    fn from(given: Given<*const moat_site>) -> Site<'a> {
        Site(given.borrow())
    }
}

/// What a helper is called with: what an audit has granted, or a copy in its place.
pub struct Registers([u64; 5]);

impl From<[Register; 5]> for Registers {
    #[inline(always)]
    fn from([a, b, c, d, e]: [Register; 5]) -> Registers {
        Registers([a.get(), b.get(), c.get(), d.get(), e.get()])
    }
}

impl Deref for Registers {
    type Target = [u64; 5];

    #[inline(always)]
    fn deref(&self) -> &[u64; 5] {
        &self.0
    }
}

impl Registers {
    /// Passes `gate` in place of a function, the second argument of all that take one.
    #[inline(always)]
    pub(super) fn pass_gate(&mut self, gate: u64) {
        self.0[1] = gate;
    }

    /// Passes `copy` in place of what `bounced` names, once that is in it.
    #[inline(always)]
    pub fn pass(&mut self, copy: &mut KernelCopy, bounced: Bounced<'_>) {
        let Bounced { how, memory } = bounced;
        self.0[how.arg as usize % 5] = copy.take(memory, how.bytes);
    }

    /// Passes what `reached` has in place of the dynptr that argument `arg` is, for as long as
    /// that is not moved.
    #[inline(always)]
    pub fn pass_dynptr(&mut self, arg: u8, reached: &Reached) {
        self.0[arg as usize % 5] = reached.dynptr() as *const Dynptr as u64;
    }

    /// Passes a copy in argument `arg`, from 0.
    pub fn pass_kept(&mut self, arg: usize, kept: KeptAt) {
        self.0[arg % 5] = kept.get();
    }

    /// Passes what a desk has in argument `arg`, from 0.
    pub fn lend(&mut self, arg: usize, lent: Lent) {
        self.0[arg % 5] = lent.get();
    }
}

/// What a function is called with: `MOAT_ARGS_*`.
#[derive(Clone, Copy)]
pub struct Args(u32);

impl Args {
    /// Whether argument `n` is the context.
    pub fn is_context(self, n: usize) -> bool {
        (self.0 & bindings::MOAT_ARGS_CTX) >> n & 1 != 0
    }

    /// Whether one is.
    pub fn has_context(self) -> bool {
        self.0 & bindings::MOAT_ARGS_CTX != 0
    }

    /// Whether any may be, and nobody takes them for more than numbers.
    pub fn are_unknown(self) -> bool {
        self.0 == bindings::MOAT_ARGS_ANY
    }
}

/// Where the key is that is looked up.
#[derive(Clone, Copy)]
pub struct Key<'a>(u64, PhantomData<&'a u32>);

impl<'a> From<Memory<'a>> for Key<'a> {
    #[inline(always)]
    fn from(granted: Memory<'a>) -> Key<'a> {
        Key(granted.addr(), PhantomData)
    }
}

/// A copy of an index.
impl<'a> From<&'a u32> for Key<'a> {
    #[inline(always)]
    fn from(index: &'a u32) -> Key<'a> {
        Key(index as *const u32 as u64, PhantomData)
    }
}

impl<'a> Site<'a> {
    /// `BPF_FUNC_*`
    #[inline(always)]
    pub fn helper(self) -> u32 {
        self.0.id as u32
    }

    /// Where the program goes on.
    #[inline(always)]
    pub fn ip(self) -> u64 {
        self.0.ret.ip
    }

    /// Of the helper: its function.
    #[inline(always)]
    pub(super) fn func(self) -> u64 {
        self.0.func
    }

    /// Of the helper.
    #[inline(always)]
    pub fn contract(self) -> &'static Contract {
        // SAFETY: `Loading::add_site` stored the address of a contract in the table, a
        // constant.
        unsafe { &*(self.0.contract as *const Contract) }
    }

    /// Of a function: what its arguments are.
    #[inline(always)]
    pub fn args(self) -> Args {
        Args(self.0.contract as u32)
    }

    /// Of what is in a function's place, or traces it when it is done: where it is entered,
    /// or 0.
    #[inline(always)]
    pub fn extension(self) -> u64 {
        // SAFETY: liveness as `self`; such a field is written by atomic stores only.
        unsafe { &*(addr_of!(self.0.map) as *const AtomicU64) }.load(Ordering::Acquire)
    }

    /// The same of what traces it when it begins.
    #[inline(always)]
    pub fn trace(self) -> u64 {
        // SAFETY: as above.
        unsafe { &*(addr_of!(self.0.traced) as *const AtomicU64) }.load(Ordering::Acquire)
    }

    /// Whether that is an isolated program which was stopped for good.
    #[inline(always)]
    pub fn extension_is_dead(self) -> bool {
        // SAFETY: as above.
        let domain = unsafe { &*(addr_of!(self.0.func) as *const AtomicU64) };
        let domain = domain.load(Ordering::Relaxed) as *const Gates;
        // SAFETY: liveness: it was attached when the run began, or since, and who detaches it
        // waits for the run before anybody can free it.  Flags are atomic.
        !domain.is_null()
            && unsafe { &*domain }.flags().load(Ordering::Relaxed) & bindings::MOAT_DOM_DEAD != 0
    }

    /// Calls the helper, after its audit.
    #[inline(always)]
    pub fn call(self, args: &Registers) -> u64 {
        // SAFETY: `func` is the helper's.  The arguments are what its contract grants:
        // nothing else makes `Registers`.
        unsafe { ffi::moat_shim_call(self.0.func, args.0.as_ptr()) }
    }

    /// The same of a helper that looks up `key` in `map`, which are of its audit.
    #[inline(always)]
    pub fn look_up(self, map: &MapInfo, key: Key<'_>) -> u64 {
        // SAFETY: as in `call`; the program uses the map, and the key may be read.
        unsafe { ffi::moat_shim_lookup(self.0.func, map.kernel, key.0) }
    }
}
