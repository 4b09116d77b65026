// SPDX-License-Identifier: GPL-2.0
//! The rows of program types and of map types, and what comes from them.

use moat_logic::helpers::table::all;
use moat_logic::load::reason::Failure;
use moat_logic::maps::types::{self, *};
use moat_logic::prog_types::{
    self, Context, Level, ProgType, ProgTypes, Verdict, CGROUP_SKB, OWN, SCHED_ACT, SCHED_CLS,
    SECCOMP, SOCKET_FILTER, XDP,
};
use std::collections::BTreeSet;
use std::path::PathBuf;

const PROGS: &[ProgType] = prog_types::ROWS;

/// Numbers that types have, may have one day, or cannot have.
fn numbers() -> impl Iterator<Item = u32> {
    let far = [1 << 8, OWN + XDP, 1 << 16, (1 << 16) + XDP, u32::MAX];
    (0..200).chain([SECCOMP]).chain(far)
}

/// Whether the kernel has such a type, and helpers for it.
fn is_kernels(row: &ProgType) -> bool {
    row.number < OWN
}

#[test]
fn a_program_type_has_one_row() {
    let numbers: BTreeSet<_> = PROGS.iter().map(|row| row.number).collect();
    let sysctls: BTreeSet<_> = PROGS.iter().map(|row| row.sysctl).collect();
    assert_eq!((numbers.len(), sysctls.len()), (PROGS.len(), PROGS.len()));
    for row in PROGS {
        assert_eq!(prog_types::find(row.number), Some(row));
        assert_eq!(row.name, prog_types::name(row.number));
        let kernels = prog_types::NAMES.get(row.number as usize);
        assert_eq!(kernels == Some(&row.name), is_kernels(row));
        assert_eq!(prog_types::NAMES.contains(&row.name), is_kernels(row));
    }
}

/// `proc_douintvec_minmax()` and the registration are given the bytes as they are.
#[test]
fn a_sysctl_is_the_name_and_ends() {
    for row in PROGS {
        assert_eq!(row.sysctl, format!("{}\0", row.name));
    }
}

#[test]
fn a_program_type_without_a_row_has_nothing() {
    let mut without = 0;
    for ty in numbers().filter(|ty| PROGS.iter().all(|row| row.number != *ty)) {
        assert_eq!(prog_types::find(ty), None);
        for set in [
            ProgTypes::ALL,
            ProgTypes::SKB,
            ProgTypes::XDP,
            ProgTypes::TC,
            ProgTypes::XDP_TC,
            ProgTypes::SOCKET_FILTER_ONLY,
            ProgTypes::CGROUP_SKB_ONLY,
            ProgTypes::TC_CGROUP,
            ProgTypes::XDP_TC_CGROUP,
        ] {
            assert!(!set.contains(ty), "{ty}");
        }
        assert!(all().all(|c| !c.types.contains(ty)), "{ty}");
        without += 1;
    }
    assert_eq!(without, numbers().count() - PROGS.len());
}

#[test]
fn a_program_type_with_a_row_has_contracts() {
    for row in PROGS {
        let can = all().filter(|c| c.refused.is_none() && c.types.contains(row.number));
        assert_eq!(can.count() > 10, is_kernels(row), "{}", row.name);
        let none = all().all(|c| !c.types.contains(row.number));
        assert_eq!(none, !is_kernels(row), "{}", row.name);
    }
}

#[test]
fn sets_of_program_types_follow_the_context() {
    for row in PROGS {
        let is = |context| row.context == context;
        assert_eq!(ProgTypes::ALL.contains(row.number), is_kernels(row));
        assert_eq!(ProgTypes::SKB.contains(row.number), is(Context::SkBuff));
        assert_eq!(ProgTypes::XDP.contains(row.number), is(Context::XdpBuff));
    }
    let members = |set: ProgTypes| -> Vec<_> { numbers().filter(|ty| set.contains(*ty)).collect() };
    assert_eq!(members(ProgTypes::XDP), [XDP]);
    assert_eq!(members(ProgTypes::TC), [SCHED_CLS, SCHED_ACT]);
    assert_eq!(members(ProgTypes::XDP_TC), [SCHED_CLS, SCHED_ACT, XDP]);
    assert_eq!(members(ProgTypes::SOCKET_FILTER_ONLY), [SOCKET_FILTER]);
    assert_eq!(members(ProgTypes::CGROUP_SKB_ONLY), [CGROUP_SKB]);
    let tc_cgroup = [SCHED_CLS, SCHED_ACT, CGROUP_SKB];
    assert_eq!(members(ProgTypes::TC_CGROUP), tc_cgroup);
    let all = [SCHED_CLS, SCHED_ACT, XDP, CGROUP_SKB];
    assert_eq!(members(ProgTypes::XDP_TC_CGROUP), all);
}

