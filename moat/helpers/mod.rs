// SPDX-License-Identifier: GPL-2.0
//! What a program may ask of the kernel, and what it must prove when it asks.
//!
//! - [`contract`]: the vocabulary of a contract.
//! - [`table`]: one contract for every helper, found by its number.
//! - [`audit`]: a contract, applied to the arguments of one call.
//! - [`format`]: what the formats of helpers that print do with arguments.
//! - [`dynptr`]: what a dynptr says, and what of it is believed.
//! - [`grants`]: what a run was given, and has to give back.
//! - [`geometry`]: what helpers make of a packet, and what they must not.
//!
//! The other files are the contracts themselves, by subject.

pub mod audit;
pub mod contract;
pub mod dynptr;
pub mod format;
pub mod geometry;
pub mod grants;
pub mod table;

mod classic;
mod common;
pub mod conntrack;
pub(crate) mod dynptrs;
pub(crate) mod maps;
pub(crate) mod net_both;
mod net_skb;
mod net_xdp;
mod prints;
mod refused;
mod sockets;
