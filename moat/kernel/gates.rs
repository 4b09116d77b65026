// SPDX-License-Identifier: GPL-2.0
//! `struct moat_domain`: what gates and entry code know of a program.
//!
//! They read it on any CPU, without locks, while the program runs.  C header:
//! `arch/x86/include/asm/moat.h`.

use super::off;
use crate::code::loading::Loading;
use crate::edge::ffi::{moat_domain, moat_image, moat_return_t, moat_site};
use core::cell::UnsafeCell;
use core::ptr::addr_of;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use kernel::bindings;

/// See the module documentation.
#[repr(transparent)]
pub struct Gates(UnsafeCell<moat_domain>);

// SAFETY: what changes once it is shared is changed by atomic stores.
unsafe impl Sync for Gates {}

/// A field, as an atomic if it may change while gates read it, or as it is if it is set
/// before the structure is shared.
macro_rules! field {
    ($self:ident.$field:ident as $type:ty) => {
        // SAFETY: liveness as `self`; integers are aligned and initialised; nobody has an
        // exclusive reference to the cell's content, and this one is to atomic memory, or to
        // what nobody writes any more.
        unsafe { &*(addr_of!((*$self.0.get()).$field) as *const $type) }
    };
}

/// What a site calls of what is attached to a function, which changes while programs run.
struct Attached<'a> {
    called: &'a AtomicU64,
    traced: &'a AtomicU64,
    domain: &'a AtomicU64,
}

impl Gates {
    #[inline(always)]
    pub const fn new(domain: moat_domain) -> Gates {
        Gates(UnsafeCell::new(domain))
    }

    /// All of it, before it is shared.
    pub fn edit(&mut self) -> &mut moat_domain {
        self.0.get_mut()
    }

    /// For the JIT and for sites.
    pub fn as_ptr(&self) -> *const moat_domain {
        self.0.get()
    }

    /// `MOAT_DOM_*`
    pub fn flags(&self) -> &AtomicU32 {
        field!(self.flags as AtomicU32)
    }

    /// PKRS in a keyed run.
    pub fn pkrs(&self) -> &AtomicU32 {
        field!(self.pkrs as AtomicU32)
    }

    /// CR3 in a viewed run, or 0: there is no view.
    pub fn view_cr3(&self) -> &AtomicU64 {
        field!(self.view_cr3 as AtomicU64)
    }

    /// Where its slots are, as (first address, bytes).
    #[inline(always)]
    pub fn area(&self) -> (u64, u64) {
        let low = *field!(self.slot_lo as u64);
        (low, *field!(self.slot_hi as u64) - low)
    }

    /// Per-CPU address of its `struct moat_cpu_slots`, or 0.
    pub fn slots(&self) -> u64 {
        *field!(self.slots as u64)
    }

    /// The calls of images, which stay where they are from now on.
    pub fn set_sites(&self, sites: &[moat_site]) {
        field!(self.sites as AtomicU64).store(sites.as_ptr() as u64, Ordering::Relaxed);
        field!(self.nr_sites as AtomicU64).store(sites.len() as u64, Ordering::Relaxed);
    }

    /// Where local calls go on; as above.
    pub fn set_returns(&self, returns: &[moat_return_t]) {
        field!(self.returns as AtomicU64).store(returns.as_ptr() as u64, Ordering::Relaxed);
        let numbers = match off::returns() {
            true => u64::MAX,
            false => returns.len() as u64,
        };
        field!(self.nr_returns as AtomicU64).store(numbers, Ordering::Relaxed);
    }

    /// Where its stub leaves for another program by a tail call, or 0.
    pub fn set_tail(&self, tail: u64) {
        field!(self.tail as AtomicU64).store(tail, Ordering::Relaxed);
    }

    /// Whether its stub does.
    pub fn has_tail(&self) -> bool {
        field!(self.tail as AtomicU64).load(Ordering::Relaxed) != 0
    }

    /// What is in the place of its function with image number `image` is entered at `entry`,
    /// and has the domain `domain`, or is not isolated; 0: nothing is there.
    pub fn extend(&self, image: u32, entry: u64, domain: u64) {
        self.each_site(image, bindings::moat_call_MOAT_CALL_EXT, |site| {
            site.domain.store(domain, Ordering::Relaxed);
            site.called.store(entry, Ordering::Release);
        });
    }

    /// What traces that function has trampolines at `enter` and `leave`; 0: nothing does.
    pub fn trace(&self, image: u32, enter: u64, leave: u64) {
        self.each_site(image, bindings::moat_call_MOAT_CALL_EXT, |site| {
            site.traced.store(enter, Ordering::Release);
        });
        self.each_site(image, bindings::moat_call_MOAT_CALL_TRACED, |site| {
            site.called.store(leave, Ordering::Release);
        });
    }

    /// Does `what` with the sites of image `image` that are the call `id`.
    fn each_site(&self, image: u32, id: u32, what: impl Fn(Attached<'_>)) {
        let image = match self.images().get(image as usize) {
            Some(image) => image,
            None => return,
        };
        let sites = *field!(self.sites as u64) as *const moat_site;
        for i in 0..*field!(self.nr_sites as u64) as usize {
            // SAFETY: `set_sites` was called: so many of them, initialised, which are a part
            // of the program.
            let (of, ip) = unsafe {
                let site = sites.add(i);
                (addr_of!((*site).id).read(), addr_of!((*site).ret.ip).read())
            };
            if of == u64::from(id) && ip.wrapping_sub(image.start) < image.len {
                // SAFETY: as above.  Aliasing: these fields of a site with such an id are read
                // and written by atomic accesses only.
                what(unsafe {
                    let site = sites.add(i);
                    Attached {
                        called: &*(addr_of!((*site).map) as *const AtomicU64),
                        traced: &*(addr_of!((*site).traced) as *const AtomicU64),
                        domain: &*(addr_of!((*site).func) as *const AtomicU64),
                    }
                });
            }
        }
    }

    /// Lets the program run, whose last image `loading` has got, and which that is a part of.
    pub fn let_run(&self, loading: &Loading) {
        let images: &[moat_image] = &loading.images;
        field!(self.images as AtomicU64).store(images.as_ptr() as u64, Ordering::Relaxed);
        field!(self.nr_images as AtomicU32).store(images.len() as u32, Ordering::Release);
        if let Some(main) = images.first() {
            // A run before this would have ended at its first instruction.
            field!(self.body as AtomicU64).store(main.start, Ordering::Release);
        }
    }

    /// Its code, once it can run.
    pub fn images(&self) -> &[moat_image] {
        let len = field!(self.nr_images as AtomicU32).load(Ordering::Acquire);
        if len == 0 {
            return &[];
        }
        let images = field!(self.images as AtomicU64).load(Ordering::Relaxed);
        // SAFETY: `let_run` was called: `len` of them, initialised.  Liveness, aliasing: they
        // are a part of the program, as this is, which takes no image after the last.
        unsafe { core::slice::from_raw_parts(images as *const moat_image, len as usize) }
    }
}
