// SPDX-License-Identifier: GPL-2.0
//! docs/support.md says what the rows of types and the helpers' contracts say.
//!
//! To write it anew: `UPDATE=1 cargo test --test support`.

use moat_logic::helpers::contract::*;
use moat_logic::helpers::table::*;
use moat_logic::maps::types::{self, MapTypes, NAMES};
use moat_logic::prog_types::{self, Level, Verdict, OWN, ROWS};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/support.md");

/// The program types of each column, which can call the same helpers.
const COLUMNS: [&[u32]; 4] = [
    &[XDP],
    &[SCHED_CLS, SCHED_ACT],
    &[SOCKET_FILTER],
    &[CGROUP_SKB],
];

const HEAD: &str = "\
# What can be isolated

<!-- Written from moat/helpers, moat/maps and moat/prog_types by `UPDATE=1 cargo test --test support`. -->

**isolated**: runs in its own domain. **refused**: a program that needs it is not
isolated; with `strict`, the default, its load fails with EACCES, without it the
program runs plainly; both are counted, and the kernel log and the verifier's have the
reason. **plain**: MOAT leaves it alone. **-**: the kernel does not offer it.

The tables are what the helpers' contracts and the placement of map values allow. A
load is also refused for

- an array that cannot be mapped by user space, a hash map or a trie that was made before MOAT
  was loaded, since its values share pages with other things; a hash map with
  `BPF_F_NO_PREALLOC`, per CPU or not, a trie, or a map of values of cgroups or sockets that was
  made while all levels were 0; one of the first two whose values would take more than 64 GiB;
  a `bpf_timer` or `bpf_spin_lock` in values of maps that are in a map of maps; kptrs
  ([0044](decisions/0044-no-kptrs.md)); or a map of maps that has one of these in it, where none
  can be put later (EACCES), nor, if programs drain user ring buffers of it, a larger one than it
  was made with;
- a map with a `bpf_spin_lock` or a `bpf_timer` in its values that plain programs have used since it was made;
  and a plain program's load is, if isolated ones have
  ([0036](decisions/0036-locks-apart-from-their-values.md));
- kfuncs but those of the connection tracker, loads of other fields of a connection than
  tuples, status, mark and timeout, and atomic instructions on its mark; tail calls in functions that helpers call, and
  loads through pointers to AF_XDP sockets, flow keys, maps, or the kernel's objects, but for numbers
  of what `skc_to_tcp_sock` and its kin return: no pointers, nor what shares its bytes with one or
  may be one with flags in it, and at most 96 pieces of these
  ([0045](decisions/0045-sockets-as-structures.md));
- records of ring buffers of more than 1 MiB, or more at once, sockets and connections among them;
  samples of user ring buffers that, once for each function which helpers call, take more than that;
- sleepable programs;
- programs that replace a function (`freplace`) which takes anything but the context and
  numbers, or returns more than 32 bits, or, if it takes no context, that call what is for a
  packet; and, with or without `strict`, those that are attached to such a function of an
  isolated program, or trace (`fentry`, `fexit`) one, not its first, that takes or returns other
  pointers. Load what is to be changed with `kernel.moat.<type>=0`;
- more than 96 context fields; and callbacks in a program that uses a map with keys of more
  than 4096 bytes.

The reason names the map and its type, or the helper and the number of the instruction
in what was loaded:

    moat: fw (type xdp, of ip[412], uid 0): refused: map flows (hash) was made
    before MOAT was loaded; make it anew; kernel.moat.strict=0 runs such programs
    plainly, kernel.moat.xdp=0 all of its type (docs/support.md)

What runs out, memory or the window, is ENOMEM with or without `strict`, and no reason to
run anything plainly.

What is isolated differs from a plain program in this:

- Old kernel memory, to which a helper moves the start of an XDP packet or of its metadata,
  reads as zeros and leaves as zeros, at both levels. The metadata of a socket buffer is
  lost (`data_meta` is `data`) once something was pushed before the packet, by a helper or
  a tunnel, and of a packet that veth has from a socket with time stamps
  ([0018](decisions/0018-old-memory-in-the-head-room.md)).
