// SPDX-License-Identifier: GPL-2.0
//! Writes the gates of helper calls: copies of the site in `gates.S`, with what
//! is known of the call put into its holes.

use crate::ffi::{self, addr};
use core::sync::atomic::AtomicU32;
use kernel::bindings;

/// Bytes from one site to the next.
pub const SIZE: usize = bindings::MOAT_SITE_SIZE as usize;

type Label = unsafe extern "C" fn();

/// Offset of a label of the site in `gates.S`.
fn offset(label: Label) -> usize {
    (addr(label) - addr(ffi::moat_site_begin)) as usize
}

/// Where an image enters the site, as an offset: `lean` skips what keeps the
/// third and fourth argument.
pub fn entry(lean: bool) -> usize {
    if lean {
        offset(ffi::moat_site_lean)
    } else {
        0
    }
}

/// Offsets that entry code has to know: open, commit, jmp.
pub fn labels() -> [u64; 3] {
    [
        offset(ffi::moat_site_open) as u64,
        offset(ffi::moat_site_commit) as u64,
        offset(ffi::moat_site_jmp) as u64,
    ]
}

/// Writes to `code` the site that will be at `at`, for the call `site` of a program whose
/// PKRS is to be read at `pkrs`.  False if something it jumps to is out of reach.
#[must_use]
pub fn write(code: &mut [u8; SIZE], at: u64, site: &ffi::moat_site, pkrs: &AtomicU32) -> bool {
    let len = offset(ffi::moat_site_end);
    code.fill(0xcc);
    // SAFETY: `gates.S` has `len` bytes from there on.
    let template =
        unsafe { core::slice::from_raw_parts(addr(ffi::moat_site_begin) as *const u8, len) };
    code[..len].copy_from_slice(template);

    let mut absolute = |hole: Label, value: u64| {
        let i = offset(hole);
        code[i..i + 8].copy_from_slice(&value.to_le_bytes());
    };
    absolute(ffi::moat_site_hole_site, site as *const _ as u64);
    absolute(ffi::moat_site_hole_site_long, site as *const _ as u64);
    absolute(ffi::moat_site_hole_pkrs, pkrs as *const AtomicU32 as u64);

    let frame = (site.ret.frame as i32).wrapping_neg();
    let i = offset(ffi::moat_site_hole_frame);
    code[i..i + 4].copy_from_slice(&frame.to_le_bytes());

    let mut relative = |hole: Label, target: u64| {
        let i = offset(hole);
        let distance = target.wrapping_sub(at + i as u64 + 4) as i64;
        code[i..i + 4].copy_from_slice(&(distance as i32).to_le_bytes());
        distance == i64::from(distance as i32)
    };
    relative(ffi::moat_site_hole_entry, site.entry)
        && relative(ffi::moat_site_hole_ret, site.ret.ip)
        && relative(ffi::moat_site_hole_long, addr(ffi::moat_call_long))
}
