// SPDX-License-Identifier: GPL-2.0
//! Helpers that take or give sockets, see `grants.rs`.
//!
//! Source: `net/core/filter.c`, `net/core/bpf_sk_storage.c`.

use super::contract::{helper, mem, Access::*, Arg, Contract, ProgTypes, Ret, ANY, CTX, NO, SIZE};
use super::grants::Struct;
use crate::maps::types::{MapTypes, CGROUP_STORAGE, PERCPU_CGROUP_STORAGE, SK_STORAGE};

const ALL: ProgTypes = ProgTypes::ALL;
const TC: ProgTypes = ProgTypes::TC;
const TC_CGROUP: ProgTypes = ProgTypes::TC_CGROUP;
const XDP_TC: ProgTypes = ProgTypes::XDP_TC;
const XDP_TC_CGROUP: ProgTypes = ProgTypes::XDP_TC_CGROUP;
const CGROUP: ProgTypes = ProgTypes::CGROUP_SKB_ONLY;
const STORAGES: Arg = Arg::MapPtr(MapTypes::of(&[SK_STORAGE]));
const CGROUP_STORAGES: Arg = Arg::MapPtr(MapTypes::of(&[CGROUP_STORAGE, PERCPU_CGROUP_STORAGE]));

/// Bytes of the longest TCP header.
const TCP: u16 = 15 * 4;

const LOOKUP: [Arg; 5] = [CTX, mem(Read, 2), SIZE, ANY, ANY];
const SOCKET: [Arg; 5] = [Arg::Socket, NO, NO, NO, NO];
const SOCKET_AND_HEADERS: [Arg; 5] = [Arg::Socket, mem(Read, 2), SIZE, mem(Read, 4), SIZE];

const fn cast(id: u32, name: &'static str, to: Struct) -> Contract {
    helper(id, name, ALL, SOCKET).returns(Ret::StructOrNull(to))
}

pub(super) const CONTRACTS: &[Contract] = &[
    // The cgroup's for which the program runs, as the kernel has noted for that packet:
    // `run/call.rs` asks whether it has one.
    helper(
        81,
        "get_local_storage",
        CGROUP,
        [CGROUP_STORAGES, ANY, NO, NO, NO],
    )
    .for_packet()
    .returns(Ret::MapValueOrNull),
    helper(84, "sk_lookup_tcp", XDP_TC_CGROUP, LOOKUP)
        .reads_ctx()
        .returns(Ret::SocketOrNull),
    helper(85, "sk_lookup_udp", XDP_TC_CGROUP, LOOKUP)
        .reads_ctx()
        .returns(Ret::SocketOrNull),
    helper(
        86,
        "sk_release",
        XDP_TC_CGROUP,
        [Arg::SocketBack, NO, NO, NO, NO],
    ),
    helper(95, "sk_fullsock", TC_CGROUP, SOCKET).returns(Ret::SameOrNull),
    helper(96, "tcp_sock", TC_CGROUP, SOCKET).returns(Ret::TcpOrNull),
    helper(98, "get_listener_sock", TC_CGROUP, SOCKET).returns(Ret::ListenerOrNull),
    helper(99, "skc_lookup_tcp", XDP_TC_CGROUP, LOOKUP)
        .reads_ctx()
        .returns(Ret::SocketOrNull),
    helper(100, "tcp_check_syncookie", XDP_TC, SOCKET_AND_HEADERS),
    helper(
        107,
        "sk_storage_get",
        TC_CGROUP,
        [STORAGES, Arg::Socket, Arg::MapValueOrNull, ANY, Arg::Atomic],
    )
    .returns(Ret::MapValueOrNull),
    helper(
        108,
        "sk_storage_delete",
        TC_CGROUP,
        [STORAGES, Arg::Socket, NO, NO, NO],
    ),
    // Compares th->doff with the length, and reads it again where it parses options.
    helper(110, "tcp_gen_syncookie", XDP_TC, SOCKET_AND_HEADERS).bounces(3, TCP, false),
    helper(124, "sk_assign", TC, [CTX, Arg::Socket, ANY, NO, NO]).sets_socket(),
    helper(128, "sk_cgroup_id", CGROUP, SOCKET),
    helper(
        129,
        "sk_ancestor_cgroup_id",
        CGROUP,
        [Arg::Socket, ANY, NO, NO, NO],
    ),
    cast(136, "skc_to_tcp6_sock", Struct::Tcp6),
    cast(137, "skc_to_tcp_sock", Struct::Tcp),
    cast(138, "skc_to_tcp_timewait_sock", Struct::TcpTimewait),
    cast(139, "skc_to_tcp_request_sock", Struct::TcpRequest),
    cast(140, "skc_to_udp6_sock", Struct::Udp6),
    cast(178, "skc_to_unix_sock", Struct::Unix),
    cast(196, "skc_to_mptcp_sock", Struct::Mptcp),
];
