// SPDX-License-Identifier: GPL-2.0
//! The boundary map says yes to exactly what was marked.

use moat_logic::code::insn_starts::*;
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

proptest! {
    #[test]
    fn the_first_that_only_one_has(
        len in 1usize..300,
        a in proptest::collection::btree_set(0usize..300, 0..60),
        b in proptest::collection::btree_set(0usize..300, 0..60),
    ) {
        let (mut abits, mut bbits) = (vec![0; words(len)], vec![!0; words(len)]);
        let mark = |bits, marks: &std::collections::BTreeSet<usize>| {
            let mut builder = Builder::new(bits, len).unwrap();
            for offset in marks {
                let _ = builder.mark(*offset);
            }
        };
        mark(&mut abits, &a);
        mark(&mut bbits, &b);
        let (first, second) = (Boundaries::new(&abits, len).unwrap(), Boundaries::new(&bbits, len).unwrap());
        let want = a.difference(&b).copied().find(|offset| *offset < len);
        prop_assert_eq!(first.first_not_in(&second), want);
        prop_assert_eq!(first.first_not_in(&first), None);
    }
}

#[test]
fn short_bitmaps_are_refused() {
    assert!(Builder::new(&mut [0], 65).is_none());
    assert!(Boundaries::new(&[0], 65).is_none());
    assert!(Builder::new(&mut [0], 64).is_some());
    assert!(Boundaries::new(&[], 0).is_some());
}
