// SPDX-License-Identifier: GPL-2.0
//! Copies of program memory are of all that was granted and of nothing else.
//!
//! The module's own file runs here, on memory of this process.

// 1.63 is for what the kernel's rustc sees.
#![allow(clippy::incompatible_msrv)]

use moat_logic::helpers;
use moat_logic::helpers::audit::{
    audit, audit_lookup, readable, string, within, writable, Allegation, CallerMemory, MapInfo,
};
use moat_logic::helpers::contract::BOUNCE_MAX;
use moat_logic::helpers::table;
use moat_logic::maps::types;
use proptest::prelude::*;

#[path = "../kernel/program_memory.rs"]
mod program_memory;

use program_memory::{copy_in, first_u32, Kept, KernelCopy, Words};

const MAP: u64 = 0x1000;

/// A program that has `len` bytes at `base`.
struct Caller {
    base: u64,
    len: u64,
    map: MapInfo,
}

impl Caller {
    fn of(bytes: &mut [u8], ty: u32, key_size: u32) -> Caller {
        Caller {
            base: bytes.as_mut_ptr() as u64,
            len: bytes.len() as u64,
            map: MapInfo {
                kernel: MAP,
                ty,
                key_size,
                value_size: 8,
                flags: 0,
            },
        }
    }
}

// SAFETY: the tests keep the bytes they made it of.
unsafe impl CallerMemory for Caller {
    fn contains(&self, addr: u64, len: u64, _write: bool) -> bool {
        len == 0 || within(self.base, self.len, addr, len)
    }
}

impl helpers::audit::Caller for Caller {
    fn map(&self, addr: u64) -> Option<&MapInfo> {
        (addr == MAP).then_some(&self.map)
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

fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len)
        .map(|i| (i as u8).wrapping_mul(37) ^ seed)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_bounced_argument_is_as_long_as_it_was_granted(
        told in 1_u32..400, bytes in 0_u16..400, at in 0_usize..16, back: bool,
    ) {
        let mut theirs = pattern(at + 400 + 16, 4);
        let was = theirs.clone();
        let caller = Caller::of(&mut theirs, types::LPM_TRIE, told);
        // A key of an LPM trie may be read; fib_lookup() writes to what it is given, too.
        let addr = Allegation(caller.base + at as u64);
        let zero = Allegation(0);
        let checked = if back {
            let raw = [zero, addr, Allegation(told.into()), zero, zero];
            audit(table::contract(69).unwrap(), &raw, &caller).unwrap()
        } else {
            let raw = [Allegation(MAP), addr, addr, zero, zero];
            audit(table::contract(2).unwrap(), &raw, &caller).unwrap()
        };
        let memory = checked.bounce.unwrap().memory;
        prop_assert_eq!(memory.len(), told);
        let len = (told as usize).min(bytes.into()).min(BOUNCE_MAX);

        let mut copy = KernelCopy::new();
        let ours = copy.take(memory, bytes);
        // SAFETY: the copy has `len` bytes.
        let ours = unsafe { core::slice::from_raw_parts_mut(ours as *mut u8, len) };
        prop_assert_eq!(&ours[..], &was[at..at + len]);
        ours.fill(0xa5);
        copy.give_back(memory);
        let end = if back { at + len } else { at };
        prop_assert!(theirs[at..end].iter().all(|b| *b == 0xa5));
        prop_assert_eq!(&theirs[..at], &was[..at]);
        prop_assert_eq!(&theirs[end..], &was[end..]);
    }

