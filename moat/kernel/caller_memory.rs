// SPDX-License-Identifier: GPL-2.0
//! What an audit relies on to tell memory of a program from other memory.
//!
//! Context: any.

/// What the kernel knows of the memory of who makes a call.
///
/// # Safety
///
/// As long as the caller is borrowed, memory of which [`CallerMemory::contains`] says so
/// stays mapped and may be read, or written, by kernel code with PKRS open.
pub unsafe trait CallerMemory {
    /// Whether the program may itself read, or with `write` also write, all of
    /// `len` bytes from `addr`, and the kernel will not fault there.  Must hold
    /// for any `addr` and `len`; true if `len` is 0.  See [`within`].
    fn contains(&self, addr: u64, len: u64, write: bool) -> bool;

    /// How many bytes from `addr` on it may read, `most` at most.
    fn readable(&self, addr: u64, most: u64) -> u64 {
        let (mut has, mut lacks) = (0, most.saturating_add(1));
        while has + 1 < lacks {
            let len = has + (lacks - has) / 2;
            match self.contains(addr, len, false) {
                true => has = len,
                false => lacks = len,
            }
        }
        has
    }
}

/// Whether `addr .. addr + len` lies in `base .. base + size`.  No overflow: ends
/// past the address space lie nowhere.
#[inline(always)]
pub const fn within(base: u64, size: u64, addr: u64, len: u64) -> bool {
    let offset = addr.wrapping_sub(base);
    offset <= size && len <= size - offset
}
