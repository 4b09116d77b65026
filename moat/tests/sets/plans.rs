// SPDX-License-Identifier: GPL-2.0
//! What programs are like, and where their slots are then.

use crate::books::Checked;
use crate::edge::ffi::{moat_shim_cpu_slots, moat_shim_nr_cpus};
use crate::helpers::contract::{SCHED_CLS, SOCKET_FILTER, XDP};
use crate::load::calls::Calls;
use crate::load::Facts;
use crate::run::program::Program;
use kernel::bindings::{
    moat_ctx_plan, moat_slot, new_prog, MOAT_DOM_LOAD, MOAT_DOM_PREPARE, MOAT_DOM_STORE,
    MOAT_LANDING_SIZE, MOAT_NEST,
};
use std::sync::atomic::Ordering;

/// How much a program has to do with its context.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It looks at nothing.
    Blind,
    /// It reads fields.
    Reader,
    /// It reads and writes fields and the packet.
    Writer,
    /// It is a classic filter.
    Filter,
}

pub const KINDS: [Kind; 4] = [Kind::Blind, Kind::Reader, Kind::Writer, Kind::Filter];

/// How many records one holds at once that holds any, and bytes of each.
const REFS: u32 = 3;
const RECORD: u32 = 100;

/// What is known of a program before it is admitted.
pub struct Draft {
    pub ty: u32,
    /// Whose programs `admit` is given.
    pub plan: moat_ctx_plan,
    pub calls: Calls,
    pub stack_depth: u32,
}

impl Draft {
    /// What the kernel's `struct bpf_prog` would say.
    pub fn facts(&self) -> Facts {
        Facts {
            callbacks: [0; 4],
            attach_type: 0,
            stack_depth: self.stack_depth,
            refs: REFS,
            record: RECORD,
        }
    }
}

impl Kind {
    pub fn draft(self) -> Draft {
        let none = moat_ctx_plan::default();
        let (ty, plan) = match self {
            Kind::Blind => (XDP, none),
            Kind::Reader => {
                let plan = moat_ctx_plan {
                    load: new_prog(),
                    snap_size: 192,
                    ..none
                };
                (SCHED_CLS, plan)
            }
            Kind::Writer => {
                let plan = moat_ctx_plan {
                    load: new_prog(),
                    store: new_prog(),
                    snap_size: 216,
                    pkt_off: 192,
                    max_pkt_offset: 3000,
                    reads_pkt: true,
                    reads_meta: true,
                    writes_pkt: true,
                    writes_fields: true,
                    ..none
                };
                (SCHED_CLS, plan)
            }
            Kind::Filter => {
                let plan = moat_ctx_plan {
                    load: new_prog(),
                    snap_size: 232,
                    max_pkt_offset: 4096,
                    reads_pkt: true,
                    classic: true,
                    ..none
                };
                (SOCKET_FILTER, plan)
            }
        };
        Draft {
            ty,
            plan,
            calls: Calls {
                grants: self == Kind::Writer,
                ..Calls::default()
            },
            stack_depth: if self == Kind::Writer { 512 } else { 8 },
        }
    }

    /// What gates are to do around a run.
    fn ways(self) -> u32 {
        match self {
            Kind::Blind => 0,
            Kind::Reader => MOAT_DOM_LOAD,
            Kind::Writer => MOAT_DOM_PREPARE | MOAT_DOM_STORE,
            Kind::Filter => MOAT_DOM_LOAD,
        }
    }
}

