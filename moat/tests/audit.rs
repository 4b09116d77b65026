// SPDX-License-Identifier: GPL-2.0
//! The audit against a model that thinks in single bytes and 128-bit numbers.

use moat_logic::helpers::audit::*;
use moat_logic::helpers::contract::*;
use moat_logic::helpers::grants::Kind;
use moat_logic::helpers::table::*;
use moat_logic::maps::types;
use proptest::prelude::*;

const CTX: u64 = 0xffff_8880_0000_1000;
const SNAP: u64 = RW + 64;
const PKT: u64 = 0xffff_8880_0000_2000;
const SOCKET: u64 = 0xffff_8880_0000_4000;
/// As the program knows it.
const NAME: u64 = 0x5000;
/// The same of a connection, of either kind.
const OBJECT: u64 = 0xffff_8880_0000_5000;
const OBJECT_NAME: u64 = 0x6000;
const FUNCTION: u64 = 0xffff_ffff_c000_0000;
const MAP: u64 = 0xffff_8880_0000_3000;
/// Writable memory of the test program, and read-only memory right after it.
const RW: u64 = 0xffff_fe80_0020_0000;
const SIZE: u64 = 0x1000;

struct Test {
    map: MapInfo,
}

// SAFETY: nobody looks at the memory that is granted.
unsafe impl CallerMemory for Test {
    fn contains(&self, addr: u64, len: u64, write: bool) -> bool {
        within(RW, if write { SIZE } else { 2 * SIZE }, addr, len) || len == 0
    }
}

impl Caller for Test {
    fn map(&self, addr: u64) -> Option<&MapInfo> {
        (addr == MAP).then_some(&self.map)
    }
    fn ctx(&self) -> u64 {
        CTX
    }
    fn snapshot(&self) -> u64 {
        SNAP
    }
    fn pkt_data(&self) -> u64 {
        PKT
    }
    fn headlen(&self) -> u64 {
        64
    }
    fn socket(&self, name: u64, _back: bool) -> Option<u64> {
        (name == NAME).then_some(SOCKET)
    }

    fn object(&self, _kind: Kind, name: u64, _back: bool) -> Option<u64> {
        (name == OBJECT_NAME).then_some(OBJECT)
    }

    fn callback(&self, addr: u64) -> Option<u64> {
        (addr == FUNCTION).then_some(FUNCTION)
    }
}

/// The same question, asked the slow way.
fn owns(addr: u64, len: u64, write: bool) -> bool {
    let end = addr as u128 + len as u128;
    let limit = RW as u128 + if write { SIZE } else { 2 * SIZE } as u128;
    len == 0 || (addr >= RW && end <= limit)
}

/// What goes into the registers, and of each argument that is memory how long it is and
/// whether the helper may write there.
type Granted = ([u64; 5], [Option<(u64, bool)>; 5]);

fn model(c: &Contract, raw: &[u64; 5], map: &MapInfo) -> Option<Granted> {
    let (mut out, mut memories) = (*raw, [None; 5]);
    let word = |n: u64| {
        let percpu = [5, 6, 10].contains(&map.ty);
        if percpu {
            (n + 7) / 8 * 8
        } else {
            n
        }
    };
    for i in 0..5 {
        let mut memory = |len: u64, write| {
            memories[i] = Some((len, write));
            owns(raw[i], len, write)
        };
        let ok = match c.args[i] {
            Arg::None | Arg::Any => true,
            Arg::Ctx => {
                out[i] = CTX;
                raw[i] == SNAP
            }
            // At least its first byte.
            Arg::ConstStr => memory(1, false),
            Arg::PktData => {
                out[i] = PKT;
                true
            }
            Arg::Headlen => {
                out[i] = 64;
                true
            }
            Arg::Function => {
                out[i] = 0;
                raw[i] == FUNCTION
            }
            Arg::MapPtr(types) => {
                let frozen = map.flags & types::RDONLY_PROG != 0;
                raw[i] == MAP && types.contains(map.ty) && !(c.writes_map && frozen)
            }
            Arg::MapKey => memory(map.key_size.into(), false),
            // A socket that goes into a map of sockets.
            Arg::MapValue if [15, 18].contains(&map.ty) => {
                out[i] = SOCKET;
                raw[i] == NAME
            }
            Arg::MapValue => memory(word(map.value_size.into()), false),
            Arg::MapValueOrNull => raw[i] == 0 || memory(word(map.value_size.into()), false),
            Arg::Atomic => {
                out[i] = GFP_ATOMIC;
                true
            }
            Arg::MapValueOut => memory(word(map.value_size.into()), map.ty != types::BLOOM_FILTER),
            Arg::Mem { access, size, .. } => {
                let len = raw[size as usize];
                let ok = memory(len, access != Access::Read);
                if len == 0 {
                    out[i] = 0;
                }
                ok
            }
            Arg::Size { max, zero_ok } => raw[i] <= max.into() && (zero_ok || raw[i] != 0),
            Arg::FixedMem { access, bytes } => memory(bytes.into(), access != Access::Read),
            Arg::Dynptr => memory(16, false),
            Arg::DynptrOut | Arg::DynptrBack => memory(16, true),
            Arg::Socket | Arg::SocketBack => {
                out[i] = SOCKET;
                raw[i] == NAME
            }
            Arg::Object(_) | Arg::ObjectBack(_) => {
                out[i] = OBJECT;
                raw[i] == OBJECT_NAME
            }
            // Not for the audit.
            Arg::Record | Arg::RecordSize | Arg::Lock | Arg::Timer => false,
        };
        if !ok {
            return None;
        }
    }
    Some((out, memories))
}

