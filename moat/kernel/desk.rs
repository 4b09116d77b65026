// SPDX-License-Identifier: GPL-2.0
//! Where what a program prints is put together: formats, their arguments and the strings that
//! these point to, in kernel memory.
//!
//! C header: `moat/kernel/shims.h`, `struct moat_desk`.  Context: as in `invocation.rs`.

use super::program_memory::{copy_in, Words};
use super::shims::safe_shims;
use crate::edge::ffi::{self, moat_desk};
use crate::edge::invocation::Run;
use crate::helpers::audit::Memory;

/// How many arguments there can be.
pub const ARGS: usize = ffi::MOAT_PRINT_ARGS as usize;
/// Bytes of all strings of a call, their NULs included.
pub const TEXT: usize = ffi::MOAT_PRINT_TEXT as usize;
/// How many can be in use on a CPU by those who print.
pub const NEST: u32 = ffi::MOAT_PRINT_NEST;

safe_shims! {
    fn leave() = ffi::moat_shim_desk_leave;
}

/// One that nobody else uses.
pub struct Desk<'a> {
    desk: &'a mut moat_desk,
    text: usize,
}

/// What a desk has to say for a register.
#[derive(Clone, Copy)]
pub struct Lent(u64);

impl Lent {
    /// What to put in the register.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl Drop for Desk<'_> {
    fn drop(&mut self) {
        leave();
    }
}

impl<'a> Desk<'a> {
    /// One for a call in `run`, if fewer than `most` are in use on this CPU.
    pub fn take(_run: &'a Run<'_>, most: u32) -> Option<Desk<'a>> {
        // SAFETY: liveness: it is the module's, and this CPU's as long as the run.  Aliasing:
        // others on this CPU are given other ones until it is left.  It is of integers.
        let desk = unsafe { ffi::moat_shim_desk_take(most).as_mut() }?;
        Some(Desk { desk, text: 0 })
    }

    /// Copies a format.  True if its NUL is in what there is room for.
    pub fn put_format(&mut self, from: Memory<'_>) -> bool {
        let len = copy_in(from, &mut self.desk.format);
        match self.desk.format[..len].contains(&0) {
            true => true,
            false => {
                // Beyond what the helper is told of.
                if let Some(end) = self.desk.format.get_mut(len) {
                    *end = 0;
                }
                false
            }
        }
    }

    /// The format, up to its NUL.
    pub fn format(&self) -> &[u8] {
        let format = &self.desk.format;
        let len = format.iter().position(|&byte| byte == 0);
        &format[..len.unwrap_or(format.len())]
    }

    /// Where it is.
    pub fn lend_format(&self) -> Lent {
        Lent(self.desk.format.as_ptr() as u64)
    }

    /// How many bytes a helper may be told that it has.
    pub fn lend_size(&self, size: u64) -> Lent {
        Lent(size.min(self.desk.format.len() as u64))
    }

    /// Copies as many arguments as there are in `from`, but no more than there is room for.
    pub fn put_args(&mut self, from: Memory<'_>) {
        let from = Words::from(from);
        for (i, arg) in self.desk.args.iter_mut().enumerate() {
            *arg = from.get(i as u64);
        }
    }

    pub fn set_arg(&mut self, i: usize, value: u64) {
        if let Some(arg) = self.desk.args.get_mut(i) {
            *arg = value;
        }
    }

    pub fn arg(&self, i: usize) -> u64 {
        self.desk.args.get(i).copied().unwrap_or(0)
    }

    /// Where they are.
    pub fn lend_args(&self) -> Lent {
        Lent(self.desk.args.as_ptr() as u64)
    }

    /// Argument `i`.
    pub fn lend_arg(&self, i: usize) -> Lent {
        Lent(self.arg(i))
    }

    /// Has argument `i` point to a copy of the string `from`, cut where there is no more room:
    /// the helper has none then, either.  False if it does not end.
    pub fn put_text(&mut self, i: usize, from: Memory<'_>) -> bool {
        let room = self.desk.text.get_mut(self.text..).unwrap_or(&mut []);
        let cut = from.len() as usize >= room.len();
        let len = copy_in(from, room);
        let text = &mut room[..len];
        let addr = text.as_ptr() as u64;
        let end = match text.iter().position(|&byte| byte == 0) {
            Some(end) => end + 1,
            None if !cut => return false,
            None => {
                if let Some(last) = text.last_mut() {
                    *last = 0;
                }
                len
            }
        };
        self.text += end;
        self.set_arg(i, if end == 0 { 0 } else { addr });
        true
    }

    /// Has argument `i` point to a copy of the address of IP at `from`.
    pub fn put_address(&mut self, i: usize, from: Memory<'_>) {
        if let Some(address) = self.desk.addresses.get_mut(i) {
            copy_in(from, address);
            let addr = address.as_ptr() as u64;
            self.set_arg(i, addr);
        }
    }
}
