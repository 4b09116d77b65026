// SPDX-License-Identifier: GPL-2.0
//! The constants MOAT uses against those of the kernel it is built for.
//!
//! Everything here is decided at compile time; the module has no code.  The left
//! sides come from `x86.rs` (the x86 crate), `pks.rs`, `window/addresses.rs`, the rows, the contracts
//! and the geometry of packets, the right sides from the kernel's headers by way of bindgen.
//! bindgen sees macros that are plain numbers and no others, hence the `_BIT`s, and
//! the constants in `kernel/bindings_helper.h`.  Layouts and functions are in `checks/layouts.rs`.
//!
//! C header: [`asm/processor-flags.h`], [`asm/pgtable_types.h`],
//! [`asm/msr-index.h`], [`asm/trap_pf.h`], [`asm/moat.h`], [`linux/bpf.h`],
//! [`linux/skbuff.h`].

use crate::bindings as c;
use crate::helpers::geometry::{self, leave, model};
use crate::helpers::{contract, grants, net_both, table};
use crate::load::{EXCEPTION, MARGIN};
use crate::maps::types;
use crate::pks;
use crate::prog_types;
use crate::run::line::Line;
use crate::run::sockets;
use crate::window::addresses;
use crate::window::pcids;
use crate::x86;
use core::mem::size_of;
use kernel::bindings as k;

/// Fails the build unless the two are the same number.
macro_rules! same {
    ($($ours:expr => $theirs:expr;)*) => {
        $(const _: () = assert!($ours as u64 == $theirs as u64);)*
    };
}

const fn bit(n: u32) -> u64 {
    1 << n
}

// Flags, control registers.
same! {
    x86::RFLAGS_CF => bit(k::X86_EFLAGS_CF_BIT);
    x86::RFLAGS_FIXED => bit(k::X86_EFLAGS_FIXED_BIT);
    x86::RFLAGS_PF => bit(k::X86_EFLAGS_PF_BIT);
    x86::RFLAGS_AF => bit(k::X86_EFLAGS_AF_BIT);
    x86::RFLAGS_ZF => bit(k::X86_EFLAGS_ZF_BIT);
    x86::RFLAGS_SF => bit(k::X86_EFLAGS_SF_BIT);
    x86::RFLAGS_TF => bit(k::X86_EFLAGS_TF_BIT);
    x86::RFLAGS_IF => bit(k::X86_EFLAGS_IF_BIT);
    x86::RFLAGS_DF => bit(k::X86_EFLAGS_DF_BIT);
    x86::RFLAGS_OF => bit(k::X86_EFLAGS_OF_BIT);
    x86::RFLAGS_IOPL => 3 * bit(k::X86_EFLAGS_IOPL_BIT);
    x86::RFLAGS_NT => bit(k::X86_EFLAGS_NT_BIT);
    x86::RFLAGS_RF => bit(k::X86_EFLAGS_RF_BIT);
    x86::RFLAGS_VM => bit(k::X86_EFLAGS_VM_BIT);
    x86::RFLAGS_AC => bit(k::X86_EFLAGS_AC_BIT);
    x86::CR0_WP => bit(k::X86_CR0_WP_BIT);
    x86::CR4_PCIDE => bit(k::X86_CR4_PCIDE_BIT);
    x86::CR4_SMEP => bit(k::X86_CR4_SMEP_BIT);
    x86::CR4_SMAP => bit(k::X86_CR4_SMAP_BIT);
    x86::CR4_PKE => bit(k::X86_CR4_PKE_BIT);
    pks::CR4_PKS => bit(k::X86_CR4_PKS_BIT);
    pks::CPUID_7_0_ECX_PKS => bit(k::X86_FEATURE_PKS % 32);
}

// Paging.
same! {
    x86::PTE_P => bit(k::_PAGE_BIT_PRESENT);
    x86::PTE_RW => bit(k::_PAGE_BIT_RW);
    x86::PTE_US => bit(k::_PAGE_BIT_USER);
    x86::PTE_A => bit(k::_PAGE_BIT_ACCESSED);
    x86::PTE_D => bit(k::_PAGE_BIT_DIRTY);
    x86::PTE_G => bit(k::_PAGE_BIT_GLOBAL);
    x86::PTE_XD => bit(k::_PAGE_BIT_NX);
    x86::PTE_SIZE => bit(k::PAGE_SHIFT);
    x86::PMD_SIZE => bit(k::PMD_SHIFT);
    x86::PUD_SIZE => bit(k::PUD_SHIFT);
    x86::PGD4_SIZE => bit(k::P4D_SHIFT);
    pks::PTE_KEY_SHIFT => k::_PAGE_BIT_PKEY_BIT0;
    pks::Key::SHARED_RO.get() => k::MOAT_KEY_SHARED_RO;
    addresses::SIZE => bit(k::MOAT_WINDOW_SHIFT);
    (addresses::BASE as i64) >> k::MOAT_WINDOW_SHIFT => k::MOAT_WINDOW_TAG;
    addresses::BASE => c::BINDINGS_MOAT_WINDOW_BASE;
    addresses::ARENA => c::BINDINGS_MOAT_ARENA_BASE;
    pks::PF_PK => c::x86_pf_error_code_X86_PF_PK;
    pcids::NOFLUSH => bit(k::X86_CR3_PCID_NOFLUSH_BIT);
}

