// SPDX-License-Identifier: GPL-2.0
//! What a site makes of its arguments without an audit is what the audit makes of them.

use crate::books::books;
use crate::helpers::audit::{value_span, within};
use crate::pks::Key;
use crate::plans::KINDS;
use crate::prog_types::Level;
use crate::setup::{Setup, Size};
use crate::system::System;
use kernel::machine::Broken;
use proptest::prelude::{any, Strategy};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// As `run/map_calls.S` compares.
fn fits(addr: u64, area: u64, last: u64) -> bool {
    addr.wrapping_sub(area) <= last
}

/// Addresses near both ends of the area, and far from it.
fn addresses((base, len): (u64, u64)) -> impl Iterator<Item = u64> {
    let near = move |at: u64| (0..64).map(move |i| at.wrapping_add(i).wrapping_sub(32));
    let mut runner = TestRunner::deterministic();
    let far = (0..1000).map(move |_| {
        let address = any::<u64>().new_tree(&mut runner);
        address.expect("any will do").current()
    });
    let ends = [base, base + len, 0, base.wrapping_neg()];
    ends.into_iter().flat_map(near).chain(far)
}

#[test]
fn sites_compare_as_audits_do() {
    let setup = Setup {
        keys: Key::PROGRAMS,
        maps: vec![
            (Size::Page, false),
            (Size::Page, true),
            (Size::Granule, false),
        ],
        outers: vec![],
    };
    for kind in KINDS {
        let mut system = System::new(&setup, Broken::Not);
        let maps = [system.map(0), system.map(1), system.map(2)];
        let loaded = system.load(&maps, Level::Confidentiality, kind, None);
        loaded.expect("there is memory");
        books(|books| {
            let program = books.programs[0].get();
            let area = program.gates.area();
            let calls = [1, 2].map(|n| program.map_call(n).expect("a hash map").1);
            for (call, used) in calls.into_iter().zip(program.own_maps()) {
                assert_eq!(call.map, used.info.kernel);
                let values = used.values.expect("it has a place");
                // As in the kernel that stands in here, values are where the map is.
                assert_eq!(call.map.wrapping_add(call.to_window), values.base);
                for addr in addresses(area) {
                    let granted = |bytes| within(area.0, area.1, addr, bytes);
                    let key = granted(used.info.key_size.into());
                    assert_eq!(fits(addr, call.area, call.last_key), key);
                    let value = granted(value_span(&used.info));
                    assert_eq!(fits(addr, call.area, call.last_value), value);
                    let elems = 40 + 16 * (16 + u64::from(used.info.key_size).next_multiple_of(8));
                    assert_eq!(fits(addr, call.area, call.last_elems), granted(elems));
                }
            }
            assert_ne!(calls[0].update, 0);
            assert_ne!(calls[0].delete, 0);
            // Programs may only read it.
            assert_eq!((calls[1].update, calls[1].delete), (0, 0));
            for other in [0, 3, 4, u32::MAX] {
                assert!(program.map_call(other).is_none());
            }
        });
        system.shut_down().expect("nothing is left");
    }
}
