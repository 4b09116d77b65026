// SPDX-License-Identifier: GPL-2.0
//! Dynptrs, which say themselves what they are for.
//!
//! What the program has of one is copied once, and the copy is looked at and given to the
//! helper.  A dynptr of a ring buffer is for a record that the run holds, as any
//! (`run/records.rs`): who gives it back is asked for the record, not for the dynptr.  Context:
//! as in `run/mod.rs`.

#![forbid(unsafe_code)]

use super::call::Called;
use super::{violation, Run};
use crate::edge::counters::moat_refused_records;
use crate::edge::program_memory::Words;
use crate::edge::site::{Registers, Site};
use crate::edge::{dynptrs, off, records};
use crate::helpers::audit::{AuditError, Bounced, MapInfo, Memory, Why};
use crate::helpers::contract::Contract;
use crate::helpers::dynptr::{self, Dynptr, Part, E2BIG, EINVAL};
use crate::helpers::grants::Kind;
use core::sync::atomic::Ordering;
use kernel::bindings;

const RESERVE: u32 = bindings::bpf_func_id_BPF_FUNC_ringbuf_reserve_dynptr;
const SUBMIT: u32 = bindings::bpf_func_id_BPF_FUNC_ringbuf_submit_dynptr;
const DISCARD: u32 = bindings::bpf_func_id_BPF_FUNC_ringbuf_discard_dynptr;
const READ: u32 = bindings::bpf_func_id_BPF_FUNC_dynptr_read;
const WRITE: u32 = bindings::bpf_func_id_BPF_FUNC_dynptr_write;

/// Whether helper `id` looks into a dynptr, or hands out or gives back what it is for.
pub(super) const fn is_about(id: u32) -> bool {
    matches!(id, RESERVE | SUBMIT | DISCARD | READ | WRITE)
}

const fn because(arg: u8, why: Why) -> AuditError {
    AuditError { arg, why }
}

fn read(memory: Memory<'_>) -> Dynptr {
    let words = Words::from(memory);
    Dynptr::from_words([words.get(0), words.get(1)])
}

fn write(memory: Memory<'_>, dynptr: Dynptr) {
    let words = Words::from(memory);
    let [data, last] = dynptr.words();
    words.set(0, data);
    words.set(1, last);
}

impl Run<'_> {
    /// A call of one of these, of which `args` have been audited; `its` is where the program has
    /// the dynptr.
    #[inline(never)]
    pub(super) fn call_with_dynptr(
        &self,
        site: Site<'_>,
        contract: &Contract,
        its: Bounced<'_>,
        args: &mut Registers,
        map: Option<&MapInfo>,
    ) -> Called {
        match site.helper() {
            RESERVE => self.reserve_dynptr(site, its.memory, args, map),
            READ | WRITE => self.reach_dynptr(site, contract, its, args),
            _ => self.commit_dynptr(site, its.memory, args),
        }
    }

    /// `bpf_dynptr_read()`, `bpf_dynptr_write()`
    fn reach_dynptr(
        &self,
        site: Site<'_>,
        contract: &Contract,
        its: Bounced<'_>,
        args: &mut Registers,
    ) -> Called {
        let write = site.helper() == WRITE;
        let (offset, len) = match write {
            true => (args[1], args[3]),
            false => (args[3], args[1]),
        };
        let part = Part {
            offset: offset as u32,
            len: len as u32,
            write,
            flags: args[4],
        };
        let reached = read(its.memory).reach(&part, self);
        let reached = match reached.map_err(|why| because(its.how.arg, why))? {
            Ok(reached) => reached,
            Err(answer) => return Ok(answer as u64),
        };
        if !off::dynptr_copy() {
            args.pass_dynptr(its.how.arg, &reached);
        }
        Ok(self.make(site, contract, args, None, |_| true))
    }

    /// `bpf_ringbuf_reserve_dynptr()`
    fn reserve_dynptr(
        &self,
        site: Site<'_>,
        its: Memory<'_>,
        args: &Registers,
        map: Option<&MapInfo>,
    ) -> Called {
        let map = map.ok_or(because(0, Why::Contract))?;
        let size = args[1] as u32;
        let room = self.grants().and_then(|grants| grants.room());
        let room = room.ok_or(because(0, Why::Holds))?;
        let answer = match dynptr::not_reserved(size, args[2]) {
            None if size > self.program.record => match size <= dynptrs::largest_record(map) {
                true => {
                    moat_refused_records.fetch_add(1, Ordering::Relaxed);
                    violation::not_reserved(self, site, size);
                    Some(E2BIG)
                }
                // No ring like this has one.
                false => Some(EINVAL),
            },
            answer => answer,
        };
        let reserved = match answer {
            Some(answer) => Err(answer as u64),
            None => site.reserve_dynptr(map, size),
        };
        let (dynptr, answer) = match reserved {
            Ok(object) => {
                let held = room.hold_record(object, size);
                self.look_on_exit();
                records::copy_in(&held);
                (Dynptr::of_record(held.name(), size), 0)
            }
            Err(answer) => (Dynptr::NULL, answer),
        };
        write(its, dynptr);
        if self.is_over(site) {
            self.stop();
        }
        Ok(answer)
    }

    /// `bpf_ringbuf_submit_dynptr()`, `bpf_ringbuf_discard_dynptr()`
    fn commit_dynptr(&self, site: Site<'_>, its: Memory<'_>, args: &Registers) -> Called {
        let dynptr = read(its);
        // Of a record that there was none of.
        if dynptr.data == 0 {
            return Ok(0);
        }
        let grants = self.grants();
        let held = grants.and_then(|grants| grants.release(Kind::Record, dynptr.data));
        let held = held.ok_or(because(0, Why::NotHeld))?;
        records::copy_out(&held);
        site.commit_dynptr(held, args[1]);
        write(its, Dynptr::NULL);
        if self.is_over(site) {
            self.stop();
        }
        Ok(0)
    }
}
