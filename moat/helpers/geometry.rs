// SPDX-License-Identifier: GPL-2.0
//! What helpers do to the shape of a socket buffer, and what they must not.
//!
//! A `sk_buff` says in 16-bit offsets from the start of its buffer where its headers
//! are.  The helpers add to them and subtract from them one call at a time; none sees
//! the sum.  [`model`] says what a call would make of a packet, in numbers that do not
//! wrap, [`judge`] whether what became of one may stay so, relative to what it was:
//! real packets have stale offsets, which are nobody's fault.  So the same judgement
//! serves before a call and after it.
//!
//! Source: `net/core/filter.c`, `net/core/skbuff.c`, `include/linux/if_vlan.h`.

pub(crate) mod leave;
pub(crate) mod model;

pub use model::model;
use model::{ENCAP_L4_GRE, ENCAP_L4_UDP};

/// An offset that is not set: `skb_mac_header_was_set()`.
pub const UNSET: i64 = 0xffff;
/// The furthest into the buffer that a header may get, in bytes: the stack looks for
/// more headers behind it, and keeps their places in 16 bits, too.
pub const TOP: i64 = UNSET - 0x2000;
/// `GSO_MAX_SIZE`, in bytes.
pub(crate) const GSO_MAX_SIZE: i64 = 8 * 65535;
/// `TCP_MIN_GSO_SIZE`, in bytes.
pub(crate) const GSO_MIN: i64 = 8;
/// `GSO_BY_FRAGS`: what `skb_segment()` takes for "as in the list".
pub(crate) const GSO_BY_FRAGS: i64 = 0xffff;
/// `ETH_HLEN`, which `eth_type_trans()` pulls.
pub(crate) const ETH_HLEN: i64 = 14;
pub const ETH_P_IP: i64 = 0x0800;
pub const ETH_P_IPV6: i64 = 0x86dd;
/// `SKB_GSO_*`
pub const GSO_TCPV4: i64 = 1 << 0;
pub const GSO_DODGY: i64 = 1 << 1;
pub const GSO_TCPV6: i64 = 1 << 4;
pub const GSO_GRE: i64 = 1 << 6;
pub const GSO_UDP_TUNNEL: i64 = 1 << 10;
pub const GSO_UDP_L4: i64 = 1 << 17;
pub const GSO_FRAGLIST: i64 = 1 << 18;

/// Its data is also another buffer's: `skb_cloned()`.
pub const CLONED: i64 = 1 << 0;
/// `skb_header_cloned()`
pub const HEADER_CLONED: i64 = 1 << 1;
/// `skb_shared()`: `pskb_expand_head()` would be a BUG.
pub const SHARED: i64 = 1 << 2;
/// `CHECKSUM_PARTIAL`
pub const PARTIAL: i64 = 1 << 3;
/// `skb->encapsulation`
pub const ENCAP: i64 = 1 << 4;
/// `skb_vlan_tag_present()`
pub const TAGGED: i64 = 1 << 5;
/// `skb_has_frag_list()`
pub const LIST: i64 = 1 << 6;
/// A buffer of that list has bytes that are not in fragments.
pub const LINEAR_LIST: i64 = 1 << 7;
/// This kernel can segment what was pulled out of a `frag_list`.
pub const LIST_FIXED: i64 = 1 << 8;
/// `CHECKSUM_UNNECESSARY`
pub const UNNECESSARY: i64 = 1 << 9;
/// `skb_at_tc_ingress()`
pub const INGRESS: i64 = 1 << 10;

