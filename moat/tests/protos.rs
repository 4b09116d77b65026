// SPDX-License-Identifier: GPL-2.0
//! The contract table against the kernel's own `bpf_func_proto`s: who can call a
//! helper, what each argument is, what comes back, who changes packets.
//!
//! Reads the sources in `$KERNEL_SRC`; skipped without it.

use moat_logic::helpers::contract::*;
use moat_logic::helpers::geometry::Shape;
use moat_logic::helpers::grants::Struct;
use moat_logic::helpers::table::*;
use moat_logic::prog_types::{OWN, ROWS};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

type Fields = BTreeMap<String, String>;

struct Kernel {
    filter: String,
    /// By name of the proto.
    protos: BTreeMap<String, Fields>,
    /// By name of the helper: which proto, per function that hands it out.
    cases: BTreeMap<&'static str, BTreeMap<String, String>>,
}

impl Kernel {
    /// For each contract and each type that it is for, with the name of the proto.
    fn each_proto(&self, mut with: impl FnMut(&Contract, &str, &Fields)) {
        for c in all().filter(|c| c.refused.is_none() && c.id < INTERNAL_BASE) {
            let types = ROWS.iter().map(|row| row.number);
            for ty in types.filter(|ty| c.types.contains(*ty)) {
                let name = asks(ty)
                    .iter()
                    .find_map(|function| self.cases[function].get(c.name))
                    .unwrap();
                with(c, name, &self.protos[name]);
            }
        }
    }
}

fn kernel() -> Option<Kernel> {
    let root = std::env::var_os("KERNEL_SRC").filter(|dir| !dir.is_empty());
    let Some(root) = root.map(PathBuf::from) else {
        eprintln!("skipped: KERNEL_SRC is not set");
        return None;
    };
    let read = |path: &str| fs::read_to_string(root.join(path)).expect(path);
    let filter = read("net/core/filter.c");
    let helpers = read("kernel/bpf/helpers.c");
    let cgroup = read("kernel/bpf/cgroup.c");
    let mut protos = BTreeMap::new();
    for path in [
        "net/core/filter.c",
        "net/core/bpf_sk_storage.c",
        "kernel/bpf/helpers.c",
        "kernel/bpf/ringbuf.c",
        "kernel/bpf/core.c",
        "kernel/bpf/cgroup.c",
        "kernel/bpf/bpf_iter.c",
        "kernel/trace/bpf_trace.c",
    ] {
        protos_of(&read(path), &mut protos);
    }
    let mut cases = BTreeMap::new();
    for (function, text) in [
        ("sk_filter_func_proto", &filter),
        ("tc_cls_act_func_proto", &filter),
        ("xdp_func_proto", &filter),
        ("bpf_sk_base_func_proto", &filter),
        ("cg_skb_func_proto", &filter),
        ("cgroup_common_func_proto", &cgroup),
        ("bpf_base_func_proto", &helpers),
    ] {
        cases.insert(function, cases_of(text, function));
    }
    Some(Kernel {
        filter,
        protos,
        cases,
    })
}

fn strip_comments(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("/*") {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        rest = &rest[rest.find("*/").expect("comment ends") + 2..];
    }
    out + rest
}

/// `struct bpf_func_proto bpf_x_proto = { .field = value, ... };`
fn protos_of(text: &str, protos: &mut BTreeMap<String, Fields>) {
    for part in text.split("struct bpf_func_proto ").skip(1) {
        let Some((name, rest)) = part.split_once(" = {") else {
            continue;
        };
        let name = name.trim_end_matches(" __weak");
        if !name.ends_with("_proto") {
            continue;
        }
        let body = strip_comments(&rest[..rest.find("};").expect("proto ends")]);
        let fields = body
            .split(",\n")
            .filter_map(|field| field.split_once('='))
            .map(|(key, value)| {
                let key = key.trim().trim_start_matches('.').to_string();
                let value = value.trim().trim_end_matches(',');
                (key, value.split_whitespace().collect::<Vec<_>>().join(" "))
            })
            .collect();
        protos.insert(name.to_string(), fields);
    }
}

