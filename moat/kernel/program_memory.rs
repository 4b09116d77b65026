// SPDX-License-Identifier: GPL-2.0
//! Memory that a program may change while the kernel looks at it: snapshot and packet copy
//! of a run, what it passes to helpers.
//!
//! The program may do so on another CPU at any time (I1).  Plain accesses of Rust would be
//! data races, which compilers may take for impossible, and may read twice what was read
//! once.  Here each access is a volatile one or an instruction of its own; what is read is
//! a copy in kernel memory.  Context: any; PKRS open (I2).
//!
//! What all of this relies on:
//!
//! - *Liveness*: a slot is mapped, and has a shadow, until the program is released, which
//!   its runs end before.  [`Memory`] is mapped as long as it lives: [`CallerMemory`].
//! - *Alignment*: snapshots, shadows and their fields are aligned, as `Program::lay_out`
//!   and `moat_ctx.c` make them.  Packets, and what programs pass, are aligned to nothing:
//!   these are only accessed by instructions, which do not mind.
//! - *Initialisation*: pages and shadows are zeroed when they are made.  A [`KernelCopy`]
//!   is only read where it was written.
//! - *Aliasing*: nobody makes a reference to program memory.  A shadow is the run's that
//!   has the slot; a pointer to it is only used here and by the context's programs.
//!
//! [`CallerMemory`]: crate::helpers::audit::CallerMemory

use crate::edge::ffi::{moat_ctx_plan, moat_slot};
use crate::helpers::audit::Memory;
use crate::helpers::contract::BOUNCE_MAX;
use core::arch::asm;
use core::mem::MaybeUninit;

/// Bytes from which on copying in one instruction is worth its start.
const BULK: u64 = 512;

/// Where one run has its memory, and the kernel its shadow of the snapshot.
#[derive(Clone, Copy)]
pub struct RunSlot<'a> {
    slot: &'a moat_slot,
    plan: &'a moat_ctx_plan,
}

impl<'a> RunSlot<'a> {
    /// # Safety
    ///
    /// The current run has `slot`, which was laid out for `plan`.  If that loads or stores
    /// anything, there is a shadow.
    #[inline(always)]
    pub unsafe fn new(slot: &'a moat_slot, plan: &'a moat_ctx_plan) -> RunSlot<'a> {
        RunSlot { slot, plan }
    }

    /// Copies to the snapshot what the context's program has loaded, but for the words
    /// whose bits are set in `hidden`.
    #[inline(always)]
    pub fn show(&self, hidden: u64) {
        let mut left = self.plan.words & !hidden;
        while left != 0 {
            let i = left.trailing_zeros() as usize;
            left &= left - 1;
            self.put::<u64>(0, i, self.loaded(0, i));
        }
    }

    /// `data`, `data_end` and `data_meta` as loaded: the kernel's pointers.
    #[inline(always)]
    pub fn packet_pointers(&self) -> [u64; 3] {
        let at = self.plan.pkt_off;
        [self.loaded(at, 0), self.loaded(at, 1), self.loaded(at, 2)]
    }

    /// Puts a packet of `len` bytes with its start at the copy into the snapshot;
    /// `data_meta` is `before` bytes before that.
    #[inline(always)]
    pub fn show_packet(&self, len: u64, before: u64) {
        let (data, at) = (self.slot.pkt, self.plan.pkt_off);
        self.put(at, 0, data);
        self.put(at, 1, data.wrapping_add(len));
        self.put(at, 2, data.wrapping_sub(before));
    }

    /// Puts a packet of which `copied` bytes are at the copy into the snapshot of a classic
    /// filter, which calls for the rest.
    #[inline(always)]
    pub fn show_classic_packet(&self, copied: u64) {
        let len: u32 = self.loaded(self.plan.len_off, 0);
        self.put(self.plan.data_len_off, 0, len.wrapping_sub(copied as u32));
        self.put(self.plan.data_off, 0, self.slot.pkt);
    }

    /// What is `i` places behind a field of the shadow that the plan names.
    #[inline(always)]
    fn loaded<T: Copy>(&self, field: u32, i: usize) -> T {
        let shadow = self.slot.shadow as *const u8;
        // SAFETY: the shadow has it; see the module documentation.
        unsafe { *shadow.add(field as usize).cast::<T>().add(i) }
    }

    /// The same of the snapshot is to be `value`.
    #[inline(always)]
    fn put<T: Copy>(&self, field: u32, i: usize, value: T) {
        let snap = self.slot.snap as *mut u8;
        // SAFETY: the snapshot has it; see the module documentation.
        unsafe {
            snap.add(field as usize)
                .cast::<T>()
                .add(i)
                .write_volatile(value)
        };
    }

    /// Where the copy of the packet begins, with `meta` bytes of metadata before it.
    #[inline(always)]
    pub fn packet(&self, meta: u64) -> u64 {
        self.slot.pkt - meta
    }
}

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
        unsafe { Copying::new(from, to, len) }.short();
        here
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

    /// Does it.
    #[inline(always)]
    pub fn all(self) {
        if self.len < BULK {
            self.short();
        } else {
            Copying::many(self.from, self.to, self.len);
        }
    }

    /// In words, whatever they are aligned to.
    #[inline(always)]
    fn short(self) {
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

    /// In one instruction, which is fast on every CPU with PKS.  Of its own, so that what
    /// does without it saves no registers.
    #[cold]
    #[inline(never)]
    fn many(from: u64, to: u64, len: u64) {
        // SAFETY: by contract of `new`; the direction flag is clear in kernel code.
        unsafe {
            asm!(
                "rep movsb",
                inout("rsi") from => _,
                inout("rdi") to => _,
                inout("rcx") len => _,
                options(nostack, preserves_flags),
            );
        }
    }
}
