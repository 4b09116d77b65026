// SPDX-License-Identifier: GPL-2.0
//! What the administrator wants: `/proc/sys/kernel/moat/`.
//!
//! - `<program type>`: 0 none, 1 integrity, 2 confidentiality; for programs loaded
//!   from then on.
//! - `keys`: how many protection keys programs may use, 0 to 13; with 0 all run in
//!   views.  Taken into account within 100 ms.
//! - `budget`: how long a run may go on once it was interrupted, in seconds, 1 to 60.
//! - `strict`: 1 refuses what cannot be isolated, 0 runs it plainly (I8).

use crate::pks::Key;
use crate::prog_types::ROWS;
use core::ffi::c_void;
use core::mem::size_of;
use core::ptr::addr_of_mut;
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::bindings;
use kernel::error::code;
use kernel::prelude::*;

pub use crate::prog_types::Level;

const ZERO: AtomicU32 = AtomicU32::new(0);

/// For each row of a program type, what its sysctl holds.
static LEVELS: [AtomicU32; ROWS.len()] = [ZERO; ROWS.len()];
static STRICT: AtomicU32 = AtomicU32::new(1);
static KEYS: AtomicU32 = AtomicU32::new(Key::PROGRAMS as u32);
static MOST_KEYS: AtomicU32 = AtomicU32::new(Key::PROGRAMS as u32);
static ONE: AtomicU32 = AtomicU32::new(1);
static TWO: AtomicU32 = AtomicU32::new(2);
static MINUTE: AtomicU32 = AtomicU32::new(60);

/// The program types come first.  The last entry stays zero: it ends the table.
static mut TABLE: [core::mem::MaybeUninit<bindings::ctl_table>; ROWS.len() + 4] =
    // SAFETY: an array of uninitialised things needs no initialisation.
    unsafe { core::mem::MaybeUninit::uninit().assume_init() };

/// The registered sysctls; gone when dropped.
pub struct Sysctls(*mut bindings::ctl_table_header);

// SAFETY: the header is only passed back to the kernel.
unsafe impl Sync for Sysctls {}
// SAFETY: as above.
unsafe impl Send for Sysctls {}

/// `name` ends with a 0 byte; the build sees to that for those of rows.
fn entry(
    name: &'static str,
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
            for (i, row) in ROWS.iter().enumerate() {
                let max = match row.max_level {
                    Level::Integrity => &ONE,
                    Level::Confidentiality => &TWO,
                };
                TABLE[i].write(entry(row.sysctl, &LEVELS[i], max));
            }
            let n = ROWS.len();
            TABLE[n].write(entry("strict\0", &STRICT, &ONE));
            TABLE[n + 1].write(entry("keys\0", &KEYS, &MOST_KEYS));
            let mut budget = entry("budget\0", &ONE, &MINUTE);
            budget.data = addr_of_mut!(bindings::moat_budget).cast();
            budget.extra1 = &ONE as *const AtomicU32 as *mut c_void;
            TABLE[n + 2].write(budget);
            TABLE[n + 3].write(core::mem::zeroed());
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

/// What the administrator wants for programs of type `ty`.  Nothing is to be had for a
/// type without a row.
pub fn level(ty: u32) -> Option<Level> {
    let i = ROWS.iter().position(|row| row.number == ty)?;
    Level::of_sysctl(LEVELS.get(i)?.load(Ordering::Relaxed))
}

/// How many protection keys programs may use.
pub fn keys() -> usize {
    KEYS.load(Ordering::Relaxed) as usize
}

/// Whether what cannot be isolated is refused.
pub fn strict() -> bool {
    STRICT.load(Ordering::Relaxed) != 0
}
