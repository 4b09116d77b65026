// SPDX-License-Identifier: GPL-2.0
//! Prints moat/x86.rs: the architecture's constants, from the x86 crate.
//!
//! `cargo run -p constgen > moat/x86.rs` writes it anew; `cargo test` fails when
//! it is stale. The module then holds it against the kernel's headers
//! (moat/checks/constants.rs), so a typo has to be made twice to go through. CR4.PKS
//! and IA32_PKRS are not in the crate and stand in moat/pks.rs.

use std::fmt::Write;
use x86::bits64::paging::{self, PTFlags};
use x86::bits64::rflags::RFlags;
use x86::controlregs::{Cr0, Cr4};
use x86::msr;

const HEAD: &str = "\
// SPDX-License-Identifier: GPL-2.0
//! Constants of the architecture.
//!
//! Written by `cargo run -p constgen > moat/x86.rs` from the x86 crate 0.52.
//! `checks/constants.rs` compares them with the kernel's headers.
";

fn text() -> String {
    let mut out = String::from(HEAD);
    let mut group = |what: &str, ty: &str, list: &[(&str, u64)]| {
        writeln!(out, "\n// {what}").unwrap();
        for (name, value) in list {
            writeln!(out, "pub const {name}: {ty} = {value:#x};").unwrap();
        }
    };
    let rflags = |flag: RFlags| flag.bits();
    group(
        "RFLAGS. Intel SDM Vol. 1, 3.4.3.",
        "u64",
        &[
            ("RFLAGS_CF", rflags(RFlags::FLAGS_CF)),
            ("RFLAGS_FIXED", rflags(RFlags::FLAGS_A1)),
            ("RFLAGS_PF", rflags(RFlags::FLAGS_PF)),
            ("RFLAGS_AF", rflags(RFlags::FLAGS_AF)),
            ("RFLAGS_ZF", rflags(RFlags::FLAGS_ZF)),
            ("RFLAGS_SF", rflags(RFlags::FLAGS_SF)),
            ("RFLAGS_TF", rflags(RFlags::FLAGS_TF)),
            ("RFLAGS_IF", rflags(RFlags::FLAGS_IF)),
            ("RFLAGS_DF", rflags(RFlags::FLAGS_DF)),
            ("RFLAGS_OF", rflags(RFlags::FLAGS_OF)),
            ("RFLAGS_IOPL", rflags(RFlags::FLAGS_IOPL3)),
            ("RFLAGS_NT", rflags(RFlags::FLAGS_NT)),
            ("RFLAGS_RF", rflags(RFlags::FLAGS_RF)),
            ("RFLAGS_VM", rflags(RFlags::FLAGS_VM)),
            ("RFLAGS_AC", rflags(RFlags::FLAGS_AC)),
        ],
    );
    group(
        "Control registers. Intel SDM Vol. 3A, 2.5.",
        "u64",
        &[
            ("CR0_WP", Cr0::CR0_WRITE_PROTECT.bits() as u64),
            ("CR4_PCIDE", Cr4::CR4_ENABLE_PCID.bits() as u64),
            ("CR4_SMEP", Cr4::CR4_ENABLE_SMEP.bits() as u64),
            ("CR4_SMAP", Cr4::CR4_ENABLE_SMAP.bits() as u64),
            ("CR4_PKE", Cr4::CR4_ENABLE_PROTECTION_KEY.bits() as u64),
        ],
    );
    group(
        "Leaf paging entries. Intel SDM Vol. 3A, table 4-20.",
        "u64",
        &[
            ("PTE_P", PTFlags::P.bits()),
            ("PTE_RW", PTFlags::RW.bits()),
            ("PTE_US", PTFlags::US.bits()),
            ("PTE_A", PTFlags::A.bits()),
            ("PTE_D", PTFlags::D.bits()),
            ("PTE_G", PTFlags::G.bits()),
            ("PTE_XD", PTFlags::XD.bits()),
        ],
    );
    group(
        "What one entry of each level maps, in bytes.",
        "u64",
        &[
            ("PTE_SIZE", paging::BASE_PAGE_SIZE as u64),
            ("PMD_SIZE", paging::LARGE_PAGE_SIZE as u64),
            ("PUD_SIZE", paging::HUGE_PAGE_SIZE as u64),
            ("PGD4_SIZE", paging::PML4_SLOT_SIZE as u64),
        ],
    );
    group(
        "Model-specific registers. Intel SDM Vol. 4, table 2-2.",
        "u32",
        &[
            ("MSR_DEBUGCTL", msr::IA32_DEBUGCTL.into()),
            ("MSR_PEBS_ENABLE", msr::IA32_PEBS_ENABLE.into()),
            ("MSR_DS_AREA", msr::IA32_DS_AREA.into()),
            ("MSR_EFER", msr::IA32_EFER.into()),
            ("MSR_GS_BASE", msr::IA32_GS_BASE.into()),
        ],
    );
    out
}

fn main() {
    print!("{}", text());
}

#[test]
fn the_committed_file_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../moat/x86.rs");
    let have = std::fs::read_to_string(path).unwrap_or_default();
    assert!(have == text(), "stale: cargo run -p constgen > moat/x86.rs");
}
