// SPDX-License-Identifier: GPL-2.0
//! What text is written to: the verifier's log, files that are open.
//!
//! Context: process.

use super::given::Given;
use crate::edge::ffi;
use core::ffi::c_char;
use core::fmt;
use core::marker::PhantomData;
use kernel::bindings::{bpf_verifier_log, seq_file};

/// The log of the verifier, or none.
#[derive(Clone, Copy)]
pub struct Log<'a>(*mut bpf_verifier_log, PhantomData<&'a bpf_verifier_log>);

impl<'a> Log<'a> {
    /// There is none.
    pub fn none() -> Log<'a> {
        Log(core::ptr::null_mut(), PhantomData)
    }

    /// Writes `text`.  0 if there is no log, 1 if some of it was cut off, or 2.
    pub fn write(self, text: &[u8]) -> u32 {
        // SAFETY: by contract of `Given::new`: null, or open and the caller's, who waits;
        // the text is read only.
        unsafe { ffi::moat_shim_log(self.0, text.as_ptr().cast::<c_char>(), text.len() as u32) }
    }
}

impl<'a> From<Given<*mut bpf_verifier_log>> for Log<'a> {
    fn from(given: Given<*mut bpf_verifier_log>) -> Log<'a> {
        Log(given.get(), PhantomData)
    }
}

/// A file that is open for the call, to write to.
pub struct Seq<'a>(*mut seq_file, PhantomData<&'a seq_file>);

impl fmt::Write for Seq<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: by contract of `Given::new`: the file is open; the text is read only.
        unsafe { ffi::moat_shim_seq_write(self.0, text.as_ptr().cast(), text.len()) };
        Ok(())
    }
}

impl<'a> From<Given<*mut seq_file>> for Seq<'a> {
    fn from(given: Given<*mut seq_file>) -> Seq<'a> {
        Seq(given.get(), PhantomData)
    }
}