- An update of a trie, or of a hash map with `BPF_F_NO_PREALLOC`, by a program fails with
  ENOMEM if many come faster than pages for their values
  ([0032](decisions/0032-values-on-demand.md)); plainly only if there is no memory.
- There are at most 1,048,576 values of a map that belong to cgroups or to sockets, and as many as
  fit into 4 GiB, per-CPU ones once for each possible CPU. One more fails with ENOMEM, or NULL; so
  does one, made by a program or for a connection that is accepted, when many come faster than
  pages for them. A program in the place of a function whose caller runs for a cgroup without a
  value of its map is stopped
  ([0041](decisions/0041-values-of-cgroups-and-sockets.md)).
- A program has memory for three packets on each possible CPU, of as many bytes as the
  verifier lets it reach: of 65,536, which is 192 KiB a CPU, if it reads at an offset that
  the verifier cannot bound. It is taken at load, and accounted to the memory cgroup
  ([0017](decisions/0017-large-packets.md)).
- A record of a ring buffer is filled in in the program's memory and copied to the ring when
  it is submitted or discarded. A program has memory for as many as the verifier has seen it
  hold at once, three times on each possible CPU, each of the size of the largest; 1 MiB is
  the most ([0033](decisions/0033-what-a-run-holds.md)).
- A record of `bpf_ringbuf_reserve_dynptr` has 64 KiB at most, less if a program may hold more than
  16 references at once: E2BIG, counted (`refused_records`), and logged once a program. A slot has
  room for the largest that the program's rings have, or for that. Of a user ring buffer a
  function gets a copy of the sample, for which each function that helpers call has room, and
  which goes back when it returns ([0042](decisions/0042-dynptrs.md)).
- A lock of a map value is held with softirqs off, not interrupts. A program that keeps it is
  stopped by its budget, and who waits for it meanwhile, user space with `BPF_F_LOCK` too, waits
  as long. In a hard interrupt, where no program of these types runs by itself, one that would
  have to wait is stopped ([0036](decisions/0036-locks-apart-from-their-values.md)).
- A function that a timer calls is given a copy of the key, is stopped by the budget as any run
  is, and if it calls a helper that is about a packet, as `bpf_redirect`. It is not called if the
  program was stopped, nor, counted in `too_deep`, if it is in three runs on that CPU. Who deletes or
  replaces a value while its timer's function runs on another CPU does not wait for that. A map
  with timers that isolated programs use takes 16 bytes more for each value, and is not put into a
  map of maps any more (EACCES) ([0039](decisions/0039-timers.md)).
- Packet, context fields and what helpers change in them are copies during a run;
  the kernel gets them before a helper that looks, and at the end.
- More than 3 invocations of one program nested on one CPU get the verdict of a
  stopped one: XDP_DROP, TC_ACT_SHOT, no bytes kept, denied.
- A chain of tail calls has the time of one run, isolated programs and others together. A
  function's tail call is a run inside of the run, of which one program can have 3 on a CPU,
  as above ([0030](decisions/0030-tail-calls.md)).
- With less than 4 KiB left of the kernel's stack a function's tail call is not made, as after the
  33rd, `clone_redirect` returns -ENETDOWN, and a helper that calls back stops the run; counted
  (`too_deep`). Plainly the kernel may die of it
  ([0040](decisions/0040-room-on-the-kernels-stack.md)).
- A function that `bpf_for_each_map_elem` calls is given a copy of the key, in loops over hash
  maps some of them ahead of time; in a map with `BPF_F_NO_PREALLOC` it is not called for all of
  those that it has deleted before their turn ([0047](decisions/0047-elements-in-batches.md)).
  Otherwise it is given one ([0034](decisions/0034-functions-that-helpers-call.md)). For each
  such function, up to seven, a program takes 1.6 KiB more for each of its runs, and for the
  longest key.
- What replaces a function is isolated as the type is that it extends, each of the two by what
  was set when it was loaded. When it is stopped the program that calls it gets no result, and
  its run the verdict of a stopped one; it has the time of that run. If the function does not
  take the context, it may call nothing that is for a packet.
  Who traces a function is told what the program passes and returns, and the run's context in
  place of what it says that is; at most 32 programs trace one (E2BIG). Of a function in which
  the run is stopped `fexit` programs are not called
  ([0037](decisions/0037-programs-in-the-place-of-functions.md)).
