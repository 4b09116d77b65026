// SPDX-License-Identifier: GPL-2.0
//! Slots never overlap or touch, and never return without a flush (I5).

use moat_logic::window::addresses::*;
use moat_logic::window::flush_epoch::{Flush, FlushEpochs};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Alloc(u64),
    Free(usize),
    Begin,
    Complete(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => (0u64..12 * GRANULE).prop_map(Op::Alloc),
        1 => (0u64..200 * GRANULE).prop_map(Op::Alloc),
        4 => (0usize..64).prop_map(Op::Free),
        2 => Just(Op::Begin),
        2 => (0usize..3).prop_map(Op::Complete),
    ]
}

/// A slot with its guard, as addresses.
fn span(slot: &Range) -> (u64, u64) {
    (slot.addr(), slot.addr() + slot.size() + GRANULE)
}

fn apart(a: (u64, u64), b: (u64, u64)) -> bool {
    a.1 <= b.0 || b.1 <= a.0
}

/// By the book: is there a hole of `bytes` and a guard between taken spans?
fn fits(bytes: u64, words: u64, taken: &[(u64, u64)]) -> bool {
    let end = ARENA + words * 64 * GRANULE;
    let want = (bytes + GRANULE - 1) / GRANULE * GRANULE + GRANULE;
    let mut taken = taken.to_vec();
    taken.push((end, end));
    taken.sort_unstable();
    let mut from = ARENA + GRANULE;
    taken.iter().any(|(start, stop)| {
        let fits = *start >= from && start - from >= want;
        from = from.max(*stop);
        fits
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn slots_keep_apart(words in 1..5, ops in proptest::collection::vec(op(), 0..120)) {
        match words {
            1 => keep_apart::<1>(ops)?,
            2 => keep_apart::<2>(ops)?,
            3 => keep_apart::<3>(ops)?,
            _ => keep_apart::<4>(ops)?,
        }
    }
}

fn keep_apart<const N: usize>(ops: Vec<Op>) -> Result<(), TestCaseError> {
    let mut window = Window::<N>::new();
    let mut drain = FlushEpochs::new();
    let mut live: Vec<Range> = Vec::new();
    let mut stale: Vec<(u64, u64)> = Vec::new();
    let mut flushes: Vec<(Flush, Vec<(u64, u64)>)> = Vec::new();
    let end = ARENA + N as u64 * 64 * GRANULE;
    for op in ops {
        match op {
            Op::Alloc(bytes) => {
                let spans: Vec<_> = live.iter().map(span).collect();
                let Some(slot) = window.alloc(bytes) else {
                    let all: Vec<_> = spans.into_iter().chain(stale.clone()).collect();
                    // What a flush has released may still sit in a batch that waits.
                    let nothing_waits = !window.draining();
                    prop_assert!(bytes == 0 || !nothing_waits || !fits(bytes, N as u64, &all));
                    continue;
                };
                prop_assert!(slot.size() >= bytes && slot.size() < bytes + GRANULE);
                prop_assert!(slot.addr() > ARENA && span(&slot).1 <= end);
                prop_assert!(spans.iter().all(|s| apart(*s, span(&slot))), "overlap");
                prop_assert!(stale.iter().all(|s| apart(*s, span(&slot))), "stale");
                live.push(slot);
            }
            Op::Free(n) if !live.is_empty() => {
                let slot = live.swap_remove(n % live.len());
                stale.push(span(&slot));
                window.free(slot, drain.stamp());
            }
            Op::Begin => flushes.push((drain.begin(), stale.clone())),
            Op::Complete(n) if !flushes.is_empty() => {
                let (flush, covered) = flushes.remove(n % flushes.len());
                window.flushed(&flush);
                stale.retain(|s| !covered.contains(s));
            }
            _ => {}
        }
    }
    // Everything comes back: then the largest slot there can be fits.
    for slot in live {
        window.free(slot, drain.stamp());
    }
    let flush = drain.begin();
    window.flushed(&flush);
    prop_assert!(!window.draining());
    let all = (N as u64 * 64 - 2) * GRANULE;
    prop_assert_eq!(window.alloc(all + 1), None);
    prop_assert_eq!(window.alloc(all).unwrap().addr(), ARENA + GRANULE);
    Ok(())
}

/// Frees that never pause must not keep an old slot waiting for ever.
#[test]
fn steady_frees_starve_nobody() {
    let mut window = Window::<1>::new();
    let mut drain = FlushEpochs::new();
    for _ in 0..1000 {
        let slot = window.alloc(8 * GRANULE).expect("slots come back");
        window.free(slot, drain.stamp());
        let flush = drain.begin();
        // Freed while the flush is under way, so not covered.
        let slot = window.alloc(8 * GRANULE).expect("slots come back");
        window.free(slot, drain.stamp());
        window.flushed(&flush);
    }
}

#[test]
fn the_window_is_one_top_level_slot() {
    assert!(holds(BASE) && holds(BASE + SIZE - 1));
    assert!(!holds(BASE - 1) && !holds(BASE + SIZE) && !holds(0) && !holds(!0));
    assert_eq!(BASE % SIZE, 0);
    assert_eq!(BASE + SIZE - 1, 0xffff_feff_ffff_ffff);
    assert_eq!(ARENA + WORDS as u64 * 64 * GRANULE, BASE + SIZE);
}

#[test]
#[should_panic]
fn a_window_of_nothing_is_refused() {
    let _ = Window::<0>::new();
}

#[test]
#[should_panic]
fn more_than_the_window_is_refused() {
    let _ = Window::<{ WORDS + 1 }>::new();
}

#[test]
fn who_is_content_with_half_leaves_the_other() {
    let mut window = Window::<4>::new();
    let mut n = 0;
    while let Some(slot) = window.alloc_low(GRANULE) {
        assert!(slot.addr() + slot.size() <= ARENA + 128 * GRANULE);
        n += 1;
    }
    // A guard before the first and one after each
    assert_eq!(n, 63);
    for _ in 0..64 {
        assert!(window.alloc(GRANULE).unwrap().addr() >= ARENA + 127 * GRANULE);
    }
    assert_eq!(window.alloc_low(1), None);
}

#[test]
fn nothing_and_too_much_are_refused() {
    let mut window = Window::<2>::new();
    for bytes in [0, 127 * GRANULE, SIZE, u64::MAX] {
        assert_eq!(window.alloc(bytes), None, "{bytes:#x}");
    }
}
