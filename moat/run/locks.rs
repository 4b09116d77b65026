// SPDX-License-Identifier: GPL-2.0
//! Locks of map values.
//!
//! The program has a place in the value for each, and that is what it calls them; the lock
//! itself is the kernel's.  A run holds one at most, and calls nothing meanwhile but what
//! gives it back: sites of programs that take locks look at that first (`moat_unlocked`).  A
//! store to a connection's mark is no call to it.
//! What a run holds when it is stopped is given back as all else: `records.rs`.  Context: as
//! in `run/mod.rs`.

#![forbid(unsafe_code)]

use super::call::Called;
use super::{violation, Run};
use crate::code::sites::SPIN_UNLOCK;
use crate::edge::site::Site;
use crate::edge::{locks, records};
use crate::helpers::audit::{Allegation, AuditError, Why};
use crate::helpers::grants::Kind;

const fn because(why: Why) -> AuditError {
    AuditError { arg: 0, why }
}

impl Run<'_> {
    /// `bpf_spin_lock()`, of a run that holds none.
    fn lock(&self, site: Site<'_>, name: u64) -> Called {
        let value = self.program.locked_value(name);
        let (map, off) = value.ok_or(because(Why::NoLock))?;
        let room = self.grants().and_then(|grants| grants.room());
        let room = room.ok_or(because(Why::Holds))?;
        let lock = locks::take(self, map, off).ok_or(because(Why::Taken))?;
        room.hold_lock(lock, name);
        self.look_on_exit();
        if self.is_over(site) {
            self.stop();
        }
        Ok(0)
    }

    /// `bpf_spin_unlock()`.  Who holds a lock for too long is interrupted, or takes the next
    /// one: nobody needs to look at the clock.
    fn unlock(&self, name: u64) -> Called {
        let grants = self.grants();
        let held = grants.and_then(|grants| grants.release(Kind::Lock, name));
        records::give_back(held.ok_or(because(Why::NotHeld))?);
        Ok(0)
    }
}

/// Called by `moat_audit_lock`, as [`super::audited_call`] is by `moat_audit`.
#[inline(always)]
pub fn audited_lock(run: Run<'_>, site: Site<'_>, args: &[Allegation; 5]) -> u64 {
    let name = args[0].0;
    let called = match site.helper() {
        SPIN_UNLOCK => run.unlock(name),
        _ => run.lock(site, name),
    };
    run.answer(site, called)
}

/// Called by `moat_unlocked`: the run holds a lock, and is to be stopped.
#[inline(always)]
pub fn locked_call(run: Run<'_>, site: Site<'_>) {
    violation::bad_call(&run, site, &because(Why::Locked));
}