- Preemption is off while it runs. A run that began with interrupts off, on the CPU that
  counts jiffies, has no budget where the tick is periodic
  ([0015](decisions/0015-who-looks-at-the-clock.md)).
- While MOAT is loaded, a descriptor that comes to mean another map in the midst of the
  system call that puts it into a map of maps is refused (EBADF).
- Scalars go to helpers as the program passes them, not checked against the ranges
  that the verifier assumed.
- What is looked up in a devmap is a copy, of which a run has room for 64 that differ: it is
  stopped if it needs more. Of a map of AF_XDP sockets it learns only that there is one
  ([0031](decisions/0031-names-copies-and-what-is-printed.md)).
- Fields of a socket are what they were when the program got it, from a lookup, a map, the
  context, or another helper that takes one; a run has room for 16 that `get_listener_sock`
  returned, and is stopped if it needs more. The socket that the context had before
  `sk_assign` is nothing to it any more ([0038](decisions/0038-copies-of-sockets.md)).
- Members of a socket that is a structure of the kernel's are what they were when that was
  returned, or the last helper was given a socket; of a raw socket with TCP's number there is
  nothing behind `struct sock`. What `skc_to_mptcp_sock` returns can be looked into, 16 that differ
  in a run, and compared; a helper that is given it stops the run
  ([0045](decisions/0045-sockets-as-structures.md)).
- Fields of a connection, an entry of the connection tracker, are what they were when the
  program got it, or changed it; what it stores to the mark is there for others at once. A second `bpf_ct_set_nat_info` of one kind for an entry is
  answered as plainly (ENOMEM), without the kernel's warning
  ([0043](decisions/0043-connections.md)).
- `trace_printk`, `trace_vprintk` and `snprintf` take formats of at most 1,023 bytes (E2BIG).
  At level 2 they print strings (`%s`, `%pks`) and addresses of IP (`%pI4` and the like) from
  the program's own memory only, and no names of what lies at an address (`%pS`, `%ps`,
  `%pB`): EPERM, counted (`refused_prints`), and logged once a program. `%pus`, from the
  memory of the current process, `%p`, hashed, and numbers print as ever. A string in
  the user half of addresses is empty, as without MOAT.
- A helper's call that would break the packet is not made
  ([0016](decisions/0016-a-packet-stays-one.md)); the program gets the helper's own error,
  `kept_packets` counts it, and the log says so, once for each program. That is: headers
  beyond 57,343 bytes of the buffer, out of order, or in fragments where they would be
  moved; segments of less than 8 bytes (or than they have) or of 65,535; a pending checksum
  of a GSO packet cut off, or its checksums, which were known to be right, no longer so
  (`csum_level`; `skb_adjust_room` does as with `BPF_F_ADJ_ROOM_NO_CSUM_RESET`);
  `clone_redirect` of a packet with less of its headers in the linear part than others pull
  without a look, of GSO without a type, or, on the way out, with a pending checksum behind
  the end of its linear part.
- A GSO packet that GRO made a list of buffers of, with data outside of fragments, is made
  one buffer before a program that writes to packets runs on it, and before a helper that
  changes packets: `skb_segment()` could not tell any more where segments begin. That is a
  copy; without memory for it the packet stays as it is, and is dropped if it cannot be
  segmented afterwards.
- Before 6.1.167, whose fixes Debian's 6.1.192 has, ENOTSUPP for all that pulls data out of
  a GSO packet that GRO made a list of buffers of, or changes its header.
- Packets that programs have sent one another for longer than `kernel.moat.budget`, on a
  CPU that has had no rest for as long, are not sent: `clone_redirect` returns -ENETDOWN,
  other redirects TC_ACT_SHOT, and XDP drops. Counted (`refused_sends`), logged once a
  program; who does it over and over is stopped
  ([0019](decisions/0019-packets-that-go-round.md)).
- The window has room for 65,000 programs. Unprivileged users can attach classic filters,
  thousands of seccomp's to a process; each that is isolated takes that of one and some
  25 KiB, accounted to their memory cgroup, in the lower half of the window.

## Classic filters

