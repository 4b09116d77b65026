// SPDX-License-Identifier: GPL-2.0
//! What the module calls in C and assembly.
//!
//! C header: `moat/shims.h`, `arch/x86/include/asm/moat.h`.  Each function does
//! what its C comment says; the contexts are the C function's.

use crate::helpers::geometry::Geometry;
use core::ffi::{c_char, c_void};
use core::ops::{Deref, DerefMut};
use kernel::bindings;
use kernel::prelude::*;

pub use bindings::{
    bpf_map, bpf_prog, moat_cpu_slots, moat_ctx_plan, moat_domain, moat_fault, moat_gates,
    moat_image, moat_jit, moat_jit_image, moat_ops, moat_return as moat_return_t, moat_run,
    moat_site, moat_slot, page,
};

// bindgen makes structures of what is empty in this configuration.
#[allow(improper_ctypes)]
extern "C" {
    pub fn moat_shim_lock();
    pub fn moat_shim_unlock();
    pub fn moat_shim_module() -> *mut bindings::module;
    pub fn moat_shim_synchronize_rcu();
    pub fn moat_shim_cond_resched();
    pub fn moat_shim_nr_cpus() -> u32;
    pub fn moat_shim_privileged() -> bool;
    pub fn moat_shim_zalloc(size: usize) -> *mut c_void;
    pub fn moat_shim_free(p: *const c_void);
    pub fn moat_shim_runs(slots: u64) -> u64;
    pub fn moat_shim_start_balancing(ms: u32);
    pub fn moat_shim_stop_balancing();
    pub fn moat_shim_seq_write(m: *mut bindings::seq_file, text: *const u8, len: usize);
    fn moat_shim_alloc_slots() -> u64;
    fn moat_shim_cpu_slots(slots: u64, cpu: u32) -> *mut moat_cpu_slots;
    fn moat_shim_free_slots(slots: u64);
    pub fn moat_shim_alloc_page() -> *mut page;
    pub fn moat_shim_free_page(page: *mut page);
    pub fn moat_shim_run_plan(
        prog: *const bpf_prog,
        a: *mut c_void,
        b: *mut c_void,
        c: *mut c_void,
    ) -> u64;
    pub fn moat_shim_call(func: u64, args: *const u64) -> u64;
    pub fn moat_shim_lookup(func: u64, map: u64, key: u64) -> u64;
    pub fn moat_shim_skb_data(skb: *const c_void) -> u64;
    pub fn moat_shim_skb_headlen(skb: *const c_void) -> u32;
    pub fn moat_shim_skb_start(skb: *mut c_void) -> u64;
    pub fn moat_shim_xdp_start(xdp: *const c_void, meta: bool) -> u64;
    pub fn moat_shim_zero(from: u64, to: u64);
    pub fn moat_shim_skb_line(skb: *const c_void) -> u32;
    pub fn moat_shim_set_skb_line(skb: *mut c_void, line: u32);
    pub fn moat_shim_this_slots(slots: u64) -> *mut moat_cpu_slots;
    pub fn moat_shim_defer(run: *mut moat_run);
    pub fn moat_shim_clock() -> Clock;
    pub fn moat_shim_seconds() -> u64;
    pub fn moat_shim_insn_number(env: *const bindings::bpf_verifier_env, i: u32) -> u32;
    pub fn moat_shim_log_of(
        env: *mut bindings::bpf_verifier_env,
    ) -> *mut bindings::bpf_verifier_log;
    pub fn moat_shim_log(log: *mut bindings::bpf_verifier_log, text: *const u8, len: u32) -> u32;
    pub fn moat_list_add(program: *const c_void) -> u32;
    pub fn moat_list_del(number: u32);
    fn moat_may_log(uid: u32) -> bool;
    fn moat_whoami(who: *mut Who);
    pub fn moat_shim_skb_is_simple(skb: *const c_void) -> bool;
    pub fn moat_shim_geometry(skb: *const c_void, geometry: *mut Geometry);
    pub fn moat_shim_xdp_geometry(xdp: *const c_void, geometry: *mut Geometry);
    pub fn moat_shim_mend(skb: *mut c_void, geometry: *const Geometry);
    pub fn moat_shim_is_blind() -> bool;
    pub fn moat_shim_make_one(skb: *mut c_void) -> bool;
    pub fn moat_shim_defuse(skb: *mut c_void);
    pub fn moat_counters_init() -> i32;
    pub fn moat_counters_exit();
    pub fn moat_watch_init() -> i32;
    pub fn moat_watch_exit();

    // gates.S: addresses only, never called from Rust.
    pub fn moat_enter();
    pub fn moat_enter_commit();
    pub fn moat_enter_jmp();
    pub fn moat_enter_jmp_end();
    pub fn moat_enter_load();
    pub fn moat_view_commit();
    pub fn moat_view_jmp();
    pub fn moat_view_jmp_end();
    pub fn moat_exit();
    pub fn moat_exit_open();
    pub fn moat_return();
    pub fn moat_return_open();
    pub fn moat_return_commit();
    pub fn moat_return_jmp();
    pub fn moat_return_jmp_end();
    pub fn moat_call_long();
    pub fn moat_audit();
    pub fn moat_stop();
    // The site to copy, and the places in it.
    pub fn moat_site_begin();
    pub fn moat_site_hole_site();
    pub fn moat_site_lean();
    pub fn moat_site_open();
    pub fn moat_site_hole_entry();
    pub fn moat_site_hole_frame();
    pub fn moat_site_hole_pkrs();
    pub fn moat_site_jmp();
    pub fn moat_site_hole_ret();
    pub fn moat_site_commit();
    pub fn moat_site_hole_site_long();
    pub fn moat_site_hole_long();
    pub fn moat_site_end();
}

