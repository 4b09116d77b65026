// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=2 keys=13,0 full=1 timeout=400 */
/*
 * Do packets of live traffic stay whole that are cut into segments later, or were put
 * together by GRO, when helpers change them? Are ordinary calls let through?
 *
 * TCP over lo with an MTU of 1500, and UDP over a pair of veth devices, one of which
 * chains datagrams (rx-gro-list); a program at its ingress sends them on by a second
 * pair that takes no GSO, so that all are segmented after what the program did.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "shapes.h"

/* In the map, after what the calls returned, or-ed */
enum { GSO = MAX_CALLS, OTHERS, SIZE, WORDS };

static int level, out;

/*
 * Calls each of @calls on each packet (of GSO: @gso), and ends with @verdict, or sends the
 * packet to @to.
 */
static int live_load(const struct call *calls, int n, bool gso, u32 verdict, int to)
{
	int i, j, fd;

	out = map_create(BPF_MAP_TYPE_ARRAY, 4, 8 * WORDS, 1);
	cnt = 0;
	E(MOV_REG(R6, R1), LD_MAP_VALUE(R9, out, 0), MOV_IMM(R0, 0));
	E(LDX(BPF_W, R7, R6, offsetof(struct __sk_buff, gso_size)), MOV_IMM(R2, 1));
	E(JMP_IMM(BPF_JNE, R7, 0, gso ? 2 : 0));
	if (gso)
		E(ATOMIC(BPF_DW, BPF_ADD, R9, R2, 8 * OTHERS), EXIT());
	E(JMP_IMM(BPF_JEQ, R7, 0, 1), ATOMIC(BPF_DW, BPF_ADD, R9, R2, 8 * GSO));
	for (i = 0; i < n; i++) {
		E(MOV_REG(R1, R6));
		for (j = 0; j < 4; j++)
			E(LD_IMM64(R2 + j, calls[i].arg[j]));
		/* Stands for one more than a segment has */
		if (calls[i].func == BPF_FUNC_skb_adjust_room && calls[i].arg[0] == 12345)
			E(MOV_REG(R2, R7), ALU64_IMM(BPF_ADD, R2, 1));
		E(INSN(BPF_JMP | BPF_CALL, 0, 0, 0, calls[i].func),
		  ATOMIC(BPF_DW, BPF_OR, R9, R0, 8 * i));
	}
	E(LDX(BPF_W, R1, R6, offsetof(struct __sk_buff, gso_size)), STX(BPF_DW, R9, R1, 8 * SIZE));
	if (to)
		E(MOV_IMM(R1, to), MOV_IMM(R2, 0), CALL(redirect));
	else
		E(MOV_IMM(R0, verdict));
	E(EXIT());
	fd = prog_load(BPF_PROG_TYPE_SCHED_CLS, "live", insns, cnt);
	if (fd < 0)
		bail("live: %s\n%s", strerror(errno), prog_log);
	return fd;
}

static u64 word(int i)
{
	u64 words[WORDS];
	u32 zero = 0;

	map_lookup(out, &zero, words);
	return words[i];
}

static void attach(int prog, const char *dev, enum bpf_tc_attach_point where)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = if_nametoindex(dev), .attach_point = where);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = prog, .handle = 1, .priority = 1);
	int err = bpf_tc_hook_create(&hook) ?: bpf_tc_attach(&hook, &opts);

	if (err)
		bail("tc on %s: %s", dev, strerror(-err));
}

static void detach(const char *dev)
{
	sh("tc qdisc del dev %s clsact", dev);
}

