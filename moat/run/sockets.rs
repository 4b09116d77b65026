// SPDX-License-Identifier: GPL-2.0
//! Sockets that a run has.
//!
//! What the program has of one is a copy of the fields that it reads, in its slot, made when
//! it gets the socket, and made again when it gets it once more.  Where that is is its name
//! for it, which is nothing to the kernel unless the table of the slot has it.  Context: as
//! in `run/mod.rs`.

#![forbid(unsafe_code)]

use super::{violation, Run};
use crate::edge::program_memory::Words;
use crate::helpers::audit;
use crate::helpers::contract::{Contract, Ret};
use crate::helpers::grants::{Has, Held, Object, Struct};

/// `offsetof(struct __sk_buff, sk)`
pub const SK: u64 = 168;

impl Run<'_> {
    /// What the program is to know of a socket with a reference that it has got, and for
    /// which there is room.
    pub(super) fn hold_socket(&self, ret: u64) -> u64 {
        let held = Object::returned(ret)
            .zip(self.grants())
            .and_then(|(socket, grants)| grants.hold_socket(socket, Has::Reference));
        held.map_or(0, |held| {
            self.look_on_exit();
            self.copy_all_of(&held);
            held.name()
        })
    }

    /// The same of one without.
    pub(super) fn name_socket(&self, ret: u64, how: Ret) -> u64 {
        let (socket, grants) = match Object::returned(ret).zip(self.grants()) {
            Some(found) => found,
            None => return 0,
        };
        let held = match how {
            Ret::ListenerOrNull => grants.hold_socket(socket, Has::Listener),
            Ret::StructOrNull(Struct::Mptcp) => grants
                .hold_socket(socket, Has::Part)
                .and_then(|_| grants.take_for(socket, Struct::Mptcp)),
            // The one that the helper was given.
            Ret::StructOrNull(what) => grants.take_for(socket, what),
            _ => grants.socket_of(socket),
        };
        let held = match held {
            Some(held) => held,
            None => {
                violation::too_many_sockets(self.program);
                self.stop();
                return 0;
            }
        };
        self.copy_all_of(&held);
        match how {
            Ret::TcpOrNull => held.tcp_name(),
            _ => held.name(),
        }
    }

    /// What the program reads of it: also as the structures that it has taken it for.
    fn copy_all_of(&self, held: &Held) {
        self.copy_socket(held);
        self.copy_structs(held);
    }

    fn copy_structs(&self, held: &Held) {
        if self.program.plan.struct_size() == 0 {
            return;
        }
        for what in Struct::ALL {
            if held.is_taken_for(what) {
                self.copy_struct(held, what);
            }
        }
    }

    /// A helper was given a socket, or the context has another one: what can be read of them
    /// may have changed.
    #[cold]
    pub(super) fn after_socket(&self, contract: &Contract) {
        if contract.sets_socket {
            self.load_socket();
        }
        if let Some(grants) = self.grants() {
            grants.taken().for_each(|held| self.copy_structs(&held));
        }
    }

    /// The kernel's address of the socket that it has as `name`, and with `back` has a
    /// reference less on.
    pub(super) fn socket_of(&self, name: u64, back: bool) -> Option<u64> {
        let grants = self.grants()?;
        let held = match back {
            true => grants.put_socket(name),
            false => grants.socket(name),
        };
        held.map(|held| held.object().addr())
    }

    /// A run begins.
    #[inline(always)]
    pub(super) fn forget_kept(&self) {
        if self.program.keeps {
            if let Some(grants) = self.grants() {
                grants.forget_kept();
            }
        }
    }

    /// The context's socket may be another one now, and what the program knows of it is old.
    #[inline(always)]
    pub(super) fn load_socket(&self) {
        if self.program.plan.reads_sk {
            self.load_its_socket();
        }
    }

    #[cold]
    fn load_its_socket(&self) {
        let skb = self.packet().skb();
        let socket = skb.and_then(|skb| Object::returned(skb.socket()));
        let held = self.grants().and_then(|grants| grants.set_context(socket));
        if socket.is_some() && held.is_none() {
            violation::too_many_sockets(self.program);
            self.stop();
        }
        if let Some(held) = &held {
            self.copy_socket(held);
        }
        if let Some(memory) = audit::writable(self.slot.snap + SK, 8, self) {
            Words::from(memory).set(0, held.as_ref().map_or(0, Held::name));
        }
    }
}
