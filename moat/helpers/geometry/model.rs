// SPDX-License-Identifier: GPL-2.0
//! What each helper makes of the shape of a packet.
//!
//! Written from their bodies in `net/core/filter.c` and what these call in
//! `net/core/skbuff.c`, `include/linux/skbuff.h` and `include/linux/if_vlan.h`.  Where
//! a helper refuses by itself, the packet stays as it was.

use super::*;

pub(crate) mod tags;

/// `NET_SKB_PAD`, to which `__skb_cow()` rounds up, in bytes.
pub(crate) const NET_SKB_PAD: i64 = 64;
/// Sizes of an `iphdr` and an `ipv6hdr`.
pub(crate) const IPV4: i64 = 20;
pub(crate) const IPV6: i64 = 40;

/// `BPF_F_ADJ_ROOM_*`
pub(crate) const FIXED_GSO: u64 = 1 << 0;
pub(crate) const ENCAP_L3: u64 = 3 << 1;
pub(crate) const ENCAP_L3_IPV6: u64 = 1 << 2;
pub(crate) const ENCAP_L4_GRE: u64 = 1 << 3;
pub(crate) const ENCAP_L4_UDP: u64 = 1 << 4;
pub(crate) const NO_CSUM_RESET: u64 = 1 << 5;
pub(crate) const ENCAP_L2_ETH: u64 = 1 << 6;
pub(crate) const ENCAP_L2_SHIFT: u32 = 56;
pub(crate) const GROW_FLAGS: u64 = 0x7f | 0xff << ENCAP_L2_SHIFT;
/// `BPF_F_RECOMPUTE_CSUM`
pub(crate) const RECOMPUTE_CSUM: u64 = 1;
/// `BPF_CSUM_LEVEL_*`
pub(crate) const CSUM_LEVEL_DEC: u64 = 2;
pub(crate) const CSUM_LEVEL_RESET: u64 = 3;

impl Geometry {
    /// `pskb_expand_head()` by at least `need` bytes in front.
    fn expand(&mut self, need: i64) -> Judged {
        hold(!self.is(SHARED), Why::Shared)?;
        let more = (need + NET_SKB_PAD - 1) / NET_SKB_PAD * NET_SKB_PAD;
        for at in [
            &mut self.data,
            &mut self.tail,
            &mut self.end,
            &mut self.network,
            &mut self.csum_start,
            &mut self.csum_end,
            &mut self.inner_mac,
            &mut self.inner_network,
            &mut self.inner_transport,
        ] {
            *at += more;
        }
        for at in [&mut self.mac, &mut self.transport] {
            if *at != UNSET {
                *at += more;
            }
        }
        self.set(CLONED | HEADER_CLONED, false);
        Ok(())
    }

    /// `__skb_cow()`
    fn cow(&mut self, room: i64, cloned: i64) -> Judged {
        if room > self.data || self.is(cloned) {
            return self.expand((room - self.data).max(0));
        }
        Ok(())
    }

    /// `skb_ensure_writable()`; false if the packet is shorter.
    fn pull(&mut self, bytes: i64) -> Result<bool, Why> {
        if bytes > self.len {
            return Ok(false);
        }
        let more = (bytes - self.headlen()).max(0);
        if more > 0 {
            hold(!self.is_list() || self.is(LIST_FIXED), Why::List)?;
        }
        if self.is(CLONED) || self.tail + more > self.end {
            self.expand(0)?;
            self.end = self.end.max(self.tail + more);
        }
        self.tail += more;
        self.data_len -= more;
        if more > 0 && self.data_len == 0 {
            self.set(LIST | LINEAR_LIST, false);
        }
        Ok(true)
    }

    /// `bpf_skb_net_hdr_push()`: `bytes` in front, what is before `off` moves there.
    fn push_header(&mut self, off: i64, bytes: i64) -> Judged {
        hold(self.mac != UNSET && self.mac <= self.network, Why::Order)?;
        hold(off <= self.headlen(), Why::Linear)?;
        self.shift(-bytes);
        Ok(())
    }

    /// `bpf_skb_net_hdr_pop()`; false if the packet is shorter.
    fn pop_header(&mut self, off: i64, bytes: i64) -> Result<bool, Why> {
        hold(self.mac != UNSET && self.mac <= self.network, Why::Order)?;
        // It is only ever called on what is not cloned.
        if !self.pull(off + bytes)? {
            return Ok(false);
        }
        self.shift(bytes);
        Ok(true)
    }

