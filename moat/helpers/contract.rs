// SPDX-License-Identifier: GPL-2.0
//! The vocabulary of a helper's contract.
//!
//! C header: [`include/linux/bpf.h`], `struct bpf_func_proto`.
//!
//! A contract says for each argument what the program must prove before the
//! helper sees it, what comes back, and which of the program's private copies
//! (context snapshot, packet prefix) the helper needs up to date.  It is written
//! from the `bpf_func_proto` and the body of the helper, because the proto alone
//! does not say what the verifier adds by hand.

use super::geometry::Shape;
use super::grants::{Kind, Struct};
use crate::maps::types::MapTypes;

pub use crate::prog_types::{ProgTypes, CGROUP_SKB, SCHED_ACT, SCHED_CLS, SOCKET_FILTER, XDP};

/// What a program passes in one of its five argument registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arg {
    /// Not an argument; the helper ignores the register.
    None,
    /// A scalar the helper checks itself.  Passed as it is.
    Any,
    /// The context.  Whatever the program passes, the helper gets the kernel's.
    Ctx,
    /// A map: one of the program's own, of one of these types.
    MapPtr(MapTypes),
    /// `key_size` readable bytes, for the map of an earlier argument.
    MapKey,
    /// `value_size` readable bytes, for the map of an earlier argument.
    MapValue,
    /// The same, or NULL.
    MapValueOrNull,
    /// `value_size` writable bytes, for the map of an earlier argument.
    MapValueOut,
    /// As many bytes as argument `size` (counted from 0) says.
    Mem {
        access: Access,
        size: u8,
        /// Whether the proto says that NULL may stand for no bytes.
        nullable: bool,
    },
    /// The size in bytes of a [`Arg::Mem`], at most `max`.
    Size { max: u32, zero_ok: bool },
    /// A fixed number of bytes.
    FixedMem { access: Access, bytes: u16 },
    /// A string that ends, at most [`STR_MAX`] bytes of it.  The verifier wants it to be a
    /// constant, and nothing else proves that it is.
    ConstStr,
    /// A record that the run holds, and gives back.
    Record,
    /// A socket that the run holds.
    Socket,
    /// One that it gives back.
    SocketBack,
    /// Another object of this kind, that the run holds.
    Object(Kind),
    /// One that it gives back.
    ObjectBack(Kind),
    /// The size of a record, in bytes: no larger than the program was loaded for.
    RecordSize,
    /// A dynptr: of the program's memory, as what it is for.
    Dynptr,
    /// Room for one.
    DynptrOut,
    /// One of a record, which is given back; there is none in it afterwards.
    DynptrBack,
    /// A function of the program, which the helper calls: it gets a gate in its place.
    Function,
    /// The `bpf_spin_lock` of a value of one of the program's maps.
    Lock,
    /// The `bpf_timer` of one.
    Timer,
    /// What the verifier adds: that the helper may not sleep.
    Atomic,
    /// `skb->data`, which classic loads keep in a register: re-materialised.
    PktData,
    /// `skb->len - skb->data_len`, likewise.
    Headlen,
}

impl Arg {
    /// Whether the helper can be given the register as it is.
    pub const fn is_plain(self) -> bool {
        matches!(self, Arg::None | Arg::Any)
    }
}

/// What the helper does with memory it is handed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    Read,
    Write,
    ReadWrite,
}

impl Access {
    /// Whether the program must itself be able to write there.
    #[inline(always)]
    pub const fn writes(self) -> bool {
        !matches!(self, Access::Read)
    }
}

/// Sizes reach helpers as 32-bit numbers and the verifier keeps them below this.
/// `BPF_MAX_VAR_SIZ` in `include/linux/bpf_verifier.h`, in bytes.
pub const MAX_VAR_SIZ: u32 = 1 << 29;

/// Bytes of a constant string or a format that are looked at, its NUL included.
pub const STR_MAX: u32 = 1024;