/// `case BPF_FUNC_x:` and the proto it returns, in the body of `function`.
fn cases_of(text: &str, function: &str) -> BTreeMap<String, String> {
    let head = format!("\n{function}(enum bpf_func_id func_id");
    let body = text
        .match_indices(&head)
        .map(|(at, _)| &text[at..])
        .find(|rest| rest[..rest.find(['{', ';']).unwrap() + 1].ends_with('{'))
        .unwrap_or_else(|| panic!("{function} has no body"));
    let body = &body[..body.find("\n}").unwrap()];
    let mut cases = BTreeMap::new();
    for case in body.split("case BPF_FUNC_").skip(1) {
        let (name, rest) = case.split_once(':').unwrap();
        let proto = match rest.split_once('&') {
            Some((before, proto)) if !before.contains("proto(") && !before.contains("case") => {
                proto[..proto.find(';').unwrap()].to_string()
            }
            _ => format!("bpf_{name}_proto"),
        };
        cases.insert(name.to_string(), proto);
    }
    cases
}

/// The functions a program type asks, in their order.
fn asks(ty: u32) -> Vec<&'static str> {
    let mut own = match ty {
        SOCKET_FILTER => vec!["sk_filter_func_proto"],
        XDP => vec!["xdp_func_proto"],
        SCHED_CLS | SCHED_ACT => vec!["tc_cls_act_func_proto"],
        CGROUP_SKB => vec![
            "cgroup_common_func_proto",
            "cg_skb_func_proto",
            "sk_filter_func_proto",
        ],
        _ => panic!("whom does {ty} ask?"),
    };
    own.extend(["bpf_sk_base_func_proto", "bpf_base_func_proto"]);
    own
}

/// Whether that depends on the attach type, and is not for those of the program type.
fn is_not_for(ty: u32, helper: &str) -> bool {
    ty == CGROUP_SKB && ["get_retval", "set_retval"].contains(&helper)
}

/// In bytes; what `.argN_size` names in 6.1.
fn size_of(expression: &str) -> u16 {
    match expression {
        "sizeof(u32)" => 4,
        "sizeof(s64)" | "sizeof(u64)" => 8,
        "sizeof(struct iphdr)" | "sizeof(struct tcphdr)" => 20,
        "sizeof(struct ipv6hdr)" => 40,
        other => panic!("what is {other}?"),
    }
}

/// Read by the helper, and called uninitialised memory in older releases: the proto, the
/// argument, and the release that corrected it.
const CALLED_UNINIT: [(&str, usize, &str); 1] = [("bpf_xdp_store_bytes_proto", 2, "6.1.165")];

/// What a helper takes note of, or computes with, and nothing more: of each use the dynptr is
/// asked again.
const NOT_TOUCHED: [(&str, usize, &str); 3] = [
    ("bpf_dynptr_from_mem_proto", 0, "ARG_PTR_TO_UNINIT_MEM"),
    ("bpf_dynptr_from_mem_proto", 1, "ARG_CONST_SIZE_OR_ZERO"),
    ("bpf_dynptr_data_proto", 2, "ARG_CONST_ALLOC_SIZE_OR_ZERO"),
];

