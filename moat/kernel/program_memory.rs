// SPDX-License-Identifier: GPL-2.0
//! Memory that a program may change while the kernel looks at it: what it passes to
//! helpers.  Of snapshot and packet copy, the plan's programs take care: `context.rs`.
//!
//! The program may do so on another CPU at any time (I1).  Plain accesses of Rust would be
//! data races, which compilers may take for impossible, and may read twice what was read
//! once.  Here each access is a volatile one or an instruction of its own; what is read is
//! a copy in kernel memory.  Context: any; PKRS open (I2).
//!
//! What all of this relies on:
//!
//! - *Liveness*: [`Memory`] is mapped as long as it lives: [`CallerMemory`].
//! - *Alignment*: what programs pass is aligned to nothing: it is only accessed by
//!   instructions, which do not mind.
//! - *Initialisation*: pages are zeroed when they are made.  A [`KernelCopy`] is only read
//!   where it was written.
//! - *Aliasing*: nobody makes a reference to program memory.
//!
//! [`CallerMemory`]: crate::helpers::audit::CallerMemory

use crate::helpers::audit::Memory;
use crate::helpers::contract::BOUNCE_MAX;
use core::arch::asm;
use core::mem::MaybeUninit;

/// The first word of `memory`, read once.  None if it is shorter.
#[inline(always)]
pub fn first_u32(memory: Memory<'_>) -> Option<u32> {
    if memory.len() < 4 {
        return None;
    }
    let value;
    // SAFETY: there are four bytes; see the module documentation.
    unsafe {
        asm!(
            "mov {value:e}, dword ptr [{addr}]",
            value = lateout(reg) value,
            addr = in(reg) memory.addr(),
            options(nostack, preserves_flags, readonly),
        );
    }
    Some(value)
}

/// Copies as much of `memory` as there is room for, and returns how much that is.
pub fn copy_in(memory: Memory<'_>, to: &mut [u8]) -> usize {
    let len = (memory.len() as usize).min(to.len());
    // SAFETY: no more than the memory has, and `to`, which is the kernel's and borrowed here
    // alone; see the module documentation.
    unsafe { Copying::new(memory.addr(), to.as_mut_ptr() as u64, len as u64) }.words();
    len
}

/// Memory of a program as words of eight bytes, each read or written at once.
pub struct Words<'d>(Memory<'d>);

impl<'d> From<Memory<'d>> for Words<'d> {
    fn from(memory: Memory<'d>) -> Words<'d> {
        Words(memory)
    }
}

impl Words<'_> {
    /// Where word `i` is.
    pub fn addr(&self, i: u64) -> u64 {
        self.0.addr().wrapping_add(i.wrapping_mul(8))
    }

    fn has(&self, i: u64) -> bool {
        i < u64::from(self.0.len()) / 8
    }

    /// Word `i`; 0 if there is none.
    pub fn get(&self, i: u64) -> u64 {
        let mut value = 0;
        if self.has(i) {
            // SAFETY: it is within the memory; see the module documentation.
            unsafe {
                asm!(
                    "mov {value}, qword ptr [{addr}]",
                    value = inout(reg) value,
                    addr = in(reg) self.addr(i),
                    options(nostack, preserves_flags, readonly),
                );
            }
        }
        value
    }

    /// Sets word `i`, if there is one and the program may write it.
    pub fn set(&self, i: u64, value: u64) {
        if self.has(i) && self.0.is_writable() {
            // SAFETY: it is within the memory, and the audit has asked whether the program
            // may write there; see the module documentation.
            unsafe {
                asm!(
                    "mov qword ptr [{addr}], {value}",
                    value = in(reg) value,
                    addr = in(reg) self.addr(i),
                    options(nostack, preserves_flags),
                );
            }
        }
    }
}

/// Which way.
#[derive(Clone, Copy)]
pub enum Way {
    In,
    Out,
}

/// A copy of an argument, for a helper that reads it more than once.
pub struct KernelCopy {
    words: MaybeUninit<[u64; (BOUNCE_MAX + 7) / 8]>,
    len: u64,
}

impl KernelCopy {
    /// A copy of nothing.
    #[inline(always)]
    pub fn new() -> KernelCopy {
        KernelCopy {
            words: MaybeUninit::uninit(),
            len: 0,
        }
    }

    /// Copies `memory`, but no more than `bytes` bytes.  Returns where the copy is, as long
    /// as this is not moved: kernel memory, to be given to the helper.
    #[inline(always)]
    pub fn take(&mut self, memory: Memory<'_>, bytes: u16) -> u64 {
        let room = u32::from(bytes).min(BOUNCE_MAX as u32);
        self.len = memory.len().min(room).into();
        self.copy(memory, self.len, Way::In)
    }

