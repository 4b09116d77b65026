// SPDX-License-Identifier: GPL-2.0
//! `rust/kernel/prelude.rs`, as far as it is used.

use crate::memory;
use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

pub use crate::pr_err;
pub use std::boxed::Box;

/// There was no memory.
#[derive(Debug)]
pub struct NoMemory;

/// A vector that grows only where that may fail.
///
/// It never has more room than it was asked for: a push that nobody made room for
/// allocates, and so may fail.
#[derive(PartialEq, Eq, Debug)]
pub struct Vec<T>(std::vec::Vec<T>);

impl<T> Vec<T> {
    pub const fn new() -> Vec<T> {
        Vec(std::vec::Vec::new())
    }

    pub fn try_reserve(&mut self, more: usize) -> Result<(), NoMemory> {
        if self.0.capacity() - self.0.len() < more {
            if memory::fails() {
                return Err(NoMemory);
            }
            self.0.reserve_exact(more);
        }
        Ok(())
    }

    pub fn try_reserve_exact(&mut self, more: usize) -> Result<(), NoMemory> {
        self.try_reserve(more)
    }

    pub fn try_push(&mut self, item: T) -> Result<(), NoMemory> {
        self.try_reserve(1)?;
        self.0.push(item);
        Ok(())
    }

    pub fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    pub fn retain(&mut self, which: impl FnMut(&T) -> bool) {
        self.0.retain(which);
    }
}

impl<T: PartialEq> Vec<T> {
    pub fn dedup(&mut self) {
        self.0.dedup();
    }
}

impl<T> Default for Vec<T> {
    fn default() -> Vec<T> {
        Vec::new()
    }
}

impl<T> Deref for Vec<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for Vec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<'a, T> IntoIterator for &'a Vec<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

thread_local! {
    static MESSAGES: RefCell<std::vec::Vec<String>> = const { RefCell::new(std::vec::Vec::new()) };
}

/// To the kernel log.
#[macro_export]
macro_rules! pr_err {
    ($($format:tt)*) => {
        $crate::prelude::log(::std::format!($($format)*))
    };
}

#[doc(hidden)]
pub fn log(message: String) {
    MESSAGES.with_borrow_mut(|messages| messages.push(message));
}

/// What was logged since it was asked last.
pub fn messages() -> std::vec::Vec<String> {
    MESSAGES.take()
}