fn same_arg(name: &str, proto: &Fields, i: usize, arg: Arg) -> bool {
    let Some(kind) = proto.get(&format!("arg{}_type", i + 1)) else {
        // The verifier adds it to the call.
        let added = name == "bpf_sk_storage_get_proto" && i == 4;
        return arg == if added { Arg::Atomic } else { Arg::None };
    };
    let flags: BTreeSet<_> = kind.split(" | ").collect();
    let has = |flag| flags.contains(flag);
    let base = kind.split(" | ").next().unwrap();
    match (base, arg) {
        ("ARG_ANYTHING", Arg::Any) | ("ARG_PTR_TO_CTX", Arg::Ctx) => true,
        ("ARG_PTR_TO_FUNC", Arg::Function) | ("ARG_PTR_TO_STACK_OR_NULL", Arg::Any) => true,
        ("ARG_CONST_MAP_PTR", Arg::MapPtr(_)) | ("ARG_PTR_TO_MAP_KEY", Arg::MapKey) => true,
        ("ARG_PTR_TO_MAP_VALUE_OR_NULL", Arg::MapValueOrNull) => true,
        ("ARG_PTR_TO_MAP_VALUE", Arg::MapValue) => !has("MEM_UNINIT"),
        // Until 6.1.125 what is written was told by MEM_UNINIT.
        ("ARG_PTR_TO_MAP_VALUE", Arg::MapValueOut) => has("MEM_WRITE") || has("MEM_UNINIT"),
        // Until 6.1.113, and which way was not told.
        ("ARG_PTR_TO_INT", Arg::FixedMem { bytes, .. }) => bytes == 4,
        ("ARG_PTR_TO_LONG", Arg::FixedMem { bytes, .. }) => bytes == 8,
        ("ARG_PTR_TO_CONST_STR", Arg::ConstStr) => true,
        (
            "ARG_PTR_TO_MEM_OR_NULL",
            Arg::Mem {
                access,
                size,
                nullable,
            },
        ) => size as usize == i + 1 && nullable && access == Access::ReadWrite,
        ("ARG_CONST_SIZE", Arg::Size { zero_ok, max }) => !zero_ok && max == MAX_VAR_SIZ - 1,
        ("ARG_CONST_SIZE_OR_ZERO", Arg::Size { zero_ok, max }) => zero_ok && max == MAX_VAR_SIZ - 1,
        (
            "ARG_PTR_TO_MEM" | "ARG_PTR_TO_UNINIT_MEM",
            Arg::Mem {
                access,
                size,
                nullable,
            },
        ) => {
            let called = CALLED_UNINIT.iter().any(|c| (c.0, c.1) == (name, i));
            let uninit = base == "ARG_PTR_TO_UNINIT_MEM" && !called;
            size as usize == i + 1
                && nullable == has("PTR_MAYBE_NULL")
                && uninit == (access == Access::Write)
                && (!has("MEM_RDONLY") || access == Access::Read)
        }
        ("ARG_PTR_TO_FIXED_SIZE_MEM", Arg::FixedMem { access, bytes }) => {
            bytes == size_of(&proto[&format!("arg{}_size", i + 1)])
                && access.writes() == has("MEM_WRITE")
        }
        (_, Arg::Any) => NOT_TOUCHED.contains(&(name, i, base)),
        ("ARG_PTR_TO_DYNPTR", Arg::DynptrOut) => has("MEM_UNINIT"),
        ("ARG_PTR_TO_DYNPTR", Arg::DynptrBack) => has("OBJ_RELEASE"),
        ("ARG_PTR_TO_DYNPTR", Arg::Dynptr) => !has("MEM_UNINIT") && !has("OBJ_RELEASE"),
        ("ARG_PTR_TO_SPIN_LOCK", Arg::Lock) | ("ARG_PTR_TO_TIMER", Arg::Timer) => true,
        ("ARG_CONST_ALLOC_SIZE_OR_ZERO", Arg::RecordSize) => true,
        ("ARG_PTR_TO_ALLOC_MEM", Arg::Record) => has("OBJ_RELEASE"),
        ("ARG_PTR_TO_BTF_ID_SOCK_COMMON" | "ARG_PTR_TO_SOCK_COMMON", Arg::Socket) => {
            !has("OBJ_RELEASE")
        }
        ("ARG_PTR_TO_BTF_ID_SOCK_COMMON", Arg::SocketBack) => has("OBJ_RELEASE"),
        _ => false,
    }
}