/// XDP_DROP, TC_ACT_SHOT, no bytes kept, not let pass, and SECCOMP_RET_KILL_PROCESS.
#[test]
fn the_verdict_stops_the_packet() {
    let mut verdicts = vec![(XDP, 1), (SCHED_CLS, 2), (SCHED_ACT, 2), (SOCKET_FILTER, 0)];
    verdicts.push((SECCOMP, 0x8000_0000));
    verdicts.push((CGROUP_SKB, 0));
    for row in PROGS {
        let at = verdicts.iter().position(|(ty, _)| *ty == row.number);
        let (_, verdict) = verdicts.remove(at.expect(row.name));
        for attach_type in numbers() {
            // In and out; for others there is none that would be known.
            let known = row.number != CGROUP_SKB || attach_type < 2;
            let want = known.then_some(verdict);
            assert_eq!(row.verdict(attach_type), want, "{}", row.name);
        }
    }
    assert_eq!(verdicts, []);
}

#[test]
fn without_a_verdict_it_is_not_isolated() {
    let row = ProgType {
        verdict: Verdict::ByAttachType(&[(3, 0), (5, 1)]),
        ..PROGS[0]
    };
    for attach_type in numbers() {
        let want = match attach_type {
            3 => Some(0),
            5 => Some(1),
            _ => None,
        };
        assert_eq!(row.verdict(attach_type), want);
        match row.verdict_or_refuse(attach_type) {
            Err(Failure::Refused(reason)) => assert!(want.is_none(), "{reason}"),
            other => assert_eq!(other.ok(), want),
        }
    }
}

#[test]
fn a_sysctl_holds_a_level_or_0() {
    assert_eq!(Level::of_sysctl(0), None);
    for level in [Level::Integrity, Level::Confidentiality] {
        assert_eq!(Level::of_sysctl(level as u32), Some(level));
    }
    assert!(Level::Integrity < Level::Confidentiality);
}

#[test]
fn a_map_type_has_one_row() {
    let rises = |pair: &[MapType]| pair[0].number < pair[1].number;
    assert!(types::ROWS.windows(2).all(rises));
    for row in types::ROWS {
        assert_eq!(types::find(row.number), Some(row));
        assert_eq!(row.name, types::NAMES[row.number as usize]);
    }
}

fn members(set: MapTypes) -> Vec<u32> {
    numbers().filter(|ty| set.contains(*ty)).collect()
}

#[test]
fn a_map_type_without_a_row_is_in_no_set() {
    let rows: Vec<_> = types::ROWS.iter().map(|row| row.number).collect();
    assert_eq!(members(MapTypes::ALL), rows);
    for ty in numbers().filter(|ty| !rows.contains(ty)) {
        assert_eq!(types::find(ty), None);
        let takes = |types: MapTypes| types.contains(ty);
        assert!(!all().filter_map(|c| c.map_types()).any(takes), "{ty}");
        assert!(!types::is_array(ty), "{ty}");
    }
}

#[test]
fn sets_of_map_types_are_what_helpers_rely_on() {
    let keyed = [
        HASH,
        ARRAY,
        PERCPU_HASH,
        PERCPU_ARRAY,
        LRU_HASH,
        LRU_PERCPU_HASH,
        LPM_TRIE,
    ];
    let of_maps = [ARRAY_OF_MAPS, HASH_OF_MAPS];
    let per_cpu = [PERCPU_HASH, PERCPU_ARRAY, LRU_PERCPU_HASH];
    assert_eq!(members(MapTypes::KEYED), keyed);
    assert_eq!(members(MapTypes::OF_MAPS), of_maps);
    let copied = [DEVMAP, SOCKMAP, XSKMAP, SOCKHASH, DEVMAP_HASH];
    assert_eq!(
        members(MapTypes::LOOKED_UP),
        [&keyed[..], &of_maps, &copied].concat()
    );
    assert_eq!(members(MapTypes::PERCPU), per_cpu);
    assert_eq!(members(MapTypes::FIFO), [QUEUE, STACK]);
    let redirect = [DEVMAP, CPUMAP, XSKMAP, DEVMAP_HASH];
    assert_eq!(members(MapTypes::REDIRECT), redirect);
    assert_eq!(members(MapTypes::TRIES), [LPM_TRIE]);
    let of_others = [CGROUP_STORAGE, PERCPU_CGROUP_STORAGE, SK_STORAGE];
    assert_eq!(members(MapTypes::PLACED), [&keyed[..], &of_others].concat());
    assert_eq!(members(MapTypes::PROGRAMS), [PROG_ARRAY]);
    let isolated = members(MapTypes::ALL);
    assert_eq!(members(MapTypes::ISOLATED), isolated);
    // What programs find there has no address.
    for ty in members(MapTypes::WITHOUT_ADDRESSES) {
        assert!(!MapTypes::KEYED.contains(ty) && !MapTypes::PLACED.contains(ty));
    }
    for set in [MapTypes::DEVICES, MapTypes::SOCKETS, MapTypes::SOCKMAPS] {
        for ty in members(set) {
            assert!(MapTypes::WITHOUT_ADDRESSES.contains(ty) && MapTypes::LOOKED_UP.contains(ty));
        }
    }
    let changed = members(MapTypes::KEYED.or(MapTypes::SOCKMAPS));
    assert_eq!(members(MapTypes::CHANGED), changed);
    assert_eq!(members(MapTypes::SOCKMAPS), [SOCKMAP, SOCKHASH]);
    assert_eq!(members(MapTypes::NONE), []);
}

