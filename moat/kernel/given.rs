// SPDX-License-Identifier: GPL-2.0
//! What C gives us, on its way to safe types: arguments of hooks, and what these lead to.

use crate::edge::ffi::moat_fault;
use crate::helpers::audit::Allegation;
use core::ffi::{c_char, c_void};
use core::marker::PhantomData;

/// Something of which is true, for as long as the call takes, what C says of it.  Types that
/// are made of it say what that has to be.
pub struct Given<C>(C);

impl<C> Given<C> {
    /// # Safety
    ///
    /// Liveness, alignment, initialisation: what it points to is as C says, for as long as
    /// what is made of this.  Aliasing, and whose it is from then on: as the type that is
    /// made of it says.
    #[inline(always)]
    pub unsafe fn new(c: C) -> Given<C> {
        Given(c)
    }

    /// As C has it.
    #[inline(always)]
    pub fn get(self) -> C {
        self.0
    }
}

impl<T> Given<*const T> {
    /// What nobody changes for as long as the call takes.
    #[inline(always)]
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

impl<'a> From<Given<*const [Allegation; 5]>> for &'a [Allegation; 5] {
    #[inline(always)]
    fn from(given: Given<*const [Allegation; 5]>) -> &'a [Allegation; 5] {
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

/// Registers that a gate has saved, and is to have anew.
impl<'a> From<Given<*mut [u64; 5]>> for &'a mut [u64; 5] {
    #[inline(always)]
    fn from(given: Given<*mut [u64; 5]>) -> &'a mut [u64; 5] {
        // SAFETY: by contract of `Given::new`; they are the gate's, which waits.
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

/// A constant string of the kernel.
impl From<Given<*const c_char>> for &'static str {
    fn from(given: Given<*const c_char>) -> &'static str {
        // SAFETY: by contract of `Given::new`: it is always there, and ends with a 0 byte;
        // nobody writes to it.
        let bytes = unsafe {
            let mut len = 0;
            while *given.0.add(len) != 0 {
                len += 1;
            }
            core::slice::from_raw_parts(given.0.cast::<u8>(), len)
        };
        core::str::from_utf8(bytes).unwrap_or("?")
    }
}
