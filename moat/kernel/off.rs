// SPDX-License-Identifier: GPL-2.0
//! Protections that the test kernel can take away, one by one, so that a test has to notice:
//! each function says whether that is away.
//!
//! C header: `include/linux/moat_test_off.h`, in `patches/test/`.  Anywhere else all of
//! these are constants, and the compiler leaves out what they would be for.

macro_rules! protections {
    ($($(#[$doc:meta])* $name:ident = $number:ident;)*) => {$(
        $(#[$doc])*
        #[cfg(CONFIG_BPF_MOAT_TEST)]
        #[inline(always)]
        pub fn $name() -> bool {
            let number = crate::bindings::$number as usize;
            // SAFETY: one of an array of bytes that are 0 or 1; they may change at any time.
            unsafe { core::ptr::addr_of!(crate::bindings::moat_offs[number]).read_volatile() }
        }

        $(#[$doc])*
        #[cfg(not(CONFIG_BPF_MOAT_TEST))]
        #[inline(always)]
        pub const fn $name() -> bool {
            false
        }

        #[cfg(not(CONFIG_BPF_MOAT_TEST))]
        const _: () = assert!(!$name());
    )*};
}

protections! {
    /// The kernel's key is denied in a run.
    pkrs = moat_protection_MOAT_OFF_PKRS;
    /// The pages of each domain have a key of their own.
    page_key = moat_protection_MOAT_OFF_PAGE_KEY;
    /// What the CPU reads in a run cannot be written there.
    shared_key = moat_protection_MOAT_OFF_SHARED_KEY;
    /// A program loses the key of memory that it has no more.
    narrow = moat_protection_MOAT_OFF_NARROW;
    /// Returns have numbers of the program's.
    returns = moat_protection_MOAT_OFF_RETURNS;
    /// Jumps lead to instructions, gates and sites.
    jumps = moat_protection_MOAT_OFF_JUMPS;
    /// Images hold no sensitive instruction.
    sensitive = moat_protection_MOAT_OFF_SENSITIVE;
    /// Helpers are given memory of the program's.
    audit = moat_protection_MOAT_OFF_AUDIT;
    /// Map operations that sites call straight away are, too.
    map_calls = moat_protection_MOAT_OFF_MAP_CALLS;
    /// Helpers are given maps of the program's.
    map_identity = moat_protection_MOAT_OFF_MAP_IDENTITY;
    /// What is given back is what the run has under that name.
    names = moat_protection_MOAT_OFF_NAMES;
    /// What a run holds when it is stopped is given back.
    give_back = moat_protection_MOAT_OFF_GIVE_BACK;
    /// Helpers that take a dynptr are given a copy of it.
    dynptr_copy = moat_protection_MOAT_OFF_DYNPTR_COPY;
    /// Helpers call functions of the program's that are for that.
    callbacks = moat_protection_MOAT_OFF_CALLBACKS;
    /// Locks that are taken are those of the program's maps.
    lock_identity = moat_protection_MOAT_OFF_LOCK_IDENTITY;
    /// Timers are those of the program's maps.
    timer_identity = moat_protection_MOAT_OFF_TIMER_IDENTITY;
    /// What a timer calls calls nothing that is for a packet.
    no_context = moat_protection_MOAT_OFF_NO_CONTEXT;
    /// What was stopped in the place of a function has no result.
    ext_result = moat_protection_MOAT_OFF_EXT_RESULT;
    /// Nothing is called while a lock is held.
    unlocked = moat_protection_MOAT_OFF_UNLOCKED;
    /// Programs call what is for their type.
    callees = moat_protection_MOAT_OFF_CALLEES;
    /// Helpers are not given packets that they would break.
    geometry = moat_protection_MOAT_OFF_GEOMETRY;
    /// Old kernel memory before a packet is cleared.
    old_memory = moat_protection_MOAT_OFF_OLD_MEMORY;
    /// A program that was stopped does not run again.
    dead = moat_protection_MOAT_OFF_DEAD;
    /// Packets are not sent on for ever.
    line = moat_protection_MOAT_OFF_LINE;
    /// Programs leave some of the kernel's stack.
    stack_room = moat_protection_MOAT_OFF_STACK_ROOM;
    /// Programs are given values of cgroups of their own maps.
    storage = moat_protection_MOAT_OFF_STORAGE;
}
