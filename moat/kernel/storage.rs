// SPDX-License-Identifier: GPL-2.0
//! Values of maps that belong to cgroups.
//!
//! C header: [`include/linux/moat.h`], `kernel/bpf/moat_storage.c`.  Context: as in
//! `invocation.rs`.

use super::invocation::Run;
use super::off;
use crate::helpers::audit::MapInfo;
use kernel::bindings;

/// Whether the cgroup that the run is for, which has a context, has a value of `map`, one of
/// a type whose values belong to cgroups.
#[inline(always)]
pub fn is_here(_run: &Run<'_>, map: &MapInfo) -> bool {
    // SAFETY: the program uses the map.  A program that may call the helper is of cgroups, or in
    // the place of a function of one: what runs it has said for which, and waits.
    off::storage()
        || unsafe { bindings::moat_storage_is_here(map.kernel as *const bindings::bpf_map) }
}
