// SPDX-License-Identifier: GPL-2.0
//! Contracts of the kernel's functions that programs call by name, against their source, which
//! KERNEL_SRC has.

use moat_logic::helpers::contract::*;
use moat_logic::helpers::grants::Kind;
use moat_logic::helpers::table::{kfunc, kfuncs};
use std::collections::BTreeSet;

const SOURCES: [&str; 2] = [
    "net/netfilter/nf_conntrack_bpf.c",
    "net/netfilter/nf_nat_bpf.c",
];

/// A function that BPF programs may call.
struct Function {
    name: String,
    flags: String,
    ret: String,
    params: Vec<String>,
}

fn functions() -> Option<Vec<Function>> {
    let root = std::env::var_os("KERNEL_SRC").filter(|dir| !dir.is_empty());
    let Some(root) = root.map(std::path::PathBuf::from) else {
        eprintln!("skipped: KERNEL_SRC is not set");
        return None;
    };
    let mut all = Vec::new();
    for path in SOURCES {
        let text = std::fs::read_to_string(root.join(path)).expect(path);
        for line in text.lines() {
            let Some(row) = line.strip_prefix("BTF_ID_FLAGS(func, ") else {
                continue;
            };
            let (name, flags) = row.trim_end_matches(')').split_once(", ").unwrap();
            // Where it is defined, at the start of a line or behind its type.
            let at = text
                .match_indices(&format!("{name}("))
                .map(|(at, _)| at)
                .find(|&at| text[at..].split_once(')').unwrap().1.starts_with("\n{"))
                .expect(name);
            let before = text[..at].rsplit("\n\n").next().unwrap();
            let before = before.rsplit("*/\n").next().unwrap();
            let params = text[at..].split_once('(').unwrap().1;
            let params = params.split_once(')').unwrap().0.split(',');
            all.push(Function {
                name: name.into(),
                flags: flags.into(),
                ret: before.split_whitespace().collect::<Vec<_>>().join(" "),
                params: params
                    .map(|param| param.split_whitespace().collect::<Vec<_>>().join(" "))
                    .collect(),
            });
        }
    }
    Some(all)
}

#[test]
fn all_of_them_have_contracts() {
    let Some(functions) = functions() else { return };
    let theirs: BTreeSet<_> = functions.iter().map(|f| f.name.as_str()).collect();
    let ours: BTreeSet<_> = kfuncs().map(|c| c.name).collect();
    assert_eq!(ours, theirs);
}

#[test]
fn contracts_match_the_source() {
    for f in functions().unwrap_or_default() {
        let c = kfunc(&f.name).expect(&f.name);
        let has = |flag: &str| f.flags.split(" | ").any(|f| f == flag);
        for (i, arg) in c.args.into_iter().enumerate() {
            let param = f.params.get(i).map_or("", String::as_str);
            let param = param.strip_prefix("const ").unwrap_or(param);
            let ty = param.rsplit_once(' ').map_or("", |(ty, _)| ty);
            let fits = match ty {
                "" => arg == Arg::None,
                "struct xdp_md" | "struct __sk_buff" => arg == Arg::Ctx,
                "struct bpf_sock_tuple" | "struct bpf_ct_opts" => {
                    matches!(arg, Arg::Mem { nullable: true, size, .. } if size as usize == i + 1)
                }
                "u32" if param.ends_with("__sz") => matches!(arg, Arg::Size { zero_ok: true, .. }),
                "u32" | "int" | "enum nf_nat_manip_type" => arg == Arg::Any,
                "union nf_inet_addr" => matches!(arg, Arg::FixedMem { bytes: 16, .. }),
                // What becomes of it says what is returned.
                "struct nf_conn___init" => arg == Arg::Object(Kind::NewConn),
                "struct nf_conn" if has("KF_RELEASE") => arg == Arg::ObjectBack(Kind::Conn),
                "struct nf_conn" => arg == Arg::Object(Kind::Conn),
                _ => false,
            };
            assert!(fits, "{}: {param}: {arg:?}", f.name);
        }
        let (acquires, releases) = (has("KF_ACQUIRE"), has("KF_RELEASE"));
        assert_eq!(acquires, has("KF_RET_NULL"), "{}", f.name);
        let fits = match (f.ret.as_str(), c.ret) {
            ("void", Ret::Void) | ("int", Ret::Int) => !acquires,
            ("struct nf_conn *", Ret::Inserted) => acquires && releases,
            ("struct nf_conn *", Ret::ObjectOrNull(Kind::Conn)) => acquires && !releases,
            ("struct nf_conn___init *", Ret::ObjectOrNull(Kind::NewConn)) => acquires && !releases,
            _ => false,
        };
        assert!(fits, "{}: {}: {:?}", f.name, f.ret, c.ret);
    }
}
