// SPDX-License-Identifier: GPL-2.0
//! The names of program types, for people: also of those that are not isolated, because
//! their programs may be refused something.

use super::SECCOMP;

/// `enum bpf_prog_type` of Linux 6.1 by value, as `bpftool` writes it: less
/// `BPF_PROG_TYPE_`, in small letters.
pub const NAMES: [&str; 32] = [
    "unspec",
    "socket_filter",
    "kprobe",
    "sched_cls",
    "sched_act",
    "tracepoint",
    "xdp",
    "perf_event",
    "cgroup_skb",
    "cgroup_sock",
    "lwt_in",
    "lwt_out",
    "lwt_xmit",
    "sock_ops",
    "sk_skb",
    "cgroup_device",
    "sk_msg",
    "raw_tracepoint",
    "cgroup_sock_addr",
    "lwt_seg6local",
    "lirc_mode2",
    "sk_reuseport",
    "flow_dissector",
    "cgroup_sysctl",
    "raw_tracepoint_writable",
    "cgroup_sockopt",
    "tracing",
    "struct_ops",
    "ext",
    "lsm",
    "sk_lookup",
    "syscall",
];

/// The name of program type `number`.
pub const fn name(number: u32) -> &'static str {
    if (number as usize) < NAMES.len() {
        NAMES[number as usize]
    } else if number == SECCOMP {
        "seccomp"
    } else {
        "other"
    }
}
