// SPDX-License-Identifier: GPL-2.0
//! The packet of a run: its copy in the slot, and what lies before it.
//!
//! The program sees a copy of what it can reach; where it ends it sees as it is.
//! Context: as in `run.rs`.

use super::Run;
use crate::ffi;
use crate::helpers::contract::Uncovers;
use crate::load::MAX_META;
use crate::prog_types::Context::{SkBuff, XdpBuff};

/// Bytes from which on copying in one instruction is worth its start.
const BULK: u64 = 512;

impl Run<'_> {
    /// Copies in what the program may reach of the packet.
    ///
    /// # Safety
    ///
    /// The shadow holds what `load` put there.
    #[inline(always)]
    pub(super) unsafe fn load_packet(&self) {
        let plan = &self.program.plan;
        if !plan.reads_pkt && !plan.reads_meta {
            return;
        }
        // SAFETY: three pointers that `load` stored; the packet they delimit is
        // the context's own, which stays while the program runs.
        unsafe {
            let data = *self.shadow(plan.pkt_off);
            let len = (*self.shadow(plan.pkt_off + 8)).wrapping_sub(data);
            let copied = match len >> 32 {
                0 => len.min(self.program.packet),
                // The end is before the start.
                _ => 0,
            };
            // Without support for metadata, `data_meta` is behind `data`.
            let (mut before, mut meta) = (0, 0);
            if plan.reads_meta {
                before = data.wrapping_sub(*self.shadow(plan.pkt_off + 16));
                if before <= MAX_META {
                    meta = before;
                }
            }
            copy(data - meta, self.slot.pkt - meta, meta + copied);
            (*self.run).pkt = data - meta;
            (*self.run).pkt_len = meta + copied;
            let snap = (self.slot.snap + u64::from(plan.pkt_off)) as *mut u64;
            *snap = self.slot.pkt;
            *snap.add(1) = self.slot.pkt.wrapping_add(len);
            *snap.add(2) = self.slot.pkt.wrapping_sub(before);
        }
    }

    /// Copies in what a classic filter may reach with its own loads.  For the rest it
    /// calls, as it does for what is in fragments.
    ///
    /// # Safety
    ///
    /// The shadow holds what `load` put there.
    pub(super) unsafe fn load_classic_packet(&self) {
        let plan = &self.program.plan;
        if !plan.reads_pkt {
            return;
        }
        let at = |off: u32| self.slot.snap + u64::from(off);
        // SAFETY: a classic context is a socket buffer.
        unsafe {
            let headlen = ffi::moat_shim_skb_headlen(self.ctx());
            let copied = u64::from(headlen).min(self.program.packet);
            copy(ffi::moat_shim_skb_data(self.ctx()), self.slot.pkt, copied);
            let len = *((self.slot.shadow + u64::from(plan.len_off)) as *const u32);
            *(at(plan.data_len_off) as *mut u32) = len.wrapping_sub(copied as u32);
            *(at(plan.data_off) as *mut u64) = self.slot.pkt;
        }
    }

    /// Copies back all that was copied in.
    pub(super) fn store_packet(&self) {
        // SAFETY: the packet area and the packet both have `pkt_len` bytes, since
        // nothing that moves the packet comes between load and store.
        unsafe {
            let (to, len) = ((*self.run).pkt, (*self.run).pkt_len);
            copy(self.slot.pkt - self.meta(), to, len);
        }
    }

    /// Bytes of metadata that were copied before the packet.
    fn meta(&self) -> u64 {
        // SAFETY: see `in_run`; the shadow is the kernel's.
        unsafe {
            if (*self.run).pkt_len == 0 || !self.program.plan.reads_meta {
                return 0;
            }
            (*self.shadow(self.program.plan.pkt_off)).wrapping_sub((*self.run).pkt)
        }
    }

    /// Where what the program may see begins: the metadata, or the packet.
    fn start(&self) -> u64 {
        // SAFETY: the context is what the program's type says.
        unsafe {
            match self.program.row.context {
                XdpBuff => ffi::moat_shim_xdp_start(self.ctx(), true),
                SkBuff => ffi::moat_shim_skb_start(self.ctx()),
            }
        }
    }

    /// Notes where what the program is given begins.  What is before that is old
    /// kernel memory, until the program has been there.
    #[cold]
    #[inline(never)]
    pub fn begin_at_start(&self) {
        // SAFETY: see `in_run`; only this CPU touches it.
        unsafe { (*self.run).covered = self.start() };
    }

    /// After a helper that may have moved the start of the packet, or of its metadata,
    /// to old kernel memory: clears that, in the kernel's buffer, since the program is
    /// not the only one who may see it.
    pub(super) fn cover(&self, what: Uncovers) {
        let start = self.start();
        // SAFETY: the kernel's own pointers.  What is between them is in the packet's
        // buffer and before its first byte so far.  If a socket buffer has another
        // buffer now, it has no metadata: that starts at the packet.
        unsafe {
            let covered = (*self.run).covered;
            let (from, to) = match (self.program.row.context, what) {
                (XdpBuff, Uncovers::Nothing) => return,
                // Metadata moved along, and is between its start and the packet's.
                (XdpBuff, Uncovers::Head) => (ffi::moat_shim_xdp_start(self.ctx(), false), covered),
                (XdpBuff, Uncovers::Meta) => (start, covered),
                // What the packet got more, the helper has filled in.
                (SkBuff, _) => (start, covered.min(ffi::moat_shim_skb_data(self.ctx()))),
            };
            if from < to {
                ffi::moat_shim_zero(from, to);
            }
            (*self.run).covered = covered.min(start);
        }
    }
}

/// `len` bytes from `from` to `to`; short ones, in words.
///
/// # Safety
///
/// Both ranges are mapped and do not overlap.
#[inline(always)]
unsafe fn copy(from: u64, to: u64, len: u64) {
    // SAFETY: by contract of this function.
    unsafe {
        if len >= BULK {
            return copy_many(from, to, len);
        }
        let mut at = 0;
        while at + 8 <= len {
            let word = ((from + at) as *const u64).read_unaligned();
            ((to + at) as *mut u64).write_unaligned(word);
            at += 8;
        }
        while at < len {
            *((to + at) as *mut u8) = *((from + at) as *const u8);
            at += 1;
        }
    }
}

/// [`copy`], by `memcpy()`.  Of its own, so that what does without it saves no registers.
///
/// # Safety
///
/// As there.
#[cold]
#[inline(never)]
unsafe fn copy_many(from: u64, to: u64, len: u64) {
    // SAFETY: by contract of this function.
    unsafe { core::ptr::copy_nonoverlapping(from as *const u8, to as *mut u8, len as usize) };
}
