// SPDX-License-Identifier: GPL-2.0
//! docs/support.md says what the contract table says.
//!
//! To write it anew: `UPDATE=1 cargo test --test support`.

use moat_logic::helpers::contract::*;
use moat_logic::helpers::maptype::{MapTypes, NAMES};
use moat_logic::helpers::table::*;
use std::fmt::Write;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/support.md");

/// `enum bpf_prog_type` of Linux 6.1, less `BPF_PROG_TYPE_`, by value.
const PROGRAMS: [&str; 32] = [
    "UNSPEC",
    "SOCKET_FILTER",
    "KPROBE",
    "SCHED_CLS",
    "SCHED_ACT",
    "TRACEPOINT",
    "XDP",
    "PERF_EVENT",
    "CGROUP_SKB",
    "CGROUP_SOCK",
    "LWT_IN",
    "LWT_OUT",
    "LWT_XMIT",
    "SOCK_OPS",
    "SK_SKB",
    "CGROUP_DEVICE",
    "SK_MSG",
    "RAW_TRACEPOINT",
    "CGROUP_SOCK_ADDR",
    "LWT_SEG6LOCAL",
    "LIRC_MODE2",
    "SK_REUSEPORT",
    "FLOW_DISSECTOR",
    "CGROUP_SYSCTL",
    "RAW_TRACEPOINT_WRITABLE",
    "CGROUP_SOCKOPT",
    "TRACING",
    "STRUCT_OPS",
    "EXT",
    "LSM",
    "SK_LOOKUP",
    "SYSCALL",
];

/// Column heads and one program type of each column.
const COLUMNS: [(&str, u32); 3] = [
    ("XDP", XDP),
    ("SCHED_CLS, SCHED_ACT", SCHED_CLS),
    ("SOCKET_FILTER", SOCKET_FILTER),
];

const HEAD: &str = "\
# What can be isolated

<!-- Written from moat/helpers by `UPDATE=1 cargo test --test support`. -->

**isolated**: runs in its own domain. **refused**: a program that needs it is not
isolated; with `strict` its load fails, without it the program runs plainly, with
a counted, logged reason. **plain**: MOAT leaves it alone. **-**: the kernel does
not offer it.

This is what the helpers' contracts allow. A load may still be refused for what
lies in a map's values (`bpf_spin_lock`, `bpf_timer`, kptrs) or for a kfunc.
";

fn status(c: &Contract, ty: u32) -> &'static str {
    match (c.types.contains(ty), c.refused) {
        (false, _) => "-",
        (true, None) => "isolated",
        (true, Some(_)) => "refused",
    }
}

fn names(types: MapTypes) -> String {
    let list: Vec<_> = (0..NAMES.len() as u32)
        .filter(|ty| types.contains(*ty))
        .map(|ty| NAMES[ty as usize])
        .collect();
    list.join(", ")
}

fn helper_table(out: &mut String, which: impl Fn(&Contract) -> bool) {
    out.push_str("\n| helper |");
    COLUMNS
        .iter()
        .for_each(|(head, _)| write!(out, " {head} |").unwrap());
    out.push_str(" maps, or why not |\n|---|---|---|---|---|\n");
    for c in all().filter(|c| which(c)) {
        write!(out, "| {} |", c.name).unwrap();
        for (_, ty) in COLUMNS {
            write!(out, " {} |", status(c, ty)).unwrap();
        }
        let note = match (c.refused, c.map_types()) {
            (Some(why), _) => why.to_string(),
            (None, Some(types)) => names(types),
            (None, None) => String::new(),
        };
        writeln!(out, " {note} |").unwrap();
    }
}

fn document() -> String {
    let mut out = String::from(HEAD);
    out.push_str("\n## Program types\n\n| type | |\n|---|---|\n");
    for (ty, name) in PROGRAMS.iter().enumerate().skip(1) {
        let has = all().any(|c| c.types.contains(ty as u32));
        let status = if has { "isolated" } else { "plain" };
        writeln!(out, "| {name} | {status} |").unwrap();
    }
    out.push_str("\n## Map types\n\nFor isolated programs.\n");
    out.push_str("\n| type | | helpers |\n|---|---|---|\n");
    for (ty, name) in NAMES.iter().enumerate().skip(1) {
        let accepts = |c: &&Contract| c.map_types().map_or(false, |t| t.contains(ty as u32));
        let users: Vec<_> = all().filter(accepts).map(|c| c.name).collect();
        let status = if users.is_empty() {
            "refused"
        } else {
            "isolated"
        };
        writeln!(out, "| {name} | {status} | {} |", users.join(", ")).unwrap();
    }
    out.push_str("\n## Helpers\n");
    helper_table(&mut out, |c| c.id < INTERNAL_BASE);
    out.push_str("\n## Functions only the kernel puts into programs\n");
    helper_table(&mut out, |c| c.id >= INTERNAL_BASE);
    out
}

#[test]
fn the_document_is_up_to_date() {
    let want = document();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(PATH, &want).expect("docs/support.md can be written");
    }
    let have = std::fs::read_to_string(PATH).unwrap_or_default();
    assert!(
        have == want,
        "docs/support.md is stale; write it anew with UPDATE=1 cargo test --test support"
    );
}