/// The slots of `program` are in its area, apart, and each is the next of another.
pub fn check_slots(program: &Program, kind: Kind) -> Checked {
    let plan = &program.plan;
    let packet = match plan.reads_pkt {
        true => u64::from(plan.max_pkt_offset + 63) / 64 * 64,
        false => 0,
    };
    let (base, len) = program.gates.area();
    let flags = program.gates.flags().load(Ordering::Relaxed);
    if flags & (MOAT_DOM_LOAD | MOAT_DOM_PREPARE | MOAT_DOM_STORE) != kind.ways() {
        return Err(format!("{kind:?} has flags {flags:x}"));
    }
    // Bytes at either end are nobody's.
    let mut taken = vec![(base, base + 192), (base + len - 64, base + len)];
    let mut shadows = Vec::new();
    for cpu in 0..nr_cpus() {
        // SAFETY: its slots, which nobody writes to now.
        let mine = unsafe { &*moat_shim_cpu_slots(program.gates.slots(), cpu) };
        let mut next = mine.head;
        let mut lands = None;
        for _ in 0..MOAT_NEST {
            // SAFETY: if it is one of these; otherwise the next line says so.
            let slot = mine
                .slot
                .iter()
                .find(|&slot| slot as *const moat_slot as u64 == next);
            let slot = slot.ok_or("a slot leads to none")?;
            if slot.snap + u64::from(plan.snap_size) > slot.pkt || slot.pkt + packet > slot.rsp {
                return Err(format!("parts of {slot:x?} overlap"));
            }
            check_grants(slot, kind, slot.pkt + packet)?;
            taken.push((slot.snap, slot.rsp));
            shadows.push(slot.shadow);
            // One for each vector does for all that nest.
            if *lands.get_or_insert(slot.land) != slot.land {
                return Err(format!("{slot:x?} has landing areas of its own"));
            }
            next = slot.next;
        }
        if next != 0 {
            return Err("slots nest too deep".into());
        }
        let below = |&top: &u64| (top - u64::from(MOAT_LANDING_SIZE), top);
        taken.extend(lands.iter().flatten().map(below));
    }
    // Only who writes fields has them.
    let size = match plan.writes_fields {
        false => 0,
        true => u64::from(plan.snap_size),
    };
    shadows.sort_unstable();
    if shadows.windows(2).any(|pair| pair[1] - pair[0] < size) {
        return Err(format!("shadows overlap: {shadows:x?}"));
    }
    taken.sort_unstable();
    let apart = taken.windows(2).all(|pair| pair[0].1 <= pair[1].0);
    if !apart || taken[0].0 != base || taken[taken.len() - 1].1 != base + len {
        return Err(format!("slots overlap: {taken:x?}"));
    }
    Ok(())
}

/// Who holds anything has a table for it, with nothing in it, and a place for each behind
/// `packet`.
fn check_grants(slot: &moat_slot, kind: Kind, packet: u64) -> Checked {
    if kind != Kind::Writer {
        return match slot.grants {
            0 => Ok(()),
            _ => Err(format!("{kind:?} holds things")),
        };
    }
    let nr = REFS as usize;
    // SAFETY: made with the slot: two words, and four for each.
    let table = unsafe { std::slice::from_raw_parts(slot.grants as *const u64, 2 + 4 * nr) };
    let size = u64::from(RECORD + 7) / 8 * 8;
    let places = (0..nr as u64).map(|i| [0, 0, packet + size * i, 0]);
    let expected: Vec<_> = [0, nr as u64].into_iter().chain(places.flatten()).collect();
    if table != expected || packet + size * nr as u64 > slot.rsp - 512 {
        return Err(format!("{table:x?} is the table of {slot:x?}"));
    }
    Ok(())
}

pub fn nr_cpus() -> u32 {
    // SAFETY: a constant.
    unsafe { moat_shim_nr_cpus() }
}

/// `program` has begun so many runs more.
pub fn run(program: &Program, runs: u16) {
    let half = u64::from(runs) / 2;
    for (cpu, runs) in [u64::from(runs) - half, half].into_iter().enumerate() {
        // SAFETY: its slots, of a CPU that there is; nobody has a reference to them now.
        unsafe { (*moat_shim_cpu_slots(program.gates.slots(), cpu as u32)).runs += runs };
    }
}