/// `struct moat_clock`: what time it is on this CPU.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Clock {
    pub jiffies: u64,
    /// Jiffies in a second.
    pub hz: u64,
    /// Whether the CPU has had packets to see to for longer than the budget.
    pub busy: bool,
}

/// Address of something in `gates.S`.
pub fn addr(label: unsafe extern "C" fn()) -> u64 {
    label as usize as u64
}

/// `s` as Rust has it.
///
/// # Safety
///
/// `s` is a constant string of the kernel.
pub unsafe fn text(s: *const c_char) -> &'static str {
    // SAFETY: by contract of this function.
    let bytes = unsafe {
        let mut len = 0;
        while *s.add(len) != 0 {
            len += 1;
        }
        core::slice::from_raw_parts(s.cast::<u8>(), len)
    };
    core::str::from_utf8(bytes).unwrap_or("?")
}

/// Somebody who calls the kernel; numbers as in the initial namespaces.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Who {
    /// Of the process.
    pub pid: u32,
    pub tid: u32,
    pub uid: u32,
    pub comm: [u8; 16],
}

impl Who {
    /// Who does what is done here.  Context: process.
    pub fn am_i() -> Who {
        let mut who = Who {
            pid: 0,
            tid: 0,
            uid: 0,
            comm: [0; 16],
        };
        // SAFETY: there is room for it.
        unsafe { moat_whoami(&mut who) };
        who
    }

    /// Whether a message may be logged that is because of them: `limit.c`.  To be asked
    /// once for each.  Context: any.
    pub fn may_log(&self) -> bool {
        // SAFETY: any context.
        unsafe { moat_may_log(self.uid) }
    }
}

/// The slots of one program, on every CPU.
pub struct Slots(u64);

impl Slots {
    /// Zeroed; none if memory is short.  May sleep.
    pub fn new() -> Option<Slots> {
        // SAFETY: process context, as all callers are.
        match unsafe { moat_shim_alloc_slots() } {
            0 => None,
            slots => Some(Slots(slots)),
        }
    }

    /// Per-CPU address, for `moat_domain.slots`.
    pub fn addr(&self) -> u64 {
        self.0
    }

