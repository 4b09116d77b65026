// SPDX-License-Identifier: GPL-2.0
//! Histories that went wrong once.

use crate::admin::sysctl::Level;
use crate::history::{Event, History, Own, Step};
use crate::plans::Kind;
use crate::setup::{Setup, Size};
use kernel::machine::Broken;
use kernel::memory::Shortage;

const LEVEL: Level = Level::Confidentiality;
/// No change needs as many allocations.
const MANY: u32 = 100;

fn setup() -> Setup {
    Setup {
        keys: 13,
        maps: vec![(Size::Page, false); 2],
        outers: vec![2],
    }
}

fn load(own: &[Own]) -> Event {
    Event::Load(own.to_vec(), LEVEL, Kind::Blind)
}

fn run(events: Vec<Event>, shortage: impl Fn(usize) -> Option<Shortage>) -> (bool, usize) {
    let steps = events.into_iter().enumerate();
    let history = History {
        setup: setup(),
        steps: steps.map(|(i, event)| Step(event, shortage(i))).collect(),
    };
    match history.run(Broken::Not) {
        Ok(outcome) => (outcome.short, outcome.dead),
        Err(why) => panic!("{why}"),
    }
}

fn fill(slot: usize, map: usize) -> [Event; 3] {
    [Event::Begin(0, map), Event::Write(0, slot), Event::End(0)]
}

/// Short of memory when a map was gone, a program loaded then believed what was known,
/// and used what was in it no more.
#[test]
fn a_load_after_memory_was_short() {
    let mut events = Vec::from(fill(0, 0));
    events.extend([
        load(&[Own::Outer(0)]),
        Event::Delete(0, 0),
        Event::Collect(0),
        Event::Settle(0),
        load(&[Own::Outer(0)]),
    ]);
    let settled = 6;
    let mut dead = 0;
    for lasts in [false, true] {
        for after in 0..MANY {
            let shortage = Shortage { after, lasts };
            dead += run(events.clone(), |i| (i == settled).then_some(shortage)).1;
        }
    }
    assert_ne!(dead, 0);
}

/// A load came between the begin and the end of a change, and the map was not put there
/// after all.
#[test]
fn a_load_in_the_midst_of_a_change() {
    let events = vec![
        load(&[Own::Outer(0)]),
        Event::Begin(0, 0),
        load(&[Own::Outer(0)]),
        Event::End(0),
    ];
    let mut dead = 0;
    for after in 0..MANY {
        let shortage = Shortage {
            after,
            lasts: false,
        };
        dead += run(events.clone(), |i| (i == 3).then_some(shortage)).1;
    }
    assert_ne!(dead, 0);
}

/// Several maps were given to a program at once: a view that was made because of the
/// second, which others use as well, lacked the first.
#[test]
fn maps_that_appear_together() {
    for shared in [0, 1] {
        let mut events = Vec::from(fill(0, 0));
        events.extend(fill(1, 1));
        events.extend([load(&[Own::Map(shared)]), load(&[Own::Outer(0)])]);
        assert_eq!(run(events, |_| None), (false, 0));
    }
}

/// Two put the same map into the same map of maps, and one of them does not.
#[test]
fn a_map_that_is_put_there_twice() {
    for first in [0, 1] {
        let events = vec![
            load(&[Own::Outer(0)]),
            Event::Begin(0, 0),
            Event::Begin(0, 0),
            Event::Write(0, 0),
            Event::End(first),
            load(&[Own::Outer(0)]),
            Event::End(0),
            Event::Delete(0, 0),
        ];
        assert_eq!(run(events, |_| None), (false, 0));
    }
}

/// What was gone comes back while somebody waits for the runs that had it, and goes again.
#[test]
fn a_map_that_comes_back() {
    for again in [false, true] {
        let mut events = vec![load(&[Own::Outer(0)])];
        events.extend(fill(0, 0));
        events.extend([
            Event::Delete(0, 0),
            Event::Collect(0),
            Event::Begin(0, 0),
            Event::Write(0, 1),
        ]);
        if again {
            events.push(Event::Delete(0, 1));
        }
        events.extend([Event::Settle(0), Event::End(0)]);
        assert_eq!(run(events, |_| None), (false, 0));
    }
}

/// The program that uses a map of maps comes while nobody is told what is gone from it, or
/// goes before somebody is.
#[test]
fn programs_that_come_and_go_meanwhile() {
    let gone = [Event::Delete(0, 0), Event::Collect(0)];
    let mut comes = Vec::from(fill(0, 0));
    comes.extend(gone.clone());
    comes.extend([load(&[Own::Outer(0)]), Event::Settle(0)]);
    assert_eq!(run(comes, |_| None), (false, 0));

    let mut goes = Vec::from(fill(0, 0));
    goes.push(load(&[Own::Outer(0)]));
    goes.extend(gone);
    goes.extend([Event::Unload(0), Event::Settle(0)]);
    assert_eq!(run(goes, |_| None), (false, 0));
}
