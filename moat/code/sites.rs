// SPDX-License-Identifier: GPL-2.0
//! Writes the gates of helper calls: copies of the site in `run/call_return.S`, with what
//! is known of the call put into its holes.

#![forbid(unsafe_code)]

use crate::edge::code::site_template;
use crate::edge::ffi::{self, addr};
use crate::helpers::audit::MapInfo;
use crate::helpers::table;
use crate::maps::types::{self, MapTypes};
use core::sync::atomic::AtomicU32;
use kernel::bindings;

/// Bytes from one site to the next.
pub const SIZE: usize = bindings::MOAT_SITE_SIZE as usize;

pub const TAIL_CALL: u32 = bindings::bpf_func_id_BPF_FUNC_tail_call;
pub const SPIN_UNLOCK: u32 = bindings::bpf_func_id_BPF_FUNC_spin_unlock;
/// The call of what is in a function's place, which the JIT calls `EXT_FUNC`.
pub const EXT: u32 = bindings::moat_call_MOAT_CALL_EXT;
pub const EXT_FUNC: u64 = bindings::MOAT_EXT_FUNC as u64;
/// The same of those who trace the function, when it is done.
pub const TRACED: u32 = bindings::moat_call_MOAT_CALL_TRACED;
pub const TRACED_FUNC: u64 = bindings::MOAT_TRACED_FUNC as u64;
const LOOKUP: u32 = bindings::bpf_func_id_BPF_FUNC_map_lookup_elem;
const UPDATE: u32 = bindings::bpf_func_id_BPF_FUNC_map_update_elem;
const DELETE: u32 = bindings::bpf_func_id_BPF_FUNC_map_delete_elem;
const RESERVE: u32 = bindings::bpf_func_id_BPF_FUNC_ringbuf_reserve;
const SUBMIT: u32 = bindings::bpf_func_id_BPF_FUNC_ringbuf_submit;
const DISCARD: u32 = bindings::bpf_func_id_BPF_FUNC_ringbuf_discard;

/// Offset of what is at address `label`, of the site in `run/call_return.S`.
fn offset(label: u64) -> usize {
    (label - addr(ffi::moat_site_begin)) as usize
}

/// Where an image enters `site`, as an offset: behind what nobody asks for, of its address and
/// the third and fourth argument.
pub fn entry(site: &ffi::moat_site) -> usize {
    let commits = |stores| commit_entry(site.id as u32, stores) == Some(site.entry);
    let label = match site.entry {
        entry if entry == site.func => ffi::moat_site_lean,
        entry if entry == addr(ffi::moat_record_reserve) => ffi::moat_site_three,
        _ if commits(false) || commits(true) => ffi::moat_site_two,
        _ => ffi::moat_site_begin,
    };
    offset(addr(label))
}

/// What the site of a call of helper `id` for the map `info` with `call` calls straight away, of a
/// program that has loops over it if it is `walked`; no entry if that is to be audited.
pub fn map_entry(
    id: u32,
    info: &MapInfo,
    call: &ffi::moat_map_call,
    walked: impl Fn() -> bool,
) -> Option<u64> {
    let entry = match id {
        LOOKUP if info.ty == types::ARRAY_OF_MAPS => ffi::moat_map_lookup_outer_array,
        LOOKUP if info.ty == types::HASH_OF_MAPS => ffi::moat_map_lookup_outer,
        LOOKUP if call.cpu_size != 0 => ffi::moat_map_lookup_percpu,
        LOOKUP if call.lookup != 0 => ffi::moat_map_lookup,
        RESERVE if info.ty == types::RINGBUF => ffi::moat_record_reserve,
        table::NEXT_ELEMS if call.last_elems != 0 => ffi::moat_map_next_elems,
        UPDATE if call.update == 0 => return None,
        UPDATE if !walked() => ffi::moat_map_update,
        UPDATE if MapTypes::LRU.contains(info.ty) => ffi::moat_map_update_lru_told,
        UPDATE => ffi::moat_map_update_told,
        DELETE if call.delete == 0 => return None,
        DELETE if !walked() => ffi::moat_map_delete,
        DELETE => ffi::moat_map_delete_told,
        _ => return None,
    };
    Some(addr(entry))
}

