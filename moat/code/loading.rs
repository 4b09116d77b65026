// SPDX-License-Identifier: GPL-2.0
//! What the JIT tells of a program, for as long as its images may run.
//!
//! Only the thread that loads the program has it, in a JIT hook; gates and runs find the
//! buffers through [`Gates`](crate::edge::gates::Gates).

use crate::edge::ffi;
use crate::edge::memory::{Table, Zeroed};
use kernel::prelude::*;

/// A call: the number of the image, and of the call in the image.
pub type Name = (u32, u32);

/// The name of a call, and the function that it calls.
pub type LocalCall = (u32, u32, u32);

/// See the module documentation.
pub struct Loading {
    /// Calls of helpers, ordered by their names.
    pub sites: Table<ffi::moat_site>,
    pub site_names: Table<Name>,
    /// Local calls, as above.
    pub returns: Table<ffi::moat_return_t>,
    pub local_calls: Table<LocalCall>,
    pub images: Vec<ffi::moat_image>,
    /// Where instructions begin, a bitmap for each image.
    pub boundaries: Vec<Zeroed<u64>>,
    /// Where images jump to that may be the start of others.
    pub called: Vec<u64>,
    /// What went wrong first, a negative error.
    pub failed: Option<i32>,
}

impl Loading {
    #[inline(always)]
    pub const fn new() -> Loading {
        Loading {
            sites: Table::new(),
            site_names: Table::new(),
            returns: Table::new(),
            local_calls: Table::new(),
            images: Vec::new(),
            boundaries: Vec::new(),
            called: Vec::new(),
            failed: None,
        }
    }
}