/// The shape of a packet: offsets from the start of its buffer, and lengths, in bytes.
///
/// C header: `moat/kernel/shims.h`, `struct moat_geometry`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Geometry {
    pub data: i64,
    pub tail: i64,
    pub end: i64,
    pub len: i64,
    pub data_len: i64,
    pub mac: i64,
    pub network: i64,
    pub transport: i64,
    pub inner_mac: i64,
    pub inner_network: i64,
    pub inner_transport: i64,
    /// Where the sum is from, and what follows its place.
    pub csum_start: i64,
    pub csum_end: i64,
    pub mac_len: i64,
    pub gso_size: i64,
    pub gso_type: i64,
    /// In the host's order.
    pub protocol: i64,
    pub csum_level: i64,
    /// `SKB_MAX_ALLOC`
    pub max_len: i64,
    pub flags: i64,
}

/// Which helper it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    Store,
    Csum,
    Level,
    Clone,
    VlanPush,
    VlanPop,
    Proto,
    Tail,
    Pull,
    Head,
    Room,
    /// `bpf_xdp_adjust_head()`, the one helper of XDP that can move a start out of what a
    /// socket buffer made of it can tell.
    XdpHead,
}

pub(crate) const EFAULT: i64 = 14;
pub(crate) const EINVAL: i64 = 22;
pub(crate) const ERANGE: i64 = 34;
pub(crate) const EBADMSG: i64 = 74;
pub(crate) const ENOTSUPP: i64 = 524;

/// What is wrong with a packet, or would be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// A header is further into the buffer than 16 bits can say, or before it.
    Offset,
    /// Lengths and the buffer do not go together.
    Bounds,
    /// Headers are not in the order they were in.
    Order,
    /// Headers are not, or no longer, in the linear part.
    Linear,
    /// The checksum that is yet to be computed, or its place, is outside.
    Csum,
    /// A GSO packet's checksums would be neither verified nor pending.
    Unsummed,
    /// Segments of a size that cannot be.
    Gso,
    /// A list of buffers put together by GRO, which could not be segmented afterwards.
    List,
    /// `skb_shared()`
    Shared,
}

impl Why {
    /// What the packet has, or would have.
    pub fn text(self) -> &'static str {
        match self {
            Why::Offset => "headers beyond 64 KiB of its buffer",
            Why::Bounds => "more than its buffer holds",
            Why::Order => "headers out of order",
            Why::Linear => "headers outside of its linear part",
            Why::Csum => "a checksum pending outside of it",
            Why::Unsummed => "segments whose checksums are neither verified nor pending",
            Why::Gso => "segments of an impossible size",
            Why::List => "a list of buffers, made by GRO, that cannot be segmented any more",
            Why::Shared => "others that share it",
        }
    }
}

impl Shape {
    /// Whether a call may change the socket buffer's shape.  A clone has its own, and
    /// shares the buffer, in which nothing moves.
    pub const fn may_change(self) -> bool {
        !matches!(self, Shape::Clone | Shape::XdpHead)
    }

    /// The helper's own error for what cannot be done.
    pub fn answer(self, why: Why) -> i64 {
        -match (self, why) {
            (_, Why::List) => ENOTSUPP,
            (Shape::Store | Shape::Csum, _) => EFAULT,
            (Shape::Clone, Why::Gso) => EBADMSG,
            (Shape::Clone, _) => ERANGE,
            (Shape::Proto | Shape::Room, _) => ENOTSUPP,
            _ => EINVAL,
        }
    }
}

type Judged = Result<(), Why>;

fn hold(held: bool, why: Why) -> Judged {
    if held {
        Ok(())
    } else {
        Err(why)
    }
}

impl Geometry {
    pub fn is(&self, flag: i64) -> bool {
        self.flags & flag != 0
    }

    fn set(&mut self, flag: i64, on: bool) {
        self.flags = self.flags & !flag | if on { flag } else { 0 };
    }

    fn headlen(&self) -> i64 {
        self.len - self.data_len
    }

    fn is_gso(&self) -> bool {
        self.gso_size != 0
    }

    fn is_gso_tcp(&self) -> bool {
        self.gso_type & (GSO_TCPV4 | GSO_TCPV6) != 0
    }