// PCIDs of views are neither the kernel's, which begin with 1, nor those of user space.
const _: () = assert!(pcids::SHARED as u32 > c::TLB_NR_DYN_ASIDS);
const _: () = assert!(pcids::FIRST as usize + pcids::OWN <= 1 << k::X86_CR3_PTI_PCID_USER_BIT);

// `in_slots()` in `arch/x86/kernel/moat.c` takes no frame less than so many bytes from
// the start of a program's slots, or from their end.
const IN_SLOTS: (u64, u64) = (k::MOAT_SLOTS_LOW as u64, k::MOAT_SLOTS_HIGH as u64);
const _: () = assert!(MARGIN.0 + EXCEPTION >= IN_SLOTS.0 && MARGIN.1 >= IN_SLOTS.1);
// The CPU aligns RSP before it lands: each of the areas has to be as far from the next.
const _: () = assert!(k::MOAT_LANDING_SIZE % 16 == 0);
// The gates and asm/moat.h write the vectors of the IST from the first on, #MC last.
const _: () = assert!(k::IST_INDEX_DF == 0 && k::IST_INDEX_MCE == k::MOAT_NR_IST - 1);
// A short way out of a call leaves interrupts on.
const _: () = assert!(k::MOAT_RUN_SHORT as u64 == x86::RFLAGS_IF);
const _: () = assert!(Line::from_bits(u32::MAX).bits() == u32::MAX >> c::MOAT_LINE_SHIFT);

// Model-specific registers.
same! {
    x86::MSR_DEBUGCTL => k::MSR_IA32_DEBUGCTLMSR;
    x86::MSR_PEBS_ENABLE => k::MSR_IA32_PEBS_ENABLE;
    x86::MSR_DS_AREA => k::MSR_IA32_DS_AREA;
    x86::MSR_EFER => k::MSR_EFER;
    x86::MSR_GS_BASE => k::MSR_GS_BASE;
    pks::MSR_IA32_PKRS => k::MSR_IA32_PKRS;
}

