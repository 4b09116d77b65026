// SPDX-License-Identifier: GPL-2.0
//! Copies of program memory are of all that was granted and of nothing else.
//!
//! The module's own file runs here, on memory of this process.

// 1.63 is for what the kernel's rustc sees.
#![allow(clippy::incompatible_msrv)]

use moat_logic::helpers;
use moat_logic::helpers::audit::{audit, audit_lookup, within, Allegation, CallerMemory, MapInfo};
use moat_logic::helpers::contract::BOUNCE_MAX;
use moat_logic::helpers::table;
use moat_logic::maps::types;
use proptest::prelude::*;

#[path = "../kernel/program_memory.rs"]
mod program_memory;

use program_memory::{first_u32, Copying, KernelCopy, RunSlot};

/// What the file needs of the kernel's structures.
mod ffi {
    #![allow(non_camel_case_types)]

    pub struct moat_slot {
        pub snap: u64,
        pub pkt: u64,
        pub shadow: u64,
    }

    #[derive(Default)]
    pub struct moat_ctx_plan {
        pub words: u64,
        pub pkt_off: u32,
        pub len_off: u32,
        pub data_len_off: u32,
        pub data_off: u32,
    }
}

mod edge {
    pub(crate) use super::ffi;
}

use ffi::{moat_ctx_plan, moat_slot};

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
}

fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len)
        .map(|i| (i as u8).wrapping_mul(37) ^ seed)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_packet_is_copied_and_nothing_else(
        len in 0_usize..1600, from in 0_usize..16, meta in 0_usize..=256,
    ) {
        let meta = meta.min(len);
        let packet = pattern(from + len, 1);
        let mut area = pattern(256 + 1600 + 16, 2);
        let want = area.clone();
        let slot = moat_slot { snap: 0, pkt: area.as_mut_ptr() as u64 + 256, shadow: 0 };
        let plan = moat_ctx_plan::default();
        // SAFETY: nothing loads or stores a context.
        let copy = unsafe { RunSlot::new(&slot, &plan) }.packet(meta as u64);
        let source = packet[from..].as_ptr() as u64;
        // SAFETY: there is room for all of it.
        unsafe { Copying::new(source, copy, len as u64) }.all();
        let (first, last) = (256 - meta, 256 - meta + len);
        prop_assert_eq!(&area[first..last], &packet[from..]);
        prop_assert_eq!(&area[..first], &want[..first]);
        prop_assert_eq!(&area[last..], &want[last..]);

        let mut back = pattern(from + len + 16, 3);
        let target = back[from..].as_mut_ptr() as u64;
        // SAFETY: as above.
        unsafe { Copying::new(copy, target, len as u64) }.all();
        prop_assert_eq!(&back[from..from + len], &packet[from..]);
        prop_assert_eq!(&back[..from], &pattern(from, 3)[..]);
        prop_assert_eq!(&back[from + len..], &pattern(from + len + 16, 3)[from + len..]);
    }

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
    fn what_is_hidden_is_not_shown(words: u64, hidden: u64) {
        let shadow: Vec<u64> = (0..64).map(|i| 1000 + i).collect();
        let mut snap = vec![7_u64; 64];
        let slot = moat_slot {
            snap: snap.as_mut_ptr() as u64,
            pkt: 0,
            shadow: shadow.as_ptr() as u64,
        };
        let plan = moat_ctx_plan { words, ..Default::default() };
        // SAFETY: both have 64 words.
        unsafe { RunSlot::new(&slot, &plan) }.show(hidden);
        for i in 0..64 {
            let shown = words & !hidden & 1 << i != 0;
            prop_assert_eq!(snap[i], if shown { shadow[i] } else { 7 });
        }
    }
}

#[test]
fn packet_pointers_lead_to_the_copy() {
    let shadow = [0_u64, 11, 22, 33];
    let mut snap = [0_u64; 4];
    let slot = moat_slot {
        snap: snap.as_mut_ptr() as u64,
        pkt: 0x1_0000,
        shadow: shadow.as_ptr() as u64,
    };
    let plan = moat_ctx_plan {
        pkt_off: 8,
        ..Default::default()
    };
    // SAFETY: both have three words at `pkt_off`.
    let slot = unsafe { RunSlot::new(&slot, &plan) };
    assert_eq!(slot.packet_pointers(), [11, 22, 33]);
    slot.show_packet(100, 8);
    assert_eq!(snap, [0, 0x1_0000, 0x1_0064, 0xfff8]);
}

#[test]
fn a_classic_filter_is_told_what_is_left() {
    let shadow = [100_u32, 5, 0, 0];
    let mut snap = [0_u32; 4];
    let slot = moat_slot {
        snap: snap.as_mut_ptr() as u64,
        pkt: 0x1_0000,
        shadow: shadow.as_ptr() as u64,
    };
    let plan = moat_ctx_plan {
        len_off: 0,
        data_len_off: 4,
        data_off: 8,
        ..Default::default()
    };
    // SAFETY: both have these fields.
    unsafe { RunSlot::new(&slot, &plan) }.show_classic_packet(64);
    assert_eq!(snap, [0, 36, 0x1_0000, 0]);
}