/// How a helper prints.  It looks at its format twice, and reads where that says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prints {
    /// Format and its size; the other registers are its arguments.
    Registers,
    /// Format and its size; an array of arguments and its size.
    Array,
    /// Where to and how much; format; an array of arguments and its size.
    Into,
    /// Not at all: the third is a string that the first is compared with.
    Compares,
}

/// What a helper returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ret {
    /// A number; passed on as it is.
    Scalar,
    /// An `int`, of which the program sees the upper half clear: the verifier has
    /// the JIT call the function of the map type instead of the helper.
    Int,
    /// Nothing; the register is cleared so that it leaks nothing.
    Void,
    /// NULL, or the kernel's address of a value of the map argument, which the
    /// gate turns into the address the program knows.
    MapValueOrNull,
    /// NULL, or a record of the map argument, which the program fills in in its slot.
    RecordOrNull,
    /// NULL, or a socket with a reference on it, to be given back.
    SocketOrNull,
    /// NULL, or the socket of the first argument.
    SameOrNull,
    /// The same, and what there is of TCP's.
    TcpOrNull,
    /// NULL, or that socket as a structure of the kernel's; of MPTCP, the one that it is a part
    /// of.
    StructOrNull(Struct),
    /// NULL, or a socket that is there for the run.
    ListenerOrNull,
    /// NULL, or an object of this kind, to be given back.
    ObjectOrNull(Kind),
    /// NULL, and the connection of the first argument is gone; or that connection, which is
    /// in the tracker's table now.
    Inserted,
}

impl Ret {
    /// Whether it is something to give back.
    pub const fn is_held(self) -> bool {
        matches!(
            self,
            Ret::RecordOrNull | Ret::SocketOrNull | Ret::ObjectOrNull(_)
        )
    }

    /// Whether it is a socket.
    pub const fn is_socket(self) -> bool {
        matches!(
            self,
            Ret::SocketOrNull
                | Ret::SameOrNull
                | Ret::TcpOrNull
                | Ret::StructOrNull(_)
                | Ret::ListenerOrNull
        )
    }
}

/// Which of the program's private copies a call touches.
///
/// `load_ctx` implies `store_ctx`: a reload would lose what was not stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Effects {
    /// Write dirty context fields and packet bytes back before the call.
    pub store_ctx: bool,
    /// Read context fields and the packet prefix again after the call.
    pub load_ctx: bool,
}

/// What an XDP helper may move down, to where the packet's page has old kernel memory.
/// Of socket buffers, any helper that changes packets may move the metadata.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Uncovers {
    Nothing,
    /// `data`; the metadata before it moves along.
    Head,
    /// `data_meta`.
    Meta,
}

/// An argument that the helper reads more than once and believes every time.
///
/// The program may change it in between from another CPU, so the gate passes a
/// copy in kernel memory: `min(length, bytes)` bytes copied in before the call
/// and, with `back`, copied out after it.  The helper touches no byte past
/// `bytes`, whatever length it is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounce {
    /// Which argument, counted from 0.
    pub arg: u8,
    /// Room the copy needs, in bytes; at most [`BOUNCE_MAX`].
    pub bytes: u16,
    /// Whether the helper writes there too.
    pub back: bool,
}

/// It sends the packet of its context, or a clone.
///
/// If the packet may not be sent, the helper is not called, and the program gets
/// `answer`, as for a bad argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sends {
    pub answer: i64,
    /// Before it returns, so that who sees the packet next does so on the same stack.
    pub at_once: bool,
}

/// [`Arg::Atomic`], of a program that does not sleep: `do_misc_fixups()` in
/// `kernel/bpf/verifier.c`.
pub const GFP_ATOMIC: u64 = 0xa20;

/// The most kernel memory one call needs for a [`Bounce`], in bytes: the largest
/// LPM trie key, `sizeof(struct bpf_lpm_trie_key) + LPM_DATA_SIZE_MAX`.
pub const BOUNCE_MAX: usize = 4 + 256;

