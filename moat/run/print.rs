// SPDX-License-Identifier: GPL-2.0
//! Calls of helpers that print, or that take a constant string.
//!
//! The helper is given copies: it looks at a format twice, and the program may change that on
//! another CPU.  At level 2 what the format has the kernel read is copied, too, from the
//! program's own memory; what lies elsewhere, or would tell where the kernel's functions are,
//! is not printed: the call gets EPERM, as reads of kernel memory do under lockdown.
//!
//! Context: as in `run/mod.rs`.

#![forbid(unsafe_code)]

use super::call::Called;
use super::Run;
use crate::edge::counters::moat_refused_prints;
use crate::edge::desk::{Desk, ARGS, NEST, TEXT};
use crate::edge::site::{Registers, Site};
use crate::helpers::audit::{self, AuditError, Memory, Why};
use crate::helpers::contract::{Contract, Prints, STR_MAX};
use crate::helpers::format::{Use, Uses};
use crate::prog_types::Level;
use crate::run::violation;
use core::sync::atomic::Ordering;
use kernel::bindings;

const EPERM: u64 = -(bindings::EPERM as i64) as u64;
const E2BIG: u64 = -(bindings::E2BIG as i64) as u64;
const EBUSY: u64 = -(bindings::EBUSY as i64) as u64;

/// The first register of arguments, and how many there are.
const REGISTERS: (usize, usize) = (2, 3);

/// Where a helper has its format, and its array of arguments: numbers of registers.
struct Places {
    format: usize,
    /// Of the format.
    size: Option<usize>,
    array: Option<usize>,
}

impl Prints {
    fn places(self) -> Places {
        match self {
            Prints::Registers => Places {
                format: 0,
                size: Some(1),
                array: None,
            },
            Prints::Array => Places {
                format: 0,
                size: Some(1),
                array: Some(2),
            },
            Prints::Into | Prints::Compares => Places {
                format: 2,
                size: None,
                array: Some(3),
            },
        }
    }
}

/// What a program may not have printed.
struct Forbidden;

/// The audit granted less than it says.
const UNSOUND: AuditError = AuditError {
    arg: 0,
    why: Why::Contract,
};

impl Run<'_> {
    /// Makes a call whose arguments were audited, as far as registers say what they are.
    #[inline(never)]
    pub(super) fn call_print(
        &self,
        site: Site<'_>,
        contract: &Contract,
        how: Prints,
        args: &mut Registers,
    ) -> Called {
        if how == Prints::Compares {
            return self.compare(site, contract, args);
        }
        let mut desk = match Desk::take(self, NEST) {
            Some(desk) => desk,
            None => return Ok(EBUSY),
        };
        let places = how.places();
        let size = places.size.map_or(u64::from(STR_MAX), |size| args[size]);
        let format = self.granted_string(args[places.format], size)?;
        if !desk.put_format(format) && size >= u64::from(STR_MAX) {
            return Ok(self.not_printed(
                site,
                contract,
                E2BIG,
                "a format of more than 1,023 bytes",
            ));
        }
        let count = match places.array {
            None => {
                for i in 0..REGISTERS.1 {
                    desk.set_arg(i, args[REGISTERS.0 + i]);
                }
                REGISTERS.1
            }
            Some(array) => {
                let bytes = args[array + 1].min(8 * ARGS as u64);
                if bytes != 0 {
                    let memory = audit::readable(args[array], bytes, self).ok_or(UNSOUND)?;
                    desk.put_args(memory);
                }
                (bytes / 8) as usize
            }
        };
        if self.program.level == Level::Confidentiality && self.confine(&mut desk, count).is_err() {
            let what = "what is not in its memory, or names of the kernel's functions";
            return Ok(self.not_printed(site, contract, EPERM, what));
        }
        args.lend(places.format, desk.lend_format());
        if let Some(size) = places.size {
            args.lend(size, desk.lend_size(args[size]));
        }
        match places.array {
            Some(array) if args[array] != 0 => args.lend(array, desk.lend_args()),
            Some(_) => {}
            None => {
                for i in 0..REGISTERS.1 {
                    args.lend(REGISTERS.0 + i, desk.lend_arg(i));
                }
            }
        }
        Ok(self.make(site, contract, args, None, |_| true))
    }

    /// Memory at `addr`, of `size` bytes, but no more than can be looked at.
    fn granted_string(&self, addr: u64, size: u64) -> core::result::Result<Memory<'_>, AuditError> {
        let most = size.min(STR_MAX.into()) as u32;
        audit::string(addr, most, self).ok_or(UNSOUND)
    }

    /// Puts copies in the place of what the format has the kernel read.  All that comes after
    /// an error is nothing: the helper is to find that error by itself.
    fn confine(&self, desk: &mut Desk<'_>, count: usize) -> core::result::Result<(), Forbidden> {
        let mut uses = [None; ARGS];
        let mut found = Uses::of(desk.format(), count);
        for (used, next) in uses.iter_mut().zip(&mut found) {
            *used = next.ok();
        }
        for (i, used) in uses.iter().enumerate().take(count) {
            let addr = desk.arg(i);
            // Nothing can be read there: the helper finds that out, and prints nothing.
            let nowhere = addr >> 63 == 0;
            match *used {
                Some(Use::Value | Use::UserString) => {}
                Some(Use::Symbol) => return Err(Forbidden),
                Some(Use::KernelString | Use::IpAddress(_)) | None if nowhere => desk.set_arg(i, 0),
                Some(Use::KernelString) => {
                    let text = audit::string(addr, TEXT as u32, self).ok_or(Forbidden)?;
                    if !desk.put_text(i, text) {
                        return Err(Forbidden);
                    }
                }
                Some(Use::IpAddress(bytes)) => {
                    let address = audit::readable(addr, bytes.into(), self).ok_or(Forbidden)?;
                    desk.put_address(i, address);
                }
                None => desk.set_arg(i, 0),
            }
        }
        Ok(())
    }

    fn not_printed(&self, site: Site<'_>, contract: &Contract, ret: u64, what: &str) -> u64 {
        moat_refused_prints.fetch_add(1, Ordering::Relaxed);
        violation::not_printed(self, site, contract, what, ret as i64);
        ret
    }

    /// The helper reads no more of the second string than it has of the first.
    fn compare(&self, site: Site<'_>, contract: &Contract, args: &mut Registers) -> Called {
        const BAD: AuditError = AuditError {
            arg: 2,
            why: Why::Memory,
        };
        let whole = audit::readable(args[2], args[1], self).is_some();
        let mut desk = None;
        if !whole {
            let string = self.granted_string(args[2], STR_MAX.into())?;
            let copy = desk.insert(Desk::take(self, NEST + 1).ok_or(BAD)?);
            if !copy.put_format(string) {
                return Err(BAD);
            }
            args.lend(2, copy.lend_format());
        }
        Ok(self.make(site, contract, args, None, |_| true))
    }
}