/* A transfer of so many bytes over lo; false if they are not those sent, or not in time. */
static bool transfer(size_t bytes)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval limit = { .tv_sec = 20 };
	socklen_t len = sizeof(addr);
	static u8 block[1 << 16];
	size_t at = 0, i;
	bool same = true;
	int s, c, status;
	ssize_t n;

	s = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(s, (void *)&addr, len) || listen(s, 1) ||
	    getsockname(s, (void *)&addr, &len))
		bail("listen: %s", strerror(errno));
	if (!fork()) {
		c = socket(AF_INET, SOCK_STREAM, 0);
		setsockopt(c, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
		if (connect(c, (void *)&addr, len))
			_exit(1);
		for (at = 0; at < bytes; at += n) {
			for (i = 0; i < sizeof(block); i++)
				block[i] = (at + i) * 13 >> 3;
			i = bytes - at;
			n = write(c, block, i < sizeof(block) ? i : sizeof(block));
			if (n <= 0)
				_exit(1);
		}
		_exit(0);
	}
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	c = accept(s, NULL, NULL);
	setsockopt(c, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	while (c >= 0 && (n = read(c, block, sizeof(block))) > 0) {
		for (i = 0; i < (size_t)n; i++)
			same &= block[i] == (u8)((at + i) * 13 >> 3);
		at += n;
	}
	close(c);
	close(s);
	wait(&status);
	return same && at == bytes;
}

/* There and back again. Not skb_change_proto: it drops the route, which lo needs. */
static const struct call round_trip[] = {
	PULL(0), PULL(54), VLAN_PUSH(5), VLAN_PUSH(6), VLAN_POP, VLAN_POP,
	ROOM(20, 1, 1), ROOM(-20, 1, 1), ROOM(40, 0, 1), ROOM(-40, 0, 1),
	{ BPF_FUNC_set_hash_invalid, { 0 } },
	{ BPF_FUNC_skb_ecn_set_ce, { 0 } }, { BPF_FUNC_csum_level, { 0 } },
};

static void tcp_ordinary(bool egress)
{
	/* skb_ecn_set_ce and csum_level return no errors. */
	const int n = ARRAY_SIZE(round_trip), errors = n - 2;
	s64 kept = moat_counter("kept_packets");
	int i, prog = live_load(round_trip, n, false, 0, 0);
	bool whole, same;

	attach(prog, "lo", egress ? BPF_TC_EGRESS : BPF_TC_INGRESS);
	whole = transfer(1 << 21);
	detach("lo");
	for (i = 0, same = true; i < errors; i++) {
		same &= !word(i);
		if (word(i))
			diag("call %d: %llx", i, (unsigned long long)word(i));
	}
	diag("%lld packets of GSO", (long long)word(GSO));
	ok(whole && same && word(GSO) > 10,
	   "%d: TCP at lo's %s, there and back: arrives whole", level,
	   egress ? "egress" : "ingress");
	if (level)
		ok(moat_counter("kept_packets") == kept, "2: and no call is kept from it");
	close(prog);
	close(out);
}

static void tcp_segments(void)
{
	const struct call calls[] = { ROOM(12345, 1, 0) };
	s64 kept = moat_counter("kept_packets");
	int prog = live_load(calls, 1, true, TC_ACT_SHOT, 0);

	attach(prog, "lo", BPF_TC_EGRESS);
	transfer(1 << 16);
	detach("lo");
	if (!level)
		ok(word(GSO) && !word(0) && word(SIZE) == 0xffff,
		   "0: skb_adjust_room makes segments of 65535 bytes, GSO_BY_FRAGS");
	else
		ok(word(GSO) && word(0) == (u64)-524 && word(SIZE) != 0xffff &&
		   moat_counter("kept_packets") > kept,
		   "2: skb_adjust_room does not: ENOTSUPP, counted");
	diag("%lld packets, %llx, segments of %lld", (long long)word(GSO),
	     (long long)word(0), (long long)word(SIZE));
	close(prog);
	close(out);
}

static u64 received(void)
{
	return read_number("/sys/class/net/vd/statistics/rx_packets");
}

#define DATAGRAMS 64

static void send_datagrams(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9999),
				  .sin_addr.s_addr = inet_addr("10.9.0.1") };
	struct iovec iov = { .iov_base = "0123456789abcdef", .iov_len = 16 };
	struct mmsghdr m[DATAGRAMS];
	static u8 data[1000];
	int i, s, ns;

	if (fork()) {
		wait(NULL);
		return;
	}
	ns = open("/run/netns/gso", O_RDONLY);
	if (setns(ns, CLONE_NEWNET))
		_exit(1);
	s = socket(AF_INET, SOCK_DGRAM, 0);
	iov.iov_base = data;
	iov.iov_len = sizeof(data);
	for (i = 0; i < DATAGRAMS; i++)
		m[i].msg_hdr = (struct msghdr){ .msg_name = &to, .msg_namelen = sizeof(to),
						.msg_iov = &iov, .msg_iovlen = 1 };
	for (i = 0; i < DATAGRAMS; i += 16)
		if (sendmmsg(s, m + i, 16, 0) != 16)
			_exit(1);
	_exit(0);
}

