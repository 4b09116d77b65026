// SPDX-License-Identifier: GPL-2.0
//! Maps of maps change: what goes in is announced, and what was done is looked at.

use crate::books::{books, Change, Checked, Map};
use crate::domains::domains;
use crate::ffi::Lock;
use crate::system::{Ended, System};
use crate::victims::Victims;
use kernel::bindings::{bpf_map_inc, bpf_map_put};
use kernel::memory::Shortage;
use std::ptr::null_mut;

impl System {
    /// `map` is about to be put into `outer`, or something is about to be taken out.
    pub fn begin(
        &mut self,
        outer: Map,
        announced: Option<Map>,
        shortage: Option<Shortage>,
    ) -> Checked {
        if books(|books| books.change.is_some()) {
            return Ok(());
        }
        let change = Change {
            outer,
            announced,
            removed: Vec::new(),
        };
        books(|books| books.change = Some(change));
        if let Some(map) = announced {
            // SAFETY: the kernel holds it until the end.
            unsafe { bpf_map_inc(map) };
            let begin = || domains(&mut Lock::take()).inner_begin(outer, map);
            if self.attempt(shortage, begin)? == Ended::Failed {
                self.close();
            }
        }
        self.finish()
    }

    /// Puts `map` into a slot of what is being changed, or NULL.
    pub fn write(&mut self, slot: usize, map: Map) {
        books(|books| {
            let Some(change) = &mut books.change else {
                return;
            };
            // SAFETY: maps outlive the system, and those in slots are referred to.
            unsafe {
                let inner = &mut (*change.outer).inner;
                let slot = slot % inner.len();
                if !map.is_null() {
                    bpf_map_inc(map);
                }
                let old = std::mem::replace(&mut inner[slot], map);
                if !old.is_null() {
                    change.removed.push(old);
                    bpf_map_put(old);
                }
            }
        });
    }

    /// What was said to be put there, or NULL.
    pub fn announced(&self) -> Map {
        books(|books| books.change.as_ref().and_then(|change| change.announced))
            .unwrap_or(null_mut())
    }

    /// What was begun is over.
    pub fn end(&mut self, shortage: Option<Shortage>) -> Checked {
        let Some(outer) = books(|books| books.change.as_ref().map(|change| change.outer)) else {
            return Ok(());
        };
        let before = Victims::possible(outer);
        self.call(shortage, || domains(&mut Lock::take()).inner_end(outer));
        self.close();
        before.check()?;
        self.finish()
    }

    fn close(&mut self) {
        let change = books(|books| books.change.take());
        if let Some(map) = change.and_then(|change| change.announced) {
            // SAFETY: `begin` took it.
            unsafe { bpf_map_put(map) };
        }
    }
}
