/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads to write bindings_generated.rs: see bindings.rs. As the kernel's
 * own, rust/bindings/bindings_helper.h, whose bindings have other headers.
 */
/* asm/tlbflush.h tells modules nothing of PCIDs. */
#undef MODULE

#include <linux/bpf_verifier.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/moat_line.h>
#include <linux/moat_stack.h>
#include <linux/netdevice.h>
#include <linux/seccomp.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <net/tcp.h>
#include <asm/cache.h>
#include <asm/moat.h>
#include <asm/tlbflush.h>
#include <asm/trap_pf.h>
#include <asm/trapnr.h>

#include "shims.h"

/* bindgen takes no macro for a number that has a cast, or a macro, in it. */
const s64 BINDINGS_MOAT_WINDOW_BASE = MOAT_WINDOW_BASE;
const s64 BINDINGS_MOAT_ARENA_BASE = MOAT_ARENA_BASE;
const u64 BINDINGS_GSO_MAX_SIZE = GSO_MAX_SIZE;
const u64 BINDINGS_TCP_MIN_GSO_SIZE = TCP_MIN_GSO_SIZE;
const u64 BINDINGS_IPHDR_LEN = sizeof(struct iphdr);
const u64 BINDINGS_IPV6HDR_LEN = sizeof(struct ipv6hdr);
const u64 BINDINGS_TCPHDR_LEN = sizeof(struct tcphdr);
const u64 BINDINGS_SOCK_LEN = sizeof(struct bpf_sock);
const u64 BINDINGS_TCP_SOCK_LEN = sizeof(struct bpf_tcp_sock);
const u64 BINDINGS_GFP_ATOMIC = (__force u64)GFP_ATOMIC;
const u64 BINDINGS_SKB_SK = offsetof(struct __sk_buff, sk);
const u64 BINDINGS_L1_CACHE_BYTES = L1_CACHE_BYTES;
