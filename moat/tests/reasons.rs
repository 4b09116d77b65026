// SPDX-License-Identifier: GPL-2.0
//! Reasons name what they are about, names do no harm, and a refusal that is told again
//! is one refusal.

use moat_logic::admin::again::{Refusal, Told, Untold, MEMORY, MOST};
use moat_logic::load::reason::{Failure, Line, Reason, Subject, Text};
use moat_logic::maps::types::{HASH, LPM_TRIE};
use proptest::prelude::*;

fn text(s: &str) -> Text {
    Text::new(s.bytes())
}

fn reason(insn: Option<u32>, subject: Subject, why: &'static str) -> Reason {
    Reason { insn, subject, why }
}

#[test]
fn what_it_is_about_is_named() {
    let map = |ty, inside| Subject::Map {
        name: text("flows"),
        ty,
        inside,
    };
    for (reason, words) in [
        (
            reason(Some(12), Subject::Helper("snprintf"), "prints"),
            "insn 12: helper bpf_snprintf: prints",
        ),
        (
            reason(
                Some(3),
                Subject::Function(text("bpf_ct_release")),
                "is not audited",
            ),
            "insn 3: bpf_ct_release: is not audited",
        ),
        (
            reason(None, map(HASH, false), "is old"),
            "map flows (hash) is old",
        ),
        (
            reason(None, map(LPM_TRIE, true), "is old"),
            "map flows (lpm_trie) in a map of maps is old",
        ),
        (
            reason(None, map(1000, false), "is new"),
            "map flows (type 1000) is new",
        ),
        (
            reason(None, Subject::Program, "it may sleep"),
            "it may sleep",
        ),
        (
            reason(
                None,
                Subject::Target {
                    name: text(""),
                    id: 7,
                },
                "it is like",
            ),
            "it is like, in the isolated program unnamed (id 7)",
        ),
    ] {
        assert_eq!(reason.to_string(), words);
    }
}

#[test]
fn only_a_refused_map_is_said_to_be_inside() {
    let failure = Failure::Refused(reason(None, Subject::Program, "x"));
    for other in [failure, Failure::NoMemory, Failure::NoRoom] {
        assert_eq!(other.inside(), other);
    }
}

proptest! {
    #[test]
    fn names_are_one_word(bytes: Vec<u8>) {
        let shown = Text::new(bytes.iter().copied()).to_string();
        let long = bytes.iter().take_while(|&&byte| byte != 0).count();
        prop_assert!(shown.bytes().all(|byte| byte.is_ascii_graphic()));
        prop_assert!(!shown.contains(|c| "[](),;".contains(c)));
        prop_assert_eq!(shown.len(), if long == 0 { "unnamed".len() } else { long.min(47) });
    }

    #[test]
    fn lines_are_cut(word in "[a-z]{0,30}", times in 0_usize..40) {
        let all = word.repeat(times);
        let line = Line::new(format_args!("{all}"));
        prop_assert_eq!(line.as_bytes(), &all.as_bytes()[..all.len().min(400)]);
    }
}

fn refusal(tid: u32, ty: u32) -> Refusal {
    Refusal {
        tid,
        ty,
        tag: [0; 8],
        name: text("p"),
        reason: reason(None, Subject::Program, "x"),
    }
}

/// As libbpf does: without a log, with one, with a larger one.
#[test]
fn a_load_for_the_log_is_the_same_refusal() {
    let (mut untold, one) = (Untold::new(), refusal(1, 6));
    for _ in 0..3 {
        assert!(!untold.note(&one, Told::No, 0));
        assert!(untold.note(&one, Told::Cut, 0));
        assert!(untold.note(&one, Told::Cut, 0));
        assert!(untold.note(&one, Told::Whole, 0));
    }
}

#[test]
fn other_loads_are_not() {
    let one = refusal(1, 6);
    let with = |change: fn(&mut Refusal)| {
        let mut other = one;
        change(&mut other);
        other
    };
    for other in [
        refusal(2, 6),
        refusal(1, 3),
        with(|other| other.tag[7] = 1),
        with(|other| other.name = text("q")),
        with(|other| other.reason.why = "y"),
        with(|other| other.reason.insn = Some(0)),
    ] {
        let mut untold = Untold::new();
        assert!(!untold.note(&one, Told::No, 0));
        assert!(!untold.note(&other, Told::Whole, 0), "{other:?}");
        // It is still untold.
        assert!(untold.note(&one, Told::Whole, 0));
    }
}

/// Who never asks for a log, or always does.
#[test]
fn each_load_of_its_own_counts() {
    let (mut untold, one) = (Untold::new(), refusal(1, 6));
    for told in [Told::No, Told::No, Told::No] {
        assert!(!untold.note(&one, told, 0));
    }
    assert!(untold.note(&one, Told::Whole, 0));
    for told in [Told::Whole, Told::Whole, Told::Whole] {
        assert!(!untold.note(&one, told, 0));
    }
}

#[test]
fn it_is_forgotten_after_a_while() {
    let (mut untold, one) = (Untold::new(), refusal(1, 6));
    assert!(!untold.note(&one, Told::No, 5));
    assert!(untold.note(&one, Told::Cut, 5 + MEMORY));
    assert!(!untold.note(&one, Told::Whole, 6 + 2 * MEMORY));
    // A clock that goes back.
    assert!(!untold.note(&one, Told::No, 5));
    assert!(untold.note(&one, Told::Whole, 0));
}

/// With more than there is room for, the latest are known.
#[test]
fn the_oldest_make_room() {
    let mut untold = Untold::new();
    let all: Vec<Refusal> = (0..3 * MOST as u32).map(|tid| refusal(tid, 6)).collect();
    for one in &all {
        assert!(!untold.note(one, Told::No, 0));
    }
    let known: Vec<bool> = all
        .iter()
        .map(|one| untold.note(one, Told::Whole, 0))
        .collect();
    assert!(known[..2 * MOST].iter().all(|known| !known));
    assert!(known[2 * MOST..].iter().all(|known| *known));
}
