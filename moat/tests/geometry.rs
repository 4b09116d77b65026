// SPDX-License-Identifier: GPL-2.0
//! Helpers leave packets that the kernel can take, in any order and any number.

use moat_logic::helpers::geometry::*;
use proptest::prelude::*;

/// An Ethernet packet with `head` of its bytes in the linear part, as tc has it.
fn packet(data: i64, l2: i64, head: i64, frags: i64) -> Geometry {
    Geometry {
        data,
        tail: data + head,
        end: data + head + 64,
        len: head + frags,
        data_len: frags,
        mac: data,
        network: data + l2,
        transport: data + l2,
        csum_start: data + l2 + 20,
        csum_end: data + l2 + 20 + 18,
        mac_len: l2,
        protocol: ETH_P_IP,
        max_len: 15_000,
        flags: LIST_FIXED,
        ..Geometry::default()
    }
}

fn gso(mut g: Geometry, size: i64, ty: i64) -> Geometry {
    g.gso_size = size;
    g.gso_type = ty;
    g
}

const PROTO6: u64 = 0xdd86;
const PROTO4: u64 = 0x0008;
const FIXED: u64 = 1;
const IPV4_UDP: u64 = 1 << 1 | 1 << 4;

fn call(g: &Geometry, shape: Shape, args: [u64; 3]) -> Result<Geometry, Why> {
    let args = [0, args[0], args[1], args[2], 0];
    let g2 = model(g, shape, &args)?;
    judge(g, &g2)?;
    Ok(g2)
}

#[test]
fn the_sum_of_many_heads_is_seen() {
    let g = gso(packet(64, 14, 64, 0), 10, 0);
    let g = call(&g, Shape::Head, [32704, 0, 0]).unwrap();
    assert_eq!(call(&g, Shape::Head, [32704, 0, 0]), Err(Why::Offset));
    // A little is always possible, until it is not.
    let mut g = g;
    let mut n = 0;
    while let Ok(next) = call(&g, Shape::Head, [104, 0, 0]) {
        g = next;
        n += 1;
    }
    assert!((100..1000).contains(&n), "{n}");
    assert_eq!(g.mac, g.data);
    assert!(g.network <= TOP);
}

#[test]
fn more_than_31_bits_of_head_are_too_many() {
    let g = gso(packet(64, 14, 64, 0), 10, 0);
    for room in [1 << 16, 0x7fff_ffff, 0x8000_1000, 0xffff_ffff] {
        assert_eq!(call(&g, Shape::Head, [room, 0, 0]), Err(Why::Offset));
    }
}

#[test]
fn what_is_not_set_stays_so() {
    let mut was = packet(64, 14, 64, 0);
    was.transport = UNSET;
    let g = call(&was, Shape::Head, [66, 0, 0]).unwrap();
    assert_eq!((g.transport, g.inner_network), (UNSET, 0));
    // As skb_headers_offset_update() leaves it.
    let mut is = g;
    is.transport = (UNSET + 64) & 0xffff;
    is.inner_mac = 64;
    is.inner_network = 64;
    is.inner_transport = 64;
    let args = [0, 66, 0, 0, 0];
    assert_eq!(mend(&was, &is, Shape::Head, &args, false), g);
    // And the headers cannot be cut off.
    assert_eq!(call(&g, Shape::Tail, [1, 0, 0]), Ok(g));
}

#[test]
fn the_network_header_is_not_cut_off() {
    let mut g = packet(100, 14, 64, 0);
    g.transport = g.data + 1;
    assert_eq!(call(&g, Shape::Tail, [1, 0, 0]), Err(Why::Linear));
}

#[test]
fn the_transport_header_goes_along() {
    let mut g = packet(64, 14, 200, 0);
    g.transport = g.network + 20;
    let g = call(&g, Shape::Room, [-50i64 as u64, 1, 0]).unwrap();
    assert_eq!(g.transport, g.network);

    let mut tagged = packet(64, 14, 18, 0);
    tagged.protocol = 0x8100;
    let g = call(&tagged, Shape::VlanPop, [0; 3]).unwrap();
    assert_eq!((g.network, g.transport), (g.tail, g.tail));
}

