// SPDX-License-Identifier: GPL-2.0
//! Every sensitive instruction is told, however it is prefixed, and what the JIT
//! emits is not.

use moat_logic::code::sensitive::*;
use proptest::prelude::*;

const SENSITIVE: &[(&[u8], &str)] = &[
    (b"\x0f\x30", "WRMSR"),
    (b"\x0f\x32", "RDMSR"),
    (b"\x0f\x33", "RDPMC"),
    (b"\x0f\x22\xd8", "MOV to CR"),
    (b"\x44\x0f\x22\xc0", "MOV to CR"),
    (b"\x0f\x20\xd8", "MOV from CR"),
    (b"\x0f\x23\xf8", "MOV to DR"),
    (b"\x0f\x21\xf8", "MOV from DR"),
    (b"\x0f\x24\xf8", "MOV from TR"),
    (b"\x0f\x26\xf8", "MOV to TR"),
    (b"\x0f\x06", "CLTS"),
    (b"\x0f\x01\x00", "SGDT"),
    (b"\x0f\x01\x08", "SIDT"),
    (b"\x0f\x01\x10", "LGDT"),
    (b"\x0f\x01\x18", "LIDT"),
    (b"\x0f\x01\xe0", "SMSW"),
    (b"\x0f\x01\xf0", "LMSW"),
    (b"\x0f\x01\x30", "LMSW"),
    (b"\x0f\x01\x38", "INVLPG"),
    (b"\xf3\x0f\x01\x28", "RSTORSSP"),
    (b"\x0f\x01\xca", "CLAC"),
    (b"\x0f\x01\xcb", "STAC"),
    (b"\x0f\x01\xf8", "SWAPGS"),
    (b"\x0f\x01\xef", "WRPKRU"),
    (b"\x0f\x01\xd1", "XSETBV"),
    (b"\x0f\x01\xc1", "system group 0F 01"),
    (b"\x0f\x01\xd8", "system group 0F 01"),
    (b"\x0f\x00\xd0", "LLDT"),
    (b"\x0f\x00\xd8", "LTR"),
    (b"\x0f\xc7\x18", "XRSTORS"),
    (b"\x0f\xc7\xf0", "state group 0F C7"),
    (b"\x0f\xc7\xc8", "state group 0F C7"),
    (b"\x0f\xae\x28", "XRSTOR"),
    (b"\x0f\xae\x08", "state group 0F AE"),
    (b"\xf3\x0f\xae\xe8", "state group 0F AE"),
    (b"\xf3\x0f\xae\xd0", "WRFSBASE"),
    (b"\xf3\x48\x0f\xae\xd8", "WRGSBASE"),
    (b"\x0f\x08", "INVD"),
    (b"\x0f\x09", "WBINVD"),
    (b"\xf3\x0f\x09", "WBINVD"),
    (b"\xf4", "HLT"),
    (b"\x6c", "INS"),
    (b"\x6f", "OUTS"),
    (b"\xe4\x80", "IN"),
    (b"\xed", "IN"),
    (b"\xe7\x80", "OUT"),
    (b"\xee", "OUT"),
    (b"\xfa", "CLI"),
    (b"\xfb", "STI"),
    (b"\x48\xcf", "IRET"),
    (b"\x9d", "POPF"),
    (b"\x0f\x05", "SYSCALL"),
    (b"\x48\x0f\x07", "SYSRET"),
    (b"\x0f\x34", "SYSENTER"),
    (b"\x48\x0f\x35", "SYSEXIT"),
    (b"\x0f\x37", "GETSEC"),
    (b"\x0f\xaa", "RSM"),
    (b"\xe8\0\0\0\0", "CALL"),
    (b"\x66\xe8\0\0", "CALL"),
    (b"\xff\xd0", "indirect CALL"),
    (b"\x41\xff\xd3", "indirect CALL"),
    (b"\xff\x10", "indirect CALL"),
    (b"\xff\x18", "far CALL"),
    (b"\xff\xe0", "indirect JMP"),
    (b"\xff\x25\0\0\0\0", "indirect JMP"),
    (b"\x48\xff\x28", "far JMP"),
    (b"\x9a", "far CALL"),
    (b"\xea", "far JMP"),
    (b"\xc3", "RET"),
    (b"\xf3\xc3", "RET"),
    (b"\xc2\x08\x00", "RET"),
    (b"\xcb", "far RET"),
    (b"\xca\x08\x00", "far RET"),
    (b"\xcc", "INT3"),
    (b"\xcd\x80", "INT"),
    (b"\xf1", "INT1"),
    (b"\xce", "(invalid)"),
    (b"\x8e\xd8", "MOV to segment"),
    (b"\x1f", "(invalid)"),
    (b"\x0f\xa1", "POP FS"),
    (b"\x0f\xa9", "POP GS"),
    (b"\x0f\xb2\x00", "LSS"),
    (b"\x0f\xb4\x00", "LFS"),
    (b"\x0f\xb5\x00", "LGS"),
    (b"\x66\x0f\x38\x82\x00", "INVPCID"),
    (b"\x66\x0f\x38\x80\x00", "INVEPT"),
    (b"\x66\x0f\x38\x81\x00", "INVVPID"),
    (b"\x66\x0f\x38\xf5\x00", "WRUSS"),
    (b"\x0f\x38\xf6\x00", "WRSS"),
    (b"\xf3\x0f\x38\xf8\x00", "ENQCMD"),
    (b"\xf3\x0f\x3a\xf0\xc0\x00", "HRESET"),
    (b"\x0f\x78\xc0", "VMREAD"),
    (b"\x0f\x79\xc0", "VMWRITE"),
    (b"\xc6\xf8\x00", "XABORT"),
    (b"\xc7\xf8\0\0\0\0", "XBEGIN"),
    (b"\xc5\xf8\xae\x10", "VEX"),
    (b"\xc4\xe2\xf9\xf7\xc0", "VEX"),
    (b"\x62\xf1\x7c\x48\x10\x00", "EVEX"),
    (b"\x8f\xe9\x78\x12\xc0", "XOP"),
];

