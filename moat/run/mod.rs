// SPDX-License-Identifier: GPL-2.0
//! What the gates call while a program runs.  Calls are in `run/call.rs`; how context and
//! packet go in and out, if gates do not see to it, in `kernel/context.rs`.
//!
//! Context: whatever the program runs in, NMI included; must not sleep.  PKRS is
//! open (I2), so the window can be read and written here like any memory, but
//! what is read from it may change at any time (I1): `kernel/program_memory.rs` copies it.

#![forbid(unsafe_code)]

use crate::edge::ffi;
use crate::edge::off;
use crate::edge::site::Site;
use crate::helpers::audit::{Allegation, Caller, MapInfo};
use crate::helpers::contract::Contract;
use crate::helpers::grants::Kind;
use crate::helpers::table;
use crate::run::line::Line;
use kernel::bindings;

mod call;
mod conntrack;
mod copies;
mod dynptrs;
pub mod ext;
#[allow(dead_code)]
pub mod line;
pub mod locks;
mod print;
pub mod program;
pub mod records;
pub mod reshape;
pub mod sends;
pub mod sockets;
pub mod tail;
pub mod timers;
pub mod violation;

pub use crate::edge::invocation::Run;

// `BPF_FUNC_*`
const MAP_LOOKUP_ELEM: u32 = bindings::bpf_func_id_BPF_FUNC_map_lookup_elem;
const RINGBUF_RESERVE: u32 = bindings::bpf_func_id_BPF_FUNC_ringbuf_reserve;
const RINGBUF_SUBMIT: u32 = bindings::bpf_func_id_BPF_FUNC_ringbuf_submit;
const RINGBUF_DISCARD: u32 = bindings::bpf_func_id_BPF_FUNC_ringbuf_discard;

impl Run<'_> {
    /// Loads context and packet again after a helper that may have changed them.
    fn reload(&self, contract: &Contract) -> u64 {
        if self.program.uncovers {
            self.cover(contract.uncovers);
        }
        self.load_here()
    }

    /// Loads context and packet, and what it has of the context's socket.
    fn load_here(&self) -> u64 {
        let ret = self.load_packet();
        self.load_socket();
        ret
    }

    /// Loads context and packet.  If the program writes, that may move the packet to another
    /// buffer.
    fn load_packet(&self) -> u64 {
        if !self.program.uncovers {
            return self.load();
        }
        let start = self.start();
        let ret = self.load();
        if self.start() != start {
            self.begin_at_start();
        }
        ret
    }

    /// Whether the run has to end.  Called after helpers that may take long: a program
    /// that spends its time in them is hardly ever found by an interrupt.
    fn is_over(&self, site: Site<'_>) -> bool {
        self.is_over_at(site.ip())
    }

    /// The same, of a call that goes on at `ip`, or 0.
    fn is_over_at(&self, ip: u64) -> bool {
        if self.program.is_dead() {
            return true;
        }
        if !self.is_overdue() {
            return false;
        }
        let fault = ffi::moat_fault {
            ip,
            addr: 0,
            error_code: 0,
            vector: bindings::MOAT_FAULT_BUDGET,
            reserved: 0,
        };
        violation::stopped_by(self.program, &fault);
        true
    }

    /// What a call returns; or the run is stopped.
    #[inline(always)]
    fn answer(&self, site: Site<'_>, called: call::Called) -> u64 {
        match called {
            Ok(ret) => ret,
            Err(error) => {
                violation::bad_call(self, site, &error);
                self.stop();
                0
            }
        }
    }

    /// Whether the packet may be sent.  If so, it and its clones say that they were.  Of what
    /// XDP sends the kernel asks afterwards.
    fn sends(&self) -> bool {
        let skb = match self.packet().skb() {
            Some(skb) => skb,
            None => return true,
        };
        match sends::may_send(self.program, Line::from_bits(skb.line())) {
            Some(line) => {
                skb.set_line(line.bits());
                self.defer();
                true
            }
            None => false,
        }
    }
}

impl Caller for Run<'_> {
    fn map(&self, addr: u64) -> Option<&MapInfo> {
        let used = self.program.used(addr, self);
        match off::map_identity() {
            true => used.or_else(|| self.program.own_maps().first()),
            false => used,
        }
        .map(|used| &used.info)
    }

    fn ctx(&self) -> u64 {
        Run::ctx(self) as u64
    }

    fn snapshot(&self) -> u64 {
        self.slot.snap
    }

    fn pkt_data(&self) -> u64 {
        self.packet().skb().map_or(0, |skb| skb.data())
    }

    fn headlen(&self) -> u64 {
        self.packet().skb().map_or(0, |skb| skb.headlen().into())
    }

    fn socket(&self, name: u64, back: bool) -> Option<u64> {
        self.socket_of(name, back)
    }

    fn object(&self, kind: Kind, name: u64, back: bool) -> Option<u64> {
        self.conn_of(kind, name, back)
    }

    fn callback(&self, addr: u64) -> Option<u64> {
        self.program.callback(addr)
    }
}

/// Called by `moat_enter` for programs with MOAT_DOM_PREPARE.
#[inline(always)]
pub fn prepare(run: Run<'_>) -> u64 {
    run.forget_copies();
    if run.program.uncovers {
        // Metadata that is not sound is given up, which the program is not to see before.
        run.begin_at_start();
    }
    run.forget_kept();
    run.load_here()
}

/// Whether a call leaves the elements of hash maps as they are.  What is no helper may have run
/// other programs.
fn leaves_maps(site: Site<'_>) -> bool {
    table::is_helper(site.helper()) && site.contract().leaves_maps
}

/// Called by `moat_audit`: `site` is one of the program's, `args` are five registers saved in
/// kernel memory.
#[inline(always)]
pub fn audited_call(run: Run<'_>, site: Site<'_>, args: &[Allegation; 5]) -> u64 {
    let called = match site.helper() {
        MAP_LOOKUP_ELEM => run.lookup(site, args),
        RINGBUF_RESERVE => run.reserve(site, args),
        RINGBUF_SUBMIT | RINGBUF_DISCARD => run.commit(site, args),
        id if !table::is_helper(id) => run.call_no_helper(site, args),
        _ => run.call(site, args),
    };
    if run.slot.changes != 0 && !leaves_maps(site) {
        run.tell_of_change();
    }
    run.answer(site, called)
}

/// Called by `moat_map_lookup_outer` with what it has found, or zero.
#[inline(always)]
pub fn name_of_map(run: Run<'_>, found: u64) -> u64 {
    run.name_of_map(found)
}

/// Called by `moat_map_next_elems`, which sees whether the run is to end.
#[inline(always)]
pub fn took_long(run: Run<'_>, site: Site<'_>) {
    if run.is_over(site) {
        run.stop();
    }
}

/// Called by `moat_callback_element` for a value of `map`, where that is not known beforehand.
#[inline(always)]
pub fn value_of_map(run: Run<'_>, map: u64, value: u64) -> u64 {
    run.value_of_map(map, value)
}

/// Called by `moat_return` for a number the program does not have.
#[inline(always)]
pub fn no_return(run: Run<'_>) {
    violation::no_return(&run)
}
