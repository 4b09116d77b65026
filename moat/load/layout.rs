// SPDX-License-Identifier: GPL-2.0
//! How a program's slots are laid out: a count of changes, copies of what it looks up, snapshot,
//! metadata, packet, records, stack, landing areas.
//!
//! Context: process; the lock is free, since the memory is charged to who loads the
//! program, and may have to be waited for.

#![forbid(unsafe_code)]

use super::calls::Calls;
use crate::edge::calls;
use crate::edge::ffi;
use crate::edge::maps::Map;
use crate::edge::memory::{try_box, Slots, Zeroed};
use crate::edge::plan::CalledWith;
use crate::edge::plan::Plan;
use crate::helpers::grants::{Entry, CONN_COPY, SOCKET_COPY};
use crate::load::reason::Failure::{NoMemory, Refused};
use crate::load::reason::{Reason, Subject, Tried};
use crate::load::Facts;
use crate::prog_types::Context;
use crate::run::program::{Callbacks, Program, Rare, COPIES_SIZE};
use crate::state::{Area, Layout};
use kernel::bindings;

/// Bytes of stack of programs with local calls, whose frames add up to
/// `MAX_BPF_STACK` at most; for each of up to eight frames its return address,
/// frame pointer and four saved registers.
const STACK: u64 = (bindings::MAX_BPF_STACK + ffi::MAX_CALL_FRAMES * 8 * 8) as u64 + WAYS;
/// And for each function what its way to those who trace it pushes (`emit_moat_way()`): eight
/// words, of which three are in the above.
const WAYS: u64 = (ffi::MAX_CALL_FRAMES * 5 * 8) as u64;
/// What is added to that where the kernel inlines `bpf_loop`, and for loops of MOAT's own: for each
/// frame three registers, and four with a function's address and one word more, both rounded up.
const INLINED: u64 = (ffi::MAX_CALL_FRAMES * 11 * 8) as u64;
/// And where it has a call in place of a store to the mark of a connection: six registers.
const SAVED: u64 = (ffi::MAX_CALL_FRAMES * 6 * 8) as u64;
/// The largest key of a map whose elements a function is called for.
const MAX_KEY: u32 = 4096;
/// Bytes of samples, and of stacks, that all functions have which may be in one another.
const MAX_SAMPLES: u64 = 1 << 20;
/// Bytes below the stack for what an exception pushes, and its entry stub.
pub const EXCEPTION: u64 = 128;
/// Bytes of packet that the verifier lets a program reach: its `MAX_PACKET_OFF`, and
/// the byte at that offset.
const MAX_PACKET: u64 = 0xffff + 1;
/// Bytes of metadata before the packet: `skb_metadata_set()`, `bpf_xdp_adjust_meta()`.
const MAX_META: u64 = 256;
/// Bytes of records in a slot, at most.
const MAX_RECORDS: u64 = 1 << 20;
/// Bytes of a record that a program has by a dynptr, at most: their size is known only when they
/// are reserved.
const MAX_DYNPTR: u64 = 1 << 16;
/// Sockets that a run has without a reference, at most, if it asks for listeners, or for those
/// of MPTCP: those that differ.  The context has one.
const LISTENERS: u64 = 16;
const LANDING: u64 = bindings::MOAT_LANDING_SIZE as u64;
const NR_IST: usize = bindings::MOAT_NR_IST as usize;
const NEST: usize = bindings::MOAT_NEST as usize;
const PAGE: u64 = 4096;
/// Bytes of an area that no slot has, at its ends.  `in_slots()` in
/// `arch/x86/kernel/moat.c` takes no frame less than 256 bytes from the start, where
/// the first slot has a snapshot and the room for exceptions, or 64 from the end.
pub const MARGIN: (u64, u64) = (192, 64);

fn round_up(n: u64, to: u64) -> u64 {
    (n + to - 1) / to * to
}