/// What arch/x86/net/bpf_jit_comp.c emits, and other everyday instructions.
const HARMLESS: &[&[u8]] = &[
    b"\x0f\x1f\x44\x00\x00",             // nopl
    b"\xf3\x0f\x1e\xfa",                 // endbr64
    b"\x55",                             // push %rbp
    b"\x48\x89\xe5",                     // mov %rsp,%rbp
    b"\x48\x81\xec\x20\0\0\0",           // sub $32,%rsp
    b"\x41\x57",                         // push %r15
    b"\x41\x5f",                         // pop %r15
    b"\xc9",                             // leave
    b"\x31\xc0",                         // xor %eax,%eax
    b"\xe9\0\0\0\0",                     // jmp rel32
    b"\xeb\x02",                         // jmp rel8
    b"\x74\x02",                         // je rel8
    b"\x0f\x84\0\0\0\0",                 // je rel32
    b"\x48\xb8\x0f\x30\xc3\xf4\0\0\0\0", // movabs, ugly constant
    b"\xb8\x0f\x30\xc3\xf4",             // mov $imm,%eax
    b"\x48\x0f\xb6\x07",                 // movzbq (%rdi),%rax
    b"\x8b\x47\x30",                     // mov 0x30(%rdi),%eax
    b"\xc7\x45\xf8\0\0\0\0",             // movl $0,-8(%rbp)
    b"\xc6\x45\xf8\x00",                 // movb $0,-8(%rbp)
    b"\xf0\x48\x01\x07",                 // lock add
    b"\xf0\x48\x0f\xc1\x07",             // lock xadd
    b"\xf0\x48\x0f\xb1\x07",             // lock cmpxchg
    b"\xf0\x48\x0f\xc7\x0f",             // lock cmpxchg16b
    b"\x48\x87\x07",                     // xchg
    b"\x0f\xae\xe8",                     // lfence
    b"\x0f\xae\xf0",                     // mfence
    b"\x0f\xae\xf8",                     // sfence
    b"\x48\x0f\xc8",                     // bswap
    b"\x48\x0f\xaf\xc6",                 // imul
    b"\x48\xf7\xf1",                     // div
    b"\x48\xd3\xe0",                     // shl %cl,%rax
    b"\xff\xc0",                         // inc
    b"\xff\xc8",                         // dec
    b"\xff\x75\x08",                     // push 8(%rbp)
    b"\x8f\x45\x08",                     // pop 8(%rbp)
    b"\x0f\x0b",                         // ud2
    b"\xf3\x90",                         // pause
    b"\x0f\x94\xc0",                     // sete
    b"\x0f\x44\xc1",                     // cmove
    b"\x0f\x00\xe8",                     // verw
    b"\x65\x48\x8b\x04\x25\0\0\0\0",     // mov %gs:0,%rax
];

#[test]
fn every_sensitive_instruction_is_told() {
    for (bytes, name) in SENSITIVE {
        assert_eq!(classify(bytes), Some(*name), "{bytes:02x?}");
    }
}

#[test]
fn what_the_jit_emits_is_not() {
    for bytes in HARMLESS {
        assert_eq!(classify(bytes), None, "{bytes:02x?}");
    }
}

#[test]
fn half_an_instruction_is_not_harmless() {
    for bytes in [
        &b""[..],
        b"\x0f",
        b"\x0f\x38",
        b"\x0f\x3a",
        b"\xff",
        b"\x0f\x01",
        b"\x48\x66",
    ] {
        assert_eq!(classify(bytes), Some(TRUNCATED), "{bytes:02x?}");
    }
    assert_eq!(classify(&[0x66; 20]), Some(TRUNCATED));
}

fn prefix() -> impl Strategy<Value = u8> {
    proptest::sample::select(vec![
        0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x40, 0x48, 0x4f,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_prefix_hides_one(prefixes in proptest::collection::vec(prefix(), 0..16), n in 0..SENSITIVE.len()) {
        let bytes: Vec<u8> = prefixes.into_iter().chain(SENSITIVE[n].0.iter().copied()).collect();
        prop_assert!(classify(&bytes).is_some(), "{bytes:02x?}");
    }

    #[test]
    fn no_bytes_upset_it(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
        classify(&bytes);
    }
}
