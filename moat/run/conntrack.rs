// SPDX-License-Identifier: GPL-2.0
//! Connections that a run has: entries of the connection tracker.
//!
//! As of sockets (`run/sockets.rs`), a program has a copy of what it may read of one, in its
//! slot, and where that is is its name for it.  The copy is made when it gets the connection,
//! and again when it has changed it.  What it stores to the mark there it calls
//! [`Run::store_mark`] for at once.  Context: as in `run/mod.rs`.

#![forbid(unsafe_code)]

use super::call::Called;
use super::Run;
use crate::edge::conns;
use crate::edge::program_memory::Kept;
use crate::edge::site::{Registers, Site};
use crate::helpers::audit::{self, Allegation, AuditError, Why};
use crate::helpers::conntrack::{OPTS, SET_NAT_INFO, TUPLE};
use crate::helpers::contract::{Arg, Contract};
use crate::helpers::grants::{Held, Kind, Object, CONN_COPY};
use kernel::bindings;

impl Run<'_> {
    /// A call of a function of the kernel's by its name.
    pub(super) fn call_kfunc(&self, site: Site<'_>, raw: &[Allegation; 5]) -> Called {
        let contract = site.contract();
        match contract.args[0] {
            Arg::Ctx => self.ask_for_conn(site, contract, raw),
            Arg::Object(_) if contract.id == SET_NAT_INFO => self.set_nat_info(site, contract, raw),
            Arg::Object(kind) => self.change_conn(site, kind, raw),
            _ => self.call_apart(site, raw),
        }
    }

    /// The kernel reads tuple and options more than once, and of the options what their size
    /// does not say, too: it gets copies, and writes to these.
    #[inline(never)]
    fn ask_for_conn(&self, site: Site<'_>, contract: &Contract, raw: &[Allegation; 5]) -> Called {
        let not = |why| AuditError { arg: 0, why };
        if self.is_timers() {
            return Err(not(Why::NoContext));
        }
        // NULL is for the kernel to refuse, with any size: it stands for no bytes.
        let mut asked = *raw;
        for (mem, size) in [(1, 2), (3, 4)] {
            if asked[mem].0 == 0 {
                asked[size] = Allegation(0);
            }
        }
        let mut args = self.audit_apart(contract, &asked)?;
        if !self.has_room() {
            return Err(not(Why::Holds));
        }
        let [_, tuple, tuple_size, opts, opts_size] = asked;
        let theirs = match opts_size.0 {
            0 => None,
            size => audit::writable(opts.0, size, self),
        };
        let mut kept_tuple = Kept::<TUPLE>::new();
        let mut kept_opts = Kept::<OPTS>::new();
        if tuple.0 != 0 {
            let memory = match tuple_size.0 {
                0 => None,
                size => audit::readable(tuple.0, size, self),
            };
            args.pass_kept(1, kept_tuple.take(memory));
        }
        if opts.0 != 0 {
            args.pass_kept(3, kept_opts.take(theirs));
        }
        Ok(self.make(site, contract, &args, None, |_| {
            if let Some(theirs) = theirs {
                kept_opts.give_back(theirs);
            }
            true
        }))
    }

    /// A second time the kernel would warn of it, and answer this.
    fn set_nat_info(&self, site: Site<'_>, contract: &Contract, raw: &[Allegation; 5]) -> Called {
        self.audit_apart(contract, raw)?;
        let held = self
            .grants()
            .and_then(|grants| grants.find(Kind::NewConn, raw[0].0));
        match held {
            Some(held) if conns::has_nat(&held, raw[3].0 as u32) => {
                Ok(u64::from((bindings::ENOMEM as u32).wrapping_neg()))
            }
            _ => self.change_conn(site, Kind::NewConn, raw),
        }
    }

    /// The program has stored to its copy of a mark, so many bytes as it says: the kernel's
    /// entry is to have them, too.  Also of a run that holds a lock.
    pub(super) fn store_mark(&self, site: Site<'_>, raw: &[Allegation; 5]) -> Called {
        let held = self.grants().and_then(|grants| {
            let old = grants.find(Kind::Conn, raw[0].0);
            old.or_else(|| grants.find(Kind::NewConn, raw[0].0))
        });
        let held = held.ok_or(AuditError {
            arg: 0,
            why: Why::NotHeld,
        })?;
        if let Some(memory) = audit::readable(held.name(), CONN_COPY, self) {
            conns::store_mark(&held, memory, raw[1].0 as u32);
        }
        if self.is_over(site) {
            self.stop();
        }
        Ok(0)
    }

    /// What the function is to be called with.
    #[inline(never)]
    fn audit_apart(
        &self,
        contract: &Contract,
        raw: &[Allegation; 5],
    ) -> Result<Registers, AuditError> {
        Ok(Registers::from(audit::audit(contract, raw, self)?.args))
    }

    fn change_conn(&self, site: Site<'_>, kind: Kind, raw: &[Allegation; 5]) -> Called {
        let ret = self.call_apart(site, raw)?;
        // An entry that was inserted is none of these any more.
        let held = self.grants().and_then(|grants| grants.find(kind, raw[0].0));
        if let Some(held) = held {
            self.copy_conn(&held);
        }
        Ok(ret)
    }

    /// What the program is to know of a connection that it has got, and for which there is
    /// room.
    pub(super) fn hold_conn(&self, kind: Kind, ret: u64) -> u64 {
        let held = Object::returned(ret)
            .zip(self.grants())
            .and_then(|(conn, grants)| grants.hold_conn(kind, conn));
        held.map_or(0, |held| {
            self.look_on_exit();
            self.copy_conn(&held);
            held.name()
        })
    }

    /// The same of `new`, which is in the tracker's table now, or, without `ret`, is no more.
    pub(super) fn inserted(&self, new: u64, ret: u64) -> u64 {
        let held = Object::returned(new)
            .zip(self.grants())
            .and_then(|(new, grants)| grants.inserted(new, ret != 0));
        held.map_or(0, |held| {
            self.copy_conn(&held);
            held.name()
        })
    }

    /// The kernel's address of what it has as `name`, and with `back` has a reference less on.
    pub(super) fn conn_of(&self, kind: Kind, name: u64, back: bool) -> Option<u64> {
        let grants = self.grants()?;
        let held = match back {
            true => grants.put_conn(name),
            false => grants.find(kind, name),
        };
        held.map(|held| held.object().addr())
    }

    fn copy_conn(&self, held: &Held) {
        if let Some(memory) = audit::writable(held.name(), CONN_COPY, self) {
            conns::copy(held, memory);
        }
    }
}
