// SPDX-License-Identifier: GPL-2.0
//! Sets stay exact while programs and maps of maps come and go (I5), also when memory
//! is short: no program reaches what is not in its set, each reaches what it finds,
//! and nothing is left behind.
//!
//! The module's own files run here, against a fake kernel, `tools/fake-kernel`, whose
//! TLBs remember whatever page tables said since the last flush.  At each change of
//! page tables, flush and grace period, and after each step, all that programs could
//! reach and all that the module knows is checked: `reach.rs`, `rest.rs`.
//!
//! `PROPTEST_CASES` is how many histories each test tries:
//!
//! ```text
//! PROPTEST_CASES=200000 cargo test --release --test sets
//! ```

// 1.63 is for what the kernel's rustc sees.
#![allow(clippy::incompatible_msrv)]

// Some of what these have is for parts of the module that are not here.
#[allow(dead_code, unused_imports)]
#[path = "../../kernel/mod.rs"]
mod edge;
#[allow(dead_code, unused_imports)]
#[path = "../../helpers/mod.rs"]
mod helpers;
#[allow(dead_code)]
#[path = "../../keyalloc.rs"]
mod keyalloc;
#[allow(dead_code, unused_imports)]
#[path = "../../load/mod.rs"]
mod load;
#[allow(dead_code, unused_imports)]
#[path = "../../maps/mod.rs"]
mod maps;
#[allow(dead_code)]
#[path = "../../pks.rs"]
mod pks;
#[allow(dead_code, unused_imports)]
#[path = "../../prog_types/mod.rs"]
mod prog_types;
#[allow(dead_code, unused_imports)]
#[path = "../../state/mod.rs"]
mod state;
#[allow(dead_code)]
#[path = "../../window/mod.rs"]
mod window;
#[allow(dead_code)]
#[path = "../../x86.rs"]
mod x86;

// In place of `kernel/bindings.rs`.
use kernel::shims as bindings;

mod admin;
mod code;
mod run;

mod arenas;
mod books;
mod broken;
mod changes;
mod grows;
mod history;
mod loads;
mod map_calls;
mod module;
mod plans;
mod programs;
mod random;
mod reach;
mod rest;
mod setup;
mod system;
mod victims;
mod written;
