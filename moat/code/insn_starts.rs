// SPDX-License-Identifier: GPL-2.0
//! Where the instructions of a program's image begin.
//!
//! A frame that the CPU pushed in BPF mode lies where the program can write, so
//! the RIP in it is an allegation.  Only a place where an instruction of the
//! image begins may be resumed: a jump into the middle of one would run bytes
//! that nobody has looked at.
//!
//! One bit per byte of image, written while the image is decoded, read-only
//! after that.  A second map, for as long, has where its jumps lead.

/// How many words the map of a `len`-byte image takes.
pub const fn words(len: usize) -> usize {
    len / 64 + (len % 64 != 0) as usize
}

/// A map being written.
pub struct Builder<'a> {
    bits: &'a mut [u64],
    len: usize,
}

/// A finished map.
#[derive(Clone, Copy, Debug)]
pub struct Boundaries<'a> {
    bits: &'a [u64],
    len: usize,
}

impl<'a> Builder<'a> {
    /// An empty map of `len` bytes of image; none if `bits` is too short.
    pub fn new(bits: &'a mut [u64], len: usize) -> Option<Builder<'a>> {
        let bits = bits.get_mut(..words(len))?;
        bits.fill(0);
        Some(Builder { bits, len })
    }

    /// An instruction begins `offset` bytes into the image.  False if the image
    /// ends before.
    #[must_use]
    pub fn mark(&mut self, offset: usize) -> bool {
        if offset >= self.len {
            return false;
        }
        self.bits[offset / 64] |= 1 << (offset % 64);
        true
    }

    /// Nothing is added from now on.
    pub fn finish(self) -> Boundaries<'a> {
        Boundaries {
            bits: self.bits,
            len: self.len,
        }
    }
}

impl<'a> Boundaries<'a> {
    /// A map finished earlier; none if `bits` is too short for `len` bytes.
    pub fn new(bits: &'a [u64], len: usize) -> Option<Boundaries<'a>> {
        Some(Boundaries {
            bits: bits.get(..words(len))?,
            len,
        })
    }

    /// Whether an instruction begins `offset` bytes into the image.
    #[inline]
    pub fn is_boundary(&self, offset: u64) -> bool {
        if offset >= self.len as u64 {
            return false;
        }
        match self.bits.get((offset / 64) as usize) {
            Some(word) => word >> (offset % 64) & 1 != 0,
            None => false,
        }
    }

    /// The first offset that is here and not in `other`.
    pub fn first_not_in(&self, other: &Boundaries<'_>) -> Option<usize> {
        let pairs = self.bits.iter().zip(other.bits);
        let only = |(i, (a, b)): (usize, (&u64, &u64))| match a & !b {
            0 => None,
            left => Some(i * 64 + left.trailing_zeros() as usize),
        };
        pairs.enumerate().find_map(only)
    }

    /// Whether one begins at address `ip`, the image being at `base`.
    #[inline]
    pub fn is_boundary_ip(&self, base: u64, ip: u64) -> bool {
        self.is_boundary(ip.wrapping_sub(base))
    }
}
