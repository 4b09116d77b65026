// SPDX-License-Identifier: GPL-2.0
//! MOAT: BPF programs as a third privilege level, kept by protection keys.
//!
//! C header: [`include/linux/moat.h`], [`arch/x86/include/asm/moat.h`]
//!
//! | question                                 | file            |
//! |------------------------------------------|-----------------|
//! | where is the boundary crossed            | `gates.S`, and `arch/x86/entry/moat_64.S` in the kernel |
//! | what is where in the window              | `state/space.rs` |
//! | who uses what                            | `state/sharing.rs` |
//! | who is keyed, and who in a view          | `state/residence.rs` |
//! | what do maps of maps lead to             | `state/maps_of_maps.rs` |
//! | who deserves a key                       | `balance.rs`    |
//! | what memory does a program have          | `load/layout.rs`, `program.rs` |
//! | what code, and how does it call out      | `code/` |
//! | what may that code be, where may it lead | `sensitive.rs`, `walk.rs` |
//! | what happens around a run                | `run.rs`, `run/` |
//! | how is a program's memory looked at      | `kernel/program_memory.rs` |
//! | what may a helper be given               | `helpers/`      |
//! | what is a program type, a map type      | `prog_types/`, `maps/types.rs` |
//! | what may become of a packet              | `reshape.rs`, `helpers/geometry.rs` |
//! | what happens on a violation              | `violation.rs`  |
//! | why can it not be isolated               | `reason.rs`     |
//! | who is told so, and what can they do     | `report.rs`     |
//! | was that told before                     | `again.rs`      |
//! | may a message go to the log              | `limit.c`       |
//! | which programs are there                 | `listing.c`     |
//! | who looks after runs with interrupts off | `watch.c`       |
//! | who sends packets for ever               | `line.rs`, `sends.rs` |
//! | what does the administrator want         | `policy.rs`     |
//! | what do the BPF core and the JIT ask     | `kernel/hooks.rs`, `jit_hook.rs`, `code/jit.rs` |
//! | what do C and Rust have of each other    | `shims.h`, `bindings.rs`, `ffi.rs`, `abicheck.rs` |
//! | what numbers of the kernel are repeated  | `constcheck.rs` |

// A module has no other crate to be reached from, but host.rs has.
#![allow(unreachable_pub)]

use edge::calls;
use kernel::prelude::*;

// Pure logic, shared with the host build (host.rs), whose tests use all of it.
mod again;
mod balance;
#[allow(dead_code)]
mod boundary;
mod decode;
#[allow(dead_code)]
mod drain;
#[allow(dead_code)]
mod helpers;
#[allow(dead_code)]
mod keyalloc;
#[allow(dead_code)]
mod line;
#[allow(dead_code)]
mod maps;
mod opcodes;
#[allow(dead_code)]
mod pks;
#[allow(dead_code)]
mod prog_types;
#[allow(dead_code)]
mod reason;
mod sensitive;
#[allow(dead_code)]
mod view;
mod walk;
#[allow(dead_code)]
mod window;
#[allow(dead_code)]
mod x86;

#[allow(dead_code)]
mod abicheck;
mod bindings;
mod code;
#[allow(dead_code)]
mod constcheck;
// `kernel` is the crate.
#[path = "kernel/mod.rs"]
mod edge;
mod ffi;
mod jit_hook;
mod load;
mod policy;
mod program;
mod report;
mod reshape;
mod run;
mod sends;
mod show;
mod state;
mod violation;

module! {
    type: Moat,
    name: b"moat",
    author: b"The MOAT project",
    description: b"Isolation of BPF programs with supervisor protection keys",
    license: b"GPL",
}

struct Moat {
    _sysctls: edge::sysctl::Sysctls,
    _watch: Watch,
    _hooks: edge::hooks::Hooks,
}

impl kernel::Module for Moat {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let sysctls = policy::register()?;
        let watch = Watch::start()?;
        // Last of what can fail: from here on programs hold the module.
        let hooks = edge::hooks::Hooks::register()?;
        // The module does without, if there is no debugfs.
        calls::counters_init();
        pr_info!("ready: {} keys for programs\n", pks::Key::PROGRAMS);
        Ok(Moat {
            _sysctls: sysctls,
            _watch: watch,
            _hooks: hooks,
        })
    }
}

/// Looks for runs that nothing interrupts: `watch.c`.
struct Watch(());

impl Watch {
    fn start() -> Result<Watch> {
        match calls::watch_init() {
            0 => Ok(Watch(())),
            err => Err(Error::from_errno(err)),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        calls::watch_exit();
    }
}

impl Drop for Moat {
    fn drop(&mut self) {
        calls::stop_balancing();
        calls::counters_exit();
        // Statics are not dropped.
        edge::lock::Locked::take().clear();
    }
}