/// Bytes of each part of a slot.
struct Sizes {
    /// Where changes are counted, of programs that walk over maps.
    changes: u64,
    copies: u64,
    snap: u64,
    meta: u64,
    packet: u64,
    records: Records,
    stack: u64,
    /// Above it: what an extension is called with that is not the context.
    args: u64,
}

/// Room for what a run holds.
#[derive(Clone, Copy)]
struct Records {
    /// None of a program that has no use for that.
    nr: Option<u64>,
    /// Bytes of each.
    size: u64,
}

impl Records {
    fn bytes(self) -> u64 {
        round_up(self.nr.unwrap_or(0) * self.size, 64)
    }

    /// Words of kernel memory for the table of a slot.
    fn words(self) -> usize {
        self.nr.map_or(0, |nr| 2 + 4 * nr as usize)
    }

    /// The table of a slot with so many at `base`, nothing held.
    fn table(self, words: &mut [u64], base: u64) {
        let (head, entries) = words.split_at_mut(2.min(words.len()));
        if let [held, nr] = head {
            *held = 0;
            *nr = self.nr.unwrap_or(0);
        }
        for (i, entry) in entries.chunks_exact_mut(4).enumerate() {
            let place = base + self.size * i as u64;
            entry.copy_from_slice(&Entry::at(place).words());
        }
    }
}

impl Sizes {
    fn slot(&self) -> u64 {
        let sum = self.changes + self.copies + self.snap + self.meta + self.packet;
        let sum = sum + self.records.bytes() + EXCEPTION + self.stack + self.args;
        round_up(sum, 64)
    }

    /// Runs that nest do so in the kernel: what lies in the landing areas then
    /// has been copied, and one for each vector will do.
    fn per_cpu(&self) -> u64 {
        self.slot() * NEST as u64 + NR_IST as u64 * LANDING
    }
}

