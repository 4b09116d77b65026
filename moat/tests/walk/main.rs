// SPDX-License-Identifier: GPL-2.0
//! An image passes only if all that can run of it was judged; every image that a
//! kernel made does.
//!
//! `images.txt` has such: what BPF_OBJ_GET_INFO gave of isolated programs in a guest,
//! one function a line, its address and its bytes in BPF mode.

#[path = "../x86/oracle.rs"]
mod oracle;

use moat_logic::code::insn_starts::{words, Builder};
use moat_logic::code::walk::*;
use oracle::{decode, Decoded};
use proptest::prelude::*;
use std::collections::BTreeSet;

const R12: u16 = 1 << 12;

struct Image {
    name: &'static str,
    start: u64,
    code: Vec<u8>,
    /// Its jumps out: the offset of what follows, and where they lead.
    out: BTreeSet<(usize, u64)>,
}

fn images() -> Vec<Image> {
    let parse = |line: &'static str| {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap();
        let start = u64::from_str_radix(words.next().unwrap(), 16).unwrap();
        let hex = words.next().unwrap();
        let byte = |i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
        let code: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
        let jumps = jumps(&code);
        let out = jumps.iter().filter(|j| j.to as u64 >= code.len() as u64);
        let out = out
            .map(|j| (j.next, start.wrapping_add(j.to as u64)))
            .collect();
        Image {
            name,
            start,
            code,
            out,
        }
    };
    let lines = include_str!("images.txt").lines();
    let images: Vec<_> = lines.filter(|l| !l.starts_with('#')).map(parse).collect();
    assert!(images.len() >= 5);
    images
}

/// The instructions that follow each other from the start; none if not all are some.
fn instructions(code: &[u8]) -> Option<Vec<(usize, Decoded)>> {
    let mut all = Vec::new();
    let mut at = 0;
    while at < code.len() {
        let d = decode(&code[at..])?;
        all.push((at, d));
        at += d.len;
    }
    Some(all)
}

struct Jumped {
    at: usize,
    next: usize,
    to: i64,
}

fn jumps(code: &[u8]) -> Vec<Jumped> {
    let jumped = |(at, d): (usize, Decoded)| {
        d.by.map(|by| Jumped {
            at,
            next: at + d.len,
            to: (at + d.len) as i64 + i64::from(by),
        })
    };
    let all = instructions(code).expect("an image decodes");
    all.into_iter().filter_map(jumped).collect()
}

/// What the walk says.
fn verdict(start: u64, code: &[u8], out: &BTreeSet<(usize, u64)>) -> Result<Vec<usize>, Found> {
    let (mut bits, mut scratch) = (vec![0; words(code.len())], vec![!0; words(code.len())]);
    let marks = Builder::new(&mut bits, code.len()).unwrap();
    let targets = Builder::new(&mut scratch, code.len()).unwrap();
    let length = |rest: &[u8]| decode(rest).map_or(0, |d| d.len);
    let leaves = |next: usize, to: u64| out.contains(&(next, to));
    let marks = walk(code, start, marks, targets, length, leaves)?;
    let all = 0..code.len();
    Ok(all.filter(|at| marks.is_boundary(*at as u64)).collect())
}

/// Whether a program with this image stays in it, by the decoder of the tests alone.
fn stays(start: u64, code: &[u8], out: &BTreeSet<(usize, u64)>) -> bool {
    let all = match instructions(code) {
        Some(all) => all,
        None => return false,
    };
    let begins: BTreeSet<usize> = all.iter().map(|(at, _)| *at).collect();
    let stays = |(at, d): &(usize, Decoded)| {
        let next = at + d.len;
        let to = next as i64 + i64::from(d.by.unwrap_or(0));
        let leads_well = match d.by {
            None => true,
            Some(_) if to >= 0 && (to as usize) < code.len() => begins.contains(&(to as usize)),
            Some(_) => out.contains(&(next, start.wrapping_add(to as u64))),
        };
        let goes_on = !d.runs_on || next < code.len();
        !d.call && d.registers & R12 == 0 && leads_well && goes_on
    };
    all.iter().all(stays)
}

#[test]
fn images_of_a_kernel_pass() {
    for image in images() {
        let marks = verdict(image.start, &image.code, &image.out);
        let all = instructions(&image.code).unwrap();
        let begins = all.iter().map(|(at, _)| *at).collect();
        assert_eq!(marks, Ok(begins), "{}", image.name);
        assert!(stays(image.start, &image.code, &image.out));
        assert!(!image.out.is_empty(), "{} has a way out", image.name);
    }
}

/// Each jump, aimed at each byte of the image and some around it.
#[test]
fn a_jump_leads_to_an_instruction_or_the_image_is_refused() {
    for image in images() {
        let begins: BTreeSet<_> = instructions(&image.code)
            .unwrap()
            .iter()
            .map(|(at, _)| *at as i64)
            .collect();
        let all = jumps(&image.code);
        // Large images have many like each other.
        for jump in all.iter().step_by(1 + all.len() / 20) {
            let short = jump.next - jump.at == 2;
            for to in -40..image.code.len() as i64 + 400 {
                let by = to - jump.next as i64;
                let mut code = image.code.clone();
                if !short {
                    code[jump.next - 4..jump.next].copy_from_slice(&(by as i32).to_le_bytes());
                } else if let Ok(by) = i8::try_from(by) {
                    code[jump.next - 1] = by as u8;
                } else {
                    continue;
                }
                let out = (jump.next, image.start.wrapping_add(to as u64));
                let may = begins.contains(&to) || image.out.contains(&out);
                let said = verdict(image.start, &code, &image.out);
                assert_eq!(
                    said.is_ok(),
                    may,
                    "{} {:#x} to {to:#x}",
                    image.name,
                    jump.at
                );
            }
        }
    }
}