/// The contract of one helper.
#[derive(Clone, Copy, Debug)]
pub struct Contract {
    /// `BPF_FUNC_*`, or a number from [`super::table::INTERNAL_BASE`] up for
    /// kernel functions that only the verifier and the classic converter call, or from
    /// [`super::table::KFUNC_BASE`] up for those that programs call by their names.
    pub id: u32,
    /// As the uapi header has it.
    pub name: &'static str,
    /// Who can call it.
    pub types: ProgTypes,
    pub args: [Arg; 5],
    pub ret: Ret,
    pub effects: Effects,
    pub uncovers: Uncovers,
    /// Whether it changes what its map holds.
    pub writes_map: bool,
    /// Whether a call leaves the elements of all hash maps as they are, but for what functions
    /// of the program do that it calls.  Of others, programs that walk maps are told.
    pub leaves_maps: bool,
    pub bounce: Option<Bounce>,
    /// How it changes the packet, if it may change where its headers are.
    pub shape: Option<Shape>,
    /// Of a socket buffer.  What XDP sends is the kernel's to ask about, afterwards.
    pub sends: Option<Sends>,
    /// Whether it changes which socket the context has.
    pub sets_socket: bool,
    /// Whether it may change a socket that it is given.
    pub takes_socket: bool,
    /// Whether it is about the packet that its context stands for, also if it does not take
    /// that: no call of it in a run without.
    pub for_packet: bool,
    /// Whether it prints, or takes a string of which nothing says how long it is.
    pub prints: Option<Prints>,
    /// Why an isolated program may not call it yet, if so.  Decided at load (I8);
    /// the arguments of such a contract are empty and every audit fails.
    pub refused: Option<&'static str>,
    /// Bit `i` set: argument `i` is not [`Arg::is_plain`].
    pub(super) checked: u8,
}

/// Shorthand for an unused argument.
pub(super) const NO: Arg = Arg::None;
/// Shorthand for an unconstrained scalar.
pub(super) const ANY: Arg = Arg::Any;
/// Shorthand for the context.
pub(super) const CTX: Arg = Arg::Ctx;
/// `ARG_CONST_SIZE`.
pub(super) const SIZE: Arg = Arg::Size {
    max: MAX_VAR_SIZ - 1,
    zero_ok: false,
};
/// `ARG_CONST_SIZE_OR_ZERO`.
pub(super) const SIZE_OR_ZERO: Arg = Arg::Size {
    max: MAX_VAR_SIZ - 1,
    zero_ok: true,
};

/// Memory whose size is argument `size`, counted from 0.
pub(super) const fn mem(access: Access, size: u8) -> Arg {
    Arg::Mem {
        access,
        size,
        nullable: false,
    }
}

/// `PTR_MAYBE_NULL` memory whose size is argument `size`, counted from 0.
pub(super) const fn mem_or_null(access: Access, size: u8) -> Arg {
    Arg::Mem {
        access,
        size,
        nullable: true,
    }
}

/// Exactly `bytes` bytes.
pub(super) const fn fixed(access: Access, bytes: u16) -> Arg {
    Arg::FixedMem { access, bytes }
}

/// A helper that returns a number and touches no private copy.
pub(super) const fn helper(
    id: u32,
    name: &'static str,
    types: ProgTypes,
    args: [Arg; 5],
) -> Contract {
    let mut checked = 0;
    let mut for_packet = false;
    let mut takes_socket = false;
    let mut i = 0;
    while i < 5 {
        if !args[i].is_plain() {
            checked |= 1 << i;
        }
        for_packet |= matches!(args[i], Arg::Ctx | Arg::PktData | Arg::Headlen);
        takes_socket |= matches!(args[i], Arg::Socket | Arg::SocketBack);
        i += 1;
    }
    Contract {
        id,
        name,
        types,
        args,
        ret: Ret::Scalar,
        effects: Effects {
            store_ctx: false,
            load_ctx: false,
        },
        uncovers: Uncovers::Nothing,
        writes_map: false,
        leaves_maps: false,
        bounce: None,
        sends: None,
        sets_socket: false,
        takes_socket,
        for_packet,
        prints: None,
        shape: None,
        refused: None,
        checked,
    }
}