// Packets.
same! {
    geometry::CLONED => c::moat_geometry_flags_IS_CLONED;
    geometry::HEADER_CLONED => c::moat_geometry_flags_IS_HEADER_CLONED;
    geometry::SHARED => c::moat_geometry_flags_IS_SHARED;
    geometry::PARTIAL => c::moat_geometry_flags_IS_PARTIAL;
    geometry::ENCAP => c::moat_geometry_flags_IS_ENCAP;
    geometry::TAGGED => c::moat_geometry_flags_IS_TAGGED;
    geometry::LIST => c::moat_geometry_flags_HAS_LIST;
    geometry::LINEAR_LIST => c::moat_geometry_flags_HAS_LINEAR_LIST;
    geometry::LIST_FIXED => c::moat_geometry_flags_HAS_FIXED_LIST;
    geometry::UNNECESSARY => c::moat_geometry_flags_IS_UNNECESSARY;
    geometry::INGRESS => c::moat_geometry_flags_IS_INGRESS;
    // Of `typeof(skb->mac_header)`, by which the kernel says "not set".
    geometry::UNSET => u16::MAX;
    geometry::GSO_MAX_SIZE => c::BINDINGS_GSO_MAX_SIZE;
    geometry::GSO_MIN => c::BINDINGS_TCP_MIN_GSO_SIZE;
    geometry::GSO_BY_FRAGS => c::GSO_BY_FRAGS;
    geometry::GSO_TCPV4 => k::SKB_GSO_TCPV4;
    geometry::GSO_DODGY => k::SKB_GSO_DODGY;
    geometry::GSO_TCPV6 => k::SKB_GSO_TCPV6;
    geometry::GSO_GRE => k::SKB_GSO_GRE;
    geometry::GSO_UDP_TUNNEL => k::SKB_GSO_UDP_TUNNEL;
    geometry::GSO_UDP_L4 => k::SKB_GSO_UDP_L4;
    geometry::GSO_FRAGLIST => k::SKB_GSO_FRAGLIST;
    geometry::ETH_HLEN => k::ETH_HLEN;
    geometry::ETH_P_IP => k::ETH_P_IP;
    geometry::ETH_P_IPV6 => k::ETH_P_IPV6;
    geometry::EFAULT => k::EFAULT;
    geometry::EINVAL => k::EINVAL;
    geometry::ERANGE => k::ERANGE;
    geometry::EBADMSG => k::EBADMSG;
    geometry::ENOTSUPP => k::ENOTSUPP;
    leave::INGRESS => k::BPF_F_INGRESS;
    // max(32, L1_CACHE_BYTES)
    model::NET_SKB_PAD => c::BINDINGS_L1_CACHE_BYTES;
    model::IPV4 => c::BINDINGS_IPHDR_LEN;
    model::IPV6 => c::BINDINGS_IPV6HDR_LEN;
    model::FIXED_GSO => k::BPF_F_ADJ_ROOM_FIXED_GSO;
    model::ENCAP_L3 => k::BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | k::BPF_F_ADJ_ROOM_ENCAP_L3_IPV6;
    model::ENCAP_L3_IPV6 => k::BPF_F_ADJ_ROOM_ENCAP_L3_IPV6;
    model::ENCAP_L4_GRE => k::BPF_F_ADJ_ROOM_ENCAP_L4_GRE;
    model::ENCAP_L4_UDP => k::BPF_F_ADJ_ROOM_ENCAP_L4_UDP;
    model::NO_CSUM_RESET => k::BPF_F_ADJ_ROOM_NO_CSUM_RESET;
    model::ENCAP_L2_ETH => k::BPF_F_ADJ_ROOM_ENCAP_L2_ETH;
    model::ENCAP_L2_SHIFT => k::BPF_ADJ_ROOM_ENCAP_L2_SHIFT;
    model::GROW_FLAGS >> model::ENCAP_L2_SHIFT => k::BPF_ADJ_ROOM_ENCAP_L2_MASK;
    model::RECOMPUTE_CSUM => k::BPF_F_RECOMPUTE_CSUM;
    model::CSUM_LEVEL_DEC => k::BPF_CSUM_LEVEL_DEC;
    model::CSUM_LEVEL_RESET => k::BPF_CSUM_LEVEL_RESET;
    model::tags::VLAN_HLEN => k::VLAN_HLEN;
    model::tags::VLAN_ETH_HLEN => k::VLAN_ETH_HLEN;
    model::tags::ETH_P_8021Q => k::ETH_P_8021Q;
    model::tags::ETH_P_8021AD => k::ETH_P_8021AD;
    net_both::IPV4 => c::BINDINGS_IPHDR_LEN;
    net_both::IPV6 => c::BINDINGS_IPV6HDR_LEN;
    net_both::TCP => c::BINDINGS_TCPHDR_LEN;
    grants::CONN_COPY => k::MOAT_CONN_COPY;
    grants::TCP_COPY => c::BINDINGS_SOCK_LEN;
    grants::SOCKET_COPY - grants::TCP_COPY => c::BINDINGS_TCP_SOCK_LEN;
    grants::SOCKET_COPY => k::MOAT_SOCKET_COPY;
    grants::Struct::ALL.len() => k::moat_struct_MOAT_NR_STRUCTS;
    grants::Struct::Tcp as u32 => k::moat_struct_MOAT_TCP_SOCK;
    grants::Struct::Tcp6 as u32 => k::moat_struct_MOAT_TCP6_SOCK;
    grants::Struct::TcpTimewait as u32 => k::moat_struct_MOAT_TCP_TIMEWAIT_SOCK;
    grants::Struct::TcpRequest as u32 => k::moat_struct_MOAT_TCP_REQUEST_SOCK;
    grants::Struct::Udp6 as u32 => k::moat_struct_MOAT_UDP6_SOCK;
    grants::Struct::Unix as u32 => k::moat_struct_MOAT_UNIX_SOCK;
    grants::Struct::Mptcp as u32 => k::moat_struct_MOAT_MPTCP_SOCK;
    sockets::SK => c::BINDINGS_SKB_SK;
    contract::GFP_ATOMIC => c::BINDINGS_GFP_ATOMIC;
    net_both::FIB_LOOKUP => size_of::<k::bpf_fib_lookup>();
}

// BPF.
same! {
    contract::MAX_VAR_SIZ => c::BPF_MAX_VAR_SIZ;
    table::MAX_ID => k::bpf_func_id___BPF_FUNC_MAX_ID;
    table::INTERNAL_BASE => k::moat_call_MOAT_CALL_BASE;
    table::INTERNAL_BASE + 9 => k::moat_call_MOAT_CALL_USER_RND;
    table::INTERNAL_BASE + 10 => k::moat_call_MOAT_CALL_RAW_CPU_ID;
    table::STORE_MARK => k::moat_call_MOAT_CALL_STORE_MARK;
    table::NEXT_ELEMS => k::moat_call_MOAT_CALL_NEXT_ELEMS;
}

