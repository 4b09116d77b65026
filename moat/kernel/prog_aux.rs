// SPDX-License-Identifier: GPL-2.0
//! `struct bpf_prog_aux`: what is known of a program that does not matter to its runs.
//!
//! C header: [`include/linux/bpf.h`].  Context: any.

use super::anywhere::anywhere;
use super::given::Given;
use core::marker::PhantomData;
use kernel::bindings::bpf_prog_aux;

/// Reads a field of a structure that the kernel has.
macro_rules! read {
    ($it:expr, $($field:tt)+) => {
        // SAFETY: liveness by contract of who made `$it`; the kernel's allocation, hence
        // aligned and initialised; no reference is made, and what the kernel changes
        // meanwhile are single words.
        unsafe { core::ptr::addr_of!((*$it).$($field)+).read_volatile() }
    };
}
pub(super) use read;

/// The aux of a program that the kernel holds for `'a`.
#[derive(Clone, Copy)]
pub struct Aux<'a>(
    pub(super) *const bpf_prog_aux,
    pub(super) PhantomData<&'a bpf_prog_aux>,
);

/// One that is there for as long as this is: of what is released before it.
pub struct KeptAux(pub(super) *const bpf_prog_aux);

anywhere!(KeptAux);

impl From<Given<*const bpf_prog_aux>> for KeptAux {
    fn from(given: Given<*const bpf_prog_aux>) -> KeptAux {
        KeptAux(given.get())
    }
}

impl KeptAux {
    /// It.
    #[inline(always)]
    pub fn get(&self) -> Aux<'_> {
        Aux(self.0, PhantomData)
    }
}

impl Aux<'_> {
    /// The number of the program, which it gets last of all; 0 if it has none.
    pub fn id(self) -> u32 {
        read!(self.0, id)
    }
}

#[cfg(MODULE)]
impl Aux<'_> {
    /// For the kernel.
    pub fn addr(self) -> u64 {
        self.0 as u64
    }

    /// What the program is called.
    pub fn name(self) -> crate::load::reason::Text {
        let name = read!(self.0, name);
        crate::load::reason::Text::new(name.iter().map(|&c| c as u8))
    }

    /// Bytes.
    pub fn stack_depth(self) -> u32 {
        read!(self.0, stack_depth)
    }

    /// Which of its functions is compiled, and of how many; one that has none of its own is
    /// the first of one.
    pub fn function(self) -> (u32, u32) {
        (read!(self.0, func_idx), read!(self.0, func_cnt).max(1))
    }
}

/// Tracepoints, which read what they tell of a program.
macro_rules! trace {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),*) => $c:path;)*) => {
        impl Aux<'_> {
            $($(#[$doc])*
            pub fn $name(self, $($arg: $type),*) {
                // SAFETY: liveness as `Aux` says; any context.
                unsafe { $c(self.0, $($arg),*) }
            })*
        }
    };
}

trace! {
    /// It got a view.
    fn trace_view() => kernel::bindings::moat_trace_view;
}

#[cfg(MODULE)]
trace! {
    /// It did what it may not.
    fn trace_violation(ip: u64, addr: u64, what: u32) => kernel::bindings::moat_trace_violation;
}
