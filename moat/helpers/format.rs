// SPDX-License-Identifier: GPL-2.0
//! What a format of `bpf_trace_printk()` and its kin does with each argument.
//!
//! Reference: `bpf_bprintf_prepare()` in `kernel/bpf/helpers.c`, which checks the same format
//! again.  What it does not take need not be told here; what it takes has to be.

/// What is made of one argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// It is shown: a number, a character, a pointer, which may be hashed.
    Value,
    /// The name of what the kernel has at this address is shown.
    Symbol,
    /// A string at this address of the kernel's is shown.
    KernelString,
    /// A string at this address of the current process is shown.
    UserString,
    /// As many bytes at this address of the kernel's are shown, as an address of IP.
    IpAddress(u8),
}

/// The kernel says EINVAL to this format, if not to something before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Invalid;

/// What is made of the arguments of a format, one after another; ends with the first error.
#[derive(Clone, Debug)]
pub struct Uses<'a> {
    /// Up to its NUL, and without that.
    format: &'a [u8],
    at: usize,
    left: usize,
}

impl<'a> Uses<'a> {
    /// Of `format`, which ends where its NUL is, with `args` arguments.
    pub fn of(format: &'a [u8], args: usize) -> Uses<'a> {
        Uses {
            format,
            at: 0,
            left: args,
        }
    }

    /// A byte from where it is, or the NUL.
    fn byte(&self, off: usize) -> u8 {
        self.format.get(self.at + off).copied().unwrap_or(0)
    }

    fn take(&mut self, bytes: usize, what: Use) -> Result<Use, Invalid> {
        self.at += bytes;
        Ok(what)
    }

    /// Goes on to the next conversion, behind its `%`.
    fn find(&mut self) -> Option<Result<(), Invalid>> {
        loop {
            match self.byte(0) {
                _ if self.at >= self.format.len() => return None,
                b'%' if self.byte(1) == b'%' => self.at += 2,
                b'%' => {
                    self.at += 1;
                    return Some(Ok(()));
                }
                b' '..=b'~' | 9..=13 | 0x80.. => self.at += 1,
                _ => return Some(Err(Invalid)),
            }
        }
    }

    fn conversion(&mut self) -> Result<Use, Invalid> {
        self.left = self.left.checked_sub(1).ok_or(Invalid)?;
        while matches!(self.byte(0), b'0' | b'+' | b'-' | b' ') {
            self.at += 1;
        }
        if self.byte(0) != b'0' {
            while self.byte(0).is_ascii_digit() {
                self.at += 1;
            }
        }
        match self.byte(0) {
            b'p' => self.pointer(),
            b's' => self.string(1, Use::KernelString),
            b'c' => self.take(1, Use::Value),
            b'l' if self.byte(1) == b'l' => self.number(2),
            b'l' => self.number(1),
            _ => self.number(0),
        }
    }

    fn number(&mut self, modifiers: usize) -> Result<Use, Invalid> {
        match self.byte(modifiers) {
            b'i' | b'd' | b'u' | b'x' | b'X' => self.take(modifiers + 1, Use::Value),
            _ => Err(Invalid),
        }
    }

    fn pointer(&mut self) -> Result<Use, Invalid> {
        match (self.byte(1), self.byte(2)) {
            (next, _) if ends(next) => self.take(1, Use::Value),
            (b'k', b's') => self.string(3, Use::KernelString),
            (b'u', b's') => self.string(3, Use::UserString),
            (b'K' | b'x', _) => self.take(2, Use::Value),
            (b's' | b'S' | b'B', _) => self.take(2, Use::Symbol),
            (b'i' | b'I', b'4') => self.take(3, Use::IpAddress(4)),
            (b'i' | b'I', b'6') => self.take(3, Use::IpAddress(16)),
            _ => Err(Invalid),
        }
    }

    fn string(&mut self, bytes: usize, what: Use) -> Result<Use, Invalid> {
        match ends(self.byte(bytes)) {
            true => self.take(bytes, what),
            false => Err(Invalid),
        }
    }
}

impl Iterator for Uses<'_> {
    type Item = Result<Use, Invalid>;

    fn next(&mut self) -> Option<Result<Use, Invalid>> {
        let used = self.find()?.and_then(|()| self.conversion());
        if used.is_err() {
            self.at = self.format.len();
        }
        Some(used)
    }
}

/// Whether a conversion may end before `byte`: NUL, `isspace()` or `ispunct()`, by the table
/// in `lib/ctype.c`.
const fn ends(byte: u8) -> bool {
    matches!(byte, 0 | 9..=13 | b' ')
        || byte.is_ascii_punctuation()
        || matches!(byte, 160..=191 | 215 | 247)
}
