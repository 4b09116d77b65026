// SPDX-License-Identifier: GPL-2.0
//! The context of a run and its packet, copied in and out.
//!
//! The program sees a copy of what it can reach; where the packet ends it sees as it is.
//! Context: as in `invocation.rs`.

use super::invocation::Run;
use super::program_memory::{Copying, Way};
use crate::edge::ffi;
use crate::load::MAX_META;
use core::ffi::c_void;

impl Run<'_> {
    /// No packet has been copied in yet.
    #[inline(always)]
    pub fn begin(&self) {
        self.copied().set(0);
    }

    /// Loads the context and the packet.  0, or 1 + the verdict to end with.
    pub fn load(&self) -> u64 {
        let plan = &self.program.plan;
        if plan.load.is_null() {
            return 0;
        }
        let ret = self.run_plan(Way::In);
        if ret != 0 {
            return ret;
        }
        // The kernel's packet pointers are for it alone.
        let hidden = match plan.classic {
            true => 1 << (plan.data_off / 8),
            false => 7 << (plan.pkt_off / 8),
        };
        self.memory().show(hidden);
        if plan.classic {
            self.load_classic_packet();
        } else {
            self.load_packet();
        }
        0
    }

    /// Writes back what the program changed.
    pub fn store(&self) {
        let plan = &self.program.plan;
        if plan.writes_pkt {
            self.store_packet();
        }
        if !plan.store.is_null() {
            self.run_plan(Way::Out);
        }
    }

    /// Has the context itself copied by the plan's program for that, which there is.
    #[inline(always)]
    fn run_plan(&self, way: Way) -> u64 {
        let (plan, slot) = (&self.program.plan, self.slot);
        let (prog, memory, shadow) = match way {
            Way::In => (plan.load, slot.shadow, 0),
            Way::Out => (plan.store, slot.snap, slot.shadow),
        };
        // SAFETY: `load` writes at most `snap_size` bytes of the shadow; `store` reads as many
        // of the snapshot, whatever these are, and of the shadow.
        unsafe {
            ffi::moat_shim_run_plan(
                prog,
                self.ctx(),
                memory as *mut c_void,
                shadow as *mut c_void,
            )
        }
    }

    /// Copies in what the program may reach of the packet.  The shadow is loaded.
    #[inline(always)]
    fn load_packet(&self) {
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
        unsafe { Copying::new(from, memory.packet(meta), copied) }.all();
        self.copied_from().set(from);
        self.copied().set(copied);
        memory.show_packet(len, before);
    }

    /// Copies in what a classic filter may reach with its own loads.  For the rest it
    /// calls, as it does for what is in fragments.  The shadow is loaded.
    #[inline(always)]
    fn load_classic_packet(&self) {
        if !self.program.plan.reads_pkt {
            return;
        }
        let memory = self.memory();
        // SAFETY: a classic context with a packet is a socket buffer, whose head is mapped;
        // the slot has room for `packet` bytes.
        let copied = unsafe {
            let skb = self.known_skb();
            let copied = u64::from(skb.headlen()).min(self.program.packet);
            Copying::new(skb.data(), memory.packet(0), copied).all();
            copied
        };
        memory.show_classic_packet(copied);
    }

    /// Copies back all that was copied in.
    #[inline(always)]
    fn store_packet(&self) {
        let (to, len) = (self.copied_from().get(), self.copied().get());
        let mut meta = 0;
        if len != 0 && self.program.plan.reads_meta {
            // What was copied before the packet.
            meta = self.memory().packet_pointers()[0].wrapping_sub(to);
        }
        // SAFETY: the packet area and the packet both have `len` bytes, since nothing that
        // moves the packet comes between load and store.
        unsafe { Copying::new(self.memory().packet(meta), to, len) }.all();
    }
}
