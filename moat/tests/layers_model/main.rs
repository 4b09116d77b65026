// SPDX-License-Identifier: GPL-2.0
//! No order of events lets a program reach what is not its own (I5), or keeps it
//! from what is: programs get and lose keys, come and go, share memory, while CPUs
//! run them, and go offline and come back.
//!
//! Explicit-state model checking, with `stateright`: every interleaving of a small
//! machine.  `loom` and `shuttle` check real atomics in real code; what matters
//! here is between page tables, TLBs, gates in assembly and grace periods, none of
//! which a thread of the host has.  The manager is `State` of
//! `state/sharing.rs` and `state/residence.rs`: its steps are those of the functions there,
//! in their order, one at a time.  Keys, flushes and PKRS values are the real ones.
//!
//! Two things keep the machine small and lose nothing.  A TLB is a set: whatever
//! the page tables said since its last flush, the CPU may have cached, for it
//! speculates.  And no access is an event: in each state, all that a running
//! program could access with what the TLB or the page tables say is checked.

mod keys;
mod machine;
mod manager;
mod properties;
mod state;

use machine::{Change, Machine};
use properties::{OWNED, SAFE, USABLE};
use stateright::{Checker, HasDiscoveries, Model};
use std::time::Instant;

/// Explores all of `machine`, in which nothing goes wrong.
fn holds(machine: Machine) {
    let began = Instant::now();
    let checker = machine.checker().spawn_bfs().join();
    checker.assert_properties();
    println!(
        "{:?}: {} states, {} transitions, {:.1} s",
        checker.model(),
        checker.unique_state_count(),
        checker.state_count(),
        began.elapsed().as_secs_f32(),
    );
}

/// Explores `machine` until each of `properties` is seen to fail.
fn fails(machine: Machine, properties: &[&'static str]) {
    let all = HasDiscoveries::AllOf(properties.iter().copied().collect());
    let checker = machine.checker().finish_when(all).spawn_bfs().join();
    for property in properties {
        let path = checker.assert_any_discovery(property);
        println!(
            "{:?}: after {} steps not so: {}",
            checker.model().change,
            path.into_actions().len(),
            property,
        );
    }
}

/// Two programs that come and go, one key, and all that can happen.
const SMALL: Machine = Machine {
    programs: 2,
    keys: 1,
    shared: false,
    reload: &[0, 1],
    hotplug: true,
    change: Change::None,
};

/// The first two share a page, so that each needs two keys; both need three.
const SHARING: Machine = Machine {
    keys: 2,
    shared: true,
    ..SMALL
};

/// A third one takes what is left.
const CROWD: Machine = Machine {
    programs: 3,
    ..SHARING
};

#[test]
fn two_programs_and_one_key() {
    holds(SMALL);
}

#[test]
fn two_programs_and_two_keys() {
    holds(Machine { keys: 2, ..SMALL });
}

#[test]
fn three_programs_and_two_keys() {
    holds(Machine {
        programs: 3,
        keys: 2,
        ..SMALL
    });
}

#[test]
fn a_shared_page_and_two_keys() {
    holds(SHARING);
}

#[test]
fn a_shared_page_and_three_keys() {
    holds(Machine { keys: 3, ..SHARING });
}

#[test]
fn a_shared_page_and_three_programs() {
    holds(CROWD);
}

/// Keys go from one to the other, and nothing else happens.
fn keys_only(change: Change) -> Machine {
    Machine {
        reload: &[],
        hotplug: false,
        change,
        ..SMALL
    }
}

#[test]
fn reuse_needs_a_flush() {
    fails(keys_only(Change::NoFlush), &[SAFE, USABLE]);
}

#[test]
fn reuse_needs_a_flush_of_every_cpu() {
    fails(keys_only(Change::OneCpuFlushed), &[SAFE, USABLE]);
}

#[test]
fn binding_needs_a_flush() {
    fails(keys_only(Change::NoFlushToBind), &[USABLE]);
}

#[test]
fn parking_needs_a_grace_period() {
    fails(keys_only(Change::NoGrace), &[SAFE, USABLE]);
}

#[test]
fn parking_needs_a_grace_period_after_the_flag() {
    fails(keys_only(Change::GraceFirst), &[SAFE, USABLE]);
}

#[test]
fn pkrs_goes_after_the_grace_period() {
    fails(keys_only(Change::PkrsBeforeGrace), &[USABLE]);
}

#[test]
fn a_key_is_taken_off_the_pages() {
    fails(keys_only(Change::NotParked), &[SAFE, OWNED]);
}

#[test]
fn pages_are_tagged_before_runs_are_keyed() {
    fails(keys_only(Change::KeyedBeforeTagged), &[USABLE]);
}

#[test]
fn tlbs_are_flushed_before_runs_are_keyed() {
    fails(keys_only(Change::KeyedBeforeFlushed), &[USABLE]);
}

#[test]
fn pkrs_is_there_before_runs_are_keyed() {
    fails(keys_only(Change::KeyedBeforePkrs), &[USABLE]);
}

#[test]
fn a_cpu_that_comes_online_has_forgotten() {
    let hotplug = true;
    let machine = keys_only(Change::OnlineWithStaleTlb);
    fails(Machine { hotplug, ..machine }, &[SAFE, USABLE]);
}

#[test]
fn unmapping_needs_a_flush() {
    let change = Change::NoFlushToUnmap;
    fails(Machine { change, ..SMALL }, &[SAFE]);
}

#[test]
fn leaving_needs_a_grace_period() {
    let change = Change::NoGraceToLeave;
    fails(Machine { change, ..SMALL }, &[SAFE, USABLE]);
}

#[test]
fn joining_domains_needs_a_grace_period() {
    let change = Change::NoGraceToNarrow;
    fails(Machine { change, ..CROWD }, &[SAFE]);
}

/// Less than I5 asks for, but who is given a key is tagged with a flush as well.
#[test]
fn one_flush_between_two_owners_would_do() {
    for change in [Change::OneFlushToPark, Change::NoFlushToPark] {
        holds(Machine { change, ..SMALL });
    }
    let change = Change::NoFlushToPark;
    holds(Machine { change, ..SHARING });
}
