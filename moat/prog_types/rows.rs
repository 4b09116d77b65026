// SPDX-License-Identifier: GPL-2.0
//! The program types that MOAT can isolate.
//!
//! `checks/constants.rs` compares the numbers with the kernel's.  Those of the kernel's types
//! are below [`OWN`].

use super::{name, Context, Level, ProgType, Verdict};

pub const SOCKET_FILTER: u32 = 1;
pub const SCHED_CLS: u32 = 3;
pub const SCHED_ACT: u32 = 4;
pub const XDP: u32 = 6;
pub const CGROUP_SKB: u32 = 8;

/// From here on they are our own.
pub const OWN: u32 = 0x1000;
/// Classic filters of seccomp's, which have no type.
pub const SECCOMP: u32 = OWN;

/// Of `enum xdp_action`.
pub const XDP_DROP: u32 = 1;
/// Of `include/uapi/linux/pkt_cls.h`.
pub const TC_ACT_SHOT: u32 = 2;
/// Of `include/uapi/linux/seccomp.h`.
pub const SECCOMP_RET_KILL_PROCESS: u32 = 0x8000_0000;

/// Of `enum bpf_attach_type`: where programs of cgroups look at packets.
pub const CGROUP_INET_INGRESS: u32 = 0;
pub const CGROUP_INET_EGRESS: u32 = 1;

/// They say whether the packet may pass, and on its way out how congested it is.
const DENY: u32 = 0;

/// Socket filters say how many bytes of the packet are kept.
const NO_BYTES: u32 = 0;

/// One row each, in the order of their sysctls.  The verdicts let the packet go no further,
/// and the process make no system call any more.
pub const ROWS: &[ProgType] = &[
    ProgType {
        number: XDP,
        name: name(XDP),
        sysctl: "xdp\0",
        context: Context::XdpBuff,
        max_level: Level::Confidentiality,
        verdict: Verdict::Always(XDP_DROP),
    },
    ProgType {
        number: SCHED_CLS,
        name: name(SCHED_CLS),
        sysctl: "sched_cls\0",
        context: Context::SkBuff,
        max_level: Level::Confidentiality,
        verdict: Verdict::Always(TC_ACT_SHOT),
    },
    ProgType {
        number: SCHED_ACT,
        name: name(SCHED_ACT),
        sysctl: "sched_act\0",
        context: Context::SkBuff,
        max_level: Level::Confidentiality,
        verdict: Verdict::Always(TC_ACT_SHOT),
    },
    ProgType {
        number: SOCKET_FILTER,
        name: name(SOCKET_FILTER),
        sysctl: "socket_filter\0",
        context: Context::SkBuff,
        max_level: Level::Confidentiality,
        verdict: Verdict::Always(NO_BYTES),
    },
    ProgType {
        number: CGROUP_SKB,
        name: name(CGROUP_SKB),
        sysctl: "cgroup_skb\0",
        context: Context::SkBuff,
        max_level: Level::Confidentiality,
        verdict: Verdict::ByAttachType(&[(CGROUP_INET_INGRESS, DENY), (CGROUP_INET_EGRESS, DENY)]),
    },
    ProgType {
        number: SECCOMP,
        name: name(SECCOMP),
        sysctl: "seccomp\0",
        context: Context::SeccompData,
        max_level: Level::Confidentiality,
        verdict: Verdict::Always(SECCOMP_RET_KILL_PROCESS),
    },
];

// The kernel looks for the end.
const _: () = {
    let mut i = 0;
    while i < ROWS.len() {
        let sysctl = ROWS[i].sysctl.as_bytes();
        assert!(sysctl[sysctl.len() - 1] == 0);
        i += 1;
    }
};
