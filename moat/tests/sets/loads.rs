// SPDX-License-Identifier: GPL-2.0
//! Loads that are refused, wherever that is found out, leave nothing behind; and what the
//! calls of a program mean.

use crate::admin::sysctl::Level;
use crate::books::Map;
use crate::changes::borrowed;
use crate::edge::given::Given;
use crate::edge::lock::Locked;
use crate::helpers::contract::{SCHED_CLS, SOCKET_FILTER, XDP};
use crate::load::reason::{Failure, Reason, Subject, Tried};
use crate::load::{self, calls::Calls, calls::Kfunc};
use crate::plans::{Draft, Kind, KINDS};
use crate::prog_types::{self, ProgType, OWN, SCHED_ACT, SECCOMP};
use crate::setup::{Setup, Size};
use crate::state::Listed;
use crate::system::System;
use kernel::bindings::*;
use kernel::machine::{machine, Broken};
use kernel::memory::Shortage;

const REFUSED: Failure = Failure::Refused(Reason {
    insn: None,
    subject: Subject::Program,
    why: "it is a test",
});

fn row(ty: u32) -> &'static ProgType {
    prog_types::find(ty).expect("it has a row")
}

/// Why a program is refused.
fn refusal(draft: &Draft, calls: Tried<Calls>, own: &[Map]) -> &'static str {
    let aux = Box::into_raw(Box::new(bpf_prog_aux { id: 1 }));
    // SAFETY: it is freed after the program.
    let known = unsafe { Given::new(aux.cast_const()) }.into();
    let program = load::candidate(known, draft.ty, Level::Integrity).expect("there is memory");
    // SAFETY: maps outlive this function.
    let maps: Vec<_> = own.iter().map(|&map| unsafe { borrowed(map) }).collect();
    // SAFETY: its programs were made for it.
    let plan = unsafe { Given::new(draft.plan) }.into();
    let (program, admitted) = load::admit(program, plan, calls, draft.facts(), &maps);
    load::release(program);
    // SAFETY: made above.
    drop(unsafe { Box::from_raw(aux) });
    match admitted {
        Err(Failure::Refused(reason)) => reason.why,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn refused_loads_leave_nothing() {
    let setup = Setup {
        keys: 3,
        maps: vec![(Size::Page, false); 2],
        outers: vec![1],
    };
    for kind in KINDS {
        let mut system = System::new(&setup, Broken::Not);
        let (map, outer) = (system.map(0), system.outer(0));
        // Somebody else is there, with the same map, and keeps what it has.
        let loaded = system.load(&[map], Level::Integrity, Kind::Writer, None);
        loaded.expect("somebody else");
        let there = || machine(|m| (m.allocations, m.tables.keys().copied().collect()));
        let before: (i64, Vec<u64>) = there();

        let draft = kind.draft();
        let why = refusal(&draft, Err(REFUSED), &[map]);
        assert_eq!(why, "it is a test");

        let mut draft = kind.draft();
        draft.plan.classic = false;
        draft.plan.max_pkt_offset = 0x10001;
        let why = refusal(&draft, Ok(draft.calls), &[map]);
        assert_eq!(why, "reach into packets beyond MAX_PACKET_OFF");

        let unplaced = Setup::unplaced();
        let draft = kind.draft();
        let own = [map, system.map(1), outer, unplaced];
        let why = refusal(&draft, Ok(draft.calls), &own);
        assert_eq!(why, "has no pages");
        // SAFETY: made just now; nobody has it any more.
        let unplaced = unsafe { Box::from_raw(unplaced) };
        assert_eq!(unplaced.refcnt, 1);

        assert_eq!(there(), before);
        system.finish().expect("as before");
        system.shut_down().expect("nothing is left");
    }
}

/// As many as in a chunk of the arena, and some more.
const FILTERS: u32 = 200;

#[test]
fn confined_filters_are_listed_and_have_nothing_else() {
    let setup = Setup {
        keys: 3,
        maps: vec![(Size::Page, false)],
        outers: vec![1],
    };
    let mut system = System::new(&setup, Broken::Not);
    let map = system.map(0);
    let loaded = system.load(&[map], Level::Integrity, Kind::Writer, None);
    loaded.expect("an isolated program");
    let listed = || machine(|m| m.listed.values().copied().collect::<Vec<_>>());
    let left = || machine(|m| (m.allocations, m.tables.keys().copied().collect()));
    let (isolated, before): (_, (i64, Vec<u64>)) = (listed(), left());

    let mut there = Vec::new();
    for (kind, after) in [SECCOMP, SOCKET_FILTER].iter().cycle().zip(0..FILTERS) {
        let shortage = (after % 3 == 0).then_some(Shortage {
            after: after % 2,
            lasts: false,
        });
        let (id, short) = system.call(shortage, || load::confine(*kind));
        assert_eq!(id.is_none(), short);
        there.extend(id.map(|id| (*kind, id)));
    }
    let most = FILTERS as usize;
    assert!(there.len() > most / 2 && there.len() < most);
    for (kind, id) in &there {
        let filter = Locked::take();
        assert_eq!(filter.confined.get(*id).map(|f| f.row.number), Some(*kind));
    }
    let names = there.iter().map(|(_, id)| Listed::Confined(*id).bits());
    assert_eq!(listed(), [isolated.clone(), names.collect()].concat());
    let known = |bits| Listed::from_bits(bits).expect("a name");
    assert!(listed().iter().all(|&bits| known(bits).bits() == bits));
    assert!(matches!(known(isolated[0]), Listed::Isolated(_)));
    assert_eq!(load::confine(XDP + OWN), None);

    for (_, id) in there {
        load::forget(id);
        // There is nothing of that name any more.
        load::forget(id);
    }
    assert_eq!((listed(), left()), (isolated, before));
    system.finish().expect("as before");
    system.shut_down().expect("nothing is left");
}

fn call(src: u8, imm: i32) -> bpf_insn {
    bpf_insn {
        code: (BPF_JMP | BPF_CALL) as u8,
        dst_src: src << 4,
        off: 0,
        imm,
    }
}

/// Both halves of a 64-bit load, the second of which could be taken for a call.
fn load_64() -> [bpf_insn; 2] {
    let first = bpf_insn {
        code: (BPF_LD | BPF_IMM | BPF_DW) as u8,
        dst_src: 1,
        off: 0,
        imm: 0,
    };
    [first, call(0, 100_000)]
}

const KTIME_GET_NS: i32 = 5;
const SKB_STORE_BYTES: i32 = 9;
const REDIRECT_NEIGH: i32 = 152;
const XDP_ADJUST_META: i32 = 54;

#[test]
fn what_calls_mean() {
    let flags = |insns: &[bpf_insn], ty| {
        let calls = Calls::check(insns, (row(ty), false), |_| None).expect("all have contracts");
        (calls.local, calls.uncover)
    };
    assert_eq!(flags(&load_64(), XDP), (false, false));
    assert_eq!(flags(&[call(0, KTIME_GET_NS)], XDP), (false, false));
    assert_eq!(flags(&[call(1, 100_000)], SOCKET_FILTER), (true, false));
    let store = [call(0, KTIME_GET_NS), call(0, SKB_STORE_BYTES)];
    assert!(flags(&store, SCHED_CLS).1);
    assert!(flags(&[call(0, XDP_ADJUST_META)], XDP).1);
}

#[test]
fn calls_without_a_contract_are_refused() {
    let refused = |insns: &[bpf_insn], ty| match Calls::check(insns, (row(ty), false), |_| None) {
        Err(Failure::Refused(reason)) => reason.insn,
        other => panic!("not refused: {}", other.is_ok()),
    };
    let [first, second] = load_64();
    let insns = [first, second, call(1, 0), call(0, 100_000)];
    assert_eq!(refused(&insns, XDP), Some(3));
    // One that other types may call.
    assert_eq!(refused(&[call(0, SKB_STORE_BYTES)], XDP), Some(0));
    assert_eq!(refused(&[call(0, REDIRECT_NEIGH)], XDP), Some(0));
    assert_eq!(refused(&[call(2, 1)], XDP), Some(0));
}

#[test]
fn what_is_for_a_packet_takes_a_context() {
    let check = |id, bare| Calls::check(&[call(0, id)], (row(SCHED_CLS), bare), |_| None);
    for (id, for_packet) in [(KTIME_GET_NS, false), (SKB_STORE_BYTES, true), (12, true)] {
        assert!(check(id, false).is_ok());
        assert_eq!(check(id, true).is_err(), for_packet);
    }
}

#[test]
fn functions_of_the_kernel_are_known_by_name() {
    let check = |name, ty| {
        let kfunc = |_| Some(Kfunc { name, func: 0x1000 });
        Calls::check(&[call(2, 1)], (row(ty), false), kfunc)
    };
    let calls = check("bpf_xdp_ct_lookup", XDP).expect("has a contract");
    assert!(calls.conns && calls.grants && !calls.local);
    assert_eq!(calls.kfuncs[1], 0x1000);
    assert_eq!(calls.kfuncs.iter().filter(|func| **func != 0).count(), 1);
    let calls = check("bpf_ct_release", SCHED_CLS).expect("has a contract");
    assert!(!calls.conns);
    // The context of another type would be memory of the program's.
    assert!(check("bpf_xdp_ct_lookup", SCHED_CLS).is_err());
    assert!(check("bpf_skb_ct_lookup", XDP).is_err());
    assert!(check("bpf_skb_ct_lookup", SCHED_ACT).is_err());
    assert!(check("bpf_ct_nothing", XDP).is_err());
}
