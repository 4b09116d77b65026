// SPDX-License-Identifier: GPL-2.0
//! What the helpers for VLAN tags make of the shape of a packet.

use super::*;

pub(crate) const VLAN_HLEN: i64 = 4;
pub(crate) const VLAN_ETH_HLEN: i64 = ETH_HLEN + VLAN_HLEN;
/// Address and type of an Ethernet header and a tag, which VLAN helpers move.
const VLAN_MOVED: i64 = 16;

pub(crate) const ETH_P_8021Q: i64 = 0x8100;
pub(crate) const ETH_P_8021AD: i64 = 0x88a8;

impl Geometry {
    /// What the VLAN helpers would warn of, or write past.
    fn vlan(&self) -> Judged {
        hold(self.data == self.mac, Why::Order)?;
        hold(self.data + VLAN_MOVED <= self.end, Why::Bounds)
    }

    /// `bpf_pull_mac_rcsum()`
    fn sum_from_mac(&mut self) {
        if self.is(INGRESS) {
            self.sum_from_here();
        }
    }

    /// `bpf_skb_vlan_push()`
    pub(super) fn vlan_push(&mut self) -> Judged {
        self.push_tag()?;
        self.sum_from_mac();
        Ok(())
    }

    /// `skb_vlan_push()`
    fn push_tag(&mut self) -> Judged {
        if !self.is(TAGGED) {
            self.set(TAGGED, true);
            return Ok(());
        }
        self.vlan()?;
        if !self.pull(ETH_HLEN)? {
            return Ok(());
        }
        self.cow(VLAN_HLEN, HEADER_CLONED)?;
        self.data -= VLAN_HLEN;
        self.len += VLAN_HLEN;
        self.mac -= VLAN_HLEN;
        self.mac_len += VLAN_HLEN;
        Ok(())
    }

    /// `bpf_skb_vlan_pop()`
    pub(super) fn vlan_pop(&mut self) -> Judged {
        self.pop_tag()?;
        self.sum_from_mac();
        Ok(())
    }

    /// `skb_vlan_pop()`.  What the next tag would do has no other bounds.
    fn pop_tag(&mut self) -> Judged {
        if !matches!(self.protocol, ETH_P_8021Q | ETH_P_8021AD) {
            self.set(TAGGED, false);
            return Ok(());
        }
        self.vlan()?;
        if !self.pull(VLAN_ETH_HLEN)? {
            return Ok(());
        }
        self.data += VLAN_HLEN;
        self.len -= VLAN_HLEN;
        self.mac += VLAN_HLEN;
        self.network = self.network.max(self.data + ETH_HLEN);
        self.mac_len = self.mac_header_len();
        self.sum_from_here();
        Ok(())
    }
}
