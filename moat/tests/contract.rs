// SPDX-License-Identifier: GPL-2.0
//! The contract table is consistent with itself and with the uapi header.

use moat_logic::helpers::contract::*;
use moat_logic::helpers::table::*;
use moat_logic::prog_types::{ProgType, ROWS};

#[test]
fn numbers_rise_and_names_are_unique() {
    let all: Vec<_> = all().chain(kfuncs()).collect();
    assert!(all.windows(2).all(|pair| pair[0].id < pair[1].id));
    let mut names: Vec<_> = all.iter().map(|c| c.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all.len());
}

#[test]
fn every_contract_is_found_by_its_number() {
    for c in all().chain(kfuncs()) {
        assert_eq!(contract(c.id).unwrap().name, c.name);
    }
    for id in [0, 4, MAX_ID as u32, INTERNAL_BASE - 1, u32::MAX] {
        assert!(contract(id).is_none(), "{id}");
    }
    assert!(contract(INTERNAL_BASE + INTERNALS as u32).is_none());
    assert!(contract(KFUNC_BASE + KFUNCS as u32).is_none());
    for c in kfuncs() {
        assert!(is_kfunc(c.id));
        assert_eq!(kfunc(c.name).unwrap().id, c.id);
    }
    assert!(all().all(|c| !is_kfunc(c.id) && kfunc(c.name).is_none()));
    assert_eq!(
        kfunc("bpf_ct_set_nat_info").unwrap().id,
        moat_logic::helpers::conntrack::SET_NAT_INFO
    );
}

#[test]
fn somebody_can_call_every_helper() {
    for c in all().chain(kfuncs()) {
        let can = |row: &ProgType| c.types.contains(row.number);
        assert!(ROWS.iter().any(can), "{}", c.name);
    }
}

#[test]
fn sizes_and_memory_go_together() {
    for c in all().chain(kfuncs()) {
        let mut sized = [0; 5];
        for arg in c.args {
            if let Arg::Mem { size, .. } = arg {
                let size = size as usize;
                assert!(matches!(c.args[size], Arg::Size { .. }), "{}", c.name);
                sized[size] += 1;
            }
        }
        for (arg, uses) in c.args.iter().zip(sized) {
            assert_eq!(uses == 1, matches!(arg, Arg::Size { .. }), "{}", c.name);
            if let Arg::Size { max, .. } = arg {
                assert!(*max < MAX_VAR_SIZ, "{}", c.name);
            }
        }
    }
}

#[test]
fn keys_and_values_follow_their_map() {
    for c in all().chain(kfuncs()) {
        let mut map = false;
        for arg in c.args {
            match arg {
                Arg::MapPtr(_) => {
                    assert!(!map, "{} takes two maps", c.name);
                    map = true;
                }
                Arg::MapKey | Arg::MapValue | Arg::MapValueOrNull | Arg::MapValueOut => {
                    assert!(map, "{}", c.name);
                }
                _ => {}
            }
        }
        if c.ret == Ret::MapValueOrNull {
            assert!(map, "{} returns a value of no map", c.name);
        }
    }
}

#[test]
fn arguments_have_no_gaps() {
    for c in all().chain(kfuncs()) {
        let used = c.args.iter().take_while(|a| **a != Arg::None).count();
        assert!(c.args[used..].iter().all(|a| *a == Arg::None), "{}", c.name);
        let plain = c.args.iter().all(|a| a.is_plain());
        let plain = plain && c.refused.is_none();
        assert_eq!(c.is_plain(), plain, "{}", c.name);
    }
}

#[test]
fn what_is_reloaded_was_stored_first() {
    for c in all().chain(kfuncs()) {
        assert!(!c.effects.load_ctx || c.effects.store_ctx, "{}", c.name);
        if c.effects.store_ctx {
            assert_eq!(c.args[0], Arg::Ctx, "{}", c.name);
        }
    }
}

#[test]
fn a_bounced_argument_is_memory_and_fits() {
    for c in all().chain(kfuncs()) {
        if let Some(bounce) = c.bounce {
            assert!(bounce.bytes as usize <= BOUNCE_MAX, "{}", c.name);
            let access = match c.args[bounce.arg as usize] {
                Arg::Mem { access, .. } => access,
                Arg::Dynptr => Access::Read,
                Arg::DynptrOut => Access::Write,
                Arg::DynptrBack => Access::ReadWrite,
                _ => panic!("{} bounces something that is not memory", c.name),
            };
            assert!(bounce.back || access != Access::ReadWrite, "{}", c.name);
            assert!(!bounce.back || access != Access::Read, "{}", c.name);
        }
    }
}

#[test]
fn refused_contracts_grant_nothing() {
    for c in all().filter(|c| c.refused.is_some()) {
        assert_eq!(c.args, [Arg::None; 5], "{}", c.name);
        assert!(!c.is_plain(), "{}", c.name);
    }
}

/// Linux never renumbers helpers, so any header at least as new will do.
#[test]
fn names_match_the_uapi_header() {
    let Ok(header) = std::fs::read_to_string("/usr/include/linux/bpf.h") else {
        eprintln!("skipped: no /usr/include/linux/bpf.h");
        return;
    };
    let start = header.find("BPF_FUNC_MAPPER(FN").expect("mapper");
    let mapper = &header[start..];
    let mapper = &mapper[..mapper.find("/* ").unwrap_or(mapper.len())];
    let names: Vec<_> = mapper
        .split("FN(")
        .skip(1)
        .filter_map(|part| part.split([',', ')']).next())
        .collect();
    assert_eq!(names[0], "unspec");
    assert!(names.len() >= MAX_ID, "{} helpers", names.len());
    for c in all().filter(|c| c.id < INTERNAL_BASE) {
        assert_eq!(names[c.id as usize], c.name);
    }
}

/// Each of the two has a way of its own to be called.
#[test]
fn what_reshapes_needs_no_copy() {
    assert!(all().all(|c| c.shape.is_none() || c.bounce.is_none()));
}
