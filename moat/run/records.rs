// SPDX-License-Identifier: GPL-2.0
//! What a run holds: records of ring buffers, given out and taken back, and what is left of
//! them, of sockets and connections, which `run/sockets.rs` and `run/conntrack.rs` give out, and
//! of locks (`run/locks.rs`).
//!
//! The kernel's record is reserved when the program asks for one, so that order and room are
//! what they are without us; the program fills in a copy in its slot, which goes to the ring
//! when it is submitted.  Context: as in `run/mod.rs`.

#![forbid(unsafe_code)]

use super::call::Called;
use super::{violation, Run};
use crate::edge::counters::moat_given_back;
use crate::edge::off;
use crate::edge::records;
use crate::edge::site::Site;
use crate::helpers::audit::{self, Allegation, AuditError, Why};
use crate::helpers::grants::Kind;
use crate::helpers::maps::RINGS;
use core::sync::atomic::Ordering;

/// The kernel has no larger record: `bpf_ringbuf_reserve()`.
const LARGEST: u64 = u32::MAX as u64 / 4;

impl Run<'_> {
    /// `bpf_ringbuf_reserve()`.  Who gets through the verifier never lacks room for one more,
    /// or for one as large.  Apart, as what follows: most calls that are audited are others.
    #[inline(never)]
    pub(super) fn reserve(&self, site: Site<'_>, raw: &[Allegation; 5]) -> Called {
        let map = audit::audit_map(RINGS, raw[0], self)?;
        let (size, flags) = (raw[1].0, raw[2].0);
        let room = self.grants().and_then(|grants| grants.room());
        let room = match room {
            Some(room) if size <= self.program.record.into() => room,
            // NULL, as the kernel says.
            _ if size > LARGEST => return Ok(0),
            None => {
                return Err(AuditError {
                    arg: 0,
                    why: Why::Holds,
                })
            }
            Some(_) => {
                return Err(AuditError {
                    arg: 1,
                    why: Why::Size,
                })
            }
        };
        let name = site.reserve(map, size, flags).map_or(0, |object| {
            let held = room.hold_record(object, size as u32);
            self.look_on_exit();
            records::copy_in(&held);
            held.name()
        });
        if self.is_over(site) {
            self.stop();
        }
        Ok(name)
    }

    /// `bpf_ringbuf_submit()`, or `bpf_ringbuf_discard()`: who gets the place next finds
    /// there what the program has left.
    #[inline(never)]
    pub(super) fn commit(&self, site: Site<'_>, raw: &[Allegation; 5]) -> Called {
        let grants = self.grants();
        let held = grants.and_then(|grants| grants.release(Kind::Record, raw[0].0));
        let held = held.ok_or(AuditError {
            arg: 0,
            why: Why::NotHeld,
        })?;
        records::copy_out(&held);
        site.commit(held, raw[1].0);
        if self.is_over(site) {
            self.stop();
        }
        Ok(0)
    }

    /// Whether it can hold one more thing.
    #[inline(never)]
    pub(super) fn has_room(&self) -> bool {
        self.grants().map_or(false, |grants| grants.has_room())
    }

    /// Gives back all it holds.
    fn give_back(&self) {
        let grants = match self.grants() {
            Some(grants) => grants,
            None => return,
        };
        while let Some(held) = grants.release_any() {
            for _ in 0..held.times() {
                if off::give_back() {
                    continue;
                }
                moat_given_back.fetch_add(1, Ordering::Relaxed);
                records::give_back(held);
            }
        }
    }
}

/// Called by `moat_stop`, for a run that may hold something.
#[inline(always)]
pub fn give_back(run: Run<'_>) {
    run.give_back();
}

/// Called by `moat_exit`: the program has come to its end, and holds something still.
#[inline(always)]
pub fn held_on(run: Run<'_>) {
    let held = run.grants().map_or(0, |grants| grants.held());
    violation::held_on(run.program, held);
}