fn value() -> impl Strategy<Value = u64> {
    let edge = prop_oneof![
        Just(0),
        Just(RW),
        Just(RW + SIZE),
        Just(RW + 2 * SIZE),
        Just(MAP),
        Just(NAME),
        Just(OBJECT_NAME),
        Just(MAX_VAR_SIZ.into()),
        Just(u64::MAX)
    ];
    prop_oneof![
        4 => (edge, -72i64..72).prop_map(|(v, d): (u64, i64)| v.wrapping_add(d as u64)),
        3 => RW..RW + 2 * SIZE,
        3 => 0u64..0x2000,
        2 => Just(MAP),
        2 => Just(SNAP),
        2 => Just(FUNCTION),
        1 => any::<u64>(),
    ]
}

fn map() -> impl Strategy<Value = MapInfo> {
    (0u32..70, 0u32..300, 0u32..600, 0u32..512).prop_map(|(ty, key_size, value_size, flags)| {
        MapInfo {
            kernel: MAP,
            ty,
            key_size,
            value_size,
            flags,
        }
    })
}

fn any_contract() -> impl Strategy<Value = &'static Contract> {
    let all: Vec<_> = all().chain(kfuncs()).collect();
    (0..all.len()).prop_map(move |i| all[i])
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn within_is_the_model(base: u64, size: u64, addr: u64, len: u64) {
        let size = size.min(u64::MAX - base);
        let end = addr as u128 + len as u128;
        let model = addr >= base && end <= base as u128 + size as u128;
        prop_assert_eq!(within(base, size, addr, len), model);
    }

    #[test]
    fn audit_is_the_model(c in any_contract(), raw in [value(), value(), value(), value(), value()], map in map()) {
        let caller = Test { map };
        let got = audit(c, &raw.map(Allegation), &caller);
        let want = if c.refused.is_some() { None } else { model(c, &raw, &map) };
        prop_assert_eq!(got.is_ok(), want.is_some());
        if let (Ok(got), Some((registers, memories))) = (got, want) {
            prop_assert_eq!(got.args.map(Register::get), registers);
            if let Some(Bounced { how, memory }) = got.bounce {
                let i = usize::from(how.arg);
                prop_assert!(memory.addr() == registers[i] && !memory.is_empty());
                prop_assert_eq!(Some((memory.len().into(), memory.is_writable())), memories[i]);
                prop_assert!(usize::from(how.bytes) <= BOUNCE_MAX);
                prop_assert!(!how.back || memory.is_writable());
            } else if let Some(how) = c.bounce {
                // No bytes need no copy.
                prop_assert_eq!(memories[usize::from(how.arg)].unwrap().0, 0);
            }
        }
    }

    #[test]
    fn the_quick_lookup_is_the_audit(raw in [value(), value()], map in map()) {
        let caller = Test { map };
        let args = [raw[0], raw[1], 0, 0, 0].map(Allegation);
        let slow = audit(contract(1).unwrap(), &args, &caller);
        let quick = audit_lookup(args[0], args[1], &caller);
        match (slow, quick) {
            (Ok(slow), Ok((map, key))) => {
                prop_assert_eq!(slow.map, Some(map));
                prop_assert_eq!(slow.args[1].get(), key.addr());
                prop_assert_eq!(u64::from(key.len()), u64::from(map.key_size));
            }
            (slow, quick) => prop_assert_eq!(slow.err(), quick.err()),
        }
    }

    #[test]
    fn no_kernel_address_gets_in(c in any_contract(), raw in [value(), value(), value(), value(), value()], map in map()) {
        let caller = Test { map };
        if let Ok(checked) = audit(c, &raw.map(Allegation), &caller) {
            for (arg, register) in c.args.iter().zip(checked.args) {
                if let Arg::Mem { .. } | Arg::FixedMem { .. } = arg {
                    prop_assert!(register.get() == 0 || owns(register.get(), 1, false));
                }
            }
        }
    }
}