Those of sockets, fanout groups, `cls_bpf`, `act_bpf`, `xt_bpf`, team and ppp are under
`kernel.moat.socket_filter`, those of seccomp under `kernel.moat.seccomp`. Where that is 1
or 2, `kernel.moat.confined` says what becomes of filters attached from then on:

| `confined` | | their layer in `programs` | counted in |
|---|---|---|---|
| 0, the default | isolated | `keyed` or `view` | `runs` and so on, each run |
| 1 | **confined**: as if MOAT were not there, but listed | `confined` | `confined`, once each |

What a confined filter reaches is bounded by what it is converted to, if `bpf_check_classic()`,
the converter and the JIT are right; nothing of it rests on the verifier
([0026](decisions/0026-confined-classic-filters.md)). eBPF programs are isolated with
either. Classic filters have no descriptor, and so no fdinfo. Confined ones keep the module
in use, too.

Stopped, a filter returns 0, which is no match or a drop to all of the first kind but
`act_bpf`, where it is TC_ACT_OK ([0024](decisions/0024-left-alone-and-why.md)). One of
seccomp's kills the process that made the system call, and later each process that has it,
at its next system call that the kernel asks it about. Of those it always allows it is not
asked.

## Hardware

What has run where (`make test`, `make test-bochs`; [0035](decisions/0035-a-second-cpu.md)):

| | QEMU 7.2 (TCG), `max,+pks` | Bochs 3.0 | a real CPU |
| --- | --- | --- | --- |
| one CPU | - | `arrow_lake`: what `tests/bochs` lists for it | none |
| four CPUs | all | `sapphire_rapids` without AMX: `containment`, `stack`, `stale`; `arrow_lake`: `context`, `lifecycle` | none |
| keys, views | yes | yes | - |
| PCIDs, INVPCID | has none | has them, but keeps nothing over a write of CR3 | - |
| what a TLB keeps over writes of PKRS | nothing | all | - |
| what INVLPG, CR3, CR4 and INVPCID have it forget (`test_tlb`) | as the SDM says, where it has them | the same | - |
| levels of page tables | 5; 4 with `no5lvl` (`test_paging`, `make test-full`) | 4 in `arrow_lake`, 5 in `sapphire_rapids` | - |
| PKRS: bits, keys, CR0.WP, SMAP, accesses to IDT, GDT and TSS (`test_pkrs`) | as the SDM says | but for two things ([0035](decisions/0035-a-second-cpu.md)) | - |
| NMI | from the host, and IPIs | IPIs | - |
| #MC | from the host | none | - |

The module refuses to load without PKS, SMAP and CR0.WP, and with page table isolation on: boot
with `nopti`, which the CPUs that have PKS allow. While CR0.WP is clear a key that is open for
reading is open for writing, and programs could write the IDT (`test_pkrs` does so with the page
they resume from). Linux 6.1 has it set from early boot on, puts it back in `write_cr0()`, and
clears it for kexec only, when nothing runs any more; another module must not, and SMM and
the firmware's runtime services are trusted not to come back with it clear. What emulation
does not show:

- PEBS and BTS write their buffers with the rights of what runs, and in BPF mode those
  pages are closed. MOAT does not turn them off; do not use them meanwhile.
- The gates and entry stubs jump to places without ENDBR. Kernel IBT has to be off
  (`ibt=off`, or no CONFIG_X86_KERNEL_IBT).
- IDT, GDT and the first page of each TSS are readable to programs at every level, and
  so are the resume pages: RAX, RCX, RDX, RIP, RSP and flags that the last interrupted
  program on each CPU had. What an NMI, #DB or #MC saves of a gate can be read by another
  CPU that runs the same program, for some instructions.
- The barrier against branch history injection that 6.1's JIT puts at the end of
  classic filters of unprivileged users is not in isolated images. Side channels are
  not in scope; the jumps of the gates are not retpolines.
- Real costs of PKRS writes, of flushes, and of entries with PCID are not measured.
- That a view keeps its translations from run to run, and loses what was taken out of it only by
  the flush: `test_pcid` and `test_tlb` ask, but QEMU has no PCIDs, and Bochs drops all that is
  not global at each write of CR3. With the flush left out Bochs shows a page that another
  program's key opens, and both show threads of the kernel what is gone (`test_stale`).