    /// Whether GRO made it of several buffers.
    fn is_list(&self) -> bool {
        self.is_gso() && (self.is(LIST) || self.gso_type & GSO_FRAGLIST != 0)
    }

    /// Whether it has to be made one buffer before something changes it: see
    /// `moat_shim_make_one()`.
    pub fn is_to_be_one(&self) -> bool {
        let chained = self.gso_type & GSO_FRAGLIST != 0 && !self.is_gso_tcp();
        self.is(LINEAR_LIST) && !chained && self.gso_size != GSO_BY_FRAGS
    }

    /// The bytes before the network header.
    fn mac_header_len(&self) -> i64 {
        self.network - self.mac
    }

    /// Offsets that somebody goes by.
    fn offsets(&self) -> [i64; 8] {
        let encap = |at| if self.is(ENCAP) { at } else { 0 };
        let set = |at| if at == UNSET { 0 } else { at };
        [
            self.data,
            set(self.mac),
            self.network,
            set(self.transport),
            encap(self.inner_mac),
            encap(self.inner_network),
            encap(set(self.inner_transport)),
            if self.is(PARTIAL) { self.csum_start } else { 0 },
        ]
    }
}

/// `is` with what the kernel's own functions get wrong put right: they add to offsets
/// that are not set, and leave the transport header behind when the network header
/// passes it.  `failed`: the helper returned an error, perhaps half way.
pub fn mend(
    was: &Geometry,
    is: &Geometry,
    shape: Shape,
    args: &[u64; 5],
    failed: bool,
) -> Geometry {
    let mut g = *is;
    let encap = g.is(ENCAP) && !was.is(ENCAP);
    let l4 = encap && shape == Shape::Room && args[3] & (ENCAP_L4_GRE | ENCAP_L4_UDP) != 0;
    if was.transport == UNSET {
        if !l4 {
            g.transport = UNSET;
        }
    } else if was.network <= was.transport && g.network > g.transport {
        g.transport = g.network;
    }
    if encap {
        if was.transport == UNSET || g.inner_transport < g.inner_network {
            g.inner_transport = g.inner_network;
        }
    } else {
        for (is, was) in [
            (&mut g.inner_mac, was.inner_mac),
            (&mut g.inner_network, was.inner_network),
            (&mut g.inner_transport, was.inner_transport),
        ] {
            // skb_inner_network_header_was_set() takes 0 for "not".
            if was == UNSET || was == 0 {
                *is = was;
            }
        }
    }
    // skb_postpull_rcsum() forgets what is pending before the packet's start, whether it
    // was there before or not; but segments need it.
    if g.is_gso() && was.is(PARTIAL) && was.csum_start < was.data {
        g.set(PARTIAL, !g.is(UNNECESSARY));
    }
    // skb_warn_bad_offload() would, of segments. As with BPF_F_ADJ_ROOM_NO_CSUM_RESET.
    if shape == Shape::Room && was.is_gso() && g.is_gso() && was.is(UNNECESSARY) {
        g.set(UNNECESSARY, !g.is(PARTIAL));
    }
    // It could not make one buffer of a list, after it had made segments smaller.
    if failed && g.is_gso() && g.is(LIST) {
        g.gso_size = was.gso_size;
    }
    g
}

