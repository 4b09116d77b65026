// SPDX-License-Identifier: GPL-2.0
//! Functions, variables and layouts of ours against what C and the gates take them for.
//!
//! Everything here is decided at compile time; the module has no code.  What Rust calls
//! in C needs no comparison: its declarations are `kernel/shims.h` itself, see `kernel/bindings.rs`.
//!
//! C header: `moat/kernel/shims.h`, [`asm/moat.h`].

use crate::bindings as c;
use crate::edge::ffi::Who;
use crate::edge::{counters, hooks};
use crate::helpers::audit::Allegation;
use crate::helpers::dynptr::Dynptr;
use crate::helpers::geometry::Geometry;
use crate::helpers::grants::Entry;
use core::mem::{size_of, transmute};
use core::sync::atomic::AtomicU64;
use kernel::bindings as k;

/// The type of a function of C.
macro_rules! c_fn {
    (($($arg:ty),*) -> $ret:ty) => { unsafe extern "C" fn($($arg),*) -> $ret };
}

/// Fails the build unless the two functions have the same type.
macro_rules! same_type {
    ($(fn($($arg:ty),*) -> $ret:ty: $ours:path => $theirs:path;)*) => {
        $(const _: () = {
            let mut _f: c_fn!(($($arg),*) -> $ret) = $theirs;
            _f = $ours;
        };)*
    };
}

same_type! {
    fn() -> _: hooks::moat_balance => c::moat_balance;
    fn(_, _) -> _: hooks::moat_show_program => c::moat_show_program;
    fn(_, _) -> _: hooks::moat_show_domains => c::moat_show_domains;
    fn(_, _) -> _: hooks::moat_show_keys => c::moat_show_keys;
    fn(_) -> _: hooks::moat_prepare => c::moat_prepare;
    fn(_, _) -> _: hooks::moat_name_of_map => c::moat_name_of_map;
    fn(_, _, _) -> _: hooks::moat_value_of_map => c::moat_value_of_map;
    fn(_) -> _: hooks::moat_no_return => c::moat_no_return;
    fn(_, _, _) -> _: hooks::moat_tail_map => c::moat_tail_map;
    fn(_) -> _: hooks::moat_tail_back => c::moat_tail_back;
    fn() -> _: hooks::moat_tail_room => c::moat_tail_room;
    fn(_, _) -> _: hooks::moat_ext_back => c::moat_ext_back;
    fn(_) -> _: hooks::moat_give_back => c::moat_give_back;
    fn(_, _) -> _: hooks::moat_locked_call => c::moat_locked_call;
    fn(_, _) -> _: hooks::moat_took_long => c::moat_took_long;
    fn(_) -> _: hooks::moat_held_on => c::moat_held_on;
}

// That one has a better name for the five registers which `moat_audit` pushes.
const _: c_fn!((*mut k::moat_run, *const k::moat_site, *const u64) -> u64) = c::moat_audited_call;
const _: c_fn!((*mut k::moat_run, *const k::moat_site, *const [Allegation; 5]) -> u64) =
    hooks::moat_audited_call;
const _: [c_fn!((*mut k::moat_run, *const k::moat_site, *mut u64) -> u64); 3] =
    [c::moat_ext_go, c::moat_trace_go, c::moat_traced_go];
const _: [c_fn!((*mut k::moat_run, *const k::moat_site, *mut [u64; 5]) -> u64); 3] = [
    hooks::moat_ext_go,
    hooks::moat_trace_go,
    hooks::moat_traced_go,
];
const _: c_fn!((*mut k::moat_run, *const k::moat_site, *const u64) -> u64) = c::moat_audited_lock;
const _: c_fn!((*mut k::moat_run, *const k::moat_site, *const [Allegation; 5]) -> u64) =
    hooks::moat_audited_lock;
const _: () = assert!(size_of::<Allegation>() == size_of::<u64>());

/// Fails the build unless these, which are counted in Rust, are `u64` in C.
macro_rules! counters {
    ($($ours:path => $theirs:path;)*) => {
        $(const _: fn() = || {
            // SAFETY: only an address.
            let _: (&AtomicU64, *const u64) = (&$ours, unsafe { core::ptr::addr_of!($theirs) });
        };)*
    };
}