- The order of #MC and NMI. By the SDM (Vol. 3A, 6.9) the machine check is taken first if both are
  pending. QEMU has #MC interrupt the first instruction of an NMI's handler, and a second NMI,
  let in by its IRET, overwrites the first one's frame: Linux itself does not survive them
  together. Bochs has nothing to inject a machine check with.
- PREEMPT_RT, and hypervisors that pass PKS on, have not been tried.

Nothing of this page holds for test kernels (`patches/test/`): they let root load programs past
the verifier, and put bugs of the verifier back.
";

fn placed(types: MapTypes) -> bool {
    (0..NAMES.len() as u32).any(|ty| types.contains(ty) && MapTypes::ISOLATED.contains(ty))
}

fn status(c: &Contract, ty: u32) -> &'static str {
    match (c.types.contains(ty), c.refused) {
        (false, _) => "-",
        (true, None) if c.map_types().map_or(true, placed) => "isolated",
        (true, _) => "refused",
    }
}

fn names(types: MapTypes) -> String {
    let list: Vec<_> = (0..NAMES.len() as u32)
        .filter(|ty| types.contains(*ty) && MapTypes::ISOLATED.contains(*ty))
        .map(|ty| NAMES[ty as usize])
        .collect();
    list.join(", ")
}

fn helper_table(out: &mut String, which: impl Fn(&Contract) -> bool) {
    out.push_str("\n| helper |");
    for types in COLUMNS {
        let heads: Vec<_> = types.iter().map(|ty| prog_type(*ty)).collect();
        write!(out, " {} |", heads.join(", ")).unwrap();
    }
    out.push_str(" maps, or why not |\n|---|---|---|---|---|---|\n");
    for c in all().filter(|c| which(c)) {
        write!(out, "| {} |", c.name).unwrap();
        for types in COLUMNS {
            let status: Vec<_> = types.iter().map(|ty| status(c, *ty)).collect();
            assert!(status.iter().all(|s| *s == status[0]), "{}", c.name);
            write!(out, " {} |", status[0]).unwrap();
        }
        let note = match (c.refused, c.map_types()) {
            (Some(why), _) => why.to_string(),
            (None, Some(types)) if placed(types) => names(types),
            (None, Some(_)) => "its maps' values are not placed".to_string(),
            (None, None) => String::new(),
        };
        writeln!(out, " {note} |").unwrap();
    }
}

/// Less `BPF_PROG_TYPE_`, if it is one of the kernel's.
fn prog_type(ty: u32) -> String {
    prog_types::name(ty).to_uppercase()
}

/// One row, if it has one.
fn prog_type_row(out: &mut String, ty: u32) {
    let name = prog_type(ty);
    let Some(row) = prog_types::find(ty) else {
        let how = match name.as_str() {
            "EXT" => "as what it extends",
            _ => "plain",
        };
        writeln!(out, "| {name} | {how} | | | |").unwrap();
        return;
    };
    let sysctl = row.sysctl.trim_end_matches('\0');
    let levels = match row.max_level {
        Level::Integrity => "1",
        Level::Confidentiality => "1, 2",
    };
    let verdict = match row.verdict {
        Verdict::Always(verdict) if verdict > 0xffff => format!("{verdict:#x}"),
        Verdict::Always(verdict) => verdict.to_string(),
        Verdict::ByAttachType(verdicts) => {
            let verdicts: BTreeSet<_> = verdicts.iter().map(|(_, v)| v.to_string()).collect();
            Vec::from_iter(verdicts).join(", ")
        }
    };
    writeln!(
        out,
        "| {name} | isolated | `{sysctl}` | {levels} | {verdict} |"
    )
    .unwrap();
}

/// Those that are no types of the kernel's.
fn own_types() -> impl Iterator<Item = u32> {
    let numbers = prog_types::ROWS.iter().map(|row| row.number);
    numbers.filter(|ty| *ty >= OWN)
}

fn prog_type_table(out: &mut String) {
    out.push_str("\n| type | | `kernel.moat.` | levels | stopped, it returns |\n");
    out.push_str("|---|---|---|---|---|\n");
    for ty in (1..prog_types::NAMES.len() as u32).chain(own_types()) {
        prog_type_row(out, ty);
    }
}