    /// Those of one possible CPU.
    pub fn of(&mut self, cpu: u32) -> &mut moat_cpu_slots {
        // SAFETY: ours, zeroed at first, borrowed as long as `self`.
        unsafe { &mut *moat_shim_cpu_slots(self.0, cpu) }
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        // SAFETY: allocated in `new`, freed once.
        unsafe { moat_shim_free_slots(self.0) }
    }
}

/// A zeroed array of plain C data in kernel memory.
///
/// `T` is only ever integers, or one of the `repr(C)` integer structures above, for
/// which all zeroes is a value.
pub struct Zeroed<T> {
    ptr: *mut T,
    len: usize,
}

impl<T: Copy> Zeroed<T> {
    /// Room for `len` of them; none if memory is short.  May sleep.
    pub fn new(len: usize) -> Option<Zeroed<T>> {
        let size = core::mem::size_of::<T>().checked_mul(len.max(1))?;
        // SAFETY: any size is fine.
        let ptr = unsafe { moat_shim_zalloc(size) }.cast::<T>();
        if ptr.is_null() {
            return None;
        }
        Some(Zeroed { ptr, len })
    }

    pub fn addr(&self) -> u64 {
        self.ptr as u64
    }

    pub fn slice(&self) -> &[T] {
        // SAFETY: `len` zeroed, hence valid, elements that we own.
        unsafe { core::slice::from_raw_parts(self.ptr, self.len) }
    }

    pub fn slice_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and `self` is borrowed for as long.
        unsafe { core::slice::from_raw_parts_mut(self.ptr, self.len) }
    }
}

impl<T> Drop for Zeroed<T> {
    fn drop(&mut self) {
        // SAFETY: allocated by moat_shim_zalloc(), freed once.
        unsafe { moat_shim_free(self.ptr.cast()) }
    }
}

/// A list of such, as large as programs are: `Vec` has memory that is physically one
/// piece, of 4 MiB at most.
pub struct Table<T> {
    room: Option<Zeroed<T>>,
    len: usize,
}

impl<T: Copy> Table<T> {
    pub const fn new() -> Table<T> {
        Table { room: None, len: 0 }
    }

    /// Makes room for one more; none if memory is short.  May sleep.
    pub fn reserve(&mut self) -> Option<()> {
        if self.room.as_ref().map_or(0, |room| room.slice().len()) == self.len {
            let mut room = Zeroed::new((2 * self.len).max(16))?;
            room.slice_mut()[..self.len].copy_from_slice(self);
            self.room = Some(room);
        }
        Some(())
    }

    /// As `reserve`.
    pub fn push(&mut self, item: T) -> Option<()> {
        self.reserve()?;
        self.room.as_mut()?.slice_mut()[self.len] = item;
        self.len += 1;
        Some(())
    }
}

impl<T: Copy> Deref for Table<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.room {
            Some(room) => &room.slice()[..self.len],
            None => &[],
        }
    }
}

impl<T: Copy> DerefMut for Table<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        let len = self.len;
        match &mut self.room {
            Some(room) => &mut room.slice_mut()[..len],
            None => &mut [],
        }
    }
}

/// `Box::try_new`, which needs an unstable feature.  May sleep.
pub fn try_box<T>(value: T) -> Option<Box<T>> {
    let mut one = Vec::new();
    one.try_push(value).ok()?;
    let mut one = core::mem::ManuallyDrop::new(one);
    // SAFETY: one initialised element at the start of an allocation of the global
    // allocator, whose `dealloc` does not look at the layout (rust/kernel/allocator.rs).
    Some(unsafe { Box::from_raw(one.as_mut_ptr()) })
}

/// Holds the lock over keys, addresses, maps and the list of programs.  Sleeps.
pub struct Lock(());

impl Lock {
    pub fn take() -> Lock {
        // SAFETY: process context, as all callers are.
        unsafe { moat_shim_lock() };
        Lock(())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // SAFETY: `take` took it.
        unsafe { moat_shim_unlock() }
    }
}
