// SPDX-License-Identifier: GPL-2.0
//! Whether a packet may be given to others in the midst of a run.

use super::*;

/// `BPF_F_INGRESS`
pub(crate) const INGRESS: u64 = 1;

impl Geometry {
    /// What a packet must be for others to be given it: `eth_type_trans()` and
    /// `__bpf_redirect_no_mac()` pull headers without a look.
    pub(super) fn leave(&self, flags: u64) -> Judged {
        let (headlen, off) = (self.headlen(), self.network - self.data);
        hold(self.len.min(ETH_HLEN) <= headlen, Why::Linear)?;
        hold(off <= headlen || off >= self.len, Why::Linear)?;
        // As BPF_PROG_TEST_RUN makes them, after change_proto too.
        hold(!self.is_gso() || self.gso_type & !GSO_DODGY != 0, Why::Gso)?;
        hold(!self.is(SHARED), Why::Shared)?;
        // XDP may have cut it off before: skb_checksum_help(), on the way out.
        let pending = self.is(PARTIAL) && !self.is_gso() && flags & INGRESS == 0;
        hold(!pending || self.csum_end <= self.tail, Why::Csum)?;
        hold(!pending || self.csum_start < self.tail, Why::Csum)
    }
}