/// Each byte of an image, changed to each value: what passes, stays.
#[test]
fn no_change_of_a_byte_lets_a_program_out() {
    let (mut passed, mut refused) = (0, 0);
    for image in images() {
        let budget = 40_000_000 / (image.code.len() * image.code.len() * 256);
        let step = if budget == 0 {
            image.code.len() / 50
        } else {
            1
        };
        for at in (0..image.code.len()).step_by(step.max(1)) {
            let mut code = image.code.clone();
            for byte in 0..=255 {
                code[at] = byte;
                if verdict(image.start, &code, &image.out).is_err() {
                    refused += 1;
                    continue;
                }
                passed += 1;
                assert!(
                    stays(image.start, &code, &image.out),
                    "{} {at:#x} {byte:#x}",
                    image.name
                );
            }
        }
    }
    assert!(passed > 1000 && refused > 1000, "{passed}, {refused}");
}

/// Instructions that no image may have, by length: see also `trusted.rs`.
const BAD: &[&[u8]] = &[
    b"\xc3",
    b"\x41\x54",
    b"\x49\x94",
    b"\x0f\x30",
    b"\x4c\x89\xe7",
    b"\x41\x8b\x04\x24",
    b"\xe8\0\0\0\0",
    b"\x41\xbc\0\0\0\0",
    b"\x49\xc7\xc4\0\0\0\0",
    b"\x49\xbc\0\0\0\0\0\0\0\0",
];

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// In place of some instruction, and NOPs.
    #[test]
    fn none_passes_with_a_bad_instruction(which: prop::sample::Index, where_: prop::sample::Index, bad in 0..BAD.len()) {
        let images = images();
        let image = which.get(&images);
        let all = instructions(&image.code).unwrap();
        let fits: Vec<_> = all.iter().filter(|(_, d)| d.len >= BAD[bad].len()).collect();
        if !fits.is_empty() {
            let (at, d) = where_.get(&fits);
            let mut code = image.code.clone();
            code[*at..at + d.len].fill(0x90);
            code[*at..at + BAD[bad].len()].copy_from_slice(BAD[bad]);
            let said = verdict(image.start, &code, &image.out);
            prop_assert!(matches!(said, Err((found, Bad::Holds(_))) if found == *at), "{said:?}");
        }
    }

    #[test]
    fn no_bytes_upset_it(code in prop::collection::vec(any::<u8>(), 0..60), start: u64) {
        let out = BTreeSet::new();
        if verdict(start, &code, &out).is_ok() {
            prop_assert!(stays(start, &code, &out));
        }
    }
}

#[test]
fn what_is_wrong_is_told() {
    let none = BTreeSet::new();
    let said = |code: &[u8]| verdict(0x1000, code, &none);
    assert_eq!(said(b"\x90\xeb\xfd"), Ok(vec![0, 1]));
    assert_eq!(
        said(b"\x74\x00\xe3\xfc\xe2\xfa\xe9\xf5\xff\xff\xff"),
        Ok(vec![0, 2, 4, 6])
    );
    assert_eq!(said(b"\x0f\x85\xfa\xff\xff\xff\xeb\xf8"), Ok(vec![0, 6]));
    assert_eq!(said(b""), Err((0, Bad::RunsOn)));
    assert_eq!(said(b"\xeb\xfe\x90"), Err((2, Bad::RunsOn)));
    assert_eq!(said(b"\x74\xfe"), Err((0, Bad::RunsOn)));
    assert_eq!(said(b"\x0f\x84\xfa\xff\xff\xff"), Err((0, Bad::RunsOn)));
    assert_eq!(said(b"\xeb\xff"), Err((1, Bad::Between)));
    assert_eq!(said(b"\x90\xb8\0\0\0\0\xeb\xfa"), Err((2, Bad::Between)));
    assert_eq!(said(b"\x90\xeb\x00"), Err((1, Bad::Astray(0x1003))));
    assert_eq!(said(b"\x90\xeb\xfb"), Err((1, Bad::Astray(0xffe))));
    assert_eq!(
        said(b"\xe9\0\0\0\x80"),
        Err((0, Bad::Astray(0xffff_ffff_8000_1005)))
    );
    assert_eq!(said(b"\x3e\xeb\xfd"), Err((0, Bad::Prefixed)));
    assert_eq!(
        said(b"\x2e\x0f\x84\0\0\0\0\xeb\xfd"),
        Err((0, Bad::Prefixed))
    );
    assert_eq!(said(b"\x48\xe9\0\0\0\0"), Err((0, Bad::Prefixed)));
    assert_eq!(said(b"\x06\xeb\xfd"), Err((0, Bad::Undecodable)));
    assert_eq!(said(b"\x90\xe9\0\0"), Err((1, Bad::Undecodable)));
    assert_eq!(said(b"\xe8\0\0\0\0\xeb\xf9"), Err((0, Bad::Holds("CALL"))));
}

/// Where every CPU takes a jump for the same, so does `jump()`.
#[test]
fn each_direct_jump_is_one() {
    for opcode in 0..=255u8 {
        for bytes in [
            vec![opcode, 0x85],
            vec![opcode, 1, 2, 3, 0xf4],
            vec![0x0f, opcode, 1, 2, 3, 0x84],
        ] {
            let d = match decode(&bytes) {
                Some(d) if d.len == bytes.len() && !d.call => d,
                _ => continue,
            };
            let want = d.by.map(|by| Jump {
                by,
                always: !d.runs_on,
            });
            assert_eq!(jump(&bytes), Ok(want), "{bytes:02x?}");
        }
    }
}
