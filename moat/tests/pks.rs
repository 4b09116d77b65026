// SPDX-License-Identifier: GPL-2.0
//! PKRS and paging-entry keys against the wording of Intel SDM Vol. 3A, 4.6.2.

use moat_logic::pks::*;
use proptest::prelude::*;

fn key() -> impl Strategy<Value = Key> {
    (0u8..16).prop_map(|n| Key::new(n).unwrap())
}

fn set() -> impl Strategy<Value = KeySet> {
    proptest::collection::vec(key(), 0..16)
        .prop_map(|keys| keys.into_iter().fold(KeySet::EMPTY, KeySet::with))
}

#[test]
fn fixed_values() {
    assert_eq!(Pkrs::for_program(KeySet::EMPTY).bits(), 0x5555_5559);
    let two = KeySet::of(Key::FIRST_PROGRAM);
    assert_eq!(Pkrs::for_program(two).bits(), 0x5555_5549);
    assert_eq!(Pkrs::for_integrity(two).bits(), 0x5555_554a);
    assert_eq!(Pkrs::all_denied_but(Key::KERNEL).bits(), 0x5555_5554);
    assert_eq!(pte_key_mask(), 0x7800_0000_0000_0000);
    assert_eq!(KeySet::PROGRAMS.len() as usize, Key::PROGRAMS);
}

#[test]
fn numbers_past_the_last_key_are_refused() {
    assert_eq!(Key::new(16), None);
    assert_eq!(Key::program(Key::PROGRAMS), None);
    assert_eq!(Key::program(0), Some(Key::FIRST_PROGRAM));
    assert_eq!(Key::program(12), Some(Key::LAST_PROGRAM));
    assert_eq!(Key::PARKED.program_index(), None);
}

proptest! {
    #[test]
    fn permits_is_ad_then_wd(bits: u32, key in key(), write: bool) {
        let ad = bits >> (2 * key.get()) & 1 == 1;
        let wd = bits >> (2 * key.get() + 1) & 1 == 1;
        let allowed = !(ad || write && wd);
        prop_assert_eq!(Pkrs::from_bits(bits).permits(key, write), allowed);
    }

    #[test]
    fn changing_one_key_leaves_the_others(bits: u32, key in key(), other in key(), write: bool) {
        let old = Pkrs::from_bits(bits);
        prop_assert!(old.allow(key).permits(key, true));
        prop_assert!(old.read_only(key).permits(key, false));
        prop_assert!(!old.read_only(key).permits(key, true));
        prop_assert!(!old.deny(key).permits(key, false));
        if key != other {
            for new in [old.allow(key), old.read_only(key), old.deny(key)] {
                prop_assert_eq!(new.permits(other, write), old.permits(other, write));
            }
        }
    }

    #[test]
    fn a_program_opens_its_own_keys_and_no_others(keys in set(), key in key()) {
        let pkrs = Pkrs::for_program(keys);
        let own = keys.and(KeySet::PROGRAMS).contains(key);
        prop_assert_eq!(pkrs.permits(key, true), own);
        prop_assert_eq!(pkrs.permits(key, false), own || key == Key::SHARED_RO);
        let integrity = Pkrs::for_integrity(keys);
        prop_assert_eq!(integrity.permits(key, true), own);
    }

    #[test]
    fn retagging_changes_only_the_key(pte: u64, key in key()) {
        let new = with_key(pte, key);
        prop_assert_eq!(key_of(new), key);
        prop_assert_eq!(new & !pte_key_mask(), pte & !pte_key_mask());
    }

    #[test]
    fn sets_behave(set in set(), key in key()) {
        prop_assert!(set.with(key).contains(key));
        prop_assert!(!set.without(key).contains(key));
        prop_assert_eq!(set.first().is_none(), set.is_empty());
        prop_assert_eq!(set.or(KeySet::of(key)), set.with(key));
    }
}
