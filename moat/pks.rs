// SPDX-License-Identifier: GPL-2.0
//! Protection keys for supervisor pages: keys, the PKRS register, PTE fields.
//!
//! C header: [`arch/x86/include/asm/pgtable_types.h`], `asm/msr-index.h`.
//!
//! Reference: Intel SDM Vol. 3A, 4.6.2 "Protection Keys".  A supervisor address
//! carries a 4-bit key in bits 62:59 of its leaf entry.  With CR4.PKS set, bits
//! `2k` (AD, access disable) and `2k + 1` (WD, write disable) of IA32_PKRS rule
//! data accesses to key `k`.  Instruction fetches are never checked.  WD binds
//! supervisor writes only while CR0.WP is set, which MOAT requires.

use crate::edge::off;

/// IA32_PKRS, the rights of supervisor keys.  Intel SDM Vol. 4, table 2-2.
pub const MSR_IA32_PKRS: u32 = 0x6e1;

/// CR4.PKS, which turns supervisor keys on.  Intel SDM Vol. 3A, 2.5, bit 24.
pub const CR4_PKS: u64 = 1 << 24;

/// CPUID.(EAX=07H,ECX=0):ECX.PKS.  Intel SDM Vol. 2A, CPUID, bit 31.
pub const CPUID_7_0_ECX_PKS: u32 = 1 << 31;

/// Page-fault error code bit "the key forbade it".  Intel SDM Vol. 3A, 4.7.
pub const PF_PK: u64 = 1 << 5;

/// First key bit of a leaf paging entry.  Intel SDM Vol. 3A, table 4-20.
pub const PTE_KEY_SHIFT: u32 = 59;

/// Mask of the four key bits (62:59) of a leaf paging entry.
pub const fn pte_key_mask() -> u64 {
    0xf << PTE_KEY_SHIFT
}

/// `pte` with its key replaced; every other bit is kept.
pub const fn with_key(pte: u64, key: Key) -> u64 {
    (pte & !pte_key_mask()) | ((key.0 as u64) << PTE_KEY_SHIFT)
}

/// The key of a leaf paging entry.
pub const fn key_of(pte: u64) -> Key {
    Key(((pte & pte_key_mask()) >> PTE_KEY_SHIFT) as u8)
}

/// A protection key, 0 to 15.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key(u8);

impl Key {
    /// How many keys the hardware has.
    pub const COUNT: usize = 16;
    /// Everything that was not tagged: the kernel.  Denied in BPF mode (I1).
    pub const KERNEL: Key = Key(0);
    /// What the CPU reads in BPF mode (IDT, GDT, TSS, resume page): read only.
    pub const SHARED_RO: Key = Key(1);
    /// First key a program can own.
    pub const FIRST_PROGRAM: Key = Key(2);
    /// Last key a program can own.
    pub const LAST_PROGRAM: Key = Key(14);
    /// How many keys programs share.
    pub const PROGRAMS: usize = 13;
    /// Memory of domains that own no key.  Denied to every program.
    pub const PARKED: Key = Key(15);

    /// The key numbered `n`, if `n` is 0 to 15.
    pub const fn new(n: u8) -> Option<Key> {
        if n < 16 {
            Some(Key(n))
        } else {
            None
        }
    }

    /// The `i`th program key, counted from 0.
    pub const fn program(i: usize) -> Option<Key> {
        if i < Key::PROGRAMS {
            Some(Key(Key::FIRST_PROGRAM.0 + i as u8))
        } else {
            None
        }
    }

    /// Its number, 0 to 15.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Its place among the program keys, counted from 0.
    pub const fn program_index(self) -> Option<usize> {
        if self.is_program() {
            Some((self.0 - Key::FIRST_PROGRAM.0) as usize)
        } else {
            None
        }
    }

    /// Whether programs may own it.
    pub const fn is_program(self) -> bool {
        self.0 >= Key::FIRST_PROGRAM.0 && self.0 <= Key::LAST_PROGRAM.0
    }
}

/// A set of keys; bit `k` stands for key `k`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KeySet(u16);

impl KeySet {
    /// No key.
    pub const EMPTY: KeySet = KeySet(0);
    /// Every key a program can own: 2 to 14.
    pub const PROGRAMS: KeySet = KeySet(0x7ffc);

    /// Just `key`.
    pub const fn of(key: Key) -> KeySet {
        KeySet(1 << key.0)
    }

    /// This set and `key`.
    #[must_use]
    pub const fn with(self, key: Key) -> KeySet {
        KeySet(self.0 | 1 << key.0)
    }

