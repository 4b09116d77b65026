// SPDX-License-Identifier: GPL-2.0
//! MOAT: BPF programs as a third privilege level, kept by protection keys.
//!
//! C header: [`include/linux/moat.h`], [`arch/x86/include/asm/moat.h`]
//!
//! | question                                 | room, files |
//! |------------------------------------------|-------------|
//! | what does the kernel ask, and when       | `jit_hook.rs`; `kernel/hooks.rs` has the table |
//! | what are keys, and what is PKRS          | `pks.rs`, `x86.rs`; who has which: `keyalloc.rs` |
//! | **`kernel/`**: what do we use of the kernel | |
//! | how is C called, and how does it call    | `shims.c`, `geometry.c`, `timers.c`, `shims.h`, `bindings.rs`, `bindings_helper.h`, `ffi.rs`, `shims.rs`, `calls.rs`, `given.rs`, `writers.rs`, `counters.rs`, `listing.rs`, `sysctl.rs` |
//! | what can the test kernel take away       | `off.rs` |
//! | who may touch what                       | `lock.rs`, `rcu.rs`, `fixed.rs`, `exclusive.rs`, `held.rs`, `anywhere.rs` |
//! | what is a program to the kernel          | `prog.rs`, `prog_aux.rs`, `candidate.rs`, `loaded.rs`, `plan.rs`, `gates.rs`, `code.rs` |
//! | what is a map, memory, the window        | `maps.rs`, `memory.rs`, `window_pages.rs` |
//! | what is a run, its context, its packet   | `invocation.rs`, `site.rs`, `records.rs`, `dynptrs.rs`, `samples.rs`, `context.rs`, `packet.rs`, `this_cpu.rs`, `stack.rs` |
//! | how is a program's memory looked at      | `program_memory.rs`, `caller_memory.rs`, `desk.rs` |
//! | **`prog_types/`**: which program types are there | `rows.rs`, `set.rs`, `names.rs` |
//! | **`maps/`**: which map types are there   | `types.rs` |
//! | **`helpers/`**: what may a helper be given | `contract.rs`, `table.rs`, a file for each kind; `audit.rs` |
//! | what has a run been given                | `grants.rs` |
//! | what may become of a packet              | `geometry.rs`, `geometry/` |
//! | **`load/`**: can it be isolated, and why not | `calls.rs`, `reason.rs` |
//! | where are its slots                      | `layout.rs` |
//! | **`code/`**: what does the JIT tell, and ask | `jit.rs`, `loading.rs` |
//! | what may an image be, where may it lead  | `image.rs`, `walk.rs`, `sensitive.rs`, `decode.rs`, `opcodes.rs`, `insn_starts.rs` |
//! | how does it call out                     | `sites.rs`; which maps without an audit: `load/map_calls.rs` |
//! | **`run/`**: where is the boundary crossed | `enter_exit.S`, `call_return.S`, `map_calls.S`, `record_calls.S`, `tail_call.S`, `callback.S`, `timer.S`, `extension.S`, `gates.h`, and `arch/x86/entry/moat_64.S` in the kernel |
//! | what do runs read                        | `program.rs` |
//! | what happens around a run, and a call    | `mod.rs`, `call.rs`, `reshape.rs`, `copies.rs`, `print.rs`, `records.rs`, `dynptrs.rs`, `locks.rs`, `timers.rs` |
//! | what happens on a violation              | `violation.rs`; may it go to the log: `limit.c` |
//! | who looks after runs with interrupts off | `watch.c` |
//! | who sends packets for ever               | `line.rs`, `sends.rs` |
//! | **`state/`**: what does the lock guard   | `mod.rs`, `arena.rs`, `domain.rs`, `lifecycle.rs` |
//! | who uses what                            | `sharing.rs`, `maps_of_maps.rs` |
//! | who is left confined, and listed         | `confined.rs` |
//! | who is keyed, and who deserves it        | `residence.rs`, `ranking.rs` |
//! | what is where in the window              | `space.rs` |
//! | **`window/`**: which addresses are free, and when | `addresses.rs`, `flush_epoch.rs`, `pcids.rs` |
//! | **`admin/`**: what does the administrator want | `sysctl.rs` |
//! | who is told what, and was that told before | `report.rs`, `again.rs` |
//! | what can people see                      | `show.rs`, `listing.c`, `counters.c` |
//! | **`checks/`**: do C, Rust and assembly agree | `constants.rs`, `layouts.rs` |

// A module has no other crate to be reached from, but host.rs has.
#![allow(unreachable_pub)]

use edge::calls;
use kernel::prelude::*;

// One for each room; `main.rs` and what stands beside it belongs to all of them.  Files
// without the kernel in them are built for the host, too, by host.rs, whose tests use all
// of what is in them.
mod admin;
// Generated, and so not there on the host.
#[path = "kernel/bindings.rs"]
mod bindings;
#[allow(dead_code)]
mod checks;
mod code;
// `kernel` is the kernel's own crate.
#[path = "kernel/mod.rs"]
mod edge;
#[allow(dead_code)]
mod helpers;
mod jit_hook;
#[allow(dead_code)]
mod keyalloc;
mod load;
#[allow(dead_code)]
mod maps;
#[allow(dead_code)]
mod pks;
#[allow(dead_code)]
mod prog_types;
mod run;
mod state;
#[allow(dead_code)]
mod window;
#[allow(dead_code)]
mod x86;

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
        let sysctls = admin::sysctl::register()?;
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

/// Looks for runs that nothing interrupts: `run/watch.c`.
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
