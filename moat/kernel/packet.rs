// SPDX-License-Identifier: GPL-2.0
//! The packet of a run as the kernel has it: `struct sk_buff` or `struct xdp_buff`.
//!
//! It is the context that the program was called with, and as such alive, and this run's
//! alone, as long as that.  Rust has no reference to it or into it: all that is done with
//! it, C does.  Context: as in `invocation.rs`.

use super::invocation::Run;
use super::off;
use crate::edge::ffi;
use crate::helpers::contract::Uncovers;
use crate::helpers::geometry::Geometry;
use crate::prog_types::Context;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::mem::MaybeUninit;

/// A socket buffer.
#[derive(Clone, Copy)]
pub struct SkBuff<'a>(*mut c_void, PhantomData<&'a ()>);

/// A buffer of XDP.
#[derive(Clone, Copy)]
pub struct XdpBuff<'a>(*mut c_void, PhantomData<&'a ()>);

/// What the program's type says the context is.
#[derive(Clone, Copy)]
pub enum Packet<'a> {
    /// `struct sk_buff`
    Skb(SkBuff<'a>),
    /// `struct xdp_buff`
    Xdp(XdpBuff<'a>),
    /// There is none.
    None,
}

/// Functions of `kernel/shims.h` about packets of one kind, as methods.
macro_rules! of_packets {
    ($packet:ident: $(
        $(#[$doc:meta])*
        $vis:vis fn $name:ident(self $(, $arg:ident: $ty:ty)*) $(-> $ret:ty)?
            = $shim:ident($($pass:expr),*);
    )*) => {
        impl $packet<'_> {$(
            $(#[$doc])*
            #[inline(always)]
            $vis fn $name(self $(, $arg: $ty)*) $(-> $ret)? {
                // SAFETY: liveness and aliasing: see the module documentation; references
                // live for as long as the call, and are to structures that C has the same
                // layout of: `checks/layouts.rs`.  Kinds are not mixed up: who makes a packet has
                // looked, or says so.
                unsafe { ffi::$shim(self.0 $(, $pass)*) }
            }
        )*}
    };
}

of_packets! { SkBuff:
    /// Where the packet starts.
    pub fn data(self) -> u64 = moat_shim_skb_data();
    /// How many bytes of it are in one piece there.
    pub fn headlen(self) -> u32 = moat_shim_skb_headlen();
    /// Where its metadata starts, if it has some that is sound, or the packet.
    fn start(self) -> u64 = moat_shim_skb_start();
    /// The socket that it is of, or 0.
    pub fn socket(self) -> u64 = moat_shim_skb_socket();
    /// The bits of its line.
    pub fn line(self) -> u32 = moat_shim_skb_line();
    /// It and its clones have the line with these bits now.
    pub fn set_line(self, bits: u32) = moat_shim_set_skb_line(bits);
    /// Whether nothing is special about it that helpers which write have to know.
    pub fn is_simple(self) -> bool = moat_shim_skb_is_simple();
    /// Makes one buffer of a list that cannot be segmented once it is written to, if there is
    /// memory.  True if it is another one now; the context has to be loaded again then.
    pub fn make_one(self) -> bool = moat_shim_make_one();
    /// A helper has broken it: makes it one that can be dropped.
    pub fn defuse(self) = moat_shim_defuse();
    fn measure(self, shape: &mut MaybeUninit<Geometry>)
        = moat_shim_geometry(shape.as_mut_ptr().cast());
    /// Its offsets become those of `shape`, within its own buffer.
    pub fn mend(self, shape: &Geometry) = moat_shim_mend((shape as *const Geometry).cast());
}

of_packets! { XdpBuff:
    /// Where the packet starts, or its metadata if `meta` and if there can be any.
    fn start(self, meta: bool) -> u64 = moat_shim_xdp_start(meta);
    fn measure(self, shape: &mut MaybeUninit<Geometry>)
        = moat_shim_xdp_geometry(shape.as_mut_ptr().cast());
}

impl<'a> Packet<'a> {
    /// It, if it is a socket buffer.
    #[inline(always)]
    pub fn skb(self) -> Option<SkBuff<'a>> {
        match self {
            Packet::Skb(skb) => Some(skb),
            Packet::Xdp(_) | Packet::None => None,
        }
    }
}

impl Run<'_> {
    /// The packet.
    #[inline(always)]
    pub fn packet(&self) -> Packet<'_> {
        match self.program.row.context {
            Context::SkBuff => Packet::Skb(SkBuff(self.ctx(), PhantomData)),
            Context::XdpBuff => Packet::Xdp(XdpBuff(self.ctx(), PhantomData)),
            Context::SeccompData => Packet::None,
        }
    }

    /// The shape of the packet.
    pub fn geometry(&self) -> Geometry {
        let mut shape = MaybeUninit::uninit();
        match self.packet() {
            Packet::Skb(skb) => skb.measure(&mut shape),
            Packet::Xdp(xdp) => xdp.measure(&mut shape),
            Packet::None => return Geometry::default(),
        }
        // SAFETY: C has written all of the structure.
        unsafe { shape.assume_init() }
    }

    /// Where what the program may see begins: the metadata, or the packet.
    pub fn start(&self) -> u64 {
        match self.packet() {
            Packet::Skb(skb) => skb.start(),
            Packet::Xdp(xdp) => xdp.start(true),
            Packet::None => 0,
        }
    }

    /// Notes where what the program is given begins.  What is before that is old
    /// kernel memory, until the program has been there.
    #[cold]
    #[inline(never)]
    pub fn begin_at_start(&self) {
        self.covered().set(self.start());
    }

    /// After a helper that may have moved the start of the packet, or of its metadata,
    /// to old kernel memory: clears that, in the kernel's buffer, since the program is
    /// not the only one who may see it.
    pub fn cover(&self, what: Uncovers) {
        let start = self.start();
        let covered = self.covered().get();
        let (from, to) = match (self.packet(), what) {
            (Packet::Xdp(_), Uncovers::Nothing) | (Packet::None, _) => return,
            // Metadata moved along, and is between its start and the packet's.
            (Packet::Xdp(xdp), Uncovers::Head) => (xdp.start(false), covered),
            (Packet::Xdp(_), Uncovers::Meta) => (start, covered),
            // What the packet got more, the helper has filled in.
            (Packet::Skb(skb), _) => (start, covered.min(skb.data())),
        };
        if from < to && !off::old_memory() {
            // SAFETY: the kernel's own pointers, as only it and `begin_at_start` write
            // `covered`.  What is between them is in the packet's buffer and before its
            // first byte so far.  If a socket buffer has another buffer now, it has no
            // metadata: that starts at the packet.
            unsafe { ffi::moat_shim_zero(from, to) };
        }
        self.covered().set(covered.min(start));
    }
}
