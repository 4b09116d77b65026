// SPDX-License-Identifier: GPL-2.0
//! No instruction that reads or writes R12 passes, however it is encoded; and nothing
//! passes for one that has no 12 in it.

// Where jumps lead is asked by walk/.
#[allow(dead_code)]
#[path = "x86/oracle.rs"]
mod oracle;

use moat_logic::code::sensitive::*;
use oracle::{decode, Decoded};
use std::collections::HashMap;
use std::process::Command;

const R12: u16 = 1 << 12;

/// All ways to begin: no REX, and each of them.
fn rexes() -> impl Iterator<Item = Option<u8>> {
    std::iter::once(None).chain((0x40..=0x4f).map(Some))
}

/// Each opcode of each map, with its escape bytes.
fn opcodes() -> impl Iterator<Item = Vec<u8>> {
    let escapes: [&[u8]; 4] = [&[], &[0x0f], &[0x0f, 0x38], &[0x0f, 0x3a]];
    escapes.into_iter().flat_map(|escape| {
        (0..=255).map(move |opcode| {
            let mut bytes = escape.to_vec();
            bytes.push(opcode);
            bytes
        })
    })
}

/// With a 12 in one field or another, in none, and with the special cases: no base,
/// no index.
const SIBS: [u8; 8] = [0x00, 0x24, 0x04, 0x20, 0xe4, 0x25, 0x65, 0x9b];

fn encodings(prefix: &[u8], mut each: impl FnMut(&[u8])) {
    for opcode in opcodes() {
        for rex in rexes() {
            let mut bytes = prefix.to_vec();
            bytes.extend(rex);
            bytes.extend(&opcode);
            let at = bytes.len();
            bytes.resize(at + 12, 0);
            for modrm in 0..=255 {
                bytes[at] = modrm;
                let sibs = if modrm & 7 == 4 && modrm < 0xc0 {
                    &SIBS[..]
                } else {
                    &SIBS[..1]
                };
                for sib in sibs {
                    bytes[at + 1] = *sib;
                    each(&bytes);
                }
            }
        }
    }
}

fn judge(bytes: &[u8], d: &Decoded) {
    let told = classify(&bytes[..d.len]);
    if d.registers & R12 != 0 {
        assert!(told.is_some(), "{bytes:02x?} has R12: {d:x?}");
    }
    if told == Some(TRUSTED) {
        assert!(d.fields & R12 != 0, "{bytes:02x?} has not: {d:x?}");
    }
    // Bytes behind an instruction are no part of it.
    assert_eq!(classify(bytes), told, "{bytes:02x?}");
}

#[test]
fn no_encoding_of_r12_passes() {
    let prefixes: [&[u8]; 6] = [&[], &[0x66], &[0xf2], &[0xf3], &[0xf0, 0x67], &[0x65, 0x66]];
    let mut seen = 0u64;
    for prefix in prefixes {
        encodings(prefix, |bytes| {
            if let Some(d) = decode(bytes) {
                judge(bytes, &d);
                seen += u64::from(d.registers & R12 != 0);
            }
        });
    }
    assert!(seen > 1_000_000, "only {seen} with R12");
}

/// What the JIT could emit for R12 if it used it.
const WITH_R12: &[&[u8]] = &[
    b"\x41\x54",                     // push %r12
    b"\x41\x5c",                     // pop %r12
    b"\x41\xbc\0\0\0\0",             // mov $0,%r12d
    b"\x49\xbc\0\0\0\0\0\0\0\0",     // movabs $0,%r12
    b"\x41\xb4\x00",                 // mov $0,%r12b
    b"\x49\xc7\xc4\0\0\0\0",         // mov $0,%r12
    b"\x49\x94",                     // xchg %rax,%r12
    b"\x49\x0f\xcc",                 // bswap %r12
    b"\x49\x89\xfc",                 // mov %rdi,%r12
    b"\x4c\x89\xe7",                 // mov %r12,%rdi
    b"\x45\x31\xe4",                 // xor %r12d,%r12d
    b"\x49\x83\xc4\x08",             // add $8,%r12
    b"\x49\x8b\x04\x24",             // mov (%r12),%rax
    b"\x49\x89\x44\x24\x08",         // mov %rax,8(%r12)
    b"\x4a\x8b\x04\x20",             // mov (%rax,%r12),%rax
    b"\x4a\x8d\x04\x65\0\0\0\0",     // lea 0(,%r12,2),%rax
    b"\x4c\x8d\x67\x08",             // lea 8(%rdi),%r12
    b"\x4c\x8b\x67\x08",             // mov 8(%rdi),%r12
    b"\xf0\x4c\x0f\xc1\x27",         // lock xadd %r12,(%rdi)
    b"\xf0\x49\x0f\xb1\x3c\x24",     // lock cmpxchg %rdi,(%r12)
    b"\x4c\x87\x27",                 // xchg %r12,(%rdi)
    b"\x41\xff\x34\x24",             // push (%r12)
    b"\x41\x8f\x04\x24",             // pop (%r12)
    b"\x4d\x0f\xaf\xe4",             // imul %r12,%r12
    b"\x49\xf7\xf4",                 // div %r12
    b"\x49\xd3\xe4",                 // shl %cl,%r12
    b"\x4c\x0f\xb6\x27",             // movzbq (%rdi),%r12
    b"\x41\x0f\x94\xc4",             // sete %r12b
    b"\x4c\x0f\x44\xe0",             // cmove %rax,%r12
    b"\x4c\x85\xe0",                 // test %r12,%rax
    b"\x66\x41\xc1\xcc\x08",         // ror $8,%r12w
    b"\x65\x4c\x8b\x24\x25\0\0\0\0", // mov %gs:0,%r12
    b"\xf2\x49\x0f\x2a\xc4",         // cvtsi2sd %r12,%xmm0
    b"\xf3\x4c\x0f\xb8\xe0",         // popcnt %rax,%r12
    b"\x4c\x0f\x38\xf0\x27",         // movbe (%rdi),%r12
];

