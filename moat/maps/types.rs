// SPDX-License-Identifier: GPL-2.0
//! Map types: one row each, and the sets that come from the rows.
//!
//! C header: [`include/uapi/linux/bpf.h`], `enum bpf_map_type`.
//! Reference: `check_map_func_compatibility()` in `kernel/bpf/verifier.c`.

#![forbid(unsafe_code)]

pub const HASH: u32 = 1;
pub const ARRAY: u32 = 2;
pub const PROG_ARRAY: u32 = 3;
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
pub const SOCKMAP: u32 = 15;
pub const CPUMAP: u32 = 16;
pub const XSKMAP: u32 = 17;
pub const SOCKHASH: u32 = 18;
pub const CGROUP_STORAGE: u32 = 19;
pub const PERCPU_CGROUP_STORAGE: u32 = 21;
pub const QUEUE: u32 = 22;
pub const STACK: u32 = 23;
pub const SK_STORAGE: u32 = 24;
pub const DEVMAP_HASH: u32 = 25;
pub const RINGBUF: u32 = 27;
pub const USER_RINGBUF: u32 = 31;
pub const BLOOM_FILTER: u32 = 30;

/// In `map_flags`: programs may look at the map and not change it.
pub const RDONLY_PROG: u32 = 1 << 7;

/// A map type that a helper with a contract takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapType {
    /// `enum bpf_map_type`.
    pub number: u32,
    /// As in [`NAMES`].
    pub name: &'static str,
    pub kind: Kind,
    pub key: Key,
    /// Whether there is one copy of each value per CPU.
    pub per_cpu: bool,
    /// Whether its values have a place in the window: `kernel/bpf/moat_map.c`.
    pub placed: bool,
}

/// What programs do with a map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// They look up and change values by key.
    Keyed,
    /// They look up the maps that are its values, by key.
    OfMaps,
    /// They put in and take out values, and never have an address.
    Fifo,
    /// They redirect packets through it, and may look up where to.
    Redirect,
    /// They look up and change the sockets that are its values, by key.
    Sockets,
    /// They get the value that a cgroup or a socket has of it, by helpers of its own.
    Storage,
    /// They go on in the programs that are its values, by tail calls.
    Programs,
    /// They pass it to helpers of its own.
    Other,
}

/// What the key of a map is to the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    /// There is none.
    None,
    /// Bytes to compare.
    Bytes,
    /// The index of an array.
    Index,
    /// A prefix: `struct bpf_lpm_trie_key`.
    Prefix,
}

impl MapType {
    const fn per_cpu(mut self) -> MapType {
        self.per_cpu = true;
        self
    }

    const fn placed(mut self) -> MapType {
        self.placed = true;
        self
    }
}

const fn row(number: u32, kind: Kind, key: Key) -> MapType {
    MapType {
        number,
        name: NAMES[number as usize],
        kind,
        key,
        per_cpu: false,
        placed: false,
    }
}

/// One row each, by number.
pub const ROWS: &[MapType] = &[
    row(HASH, Kind::Keyed, Key::Bytes).placed(),
    row(ARRAY, Kind::Keyed, Key::Index).placed(),
    row(PROG_ARRAY, Kind::Programs, Key::Index),
    row(PERF_EVENT_ARRAY, Kind::Other, Key::Index),
    row(PERCPU_HASH, Kind::Keyed, Key::Bytes).per_cpu().placed(),
    row(PERCPU_ARRAY, Kind::Keyed, Key::Index)
        .per_cpu()
        .placed(),
    row(CGROUP_ARRAY, Kind::Other, Key::Index),
    row(LRU_HASH, Kind::Keyed, Key::Bytes).placed(),
    row(LRU_PERCPU_HASH, Kind::Keyed, Key::Bytes)
        .per_cpu()
        .placed(),
    row(LPM_TRIE, Kind::Keyed, Key::Prefix).placed(),
    row(ARRAY_OF_MAPS, Kind::OfMaps, Key::Index),
    row(HASH_OF_MAPS, Kind::OfMaps, Key::Bytes),
    row(DEVMAP, Kind::Redirect, Key::Index),
    row(SOCKMAP, Kind::Sockets, Key::Index),
    row(CPUMAP, Kind::Redirect, Key::Index),
    row(XSKMAP, Kind::Redirect, Key::Index),
    row(SOCKHASH, Kind::Sockets, Key::Bytes),
    row(CGROUP_STORAGE, Kind::Storage, Key::None).placed(),
    row(PERCPU_CGROUP_STORAGE, Kind::Storage, Key::None)
        .per_cpu()
        .placed(),
    row(QUEUE, Kind::Fifo, Key::None),
    row(STACK, Kind::Fifo, Key::None),
    row(SK_STORAGE, Kind::Storage, Key::None).placed(),
    row(DEVMAP_HASH, Kind::Redirect, Key::Bytes),
    row(RINGBUF, Kind::Other, Key::None),
    row(BLOOM_FILTER, Kind::Other, Key::None),
    row(USER_RINGBUF, Kind::Other, Key::None),
];

/// The row of map type `number`.
pub fn find(number: u32) -> Option<&'static MapType> {
    ROWS.iter().find(|row| row.number == number)
}

