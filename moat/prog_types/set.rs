// SPDX-License-Identifier: GPL-2.0
//! Sets of program types, for the contracts of helpers.

use super::{Context, CGROUP_SKB, OWN, ROWS, SCHED_ACT, SCHED_CLS, SOCKET_FILTER};

/// The bit of a type; none for those that are our own.
const fn bit(number: u32) -> u32 {
    if number < OWN {
        1 << number
    } else {
        0
    }
}

/// The program types that can call a helper; bit `n` is `enum bpf_prog_type` `n`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProgTypes(u32);

impl ProgTypes {
    /// Both traffic-control types; they share one set of helpers.
    pub const TC: ProgTypes = ProgTypes::of(&[SCHED_CLS, SCHED_ACT]);
    /// Types whose context is a socket buffer.
    pub const SKB: ProgTypes = ProgTypes::with(Context::SkBuff);
    /// Socket filters alone.
    pub const SOCKET_FILTER_ONLY: ProgTypes = ProgTypes::of(&[SOCKET_FILTER]);
    /// Programs of cgroups that look at packets, alone.
    pub const CGROUP_SKB_ONLY: ProgTypes = ProgTypes::of(&[CGROUP_SKB]);
    /// Traffic control, and programs of cgroups that look at packets.
    pub const TC_CGROUP: ProgTypes = ProgTypes::TC.or(ProgTypes::CGROUP_SKB_ONLY);
    /// XDP alone.
    pub const XDP: ProgTypes = ProgTypes::with(Context::XdpBuff);
    /// Classifiers of traffic control, alone.
    pub const SCHED_CLS_ONLY: ProgTypes = ProgTypes::of(&[SCHED_CLS]);
    /// XDP and classifiers.
    pub const XDP_CLS: ProgTypes = ProgTypes::XDP.or(ProgTypes::SCHED_CLS_ONLY);
    /// XDP and traffic control.
    pub const XDP_TC: ProgTypes = ProgTypes::XDP.or(ProgTypes::TC);
    /// XDP, traffic control, and programs of cgroups that look at packets.
    pub const XDP_TC_CGROUP: ProgTypes = ProgTypes::XDP.or(ProgTypes::TC_CGROUP);
    /// Every type of the kernel's that has a row.  Others call no helpers.
    pub const ALL: ProgTypes = ProgTypes::all();

    const fn all() -> ProgTypes {
        let mut bits = 0;
        let mut i = 0;
        while i < ROWS.len() {
            bits |= bit(ROWS[i].number);
            i += 1;
        }
        ProgTypes(bits)
    }

    /// Every type with this kind of context.
    const fn with(context: Context) -> ProgTypes {
        let mut bits = 0;
        let mut i = 0;
        while i < ROWS.len() {
            if ROWS[i].context as u8 == context as u8 {
                bits |= bit(ROWS[i].number);
            }
            i += 1;
        }
        ProgTypes(bits)
    }

    /// Exactly the listed types.  One without a row fails the build.
    const fn of(types: &[u32]) -> ProgTypes {
        let mut bits = 0;
        let mut i = 0;
        while i < types.len() {
            assert!(ProgTypes::ALL.contains(types[i]), "no row");
            bits |= 1 << types[i];
            i += 1;
        }
        ProgTypes(bits)
    }

    /// Types in either set.
    const fn or(self, other: ProgTypes) -> ProgTypes {
        ProgTypes(self.0 | other.0)
    }

    /// Whether the set holds `ty`.
    pub const fn contains(self, ty: u32) -> bool {
        ty < 32 && self.0 >> ty & 1 != 0
    }
}
