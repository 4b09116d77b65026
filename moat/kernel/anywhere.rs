// SPDX-License-Identifier: GPL-2.0
//! What any thread may have, though there are pointers in it.

/// Says so of each of these types.  They are the kernel's to look after: shared references
/// only pass the pointers on, or read what anybody may read at any time, and dropping one
/// needs the context that is said there, but no certain thread.
macro_rules! anywhere {
    ($($type:ty),*) => {$(
        // SAFETY: see above.
        unsafe impl Send for $type {}
        // SAFETY: as above.
        unsafe impl Sync for $type {}
    )*};
}
pub(super) use anywhere;
