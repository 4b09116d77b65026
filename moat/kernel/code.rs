// SPDX-License-Identifier: GPL-2.0
//! Code: images as the JIT hands them over, the template of sites, instructions.
//!
//! C header: [`include/linux/moat.h`], `struct moat_jit_image`

use super::given::Given;
use crate::code::sites;
use crate::edge::ffi::{self, moat_jit_image};
use kernel::bindings;

/// An image that is finished, and still the JIT's to write.
pub struct Image<'a> {
    /// What runs with kernel rights before the body; there in the first one.
    pub stub: &'a [u8],
    /// What runs in BPF mode.
    pub body: &'a [u8],
    /// Where the body will be.
    pub start: u64,
    /// Room for its sites.
    pub sites: &'a mut [[u8; sites::SIZE]],
    /// Where these will be.
    pub sites_at: u64,
    /// How far the stub is until it has left for the enter gate.
    pub entered: usize,
    /// Where it leaves for another program by a tail call, or 0.
    pub tail: u64,
    /// How far in the body the way is to what is in its place, if there is one.
    pub way: Option<usize>,
}

impl<'a> From<Given<*const moat_jit_image>> for Image<'a> {
    fn from(given: Given<*const moat_jit_image>) -> Image<'a> {
        let done = given.borrow();
        // SAFETY: by contract of `Given::new`: `len` bytes at `rw_image`, which will be at
        // `image`, and room for the sites behind.  Aliasing: the two do not overlap, and the
        // JIT waits; nothing runs there yet.
        let (code, sites) = unsafe {
            let code = core::slice::from_raw_parts(done.rw_image as *const u8, done.len as usize);
            let sites: &mut [[u8; sites::SIZE]] = match done.nr_sites as usize {
                0 => &mut [],
                n => core::slice::from_raw_parts_mut(done.rw_sites.cast(), n),
            };
            (code, sites)
        };
        let (stub, body) = code.split_at(done.body as usize);
        Image {
            stub,
            body,
            start: done.image as u64 + u64::from(done.body),
            sites,
            sites_at: done.sites as u64,
            entered: done.entered as usize,
            tail: match done.tail {
                0 => 0,
                off => done.image as u64 + u64::from(off),
            },
            way: (done.way as usize)
                .checked_sub(done.body as usize)
                .filter(|_| done.way != 0),
        }
    }
}

/// The site in `run/call_return.S`, holes and all.
pub fn site_template() -> &'static [u8] {
    let (begin, end) = (
        ffi::addr(ffi::moat_site_begin),
        ffi::addr(ffi::moat_site_end),
    );
    // SAFETY: `run/call_return.S` has so many bytes from there on, which nobody changes.
    unsafe { core::slice::from_raw_parts(begin as *const u8, (end - begin) as usize) }
}

/// Bytes of the instruction that `rest` begins with; 0 if it is none.
pub fn insn_length(rest: &[u8]) -> usize {
    // SAFETY: it reads at most the bytes that are left.
    let len =
        unsafe { bindings::moat_insn_length(rest.as_ptr().cast(), rest.len().min(15) as i32) };
    len.max(0) as usize
}