#[test]
fn changes_of_lpm_tries_and_indices_of_arrays_bounce_and_others_do_not() {
    let mut caller = Test {
        map: MapInfo {
            kernel: MAP,
            ty: types::LPM_TRIE,
            key_size: 8,
            value_size: 8,
            flags: 0,
        },
    };
    let raw = [MAP, RW, RW + 8, 0, 0].map(Allegation);
    for (id, bounced) in [(1, false), (2, true), (3, true)] {
        let checked = audit(contract(id).unwrap(), &raw, &caller).unwrap();
        let want = bounced.then_some(Bounce {
            arg: 1,
            bytes: 8,
            back: false,
        });
        assert_eq!(checked.bounce.map(|b| b.how), want, "{id}");
    }
    caller.map.ty = types::HASH;
    let checked = audit(contract(2).unwrap(), &raw, &caller).unwrap();
    assert_eq!(checked.bounce, None);
    caller.map.ty = types::ARRAY;
    caller.map.key_size = 4;
    for id in [1, 2, 3] {
        let checked = audit(contract(id).unwrap(), &raw, &caller).unwrap();
        assert_eq!(checked.bounce.unwrap().how.bytes, 4, "{id}");
    }
}

#[test]
fn a_read_only_map_is_not_changed() {
    let mut caller = Test {
        map: MapInfo {
            kernel: MAP,
            ty: types::ARRAY,
            key_size: 4,
            value_size: 8,
            flags: types::RDONLY_PROG,
        },
    };
    let raw = [MAP, RW, RW + 8, 0, 0].map(Allegation);
    let error = AuditError {
        arg: 0,
        why: Why::ReadOnlyMap,
    };
    for (id, ty) in [
        (2, types::ARRAY),
        (3, types::HASH),
        (87, types::QUEUE),
        (88, types::STACK),
    ] {
        caller.map.ty = ty;
        let helper = contract(id).unwrap();
        assert_eq!(audit(helper, &raw, &caller).unwrap_err(), error, "{id}");
    }
    caller.map.ty = types::ARRAY;
    assert!(audit(contract(1).unwrap(), &raw, &caller).is_ok());
}

#[test]
fn nothing_is_written_to_read_only_memory() {
    let caller = Test {
        map: MapInfo {
            kernel: MAP,
            ty: types::ARRAY,
            key_size: 4,
            value_size: 8,
            flags: 0,
        },
    };
    let strtol = contract(105).unwrap();
    let into = |to| audit(strtol, &[RW, 2, 0, to, 0].map(Allegation), &caller);
    let error = |why| AuditError { arg: 3, why };
    assert!(into(RW + SIZE - 8).is_ok());
    for to in [RW + SIZE - 7, RW + SIZE, RW + 2 * SIZE - 8] {
        assert_eq!(into(to).unwrap_err(), error(Why::ReadOnly), "{to:#x}");
    }
    for to in [RW - 8, RW + 2 * SIZE - 7] {
        assert_eq!(into(to).unwrap_err(), error(Why::Memory), "{to:#x}");
    }
}

#[test]
fn a_percpu_update_needs_whole_words() {
    let mut caller = Test {
        map: MapInfo {
            kernel: MAP,
            ty: types::PERCPU_HASH,
            key_size: 4,
            value_size: 4,
            flags: 0,
        },
    };
    let update = contract(2).unwrap();
    let raw = [MAP, RW, RW + 2 * SIZE - 4, 0, 0].map(Allegation);
    let error = AuditError {
        arg: 2,
        why: Why::Memory,
    };
    assert_eq!(audit(update, &raw, &caller).unwrap_err(), error);
    caller.map.ty = types::HASH;
    assert!(audit(update, &raw, &caller).is_ok());
}
