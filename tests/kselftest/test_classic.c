// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=product,preempt levels=2 cpus=4 keys=13,0 full=1 timeout=300 */
/*
 * Do classic filters let the same through when they are isolated?
 *
 * Each is attached to one end of a socket pair, at level 0 and at level 2: as much
 * of the same packet must arrive there, and at level 2 an isolated program must
 * have run. Then those that are attached elsewhere: to a fanout group, and to tc.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "moat_test.h"

/* the low byte of A as length, so that it shows */
#define RET_A C(BPF_ALU | BPF_AND | BPF_K, 0xff), C(BPF_ALU | BPF_ADD | BPF_K, 1), \
	C(BPF_RET | BPF_A, 0)

static const struct {
	const char *what;
	struct sock_filter insns[20];
} filters[] = {
#define F(WHAT, ...) { WHAT, { __VA_ARGS__ } }
	F("drop", C(BPF_RET | BPF_K, 0)),
	F("all", C(BPF_RET | BPF_K, -1)),
	F("some", C(BPF_RET | BPF_K, 100)),
	F("length", C(BPF_LD | BPF_W | BPF_LEN, 0), RET_A),
	F("byte", C(BPF_LD | BPF_B | BPF_ABS, 77), RET_A),
	F("half", C(BPF_LD | BPF_H | BPF_ABS, 31), RET_A),
	F("word", C(BPF_LD | BPF_W | BPF_ABS, 200), RET_A),
	F("past the end", C(BPF_LD | BPF_W | BPF_ABS, 298), RET_A),
	F("index", C(BPF_LDX | BPF_W | BPF_IMM, 20), C(BPF_LD | BPF_B | BPF_IND, 33), RET_A),
	F("header length", C(BPF_LDX | BPF_B | BPF_MSH, 5), C(BPF_MISC | BPF_TXA, 0), RET_A),
	F("scratch memory", C(BPF_LD | BPF_B | BPF_ABS, 3), C(BPF_ST, 15),
	  C(BPF_LD | BPF_IMM, 9), C(BPF_LDX | BPF_MEM, 15),
	  C(BPF_ALU | BPF_ADD | BPF_X, 0), RET_A),
	F("division by zero", C(BPF_LD | BPF_IMM, 9), C(BPF_LDX | BPF_IMM, 0),
	  C(BPF_ALU | BPF_DIV | BPF_X, 0), RET_A),
	F("arithmetic", C(BPF_LD | BPF_W | BPF_ABS, 8), C(BPF_MISC | BPF_TAX, 0),
	  C(BPF_ALU | BPF_MUL | BPF_K, 31), C(BPF_ALU | BPF_XOR | BPF_X, 0),
	  C(BPF_ALU | BPF_RSH | BPF_K, 3), C(BPF_ALU | BPF_MOD | BPF_K, 251), RET_A),
	F("jumps", C(BPF_LD | BPF_B | BPF_ABS, 1), CJ(BPF_JMP | BPF_JGT | BPF_K, 3, 1, 0),
	  C(BPF_RET | BPF_K, 11), CJ(BPF_JMP | BPF_JSET | BPF_K, 8, 0, 1),
	  C(BPF_RET | BPF_K, 22), C(BPF_RET | BPF_K, 33)),
	F("protocol", C(BPF_LD | BPF_H | BPF_ABS, SKF_AD_OFF + SKF_AD_PROTOCOL), RET_A),
	F("packet type", C(BPF_LD | BPF_B | BPF_ABS, SKF_AD_OFF + SKF_AD_PKTTYPE), RET_A),
	F("mark", C(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_MARK), RET_A),
	F("queue", C(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_QUEUE), RET_A),
	F("CPU", C(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_CPU), RET_A),
	F("VLAN tag", C(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_VLAN_TAG), RET_A),
	F("random number", C(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_RANDOM),
	  C(BPF_RET | BPF_K, 5)),
	F("payload offset", C(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_PAY_OFFSET), RET_A),
	F("search for an attribute", C(BPF_LD | BPF_IMM, 0), C(BPF_LDX | BPF_IMM, 3),
	  C(BPF_LD | BPF_B | BPF_ABS, SKF_AD_OFF + SKF_AD_NLATTR), RET_A),
};

