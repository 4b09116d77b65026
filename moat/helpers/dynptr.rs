// SPDX-License-Identifier: GPL-2.0
//! What a dynptr says of itself, and what that lets a helper do.
//!
//! C header: [`include/linux/bpf.h`], `struct bpf_dynptr_kern`; `kernel/bpf/helpers.c`.
//!
//! A program has its dynptrs where it can write, on its stack: they are allegations, like its
//! registers.  Each use begins with a copy ([`Dynptr`]), the only thing that is looked at from
//! then on (I1), and ends with what the program may itself reach of what the copy says
//! ([`Reached`]).

#![forbid(unsafe_code)]

use super::audit::{self, Allegation, Caller, Why};

/// `DYNPTR_MAX_SIZE`, in bytes.
pub const MAX_SIZE: u32 = (1 << 24) - 1;
/// `DYNPTR_RDONLY_BIT`
const RDONLY: u32 = 1 << 31;
/// `BPF_DYNPTR_TYPE_RINGBUF`, where `size` has the type.
pub const RINGBUF: u32 = 2 << 28;

/// The helpers' answers.
pub const E2BIG: i64 = -7;
pub const EINVAL: i64 = -22;

/// `struct bpf_dynptr_kern`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Dynptr {
    /// 0: it is for nothing.
    pub data: u64,
    /// In bytes, and what else there is of it in the upper bits.
    pub size: u32,
    pub offset: u32,
}

/// Which bytes of it a helper is to read or write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    pub offset: u32,
    pub len: u32,
    pub write: bool,
    /// Of the helper.
    pub flags: u64,
}

/// A dynptr, in the kernel's memory, of which the program may itself read or write the part that a
/// helper is to.  Only [`Dynptr::reach`] makes one.
#[derive(Debug)]
pub struct Reached {
    dynptr: Dynptr,
}

impl Reached {
    /// What the helper is to be given.
    #[inline(always)]
    pub const fn dynptr(&self) -> &Dynptr {
        &self.dynptr
    }
}

impl Dynptr {
    pub const NULL: Dynptr = Dynptr {
        data: 0,
        size: 0,
        offset: 0,
    };

    /// As words of memory.
    pub const fn words(self) -> [u64; 2] {
        [self.data, self.size as u64 | (self.offset as u64) << 32]
    }

    pub const fn from_words([data, last]: [u64; 2]) -> Dynptr {
        Dynptr {
            data,
            size: last as u32,
            offset: (last >> 32) as u32,
        }
    }

    /// What a program gets for a record of `size` bytes that it has at `data`.
    pub const fn of_record(data: u64, size: u32) -> Dynptr {
        Dynptr {
            data,
            size: size | RINGBUF,
            offset: 0,
        }
    }

    /// Bytes that it is for.
    pub const fn bytes(&self) -> u32 {
        self.size & MAX_SIZE
    }

    /// Where `part` begins, or what the helper answers: as `bpf_dynptr_read()` and
    /// `bpf_dynptr_write()`.
    pub const fn start(&self, part: &Part) -> Result<u64, i64> {
        let size = self.bytes();
        if self.data == 0 || part.flags != 0 || (part.write && self.size & RDONLY != 0) {
            return Err(EINVAL);
        }
        if part.len > size || part.offset > size - part.len {
            return Err(E2BIG);
        }
        let data = self.data.wrapping_add(self.offset as u64);
        Ok(data.wrapping_add(part.offset as u64))
    }

    /// Asks whether `caller` may itself reach `part`; or what the helper answers, which need
    /// not be called then.
    pub fn reach<C: Caller>(
        self,
        part: &Part,
        caller: &C,
    ) -> Result<core::result::Result<Reached, i64>, Why> {
        let start = match self.start(part) {
            Ok(start) => start,
            Err(answer) => return Ok(Err(answer)),
        };
        // No bytes are of nobody's memory: the helper touches nothing.
        if part.len != 0 {
            audit::memory(Allegation(start), part.len.into(), part.write, caller)?;
        }
        Ok(Ok(Reached { dynptr: self }))
    }
}

/// What `bpf_ringbuf_reserve_dynptr()` answers, before it asks the ring.
pub const fn not_reserved(size: u32, flags: u64) -> Option<i64> {
    match flags {
        0 if size <= MAX_SIZE => None,
        0 => Some(E2BIG),
        _ => Some(EINVAL),
    }
}

/// Bytes before a sample that a function is given: its dynptr.
pub const SAMPLE: u32 = core::mem::size_of::<Dynptr>() as u32;

/// Bytes of the largest sample that a user ring buffer of `total` bytes has: with its header it may
/// be all of it.
pub const fn largest_sample(total: u32) -> u32 {
    let most = total.saturating_sub(8);
    match most > MAX_SIZE {
        true => MAX_SIZE,
        false => most,
    }
}

/// Bytes of the largest record that a ring of `total` bytes has: with its header, rounded up, it
/// is less than all of it.
pub const fn largest_record(total: u32) -> u32 {
    total.saturating_sub(2 * 8)
}
