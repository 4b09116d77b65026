// SPDX-License-Identifier: GPL-2.0
//! One invocation of a program: `struct moat_run` of this CPU.
//!
//! C header: `arch/x86/include/asm/moat.h`.  Context: whatever the program runs in, NMI
//! included; must not sleep.  PKRS is open (I2).
//!
//! What all of this relies on is that a [`Run`] is made of the current invocation, for as
//! long as the call takes that it is given to:
//!
//! - *Liveness*: the structure is on the stack of the gate that waits for us, and the
//!   program outlives its runs.
//! - *Alignment*, *initialisation*: the gate makes it, of integers.
//! - *Aliasing*: only this CPU touches it, which does nothing else with these fields before
//!   the call returns; to the program and to the slot, which is this run's, there are
//!   shared references only.

use super::caller_memory::{within, CallerMemory};
use super::given::Given;
use super::off;
use super::rcu::Reader;
use crate::edge::ffi::{self, moat_changes, moat_run, moat_slot};
use crate::helpers::audit::MapInfo;
use crate::run::program::{Program, UsedMap, Values};
use core::cell::Cell;
use core::ffi::c_void;
use core::ptr::addr_of_mut;
use kernel::bindings;

/// See the module documentation.
pub struct Run<'a> {
    run: *mut moat_run,
    pub program: &'a Program,
    pub slot: &'a moat_slot,
}

// SAFETY: preemption is off in a run, so that no grace period ends, and hooks have one for no
// longer.
unsafe impl Reader for Run<'_> {}

/// This CPU's current invocation, as built by `moat_enter`.
impl<'a> From<Given<*mut moat_run>> for Run<'a> {
    #[inline(always)]
    fn from(given: Given<*mut moat_run>) -> Run<'a> {
        let run = given.get();
        // SAFETY: the gate stored both; `gates` is the program's first member.  For the rest
        // see the module documentation.
        unsafe {
            Run {
                run,
                program: &*((*run).domain as *const Program),
                slot: &*((*run).slot as *const moat_slot),
            }
        }
    }
}

// SAFETY: a program's own memory is mapped until it is released, and so are the values of
// its maps; of maps that it has reached, while they are listed, which outlasts the run.
unsafe impl CallerMemory for Run<'_> {
    fn contains(&self, addr: u64, len: u64, write: bool) -> bool {
        let (base, size) = self.program.gates.area();
        if within(base, size, addr, len) || off::audit() {
            return true;
        }
        self.program.used_maps(self).any(|map| {
            map.values.map_or(false, |values| {
                (values.writable || !write)
                    && within(values.base, values.span, addr, len)
                    && (!values.grows || within(values.base, there(map), addr, len))
            })
        })
    }
}

/// Bytes of the values of a map that makes elements on demand for which there are pages, in
/// the window as well.  Apart, since other maps are asked for more often.
#[cold]
fn there(map: &UsedMap) -> u64 {
    // SAFETY: as for what it lists, see above; whoever holds the values holds the map.
    unsafe { bindings::moat_map_there(map.info.kernel as *const bindings::bpf_map) }
}

/// Fields that Rust has to do with.
macro_rules! fields {
    ($($(#[$doc:meta])* $vis:vis fn $name:ident = $field:ident as $type:ty;)*) => {
        impl<'a> Run<'a> {$(
            $(#[$doc])*
            #[inline(always)]
            $vis fn $name(&self) -> &'a Cell<$type> {
                // SAFETY: see the module documentation.
                unsafe { &*addr_of_mut!((*self.run).$field).cast() }
            }
        )*}
    };
}

fields! {
    fn kernel_context = ctx as u64;
    fn stopped = stop as u64;
    /// `MOAT_RUN_*`
    pub(super) fn flags = flags as u32;
    /// Whether it holds anything: `helpers/grants.rs`.
    pub(super) fn holds = holds as i32;
    /// The kernel's address of the record that it holds, if it is one that is not listed.
    pub(super) fn unlisted = r0 as u64;
    /// Where it begins that the packet's head is not old kernel memory.
    pub(super) fn covered = covered as u64;
}

/// Functions of C that take the current invocation.
macro_rules! of_runs {
    ($(
        $(#[$doc:meta])*
        pub fn $name:ident(&self) $(-> $ret:ty)? = $function:path;
    )*) => {
        impl Run<'_> {$(
            $(#[$doc])*
            #[inline(always)]
            pub fn $name(&self) $(-> $ret)? {
                // SAFETY: see the module documentation.
                unsafe { $function(self.run) }
            }
        )*}
    };
}

of_runs! {
    /// Whether it goes on for longer than programs may.
    pub fn is_overdue(&self) -> bool = bindings::moat_overdue;
    /// Gives it the time that those have which it starts by sending.
    pub fn defer(&self) = ffi::moat_shim_defer;
}

impl Run<'_> {
    /// Tells the program, if it walks over maps, of what may have changed any.
    #[inline(always)]
    pub fn tell_of_change(&self) {
        let changes = self.slot.changes as *mut moat_changes;
        if changes.is_null() {
            return;
        }
        // SAFETY: it lies in the run's slot, which is mapped for as long as the program is loaded.
        // The program may write there, from other CPUs as well: what is read is any number, and
        // nobody in the kernel goes by it.
        unsafe {
            let count = addr_of_mut!((*changes).count);
            count.write_volatile(count.read_volatile().wrapping_add(1));
            addr_of_mut!((*changes).key).write_volatile(0);
        }
    }

    /// Whether it is a function that a helper calls: a run in the run.
    #[inline(always)]
    pub fn is_called_back(&self) -> bool {
        self.flags().get() & bindings::MOAT_RUN_CALLBACK != 0
    }

    /// Whether a timer has called it: it has no context.
    #[inline(always)]
    pub fn is_timers(&self) -> bool {
        self.flags().get() & bindings::MOAT_RUN_TIMER != 0 && !off::no_context()
    }

    /// Whether that is so, or it is an extension that is not called with one.
    #[inline(always)]
    pub fn has_no_context(&self) -> bool {
        self.is_timers() || self.ctx().is_null() && !off::no_context()
    }

    /// What the kernel called the program with, or null.
    #[inline(always)]
    pub fn ctx(&self) -> *mut c_void {
        self.kernel_context().get() as *mut c_void
    }

    /// Ends the run with the safe verdict as soon as the gate looks.
    #[inline(always)]
    pub fn stop(&self) {
        self.stopped().set(1);
    }

    /// For the plan's programs.
    #[inline(always)]
    pub(super) fn as_ptr(&self) -> *mut moat_run {
        self.run
    }

    /// Where the program sees the value of `map` that the kernel has at `addr`, as the place
    /// of all values, and how far into it; none if it sees none of them.
    #[inline(always)]
    pub fn place(&self, map: &MapInfo, addr: u64) -> Option<(Values, u64)> {
        let used = self.program.used(map.kernel, self)?;
        let values = used.values?;
        if addr == 0 {
            return None;
        }
        let map = used.info.kernel as *const ffi::bpf_map;
        // SAFETY: liveness: the program has a reference on the map, or the run is a reader of
        // what has; it only computes with `addr`.
        let off = unsafe { bindings::moat_map_offset(map, addr as *const c_void) };
        Some((values, off))
    }
}