counters! {
    counters::moat_violations => c::moat_violations;
    counters::moat_refused => c::moat_refused;
    counters::moat_plain => c::moat_plain;
    counters::moat_binds => c::moat_binds;
    counters::moat_evictions => c::moat_evictions;
    counters::moat_freed => c::moat_freed;
    counters::moat_loaded => c::moat_loaded;
    counters::moat_refused_sends => c::moat_refused_sends;
    counters::moat_refused_maps => c::moat_refused_maps;
    counters::moat_no_memory => c::moat_no_memory;
    counters::moat_kept_packets => c::moat_kept_packets;
    counters::moat_mispredicted => c::moat_mispredicted;
    counters::moat_given_back => c::moat_given_back;
    counters::moat_refused_records => c::moat_refused_records;
}

/// Bytes that are all different, so that what a field holds tells where it is.
const fn numbered<const N: usize>() -> [u8; N] {
    assert!(N <= 256);
    let mut bytes = [0; N];
    let mut i = 0;
    while i < N {
        bytes[i] = i as u8;
        i += 1;
    }
    bytes
}

/// A structure of them.
macro_rules! numbered {
    ($size:expr) => {
        // SAFETY: integers, and arrays of such.
        unsafe { transmute(numbered::<$size>()) }
    };
}

/// Fails the build unless both structures have the same size, and these fields, all there
/// are, at the same places.
macro_rules! same_layout {
    ($ours:ident => $theirs:ident { $($field:ident $([$i:literal])?,)* }) => {
        const _: () = {
            const SIZE: usize = size_of::<c::$theirs>();
            let (ours, theirs): ($ours, c::$theirs) = (numbered!(SIZE), numbered!(SIZE));
            let ($ours { $($field: _,)* }, c::$theirs { $($field: _,)* }) = (&ours, &theirs);
            $(assert!(ours.$field$([$i])? as u64 == theirs.$field$([$i])? as u64);)*
        };
    };
}

same_layout! {
    Who => moat_who { pid, tid, uid, comm[15], }
}

same_layout! {
    Geometry => moat_geometry {
        data, tail, end, len, data_len, mac, network, transport, inner_mac, inner_network,
        inner_transport, csum_start, csum_end, mac_len, gso_size, gso_type, protocol,
        csum_level, max_len, flags,
    }
}

// What is before the rest is the address.
const _: () = {
    const SIZE: usize = size_of::<k::bpf_dynptr_kern>();
    let (ours, theirs): (Dynptr, k::bpf_dynptr_kern) = (numbered!(SIZE), numbered!(SIZE));
    let Dynptr {
        data: _,
        size,
        offset,
    } = ours;
    assert!(size == theirs.size && offset == theirs.offset);
    assert!(size as u8 == 8 && offset as u8 == 12);
};

/// Words that hold how many bytes are before them.
const fn words<const N: usize>() -> [u64; N] {
    let mut words = [0; N];
    let mut i = 0;
    while i < N {
        words[i] = 8 * i as u64;
        i += 1;
    }
    words
}

/// Fails the build unless these words are where the gates in `run/` have them without asking.
macro_rules! word {
    ($($struct:ident.$field:ident$([$i:literal])? == $at:expr;)*) => {
        $(const _: () = {
            // SAFETY: integers, and arrays of such.
            let it: k::$struct = unsafe { transmute(words::<{ size_of::<k::$struct>() / 8 }>()) };
            assert!(it.$field$([$i])? as u64 == 8 * $at);
        };)*
    };
}

word! {
    // MOAT_BEGIN pushes these, and `moat_exit` pops the first.
    moat_run.prev == 0;
    moat_run.flags == 1;
    moat_run.domain == 2;
    moat_run.slot == 3;
    moat_run.ctx == 4;
    moat_run.deadline == 5;
    moat_run.r0 == 6;
    // What MOAT_BEGIN finds, and pushes before that.
    moat_tail.r12 == 0;
    moat_tail.rbp == 1;
    moat_tail.ret == 2;
    // MOAT_IST_LANDING
    moat_slot.land[0] == 0;
    moat_slot.land[3] == 3;
    // `Entry::words`, and `load/layout.rs`
    moat_grant.name == 0;
    moat_grant.object == 1;
    moat_grant.place == 2;
    moat_grant.size == 3;
    moat_grants.held == 0;
    moat_grants.nr == 1;
    // The head of the list is what `moat_domain.slots` points at.
    moat_cpu_slots.head == 0;
}

// One is the other, and follows the head of the table.
const _: () = assert!(size_of::<k::moat_grant>() == size_of::<Entry>());
const _: () = assert!(size_of::<k::moat_grants>() == 2 * size_of::<u64>());

// `moat_return` shifts by 4.
const _: () = assert!(size_of::<k::moat_return>() == 1 << 4);
