// SPDX-License-Identifier: GPL-2.0
//! What is counted here and shown by `admin/counters.c` in debugfs.
//!
//! Context: any.

// The names that C has for them.
#![allow(non_upper_case_globals)]

use core::sync::atomic::AtomicU64;

/// Shown in debugfs as `binds`: keys given to domains.
#[no_mangle]
pub static moat_binds: AtomicU64 = AtomicU64::new(0);
/// Shown in debugfs as `evictions`: programs that lost their keys to hotter ones.
#[no_mangle]
pub static moat_evictions: AtomicU64 = AtomicU64::new(0);
/// Shown in debugfs as `freed`: programs that are gone, with all they had.
#[no_mangle]
pub static moat_freed: AtomicU64 = AtomicU64::new(0);
/// Shown in debugfs as `loaded`: programs that are isolated, or about to be, and not freed yet.
#[no_mangle]
pub static moat_loaded: AtomicU64 = AtomicU64::new(0);
/// Shown in debugfs as `refused`: loads and attachments.
#[no_mangle]
pub static moat_refused: AtomicU64 = AtomicU64::new(0);
/// Shown in debugfs as `plain`: programs that run without isolation.
#[no_mangle]
pub static moat_plain: AtomicU64 = AtomicU64::new(0);
/// Shown in debugfs as `confined`: classic filters that run plainly, since they are confined
/// by what they are converted to.
#[no_mangle]
pub static moat_confined: AtomicU64 = AtomicU64::new(0);
/// Shown in debugfs as `refused_maps`: maps that were not let into a map of maps.
#[no_mangle]
pub static moat_refused_maps: AtomicU64 = AtomicU64::new(0);
/// Shown in debugfs as `no_memory`: loads and changes of maps of maps that failed
/// because memory, or the window, ran out.
#[no_mangle]
pub static moat_no_memory: AtomicU64 = AtomicU64::new(0);
/// Shown in debugfs as `violations`.
#[no_mangle]
pub static moat_violations: AtomicU64 = AtomicU64::new(0);
/// Shown in debugfs as `kept_packets`: calls that were answered with an error, because
/// of what they would have made of the packet.
#[no_mangle]
pub static moat_kept_packets: AtomicU64 = AtomicU64::new(0);
/// Shown in debugfs as `given_back`: references and records that runs held when they were
/// stopped.
#[no_mangle]
pub static moat_given_back: AtomicU64 = AtomicU64::new(0);
/// Shown in debugfs of test kernels as `mispredicted`: calls that made something else of
/// a packet than they were expected to.
#[no_mangle]
pub static moat_mispredicted: AtomicU64 = AtomicU64::new(0);
/// Packets that were not sent.  Shown in debugfs.
#[no_mangle]
pub static moat_refused_sends: AtomicU64 = AtomicU64::new(0);
/// Calls for a larger record than there is room for in a slot.  Shown in debugfs.
#[no_mangle]
pub static moat_refused_records: AtomicU64 = AtomicU64::new(0);
/// Calls that were to print what the program may not read.  Shown in debugfs.
#[no_mangle]
pub static moat_refused_prints: AtomicU64 = AtomicU64::new(0);
