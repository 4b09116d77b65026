// SPDX-License-Identifier: GPL-2.0
//! Whether a program may call what it does.
//!
//! Context: process; the thread that loads the program.

use super::Program;
use crate::helpers::contract::{Contract, Uncovers};
use crate::helpers::table;
use crate::prog_types::Context;
use crate::reason::{Failure, Reason, Subject, Tried};
use kernel::bindings;

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

impl Program {
    /// Every helper must have a contract; before fix-ups the number is still there.
    pub(super) fn check_calls(&mut self, prog: &bindings::bpf_prog) -> Tried<()> {
        if self.plan.classic {
            return Ok(());
        }
        // SAFETY: `len` instructions follow the structure.
        let insns = unsafe {
            core::slice::from_raw_parts(
                prog.__bindgen_anon_1
                    .__bindgen_anon_2
                    .as_ref()
                    .insnsi
                    .as_ptr(),
                prog.len as usize,
            )
        };
        let mut skip = false;
        for (i, insn) in insns.iter().enumerate() {
            if core::mem::take(&mut skip) {
                continue;
            }
            // The second half of a 64-bit load is no instruction.
            skip = u32::from(insn.code) == bindings::BPF_LD | bindings::BPF_IMM | bindings::BPF_DW;
            if u32::from(insn.code) != bindings::BPF_JMP | bindings::BPF_CALL {
                continue;
            }
            if insn.src_reg() != 0 {
                self.local_calls = true;
                continue;
            }
            match table::contract(insn.imm as u32) {
                Some(contract)
                    if contract.refused.is_none() && contract.types.contains(self.ty) =>
                {
                    self.reloads |= contract.effects.load_ctx || contract.effects.store_ctx;
                    self.uncovers |= match self.row.context {
                        Context::XdpBuff => contract.uncovers != Uncovers::Nothing,
                        Context::SkBuff => contract.effects.load_ctx,
                    };
                }
                contract => return Err(helper_refused(i as u32, contract)),
            }
        }
        Ok(())
    }
}
