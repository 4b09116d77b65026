// SPDX-License-Identifier: GPL-2.0
//! How much there is left of the kernel's stack.
//!
//! C header: `include/linux/moat_stack.h`.

use super::{ffi, off};

/// Bytes: what a helper, the network stack up to the next program, and interrupts take, with
/// something to spare. Callbacks, seven in one another, leave it where a task sends.
const ROOM: u64 = 4096;

/// Whether a run may have the kernel go deeper: into another program, or one of its own
/// functions.  If not that is counted, as `too_deep`.  Context: a run, PKRS open.
#[inline(never)]
pub fn has_room() -> bool {
    // SAFETY: looks at nothing but where the stack is that it is on; any context.
    if unsafe { ffi::moat_stack_left() } >= ROOM || off::stack_room() {
        return true;
    }
    // SAFETY: counts for this CPU, which a run does not leave.
    unsafe { ffi::moat_count_too_deep() };
    false
}
