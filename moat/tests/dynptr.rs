// SPDX-License-Identifier: GPL-2.0
//! What is made of dynptrs, against a model that thinks in single bytes and 128-bit numbers.

use moat_logic::helpers::audit::*;
use moat_logic::helpers::dynptr::*;
use proptest::prelude::*;

/// Writable memory of the test program, and read-only memory right after it.
const RW: u64 = 0xffff_fe80_0020_0000;
const SIZE: u64 = 0x1000;

struct Test;

// SAFETY: nobody looks at the memory.
unsafe impl CallerMemory for Test {
    fn contains(&self, addr: u64, len: u64, write: bool) -> bool {
        within(RW, if write { SIZE } else { 2 * SIZE }, addr, len)
    }
}

impl Caller for Test {
    fn map(&self, _addr: u64) -> Option<&MapInfo> {
        None
    }
    fn ctx(&self) -> u64 {
        0
    }
    fn snapshot(&self) -> u64 {
        0
    }
    fn pkt_data(&self) -> u64 {
        0
    }
    fn headlen(&self) -> u64 {
        0
    }
    fn callback(&self, _addr: u64) -> Option<u64> {
        None
    }
}

/// What the kernel's helper would do: answer so, or touch the bytes from there on.
fn kernel(dynptr: &Dynptr, part: &Part) -> Result<u128, i64> {
    let size = dynptr.size & 0xff_ffff;
    let read_only = dynptr.size >> 31 != 0;
    if dynptr.data == 0 || part.flags != 0 || part.write && read_only {
        return Err(-22);
    }
    if u64::from(part.offset) + u64::from(part.len) > size.into() {
        return Err(-7);
    }
    let start = u128::from(dynptr.data) + u128::from(dynptr.offset) + u128::from(part.offset);
    Ok(start & u128::from(u64::MAX))
}

fn address() -> impl Strategy<Value = u64> {
    let edges = prop_oneof![
        Just(0),
        Just(RW),
        Just(RW + SIZE),
        Just(RW + 2 * SIZE),
        Just(RW.wrapping_sub(1 << 32)),
        Just(u64::MAX),
    ];
    prop_oneof![
        4 => (edges, -72i64..72).prop_map(|(at, d): (u64, i64)| at.wrapping_add(d as u64)),
        4 => RW..RW + 2 * SIZE,
        1 => any::<u64>(),
        1 => Just(0),
    ]
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => 0u32..80,
        2 => 0u32..0x2000,
        1 => (MAX_SIZE - 80)..(MAX_SIZE + 80),
        1 => (u32::MAX - 80)..=u32::MAX,
        1 => any::<u32>(),
    ]
}

fn dynptr() -> impl Strategy<Value = Dynptr> {
    let bits = prop_oneof![Just(0), Just(1u32 << 28), Just(RINGBUF), any::<u32>()];
    (address(), number(), bits, number()).prop_map(|(data, size, bits, offset)| Dynptr {
        data,
        size: size & MAX_SIZE | bits & !MAX_SIZE,
        offset,
    })
}

fn part() -> impl Strategy<Value = Part> {
    let flags = prop_oneof![6 => Just(0), 1 => any::<u64>()];
    (number(), number(), any::<bool>(), flags).prop_map(|(offset, len, write, flags)| Part {
        offset,
        len,
        write,
        flags,
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 50_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_reached_is_what_the_kernel_touches(dynptr in dynptr(), part in part()) {
        let got = dynptr.reach(&part, &Test);
        match kernel(&dynptr, &part) {
            Err(answer) => prop_assert!(matches!(got, Ok(Err(same)) if same == answer)),
            Ok(start) => {
                let end = start + u128::from(part.len);
                let limit = u128::from(RW) + u128::from(if part.write { SIZE } else { 2 * SIZE });
                let own = part.len == 0 || start >= u128::from(RW) && end <= limit;
                match got {
                    Ok(Ok(reached)) => prop_assert!(own && *reached.dynptr() == dynptr),
                    Err(Why::ReadOnly) => prop_assert!(!own && part.write),
                    Err(why) => prop_assert!(!own && why == Why::Memory),
                    Ok(Err(_)) => prop_assert!(false),
                }
            }
        }
    }

    #[test]
    fn words_are_the_structure(dynptr in dynptr()) {
        let [data, last] = dynptr.words();
        prop_assert_eq!(data, dynptr.data);
        prop_assert_eq!(last.to_le_bytes()[..4].to_vec(), dynptr.size.to_le_bytes().to_vec());
        prop_assert_eq!(last.to_le_bytes()[4..].to_vec(), dynptr.offset.to_le_bytes().to_vec());
        prop_assert_eq!(Dynptr::from_words([data, last]), dynptr);
    }

    /// `__bpf_ringbuf_reserve()`, of a ring with nothing in it.
    #[test]
    fn the_largest_record_fits(pages in 12u32..31, more in 0u32..40) {
        let total = 1u32 << pages;
        let takes = |size: u32| (size + 8 + 7) / 8 * 8;
        let largest = largest_record(total);
        prop_assert!(takes(largest) < total);
        prop_assert!(takes(largest + 1 + more) > total - 1);
    }
}

#[test]
fn what_is_not_reserved_is_answered_in_the_kernels_order() {
    assert_eq!(not_reserved(MAX_SIZE, 0), None);
    assert_eq!(not_reserved(MAX_SIZE + 1, 0), Some(E2BIG));
    assert_eq!(not_reserved(MAX_SIZE + 1, 1), Some(EINVAL));
    assert_eq!(not_reserved(0, 1 << 40), Some(EINVAL));
    assert_eq!(largest_record(0), 0);
}

#[test]
fn a_record_has_its_size_and_type() {
    let dynptr = Dynptr::of_record(RW, 100);
    assert_eq!(dynptr.words(), [RW, 100 | 2 << 28]);
    assert_eq!(Dynptr::NULL.words(), [0, 0]);
}
