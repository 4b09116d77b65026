// SPDX-License-Identifier: GPL-2.0
//! `struct bpf_prog`, as hooks are given it.
//!
//! C header: [`include/linux/filter.h`].  What a hook may do with a program follows from the
//! type that `hooks.rs` says it gets.  Context: that of the hook.

use super::counters::moat_loaded;
use super::given::Given;
use super::loaded::Loaded;
use super::prog_aux::{read, Aux, KeptAux};
use crate::load::reason::Text;
use crate::run::program::Program;
use crate::state::arena::Id;
use crate::state::Confined;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::{addr_of, addr_of_mut, null_mut, NonNull};
use core::sync::atomic::Ordering;
use kernel::bindings::{self, bpf_insn, bpf_prog};
use kernel::prelude::*;

const EXT: u32 = bindings::bpf_prog_type_BPF_PROG_TYPE_EXT;

/// A program that the kernel holds for `'a`.
#[derive(Clone, Copy)]
pub struct Prog<'a> {
    prog: *mut bpf_prog,
    held: PhantomData<&'a bpf_prog>,
}

impl<'a> Prog<'a> {
    /// `BPF_PROG_TYPE_*`; 0 for a classic filter.
    pub fn kernel_type(self) -> u32 {
        read!(self.prog, type_)
    }

    /// The same, or what it extends: `resolve_prog_type()`.
    pub fn resolved_type(self) -> u32 {
        let (ty, target) = (self.kernel_type(), read!(self.aux().0, saved_dst_prog_type));
        match self.is_extension() && target != 0 {
            true => target,
            false => ty,
        }
    }

    /// Whether it is for the place of a function.
    pub fn is_extension(self) -> bool {
        self.kernel_type() == EXT
    }

    /// Where it is entered with kernel rights.
    pub fn entry(self) -> u64 {
        read!(self.prog, bpf_func).map_or(0, |f| f as usize as u64)
    }

    /// It, if it is isolated.
    pub fn isolated(self) -> Option<Isolated<'a>> {
        (!read!(self.aux().0, moat).is_null()).then(|| Isolated(self))
    }

    /// `BPF_XDP`, `BPF_CGROUP_*` and so on, where the type has several.
    pub fn expected_attach_type(self) -> u32 {
        read!(self.prog, expected_attach_type)
    }

    /// A hash of its instructions.
    pub fn tag(self) -> [u8; 8] {
        read!(self.prog, tag)
    }

    /// What it is called.
    pub fn name(self) -> Text {
        self.aux().name()
    }

    /// The rest of what is known of it.
    pub fn aux(self) -> Aux<'a> {
        // Every program has one, which lives as long.
        Aux(read!(self.prog, aux), PhantomData)
    }

    /// Its instructions.
    pub fn insns(self) -> &'a [bpf_insn] {
        let len = read!(self.prog, len) as usize;
        // SAFETY: liveness: held for `'a`, and `len` of them follow the structure.  Aliasing:
        // nobody changes them while the hook runs that is given them.
        unsafe {
            let insns = addr_of!((*self.prog).__bindgen_anon_1.__bindgen_anon_2);
            core::slice::from_raw_parts(insns.cast(), len)
        }
    }

    /// The helper, `BPF_FUNC_*`, that is the function at `func`; 0 or negative if none is.
    pub fn call_target(self, func: u64) -> i32 {
        // SAFETY: liveness: held for `'a`; the address is only compared.
        unsafe { bindings::moat_call_target(self.prog, func as *const c_void) }
    }
}

impl<'a> From<Given<*mut bpf_prog>> for Prog<'a> {
    fn from(given: Given<*mut bpf_prog>) -> Prog<'a> {
        Prog {
            prog: given.get(),
            held: PhantomData,
        }
    }
}

impl<'a> From<Given<*const bpf_prog>> for Prog<'a> {
    fn from(given: Given<*const bpf_prog>) -> Prog<'a> {
        Prog {
            prog: given.get() as *mut bpf_prog,
            held: PhantomData,
        }
    }
}

impl<'a> From<Given<*const bpf_prog>> for Option<Prog<'a>> {
    fn from(given: Given<*const bpf_prog>) -> Option<Prog<'a>> {
        let prog = Prog::from(given);
        (!prog.prog.is_null()).then(|| prog)
    }
}

