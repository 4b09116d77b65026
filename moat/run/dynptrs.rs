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
use crate::helpers::audit::{self, Allegation, AuditError, Checked, Memory, Why};
use crate::helpers::dynptr::{self, Dynptr, Part, E2BIG, EINVAL};
use crate::helpers::grants::Kind;
use core::sync::atomic::Ordering;
use kernel::bindings;

pub const RESERVE: u32 = bindings::bpf_func_id_BPF_FUNC_ringbuf_reserve_dynptr;
pub const SUBMIT: u32 = bindings::bpf_func_id_BPF_FUNC_ringbuf_submit_dynptr;
pub const DISCARD: u32 = bindings::bpf_func_id_BPF_FUNC_ringbuf_discard_dynptr;
pub const READ: u32 = bindings::bpf_func_id_BPF_FUNC_dynptr_read;
pub const WRITE: u32 = bindings::bpf_func_id_BPF_FUNC_dynptr_write;

const fn because(arg: u8, why: Why) -> AuditError {
    AuditError { arg, why }
}

/// The argument that is a dynptr: its number, and where the program has it.
fn its<'d>(checked: &Checked<'d>) -> Result<(u8, Memory<'d>), AuditError> {
    let bounce = checked.bounce.ok_or(because(0, Why::Contract))?;
    Ok((bounce.how.arg, bounce.memory))
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
    /// One of the helpers that look into a dynptr, or give back what it is for.
    #[inline(never)]
    pub(super) fn on_dynptr(&self, site: Site<'_>, raw: &[Allegation; 5]) -> Called {
        let checked = audit::audit(site.contract(), raw, self)?;
        match site.helper() {
            RESERVE => self.reserve_dynptr(site, raw, &checked),
            READ | WRITE => self.reach_dynptr(site, raw, &checked),
            _ => self.commit_dynptr(site, raw, &checked),
        }
    }

    /// `bpf_dynptr_read()`, `bpf_dynptr_write()`
    fn reach_dynptr(&self, site: Site<'_>, raw: &[Allegation; 5], checked: &Checked<'_>) -> Called {
        let (arg, memory) = its(checked)?;
        let write = site.helper() == WRITE;
        let (offset, len) = match write {
            true => (raw[1], raw[3]),
            false => (raw[3], raw[1]),
        };
        let part = Part {
            offset: offset.0 as u32,
            len: len.0 as u32,
            write,
            flags: raw[4].0,
        };
        let reached = read(memory).reach(&part, self);
        let reached = match reached.map_err(|why| because(arg, why))? {
            Ok(reached) => reached,
            Err(answer) => return Ok(answer as u64),
        };
        let mut args = Registers::from(checked.args);
        if !off::dynptr_copy() {
            args.pass_dynptr(arg, &reached);
        }
        Ok(self.make(site, site.contract(), &args, None, |_| true))
    }

    /// `bpf_ringbuf_reserve_dynptr()`
    fn reserve_dynptr(
        &self,
        site: Site<'_>,
        raw: &[Allegation; 5],
        checked: &Checked<'_>,
    ) -> Called {
        let (_, memory) = its(checked)?;
        let map = checked.map.ok_or(because(0, Why::Contract))?;
        let size = raw[1].0 as u32;
        let room = self.grants().and_then(|grants| grants.room());
        let room = room.ok_or(because(0, Why::Holds))?;
        let answer = match dynptr::not_reserved(size, raw[2].0) {
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
        write(memory, dynptr);
        if self.is_over(site) {
            self.stop();
        }
        Ok(answer)
    }

    /// `bpf_ringbuf_submit_dynptr()`, `bpf_ringbuf_discard_dynptr()`
    fn commit_dynptr(
        &self,
        site: Site<'_>,
        raw: &[Allegation; 5],
        checked: &Checked<'_>,
    ) -> Called {
        let (arg, memory) = its(checked)?;
        let dynptr = read(memory);
        // Of a record that there was none of.
        if dynptr.data == 0 {
            return Ok(0);
        }
        let grants = self.grants();
        let held = grants.and_then(|grants| grants.release(Kind::Record, dynptr.data));
        let held = held.ok_or(because(arg, Why::NotHeld))?;
        records::copy_out(&held);
        site.commit_dynptr(held, raw[1].0);
        write(memory, Dynptr::NULL);
        if self.is_over(site) {
            self.stop();
        }
        Ok(0)
    }
}