/// What the site of a tail call in image `image` calls: in functions that comes back.
pub fn tail_entry(image: u32) -> u64 {
    match image {
        0 => addr(ffi::moat_tail_call),
        _ => addr(ffi::moat_tail_nested),
    }
}

/// The same site, but not for a run that holds a lock.
pub fn unlocked(site: ffi::moat_site) -> ffi::moat_site {
    ffi::moat_site {
        entry: addr(ffi::moat_unlocked),
        unlocked: site.entry,
        ..site
    }
}

/// What a site calls of a function that others may take the place of, or trace: at its
/// beginning, or once it is `done`.  There are none yet.  `args` is `MOAT_ARGS_*`.
pub fn extension(ret: ffi::moat_return_t, args: u32, done: bool) -> ffi::moat_site {
    let (entry, id) = match done {
        false => (addr(ffi::moat_extension), EXT),
        true => (addr(ffi::moat_traced), TRACED),
    };
    ffi::moat_site {
        ret,
        entry,
        func: 0,
        contract: args.into(),
        id: id.into(),
        map: 0,
        traced: 0,
        unlocked: 0,
    }
}

/// What the site of a call of helper `id` that gives back a record calls straight away, in
/// programs of which something is stored at the end or not; none of another helper.
pub fn commit_entry(id: u32, stores: bool) -> Option<u64> {
    let entry = match (id, stores) {
        (SUBMIT, false) => ffi::moat_record_submit,
        (DISCARD, false) => ffi::moat_record_discard,
        (SUBMIT, true) => ffi::moat_record_submit_stores,
        (DISCARD, true) => ffi::moat_record_discard_stores,
        _ => return None,
    };
    Some(addr(entry))
}

/// Offsets that entry code has to know: open, commit, jmp.
pub fn labels() -> [u64; 3] {
    [
        offset(addr(ffi::moat_site_open)) as u64,
        offset(addr(ffi::moat_site_commit)) as u64,
        offset(addr(ffi::moat_site_jmp)) as u64,
    ]
}

/// Writes to `code` the site that will be at `at`, for the call `site` of a program whose
/// PKRS is to be read at `pkrs`.  False if something it jumps to is out of reach.
#[must_use]
pub fn write(code: &mut [u8; SIZE], at: u64, site: &ffi::moat_site, pkrs: &AtomicU32) -> bool {
    let template = site_template();
    code.fill(0xcc);
    code[..template.len()].copy_from_slice(template);

    let mut absolute = |hole: u64, value: u64| {
        let i = offset(hole);
        code[i..i + 8].copy_from_slice(&value.to_le_bytes());
    };
    absolute(addr(ffi::moat_site_hole_site), site as *const _ as u64);
    absolute(addr(ffi::moat_site_hole_site_long), site as *const _ as u64);
    absolute(
        addr(ffi::moat_site_hole_pkrs),
        pkrs as *const AtomicU32 as u64,
    );

    let frame = (site.ret.frame as i32).wrapping_neg();
    let i = offset(addr(ffi::moat_site_hole_frame));
    code[i..i + 4].copy_from_slice(&frame.to_le_bytes());

    let mut relative = |hole: u64, target: u64| {
        let i = offset(hole);
        let distance = target.wrapping_sub(at + i as u64 + 4) as i64;
        code[i..i + 4].copy_from_slice(&(distance as i32).to_le_bytes());
        distance == i64::from(distance as i32)
    };
    relative(addr(ffi::moat_site_hole_entry), site.entry)
        && relative(addr(ffi::moat_site_hole_ret), site.ret.ip)
        && relative(addr(ffi::moat_site_hole_long), addr(ffi::moat_call_long))
}
