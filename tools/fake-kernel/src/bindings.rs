// SPDX-License-Identifier: GPL-2.0
//! What bindgen makes of the kernel's headers, as far as it is used.
//!
//! C header: `include/linux/bpf.h`, `arch/x86/include/asm/moat.h`.

// C names, and contracts as in C.
#![allow(non_camel_case_types, non_upper_case_globals)]
#![allow(clippy::missing_safety_doc)]

use crate::account::Account;
pub use crate::account::{
    moat_inner_holds, moat_inner_next, moat_inner_take, moat_outer_use, moat_outer_users,
};
use crate::machine::{self, machine};
use crate::memory;
use std::ffi::{c_char, c_void};
use std::ptr::null_mut;

pub const MOAT_NR_IST: u32 = 4;
pub const MOAT_LANDING_SIZE: u32 = 96;
pub const MOAT_NEST: u32 = 3;
pub const MOAT_DOM_DEAD: u32 = 0x1;
pub const MOAT_DOM_PREPARE: u32 = 0x2;
pub const MOAT_DOM_STORE: u32 = 0x4;
pub const MOAT_DOM_LOAD: u32 = 0x8;
pub const MOAT_DOM_LEAF: u32 = 0x10;
pub const MOAT_DOM_VIEW: u32 = 0x20;
pub const MOAT_DOM_GRANTS: u32 = 0x80;
pub const MOAT_EXT_ARGS: u32 = 5;
pub const moat_call_MOAT_CALL_EXT: u32 = 0x100c;
pub const moat_call_MOAT_CALL_TRACED: u32 = 0x100d;
pub const MAX_BPF_STACK: u32 = 512;
pub const BPF_F_RDONLY_PROG: u32 = 1 << 7;
pub const BPF_LD: u32 = 0x00;
pub const BPF_IMM: u32 = 0x00;
pub const BPF_DW: u32 = 0x18;
pub const bpf_func_id_BPF_FUNC_map_lookup_elem: u32 = 1;
pub const bpf_func_id_BPF_FUNC_for_each_map_elem: u32 = 164;
pub const ENOMEM: u32 = 12;
pub const BPF_JMP: u32 = 0x05;
pub const BPF_CALL: u32 = 0x80;
pub const BPF_PSEUDO_KFUNC_CALL: u32 = 2;
pub const BPF_PSEUDO_FUNC: u32 = 4;

/// What is known of a map for MOAT.
#[repr(C)]
pub struct moat_values {
    pub values: *mut c_void,
}

#[repr(C)]
pub struct bpf_map {
    pub map_type: u32,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub map_flags: u32,
    pub inner_map_meta: *mut bpf_map,
    pub spin_lock_off: i32,
    pub timer_off: i32,
    pub name: [c_char; 16],
    pub moat: moat_values,
    /// References.
    pub refcnt: u32,
    /// Bytes its values take in the window.
    pub span: u64,
    /// Bytes of that, from its start, that have pages.
    pub filled: u64,
    /// Bytes of these that lookups may return.
    pub told: u64,
    /// By slot, if it holds maps.
    pub inner: Vec<*mut bpf_map>,
    /// What is known of these.
    pub account: Account,
}

#[repr(C)]
pub struct bpf_prog_aux {
    pub id: u32,
}

#[repr(C)]
pub struct bpf_insn {
    pub code: u8,
    pub dst_src: u8,
    pub off: i16,
    pub imm: i32,
}

impl bpf_insn {
    pub fn src_reg(&self) -> u8 {
        self.dst_src >> 4
    }
}

/// What it does is nobody's business here.
#[repr(C)]
pub struct bpf_prog {
    pub bpf_func: Option<unsafe extern "C" fn(ctx: *const c_void, insns: *const bpf_insn) -> u32>,
}

