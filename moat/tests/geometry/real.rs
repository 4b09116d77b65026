// SPDX-License-Identifier: GPL-2.0
//! What programs usually do to packets as they usually are.

use crate::{call, gso, packet, FIXED, IPV4_UDP, PROTO4, PROTO6};
use moat_logic::helpers::geometry::*;

/// Packets with what real ones have.
fn real() -> Vec<Geometry> {
    let mut all = Vec::new();
    for data in [64, 128, 300] {
        let plain = packet(data, 14, 300, 0);
        all.push(plain);
        all.push(packet(data, 14, 150, 1200));
        all.push(gso(packet(data, 14, 150, 40000), 1448, GSO_TCPV4));
        let mut g = gso(packet(data, 14, 150, 40000), 1448, GSO_TCPV4);
        g.flags |= LIST | CLONED | HEADER_CLONED | PARTIAL;
        // The inner one's, of a tunnel.
        g.csum_start = g.network + 70;
        g.csum_end = g.csum_start + 18;
        all.push(g);
        // On the way out, with its MAC length unknown.
        let mut g = plain;
        g.mac_len = 0;
        g.transport = g.network + 20;
        g.flags |= CLONED | HEADER_CLONED;
        all.push(g);
        // What is left of an outer header that has been taken off.
        let mut g = plain;
        g.inner_mac = 10;
        g.inner_network = 0xfff0;
        g.inner_transport = UNSET;
        g.csum_start = data - 30;
        g.csum_end = data - 12;
        all.push(g);
        g.transport = data - 8;
        g.flags |= PARTIAL;
        all.push(g);
        let mut g = plain;
        g.transport = UNSET;
        all.push(g);
    }
    all
}

#[test]
fn ordinary_calls_on_real_packets_are_let_through() {
    for g in real() {
        for (shape, args) in [
            (Shape::Head, [14, 0, 0]),
            (Shape::Head, [256, 0, 0]),
            (Shape::Pull, [0, 0, 0]),
            (Shape::Pull, [54, 0, 0]),
            (Shape::Pull, [g.len as u64, 0, 0]),
            (Shape::Pull, [0xffff_ffff, 0, 0]),
            (Shape::Tail, [g.len as u64, 0, 0]),
            (Shape::Tail, [100, 0, 0]),
            (Shape::Tail, [2000, 0, 0]),
            (Shape::Proto, [PROTO6, 0, 0]),
            (Shape::Proto, [PROTO4, 0, 0]),
            (Shape::Room, [20, 0, 0]),
            (Shape::Room, [50, 1, IPV4_UDP]),
            (Shape::Room, [50, 1, IPV4_UDP | 1 << 6 | 14 << 56]),
            (Shape::Room, [28, 1, IPV4_UDP | FIXED]),
            (Shape::Room, [44, 1, 1 << 2 | 1 << 3]),
            (Shape::Room, [-20i64 as u64, 0, 0]),
            (Shape::Room, [-50i64 as u64, 1, FIXED]),
            (Shape::VlanPush, [0, 0, 0]),
            (Shape::VlanPop, [0, 0, 0]),
            (Shape::Store, [14, 0, 20]),
            (Shape::Csum, [24, 0, 0]),
            (Shape::Clone, [1, 0, 0]),
        ] {
            let called = call(&g, shape, args);
            assert!(called.is_ok(), "{shape:?} {args:?} on {g:?}: {called:?}");
        }
    }
}