fn same_ret(proto: &Fields, ret: Ret) -> bool {
    match proto["ret_type"].as_str() {
        // An address as the program has it.
        "RET_PTR_TO_DYNPTR_MEM_OR_NULL" => ret == Ret::Scalar,
        "RET_INTEGER" => matches!(ret, Ret::Scalar | Ret::Int),
        "RET_VOID" => ret == Ret::Void,
        "RET_PTR_TO_MAP_VALUE_OR_NULL" | "RET_PTR_TO_MAP_VALUE" => ret == Ret::MapValueOrNull,
        "RET_PTR_TO_ALLOC_MEM_OR_NULL" => ret == Ret::RecordOrNull,
        "RET_PTR_TO_SOCKET_OR_NULL" => matches!(
            ret,
            Ret::SocketOrNull | Ret::SameOrNull | Ret::ListenerOrNull
        ),
        "RET_PTR_TO_SOCK_COMMON_OR_NULL" => ret == Ret::SocketOrNull,
        "RET_PTR_TO_TCP_SOCK_OR_NULL" => ret == Ret::TcpOrNull,
        "RET_PTR_TO_BTF_ID_OR_NULL" => match ret {
            Ret::StructOrNull(what) => {
                let ty = match what {
                    Struct::Tcp => "TCP",
                    Struct::Tcp6 => "TCP6",
                    Struct::TcpTimewait => "TCP_TW",
                    Struct::TcpRequest => "TCP_REQ",
                    Struct::Udp6 => "UDP6",
                    Struct::Unix => "UNIX",
                    Struct::Mptcp => "MPTCP",
                };
                proto["ret_btf_id"] == format!("&btf_sock_ids[BTF_SOCK_TYPE_{ty}]")
            }
            _ => false,
        },
        _ => false,
    }
}

#[test]
fn the_table_holds_what_the_types_can_call() {
    let Some(kernel) = kernel() else { return };
    let ours: Vec<_> = all().filter(|c| c.id < INTERNAL_BASE).collect();
    for ty in ROWS.iter().map(|row| row.number).filter(|ty| *ty < OWN) {
        let theirs: BTreeSet<_> = asks(ty)
            .iter()
            .flat_map(|function| kernel.cases[function].keys().map(String::as_str))
            .filter(|helper| !is_not_for(ty, helper))
            .collect();
        let ours: BTreeSet<_> = ours
            .iter()
            .filter(|c| c.types.contains(ty))
            .map(|c| c.name)
            .collect();
        let extra: Vec<_> = ours.difference(&theirs).collect();
        let missing: Vec<_> = theirs.difference(&ours).collect();
        assert!(
            extra.is_empty() && missing.is_empty(),
            "{ty}: +{extra:?} -{missing:?}"
        );
    }
}

#[test]
fn arguments_are_those_of_the_protos() {
    let Some(kernel) = kernel() else { return };
    let mut compared = 0;
    kernel.each_proto(|c, name, proto| {
        for (i, arg) in c.args.into_iter().enumerate() {
            assert!(
                same_arg(name, proto, i, arg),
                "{name} argument {i}: {proto:?} {arg:?}"
            );
        }
        assert!(same_ret(proto, c.ret), "{name}: {proto:?}");
        compared += 1;
    });
    assert!(compared > 150, "{compared}");
}