/* How much of the packet the filter lets through: the length, -1 for nothing. */
static int filtered(size_t f, u8 *data)
{
	struct sock_fprog prog = {
		.len = ARRAY_SIZE(filters[f].insns),
		.filter = (struct sock_filter *)filters[f].insns,
	};
	u8 in[300];
	int s[2], i, n = -2;

	while (BPF_CLASS(prog.filter[prog.len - 1].code) != BPF_RET)
		prog.len--;
	for (i = 0; i < 300; i++)
		in[i] = i * 5 + 3;
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, s))
		return -3;
	if (setsockopt(s[1], SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog))) {
		diag("%s: attach: %s", filters[f].what, strerror(errno));
	} else {
		memset(data, 0, 300);
		if (write(s[0], in, sizeof(in)) != sizeof(in) && errno != EPERM)
			diag("%s: write: %s", filters[f].what, strerror(errno));
		n = read(s[1], data, 300);
	}
	close(s[0]);
	close(s[1]);
	return n;
}

static void classic(size_t f)
{
	u8 a[300], b[300];
	int n, m;
	s64 runs;

	moat_set_level(0);
	n = filtered(f, a);
	moat_set_level(moat_present() ? 2 : 0);
	runs = moat_counter("runs");
	kmsg_mark();
	m = filtered(f, b);
	if (!ok(n >= -1 && n == m && !memcmp(a, b, 300) &&
		(!moat_present() || moat_counter("runs") > runs),
		"classic filter: %s: the same at level 0 and 2", filters[f].what))
		diag("%d bytes at level 0, %d at level 2; %ld runs; %s", n, m,
		     moat_counter("runs") - runs, kmsg_find("moat: ", NULL) ?: "");
}

#define PORT 4711

/* Sends 20 datagrams through lo; how many arrive. */
static int datagrams(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), i, n = 0;
	char data[20];

	if (bind(s, (struct sockaddr *)&to, sizeof(to)))
		diag("bind: %s", strerror(errno));
	for (i = 1; i <= 20; i++)
		sendto(s, data, i, 0, (struct sockaddr *)&to, sizeof(to));
	usleep(100000);
	while (read(s, data, sizeof(data)) > 0)
		n++;
	close(s);
	return n;
}

/* tc's filter and action, both classic: of the datagrams, those of odd length go. */
static int tc_lets_through(void)
{
	int n;

	if (system("tc qdisc add dev lo clsact && tc filter add dev lo ingress bpf "
		   /* UDP? the low byte of its length is odd? */
		   "bytecode '6,48 0 0 23,21 0 3 17,48 0 0 39,69 0 1 1,6 0 0 4294967295,6 0 0 0' "
		   "action bpf bytecode '1,6 0 0 2'"))
		diag("tc: no filter");
	n = datagrams();
	if (system("tc qdisc del dev lo clsact"))
		diag("tc: not removed");
	return n;
}

/* How many packets the first of two members of a group gets. */
static int first_of_two(void)
{
	struct sock_filter insns[] = {
		C(BPF_LD | BPF_W | BPF_LEN, 0), C(BPF_ALU | BPF_MOD | BPF_K, 5),
		CJ(BPF_JMP | BPF_JGT | BPF_K, 1, 0, 1), C(BPF_RET | BPF_K, 1), C(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(insns), .filter = insns };
	struct sockaddr_ll lo = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP),
				  .sll_ifindex = if_nametoindex("lo") };
	int s[2], i, n = 0, group = 7 | PACKET_FANOUT_CBPF << 16;
	char data[200];

	for (i = 0; i < 2; i++) {
		s[i] = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0);
		if (bind(s[i], (struct sockaddr *)&lo, sizeof(lo)) ||
		    setsockopt(s[i], SOL_PACKET, PACKET_FANOUT, &group, sizeof(group)))
			diag("fanout: %s", strerror(errno));
	}
	if (setsockopt(s[0], SOL_PACKET, PACKET_FANOUT_DATA, &prog, sizeof(prog)))
		diag("fanout filter: %s", strerror(errno));
	datagrams();
	while (read(s[0], data, sizeof(data)) > 0)
		n++;
	close(s[0]);
	close(s[1]);
	return n;
}

static void elsewhere(const char *what, int (*count)(void), int expected)
{
	int n, m;
	s64 runs;

	moat_set_level(0);
	n = count();
	moat_set_level(moat_present() ? 2 : 0);
	runs = moat_counter("runs");
	m = count();
	if (!ok(n == expected && n == m && (!moat_present() || moat_counter("runs") >= runs + 20),
		"classic filter: %s: the same at level 0 and 2", what))
		diag("%d at level 0, %d at level 2; %ld runs", n, m, moat_counter("runs") - runs);
}

int main(void)
{
	size_t i;

	pin_to_cpu(0);
	for (i = 0; i < ARRAY_SIZE(filters); i++)
		classic(i);
	elsewhere("tc", tc_lets_through, 10);
	elsewhere("a fanout group", first_of_two, 8);
	if (!moat_present())
		skip("no moat.ko", "level 2");
	return finish();
}
