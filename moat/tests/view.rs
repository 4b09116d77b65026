// SPDX-License-Identifier: GPL-2.0
//! A view's CR3 is what was meant, and its PCID nobody else's (I5).

use moat_logic::window::flush_epoch::{Flush, FlushEpochs};
use moat_logic::window::pcids::*;
use proptest::prelude::*;
use std::collections::HashSet;

/// CR3 bits 11:0 are the PCID, with CR4.PCIDE.
const PCID: u64 = 0xfff;

/// PCIDs the kernel uses: 0 before it has chosen one, `TLB_NR_DYN_ASIDS` from 1 on
/// and, with page-table isolation, those with bit 11.
fn is_kernels(pcid: u16) -> bool {
    pcid <= 6 || pcid >= 2048
}

/// What the CPU makes of it: top level, PCID, and whether translations stay.
fn decode(cr3: u64) -> (u64, u16, bool) {
    (
        cr3 & !PCID & !NOFLUSH,
        (cr3 & PCID) as u16,
        cr3 & NOFLUSH != 0,
    )
}

fn any_pgd() -> impl Strategy<Value = u64> {
    // Up to 52 bits of physical address.
    (0u64..1 << 40).prop_map(|frame| frame << 12)
}

fn any_own() -> impl Strategy<Value = u16> {
    FIRST..FIRST + OWN as u16
}

#[derive(Clone, Debug)]
enum Op {
    Alloc,
    Free(usize),
    Begin,
    /// Complete one of the flushes under way, not always the oldest.
    Complete(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => Just(Op::Alloc),
        4 => (0usize..40).prop_map(Op::Free),
        2 => Just(Op::Begin),
        2 => (0usize..4).prop_map(Op::Complete),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_pcid_of_its_own_keeps_its_translations(pgd in any_pgd(), pcid in any_own()) {
        prop_assert_eq!(decode(cr3(pgd, Some(pcid), true)), (pgd, pcid, true));
        prop_assert_eq!(of(cr3(pgd, Some(pcid), true)), Some(pcid));
    }

    #[test]
    fn the_shared_pcid_starts_without_translations(pgd in any_pgd()) {
        prop_assert_eq!(decode(cr3(pgd, None, true)), (pgd, SHARED, false));
        prop_assert_eq!(of(cr3(pgd, None, true)), Some(SHARED));
    }

    /// The low bits would be cache attributes then, and bit 63 a fault.
    #[test]
    fn without_pcids_cr3_is_just_the_address(
        pgd in any_pgd(),
        pcid in proptest::option::of(any_own()),
    ) {
        prop_assert_eq!(cr3(pgd, pcid, false), pgd);
        prop_assert_eq!(of(cr3(pgd, pcid, false)), None);
    }

    #[test]
    fn no_pcid_changes_owner_while_a_tlb_remembers(
        ops in proptest::collection::vec(op(), 0..120),
        // So many others have one that they run out, now and then.
        others in prop_oneof![Just(0usize), OWN - 8..=OWN],
    ) {
        let mut pcids = Pcids::new();
        let mut drain = FlushEpochs::new();
        for _ in 0..others {
            prop_assert!(pcids.alloc().is_some());
        }
        let mut held: Vec<u16> = Vec::new();
        // What some TLB may have of a former owner, until a flush that began after
        // it was given up ends.  The number tells one owner from the next.
        let mut stale: Vec<(u16, usize)> = Vec::new();
        let mut flushes: Vec<(Flush, Vec<(u16, usize)>)> = Vec::new();
        for (i, op) in ops.into_iter().enumerate() {
            match op {
                Op::Alloc => match pcids.alloc() {
                    Some(pcid) => {
                        prop_assert!(!is_kernels(pcid) && pcid != SHARED);
                        prop_assert!(usize::from(pcid - FIRST) < OWN);
                        prop_assert!(!held.contains(&pcid), "two owners");
                        prop_assert!(stale.iter().all(|(p, _)| *p != pcid), "stale translations");
                        held.push(pcid);
                    }
                    // 120 operations do not use all of them up.
                    None => prop_assert!(others > 0),
                },
                Op::Free(n) if !held.is_empty() => {
                    let pcid = held.swap_remove(n % held.len());
                    pcids.free(pcid, drain.stamp());
                    stale.push((pcid, i));
                }
                Op::Begin => flushes.push((drain.begin(), stale.clone())),
                Op::Complete(n) if !flushes.is_empty() => {
                    let (flush, covered) = flushes.remove(n % flushes.len());
                    stale.retain(|entry| !covered.contains(entry));
                    pcids.flushed(&flush);
                }
                _ => {}
            }
        }
        // Give everything up: every one comes back after one flush.
        for pcid in held {
            pcids.free(pcid, drain.stamp());
        }
        pcids.flushed(&drain.begin());
        for _ in others..OWN {
            prop_assert!(pcids.alloc().is_some());
        }
        prop_assert_eq!(pcids.alloc(), None);
    }
}

#[test]
fn no_pcid_is_the_kernels() {
    let mut pcids = Pcids::new();
    let mut all = HashSet::new();
    while let Some(pcid) = pcids.alloc() {
        assert!(!is_kernels(pcid), "{pcid}");
        assert_ne!(pcid, SHARED);
        assert!(all.insert(pcid), "{pcid} twice");
    }
    assert_eq!(all.len(), OWN);
    assert!(!is_kernels(SHARED));
}

#[test]
fn views_beyond_the_last_pcid_share_one_and_flush() {
    let mut pcids = Pcids::new();
    while pcids.alloc().is_some() {}
    let pcid = pcids.alloc();
    assert_eq!(decode(cr3(0x1000, pcid, true)), (0x1000, SHARED, false));
    assert_eq!(pcids.alloc(), None);
}

#[test]
fn a_flush_that_began_too_early_frees_nothing() {
    let mut pcids = Pcids::new();
    let mut drain = FlushEpochs::new();
    while pcids.alloc().is_some() {}
    let early = drain.begin();
    pcids.free(FIRST, drain.stamp());
    pcids.flushed(&early);
    assert_eq!(pcids.alloc(), None);
    let late = drain.begin();
    // Not covered, and with the last stamp of all what was is not free either.
    pcids.free(FIRST + 1, drain.stamp());
    pcids.flushed(&late);
    assert_eq!(pcids.alloc(), None);
    pcids.flushed(&drain.begin());
    assert_eq!(pcids.alloc(), Some(FIRST));
    assert_eq!(pcids.alloc(), Some(FIRST + 1));
    assert_eq!(pcids.alloc(), None);
}

#[test]
fn what_no_view_owns_cannot_be_freed() {
    let mut pcids = Pcids::new();
    let mut drain = FlushEpochs::new();
    while pcids.alloc().is_some() {}
    for pcid in [0, 1, 6, SHARED, FIRST + OWN as u16, 2048, 2049, u16::MAX] {
        pcids.free(pcid, drain.stamp());
        pcids.flushed(&drain.begin());
        assert_eq!(pcids.alloc(), None, "{pcid}");
    }
}