/// What arguments were before a release after 6.1.38 changed them is known as well, so
/// that the table can be compared with all of 6.1.y; nothing else is taken for it.
#[test]
fn arguments_are_those_of_older_releases() {
    const UNINIT: &str = "ARG_PTR_TO_UNINIT_MEM";
    const INT: &str = "ARG_PTR_TO_INT";
    for (name, helper, ty, i, kind, known) in [
        ("xdp_store_bytes", "xdp_store_bytes", XDP, 2, UNINIT, true),
        ("xdp_check_mtu", "check_mtu", XDP, 2, INT, true),
        ("skb_check_mtu", "check_mtu", SCHED_CLS, 2, INT, true),
        ("xdp_store_bytes", "xdp_store_bytes", XDP, 1, UNINIT, false),
        (
            "skb_store_bytes",
            "skb_store_bytes",
            SCHED_CLS,
            2,
            UNINIT,
            false,
        ),
        ("csum_diff", "csum_diff", XDP, 0, UNINIT, false),
    ] {
        let proto = format!("bpf_{name}_proto");
        let field = format!(".arg{}_type\t= {kind},", i + 1);
        let mut protos = BTreeMap::new();
        protos_of(
            &format!("struct bpf_func_proto {proto} = {{\n\t{field}\n}};"),
            &mut protos,
        );
        let c = all().find(|c| c.name == helper).unwrap();
        assert!(c.types.contains(ty));
        let same = same_arg(&proto, &protos[&proto], i, c.args[i]);
        assert_eq!(same, known, "{proto} with {field}");
    }
}

#[test]
fn who_changes_packets_has_them_reloaded() {
    let Some(kernel) = kernel() else { return };
    let text = &kernel.filter;
    let body = &text[text.find("bool bpf_helper_changes_pkt_data(").unwrap()..];
    let body = &body[..body.find("\n}").unwrap()];
    let changing: BTreeSet<_> = body
        .split("func == ")
        .skip(1)
        .filter_map(|part| part.split([' ', ')']).next())
        .collect();
    for c in all().filter(|c| c.id < INTERNAL_BASE) {
        let function = format!("bpf_{}", c.name);
        assert!(
            !changing.contains(function.as_str()) || c.effects.load_ctx,
            "{}",
            c.name
        );
        if c.types.contains(SCHED_CLS) {
            assert_eq!(
                changing.contains(function.as_str()),
                // It changes what is known of the packet's checksums.
                c.shape.is_some() && c.shape != Some(Shape::Level),
                "{}",
                c.name
            );
        }
    }
}

/// What a timer's function may not call: it has no context, and no packet is to be redirected.
#[test]
fn who_is_about_a_packet_says_so() {
    let Some(kernel) = kernel() else { return };
    let mut redirects = BTreeSet::new();
    kernel.each_proto(|c, name, proto| {
        let takes = proto.values().any(|value| value.contains("ARG_PTR_TO_CTX"));
        let function = proto["func"].as_str();
        let body = kernel.filter.split_once(&format!("({function}, "));
        let body = body.map_or("", |(_, rest)| &rest[..rest.find("\n}").unwrap()]);
        let redirect = body.contains("bpf_redirect_info") || body.contains("map_redirect(");
        // Of the cgroup whose packet it is.
        let cgroup = c.name == "get_local_storage";
        // That of tail calls is no call.
        if c.name != "tail_call" || c.for_packet {
            assert_eq!(c.for_packet, takes || redirect || cgroup, "{name}");
        }
        if redirect {
            redirects.insert(c.name);
        }
    });
    let want = [
        "redirect",
        "redirect_map",
        "redirect_neigh",
        "redirect_peer",
    ];
    assert_eq!(redirects, BTreeSet::from(want));
}

#[test]
fn who_moves_the_start_of_an_xdp_packet_says_so() {
    let Some(kernel) = kernel() else { return };
    let mut seen = 0;
    for c in all().filter(|c| c.types.contains(XDP) && c.id < INTERNAL_BASE) {
        let head = format!("(bpf_{}, struct xdp_buff", c.name);
        let Some(at) = kernel.filter.find(&head) else {
            assert_eq!(c.uncovers, Uncovers::Nothing, "{}", c.name);
            continue;
        };
        let body = &kernel.filter[at..];
        let body = &body[..body.find("\n}").unwrap()];
        let moves = if body.contains("xdp->data = ") {
            Uncovers::Head
        } else if body.contains("xdp->data_meta = ") {
            Uncovers::Meta
        } else {
            Uncovers::Nothing
        };
        assert_eq!(c.uncovers, moves, "{}", c.name);
        seen += usize::from(moves != Uncovers::Nothing);
    }
    assert_eq!(seen, 2);
}