    /// The start of the packet, and its headers, `by` bytes further.
    fn shift(&mut self, by: i64) {
        let same = self.transport == self.network;
        self.data += by;
        self.len -= by;
        self.mac += by;
        self.network += by;
        if same {
            self.transport = self.network;
        }
        self.sum_from_here();
    }

    /// `skb_postpull_rcsum()`
    fn sum_from_here(&mut self) {
        if self.csum_start < self.data {
            self.set(PARTIAL, false);
        }
    }

    /// `bpf_skb_change_head()`
    fn head(&mut self, room: u64, flags: u64) -> Judged {
        let room = i64::from(room as u32);
        if flags != 0 || !self.is_gso() && self.len + room > self.max_len {
            return Ok(());
        }
        hold(!self.is_list() || self.is(LIST_FIXED), Why::List)?;
        self.cow(room, CLONED)?;
        self.data -= room;
        self.len += room;
        self.mac = self.data;
        self.mac_len = self.mac_header_len();
        Ok(())
    }

    /// `bpf_skb_change_tail()`
    fn change_tail(&mut self, len: u64, flags: u64) -> Judged {
        let len = i64::from(len as u32);
        let mut least = (self.network - self.data).max(0);
        if self.transport != UNSET && self.transport > self.data {
            least = self.transport - self.data;
        }
        if flags != 0 || len > self.max_len || len < least || self.is(ENCAP) {
            return Ok(());
        }
        // It is no GSO packet afterwards, so a list does no harm.
        self.set(LIST_FIXED, true);
        self.pull(self.len)?;
        if self.data + len > self.end {
            self.expand(0)?;
            self.end = self.data + len;
        }
        let cut = self.csum_end > self.data + len || self.csum_end < self.data;
        if len < self.len && cut {
            self.set(PARTIAL, false);
        }
        self.len = len;
        self.tail = self.data + len;
        self.gso_size = 0;
        self.gso_type = 0;
        Ok(())
    }

    /// `bpf_skb_change_proto()`
    fn proto(&mut self, proto: u64, flags: u64) -> Judged {
        let to = i64::from((proto as u16).swap_bytes());
        let off = self.mac_header_len();
        if flags != 0 {
            return Ok(());
        }
        match (self.protocol, to) {
            (ETH_P_IP, ETH_P_IPV6) => {
                hold(!self.is_list() || self.is(LIST_FIXED), Why::List)?;
                self.cow(IPV6 - IPV4, CLONED)?;
                self.push_header(off, IPV6 - IPV4)?;
            }
            (ETH_P_IPV6, ETH_P_IP) => {
                hold(!self.is_list() || self.is(LIST_FIXED), Why::List)?;
                if !self.pop_header(off, IPV6 - IPV4)? {
                    return Ok(());
                }
            }
            _ => return Ok(()),
        }
        if self.is_gso() {
            self.gso_type |= GSO_DODGY;
        }
        self.protocol = to;
        Ok(())
    }

    /// `bpf_skb_adjust_room()`
    fn room(&mut self, diff: u64, mode: u64, flags: u64) -> Judged {
        let diff = i64::from(diff as i32);
        let ip = match self.protocol {
            ETH_P_IP => IPV4,
            ETH_P_IPV6 => IPV6,
            _ => return Ok(()),
        };
        let off = match mode as u32 {
            0 => self.mac_header_len() + ip,
            1 => self.mac_header_len(),
            _ => return Ok(()),
        };
        let udp = self.is_gso() && !self.is_gso_tcp();
        if diff.abs() > 0xfff
            || flags & !GROW_FLAGS != 0
            || udp && (self.gso_type & GSO_UDP_L4 == 0 || flags & FIXED_GSO == 0)
        {
            return Ok(());
        }
        let fixed = flags & FIXED_GSO != 0;
        hold(!self.is_list() || self.is(LIST_FIXED), Why::List)?;
        if diff < 0 {
            let left = self.len - (self.network - self.data) + diff;
            if left < ip || flags & !(FIXED_GSO | NO_CSUM_RESET) != 0 {
                return Ok(());
            }
            if !self.pop_header(off, -diff)? {
                return Ok(());
            }
        } else {
            if !self.is_gso() && self.len + diff > self.max_len {
                return Ok(());
            }
            if !self.grow(off, diff, flags)? {
                return Ok(());
            }
        }
        if self.is_gso() {
            self.gso_type |= GSO_DODGY;
            if !fixed {
                self.gso_size -= diff;
                // skb_decrease_gso_size() would make this "no GSO", with a type.
                hold(self.gso_size > 0, Why::Gso)?;
                if diff >= 0 && self.is(LIST) {
                    self.pull(self.len)?;
                }
            }
        }
        if flags & NO_CSUM_RESET == 0 {
            self.set(UNNECESSARY, false);
        }
        Ok(())
    }