    /// Copies back to `memory` what the helper has made of the copy, if the program may
    /// write there.
    #[inline(always)]
    pub fn give_back(&mut self, memory: Memory<'_>) {
        if memory.is_writable() {
            let len = self.len.min(memory.len().into());
            self.copy(memory, len, Way::Out);
        }
    }

    /// Copies `len` bytes, which both have, and returns where they are here.
    #[inline(always)]
    fn copy(&mut self, memory: Memory<'_>, len: u64, way: Way) -> u64 {
        let here = self.words.as_mut_ptr() as u64;
        let (from, to) = match way {
            Way::In => (memory.addr(), here),
            Way::Out => (here, memory.addr()),
        };
        debug_assert!(len <= memory.len().into() && len <= BOUNCE_MAX as u64);
        // SAFETY: no more than the memory has, and `words`; what goes out went in before,
        // and the audit has asked whether the program may write there.
        unsafe { Copying::new(from, to, len) }.words();
        here
    }
}

/// The first `N` bytes of an argument, or as many as there are, and zeros behind them.
#[repr(align(8))]
pub struct Kept<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Kept<N> {
    pub fn new() -> Kept<N> {
        Kept {
            bytes: [0; N],
            len: 0,
        }
    }

    /// Copies `memory`, and returns where the copy is, as long as this is not moved.
    pub fn take(&mut self, memory: Option<Memory<'_>>) -> KeptAt {
        self.len = memory.map_or(0, |memory| copy_in(memory, &mut self.bytes));
        KeptAt(self.bytes.as_mut_ptr() as u64)
    }

    /// Copies back to `memory` what the kernel has made of the copy, if the program may write
    /// there.
    pub fn give_back(&mut self, memory: Memory<'_>) {
        if memory.is_writable() {
            let from = self.bytes.as_mut_ptr() as u64;
            let len = self.len.min(memory.len() as usize) as u64;
            // SAFETY: no more than the memory has, and `bytes`; the audit has asked whether
            // the program may write there.
            unsafe { Copying::new(from, memory.addr(), len) }.words();
        }
    }
}

/// Where a [`Kept`] is: kernel memory, to be given to the kernel.
pub struct KeptAt(u64);

impl KeptAt {
    #[inline(always)]
    pub(super) fn get(self) -> u64 {
        self.0
    }
}

/// `len` bytes at `from` that are to be at `to`.
#[derive(Clone, Copy)]
pub struct Copying {
    from: u64,
    to: u64,
    len: u64,
}

impl Copying {
    /// # Safety
    ///
    /// Both ranges are mapped, `to` is writable, and they do not overlap, as long as this is
    /// in use.  No Rust reference is to what is written.
    #[inline(always)]
    pub unsafe fn new(from: u64, to: u64, len: u64) -> Copying {
        Copying { from, to, len }
    }

    /// As records are: whole words first, mostly.
    #[inline(always)]
    pub fn all(self) {
        let Copying { from, to, len } = self;
        // SAFETY: by contract of `new`.  The direction flag is clear.
        unsafe {
            asm!(
                "rep movsq",
                "test {rest:e}, {rest:e}",
                "jz 2f",
                "mov ecx, {rest:e}",
                "rep movsb",
                "2:",
                rest = in(reg) len as u32 & 7,
                inout("rcx") len >> 3 => _,
                inout("rsi") from => _,
                inout("rdi") to => _,
                options(nostack),
            );
        }
    }

    /// In words, whatever they are aligned to.
    #[inline(always)]
    fn words(self) {
        let Copying { from, to, len } = self;
        let words = len & !7;
        let mut at = 0_u64;
        // SAFETY: by contract of `new`; `at` stays below `len`.
        unsafe {
            while at != words {
                asm!(
                    "mov {word}, qword ptr [{from} + {at}]",
                    "mov qword ptr [{to} + {at}], {word}",
                    word = out(reg) _,
                    from = in(reg) from,
                    to = in(reg) to,
                    at = in(reg) at,
                    options(nostack, preserves_flags),
                );
                at = at.wrapping_add(8);
            }
            while at != len {
                asm!(
                    "mov {byte}, byte ptr [{from} + {at}]",
                    "mov byte ptr [{to} + {at}], {byte}",
                    byte = out(reg_byte) _,
                    from = in(reg) from,
                    to = in(reg) to,
                    at = in(reg) at,
                    options(nostack, preserves_flags),
                );
                at = at.wrapping_add(1);
            }
        }
    }
}
