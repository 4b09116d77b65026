// SPDX-License-Identifier: GPL-2.0
//! Map types and sets of them.
//!
//! C header: [`include/uapi/linux/bpf.h`], `enum bpf_map_type`.
//! Reference: `check_map_func_compatibility()` in `kernel/bpf/verifier.c`.

/// A set of map types; bit `n` stands for `enum bpf_map_type` value `n`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapTypes(u64);

pub const HASH: u32 = 1;
pub const ARRAY: u32 = 2;
pub const PERF_EVENT_ARRAY: u32 = 4;
pub const PERCPU_HASH: u32 = 5;
pub const PERCPU_ARRAY: u32 = 6;
pub const CGROUP_ARRAY: u32 = 8;
pub const LRU_HASH: u32 = 9;
pub const LRU_PERCPU_HASH: u32 = 10;
pub const LPM_TRIE: u32 = 11;
pub const ARRAY_OF_MAPS: u32 = 12;
pub const HASH_OF_MAPS: u32 = 13;
pub const DEVMAP: u32 = 14;
pub const CPUMAP: u32 = 16;
pub const XSKMAP: u32 = 17;
pub const QUEUE: u32 = 22;
pub const STACK: u32 = 23;
pub const DEVMAP_HASH: u32 = 25;
pub const RINGBUF: u32 = 27;
pub const BLOOM_FILTER: u32 = 30;

/// In `map_flags`: programs may look at the map and not change it.
pub const RDONLY_PROG: u32 = 1 << 7;

/// Names as `enum bpf_map_type` has them, less `BPF_MAP_TYPE_`, by value.
pub const NAMES: [&str; 32] = [
    "UNSPEC",
    "HASH",
    "ARRAY",
    "PROG_ARRAY",
    "PERF_EVENT_ARRAY",
    "PERCPU_HASH",
    "PERCPU_ARRAY",
    "STACK_TRACE",
    "CGROUP_ARRAY",
    "LRU_HASH",
    "LRU_PERCPU_HASH",
    "LPM_TRIE",
    "ARRAY_OF_MAPS",
    "HASH_OF_MAPS",
    "DEVMAP",
    "SOCKMAP",
    "CPUMAP",
    "XSKMAP",
    "SOCKHASH",
    "CGROUP_STORAGE",
    "REUSEPORT_SOCKARRAY",
    "PERCPU_CGROUP_STORAGE",
    "QUEUE",
    "STACK",
    "SK_STORAGE",
    "DEVMAP_HASH",
    "STRUCT_OPS",
    "RINGBUF",
    "INODE_STORAGE",
    "TASK_STORAGE",
    "BLOOM_FILTER",
    "USER_RINGBUF",
];

impl MapTypes {
    /// No type.
    pub const NONE: MapTypes = MapTypes(0);
    /// Types with one copy of each value per CPU.
    pub const PERCPU: MapTypes = MapTypes::of(&[PERCPU_HASH, PERCPU_ARRAY, LRU_PERCPU_HASH]);
    /// Types with a key and a value that programs look up and change.
    pub const KEYED: MapTypes =
        MapTypes::of(&[HASH, ARRAY, LRU_HASH, LPM_TRIE]).or(MapTypes::PERCPU);
    /// Types whose values are maps; programs look them up only.
    pub const OF_MAPS: MapTypes = MapTypes::of(&[ARRAY_OF_MAPS, HASH_OF_MAPS]);
    /// Types with a key that can be looked up.
    pub const LOOKED_UP: MapTypes = MapTypes::KEYED.or(MapTypes::OF_MAPS);
    /// Types that hand out values and never addresses.
    pub const FIFO: MapTypes = MapTypes::of(&[QUEUE, STACK]);
    /// Types a packet can be redirected through.
    pub const REDIRECT: MapTypes = MapTypes::of(&[DEVMAP, DEVMAP_HASH, CPUMAP, XSKMAP]);

    /// Exactly the listed types, each below 64.
    pub const fn of(types: &[u32]) -> MapTypes {
        let mut bits = 0;
        let mut i = 0;
        while i < types.len() {
            bits |= 1 << types[i];
            i += 1;
        }
        MapTypes(bits)
    }

    /// Types in either set.
    #[must_use]
    pub const fn or(self, other: MapTypes) -> MapTypes {
        MapTypes(self.0 | other.0)
    }

    /// Whether the set holds `ty`.
    #[inline(always)]
    pub const fn contains(self, ty: u32) -> bool {
        ty < 64 && self.0 >> ty & 1 != 0
    }
}
