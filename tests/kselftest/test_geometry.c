// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=2 keys=13,0 full=1 timeout=400 */
/*
 * Can helpers, called in any order and any number, make of a packet what the kernel
 * dies of? Do ordinary calls do the same when the program is isolated?
 *
 * Each attack is shown at level 0 by what it makes of the packet, which is then not
 * used any further; test_oops shows what comes of it.
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "shapes.h"

#define PACKET 128
#define MAGIC 0x6b63617020656874ULL	/* at the network header */

static int level;

/* An Ethernet packet with bytes that tell where they were. */
static const u8 *packet(u16 proto, u32 len)
{
	static u8 data[4096];
	u32 i;

	for (i = 0; i < len; i++)
		data[i] = i * 7 + 1;
	data[12] = proto >> 8;
	data[13] = proto;
	memcpy(data + 14, &(u64){ MAGIC }, 8);
	return data;
}

static struct outcome outcome;

#define RUN(TRIAL, ...) ({ \
		const struct call calls_[] = { __VA_ARGS__ }; \
		calls_run(calls_, ARRAY_SIZE(calls_), TRIAL, &outcome); \
	})

static s64 kept;

static void mark(void)
{
	kept = moat_counter("kept_packets");
	kmsg_mark();
}

/* At level 0 @broken, at level 2 answered with @answer, counted and logged */
static void judged(const char *what, bool broken, s64 ret, s64 answer)
{
	if (!level) {
		ok(broken, "0: %s breaks the packet", what);
	} else {
		ok(!broken && ret == answer, "2: %s is answered with %d", what, (int)answer);
		ok(moat_counter("kept_packets") == kept + 1 &&
		   kmsg_find("moat: calls (id ", "got -"), "2: %s is counted and logged", what);
	}
	if (broken != !level || (level && ret != answer))
		diag("ret %lld %lld %lld %lld, seen %llx, error %d", (long long)outcome.ret[0],
		     (long long)outcome.ret[1], (long long)outcome.ret[2],
		     (long long)outcome.ret[3], (unsigned long long)outcome.seen, outcome.error);
}

static void many_heads(void)
{
	struct trial t = { packet(ETH_P_IP, PACKET), PACKET, .gso_size = 10 };

	mark();
	RUN(&t, HEAD(32704), HEAD(32704), HEAD(104));
	judged("the sum of three skb_change_head", outcome.seen != MAGIC, outcome.ret[1], -EINVAL);
	if (level) {
		RUN(&t, HEAD(32704), HEAD(32704), HEAD(104), PROTO(ETH_P_IPV6));
		ok(!outcome.ret[3], "2: and skb_change_proto has room");
	}
	/* Each no more than what the packet may be long without GSO */
	t.gso_size = 0;
	mark();
	RUN(&t, HEAD(12000), HEAD(12000));
	ok(outcome.ret[1] == -EINVAL && outcome.seen == MAGIC,
	   "%d: without GSO the helper sees it itself", level);
	if (level)
		ok(moat_counter("kept_packets") == kept, "2: which is not counted");
}

static void cut_off(void)
{
	struct trial t = { packet(ETH_P_IP, PACKET), PACKET, .gso_size = 0 };

	/* The end of the packet is before its network header then: nothing to be read. */
	mark();
	RUN(&t, HEAD(66), TAIL(1));
	if (!level)
		ok(!outcome.ret[1] && outcome.size == 1,
		   "0: skb_change_head and skb_change_tail cut the headers off");
	else
		ok(outcome.ret[1] == -EINVAL && outcome.seen == MAGIC,
		   "2: skb_change_head and skb_change_tail: EINVAL");
	if (level) {
		t.flags = BPF_F_TEST_SKB_CHECKSUM_COMPLETE;
		RUN(&t, HEAD(66), TAIL(1));
		ok(outcome.ret[1] == -EINVAL, "2: and with a checksum");
		RUN(&t, PULL(66), TAIL(1));
		ok(outcome.ret[1] == -EINVAL, "2: and with skb_pull_data");
	}
}

