// SPDX-License-Identifier: GPL-2.0
//! The boundary map says yes to exactly what was marked.

use moat_logic::boundary::*;
use proptest::prelude::*;
use std::collections::HashSet;

proptest! {
    #[test]
    fn exactly_the_marks(len in 0usize..700, marks in proptest::collection::hash_set(0usize..900, 0..200), far: u64) {
        let mut bits = vec![!0; words(len)];
        let mut builder = Builder::new(&mut bits, len).unwrap();
        for mark in &marks {
            prop_assert_eq!(builder.mark(*mark), *mark < len);
        }
        let map = builder.finish();
        let inside: HashSet<_> = marks.into_iter().filter(|m| *m < len).collect();
        for offset in 0..1000 {
            prop_assert_eq!(map.is_boundary(offset as u64), inside.contains(&offset));
        }
        prop_assert!(far < 1000 || !map.is_boundary(far));
        let base = 0xffff_ffff_c000_0000;
        prop_assert!(!map.is_boundary_ip(base, base - 1));
        prop_assert_eq!(map.is_boundary_ip(base, base), inside.contains(&0));
    }
}

#[test]
fn short_bitmaps_are_refused() {
    assert!(Builder::new(&mut [0], 65).is_none());
    assert!(Boundaries::new(&[0], 65).is_none());
    assert!(Builder::new(&mut [0], 64).is_some());
    assert!(Boundaries::new(&[], 0).is_some());
}
