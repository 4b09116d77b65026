// SPDX-License-Identifier: GPL-2.0
//! What formats do with their arguments, against the kernel's own `bpf_bprintf_prepare()`,
//! which is cut out of the source in `$KERNEL_SRC`, and compiled; skipped without it.

use moat_logic::helpers::format::{Invalid, Use, Uses};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// With 12 arguments, each of which is its number.
fn ours(format: &[u8]) -> String {
    let mut said = String::new();
    let end = format.iter().position(|b| *b == 0).unwrap();
    for (i, used) in Uses::of(&format[..end], 12).enumerate() {
        match used {
            Ok(Use::Value | Use::Symbol) => {}
            Ok(Use::KernelString) => said += &format!("k{i} "),
            Ok(Use::UserString) => said += &format!("u{i} "),
            Ok(Use::IpAddress(bytes)) => said += &format!("{bytes}:{i} "),
            Err(Invalid) => return said + "invalid",
        }
    }
    said + "ok"
}

/// Reads formats of 64 bytes, and says for each what the function did.
const HARNESS: &str = r#"
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
typedef uint32_t u32;
typedef uint64_t u64;
#define MAX_BPRINTF_BIN_ARGS 512
#define MAX_BPRINTF_BUF 1024
struct bpf_bprintf_buffers { char bin_args[4096]; char buf[MAX_BPRINTF_BUF]; };
struct bpf_bprintf_data { u32 *bin_args; char *buf; bool get_bin_args; bool get_buf; };
static struct bpf_bprintf_buffers the_buffers;
#define isascii(c) (((unsigned char)(c)) <= 0x7f)
#define isspace(c) is_space((unsigned char)(c))
#define ispunct(c) is_punct((unsigned char)(c))
#define isprint(c) is_print((unsigned char)(c))
#define _U 1
#define _L 2
#define _D 4
#define _C 8
#define _P 16
#define _S 32
#define _X 64
#define _SP 128
CTYPE
static int is_space(unsigned char c) { return _ctype[c] & _S; }
static int is_punct(unsigned char c) { return _ctype[c] & _P; }
static int is_print(unsigned char c) { return _ctype[c] & (_P | _U | _L | _D | _SP); }
#define PTR_ALIGN(p, a) ((void *)(((uintptr_t)(p) + (a) - 1) & ~(uintptr_t)((a) - 1)))
static char *strnchr(char *s, size_t n, int c) { return memchr(s, c, n); }
static int try_get_buffers(struct bpf_bprintf_buffers **b) { *b = &the_buffers; return 0; }
static void bpf_bprintf_cleanup(struct bpf_bprintf_data *d) { }
static long copy_from_kernel_nofault(void *to, const void *from, size_t n)
{
	printf("%zu:%d ", n, (int)(intptr_t)from);
	return -1;
}
static int bpf_trace_copy_string(char *buf, void *from, char type, size_t n)
{
	printf("%c%d ", type == 'u' ? 'u' : 'k', (int)(intptr_t)from);
	buf[0] = 0;
	return 1;
}
#define snprintf(...) 4
FUNCTION
int main(void)
{
	static char format[64];
	u64 args[12];
	int i;
	for (i = 0; i < 12; i++)
		args[i] = i;
	while (fread(format, sizeof(format), 1, stdin) == 1) {
		struct bpf_bprintf_data data = { .get_bin_args = true };
		int err = bpf_bprintf_prepare(format, sizeof(format), args, 12, &data);
		printf("%s\n", err ? "invalid" : "ok");
	}
	return 0;
}
"#;

/// What is between `from` and `to` of a source.
fn cut<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let at = text.find(from).expect(from);
    let len = text[at..].find(to).expect(to);
    &text[at..at + len + to.len()]
}

