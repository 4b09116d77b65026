// SPDX-License-Identifier: GPL-2.0
//! Packets made to show one rule each.

use crate::{call, gso, packet, FIXED, PROTO6};
use moat_logic::helpers::geometry::*;

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
