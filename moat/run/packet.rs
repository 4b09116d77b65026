// SPDX-License-Identifier: GPL-2.0
//! The packet of a run: its copy in the slot, and what lies before it.
//!
//! The program sees a copy of what it can reach; where it ends it sees as it is.
//! Context: as in `run.rs`.

use super::Run;
use crate::ffi;
use crate::helpers::audit::CallerMemory;
use crate::helpers::contract::Uncovers;
use crate::load::MAX_META;
use crate::prog_types::Context::{SkBuff, XdpBuff};

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
        let memory = self.memory();
        let [data, end, data_meta] = memory.packet_pointers();
        let len = end.wrapping_sub(data);
        let copied = match len >> 32 {
            0 => len.min(self.program.packet),
            // The end is before the start.
            _ => 0,
        };
        // Without support for metadata, `data_meta` is behind `data`.
        let (mut before, mut meta) = (0, 0);
        if plan.reads_meta {
            before = data.wrapping_sub(data_meta);
            if before <= MAX_META {
                meta = before;
            }
        }
        let (from, copied) = (data - meta, meta + copied);
        // SAFETY: the packet between the pointers is the context's own, which stays while
        // the program runs; the slot has room for `packet` bytes, and for metadata if the
        // program reads it.
        unsafe {
            memory.load_packet(from, meta, copied);
            (*self.run).pkt = from;
            (*self.run).pkt_len = copied;
        }
        memory.show_packet(len, before);
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
        let copied = CallerMemory::headlen(self).min(self.program.packet);
        let memory = self.memory();
        // SAFETY: the head of a socket buffer, as a classic context is; the slot has room
        // for `packet` bytes.
        unsafe { memory.load_packet(self.pkt_data(), 0, copied) };
        memory.show_classic_packet(copied);
    }

    /// Copies back all that was copied in.
    pub(super) fn store_packet(&self) {
        // SAFETY: the packet area and the packet both have `pkt_len` bytes, since
        // nothing that moves the packet comes between load and store.
        unsafe {
            let (to, len) = ((*self.run).pkt, (*self.run).pkt_len);
            let mut meta = 0;
            if len != 0 && self.program.plan.reads_meta {
                // What was copied before the packet.
                meta = self.memory().packet_pointers()[0].wrapping_sub(to);
            }
            self.memory().store_packet(to, meta, len);
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
                (SkBuff, _) => (start, covered.min(self.pkt_data())),
            };
            if from < to {
                ffi::moat_shim_zero(from, to);
            }
            (*self.run).covered = covered.min(start);
        }
    }
}