/// A helper that isolated programs may not call yet.
pub(super) const fn refuse(
    id: u32,
    name: &'static str,
    types: ProgTypes,
    why: &'static str,
) -> Contract {
    let mut contract = helper(id, name, types, [NO; 5]);
    contract.refused = Some(why);
    contract
}

impl Contract {
    /// It looks at the packet or at context fields a program can write.
    pub(super) const fn reads_ctx(mut self) -> Contract {
        self.effects.store_ctx = true;
        self.for_packet()
    }

    /// It may change the packet or context fields.
    pub(super) const fn changes_ctx(mut self) -> Contract {
        self.effects.store_ctx = true;
        self.effects.load_ctx = true;
        self.for_packet()
    }

    /// It says what is to become of the packet.
    pub(super) const fn for_packet(mut self) -> Contract {
        self.for_packet = true;
        self
    }

    /// It may move the start of an XDP packet, or of its metadata.
    pub(super) const fn uncovers(mut self, what: Uncovers) -> Contract {
        self.uncovers = what;
        self.changes_ctx()
    }

    pub(super) const fn returns(mut self, ret: Ret) -> Contract {
        self.ret = ret;
        // It only says what a socket is.
        self.takes_socket &= !ret.is_socket();
        self
    }

    pub(super) const fn changes_map(mut self) -> Contract {
        self.writes_map = true;
        self
    }

    /// Whatever else it does, it neither changes maps nor runs other programs.
    pub(super) const fn leaves_maps(mut self) -> Contract {
        self.leaves_maps = true;
        self
    }

    pub(super) const fn sets_socket(mut self) -> Contract {
        self.sets_socket = true;
        self.for_packet()
    }

    pub(super) const fn prints(mut self, how: Prints) -> Contract {
        self.prints = Some(how);
        self
    }

    pub(super) const fn bounces(mut self, arg: u8, bytes: u16, back: bool) -> Contract {
        self.bounce = Some(Bounce { arg, bytes, back });
        self
    }

    pub(super) const fn reshapes(mut self, shape: Shape) -> Contract {
        self.shape = Some(shape);
        self.changes_ctx()
    }

    pub(super) const fn sends(mut self, answer: i64) -> Contract {
        self.sends = Some(Sends {
            answer,
            at_once: false,
        });
        self.for_packet()
    }

    pub(super) const fn sends_at_once(mut self, answer: i64) -> Contract {
        self.sends = Some(Sends {
            answer,
            at_once: true,
        });
        self.for_packet()
    }

    /// Whether a call needs no audit at all: only scalars go in.
    #[inline(always)]
    pub const fn is_plain(&self) -> bool {
        self.checked == 0 && self.refused.is_none()
    }

    /// Whether it hands out a record, or takes one back.
    pub const fn is_held(&self) -> bool {
        matches!(self.ret, Ret::RecordOrNull) || matches!(self.args[0], Arg::Record)
    }

    /// Whether it hands out a record by a dynptr.
    pub const fn fills_dynptr(&self) -> bool {
        matches!(self.args, [Arg::MapPtr(_), _, _, Arg::DynptrOut, _])
    }

    /// Whether the helper calls a function of the program.
    pub const fn calls_back(&self) -> bool {
        let mut i = 0;
        while i < 5 {
            if let Arg::Function = self.args[i] {
                return true;
            }
            i += 1;
        }
        false
    }

    /// The map types its map argument may have, if it has one.
    pub const fn map_types(&self) -> Option<MapTypes> {
        let mut i = 0;
        while i < 5 {
            if let Arg::MapPtr(types) = self.args[i] {
                return Some(types);
            }
            i += 1;
        }
        None
    }
}