/// The gate reads four bytes of a key that is an index, once.
#[test]
fn of_what_is_looked_up_arrays_have_indices() {
    let arrays = members(MapTypes::LOOKED_UP).into_iter();
    let arrays: Vec<_> = arrays.filter(|ty| types::is_array(*ty)).collect();
    assert_eq!(
        arrays,
        [ARRAY, PERCPU_ARRAY, ARRAY_OF_MAPS, DEVMAP, SOCKMAP, XSKMAP]
    );
}

#[test]
fn a_map_type_with_a_row_is_taken_by_a_helper() {
    for row in types::ROWS {
        let takes = |types: MapTypes| types.contains(row.number);
        assert!(
            all().filter_map(|c| c.map_types()).any(takes),
            "{}",
            row.name
        );
        // Nobody has addresses in what has no values to look up.
        let has_values = matches!(row.kind, Kind::Keyed | Kind::Storage);
        assert_eq!(row.placed, has_values, "{}", row.name);
        let keyed = MapTypes::LOOKED_UP.contains(row.number);
        assert!(!keyed || row.key != Key::None, "{}", row.name);
    }
}

/// Names by number, of an enumeration whose members take the next one.
fn enumeration(header: &str, name: &str, prefix: &str) -> Vec<String> {
    let (_, rest) = header.split_once(&format!("enum {name} {{")).expect(name);
    let body = &rest[..rest.find('}').unwrap()];
    let lines = body.lines().map(str::trim);
    lines
        .filter_map(|line| line.strip_prefix(prefix))
        .map(|line| {
            let (name, _comment) = line.split_once(',').expect(line);
            assert!(!name.contains('='), "{line}");
            name.to_string()
        })
        .collect()
}

#[test]
fn names_are_those_of_the_kernel() {
    let Some(root) = std::env::var_os("KERNEL_SRC").filter(|dir| !dir.is_empty()) else {
        eprintln!("skipped: KERNEL_SRC is not set");
        return;
    };
    let path = PathBuf::from(root).join("include/uapi/linux/bpf.h");
    let header = std::fs::read_to_string(path).unwrap();
    let theirs = enumeration(&header, "bpf_prog_type", "BPF_PROG_TYPE_");
    assert_eq!(theirs, prog_types::NAMES.map(str::to_uppercase));
    let theirs = enumeration(&header, "bpf_map_type", "BPF_MAP_TYPE_");
    assert_eq!(theirs, types::NAMES);
    assert_eq!(prog_types::name(XDP), "xdp");
    assert_eq!(prog_types::name(u32::MAX), "other");
}

/// What is no number of the kernel's does not build, if it is compared.
#[test]
fn numbers_of_rows_are_compared_with_the_kernels() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/moat/checks/constants.rs");
    let checks = std::fs::read_to_string(path).unwrap();
    let progs = PROGS.iter().filter(|row| is_kernels(row));
    let progs = progs.map(|row| row.name.to_uppercase());
    let progs = progs.map(|name| ("prog", name));
    let maps = types::ROWS.iter().map(|row| row.name.to_string());
    for (what, name) in progs.chain(maps.map(|name| ("map", name))) {
        let upper = what.to_uppercase();
        let theirs = format!("::{name} => k::bpf_{what}_type_BPF_{upper}_TYPE_{name};");
        assert!(checks.contains(&theirs), "no line {theirs}");
    }
}
