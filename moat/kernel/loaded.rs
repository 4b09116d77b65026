// SPDX-License-Identifier: GPL-2.0
//! A program, as who loads and frees it has it.
//!
//! Before it is admitted that is a `Box`, and nobody else has a reference.  From then on
//! there are shared references only, until nobody has one any more.  Context: process, and
//! the lock is free.

use super::counters::{moat_freed, moat_loaded};
use super::held::Held;
use super::lock::Locked;
use crate::run::program::Program;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use kernel::prelude::*;

/// A program that others may know of.  To be dropped when no run of it is left.
#[must_use = "dropping this frees the program"]
pub struct Loaded(Held<Program>);

impl Loaded {
    /// From here on nobody has it alone.
    pub fn new(program: Box<Program>) -> Loaded {
        Loaded(Held::new(program))
    }

    /// For the state, which alone is given this, and gives it up when this is dropped.
    pub fn share(&self) -> Held<Program> {
        self.0
    }

    /// For C to keep, until `prog.rs` makes one of it again.
    pub fn into_raw(self) -> *mut Program {
        ManuallyDrop::new(self).0.as_ptr()
    }

    /// What `into_raw` gave, of a program that C does not keep any more.
    pub(super) fn from_raw(program: NonNull<Program>) -> Loaded {
        Loaded(Held::from_ptr(program))
    }
}

impl Deref for Loaded {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.0
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        let left = Locked::take().leave(self);
        drop(left);
        // SAFETY: of a box, and freed once.  Aliasing: it has left the state, which alone had
        // references.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        moat_freed.fetch_add(1, Ordering::Relaxed);
        moat_loaded.fetch_sub(1, Ordering::Release);
    }
}