fn build(root: PathBuf) -> PathBuf {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).expect(path);
    let helpers = read("kernel/bpf/helpers.c");
    let ctype = read("lib/ctype.c");
    let function = cut(&helpers, "int bpf_bprintf_prepare(char *fmt,", "\n}\n");
    let table = cut(&ctype, "const unsigned char _ctype[]", "};");
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (source, program) = (dir.join("format.c"), dir.join("format"));
    let text = HARNESS
        .replace("CTYPE", table)
        .replace("FUNCTION", function);
    std::fs::write(&source, text).unwrap();
    let built = Command::new("gcc")
        .arg("-w")
        .arg("-o")
        .arg(&program)
        .arg(&source)
        .status();
    assert!(built.unwrap().success());
    program
}

/// Pieces of which formats are put together, so that most of them mean something.
const PIECES: [&[u8]; 46] = [
    b"%", b"%", b"%", b"%", b"%d", b"%s", b"%p", b"%pks", b"%pus", b"%pI4", b"%pi6", b"%pS",
    b"%pB", b"%px", b"%pK", b"%c", b"%llu", b"%lx", b"%%", b"%08x", b"%-5d", b"s", b"p", b"k",
    b"u", b"i", b"I", b"4", b"6", b"l", b"c", b"x", b"0", b"9", b"-", b"+", b" ", b"\n", b".",
    b"z", b"\x80", b"\xa0", b"\xd7", b"\xf7", b"\x01", b"\x7f",
];

#[test]
fn formats_are_read_as_the_kernel_reads_them() {
    let Some(root) = std::env::var_os("KERNEL_SRC").filter(|dir| !dir.is_empty()) else {
        eprintln!("skipped: KERNEL_SRC is not set");
        return;
    };
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 11) as usize % below
    };
    let formats: Vec<[u8; 64]> = (0..200_000)
        .map(|_| {
            let mut format = Vec::new();
            for _ in 0..random(24) {
                match random(16) {
                    0 => format.push(1 + random(255) as u8),
                    _ => format.extend(PIECES[random(PIECES.len())]),
                }
            }
            let mut bytes = [0; 64];
            let len = format.len().min(63);
            bytes[..len].copy_from_slice(&format[..len]);
            bytes
        })
        .collect();
    let mut kernel = Command::new(build(PathBuf::from(root)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = kernel.stdin.take().unwrap();
    let bytes = formats.concat();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes).unwrap());
    let mut said = String::new();
    kernel
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    writer.join().unwrap();
    assert!(kernel.wait().unwrap().success());
    let theirs: Vec<_> = said.lines().collect();
    assert_eq!(theirs.len(), formats.len());
    let (mut valid, mut read) = (0, 0);
    for (format, theirs) in formats.iter().zip(theirs) {
        assert_eq!(
            ours(format),
            theirs,
            "{:?}",
            String::from_utf8_lossy(format)
        );
        valid += usize::from(theirs.ends_with("ok"));
        read += usize::from(theirs.contains([':', 'k', 'u']) && theirs.ends_with(" ok"));
    }
    // Formats of both kinds, and such as have the kernel read something.
    assert!(
        valid > 20_000 && valid < 180_000 && read > 5_000,
        "{valid} {read}"
    );
}

/// Symbols are told apart from numbers, which the kernel does later.
#[test]
fn what_shows_symbols_says_so() {
    for (format, symbol) in [
        ("%pS", true),
        ("%ps.", true),
        ("%pB", true),
        ("%p", false),
        ("%px", false),
        ("%pK", false),
        ("%lx", false),
        ("%pSx", true),
    ] {
        let used = Uses::of(format.as_bytes(), 1).next();
        let want = if symbol { Use::Symbol } else { Use::Value };
        assert_eq!(used, Some(Ok(want)), "{format}");
    }
    assert_eq!(Uses::of(b"%d%d", 1).nth(1), Some(Err(Invalid)));
    assert_eq!(Uses::of(b"%", 1).next(), Some(Err(Invalid)));
    assert_eq!(Uses::of(b"50%%", 1).next(), None);
}
