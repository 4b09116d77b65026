// SPDX-License-Identifier: GPL-2.0
//! The context of a run and its packet, copied in and out.
//!
//! The program sees a copy of what it can reach; where the packet ends it sees as it is.
//! The programs that copy are the plan's: `kernel/bpf/moat_ctx.c`, `moat_packet.c`.  Gates
//! call them straight away where nothing else is to be done; this is for the rest.
//! Context: as in `invocation.rs`.

use super::invocation::Run;
use crate::edge::ffi::{self, bpf_prog};
use crate::helpers::grants::{Held, Struct, SOCKET_COPY};
use core::ffi::c_void;
use kernel::bindings;

impl Run<'_> {
    /// Loads the context and the packet.  0, or 1 + the verdict to end with.
    #[inline(always)]
    pub fn load(&self) -> u64 {
        let ret = self.run_plan(self.program.plan.load);
        match self.program.plan.leaf {
            true => 0,
            false => ret,
        }
    }

    /// Writes back what the program changed of the context and of the packet, which nothing
    /// has moved since it was loaded.
    #[inline(always)]
    pub fn store(&self) {
        self.run_plan(self.program.plan.store);
    }

    /// Writes what the program reads of a socket to where it has that, as `struct bpf_sock`
    /// and, of TCP, `struct bpf_tcp_sock`.
    #[inline(always)]
    pub fn copy_socket(&self, held: &Held) {
        if let Some(sockets) = self.program.plan.sockets() {
            self.run_plan_on(sockets.copy, held.object().addr(), held.name());
        }
    }

    /// The same of what it reads of it as such a structure of the kernel's, which it was for a
    /// helper.
    pub fn copy_struct(&self, held: &Held, what: Struct) {
        let sockets = self.program.plan.sockets;
        if sockets.is_null() {
            return;
        }
        let copy = (held.name() + SOCKET_COPY) as *mut c_void;
        let object = held.object().addr() as *const c_void;
        // SAFETY: liveness: the plan's; the run holds the socket, or somebody does for it, or
        // its memory is of one such socket or another.  The slot was laid out for the plan,
        // and what the program makes of this memory decides nothing.
        unsafe { bindings::moat_copy_struct(sockets, what as u32, copy, object) };
    }

    #[inline(always)]
    fn run_plan(&self, prog: *mut bpf_prog) -> u64 {
        self.run_plan_on(prog, self.ctx() as u64, self.slot.snap)
    }

    /// `prog` is one of the plan's, or null.
    #[inline(always)]
    fn run_plan_on(&self, prog: *mut bpf_prog, object: u64, copy: u64) -> u64 {
        if prog.is_null() {
            return 0;
        }
        let slot = (self.slot as *const ffi::moat_slot).cast();
        let (object, copy) = (object as *mut c_void, copy as *mut c_void);
        // SAFETY: the slot was laid out for the plan, whose programs write no more than it has
        // room for, to the context what may be written there, and no more packet than there
        // is.  But for the program, which decides nothing of theirs, nobody else has the slot.
        // Sockets are there: the run holds them, or somebody does for it.
        unsafe { ffi::moat_shim_run_plan(prog, object, copy, slot, self.as_ptr()) }
    }
}
