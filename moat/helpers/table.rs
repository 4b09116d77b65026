// SPDX-License-Identifier: GPL-2.0
//! Every contract, found by number with one load.
//!
//! Covers the helpers that programs whose type has a row can call on Linux 6.1.

use super::contract::Contract;

/// First number of kernel functions that are not `BPF_FUNC_*`.
pub const INTERNAL_BASE: u32 = 0x1000;

/// First number of kernel functions that programs call by their names.
pub const KFUNC_BASE: u32 = 0x2000;

/// How many of these there are.
pub const KFUNCS: usize = 11;

/// `__BPF_FUNC_MAX_ID` of Linux 6.1.
pub const MAX_ID: usize = 210;

/// How many internal functions there are.
pub const INTERNALS: usize = 13;

/// What a program calls when it has stored to its copy of a connection's mark.
pub const STORE_MARK: u32 = INTERNAL_BASE + 11;

/// What a loop over a hash map calls for a batch of its elements.
pub const NEXT_ELEMS: u32 = INTERNAL_BASE + 12;

const GROUPS: [&[Contract]; 9] = [
    super::common::CONTRACTS,
    super::dynptrs::CONTRACTS,
    super::maps::CONTRACTS,
    super::net_both::CONTRACTS,
    super::net_skb::CONTRACTS,
    super::net_xdp::CONTRACTS,
    super::prints::CONTRACTS,
    super::sockets::CONTRACTS,
    super::refused::CONTRACTS,
];

type Cell = Option<&'static Contract>;

static HELPERS: [Cell; MAX_ID] = helpers();
static INTERNAL: [Cell; INTERNALS] = in_order(super::classic::CONTRACTS, INTERNAL_BASE);
static BY_NAME: [Cell; KFUNCS] = in_order(super::conntrack::CONTRACTS, KFUNC_BASE);

/// The contract of helper `id`; none if no supported program type can call it.
#[inline]
pub fn contract(id: u32) -> Option<&'static Contract> {
    if id < INTERNAL_BASE {
        *HELPERS.get(id as usize)?
    } else if id < KFUNC_BASE {
        *INTERNAL.get((id - INTERNAL_BASE) as usize)?
    } else {
        *BY_NAME.get((id - KFUNC_BASE) as usize)?
    }
}

/// The contract of the kernel's function called `name`; none if no program may call it.
pub fn kfunc(name: &str) -> Option<&'static Contract> {
    kfuncs().find(|contract| contract.name == name)
}

/// All of these.
pub fn kfuncs() -> impl Iterator<Item = &'static Contract> {
    BY_NAME.iter().filter_map(|slot| *slot)
}

/// Whether it is one of these that has this number.
#[inline(always)]
pub const fn is_kfunc(id: u32) -> bool {
    id >= KFUNC_BASE
}

/// Whether a helper of the kernel has this number.
#[inline(always)]
pub const fn is_helper(id: u32) -> bool {
    id < INTERNAL_BASE
}

/// Every contract of what has a number in the kernel, in their order.
pub fn all() -> impl Iterator<Item = &'static Contract> {
    HELPERS
        .iter()
        .chain(INTERNAL.iter())
        .filter_map(|slot| *slot)
}

/// A number used twice fails the build.
const fn helpers() -> [Cell; MAX_ID] {
    let mut slots: [Cell; MAX_ID] = [None; MAX_ID];
    let mut group = 0;
    while group < GROUPS.len() {
        let mut i = 0;
        while i < GROUPS[group].len() {
            let contract = &GROUPS[group][i];
            let slot = contract.id as usize;
            assert!(slots[slot].is_none(), "one number, two contracts");
            slots[slot] = Some(contract);
            i += 1;
        }
        group += 1;
    }
    slots
}

/// A number out of order fails the build.
const fn in_order<const N: usize>(all: &'static [Contract], base: u32) -> [Cell; N] {
    let mut slots: [Cell; N] = [None; N];
    let mut i = 0;
    while i < N {
        assert!(all[i].id == base + i as u32, "out of order");
        slots[i] = Some(&all[i]);
        i += 1;
    }
    assert!(all.len() == N);
    slots
}
