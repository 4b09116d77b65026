// SPDX-License-Identifier: GPL-2.0
//! Helpers whose first argument is a map that holds the program's data.
//!
//! Source: `kernel/bpf/helpers.c`, `kernel/bpf/ringbuf.c`.  Map types follow
//! `check_map_func_compatibility()`, less those whose lookup returns an address
//! inside a kernel object (DEVMAP, XSKMAP, SOCKMAP: see `run/`).  What is in a map of maps has a
//! name, see `state/maps_of_maps.rs`.

use super::contract::{
    helper, mem, Access::*, Arg, Contract, ProgTypes, Ret, ANY, CTX, NO, SIZE_OR_ZERO,
};
use crate::maps::types::{MapTypes, BLOOM_FILTER, RINGBUF};

const ALL: ProgTypes = ProgTypes::ALL;
const CHANGED: Arg = Arg::MapPtr(MapTypes::CHANGED);
const LOOKED_UP: Arg = Arg::MapPtr(MapTypes::LOOKED_UP);
const PERCPU: Arg = Arg::MapPtr(MapTypes::PERCPU);
const FIFO: Arg = Arg::MapPtr(MapTypes::FIFO);
const FIFO_OR_BLOOM: Arg = Arg::MapPtr(MapTypes::FIFO.or(MapTypes::of(&[BLOOM_FILTER])));
const PROGRAMS: Arg = Arg::MapPtr(MapTypes::PROGRAMS);
pub(super) const WALKED: Arg = Arg::MapPtr(MapTypes::WALKED);
const RING: Arg = Arg::MapPtr(RINGS);
const TIMED: Arg = Arg::MapPtr(MapTypes::TIMED);

/// What has records.
pub const RINGS: MapTypes = MapTypes::of(&[RINGBUF]);

pub(super) const CONTRACTS: &[Contract] = &[
    helper(
        1,
        "map_lookup_elem",
        ALL,
        [LOOKED_UP, Arg::MapKey, NO, NO, NO],
    )
    .leaves_maps()
    .returns(Ret::MapValueOrNull),
    // An LPM trie also believes its key twice; see `audit::bounce_of`.
    helper(
        2,
        "map_update_elem",
        ALL,
        [CHANGED, Arg::MapKey, Arg::MapValue, ANY, NO],
    )
    .changes_map()
    .returns(Ret::Int),
    helper(
        3,
        "map_delete_elem",
        ALL,
        [CHANGED, Arg::MapKey, NO, NO, NO],
    )
    .changes_map()
    .returns(Ret::Int),
    // Not called: `run/tail_call.S`.
    helper(12, "tail_call", ALL, [CTX, PROGRAMS, ANY, NO, NO]).returns(Ret::Void),
    helper(
        87,
        "map_push_elem",
        ALL,
        [FIFO_OR_BLOOM, Arg::MapValue, ANY, NO, NO],
    )
    .changes_map()
    .returns(Ret::Int),
    helper(
        88,
        "map_pop_elem",
        ALL,
        [FIFO, Arg::MapValueOut, NO, NO, NO],
    )
    .changes_map()
    .returns(Ret::Int),
    // Of a Bloom filter, peek only reads the value; see `audit::grant`.
    helper(
        89,
        "map_peek_elem",
        ALL,
        [FIFO_OR_BLOOM, Arg::MapValueOut, NO, NO, NO],
    )
    .returns(Ret::Int),
    helper(93, "spin_lock", ALL, [Arg::Lock, NO, NO, NO, NO]).returns(Ret::Void),
    helper(94, "spin_unlock", ALL, [Arg::Lock, NO, NO, NO, NO]).returns(Ret::Void),
    helper(
        130,
        "ringbuf_output",
        ALL,
        [RING, mem(Read, 2), SIZE_OR_ZERO, ANY, NO],
    )
    .leaves_maps(),
    helper(
        131,
        "ringbuf_reserve",
        ALL,
        [RING, Arg::RecordSize, ANY, NO, NO],
    )
    .leaves_maps()
    .returns(Ret::RecordOrNull),
    helper(132, "ringbuf_submit", ALL, [Arg::Record, ANY, NO, NO, NO])
        .leaves_maps()
        .returns(Ret::Void),
    helper(133, "ringbuf_discard", ALL, [Arg::Record, ANY, NO, NO, NO])
        .leaves_maps()
        .returns(Ret::Void),
    helper(134, "ringbuf_query", ALL, [RING, ANY, NO, NO, NO]),
    // What the function is given: `moat_callback_element`. What is for it alone is not
    // looked at.
    helper(
        164,
        "for_each_map_elem",
        ALL,
        [WALKED, Arg::Function, ANY, ANY, NO],
    )
    .leaves_maps()
    .returns(Ret::Int),
    // `run/timers.rs` sees to these. What the verifier adds to the second one's arguments is
    // the kernel's to say.
    helper(169, "timer_init", ALL, [Arg::Timer, TIMED, ANY, NO, NO]),
    helper(
        170,
        "timer_set_callback",
        ALL,
        [Arg::Timer, Arg::Function, NO, NO, NO],
    ),
    helper(171, "timer_start", ALL, [Arg::Timer, ANY, ANY, NO, NO]),
    helper(172, "timer_cancel", ALL, [Arg::Timer, NO, NO, NO, NO]),
    helper(
        195,
        "map_lookup_percpu_elem",
        ALL,
        [PERCPU, Arg::MapKey, ANY, NO, NO],
    )
    .leaves_maps()
    .returns(Ret::MapValueOrNull),
];