/// Whether keys of this type are indices, which the kernel reads with a plain load.
#[inline(always)]
pub const fn is_array(number: u32) -> bool {
    MapTypes::ARRAYS.contains(number)
}

/// A set of map types; bit `n` stands for `enum bpf_map_type` value `n`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapTypes(u64);

/// The types whose row has what is asked for.
macro_rules! types {
    ($row:ident => $has:expr) => {{
        let mut bits = 0;
        let mut i = 0;
        while i < ROWS.len() {
            let $row = &ROWS[i];
            if $has {
                bits |= 1 << $row.number;
            }
            i += 1;
        }
        MapTypes(bits)
    }};
}

impl MapTypes {
    /// No type.
    pub const NONE: MapTypes = MapTypes(0);
    /// Every type that has a row.
    pub const ALL: MapTypes = types!(row => true);
    /// Types with one copy of each value per CPU, that programs look up.
    pub const PERCPU: MapTypes = types!(row => row.per_cpu && matches!(row.kind, Kind::Keyed));
    /// Types with a key and a value that programs look up and change.
    pub const KEYED: MapTypes = types!(row => matches!(row.kind, Kind::Keyed));
    /// Types whose values are maps; programs look them up only.
    pub const OF_MAPS: MapTypes = types!(row => matches!(row.kind, Kind::OfMaps));
    /// Types with a key that can be looked up.
    pub const LOOKED_UP: MapTypes = MapTypes::KEYED
        .or(MapTypes::OF_MAPS)
        .or(MapTypes::DEVICES)
        .or(MapTypes::SOCKETS)
        .or(MapTypes::SOCKMAPS);
    /// Types with a key and a value that programs change.
    pub const CHANGED: MapTypes = MapTypes::KEYED.or(MapTypes::SOCKMAPS);
    /// Types whose values are sockets, of which programs get references.
    pub const SOCKMAPS: MapTypes = types!(row => matches!(row.kind, Kind::Sockets));
    /// Types whose values say which device a packet goes to; programs get copies of these.
    pub const DEVICES: MapTypes = MapTypes::of(&[DEVMAP, DEVMAP_HASH]);
    /// Types whose values are sockets; programs learn that there is one.
    pub const SOCKETS: MapTypes = MapTypes::of(&[XSKMAP]);
    /// Types that hand out values and never addresses.
    pub const FIFO: MapTypes = types!(row => matches!(row.kind, Kind::Fifo));
    /// Types a packet can be redirected through.
    pub const REDIRECT: MapTypes = types!(row => matches!(row.kind, Kind::Redirect));
    /// Types whose values are programs to go on in.
    pub const PROGRAMS: MapTypes = types!(row => matches!(row.kind, Kind::Programs));
    /// Types whose elements `for_each_map_elem` has a function called for.
    pub const WALKED: MapTypes = MapTypes::of(&[
        HASH,
        ARRAY,
        PERCPU_HASH,
        PERCPU_ARRAY,
        LRU_HASH,
        LRU_PERCPU_HASH,
    ]);
    /// Types of which an update may take another element's place.
    pub const LRU: MapTypes = MapTypes::of(&[LRU_HASH, LRU_PERCPU_HASH]);
    /// Types whose values may have a timer in them: `map_check_btf()`.
    pub const TIMED: MapTypes = MapTypes::of(&[HASH, ARRAY, LRU_HASH]);
    /// Types whose keys are indices.
    pub const ARRAYS: MapTypes = types!(row => matches!(row.key, Key::Index));
    /// Types whose keys are prefixes.
    pub const TRIES: MapTypes = types!(row => matches!(row.key, Key::Prefix));
    /// Types whose values have a place in the window.
    pub const PLACED: MapTypes = types!(row => row.placed);
    /// Types of whose values programs have no address: what they find there are names or
    /// copies, or they find nothing there at all.
    pub const WITHOUT_ADDRESSES: MapTypes =
        types!(row => !matches!(row.kind, Kind::Keyed | Kind::Storage));
    /// Types that do not keep a program from being isolated: programs have no address of a
    /// value, or one in the window.
    pub const ISOLATED: MapTypes = MapTypes::PLACED.or(MapTypes::WITHOUT_ADDRESSES);

    /// Types that can be in a map of maps that programs use.
    pub const INNER: MapTypes = MapTypes::KEYED
        .or(MapTypes::FIFO)
        .or(MapTypes::SOCKETS)
        .or(MapTypes::DEVICES)
        .or(MapTypes::of(&[
            RINGBUF,
            PERF_EVENT_ARRAY,
            CGROUP_ARRAY,
            BLOOM_FILTER,
            USER_RINGBUF,
            SK_STORAGE,
        ]));

    /// Exactly the listed types.  One without a row fails the build.
    pub const fn of(types: &[u32]) -> MapTypes {
        let mut bits = 0;
        let mut i = 0;
        while i < types.len() {
            assert!(MapTypes::ALL.contains(types[i]), "no row");
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

/// Names as `enum bpf_map_type` of Linux 6.1 has them, less `BPF_MAP_TYPE_`, by value:
/// all of them, for people.
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