impl Program {
    /// Gives it slots, and sets what gates have to know of them.
    pub(super) fn lay_out(
        &mut self,
        calls: &Calls,
        facts: &Facts,
        maps: &[Map<'_>],
    ) -> Tried<Layout> {
        let mut rare = Rare {
            callbacks: None,
            kfuncs: calls.kfuncs,
        };
        if calls.calls_back || calls.timers {
            let mut callbacks = callbacks(calls, facts, maps)?;
            callbacks.timers = calls.timers;
            callbacks.drains = calls.drains;
            callbacks.walks = calls.walks != 0;
            rare.callbacks = Some(callbacks);
        }
        if rare.callbacks.is_some() || rare.kfuncs.iter().any(|func| *func != 0) {
            self.rare = Some(try_box(rare).ok_or(NoMemory)?);
        }
        let is_skb = self.row.context == Context::SkBuff;
        self.uncovers = calls.uncover || is_skb && self.plan.reads_meta;
        self.rewrites = is_skb && self.plan.writes_pkt;
        self.record = largest_record(calls, facts, kept(&self.plan, calls), maps);
        let sizes = self.sizes(calls, facts)?;
        self.keeps = kept(&self.plan, calls) != 0;
        self.holds = facts.refs != 0;
        self.locks = calls.locks;
        self.set_ways();
        if sizes.records.nr.is_some() {
            self.gates.edit().flags |= bindings::MOAT_DOM_GRANTS;
        }

        let nr_cpus = calls::nr_cpus();
        // Only what is read back has to be kept where the program cannot write.
        let words = match self.plan.writes_fields {
            true => (sizes.snap / 8) as usize,
            false => 0,
        };
        let shadows = Zeroed::new(words * NEST * nr_cpus as usize).ok_or(NoMemory)?;
        let nr_slots = NEST * nr_cpus as usize;
        let mut grants = Zeroed::new(sizes.records.words() * nr_slots).ok_or(NoMemory)?;
        let mut slots = Slots::new().ok_or(NoMemory)?;
        // A margin at either end, so that what a stub pushes stays inside.
        let area = Area::new(round_up(
            MARGIN.0 + sizes.per_cpu() * u64::from(nr_cpus) + MARGIN.1,
            PAGE,
        ))?;
        let kernel = KernelMemory {
            shadows: (shadows.addr(), words),
            grants: &mut grants,
        };
        place(&mut slots, nr_cpus, &sizes, area.base, kernel);
        let domain = self.gates.edit();
        domain.slot_lo = area.base;
        domain.slot_hi = area.base + area.len;
        domain.slots = slots.addr();
        Ok(Layout {
            area,
            slots,
            shadows,
            grants,
        })
    }

    fn sizes(&self, calls: &Calls, facts: &Facts) -> Tried<Sizes> {
        // What only helpers call, they call inlined, too.
        let inlined = facts.callbacks.iter().any(|word| *word != 0);
        let with_loops = match self.callbacks() {
            Some(all) => u64::from(all.stack) + all.bytes(),
            None => STACK + INLINED + saved(calls),
        };
        let plan = &self.plan;
        let refused = |why| {
            Refused(Reason {
                insn: None,
                subject: Subject::Program,
                why,
            })
        };
        let records = Records {
            nr: match calls.grants || kept(plan, calls) != 0 {
                true => Some(most_held(calls, facts, kept(plan, calls))),
                false => None,
            },
            // Two that are held have two names.
            size: round_up(self.record.max(1).into(), 8)
                .max(if calls.conns { CONN_COPY } else { 0 })
                .max(match calls.sockets || plan.reads_sk {
                    true => SOCKET_COPY + round_up(plan.struct_size(), 8),
                    false => 0,
                }),
        };
        if records.bytes() > MAX_RECORDS {
            return Err(refused(
                "holds more than 1 MiB of ring buffer records and sockets at once",
            ));
        }
        // A program that reads nothing of its context has only an address for it.
        let bare = plan.load.is_null() && plan.store.is_null() && !plan.reads_sk;
        let snap = match bare {
            true => 1,
            false => plan.snap_size.into(),
        };
        let reach = u64::from(plan.max_pkt_offset);
        if reach > MAX_PACKET {
            return Err(refused("reach into packets beyond MAX_PACKET_OFF"));
        }
        Ok(Sizes {
            changes: if calls.walks != 0 { 64 } else { 0 },
            copies: match self.has_copies {
                true => round_up(COPIES_SIZE, 64),
                false => 0,
            },
            snap: round_up(snap, 64),
            meta: if plan.reads_meta { MAX_META } else { 0 },
            packet: match plan.reads_pkt || plan.reads_meta {
                true => round_up(reach, 64),
                false => 0,
            },
            records,
            stack: match plan.classic || calls.local {
                true if inlined => with_loops,
                true => STACK + saved(calls),
                false => round_up(facts.stack_depth.into(), 8) + saved(calls),
            },
            args: match plan.called_with {
                CalledWith::Context => 0,
                _ => 8 * u64::from(bindings::MOAT_EXT_ARGS),
            },
        })
    }

    /// What has to be done before and after a run.
    fn set_ways(&mut self) {
        let (load, store) = self.plan.code();
        let mut flags = 0;
        if self.uncovers || self.has_copies || self.keeps {
            flags |= bindings::MOAT_DOM_PREPARE;
        } else if load != 0 {
            flags |= bindings::MOAT_DOM_LOAD;
        }
        if self.plan.leaf {
            flags |= bindings::MOAT_DOM_LEAF;
        }
        if store != 0 {
            flags |= bindings::MOAT_DOM_STORE;
        }
        let domain = self.gates.edit();
        domain.load = load;
        domain.store = store;
        domain.flags |= flags;
    }
}

/// What its frames are larger for stores, if it may have something to store to.
fn saved(calls: &Calls) -> u64 {
    if calls.conns {
        SAVED
    } else {
        0
    }
}

/// How many sockets a run may have that others keep for it.
fn kept(plan: &Plan, calls: &Calls) -> u64 {
    let kept = u64::from(calls.listener) + u64::from(calls.mptcp);
    kept * LISTENERS + u64::from(plan.reads_sk)
}

/// How much a run may hold at once, with `kept` sockets.
fn most_held(calls: &Calls, facts: &Facts, kept: u64) -> u64 {
    u64::from(facts.refs) + u64::from(calls.locks) + kept
}

/// Bytes of the largest record that there is to be room for.  By a dynptr programs ask for any
/// size: what their rings have, but no more than lets a slot have room for all that is held.
fn largest_record(calls: &Calls, facts: &Facts, kept: u64, maps: &[Map<'_>]) -> u32 {
    if !calls.dynptrs {
        return facts.record;
    }
    let room = MAX_RECORDS / most_held(calls, facts, kept).max(1);
    let room = room.min(MAX_DYNPTR) / 8 * 8;
    let most = maps.iter().map(|map| map.largest_record()).max();
    facts.record.max(most.unwrap_or(0).min(room as u32))
}

/// What belongs to slots and is out of the program's reach.
struct KernelMemory<'a> {
    /// Where, and how many words for each slot.
    shadows: (u64, usize),
    grants: &'a mut Zeroed<u64>,
}

/// The functions that helpers may call.
fn callbacks(calls: &Calls, facts: &Facts, maps: &[Map<'_>]) -> Tried<Callbacks> {
    let mut most = 0;
    let any = facts.callbacks.iter().any(|word| *word != 0);
    for map in maps.iter().filter(|_| any) {
        let key = map.callback_key();
        if key > MAX_KEY {
            return Err(map.refused("has keys too long to be copied for callbacks"));
        }
        most = most.max(key);
    }
    // The program has a frame, and each function has one of its own.
    let levels = ffi::MAX_CALL_FRAMES - 1;
    let stack = STACK + INLINED + saved(calls);
    let new = |key, more| Callbacks::new(facts.callbacks, levels, (stack + more) as u32, key);
    for map in maps.iter().filter(|_| calls.drains) {
        most = most.max(map.sample());
        if map.sample() != 0 && new(most, 0).bytes() > MAX_SAMPLES {
            return Err(map.refused("has samples too large to be copied for callbacks"));
        }
    }
    Ok(new(most, batches(calls, maps)))
}

/// What the kernel adds for the elements of hash maps, where it has a loop over these: a batch in
/// the frame of each function that has one.
fn batches(calls: &Calls, maps: &[Map<'_>]) -> u64 {
    let batch = maps.iter().map(|map| map.batch()).max().unwrap_or(0);
    calls.walks.min(ffi::MAX_CALL_FRAMES as u64) * batch
}

/// Says where each CPU's slots are in the area at `base`.
fn place(slots: &mut Slots, nr_cpus: u32, sizes: &Sizes, base: u64, kernel: KernelMemory<'_>) {
    let (shadows, words) = kernel.shadows;
    let table = sizes.records.words();
    let per_cpu = sizes.per_cpu();
    for cpu in 0..nr_cpus as usize {
        let mine = match slots.of(cpu as u32) {
            Some(mine) => mine,
            None => return,
        };
        for (nest, s) in mine.slot.iter_mut().enumerate().rev() {
            let cpu_low = base + MARGIN.0 + per_cpu * cpu as u64;
            let low = cpu_low + sizes.slot() * nest as u64;
            s.changes = if sizes.changes != 0 { low } else { 0 };
            s.snap = low + sizes.changes + sizes.copies;
            s.pkt = s.snap + sizes.snap + sizes.meta;
            s.rsp = low + sizes.slot() - sizes.args;
            for (ist, land) in s.land.iter_mut().enumerate() {
                *land = cpu_low + per_cpu - LANDING * ist as u64;
            }
            let number = cpu * NEST + nest;
            s.shadow = shadows + 8 * (words * number) as u64;
            if table != 0 {
                let from = table * number;
                s.grants = kernel.grants.addr() + 8 * from as u64;
                let words = &mut kernel.grants.slice_mut()[from..from + table];
                sizes.records.table(words, s.pkt + sizes.packet);
            }
            s.next = mine.head;
            mine.head = s as *mut ffi::moat_slot as u64;
        }
    }
}