    /// `bpf_skb_net_grow()` but for the segments; false if it makes room only.
    fn grow(&mut self, off: i64, diff: i64, flags: u64) -> Result<bool, Why> {
        let l2 = (flags >> ENCAP_L2_SHIFT) as i64;
        let l4 = flags & (ENCAP_L4_GRE | ENCAP_L4_UDP);
        self.cow(diff, HEADER_CLONED)?;
        let encap = flags & ENCAP_L3 != 0;
        if encap
            && (flags & ENCAP_L3 == ENCAP_L3
                || l4 == ENCAP_L4_GRE | ENCAP_L4_UDP
                || flags & ENCAP_L2_ETH != 0 && l2 < ETH_HLEN
                || self.is(ENCAP)
                || l2 > diff)
        {
            return Ok(false);
        }
        let (mac_len, inner, transport) = (self.mac_header_len(), self.network, self.transport);
        self.push_header(off, diff)?;
        if !encap {
            return Ok(true);
        }
        self.inner_mac = inner - l2;
        self.inner_network = inner;
        self.inner_transport = if transport == UNSET { inner } else { transport };
        self.set(ENCAP, true);
        self.network = self.data + mac_len;
        if l4 != 0 {
            let ip = if flags & ENCAP_L3_IPV6 != 0 {
                IPV6
            } else {
                IPV4
            };
            self.transport = self.network + ip;
        }
        if self.is_gso() {
            match l4 {
                ENCAP_L4_UDP => self.gso_type |= GSO_UDP_TUNNEL,
                ENCAP_L4_GRE => self.gso_type |= GSO_GRE,
                _ => {}
            }
        }
        Ok(true)
    }

    /// `bpf_skb_store_bytes()` and the like.
    fn write(&mut self, offset: u64, bytes: u64, resum: bool) -> Judged {
        let end = i64::from(offset as u32) + i64::from(bytes as u32);
        if self.pull(end)? && resum {
            self.sum_from_here();
        }
        Ok(())
    }

    /// `bpf_xdp_adjust_head()`
    fn xdp_head(&mut self, by: u64) {
        let by = i64::from(by as i32);
        if self.data + by >= 0 && self.data + by <= self.tail - ETH_HLEN {
            self.data += by;
            self.len -= by;
        }
    }

    /// `bpf_csum_level()`
    fn level(&mut self, level: u64) {
        match level {
            CSUM_LEVEL_DEC if self.csum_level > 0 => self.csum_level -= 1,
            CSUM_LEVEL_DEC | CSUM_LEVEL_RESET => self.set(UNNECESSARY, false),
            _ => {}
        }
    }
}

/// What a call of the helper would make of a packet, if the helper does not refuse.
/// Fails with what cannot be done to it, whatever comes of it.
pub fn model(was: &Geometry, shape: Shape, args: &[u64; 5]) -> Result<Geometry, Why> {
    let mut g = *was;
    let [_, a, b, c, d] = *args;
    match shape {
        Shape::Store => g.write(a, c, d & RECOMPUTE_CSUM != 0)?,
        Shape::Csum => g.write(a, 2, false)?,
        Shape::Pull => g.write(0, if a as u32 == 0 { 0 } else { a }, false)?,
        Shape::Level => g.level(a),
        Shape::Clone => g.leave(b)?,
        Shape::VlanPush => g.vlan_push()?,
        Shape::VlanPop => g.vlan_pop()?,
        Shape::Proto => g.proto(a, b)?,
        Shape::Tail => g.change_tail(a, b)?,
        Shape::Head => g.head(a, b)?,
        Shape::Room => g.room(a, b, c)?,
        Shape::XdpHead => g.xdp_head(a),
    }
    // What the helper leaves behind, the caller will not.
    Ok(mend(was, &g, shape, args, false))
}
