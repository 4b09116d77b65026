// SPDX-License-Identifier: GPL-2.0
//! Whether a program may call what it does.
//!
//! Context: process; the thread that loads the program.

use crate::helpers::contract::{Arg, Contract, Ret, Uncovers};
use crate::helpers::dynptrs::USER_RINGBUF_DRAIN;
use crate::helpers::grants::Struct;
use crate::helpers::table;
use crate::helpers::table::{KFUNCS, KFUNC_BASE};
use crate::load::reason::{Failure, Reason, Subject, Text, Tried};
use crate::prog_types::{Context, ProgType, ProgTypes};
use kernel::bindings;

/// `BPF_FUNC_map_lookup_elem`
const MAP_LOOKUP_ELEM: u32 = bindings::bpf_func_id_BPF_FUNC_map_lookup_elem;
/// `BPF_FUNC_for_each_map_elem`
const FOR_EACH_MAP_ELEM: u32 = bindings::bpf_func_id_BPF_FUNC_for_each_map_elem;

/// Because of a call of a helper, which is instruction number `insn` now.
fn helper_refused(insn: u32, contract: Option<&'static Contract>) -> Failure {
    Failure::Refused(Reason {
        insn: Some(insn),
        subject: contract.map_or(Subject::Program, |contract| Subject::Helper(contract.name)),
        why: contract
            .and_then(|contract| contract.refused)
            .unwrap_or("helper without a contract"),
    })
}

/// Why an extension is not isolated that is not called with the context, but calls this.
fn no_context(insn: u32, contract: &Contract) -> Failure {
    Failure::Refused(Reason {
        insn: Some(insn),
        subject: Subject::Helper(contract.name),
        why: "is for a packet, and the function that it replaces does not take the context",
    })
}

/// A function of the kernel's that is no helper, which a program calls.
pub struct Kfunc<'a> {
    pub name: &'a str,
    /// Where it begins.
    pub func: u64,
}

/// Its contract, if the program may call it.
fn kfunc_contract(
    insn: u32,
    kfunc: Option<Kfunc<'_>>,
    ty: &ProgType,
) -> Tried<(&'static Contract, u64)> {
    let refused = |subject, why| {
        Failure::Refused(Reason {
            insn: Some(insn),
            subject,
            why,
        })
    };
    let none = "calls of kernel functions (kfuncs) are not audited";
    let Kfunc { name, func } = kfunc.ok_or_else(|| refused(Subject::Program, none))?;
    let subject = Subject::Function(Text::new(name.bytes()));
    match table::kfunc(name) {
        Some(contract) if contract.types.contains(ty.number) => Ok((contract, func)),
        Some(_) => Err(refused(subject, "is for programs of another type")),
        None => Err(refused(subject, none)),
    }
}

/// What the helpers that a program calls mean for its slots.
#[derive(Clone, Copy, Default)]
pub struct Calls {
    /// It has functions of its own.
    pub local: bool,
    /// Helpers call functions of it.
    pub calls_back: bool,
    /// How many of these calls are for the elements of maps.
    pub walks: u64,
    /// One of them is for samples of user ring buffers.
    pub drains: bool,
    /// One may move the start of the packet, or of its metadata, down to old kernel memory.
    pub uncover: bool,
    /// It looks up maps.
    pub lookup: bool,
    /// One may give it something to give back.
    pub grants: bool,
    /// One of these may be a record by a dynptr, of any size.
    pub dynptrs: bool,
    /// One takes a lock, which is given back, too.
    pub locks: bool,
    /// One is about timers of map values.
    pub timers: bool,
    /// One may give it a socket.
    pub sockets: bool,
    /// One that it does not give back.
    pub listener: bool,
    /// One that a socket is a part of.
    pub mptcp: bool,
    /// One may give it a connection.
    pub conns: bool,
    /// Where those functions begin that it calls by name, by their numbers from
    /// [`KFUNC_BASE`] on; 0 if it does not.
    pub kfuncs: [u64; KFUNCS],
}

impl Calls {
    /// Every helper that a program of type `ty` calls must have a contract; before fix-ups
    /// the number is still there.  If it is `bare`, it has no context to call one with.
    pub fn check<'a>(
        insns: &[bindings::bpf_insn],
        (ty, bare): (&ProgType, bool),
        kfunc: impl Fn(usize) -> Option<Kfunc<'a>>,
    ) -> Tried<Calls> {
        let mut calls = Calls::default();
        let mut skip = false;
        for (i, insn) in insns.iter().enumerate() {
            if core::mem::take(&mut skip) {
                continue;
            }
            // The second half of a 64-bit load is no instruction.
            skip = u32::from(insn.code) == bindings::BPF_LD | bindings::BPF_IMM | bindings::BPF_DW;
            calls.local |= skip && u32::from(insn.src_reg()) == bindings::BPF_PSEUDO_FUNC;
            if u32::from(insn.code) != bindings::BPF_JMP | bindings::BPF_CALL {
                continue;
            }
            if u32::from(insn.src_reg()) == bindings::BPF_PSEUDO_KFUNC_CALL {
                let (contract, func) = kfunc_contract(i as u32, kfunc(i), ty)?;
                if bare && contract.for_packet {
                    return Err(no_context(i as u32, contract));
                }
                if let Some(to) = calls.kfuncs.get_mut((contract.id - KFUNC_BASE) as usize) {
                    *to = func;
                }
                calls.conns |= contract.ret.is_held();
                calls.grants |= calls.conns;
                continue;
            }
            if insn.src_reg() != 0 {
                calls.local = true;
                continue;
            }
            match table::contract(insn.imm as u32) {
                Some(contract) if bare && contract.for_packet => {
                    return Err(no_context(i as u32, contract));
                }
                Some(contract)
                    if contract.refused.is_none() && contract.types.contains(ty.number) =>
                {
                    calls.lookup |= contract.id == MAP_LOOKUP_ELEM;
                    calls.locks |= matches!(contract.args[0], Arg::Lock);
                    calls.timers |= matches!(contract.args[0], Arg::Timer);
                    calls.dynptrs |= contract.fills_dynptr();
                    calls.grants |= contract.ret.is_held() || calls.locks || calls.dynptrs;
                    calls.calls_back |= contract.calls_back();
                    calls.walks += u64::from(contract.id == FOR_EACH_MAP_ELEM);
                    calls.drains |= contract.id == USER_RINGBUF_DRAIN;
                    calls.sockets |= contract.ret.is_socket();
                    calls.listener |= matches!(contract.ret, Ret::ListenerOrNull);
                    calls.mptcp |= matches!(contract.ret, Ret::StructOrNull(Struct::Mptcp));
                    calls.uncover |= match ty.context {
                        Context::XdpBuff => contract.uncovers != Uncovers::Nothing,
                        // Others see no metadata, and what keeps it may be somebody else's.
                        Context::SkBuff => {
                            contract.effects.load_ctx && ProgTypes::TC.contains(ty.number)
                        }
                        Context::SeccompData => false,
                    };
                }
                contract => return Err(helper_refused(i as u32, contract)),
            }
        }
        Ok(calls)
    }
}
