// SPDX-License-Identifier: GPL-2.0
//! Helpers that take or give sockets, or storage that hangs on a kernel object.  All
//! refused: a socket is a kernel object,
//! and there is no table of what an invocation was granted yet.
//!
//! Source: `net/core/filter.c`, `net/core/bpf_sk_storage.c`.

use super::contract::{refuse, Contract, ProgTypes};

const ALL: ProgTypes = ProgTypes::ALL;
const TC: ProgTypes = ProgTypes::TC;
const TC_CGROUP: ProgTypes = ProgTypes::TC_CGROUP;
const XDP_TC: ProgTypes = ProgTypes::XDP_TC;
const XDP_TC_CGROUP: ProgTypes = ProgTypes::XDP_TC_CGROUP;
const CGROUP: ProgTypes = ProgTypes::CGROUP_SKB_ONLY;
const RETURNS: &str = "returns a socket";
const TAKES: &str = "takes a socket";

pub(super) const CONTRACTS: &[Contract] = &[
    refuse(
        81,
        "get_local_storage",
        CGROUP,
        "the storage of a cgroup has no pages of its own",
    ),
    refuse(84, "sk_lookup_tcp", XDP_TC_CGROUP, RETURNS),
    refuse(85, "sk_lookup_udp", XDP_TC_CGROUP, RETURNS),
    refuse(86, "sk_release", XDP_TC_CGROUP, TAKES),
    refuse(95, "sk_fullsock", TC_CGROUP, RETURNS),
    refuse(96, "tcp_sock", TC_CGROUP, RETURNS),
    refuse(98, "get_listener_sock", TC_CGROUP, RETURNS),
    refuse(99, "skc_lookup_tcp", XDP_TC_CGROUP, RETURNS),
    refuse(100, "tcp_check_syncookie", XDP_TC, TAKES),
    refuse(107, "sk_storage_get", TC_CGROUP, TAKES),
    refuse(108, "sk_storage_delete", TC_CGROUP, TAKES),
    refuse(110, "tcp_gen_syncookie", XDP_TC, TAKES),
    refuse(124, "sk_assign", TC, TAKES),
    refuse(128, "sk_cgroup_id", CGROUP, TAKES),
    refuse(129, "sk_ancestor_cgroup_id", CGROUP, TAKES),
    refuse(136, "skc_to_tcp6_sock", ALL, RETURNS),
    refuse(137, "skc_to_tcp_sock", ALL, RETURNS),
    refuse(138, "skc_to_tcp_timewait_sock", ALL, RETURNS),
    refuse(139, "skc_to_tcp_request_sock", ALL, RETURNS),
    refuse(140, "skc_to_udp6_sock", ALL, RETURNS),
    refuse(178, "skc_to_unix_sock", ALL, RETURNS),
    refuse(196, "skc_to_mptcp_sock", ALL, RETURNS),
];