#[test]
fn the_usual_encodings_are_told_by_name() {
    for bytes in WITH_R12 {
        assert_eq!(classify(bytes), Some(TRUSTED), "{bytes:02x?}");
        let d = decode(bytes).unwrap();
        assert_eq!(
            (d.len, d.registers & R12),
            (bytes.len(), R12),
            "{bytes:02x?}"
        );
    }
    // A REX prefix that the CPU does not heed is none the better.
    assert!(classify(b"\x49\x66\x89\xfc").is_some());
}

#[test]
fn the_same_for_other_registers_is_not() {
    // RSP for R12: the same bytes without REX.B, R or X.
    for bytes in WITH_R12 {
        let mut bytes = bytes.to_vec();
        let rex = bytes.iter_mut().find(|b| matches!(b, 0x40..=0x4f)).unwrap();
        *rex &= 0x48;
        assert_eq!(classify(&bytes), None, "{bytes:02x?}");
    }
}

#[test]
fn missing_operands_are_not_harmless() {
    for bytes in [&b"\x49\x89"[..], b"\x4a\x8b\x04", b"\x41\x0f\xb6", b"\x89"] {
        assert_eq!(classify(bytes), Some(TRUNCATED), "{bytes:02x?}");
    }
}

/// What binutils make of it: for each encoding its length and its text.
fn objdump(all: &[Vec<u8>]) -> Option<HashMap<usize, (usize, String)>> {
    const STRIDE: usize = 32;
    let mut blob = vec![0x90; all.len() * STRIDE];
    for (i, bytes) in all.iter().enumerate() {
        blob[i * STRIDE..][..bytes.len()].copy_from_slice(bytes);
    }
    let file = std::env::temp_dir().join(format!("moat-trusted-{}", std::process::id()));
    std::fs::write(&file, &blob).unwrap();
    let run = Command::new("objdump")
        .args([
            "-D",
            "-b",
            "binary",
            "-m",
            "i386:x86-64",
            "-w",
            "-z",
            "--no-show-raw-insn",
        ])
        .arg(&file)
        .output();
    let _ = std::fs::remove_file(&file);
    let text = String::from_utf8(run.ok()?.stdout).ok()?;
    let lines: Vec<(usize, &str)> = text
        .lines()
        .filter_map(|line| line.split_once(":\t"))
        .filter_map(|(at, text)| Some((usize::from_str_radix(at.trim(), 16).ok()?, text)))
        .collect();
    let mut found = HashMap::new();
    for pair in lines.windows(2) {
        if pair[0].0 % STRIDE == 0 {
            let len = pair[1].0 - pair[0].0;
            found.insert(pair[0].0 / STRIDE, (len, pair[0].1.to_string()));
        }
    }
    Some(found)
}

/// The decoder of the tests is right, as far as binutils know.
#[test]
fn binutils_agree() {
    let mut all = Vec::new();
    encodings(&[], |bytes| {
        // A few of each kind: registers that differ in each field.
        let (modrm, sib) = (bytes[bytes.len() - 12], bytes[bytes.len() - 11]);
        let memory = matches!(modrm, 0x04 | 0x44) && matches!(sib, 0x24 | 0x20 | 0x9b);
        if memory || matches!(modrm, 0x25 | 0xcc | 0xe1) {
            all.push(bytes.to_vec());
            if bytes.len() < 15 && modrm != 0x44 {
                all.push([&[0x66], bytes].concat());
            }
        }
    });
    let found = match objdump(&all) {
        Some(found) => found,
        None => return eprintln!("no objdump here"),
    };
    let (mut compared, mut with_r12) = (0, 0);
    for (i, bytes) in all.iter().enumerate() {
        let (len, text) = match found.get(&i) {
            Some((len, text)) if !text.contains("(bad)") => (*len, text),
            _ => continue,
        };
        // It shows prefixes that mean nothing apart.
        let last = text.split_whitespace().last().unwrap_or("rex");
        if last.starts_with("rex") {
            continue;
        }
        // Control and debug registers have such names, too.
        let names = text.replace("cr12", "").replace("dr12", "").contains("r12");
        let told = classify(bytes);
        assert!(!names || told.is_some(), "{bytes:02x?}: {text}");
        let d = match decode(bytes) {
            Some(d) => d,
            None => continue,
        };
        // What is refused anyway may differ in length; and CPUs do not agree on jumps
        // with an operand-size prefix, for which walk() refuses those.
        let agreed = d.by.is_none() || bytes[0] != 0x66;
        if agreed && (told.is_none() || told == Some(TRUSTED)) {
            assert_eq!(d.len, len, "{bytes:02x?}: {text}");
        }
        assert!(!names || d.registers & R12 != 0, "{bytes:02x?}: {text}");
        compared += 1;
        with_r12 += u32::from(names);
    }
    assert!(
        compared > 50_000 && with_r12 > 5_000,
        "{compared}, {with_r12}"
    );
}