static void untyped(void)
{
	struct trial t = { packet(ETH_P_IP, PACKET), PACKET, .gso_size = 10 };

	RUN(&t, CLONE(if_nametoindex("lo"), BPF_F_INGRESS));
	ok(outcome.ret[0] == -EBADMSG, "%d: GSO of no type is not cloned", level);
	mark();
	RUN(&t, PROTO(ETH_P_IPV6), CLONE(if_nametoindex("lo"), BPF_F_INGRESS));
	judged("GSO of no type, disguised by skb_change_proto, to be cloned",
	       outcome.ret[1] == 0, outcome.ret[1], -EBADMSG);
}

/* A packet too short for the header that is to be moved */
static void header_beyond(void)
{
	struct trial t = { packet(ETH_P_IPV6, 54), 54, .gso_size = 0 };

	mark();
	RUN(&t, PROTO(ETH_P_IP), TAIL(14), ROOM(4000, 0, 0));
	judged("skb_adjust_room beyond the end", outcome.ret[2] == 0, outcome.ret[2], -524);
}

static void once(void)
{
	struct trial t = { packet(ETH_P_IP, PACKET), PACKET, .gso_size = 10 };
	const char *line;

	if (!level)
		return;
	mark();
	RUN(&t, HEAD(60000), HEAD(60000), HEAD(60000));
	ok(moat_counter("kept_packets") == kept + 3, "2: each call is counted");
	line = kmsg_find("moat: calls (id ", "skb_change_head");
	ok(line, "2: and the first is logged");
	if (line)
		diag("%s", line);
}

/* Ordinary calls in random sequences */

static u64 seed;

static u32 rnd(u32 n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed >> 16) % n;
}

static struct call ordinary_call(void)
{
	static const u64 encap[][2] = {
		{ 20, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 },
		{ 28, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP },
		{ 24, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_GRE },
		{ 40, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 },
		{ 70, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP |
		      BPF_F_ADJ_ROOM_ENCAP_L2_ETH | BPF_F_ADJ_ROOM_ENCAP_L2(14) },
	};
	u32 e = rnd(ARRAY_SIZE(encap));

	switch (rnd(16)) {
	case 0: return (struct call)HEAD(rnd(100));
	case 1: return (struct call)TAIL(1500 + rnd(500));
	case 2: return (struct call)PROTO(ETH_P_IP);
	case 3: return (struct call)PROTO(ETH_P_IPV6);
	case 4: return (struct call)ROOM(rnd(64), rnd(2), rnd(2));
	case 5: return (struct call)ROOM(-(s32)rnd(64), rnd(2), rnd(2));
	case 6: return (struct call)ROOM(encap[e][0], 1, encap[e][1] | rnd(2));
	case 7: return (struct call)VLAN_PUSH(rnd(4096));
	case 8: return (struct call)VLAN_POP;
	case 9: return (struct call)PULL(rnd(1500));
	case 10: return (struct call)STORE(rnd(200), 1 + rnd(16), rnd(4));
	case 11: return (struct call){ BPF_FUNC_l3_csum_replace, { 2 * rnd(60), 1, 2, 2 } };
	case 12: return (struct call){ BPF_FUNC_l4_csum_replace, { 2 * rnd(60), 1, 2, 4 } };
	case 13: return (struct call){ BPF_FUNC_csum_level, { rnd(5) } };
	case 14: return (struct call){ BPF_FUNC_csum_update, { rnd(70000) } };
	default: return (struct call){ BPF_FUNC_skb_ecn_set_ce, { 0 } };
	}
}

static u64 any(void)
{
	static const u64 worst[] = { 0, 1, 13, 14, 20, 0x7fff, 0x8000, 0xffff, 0x10000, 32704,
				     0x7fffffff, 0x80000000, 0xffffffff, -1ULL, -20ULL, -40ULL,
				     0xfff, -0xfffULL, 0x0008, 0xdd86 };

	switch (rnd(4)) {
	case 0: return worst[rnd(ARRAY_SIZE(worst))];
	case 1: return rnd(300);
	case 2: return rnd(70000);
	default: return -(u64)rnd(4096);
	}
}