// Our own are none that the kernel may come to have.
const _: () = assert!(prog_types::OWN > 8 * k::bpf_prog_type_BPF_PROG_TYPE_SYSCALL);

// Program types, verdicts, map types.
same! {
    prog_types::NAMES.len() => k::bpf_prog_type_BPF_PROG_TYPE_SYSCALL + 1;
    prog_types::SOCKET_FILTER => k::bpf_prog_type_BPF_PROG_TYPE_SOCKET_FILTER;
    prog_types::SCHED_CLS => k::bpf_prog_type_BPF_PROG_TYPE_SCHED_CLS;
    prog_types::SCHED_ACT => k::bpf_prog_type_BPF_PROG_TYPE_SCHED_ACT;
    prog_types::XDP => k::bpf_prog_type_BPF_PROG_TYPE_XDP;
    prog_types::CGROUP_SKB => k::bpf_prog_type_BPF_PROG_TYPE_CGROUP_SKB;
    prog_types::CGROUP_INET_INGRESS => k::bpf_attach_type_BPF_CGROUP_INET_INGRESS;
    prog_types::CGROUP_INET_EGRESS => k::bpf_attach_type_BPF_CGROUP_INET_EGRESS;
    prog_types::XDP_DROP => k::xdp_action_XDP_DROP;
    prog_types::TC_ACT_SHOT => k::TC_ACT_SHOT;
    prog_types::SECCOMP_RET_KILL_PROCESS => c::SECCOMP_RET_KILL_PROCESS;
    types::NAMES.len() => k::bpf_map_type_BPF_MAP_TYPE_USER_RINGBUF + 1;
    types::RDONLY_PROG => k::BPF_F_RDONLY_PROG;
    types::HASH => k::bpf_map_type_BPF_MAP_TYPE_HASH;
    types::ARRAY => k::bpf_map_type_BPF_MAP_TYPE_ARRAY;
    types::PROG_ARRAY => k::bpf_map_type_BPF_MAP_TYPE_PROG_ARRAY;
    types::PERF_EVENT_ARRAY => k::bpf_map_type_BPF_MAP_TYPE_PERF_EVENT_ARRAY;
    types::PERCPU_HASH => k::bpf_map_type_BPF_MAP_TYPE_PERCPU_HASH;
    types::PERCPU_ARRAY => k::bpf_map_type_BPF_MAP_TYPE_PERCPU_ARRAY;
    types::CGROUP_ARRAY => k::bpf_map_type_BPF_MAP_TYPE_CGROUP_ARRAY;
    types::LRU_HASH => k::bpf_map_type_BPF_MAP_TYPE_LRU_HASH;
    types::LRU_PERCPU_HASH => k::bpf_map_type_BPF_MAP_TYPE_LRU_PERCPU_HASH;
    types::LPM_TRIE => k::bpf_map_type_BPF_MAP_TYPE_LPM_TRIE;
    types::ARRAY_OF_MAPS => k::bpf_map_type_BPF_MAP_TYPE_ARRAY_OF_MAPS;
    types::HASH_OF_MAPS => k::bpf_map_type_BPF_MAP_TYPE_HASH_OF_MAPS;
    types::DEVMAP => k::bpf_map_type_BPF_MAP_TYPE_DEVMAP;
    types::CPUMAP => k::bpf_map_type_BPF_MAP_TYPE_CPUMAP;
    types::XSKMAP => k::bpf_map_type_BPF_MAP_TYPE_XSKMAP;
    types::SOCKMAP => k::bpf_map_type_BPF_MAP_TYPE_SOCKMAP;
    types::SOCKHASH => k::bpf_map_type_BPF_MAP_TYPE_SOCKHASH;
    types::CGROUP_STORAGE => k::bpf_map_type_BPF_MAP_TYPE_CGROUP_STORAGE;
    types::PERCPU_CGROUP_STORAGE => k::bpf_map_type_BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE;
    types::SK_STORAGE => k::bpf_map_type_BPF_MAP_TYPE_SK_STORAGE;
    types::QUEUE => k::bpf_map_type_BPF_MAP_TYPE_QUEUE;
    types::STACK => k::bpf_map_type_BPF_MAP_TYPE_STACK;
    types::DEVMAP_HASH => k::bpf_map_type_BPF_MAP_TYPE_DEVMAP_HASH;
    types::RINGBUF => k::bpf_map_type_BPF_MAP_TYPE_RINGBUF;
    types::USER_RINGBUF => k::bpf_map_type_BPF_MAP_TYPE_USER_RINGBUF;
    types::BLOOM_FILTER => k::bpf_map_type_BPF_MAP_TYPE_BLOOM_FILTER;
}
