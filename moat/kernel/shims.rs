// SPDX-License-Identifier: GPL-2.0
//! Safe functions for what C offers: one argument for all that are alike.

/// Functions of C that may be called at any time, with any arguments: they take numbers,
/// check or only note them, and give back what is nobody else's.  That the context is one in
/// which they may sleep, where they do, is up to who calls, as for everything in a kernel.
macro_rules! safe_shims {
    ($(
        $(#[$doc:meta])*
        $vis:vis fn $name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $shim:path;
    )*) => {$(
        $(#[$doc])*
        #[inline(always)]
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            // SAFETY: see the macro.
            unsafe { $shim($($arg),*) }
        }
    )*};
}

/// Types that own what C has made or done for them, and that it takes back with a function:
/// once, when they are dropped.
macro_rules! given_back {
    ($($type:ty => $free:path $(, |$it:ident| $what:expr)?;)*) => {$(
        impl Drop for $type {
            #[inline]
            fn drop(&mut self) {
                $(let $it = &*self;)?
                // SAFETY: liveness: it is made by the function's counterpart, for this value
                // alone, which nobody can copy; nobody has a reference to what is dropped.
                unsafe { $free($($what)?) };
            }
        }
    )*};
}

pub(crate) use {given_back, safe_shims};