    /// This set less `key`.
    #[must_use]
    pub const fn without(self, key: Key) -> KeySet {
        KeySet(self.0 & !(1 << key.0))
    }

    /// Keys in both sets.
    #[must_use]
    pub const fn and(self, other: KeySet) -> KeySet {
        KeySet(self.0 & other.0)
    }

    /// Keys in either set.
    #[must_use]
    pub const fn or(self, other: KeySet) -> KeySet {
        KeySet(self.0 | other.0)
    }

    /// Whether `key` is in the set.
    pub const fn contains(self, key: Key) -> bool {
        self.0 & 1 << key.0 != 0
    }

    /// How many keys it holds.
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether it holds none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The lowest key it holds.
    pub const fn first(self) -> Option<Key> {
        if self.0 == 0 {
            None
        } else {
            Some(Key(self.0.trailing_zeros() as u8))
        }
    }

    /// The set as bits, bit `k` for key `k`.
    pub const fn bits(self) -> u16 {
        self.0
    }
}

/// A value of IA32_PKRS; the high half of the MSR is reserved and zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Pkrs(u32);

impl Pkrs {
    /// Access disable for key 0; key `k` is this shifted left by `2k`.
    const AD: u32 = 1;
    /// Write disable for key 0; key `k` is this shifted left by `2k`.
    const WD: u32 = 2;

    /// Every key open: what kernel code runs with (I2).
    pub const OPEN: Pkrs = Pkrs(0);
    /// Every key denied.
    pub const DENY_ALL: Pkrs = Pkrs(0x5555_5555);

    /// A value read back from the register.
    pub const fn from_bits(bits: u32) -> Pkrs {
        Pkrs(bits)
    }

    /// What to write to the register.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Deny everything except reads and writes of `key`.
    pub const fn all_denied_but(key: Key) -> Pkrs {
        Pkrs::DENY_ALL.allow(key)
    }

    /// Open `key` for reads and writes.
    #[must_use]
    pub const fn allow(self, key: Key) -> Pkrs {
        self.put(key, 0)
    }

    /// Open `key` for reads only.
    #[must_use]
    pub const fn read_only(self, key: Key) -> Pkrs {
        self.put(key, Pkrs::WD)
    }

    /// Close `key`.
    #[must_use]
    pub const fn deny(self, key: Key) -> Pkrs {
        self.put(key, Pkrs::AD)
    }

    /// BPF mode at level `confidentiality`: program keys of `keys` open, the
    /// shared key read only, all else denied.
    ///
    /// Keys that no program may own are ignored, so no argument opens the
    /// kernel's key or the parked one (I1).
    pub const fn for_program(keys: KeySet) -> Pkrs {
        let mut pkrs = Pkrs::DENY_ALL.read_only(Key::SHARED_RO);
        let mut i = 0;
        while i < Key::PROGRAMS {
            let key = Key(Key::FIRST_PROGRAM.0 + i as u8);
            if keys.contains(key) {
                pkrs = pkrs.allow(key);
            }
            i += 1;
        }
        pkrs
    }

    /// BPF mode at level `integrity`: as [`Pkrs::for_program`], but the kernel's
    /// key is readable.
    pub const fn for_integrity(keys: KeySet) -> Pkrs {
        Pkrs::for_program(keys).read_only(Key::KERNEL)
    }

    /// BPF mode in a view, which holds nothing but the program's set: program keys
    /// and the parked one open, the shared key read only, the kernel's denied.
    pub const fn for_view() -> Pkrs {
        Pkrs::for_program(KeySet::PROGRAMS).allow(Key::PARKED)
    }

    /// BPF mode in a view at level `integrity`.
    pub const fn for_integrity_view() -> Pkrs {
        Pkrs::for_view().read_only(Key::KERNEL)
    }

    /// What a run is given of these rights: all of them, and no others.
    pub fn in_force(self) -> Pkrs {
        let mut rights = self;
        if off::pkrs() {
            rights = rights.allow(Key::KERNEL);
        }
        if off::shared_key() {
            rights = rights.allow(Key::SHARED_RO);
        }
        rights
    }

    /// Whether the CPU would allow this data access to a supervisor page tagged
    /// `key`, with CR4.PKS and CR0.WP set.
    pub const fn permits(self, key: Key, write: bool) -> bool {
        let rights = self.0 >> (2 * key.0 as u32);
        if rights & Pkrs::AD != 0 {
            return false;
        }
        !(write && rights & Pkrs::WD != 0)
    }

    const fn put(self, key: Key, rights: u32) -> Pkrs {
        let shift = 2 * key.0 as u32;
        Pkrs((self.0 & !(3 << shift)) | (rights << shift))
    }
}