/// Whether a packet that `was` so may now be as it `is`.
pub fn judge(was: &Geometry, is: &Geometry) -> Judged {
    // `a <= b` holds now if it held before.
    let kept = |a: fn(&Geometry) -> i64, b: fn(&Geometry) -> i64, why| {
        hold(a(was) > b(was) || a(is) <= b(is), why)
    };
    let set = |at: fn(&Geometry) -> i64| at(was) != UNSET && at(is) != UNSET;

    hold(0 <= is.data_len && is.data_len <= is.len, Why::Bounds)?;
    hold(
        0 <= is.data && is.data + is.headlen() == is.tail,
        Why::Bounds,
    )?;
    hold(is.tail <= is.end, Why::Bounds)?;

    for (was, is) in was.offsets().iter().zip(is.offsets()) {
        hold(0 <= is && is <= TOP.max(*was), Why::Offset)?;
    }
    hold(was.transport == UNSET || is.transport != UNSET, Why::Offset)?;
    hold(was.mac == UNSET || is.mac != UNSET, Why::Offset)?;

    if set(|g| g.mac) {
        kept(|g| g.mac, |g| g.network, Why::Order)?;
        kept(|g| g.mac, |g| g.data, Why::Order)?;
        kept(|g| g.data, |g| g.mac, Why::Order)?;
    }
    kept(|g| g.data, |g| g.network, Why::Order)?;
    kept(|g| g.network, |g| g.tail, Why::Linear)?;
    if set(|g| g.transport) {
        kept(|g| g.network, |g| g.transport, Why::Order)?;
        kept(|g| g.transport, |g| g.tail, Why::Linear)?;
    }
    kept(|g| g.mac_len, Geometry::headlen, Why::Linear)?;
    kept(|g| g.len.min(ETH_HLEN), Geometry::headlen, Why::Linear)?;

    if is.is(ENCAP) && was.is(ENCAP) {
        kept(|g| g.inner_mac, |g| g.inner_network, Why::Order)?;
        kept(|g| g.inner_network, |g| g.inner_transport, Why::Order)?;
    } else if is.is(ENCAP) {
        hold(is.network <= is.inner_mac, Why::Order)?;
        hold(is.inner_mac <= is.inner_network, Why::Order)?;
        if is.is_gso() && is.gso_type & (GSO_UDP_TUNNEL | GSO_GRE) != 0 {
            hold(is.transport <= is.inner_mac, Why::Order)?;
        }
    }

    if is.is(PARTIAL) && was.is(PARTIAL) {
        kept(|g| g.data, |g| g.csum_start, Why::Csum)?;
        // A device without link headers has them pulled.
        kept(|g| g.network, |g| g.csum_start, Why::Csum)?;
        kept(|g| g.csum_end, |g| g.tail, Why::Csum)?;
    }
    if !was.is_gso() {
        return hold(!is.is_gso(), Why::Gso);
    }
    if !is.is_gso() {
        return hold(is.gso_type == 0, Why::Gso);
    }
    hold(!was.is(PARTIAL) || is.is(PARTIAL), Why::Csum)?;
    // skb_warn_bad_offload(); NONE from the start is nobody's fault.
    hold(
        !was.is(UNNECESSARY) || is.is(UNNECESSARY | PARTIAL),
        Why::Unsummed,
    )?;
    let changed = is.gso_size != was.gso_size;
    hold(!changed || is.gso_size < GSO_BY_FRAGS, Why::Gso)?;
    hold(is.gso_size >= was.gso_size.min(GSO_MIN), Why::Gso)?;
    hold(is.len <= was.len.max(GSO_MAX_SIZE), Why::Gso)
}

/// Whether a call made of a packet what [`model`] said.  Where the buffer is does not
/// count.
pub fn agree(said: &Geometry, is: &Geometry) -> bool {
    let shape = |g: &Geometry| {
        let at = |at: i64| if at == UNSET { UNSET } else { at - g.data };
        let inner = |i: i64| if g.is(ENCAP) { at(i) } else { 0 };
        [
            g.len,
            g.data_len,
            at(g.mac),
            at(g.network),
            at(g.transport),
            inner(g.inner_mac),
            inner(g.inner_network),
            inner(g.inner_transport),
            g.mac_len,
            g.gso_size,
            g.flags & (ENCAP | PARTIAL),
        ]
    };
    shape(said) == shape(is)
}

/// Before a call: what is wrong with making it.
pub fn foresee(was: &Geometry, shape: Shape, args: &[u64; 5]) -> Judged {
    judge(was, &model(was, shape, args)?)
}