/* How many of GRO's come; they are changed by @calls and sent on, or dropped. */
static u64 chained(const struct call *calls, int n, int to, u64 *arrived)
{
	u64 before = received();
	int i, prog = live_load(calls, n, true, TC_ACT_SHOT, to);

	attach(prog, "vb", BPF_TC_INGRESS);
	for (i = 0; i < 20 && !word(GSO); i++)
		send_datagrams();
	usleep(200000);
	detach("vb");
	*arrived = received() - before;
	close(prog);
	return word(GSO);
}

static void gro(void)
{
	static const struct { const char *what; struct call call; s64 ret; } ordinary[] = {
		{ "nothing", { BPF_FUNC_set_hash_invalid, { 0 } }, 0 },
		{ "skb_pull_data of some of the list", PULL(1600), 0 },
		{ "skb_pull_data of the head", PULL(42), 0 },
		/* Datagrams have room for one Ethernet header, and two bytes: patch 0018. */
		{ "skb_change_head", HEAD(14), 0 },
		{ "skb_change_head by more", HEAD(4000), 0 },
		{ "skb_vlan_push", VLAN_PUSH(5), 0 },
		{ "skb_adjust_room", ROOM(20, 0, 1), 0 },
		{ "skb_adjust_room back", ROOM(-8, 1, 1), 0 },
		{ "skb_change_proto", PROTO(ETH_P_IPV6), 0 },
	};
	int vc = if_nametoindex("vc");
	u64 n, arrived;
	size_t i;

	n = chained(&ordinary[0].call, 1, vc, &arrived);
	close(out);
	if (!ok(n, "%d: GRO chains datagrams", level))
		return;
	/* What follows the kernel may die of without MOAT. */
	for (i = 0; level && i < ARRAY_SIZE(ordinary); i++) {
		n = chained(&ordinary[i].call, 1, vc, &arrived);
		ok(n && (s64)word(0) == ordinary[i].ret, "2: %s on chains that GRO made: %d",
		   ordinary[i].what, (int)ordinary[i].ret);
		diag("%llu chains, %llu datagrams sent on, %llx", (unsigned long long)n,
		     (unsigned long long)arrived, (unsigned long long)word(0));
		close(out);
	}
}

int main(void)
{
	if (!moat_present())
		skip_all("needs MOAT");
	sh("ip link set lo mtu 1500");
	sh("mkdir -p /run/netns; ip netns add gso && ip link add va type veth peer name vb && "
	   "ip link add vc type veth peer name vd && ip link set va netns gso && "
	   "ip addr add 10.9.0.1/24 dev vb && ip link set vb up && ip link set vc up && "
	   "ip link set vd up && ip -n gso addr add 10.9.0.2/24 dev va && "
	   "ip -n gso link set va up && ethtool -K vb gro on rx-gro-list on >/dev/null && "
	   "echo 50000000 >/sys/class/net/vb/gro_flush_timeout && "
	   "ethtool -K vc gso off tso off sg off tx off >/dev/null && "
	   "ip netns exec gso ethtool -K va tx off >/dev/null");
	for (level = 0; level <= 2; level += 2) {
		moat_set_level(level);
		tcp_ordinary(true);
		tcp_ordinary(false);
		tcp_segments();
		gro();
	}
	sh("ip netns del gso; ip link del vc; ip link set lo mtu 65536");
	ok(moat_counter("mispredicted") == 0, "2: each call made what was expected");
	return finish();
}
