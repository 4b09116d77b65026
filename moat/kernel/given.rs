// SPDX-License-Identifier: GPL-2.0
//! Arguments of hooks, on their way from what C has to safe types.

use super::maps::{Gone, Map};
use crate::edge::ffi::{self, bpf_map, moat_fault};
use core::ffi::{c_char, c_void};
use core::fmt;
use core::marker::PhantomData;
use kernel::bindings::{bpf_verifier_log, llist_node, seq_file};

/// An argument of which is true, for as long as the call takes, what C says of it.
pub struct Given<C>(C);

impl<C> Given<C> {
    /// # Safety
    ///
    /// Liveness, alignment, initialisation: what it points to is as C says, for as long as
    /// what is made of this.  Aliasing: as the type that is made of it says.
    pub unsafe fn new(c: C) -> Given<C> {
        Given(c)
    }

    /// As C has it.
    pub fn get(self) -> C {
        self.0
    }
}

impl<T> Given<*const T> {
    /// What nobody changes for as long as the call takes.
    pub fn borrow<'a>(self) -> &'a T {
        // SAFETY: by contract of `Given::new`; nobody writes there meanwhile.
        unsafe { &*self.0 }
    }
}

impl<'a> From<Given<*const moat_fault>> for &'a moat_fault {
    fn from(given: Given<*const moat_fault>) -> &'a moat_fault {
        given.borrow()
    }
}

impl From<Given<u32>> for u32 {
    fn from(given: Given<u32>) -> u32 {
        given.0
    }
}

impl From<Given<u64>> for u64 {
    fn from(given: Given<u64>) -> u64 {
        given.0
    }
}

/// An address that is only compared.
impl From<Given<*const c_void>> for u64 {
    fn from(given: Given<*const c_void>) -> u64 {
        given.0 as u64
    }
}

/// A variable that is the hook's to change.
impl<'a> From<Given<*mut u32>> for &'a mut u32 {
    fn from(given: Given<*mut u32>) -> &'a mut u32 {
        // SAFETY: by contract of `Given::new`; it is the caller's, who waits.
        unsafe { &mut *given.0 }
    }
}

/// A variable that is the hook's to set; it need not be initialised.
pub struct Out<'a, T>(*mut T, PhantomData<&'a mut T>);

impl<T: Copy> Out<'_, T> {
    /// Sets it.
    pub fn set(self, value: T) {
        // SAFETY: by contract of `Given::new`; it is the caller's, who waits.
        unsafe { self.0.write(value) };
    }
}

impl<'a, T> From<Given<*mut T>> for Out<'a, T> {
    fn from(given: Given<*mut T>) -> Out<'a, T> {
        Out(given.0, PhantomData)
    }
}

impl<'a> From<Given<*mut bpf_map>> for Option<Map<'a>> {
    fn from(given: Given<*mut bpf_map>) -> Option<Map<'a>> {
        // SAFETY: by contract of `Given::new`: who calls has a reference on the map.
        unsafe { Map::new(given.0) }
    }
}

impl From<Given<*mut llist_node>> for Gone {
    fn from(given: Given<*mut llist_node>) -> Gone {
        // SAFETY: by contract of `Given::new`: the list is for us.
        unsafe { Gone::new(given.0) }
    }
}

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
        Log(given.0, PhantomData)
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
        Seq(given.0, PhantomData)
    }
}
