// SPDX-License-Identifier: GPL-2.0
//! What the administrator wants: `/proc/sys/kernel/moat/`.
//!
//! - `<program type>`: 0 none, 1 integrity, 2 confidentiality; for programs loaded
//!   from then on.
//! - `keys`: how many protection keys programs may use, 0 to 13; with 0 all run in
//!   views.  Taken into account within 100 ms.
//! - `budget`: how long a run may go on once it was interrupted, in seconds, 1 to 60.
//! - `strict`: 1 refuses what cannot be isolated, 0 runs it plainly (I8).

use crate::helpers::contract::{SCHED_ACT, SCHED_CLS, SOCKET_FILTER, XDP};
use crate::pks::Key;
use core::ffi::c_void;
use core::mem::size_of;
use core::ptr::addr_of_mut;
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::bindings;
use kernel::error::code;
use kernel::prelude::*;

/// How far a program is kept away from the kernel; names as in lockdown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// It can read the kernel, not write it.
    Integrity,
    /// It can do neither.
    Confidentiality,
}

static XDP_LEVEL: AtomicU32 = AtomicU32::new(0);
static CLS_LEVEL: AtomicU32 = AtomicU32::new(0);
static ACT_LEVEL: AtomicU32 = AtomicU32::new(0);
static FILTER_LEVEL: AtomicU32 = AtomicU32::new(0);
static STRICT: AtomicU32 = AtomicU32::new(1);
static KEYS: AtomicU32 = AtomicU32::new(Key::PROGRAMS as u32);
static MOST_KEYS: AtomicU32 = AtomicU32::new(Key::PROGRAMS as u32);
static ONE: AtomicU32 = AtomicU32::new(1);
static TWO: AtomicU32 = AtomicU32::new(2);
static MINUTE: AtomicU32 = AtomicU32::new(60);

/// The last entry stays zero: it ends the table.
static mut TABLE: [core::mem::MaybeUninit<bindings::ctl_table>; 8] =
    // SAFETY: an array of uninitialised things needs no initialisation.
    unsafe { core::mem::MaybeUninit::uninit().assume_init() };

/// The registered sysctls; gone when dropped.
pub struct Sysctls(*mut bindings::ctl_table_header);

// SAFETY: the header is only passed back to the kernel.
unsafe impl Sync for Sysctls {}
// SAFETY: as above.
unsafe impl Send for Sysctls {}

fn entry(
    name: &'static [u8],
    value: &'static AtomicU32,
    max: &'static AtomicU32,
) -> bindings::ctl_table {
    // SAFETY: zero is a value for each member.
    let mut entry: bindings::ctl_table = unsafe { core::mem::zeroed() };
    entry.procname = name.as_ptr().cast();
    entry.data = value as *const AtomicU32 as *mut c_void;
    entry.maxlen = size_of::<u32>() as i32;
    entry.mode = 0o644;
    entry.proc_handler = Some(bindings::proc_douintvec_minmax);
    entry.extra2 = max as *const AtomicU32 as *mut c_void;
    entry
}

impl Sysctls {
    /// Context: module initialisation.
    pub fn register() -> Result<Sysctls> {
        // SAFETY: module initialisation is single threaded, and the table is not
        // touched here afterwards.
        unsafe {
            TABLE[0].write(entry(b"xdp\0", &XDP_LEVEL, &TWO));
            TABLE[1].write(entry(b"sched_cls\0", &CLS_LEVEL, &TWO));
            TABLE[2].write(entry(b"sched_act\0", &ACT_LEVEL, &TWO));
            TABLE[3].write(entry(b"socket_filter\0", &FILTER_LEVEL, &TWO));
            TABLE[4].write(entry(b"strict\0", &STRICT, &ONE));
            TABLE[5].write(entry(b"keys\0", &KEYS, &MOST_KEYS));
            let mut budget = entry(b"budget\0", &ONE, &MINUTE);
            budget.data = addr_of_mut!(bindings::moat_budget).cast();
            budget.extra1 = &ONE as *const AtomicU32 as *mut c_void;
            TABLE[6].write(budget);
            TABLE[7].write(core::mem::zeroed());
            let header = bindings::register_sysctl(
                b"kernel/moat\0".as_ptr().cast(),
                addr_of_mut!(TABLE).cast(),
            );
            if header.is_null() {
                return Err(code::ENOMEM);
            }
            Ok(Sysctls(header))
        }
    }
}

impl Drop for Sysctls {
    fn drop(&mut self) {
        // SAFETY: registered by `register`.
        unsafe { bindings::unregister_sysctl_table(self.0) }
    }
}

/// What the administrator wants for programs of type `ty`.
pub fn level(ty: u32) -> Option<Level> {
    let value = match ty {
        XDP => &XDP_LEVEL,
        SCHED_CLS => &CLS_LEVEL,
        SCHED_ACT => &ACT_LEVEL,
        SOCKET_FILTER => &FILTER_LEVEL,
        _ => return None,
    };
    match value.load(Ordering::Relaxed) {
        0 => None,
        1 => Some(Level::Integrity),
        _ => Some(Level::Confidentiality),
    }
}

/// How many protection keys programs may use.
pub fn keys() -> usize {
    KEYS.load(Ordering::Relaxed) as usize
}

/// Whether what cannot be isolated is refused.
pub fn strict() -> bool {
    STRICT.load(Ordering::Relaxed) != 0
}