fn map_type_table(out: &mut String) {
    out.push_str("\n| type | | helpers |\n|---|---|---|\n");
    for (ty, name) in NAMES.iter().enumerate().skip(1) {
        let ty = ty as u32;
        let accepts = |c: &&Contract| c.map_types().map_or(false, |t| t.contains(ty));
        let (status, users): (_, Vec<_>) = match MapTypes::ISOLATED.contains(ty) {
            true => ("isolated", all().filter(accepts).map(|c| c.name).collect()),
            false => ("refused", Vec::new()),
        };
        writeln!(out, "| {name} | {status} | {} |", users.join(", ")).unwrap();
    }
}

fn document() -> String {
    let mut out = String::from(HEAD);
    out.push_str("\n## Program types\n");
    prog_type_table(&mut out);
    out.push_str("\n## Map types\n\nFor isolated programs.\n");
    map_type_table(&mut out);
    out.push_str("\n## Helpers\n");
    helper_table(&mut out, |c| c.id < INTERNAL_BASE);
    out.push_str("\n## Functions only the kernel puts into programs\n");
    // What a store becomes is no function to anybody.
    helper_table(&mut out, |c| (INTERNAL_BASE..STORE_MARK).contains(&c.id));
    out.push_str("\n## Kernel functions (kfuncs)\n\nAll others are refused.\n");
    out.push_str("\n| function | programs |\n|---|---|\n");
    for c in kfuncs() {
        let types = ROWS.iter().filter(|row| c.types.contains(row.number));
        let types: Vec<_> = types.map(|row| prog_type(row.number)).collect();
        writeln!(out, "| {} | {} |", c.name, types.join(", ")).unwrap();
    }
    out
}

/// The first two cells of each line of the table under `heading`.
fn table(text: &str, heading: &str) -> BTreeMap<String, String> {
    let (_, rest) = text
        .split_once(&format!("\n## {heading}\n"))
        .expect(heading);
    let section = rest.split("\n## ").next().unwrap();
    let lines = section.lines().filter(|line| line.starts_with("| "));
    lines
        .map(|line| line.split('|').map(str::trim))
        .map(|mut cells| {
            let mut next = || cells.next().unwrap().to_string();
            next();
            (next(), next())
        })
        .filter(|(_, status)| !status.is_empty())
        .collect()
}

/// Whoever writes the tables: each row is in the document, and nothing else is isolated.
#[test]
fn the_document_has_the_rows() {
    if std::env::var_os("UPDATE").is_some() {
        return; // It is being written.
    }
    let text = std::fs::read_to_string(PATH).unwrap();
    let isolated = |heading| -> BTreeSet<String> {
        let lines = table(&text, heading).into_iter();
        let lines = lines.filter(|(_, status)| status == "isolated");
        lines.map(|(name, _)| name).collect()
    };
    let rows = prog_types::ROWS.iter().map(|row| row.name.to_uppercase());
    assert_eq!(isolated("Program types"), rows.collect());
    let rows = types::ROWS.iter();
    let rows = rows.filter(|row| MapTypes::ISOLATED.contains(row.number));
    let rows = rows.map(|row| row.name.to_string());
    assert_eq!(isolated("Map types"), rows.collect());

    for (heading, types) in [
        ("Program types", prog_types::NAMES.map(str::to_uppercase)),
        ("Map types", NAMES.map(str::to_string)),
    ] {
        let own = own_types().filter(|_| heading == "Program types");
        let types = types.into_iter().skip(1).chain(own.map(prog_type));
        let types: BTreeSet<_> = types.collect();
        assert_eq!(
            table(&text, heading).into_keys().collect::<BTreeSet<_>>(),
            types
        );
    }
}

#[test]
fn every_type_has_a_column() {
    let mut columns = COLUMNS.concat();
    let mut rows: Vec<_> = prog_types::ROWS.iter().map(|row| row.number).collect();
    columns.sort_unstable();
    rows.retain(|ty| *ty < OWN);
    rows.sort_unstable();
    assert_eq!(columns, rows);
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