#[test]
fn segments_have_a_possible_size() {
    let g = gso(packet(200, 14, 1000, 9000), 100, GSO_TCPV4);
    call(&g, Shape::Room, [92, 1, 0]).unwrap();
    for bytes in [93, 100, 101, 4095] {
        assert_eq!(
            call(&g, Shape::Room, [bytes, 1, 0]),
            Err(Why::Gso),
            "{bytes}"
        );
        call(&g, Shape::Room, [bytes, 1, FIXED]).unwrap();
    }
    let mut g = gso(packet(200, 14, 8000, 9000), 65000, GSO_TCPV4);
    g.transport = g.network + 20;
    for (bytes, well) in [(534, true), (535, false), (536, false), (4095, false)] {
        let args = [-(bytes as i64) as u64, 1, 0];
        assert_eq!(call(&g, Shape::Room, args).is_ok(), well, "{bytes}");
    }
}

#[test]
fn lists_are_only_touched_where_they_can_be_segmented() {
    let mut g = gso(packet(64, 14, 100, 9000), 1400, GSO_TCPV4);
    g.flags |= LIST;
    let shrink = [-20i64 as u64, 1, 0];
    call(&g, Shape::Room, shrink).unwrap();
    call(&g, Shape::Pull, [1000, 0, 0]).unwrap();

    g.gso_type |= GSO_FRAGLIST;
    call(&g, Shape::Head, [4000, 0, 0]).unwrap();
    g.flags &= !LIST_FIXED;
    for (shape, args) in [
        (Shape::Head, [14, 0, 0]),
        (Shape::Pull, [101, 0, 0]),
        (Shape::Proto, [PROTO6, 0, 0]),
        (Shape::Room, [20, 1, FIXED]),
        (Shape::Store, [99, 0, 2]),
        (Shape::Csum, [100, 0, 0]),
    ] {
        assert_eq!(call(&g, shape, args), Err(Why::List), "{shape:?}");
        assert_eq!(shape.answer(Why::List), -524);
    }
    // These pull nothing, or make one buffer of it.
    call(&g, Shape::Pull, [100, 0, 0]).unwrap();
    call(&g, Shape::Store, [98, 0, 2]).unwrap();
    call(&g, Shape::Tail, [9000, 0, 0]).unwrap();
}

#[test]
fn xdp_cannot_cut_off_more_than_an_offset_can_tell() {
    let g = Geometry {
        data: 256,
        tail: 70_000,
        end: 70_400,
        len: 70_000 - 256,
        ..Geometry::default()
    };
    let by = |g: &Geometry, n: i64| call(g, Shape::XdpHead, [n as u32 as u64, 0, 0]);
    let far = by(&g, TOP - 256).unwrap();
    assert_eq!(far.data, TOP);
    assert_eq!(by(&g, TOP - 255), Err(Why::Offset));
    assert_eq!(by(&far, 1), Err(Why::Offset));
    assert_eq!(by(&far, -TOP).unwrap().data, 0);
    // The helper refuses these itself.
    assert_eq!(by(&g, -257).unwrap(), g);
    assert_eq!(by(&g, 69_740).unwrap(), g);
}

#[test]
fn a_list_with_linear_data_becomes_one_buffer() {
    let mut g = gso(packet(64, 14, 634, 5400), 536, GSO_TCPV4);
    assert!(!g.is_to_be_one());
    g.flags |= LIST;
    assert!(!g.is_to_be_one());
    g.flags |= LINEAR_LIST;
    assert!(g.is_to_be_one());
    g.gso_type = GSO_TCPV4 | GSO_FRAGLIST;
    assert!(g.is_to_be_one());
    // The kernel makes one buffer of it when it is segmented.
    g.gso_type = GSO_UDP_L4 | GSO_FRAGLIST;
    assert!(!g.is_to_be_one());
    let all = call(&g, Shape::Pull, [g.len as u64, 0, 0]).unwrap();
    assert!(all.data_len == 0 && !all.is(LIST | LINEAR_LIST));
}

#[test]
fn what_is_pending_before_the_packet_is_forgotten_but_for_segments() {
    let ways = |g: &Geometry| {
        let shapes = [Shape::VlanPush, Shape::VlanPop];
        shapes.map(|shape| call(g, shape, [0x81, 5, 0]).unwrap().is(PARTIAL))
    };
    let mut g = packet(200, 14, 1000, 1000);
    g.flags |= PARTIAL;
    (g.csum_start, g.csum_end) = (180, 198);
    assert_eq!(ways(&g), [true, true], "on the way out");
    let short = [g.len as u64 - 1, 0, 0];
    assert!(!call(&g, Shape::Tail, short).unwrap().is(PARTIAL));
    g.flags |= INGRESS;
    assert_eq!(ways(&g), [false, false]);
    let mut gso = gso(g, 100, GSO_TCPV4);
    assert_eq!(ways(&gso), [true, true]);
    (gso.csum_start, gso.csum_end) = (234, 252);
    assert_eq!(ways(&gso), [true, true]);
}

