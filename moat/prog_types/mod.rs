// SPDX-License-Identifier: GPL-2.0
//! What MOAT knows of program types: one row each.
//!
//! C header: [`include/uapi/linux/bpf.h`], `enum bpf_prog_type`.
//!
//! - `rows.rs`: the rows.  Sysctls, verdicts, the sets of types in helpers' contracts and
//!   `docs/support.md` come from them.
//! - `set.rs`: sets of program types.
//! - `names.rs`: the names of all program types, with a row or without.
//!
//! A type without a row is none that MOAT isolates: it has no sysctl, no contract and no
//! verdict, and nothing here makes one up.

#![forbid(unsafe_code)]

mod names;
mod rows;
mod set;

pub use names::{name, NAMES};
pub use rows::{CGROUP_INET_EGRESS, CGROUP_INET_INGRESS};
pub use rows::{CGROUP_SKB, SCHED_ACT, SCHED_CLS, SECCOMP, SOCKET_FILTER, XDP};
pub use rows::{OWN, ROWS};
pub use rows::{SECCOMP_RET_KILL_PROCESS, TC_ACT_SHOT, XDP_DROP};
pub use set::ProgTypes;

use crate::load::reason::{Failure, Reason, Subject, Tried};

/// A program type that MOAT can isolate, or a kind of classic filters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProgType {
    /// `enum bpf_prog_type`, or our own.
    pub number: u32,
    /// As `bpftool` has it.
    pub name: &'static str,
    /// Its file in `/proc/sys/kernel/moat/`; ends with a 0 byte.
    pub sysctl: &'static str,
    /// What the kernel calls its programs with.
    pub context: Context,
    /// The strictest level its programs can be isolated at; weaker ones work too.
    pub max_level: Level,
    pub verdict: Verdict,
}

/// The kernel's structure that is behind the context a program sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Context {
    /// `struct sk_buff`; programs see `struct __sk_buff`.
    SkBuff,
    /// `struct xdp_buff`; programs see `struct xdp_md`.
    XdpBuff,
    /// `struct seccomp_data`, which is what programs see; no packet.
    SeccompData,
}

/// How far a program is kept away from the kernel; names as in lockdown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// It can read the kernel, not write it.
    Integrity = 1,
    /// It can do neither.
    Confidentiality = 2,
}

impl Level {
    /// The level that a sysctl's value stands for; none for 0.
    pub const fn of_sysctl(value: u32) -> Option<Level> {
        match value {
            0 => None,
            1 => Some(Level::Integrity),
            _ => Some(Level::Confidentiality),
        }
    }
}

/// What a stopped program is taken to have returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The same wherever it is attached.
    Always(u32),
    /// By `enum bpf_attach_type`.  A program for another one is not isolated.
    ByAttachType(&'static [(u32, u32)]),
}

impl ProgType {
    /// The verdict of a stopped program whose `expected_attach_type` is `attach_type`.
    pub fn verdict(&self, attach_type: u32) -> Option<u32> {
        match self.verdict {
            Verdict::Always(verdict) => Some(verdict),
            Verdict::ByAttachType(verdicts) => verdicts
                .iter()
                .find(|&&(attach, _)| attach == attach_type)
                .map(|&(_, verdict)| verdict),
        }
    }

    /// The same, or why such a program is not isolated.
    pub fn verdict_or_refuse(&self, attach_type: u32) -> Tried<u32> {
        self.verdict(attach_type).ok_or(Failure::Refused(Reason {
            insn: None,
            subject: Subject::Program,
            why: "no verdict is known to be safe for its attach type",
        }))
    }
}

/// The row of program type `number`.
pub fn find(number: u32) -> Option<&'static ProgType> {
    ROWS.iter().find(|row| row.number == number)
}
