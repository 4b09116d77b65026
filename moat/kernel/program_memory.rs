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

use crate::ffi::{moat_ctx_plan, moat_slot};
use crate::helpers::audit::Memory;
use crate::helpers::contract::BOUNCE_MAX;
use core::arch::asm;
use core::mem::MaybeUninit;

/// Bytes from which on copying in one instruction is worth its start.
const BULK: u64 = 512;

/// Where one run has its memory, and the kernel its shadow of the snapshot.
#[derive(Clone, Copy)]
pub struct Slot<'a> {
    slot: &'a moat_slot,
    plan: &'a moat_ctx_plan,
}

impl<'a> Slot<'a> {
    /// # Safety
    ///
    /// The current run has `slot`, which was laid out for `plan`.  If that loads or stores
    /// anything, there is a shadow.
    #[inline(always)]
    pub unsafe fn new(slot: &'a moat_slot, plan: &'a moat_ctx_plan) -> Slot<'a> {
        Slot { slot, plan }
    }

    /// Copies to the snapshot what the context's program has loaded, but for the words
    /// whose bits are set in `hidden`.
    #[inline(always)]
    pub fn show(&self, hidden: u64) {
        let shadow = self.slot.shadow as *const u64;
        let snap = self.slot.snap as *mut u64;
        let mut left = self.plan.words & !hidden;
        while left != 0 {
            let i = left.trailing_zeros() as usize;
            left &= left - 1;
            // SAFETY: both have the words that are loaded; see the module documentation.
            unsafe { snap.add(i).write_volatile(*shadow.add(i)) };
        }
    }

    /// `data`, `data_end` and `data_meta` as loaded: the kernel's pointers.
    #[inline(always)]
    pub fn packet_pointers(&self) -> [u64; 3] {
        let at = (self.slot.shadow + u64::from(self.plan.pkt_off)) as *const u64;
        // SAFETY: the shadow has the three words at `pkt_off`.
        unsafe { [*at, *at.add(1), *at.add(2)] }
    }

    /// Puts a packet of `len` bytes with its start at the copy into the snapshot;
    /// `data_meta` is `before` bytes before that.
    #[inline(always)]
    pub fn show_packet(&self, len: u64, before: u64) {
        let data = self.slot.pkt;
        let at = (self.slot.snap + u64::from(self.plan.pkt_off)) as *mut u64;
        // SAFETY: the snapshot has the three words at `pkt_off`.
        unsafe {
            at.write_volatile(data);
            at.add(1).write_volatile(data.wrapping_add(len));
            at.add(2).write_volatile(data.wrapping_sub(before));
        }
    }

    /// Puts a packet of which `copied` bytes are at the copy into the snapshot of a classic
    /// filter, which calls for the rest.
    #[inline(always)]
    pub fn show_classic_packet(&self, copied: u64) {
        let plan = self.plan;
        let at = |base: u64, off: u32| base + u64::from(off);
        // SAFETY: shadow and snapshot have the fields that the plan names.
        unsafe {
            let len = *(at(self.slot.shadow, plan.len_off) as *const u32);
            let rest = len.wrapping_sub(copied as u32);
            (at(self.slot.snap, plan.data_len_off) as *mut u32).write_volatile(rest);
            (at(self.slot.snap, plan.data_off) as *mut u64).write_volatile(self.slot.pkt);
        }
    }

    /// Copies in `len` bytes of the kernel's from `from` on, of which the first `meta` are
    /// metadata.
    ///
    /// # Safety
    ///
    /// They are mapped, and the slot has room for as much of each.
    #[inline(always)]
    pub unsafe fn load_packet(&self, from: u64, meta: u64, len: u64) {
        // SAFETY: by contract of this function.
        unsafe { copy(from, self.slot.pkt - meta, len) }
    }

    /// Copies them back, to `to`.
    ///
    /// # Safety
    ///
    /// As for [`Slot::load_packet`].
    #[inline(always)]
    pub unsafe fn store_packet(&self, to: u64, meta: u64, len: u64) {
        // SAFETY: by contract of this function.
        unsafe { copy(self.slot.pkt - meta, to, len) }
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
        let addr = self.words.as_mut_ptr() as u64;
        self.len = memory.len().min(room).into();
        // SAFETY: no more than the memory has, and `words` has room for.
        unsafe { copy_short(memory.addr(), addr, self.len) };
        addr
    }

    /// Copies back to `memory` what the helper has made of the copy, if the program may
    /// write there.
    #[inline(always)]
    pub fn give_back(&mut self, memory: Memory<'_>) {
        if memory.is_writable() {
            let len = self.len.min(memory.len().into());
            // SAFETY: no more than `take` has copied, nor than the memory has.
            unsafe { copy_short(self.words.as_mut_ptr() as u64, memory.addr(), len) };
        }
    }
}

/// `len` bytes from `from` to `to`.
///
/// # Safety
///
/// Both ranges are mapped, `to` is writable, and they do not overlap.  No Rust reference
/// is to what is written.
#[inline(always)]
unsafe fn copy(from: u64, to: u64, len: u64) {
    // SAFETY: by contract of this function.
    unsafe {
        if len < BULK {
            copy_short(from, to, len);
        } else {
            copy_many(from, to, len);
        }
    }
}

/// [`copy`], in words, whatever they are aligned to.
///
/// # Safety
///
/// As there.
#[inline(always)]
unsafe fn copy_short(from: u64, to: u64, len: u64) {
    let words = len & !7;
    let mut at = 0_u64;
    while at != words {
        // SAFETY: by contract of this function.
        unsafe {
            asm!(
                "mov {word}, qword ptr [{from} + {at}]",
                "mov qword ptr [{to} + {at}], {word}",
                word = out(reg) _,
                from = in(reg) from,
                to = in(reg) to,
                at = in(reg) at,
                options(nostack, preserves_flags),
            );
        }
        at = at.wrapping_add(8);
    }
    while at != len {
        // SAFETY: as above.
        unsafe {
            asm!(
                "mov {byte}, byte ptr [{from} + {at}]",
                "mov byte ptr [{to} + {at}], {byte}",
                byte = out(reg_byte) _,
                from = in(reg) from,
                to = in(reg) to,
                at = in(reg) at,
                options(nostack, preserves_flags),
            );
        }
        at = at.wrapping_add(1);
    }
}

/// [`copy`], in one instruction, which is fast on every CPU with PKS.  Of its own, so that
/// what does without it saves no registers.
///
/// # Safety
///
/// As there.
#[cold]
#[inline(never)]
unsafe fn copy_many(from: u64, to: u64, len: u64) {
    // SAFETY: by contract of this function; the direction flag is clear in kernel code.
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