/// One that is isolated, and not released during the call.
#[derive(Clone, Copy)]
pub struct Isolated<'a>(Prog<'a>);

impl<'a> Isolated<'a> {
    /// What was stored when it was admitted.
    #[inline(always)]
    pub fn program(self) -> &'a Program {
        let program = read!(self.aux().0, moat) as *const Program;
        // SAFETY: liveness: stored when it was admitted, and not released meanwhile; a box's
        // content.  Aliasing: who admitted it is done with the exclusive reference, and
        // nobody makes another.
        unsafe { &*program }
    }
}

impl<'a> Deref for Isolated<'a> {
    type Target = Prog<'a>;

    fn deref(&self) -> &Prog<'a> {
        &self.0
    }
}

impl<'a, C> From<Given<C>> for Isolated<'a>
where
    Prog<'a>: From<Given<C>>,
{
    fn from(given: Given<C>) -> Isolated<'a> {
        Isolated(Prog::from(given))
    }
}

/// One that only the caller has, and whose [`Program`] nobody uses meanwhile, if it has one.
pub struct Mine<'a>(Prog<'a>);

impl<'a> Mine<'a> {
    /// The pointer that is there, for `program` in its place.
    pub(super) fn swap(&mut self, program: *mut Program) -> Option<NonNull<Program>> {
        let aux = self.aux().0 as *mut bindings::bpf_prog_aux;
        // SAFETY: liveness as the program's; only the hooks write it, and of those that are
        // given a `Mine` there is one at a time.
        let old = unsafe { addr_of_mut!((*aux).moat).replace(program.cast()) };
        NonNull::new(old.cast())
    }

    /// Its aux, for what is to be stored here: that is released before the program is freed.
    pub fn keep_aux(&self) -> KeptAux {
        KeptAux(self.aux().0)
    }

    /// Makes it a candidate.
    pub fn store_candidate(&mut self, program: Box<Program>) {
        // Counted down when what `take` makes of it is dropped.
        moat_loaded.fetch_add(1, Ordering::Relaxed);
        self.swap(Box::into_raw(program));
    }

    /// Says that it is left alone, and under which name it is known.
    pub fn store_confined(&mut self, id: Id<Confined>) {
        self.swap_confined(id.bits());
    }

    /// It is known no more, if it is one that was left alone.
    pub fn take_confined(&mut self) -> Option<Id<Confined>> {
        Id::from_bits(self.swap_confined(0))
    }

    fn swap_confined(&mut self, bits: u64) -> u64 {
        let aux = self.aux().0 as *mut bindings::bpf_prog_aux;
        // SAFETY: as in `swap`.
        unsafe { addr_of_mut!((*aux).moat_confined).replace(bits) }
    }

    /// Makes it isolated.
    pub fn store(&mut self, program: Loaded) {
        self.swap(program.into_raw());
    }

    /// It is one no more.
    pub fn take(&mut self) -> Option<Loaded> {
        // Of a box, stored by one of the functions above, and there no more.
        self.swap(null_mut()).map(Loaded::from_raw)
    }
}

impl<'a> Deref for Mine<'a> {
    type Target = Prog<'a>;

    fn deref(&self) -> &Prog<'a> {
        &self.0
    }
}

impl<'a> From<Given<*mut bpf_prog>> for Mine<'a> {
    fn from(given: Given<*mut bpf_prog>) -> Mine<'a> {
        Mine(Prog::from(given))
    }
}

/// What a program is run with.
///
/// C header: [`include/linux/moat.h`], `enum moat_kind`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What its type says.
    Extended,
    /// Converted from a classic filter: `struct sk_buff`.
    ClassicSkb,
    /// That, too: `struct seccomp_data`.
    ClassicSeccomp,
}

/// None is one that the kernel does not have.
impl From<Given<bindings::moat_kind>> for Option<Kind> {
    fn from(given: Given<bindings::moat_kind>) -> Option<Kind> {
        match given.get() {
            bindings::moat_kind_MOAT_EXTENDED => Some(Kind::Extended),
            bindings::moat_kind_MOAT_CLASSIC_SKB => Some(Kind::ClassicSkb),
            bindings::moat_kind_MOAT_CLASSIC_SECCOMP => Some(Kind::ClassicSeccomp),
            _ => None,
        }
    }
}
