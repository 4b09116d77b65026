// SPDX-License-Identifier: GPL-2.0
//! Histories that went wrong once.

use crate::history::{Event, History, Own, Step, Written};
use crate::policy::Level;
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
    Event::Load(own.to_vec(), LEVEL)
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

/// Short of memory to see what went out of a map of maps, its users were killed; a
/// program loaded then believed what was known, and used what was in it no more.
#[test]
fn a_load_after_a_change_that_nobody_saw() {
    let events = vec![
        Event::Begin(0, Some(0)),
        Event::Write(0, Written::Announced),
        Event::End,
        load(&[Own::Outer(0)]),
        Event::Begin(0, None),
        Event::Write(0, Written::Nothing),
        Event::End,
        load(&[Own::Outer(0)]),
    ];
    let last_end = 6;
    let mut dead = 0;
    for lasts in [false, true] {
        for after in 0..MANY {
            let shortage = Shortage { after, lasts };
            dead += run(events.clone(), |i| (i == last_end).then_some(shortage)).1;
        }
    }
    assert_ne!(dead, 0);
}

/// As above, and the load came between the begin and the end of the next change: the
/// room that the end was to have was gone.  Not put there after all, the map was not
/// taken from programs.
#[test]
fn a_load_in_the_midst_of_a_change() {
    let events = vec![
        load(&[Own::Outer(0)]),
        Event::Begin(0, None),
        Event::End,
        Event::Begin(0, Some(0)),
        load(&[Own::Outer(0)]),
        Event::End,
    ];
    let mut dead = 0;
    for after in 0..MANY {
        let first = Shortage {
            after: 0,
            lasts: false,
        };
        let second = Shortage { after, ..first };
        dead += run(events.clone(), |i| match i {
            2 => Some(first),
            5 => Some(second),
            _ => None,
        })
        .1;
    }
    assert_ne!(dead, 0);
}

/// Several maps were given to running programs at once: a view that was made because of
/// the second, which others use as well, lacked the first.
#[test]
fn maps_that_appear_together() {
    for shared in [0, 1] {
        let events = vec![
            load(&[Own::Outer(0)]),
            load(&[Own::Map(shared)]),
            Event::Begin(0, None),
            Event::Write(0, Written::Map(0)),
            Event::Write(1, Written::Map(1)),
            Event::End,
        ];
        assert_eq!(run(events, |_| None), (false, 0));
    }
}
