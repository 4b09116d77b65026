// SPDX-License-Identifier: GPL-2.0
//! Memory that is handed to C or read by gates, and what Rust for Linux lacks.

use super::calls::nr_cpus;
use super::shims::{given_back, safe_shims};
use crate::edge::ffi::{self, moat_cpu_slots, moat_return_t, moat_site, page};
use crate::load::reason::Failure::NoMemory;
use crate::load::reason::Tried;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::num::NonZeroUsize;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use kernel::prelude::*;

safe_shims! {
    /// Null if memory is short, as below.
    fn zalloc(size: usize) -> *mut c_void = ffi::moat_shim_zalloc;
    fn alloc_page() -> *mut page = ffi::moat_shim_alloc_page;
    /// 0 if memory is short.
    fn alloc_slots() -> u64 = ffi::moat_shim_alloc_slots;
}

given_back! {
    Block => ffi::moat_shim_free, |block| block.0.get() as *mut c_void;
    Page => ffi::moat_shim_free_page, |page| page.0.as_ptr();
    Slots => ffi::moat_shim_free_slots, |slots| slots.0;
}

/// The slots of one program, on every CPU.
pub struct Slots(u64);

impl Slots {
    /// Zeroed; none if memory is short.  May sleep.
    pub fn new() -> Option<Slots> {
        match alloc_slots() {
            0 => None,
            slots => Some(Slots(slots)),
        }
    }

    /// Per-CPU address, for `moat_domain.slots`.
    pub fn addr(&self) -> u64 {
        self.0
    }

    /// How often runs have begun with them, on all CPUs.
    pub fn runs(&self) -> u64 {
        // SAFETY: liveness: ours.  C reads the words that gates count in.
        unsafe { ffi::moat_shim_runs(self.0) }
    }

    /// Those of one possible CPU; none if there cannot be such a CPU.
    pub fn of(&mut self, cpu: u32) -> Option<&mut moat_cpu_slots> {
        // SAFETY: a CPU that there can be; ours, zeroed at first, borrowed as long as `self`.
        (cpu < nr_cpus()).then(|| unsafe { &mut *ffi::moat_shim_cpu_slots(self.0, cpu) })
    }
}

/// Address of memory from `kvzalloc()`.
struct Block(NonZeroUsize);

/// Types for which all zeroes is a value.
///
/// # Safety
///
/// Initialisation: they are made of integers, pointers, and optional functions alone.
pub unsafe trait Zeroable: Copy {}

/// Says so of each of these types.
macro_rules! zeroable {
    ($($type:ty),*) => {$(
        // SAFETY: integers, pointers, optional functions, and structures of these.
        unsafe impl $crate::edge::memory::Zeroable for $type {}
    )*};
}
pub(super) use zeroable;

zeroable!(
    u64,
    (u32, u32),
    (u32, u32, u32),
    *mut page,
    moat_site,
    moat_return_t
);

/// A zeroed array of plain C data in kernel memory.
pub struct Zeroed<T> {
    block: Block,
    len: usize,
    of: PhantomData<T>,
}

impl<T: Zeroable> Zeroed<T> {
    /// Room for `len` of them; none if memory is short.  May sleep.
    pub fn new(len: usize) -> Option<Zeroed<T>> {
        let size = core::mem::size_of::<T>().checked_mul(len.max(1))?;
        Some(Zeroed {
            block: Block(NonZeroUsize::new(zalloc(size) as usize)?),
            len,
            of: PhantomData,
        })
    }

    pub fn addr(&self) -> u64 {
        self.ptr() as u64
    }

    fn ptr(&self) -> *mut T {
        self.block.0.get() as *mut T
    }

    pub fn slice(&self) -> &[T] {
        // SAFETY: initialisation: `len` elements that were zeroed, and `Zeroable` says that this
        // is a value.  Liveness, aliasing: ours, and borrowed as `self` is.
        unsafe { core::slice::from_raw_parts(self.ptr(), self.len) }
    }

    pub fn slice_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { core::slice::from_raw_parts_mut(self.ptr(), self.len) }
    }
}

/// A list of such, as large as programs are: `Vec` has memory that is physically one
/// piece, of 4 MiB at most.
pub struct Table<T> {
    room: Option<Zeroed<T>>,
    len: usize,
}

impl<T: Zeroable> Table<T> {
    pub const fn new() -> Table<T> {
        Table { room: None, len: 0 }
    }

    /// Makes room for one more; none if memory is short.  May sleep.
    pub fn reserve(&mut self) -> Option<()> {
        if self.room.as_ref().map_or(0, |room| room.slice().len()) == self.len {
            let mut room = Zeroed::new((2 * self.len).max(16))?;
            room.slice_mut()[..self.len].copy_from_slice(self);
            self.room = Some(room);
        }
        Some(())
    }

    /// As `reserve`.
    pub fn push(&mut self, item: T) -> Option<()> {
        self.reserve()?;
        self.room.as_mut()?.slice_mut()[self.len] = item;
        self.len += 1;
        Some(())
    }
}

impl<T: Zeroable> Deref for Table<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.room {
            Some(room) => &room.slice()[..self.len],
            None => &[],
        }
    }
}

impl<T: Zeroable> DerefMut for Table<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        let len = self.len;
        match &mut self.room {
            Some(room) => &mut room.slice_mut()[..len],
            None => &mut [],
        }
    }
}

/// `Box::try_new`, which needs an unstable feature.  May sleep.
#[inline(always)]
pub fn try_box<T>(value: T) -> Option<Box<T>> {
    let mut one = Vec::new();
    one.try_reserve_exact(1).ok()?;
    let mut one = core::mem::ManuallyDrop::new(one);
    let place: *mut T = one.as_mut_ptr();
    // SAFETY: room for one at the start of an allocation of the global allocator, whose
    // `dealloc` does not look at the layout (rust/kernel/allocator.rs); initialised here,
    // in place: a program is large, and moved by bytes.
    Some(unsafe {
        place.write(value);
        Box::from_raw(place)
    })
}

/// A page, mapped nowhere.
struct Page(NonNull<page>);

/// Zeroed pages.
pub struct Pages {
    pages: Zeroed<*mut page>,
    mapped: bool,
}

impl Pages {
    /// So many.  May sleep, and is charged to who loads a program.
    pub fn new(nr: usize) -> Tried<Pages> {
        let mut pages = Pages {
            pages: Zeroed::new(nr).ok_or(NoMemory)?,
            mapped: false,
        };
        for page in pages.pages.slice_mut() {
            *page = alloc_page();
            if page.is_null() {
                return Err(NoMemory);
            }
        }
        Ok(pages)
    }

    /// For who maps them.
    pub fn as_mut(&mut self) -> &mut [*mut page] {
        self.pages.slice_mut()
    }

    /// Says whether a program may reach them.
    pub fn are_mapped(&mut self, mapped: bool) {
        self.mapped = mapped;
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if self.mapped {
            // Pages that a program may still reach are nobody else's, ever.
            pr_err!("WARNING: memory that is still mapped is lost\n");
            return;
        }
        for &page in self.pages.slice() {
            drop(NonNull::new(page).map(Page));
        }
    }
}