static struct call worst_call(void)
{
	struct call call = ordinary_call();
	int i;

	if (!rnd(8))
		return (struct call)HEAD(20000 + rnd(40000));
	if (rnd(3))
		return call;
	for (i = 0; i < 4; i++)
		if (rnd(2))
			call.arg[i] = any();
	if (call.func == BPF_FUNC_skb_store_bytes)
		call.arg[2] = 1 + call.arg[2] % 16;
	return call;
}

static const struct { u16 proto; u32 len; } kinds[] = {
	{ 0x0800, 1200 }, { 0x86dd, 1200 }, { 0x8100, 1200 }, { 0x0806, 60 }, { 0x0800, 34 },
	{ 0x86dd, 54 }, { 0x8100, 18 }, { 0x1234, 14 },
};

static struct trial random_trial(bool ordinary)
{
	int i = rnd(ordinary ? 3 : ARRAY_SIZE(kinds));

	return (struct trial){
		.packet = packet(kinds[i].proto, kinds[i].len), .len = kinds[i].len,
		.gso_size = rnd(2) ? 0 : ordinary ? 500 : 1 + rnd(1500),
		.flags = !ordinary && !rnd(3) ? BPF_F_TEST_SKB_CHECKSUM_COMPLETE : 0,
	};
}

static void ordinary(void)
{
	static struct outcome plain;
	struct call calls[MAX_CALLS];
	int i, j, n, same = 0, answered = 0;
	const int rounds = 200;

	seed = 0x9e3779b97f4a7c15;
	mark();
	for (i = 0; i < rounds; i++) {
		struct trial t = random_trial(true);

		n = 1 + rnd(6);
		for (j = 0; j < n; j++)
			calls[j] = ordinary_call();
		moat_set_level(0);
		calls_run(calls, n, &t, &plain);
		moat_set_level(2);
		calls_run(calls, n, &t, &outcome);
		for (j = 0; j < n; j++)
			answered += plain.ret[j] == 0;
		if (!memcmp(&plain, &outcome, sizeof(plain))) {
			same++;
			continue;
		}
		diag("round %d: error %d %d, size %u %u", i, plain.error, outcome.error,
		     plain.size, outcome.size);
		for (j = 0; j < n; j++)
			diag("  func %d(%llx, %llx, %llx): %lld %lld", calls[j].func,
			     (long long)calls[j].arg[0], (long long)calls[j].arg[1],
			     (long long)calls[j].arg[2], (long long)plain.ret[j],
			     (long long)outcome.ret[j]);
	}
	ok(same == rounds && moat_counter("kept_packets") == kept,
	   "%d of %d ordinary sequences give the same, byte by byte", same, rounds);
	ok(answered > rounds, "of their calls %d succeed", answered);
}

static void random_worst(void)
{
	struct call calls[MAX_CALLS];
	int i, j, n, rounds = atoi(getenv("ROUNDS") ?: "600");

	seed = now_ns() | 1;
	diag("seed %#llx", (unsigned long long)seed);
	mark();
	for (i = 0; i < rounds; i++) {
		struct trial t = random_trial(false);

		n = 1 + rnd(MAX_CALLS - 1);
		for (j = 0; j < n; j++)
			calls[j] = worst_call();
		calls_run(calls, n, &t, &outcome);
	}
	ok(!kmsg_find("broke the packet", NULL) && moat_counter("kept_packets") > kept,
	   "2: of %d random sequences none breaks a packet", rounds);
	diag("%lld calls were not made", (long long)(moat_counter("kept_packets") - kept));
}

int main(void)
{
	if (!moat_present())
		skip_all("needs MOAT");
	for (level = 0; level <= 2; level += 2) {
		moat_set_level(level);
		many_heads();
		cut_off();
		untyped();
		header_beyond();
		once();
	}
	ordinary();
	random_worst();
	ok(moat_counter("mispredicted") == 0, "2: each call made what was expected");
	return finish();
}