    /// What the kernel has of an argument that it looks at beyond the size it is told.
    #[test]
    fn a_kept_argument_has_zeros_behind_it(len in 0_u64..40, room in 0_usize..16) {
        let mut theirs = pattern(64, 8);
        let was = theirs.clone();
        let caller = Caller::of(&mut theirs, types::ARRAY, 4);
        let at = caller.base + room as u64;
        let mut kept = Kept::<12>::new();
        let memory = (len != 0).then(|| writable(at, len, &caller).unwrap());
        let ours = kept.take(memory).get() as *mut u8;
        let has = (len as usize).min(12);
        // SAFETY: `kept` has so many, and stays where it is.
        let ours = unsafe { core::slice::from_raw_parts_mut(ours, 12) };
        prop_assert_eq!(&ours[..has], &was[room..room + has]);
        prop_assert!(ours[has..].iter().all(|b| *b == 0));
        ours.fill(0xa5);
        if let Some(memory) = memory {
            kept.give_back(readable(at, len, &caller).unwrap());
            prop_assert_eq!(&theirs, &was);
            kept.give_back(memory);
        }
        prop_assert!(theirs[room..room + has].iter().all(|b| *b == 0xa5));
        prop_assert_eq!(&theirs[..room], &was[..room]);
        prop_assert_eq!(&theirs[room + has..], &was[room + has..]);
    }

    #[test]
    fn an_index_is_read_wherever_it_is(at in 0_usize..16, key_size in 0_u32..8) {
        let mut theirs = pattern(32, 5);
        let caller = Caller::of(&mut theirs, types::ARRAY, key_size);
        let key = Allegation(caller.base + at as u64);
        let (_, key) = audit_lookup(Allegation(MAP), key, &caller).unwrap();
        let want = u32::from_ne_bytes(theirs[at..at + 4].try_into().unwrap());
        prop_assert_eq!(first_u32(key), (key_size >= 4).then_some(want));
    }

    #[test]
    fn words_are_those_of_the_memory(len in 0_u64..100, i in 0_u64..16, value: u64) {
        let mut theirs = pattern(128, 6);
        let was = theirs.clone();
        let caller = Caller::of(&mut theirs, types::ARRAY, 4);
        let at = i as usize * 8;
        let has = i < len / 8;
        let mine = Words::from(readable(caller.base, len, &caller).unwrap());
        let want = u64::from_ne_bytes(was[at..at + 8].try_into().unwrap());
        prop_assert_eq!(mine.get(i), if has { want } else { 0 });
        prop_assert_eq!(mine.addr(i), caller.base + 8 * i);
        mine.set(i, value);
        prop_assert_eq!(&theirs, &was);
        Words::from(writable(caller.base, len, &caller).unwrap()).set(i, value);
        prop_assert_eq!(&theirs[..at], &was[..at]);
        prop_assert_eq!(&theirs[at + 8..], &was[at + 8..]);
        let value = if has { value } else { want };
        prop_assert_eq!(&theirs[at..at + 8], &value.to_ne_bytes()[..]);
    }

    #[test]
    fn a_string_is_as_long_as_its_memory(at in 0_u64..140, most in 0_u32..200, room in 0_usize..200) {
        let mut theirs = pattern(128, 7);
        let caller = Caller::of(&mut theirs, types::ARRAY, 4);
        let len = 128_u64.saturating_sub(at).min(most.into());
        let granted = string(caller.base + at, most, &caller);
        prop_assert_eq!(granted.map_or(0, |memory| memory.len().into()), len);
        if let Some(memory) = granted {
            let mut copy = vec![0xee; room];
            let copied = copy_in(memory, &mut copy);
            prop_assert_eq!(copied, room.min(len as usize));
            prop_assert_eq!(&copy[..copied], &theirs[at as usize..at as usize + copied]);
            prop_assert!(copy[copied..].iter().all(|b| *b == 0xee));
        }
    }
}

/// Records are copied as they are, of any size, and no byte more.
#[test]
fn a_record_is_copied_whole() {
    for len in 0..80_usize {
        let from: Vec<u8> = (1..=len as u8).collect();
        let mut to = vec![0xee_u8; len + 16];
        let (a, b) = (from.as_ptr() as u64, to[8..].as_mut_ptr() as u64);
        // SAFETY: both are there, apart, and nobody else looks.
        unsafe { program_memory::Copying::new(a, b, len as u64) }.all();
        assert_eq!(&to[8..8 + len], &from[..]);
        assert!(to[..8].iter().chain(&to[8 + len..]).all(|b| *b == 0xee));
    }
}