#[repr(C)]
pub struct moat_sockets {
    pub copy: *mut bpf_prog,
    pub size: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct moat_ctx_plan {
    pub load: *mut bpf_prog,
    pub store: *mut bpf_prog,
    pub sockets: *mut moat_sockets,
    pub snap_size: u32,
    pub pkt_off: u32,
    pub max_pkt_offset: u32,
    pub leaf: bool,
    pub reads_pkt: bool,
    pub reads_meta: bool,
    pub writes_pkt: bool,
    pub writes_fields: bool,
    pub reads_sk: bool,
    pub classic: bool,
    pub bare: bool,
    pub args: bool,
}

impl Default for moat_ctx_plan {
    fn default() -> moat_ctx_plan {
        // SAFETY: plain integers and pointers, for which zero is a value.
        unsafe { std::mem::zeroed() }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct moat_slot {
    pub land: [u64; MOAT_NR_IST as usize],
    pub rsp: u64,
    pub snap: u64,
    pub pkt: u64,
    pub shadow: u64,
    pub next: u64,
    pub grants: u64,
    pub changes: u64,
}

#[repr(C)]
pub struct moat_changes {
    pub count: u64,
    pub key: u64,
}

#[repr(C)]
pub struct moat_cpu_slots {
    pub head: u64,
    pub runs: u64,
    pub slot: [moat_slot; MOAT_NEST as usize],
    pub silent_until: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct moat_return {
    pub ip: u64,
    pub frame: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct moat_site {
    pub ret: moat_return,
    pub entry: u64,
    pub func: u64,
    pub contract: u64,
    pub id: u64,
    pub map: u64,
    pub traced: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct moat_map_call {
    pub map: u64,
    pub area: u64,
    pub last_key: u64,
    pub last_value: u64,
    pub last_elems: u64,
    pub lookup: u64,
    pub update: u64,
    pub delete: u64,
    pub to_window: u64,
    pub cpu_size: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct moat_image {
    pub start: u64,
    pub len: u64,
    pub boundaries: u64,
    pub sites: u64,
    pub sites_len: u64,
}

#[repr(C)]
#[derive(Default)]
pub struct moat_domain {
    pub body: u64,
    pub view_cr3: u64,
    pub images: u64,
    pub slots: u64,
    pub verdict: u64,
    pub load: u64,
    pub store: u64,
    pub returns: u64,
    pub nr_returns: u64,
    pub sites: u64,
    pub nr_sites: u64,
    pub nr_images: u32,
    pub view_pkrs: u32,
    pub pkrs: u32,
    pub flags: u32,
    pub slot_lo: u64,
    pub slot_hi: u64,
    pub tail: u64,
}

/// A page frame.
#[repr(C)]
pub struct page {
    _unused: u64,
}

impl page {
    pub(crate) const fn new() -> page {
        page { _unused: 0 }
    }
}

#[repr(C)]
pub struct moat_view {
    pgd: u64,
}

/// Only passed on, or not used here at all.
macro_rules! opaque {
    ($($name:ident)*) => {
        $(#[repr(C)]
        pub struct $name {
            _unused: u64,
        })*
    };
}

opaque! {
    bpf_verifier_env bpf_verifier_log llist_node moat_calling module moat_fault moat_gates moat_jit
    moat_jit_caller moat_jit_image moat_ops moat_grants moat_run seq_file
}

/// CPUs have PCIDs.
pub static mut moat_cr3_noflush: u64 = machine::NOFLUSH;

/// A program for a plan.
pub fn new_prog() -> *mut bpf_prog {
    unsafe extern "C" fn run(_ctx: *const c_void, _insns: *const bpf_insn) -> u32 {
        0
    }
    machine(|m| m.allocations += 1);
    Box::into_raw(Box::new(bpf_prog {
        bpf_func: Some(run),
    }))
}

pub unsafe fn bpf_prog_free(prog: *mut bpf_prog) {
    machine(|m| m.allocations -= 1);
    // SAFETY: from new_prog(), once.
    drop(unsafe { Box::from_raw(prog) });
}

pub unsafe fn bpf_map_inc(map: *mut bpf_map) {
    // SAFETY: the caller has a reference.
    unsafe { (*map).refcnt += 1 };
}

pub unsafe fn bpf_map_put(map: *mut bpf_map) {
    // SAFETY: the caller has a reference; the memory outlives it.
    let (left, used) = unsafe {
        let left = (*map).refcnt.checked_sub(1);
        (*map).refcnt = left.unwrap_or(0);
        (left, !(*map).moat.values.is_null())
    };
    machine(|m| match left {
        None => m.report("a map's reference is put twice"),
        Some(0) if used || m.leads_to(map as usize) => m.report("a map is freed and in use"),
        Some(_) => {}
    });
}

pub unsafe fn moat_map_span(map: *const bpf_map) -> u64 {
    // SAFETY: the caller has a reference.
    unsafe { (*map).span }
}

pub unsafe fn moat_map_unplaced(_map: *const bpf_map) -> *const c_char {
    c"has no pages".as_ptr()
}

/// None has fields that only the kernel may write.
pub unsafe fn moat_map_serve(_map: *mut bpf_map, _isolated: bool) -> i32 {
    0
}

pub unsafe fn moat_map_there(map: *const bpf_map) -> u64 {
    // SAFETY: as below.
    unsafe { moat_map_filled(map) }
}

pub unsafe fn moat_map_filled(map: *const bpf_map) -> u64 {
    // SAFETY: the caller has a reference.
    unsafe { (*map).filled }
}

/// Pages of map values go by the map's name.
pub unsafe fn moat_map_pages(
    map: *const bpf_map,
    first: u64,
    pages: *mut *mut page,
    nr: u64,
) -> i32 {
    // SAFETY: the caller has a reference.
    if memory::fails() || first + nr > unsafe { (*map).filled } >> 12 {
        return -12;
    }
    // SAFETY: there is room for so many.
    unsafe {
        for i in 0..nr as usize {
            *pages.add(i) = map as *mut page;
        }
    }
    0
}

pub unsafe fn moat_map(addr: u64, pages: *mut *mut page, nr: u64, key: u32, writable: bool) -> i32 {
    // SAFETY: so many pages, whose addresses are names here.
    let frames = unsafe { std::slice::from_raw_parts(pages as *const usize, nr as usize) };
    match machine::map(addr, frames, key as u8, writable) {
        true => 0,
        false => -12,
    }
}

pub unsafe fn moat_unmap(addr: u64, size: u64) {
    machine::unmap(addr, size);
}

pub unsafe fn moat_flush() {
    machine::flush();
}

pub unsafe fn moat_set_key(addr: u64, size: u64, key: u32) -> i32 {
    machine::set_key(addr, size, key as u8);
    0
}

pub unsafe fn moat_view_create() -> *mut moat_view {
    if memory::fails() {
        return null_mut();
    }
    let pgd = machine(|m| m.new_view());
    Box::into_raw(Box::new(moat_view { pgd }))
}

pub unsafe fn moat_view_destroy(view: *mut moat_view) {
    // SAFETY: from moat_view_create(), once.
    let view = unsafe { Box::from_raw(view) };
    machine(|m| m.views.remove(&view.pgd));
}

pub unsafe fn moat_view_pgd(view: *const moat_view) -> u64 {
    // SAFETY: from moat_view_create().
    unsafe { (*view).pgd }
}

pub unsafe fn moat_view_map(view: *mut moat_view, addr: u64, size: u64) -> i32 {
    // SAFETY: from moat_view_create().
    match machine::view_map(unsafe { (*view).pgd }, addr, size) {
        true => 0,
        false => -12,
    }
}

pub unsafe fn moat_view_unmap(view: *mut moat_view, addr: u64, size: u64) {
    // SAFETY: from moat_view_create().
    machine::view_unmap(unsafe { (*view).pgd }, addr, size);
}

pub unsafe fn moat_trace_view(_aux: *const bpf_prog_aux) {}
pub unsafe fn moat_trace_bind(_domain: u32, _key: u32, _users: u32) {}
pub unsafe fn moat_trace_unbind(_domain: u32, _key: u32, _users: u32) {}
