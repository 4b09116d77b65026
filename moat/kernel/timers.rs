// SPDX-License-Identifier: GPL-2.0
//! Timers of map values, which are the kernel's.
//!
//! C header: [`include/linux/moat.h`], `kernel/bpf/moat_timer.c`; `moat/kernel/timers.c`.
//! Context: as in `invocation.rs`.

use super::invocation::Run;
use super::site::Site;
use crate::edge::ffi::{self, moat_image};
use crate::helpers::audit::{Allegation, MapInfo};
use core::marker::PhantomData;
use kernel::bindings;

/// The timer of a value: `struct bpf_timer`, as the kernel has it.
pub struct Timer<'a>(u64, PhantomData<&'a MapInfo>);

/// That of the value that is `off` bytes into those of `map`, which have timers, and of which
/// one begins there; none where they have no pages yet.
#[inline(always)]
pub fn at(map: &MapInfo, off: u64) -> Option<Timer<'_>> {
    let kernel = map.kernel as *const bindings::bpf_map;
    // SAFETY: the program uses the map, which serves isolated programs since this one was
    // admitted; there is a timer for each place where a value may begin, and has pages.
    let timer = unsafe {
        match off < bindings::moat_map_there(kernel) {
            true => bindings::moat_timer_at(kernel, off),
            false => return None,
        }
    };
    Some(Timer(timer as u64, PhantomData))
}

/// Calls of the helper that a site is of, after its audit.
impl Site<'_> {
    /// `bpf_timer_init()`, of a timer of `map`.
    #[inline(always)]
    pub fn init_timer(self, timer: &Timer<'_>, map: &MapInfo, flags: Allegation) -> u64 {
        self.on_timer([timer.0, map.kernel, flags.0, 0, 0])
    }

    /// `bpf_timer_set_callback()`, with a function of the program that makes the call.
    #[inline(always)]
    pub fn set_callback(self, timer: &Timer<'_>, image: &moat_image, run: &Run<'_>) -> u64 {
        let aux = run.program.aux().addr();
        self.on_timer([timer.0, image as *const moat_image as u64, aux, 0, 0])
    }

    /// `bpf_timer_start()`
    #[inline(always)]
    pub fn start_timer(self, timer: &Timer<'_>, ns: Allegation, flags: Allegation) -> u64 {
        self.on_timer([timer.0, ns.0, flags.0, 0, 0])
    }

    /// `bpf_timer_cancel()`
    #[inline(always)]
    pub fn cancel_timer(self, timer: &Timer<'_>, run: &Run<'_>) -> u64 {
        // SAFETY: as below; the run is the current one.
        unsafe { ffi::moat_shim_cancel_timer(run.as_ptr(), self.func(), timer.0) }
    }

    #[inline(always)]
    fn on_timer(self, args: [u64; 5]) -> u64 {
        // SAFETY: `func` is the helper's, which the caller names.  The timer and its map, or the
        // program, which has the image for as long as it is there, are the kernel's; the rest
        // are numbers, which it checks.
        unsafe { ffi::moat_shim_call(self.func(), args.as_ptr()) }
    }
}
