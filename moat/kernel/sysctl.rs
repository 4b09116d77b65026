// SPDX-License-Identifier: GPL-2.0
//! Numbers that an administrator may set: `/proc/sys/`.
//!
//! C header: [`include/linux/sysctl.h`].  Context: module initialisation and exit.

use super::anywhere::anywhere;
use super::memory::{zeroable, Zeroed};
use super::shims::given_back;
use crate::edge::ffi;
use core::ffi::c_void;
use core::mem::size_of;
use core::sync::atomic::AtomicU32;
use kernel::bindings::{self, ctl_table, ctl_table_header};
use kernel::error::code;
use kernel::prelude::*;

/// One of them.
pub struct Entry {
    /// Ends with a 0 byte.
    pub name: &'static str,
    /// What it holds.
    pub value: &'static AtomicU32,
    /// The least it may be; 0 if none is given.
    pub min: Option<&'static AtomicU32>,
    /// The most.
    pub max: &'static AtomicU32,
}

/// Those of one directory; gone when dropped.
pub struct Sysctls {
    header: *mut ctl_table_header,
    /// The kernel's, as long as they are registered.
    _table: Zeroed<ctl_table>,
}

anywhere!(Sysctls);
zeroable!(ctl_table);

fn address(number: &'static AtomicU32) -> *mut c_void {
    number as *const AtomicU32 as *mut c_void
}

impl Sysctls {
    /// `path` ends with a 0 byte, too.
    pub fn register(path: &'static str, entries: &[Entry]) -> Result<Sysctls> {
        let ends = |name: &str| name.ends_with('\0');
        if !ends(path) || !entries.iter().all(|entry| ends(entry.name)) {
            return Err(Error::from_errno(-(bindings::EINVAL as i32)));
        }
        // One that stays zero ends the table.
        let mut table = Zeroed::<ctl_table>::new(entries.len() + 1).ok_or(code::ENOMEM)?;
        for (to, entry) in table.slice_mut().iter_mut().zip(entries) {
            to.procname = entry.name.as_ptr().cast();
            to.data = address(entry.value);
            to.maxlen = size_of::<u32>() as i32;
            to.mode = 0o644;
            to.proc_handler = Some(ffi::moat_shim_sysctl);
            to.extra1 = entry.min.map_or(core::ptr::null_mut(), address);
            to.extra2 = address(entry.max);
        }
        // SAFETY: liveness: names and numbers are always there, and the table is until it is
        // unregistered.  Numbers are words that C reads and writes as such.
        let header = unsafe {
            bindings::register_sysctl(path.as_ptr().cast(), table.slice_mut().as_mut_ptr())
        };
        match header.is_null() {
            true => Err(code::ENOMEM),
            false => Ok(Sysctls {
                header,
                _table: table,
            }),
        }
    }
}

given_back! {
    Sysctls => bindings::unregister_sysctl_table, |sysctls| sysctls.header;
}
