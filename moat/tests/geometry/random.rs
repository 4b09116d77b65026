// SPDX-License-Identifier: GPL-2.0
//! Any calls, one after another, on any packet.

use crate::{call, gso, packet, PROTO4, PROTO6};
use moat_logic::helpers::geometry::*;
use proptest::prelude::*;

/// What nobody can die of.
fn sound(g: &Geometry) -> bool {
    let offset = |at: i64| (0..UNSET).contains(&at);
    offset(g.data)
        && g.data == g.mac
        && g.mac <= g.network
        && offset(g.network)
        && g.network <= g.tail
        && (g.transport == UNSET || offset(g.transport) && g.network <= g.transport)
        && g.tail == g.data + g.len - g.data_len
        && g.tail <= g.end
        && g.data_len >= 0
        && g.mac_len <= g.len - g.data_len
        && (!g.is(PARTIAL) || offset(g.csum_start) && g.data <= g.csum_start)
        && (!g.is(ENCAP)
            || offset(g.inner_network)
                && g.inner_mac >= 0
                && g.inner_mac <= g.inner_network
                && g.inner_network <= g.inner_transport)
        && (g.gso_size == 0 && g.gso_type == 0 || (8..0xffff).contains(&g.gso_size))
}

fn shapes() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::Store),
        Just(Shape::Csum),
        Just(Shape::VlanPush),
        Just(Shape::VlanPop),
        Just(Shape::Proto),
        Just(Shape::Tail),
        Just(Shape::Pull),
        Just(Shape::Head),
        Just(Shape::Room),
    ]
}

fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0..300u64,
        0..70_000u64,
        (1..0x1000i64).prop_map(|n| -n as u64),
        Just(PROTO6),
        Just(PROTO4),
    ]
}

fn flags() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        0..128u64,
        (0..128u64, 0..64u64).prop_map(|(f, l2)| f | l2 << 56)
    ]
}

type Calls = Vec<(Shape, u64, u64, u64)>;

fn calls() -> impl Strategy<Value = Calls> {
    let call = (shapes(), numbers(), prop_oneof![0..3u64, flags()], flags());
    prop::collection::vec(call, 1..60)
}

fn start() -> impl Strategy<Value = Geometry> {
    (0..600i64, 0..2i64, 34..2000i64, 0..60_000i64, any::<u16>()).prop_map(
        |(data, l2, head, frags, odd)| {
            let mut g = packet(data, 14 * l2, head, frags);
            for (bit, flag) in [CLONED, HEADER_CLONED, TAGGED, LIST, INGRESS]
                .into_iter()
                .enumerate()
            {
                if odd >> bit & 1 != 0 {
                    g.flags |= flag;
                }
            }
            if odd & 0x20 != 0 && head > 80 {
                g.flags |= PARTIAL;
            }
            if odd & 0x40 != 0 {
                g.transport = UNSET;
            }
            if odd & 0x80 != 0 {
                g.protocol = ETH_P_IPV6;
            }
            match odd >> 8 & 7 {
                0 => gso(g, 1448, GSO_TCPV4),
                1 => gso(g, 8, GSO_TCPV6),
                2 => gso(g, 100, GSO_UDP_L4),
                3 => gso(g, 0xfffe, GSO_TCPV4 | GSO_FRAGLIST),
                4 => gso(g, 10, 0),
                _ => g,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn packets_stay_sound_whatever_is_called(start in start(), calls in calls()) {
        let mut g = start;
        prop_assert!(sound(&g), "{g:?}");
        for (shape, a, b, c) in calls {
            if let Ok(next) = call(&g, shape, [a, b, c]) {
                prop_assert!(sound(&next), "{shape:?}({a}, {b}, {c}):\n{g:?}\n{next:?}");
                g = next;
            }
        }
    }

    #[test]
    fn the_judge_never_minds_what_has_not_changed(
        words in prop::collection::vec(0..0x10000i64, 20), head in 0..3000i64
    ) {
        let w = |i: usize| words[i];
        let g = Geometry {
            data: w(0), tail: w(0) + head, end: w(0) + head + w(2), len: head + w(4),
            data_len: w(4), mac: w(5), network: w(6), transport: w(7), inner_mac: w(8),
            inner_network: w(9), inner_transport: w(10), csum_start: w(11),
            csum_end: w(12), mac_len: w(13), gso_size: w(14), gso_type: w(15),
            protocol: w(16), max_len: w(17), flags: w(18) & 0x7ff,
            csum_level: w(3) & 3,
        };
        prop_assert_eq!(judge(&g, &g), Ok(()));
        let pull = [0; 5];
        prop_assert_eq!(mend(&g, &g, Shape::Pull, &pull, false).network, g.network);
    }
}