#[test]
fn segments_stay_verified() {
    const KEEP: u64 = 1 << 5;
    let (query, inc, dec, reset) = ([0; 3], [1, 0, 0], [2, 0, 0], [3, 0, 0]);
    let mut g = gso(packet(64, 14, 100, 9000), 1400, GSO_UDP_L4 | GSO_FRAGLIST);
    g.flags |= UNNECESSARY;
    for args in [query, inc, [4, 0, 0]] {
        call(&g, Shape::Level, args).unwrap();
    }
    for args in [dec, reset] {
        assert_eq!(call(&g, Shape::Level, args), Err(Why::Unsummed));
    }
    assert_eq!(Shape::Level.answer(Why::Unsummed), -22);
    let room = |flags| [-16i64 as u64, 0, flags];
    for flags in [FIXED, FIXED | KEEP] {
        assert!(call(&g, Shape::Room, room(flags)).unwrap().is(UNNECESSARY));
    }
    let mut is = g;
    is.flags &= !UNNECESSARY;
    assert_eq!(judge(&g, &is), Err(Why::Unsummed));
    assert_eq!(mend(&g, &is, Shape::Room, &[0; 5], false), g);
    assert_eq!(mend(&g, &is, Shape::Level, &[0; 5], false), is);
    g.csum_level = 1;
    let g = call(&g, Shape::Level, dec).unwrap();
    assert_eq!(call(&g, Shape::Level, dec), Err(Why::Unsummed));

    // Not one's own fault, and no GSO packet.
    for was in [0, PARTIAL] {
        let mut g = g;
        g.flags = g.flags & !UNNECESSARY | was;
        call(&g, Shape::Level, dec).unwrap();
        call(&g, Shape::Room, room(FIXED)).unwrap();
    }
    let mut plain = packet(64, 14, 100, 0);
    plain.flags |= UNNECESSARY;
    call(&plain, Shape::Level, reset).unwrap();
    let room = call(&plain, Shape::Room, [-16i64 as u64, 0, 0]);
    assert!(!room.unwrap().is(UNNECESSARY));
}

#[test]
fn a_checksum_that_was_cut_off_does_not_leave() {
    let mut g = packet(64, 14, 52, 0);
    g.flags |= PARTIAL;
    call(&g, Shape::Clone, [1, 0, 0]).unwrap();
    for cut in [1, 18, 30] {
        let mut g = g;
        g.tail -= cut;
        g.len -= cut;
        assert_eq!(call(&g, Shape::Clone, [1, 0, 0]), Err(Why::Csum));
        call(&g, Shape::Clone, [1, 1, 0]).unwrap();
        g.flags &= !PARTIAL;
        call(&g, Shape::Clone, [1, 0, 0]).unwrap();
    }
}

#[test]
fn a_header_in_fragments_is_not_moved() {
    let g = packet(64, 14, 14, 100);
    for bytes in [0, 1, 20] {
        assert_eq!(call(&g, Shape::Room, [bytes, 0, 0]), Err(Why::Linear));
        call(&g, Shape::Room, [bytes, 1, 0]).unwrap();
    }
    // What is taken away is pulled first.
    call(&g, Shape::Room, [-20i64 as u64, 0, 0]).unwrap();
}

#[test]
fn only_whole_headers_leave() {
    let g = packet(64, 14, 60, 100);
    assert_eq!(call(&g, Shape::Clone, [1, 0, 0]), Ok(g));
    let short = packet(64, 4, 4, 100);
    assert_eq!(call(&short, Shape::Clone, [1, 0, 0]), Err(Why::Linear));
    let untyped = gso(g, 10, GSO_DODGY);
    assert_eq!(call(&untyped, Shape::Clone, [1, 0, 0]), Err(Why::Gso));
    let mut shared = g;
    shared.flags |= SHARED;
    assert_eq!(call(&shared, Shape::Clone, [1, 0, 0]), Err(Why::Shared));
}

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
