// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=product,preempt levels=2 cpus=4 keys=13,0 full=1 timeout=300 */
/*
 * Do isolated classic filters see the same beside the packet: device, mark, VLAN?
 *
 * Each SKF_AD_* extension, and loads from the link-layer and network headers, on
 * packets that differ in what there is to see: from a socket pair, which has no
 * device; over lo; and over veth, with a VLAN tag. A filter lets through as many
 * bytes as one byte of the value says, so that four of them show it: at level 0,
 * where it must be what is expected, and at level 2. Then who uses it: tcpdump, tc.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "moat_test.h"

#define MARK 0x12345678
#define TAG 0x2abc
#define PORT 4712
/* where attributes are in what a socket pair carries, and the inner one */
#define ATTRS 8
#define NESTED 16
/* What comes of a value that is not loaded: without a device, A is returned. */
#define BEFORE NESTED
#define RETURNED ((BEFORE - 1) * 0x01010101)

enum source { PAIR, LO, VETH, SOURCES };

static const char *const source_name[] = { "a socket pair", "lo", "veth" };
/* The witness has no filter, and gets each packet after the receiver. */
static int rx[SOURCES], tx[SOURCES], witness[SOURCES], sink;
static u8 frame[300] = "\xff\xff\xff\xff\xff\xff\x02\0\0\0\0\1\x81\0", pair[300];

/* Expected at level 0: a number, or one of these */
enum { NOTHING = -1, ANY = -2, DEVICE = -3 };

static const struct {
	const char *what;
	u32 off;
	s64 expected[SOURCES];
} extensions[] = {
#define X(NAME, ...) { #NAME, SKF_AD_OFF + SKF_AD_##NAME, { __VA_ARGS__ } }
	X(PROTOCOL, ANY, ETH_P_IP, ETH_P_IP),
	X(PKTTYPE, ANY, PACKET_HOST, PACKET_BROADCAST),
	X(IFINDEX, RETURNED, DEVICE, DEVICE),
	X(NLATTR, NESTED, ANY, ANY),
	X(NLATTR_NEST, NESTED + 4, ANY, ANY),
	X(MARK, ANY, MARK, MARK),
	X(QUEUE, ANY, ANY, ANY),
	X(HATYPE, RETURNED, ARPHRD_LOOPBACK, ARPHRD_ETHER),
	X(RXHASH, ANY, ANY, ANY),
	X(CPU, 0, 0, 0),
	X(ALU_XOR_X, BEFORE ^ 5, BEFORE ^ 5, BEFORE ^ 5),
	X(VLAN_TAG, 0, 0, TAG),
	X(VLAN_TAG_PRESENT, 0, 0, 1),
	X(PAY_OFFSET, ANY, ANY, ANY),
	X(VLAN_TPID, 0, 0, ETH_P_8021Q),
	{ "link layer", SKF_LL_OFF + 8, { ANY, ANY, 0x00000001 } },
	{ "network layer", SKF_NET_OFF, { ANY, ANY, ANY } },
	{ "past the end of the packet", SKF_LL_OFF + 4000, { NOTHING, NOTHING, NOTHING } },
};

static int packets_of(const char *device)
{
	struct sockaddr_ll ll = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL),
				  .sll_ifindex = if_nametoindex(device) };
	int s = socket(AF_PACKET, SOCK_RAW, 0), one = 1;

	if (setsockopt(s, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) ||
	    bind(s, (struct sockaddr *)&ll, sizeof(ll)))
		bail("packets of %s: %s", device, strerror(errno));
	return s;
}

static void set_up(void)
{
	struct sockaddr_in lo = { .sin_family = AF_INET, .sin_port = htons(PORT),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const char *const devices[] = { [LO] = "lo", [VETH] = "moat1" };
	struct sockaddr_ll ll = { .sll_family = AF_PACKET };
	int s[2], i, mark = MARK;

	if (system("ip link add moat0 type veth peer name moat1 && "
		   "for d in moat0 moat1; do sysctl -qw net.ipv6.conf.$d.disable_ipv6=1; "
		   "ip link set $d up || exit 1; done; "
		   /* has the kernel work out the hash */
		   "echo 1 >/sys/class/net/moat1/queues/rx-0/rps_cpus"))
		bail("no veth pair");
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, s))
		bail("socketpair: %s", strerror(errno));
	rx[PAIR] = s[0];
	tx[PAIR] = s[1];
	for (i = LO; i < SOURCES; i++) {
		witness[i] = packets_of(devices[i]);
		rx[i] = packets_of(devices[i]);
	}
	sink = socket(AF_INET, SOCK_DGRAM, 0);
	if (bind(sink, (struct sockaddr *)&lo, sizeof(lo)))
		bail("bind: %s", strerror(errno));
	tx[LO] = socket(AF_INET, SOCK_DGRAM, 0);
	tx[VETH] = socket(AF_PACKET, SOCK_RAW, 0);
	ll.sll_ifindex = if_nametoindex("moat0");
	if (connect(tx[LO], (struct sockaddr *)&lo, sizeof(lo)) ||
	    bind(tx[VETH], (struct sockaddr *)&ll, sizeof(ll)) ||
	    setsockopt(tx[LO], SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) ||
	    setsockopt(tx[VETH], SOL_SOCKET, SO_MARK, &mark, sizeof(mark)))
		bail("to send from: %s", strerror(errno));
}

static void make_packets(void)
{
	/* IPv4 and UDP, with a tag before; link-layer address 02:00:00:00:00:01 */
	static const u8 inner[] = {
		TAG >> 8, TAG & 0xff, 8, 0, 0x45, 0, 1, 26, 0, 1, 0, 0, 64, 17, 0, 0,
		10, 0, 0, 1, 10, 0, 0, 2, 0x12, 0x34, 0x56, 0x78, 1, 6, 0, 0,
	};
	/* attribute 3 with nothing, and 5 that holds another 5 */
	static const u8 attrs[] = { 8, 0, 3, 0, 0, 0, 0, 0, 12, 0, 5, 0, 8, 0, 5, 0, 1, 2, 3, 4 };
	int i;

	memcpy(frame + 14, inner, sizeof(inner));
	for (i = 0; i < 300; i++)
		pair[i] = i * 5 + 3;
	memcpy(pair + ATTRS, attrs, sizeof(attrs));
}

/* What is left in one of the sockets goes. */
static void drain(int s)
{
	char data[300];

	while (recv(s, data, sizeof(data), MSG_DONTWAIT) > 0)
		;
}

/* Bits @shift to @shift + 7 of the extension, or NOTHING */
static int byte_of(enum source from, size_t x, int shift)
{
	struct sock_filter insns[] = {
		C(BPF_LD | BPF_IMM, BEFORE), C(BPF_LDX | BPF_IMM, 5),
		C(BPF_LD | BPF_W | BPF_ABS, extensions[x].off),
		C(BPF_ALU | BPF_RSH | BPF_K, shift), C(BPF_ALU | BPF_AND | BPF_K, 0xff),
		C(BPF_ALU | BPF_ADD | BPF_K, 1), C(BPF_RET | BPF_A, 0),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(insns), .filter = insns };
	struct pollfd sent = { .fd = witness[from], .events = POLLIN };
	char data[300];

	/* The attributes of the first level are searched from where they begin. */
	if (extensions[x].off == (u32)SKF_AD_OFF + SKF_AD_NLATTR)
		insns[0].k = ATTRS;
	if (setsockopt(rx[from], SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog))) {
		diag("%s: attach: %s", extensions[x].what, strerror(errno));
		return NOTHING;
	}
	drain(rx[from]);
	if (from != PAIR)
		drain(witness[from]);
	if (send(tx[from], from == VETH ? frame : pair, 300, 0) != 300 && errno != EPERM)
		diag("%s: send: %s", extensions[x].what, strerror(errno));
	if (from != PAIR && poll(&sent, 1, 10000) != 1)
		diag("%s: no packet", extensions[x].what);
	return (int)recv(rx[from], data, sizeof(data), MSG_DONTWAIT) - 1;
}

static s64 value(enum source from, size_t x)
{
	s64 v = 0;
	int shift, n;

	for (shift = 0; shift < 32; shift += 8) {
		n = byte_of(from, x, shift);
		if (n < 0)
			return NOTHING;
		v |= (s64)n << shift;
	}
	return v;
}

static void compare(enum source from, size_t x)
{
	s64 expected = extensions[x].expected[from], plain, isolated, runs;

	if (expected == DEVICE)
		expected = if_nametoindex(from == LO ? "lo" : "moat1");
	moat_set_level(0);
	plain = value(from, x);
	ok(expected == ANY || plain == expected, "%s over %s is %#lx", extensions[x].what,
	   source_name[from], plain);
	if (!moat_present())
		return;
	moat_set_level(2);
	runs = moat_counter("runs");
	kmsg_mark();
	isolated = value(from, x);
	if (!ok(plain == isolated && moat_counter("runs") > runs,
		"%s over %s: the same at level 0 and 2", extensions[x].what, source_name[from]))
		diag("%#lx at level 0, %#lx at level 2; %s", plain, isolated,
		     kmsg_find("moat: ", NULL) ?: "");
}

static void datagrams(int n, int len)
{
	while (n--)
		if (send(tx[LO], pair, len, 0) != len)
			diag("send: %s", strerror(errno));
}

/* Bytes of the datagram that ends a capture: any filter has to let it through. */
#define LAST 250

/* How many of three datagrams tcpdump sees with a filter in the kernel, or -1 */
static int captured(const char *filter)
{
	char line[256], command[256];
	int n = -1;
	FILE *f;

	snprintf(command, sizeof(command),
		 "timeout 60 tcpdump -Z root -i lo -nn --immediate-mode -l '%s' 2>&1", filter);
	f = popen(command, "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (strstr(line, "Kernel filter failed")) {
			diag("%s", line);
			n = -1;
			break;
		}
		if (strstr(line, "listening on")) {
			n = 0;
			datagrams(3, 20);
			datagrams(1, LAST);
		}
		n += !!strstr(line, "length 20\n");
		if (strstr(line, "length 250\n"))
			break;
	}
	if (f && system("pkill -x tcpdump"))
		diag("tcpdump ended by itself");
	if (f)
		pclose(f);
	return n;
}

static void tcpdump(const char *filter, int expected)
{
	int level;

	for (level = 0; level <= (moat_present() ? 2 : 0); level += 2) {
		s64 runs = moat_counter("runs");

		moat_set_level(level);
		kmsg_mark();
		if (!ok(captured(filter) == expected && !kmsg_find("moat: ", "refused") &&
			(level == 0 || moat_counter("runs") > runs),
			"tcpdump '%s' at level %d", filter, level))
			diag("%s", kmsg_find("moat: ", NULL) ?: "");
	}
}

/* How many datagrams of ten come past tc's filter for the interface @index */
static int past_tc(int index, int expected)
{
	struct pollfd in = { .fd = sink, .events = POLLIN };
	char command[300], data[300];
	int n = 0;

	snprintf(command, sizeof(command), "tc qdisc add dev lo clsact && "
		 "tc filter add dev lo ingress bpf bytecode "
		 "'4,32 0 0 %u,21 0 1 %d,6 0 0 4294967295,6 0 0 0' "
		 "action bpf bytecode '1,6 0 0 2'", SKF_AD_OFF + SKF_AD_IFINDEX, index);
	if (system(command)) {
		n = system("tc qdisc del dev lo clsact");
		return -1;
	}
	drain(sink);
	datagrams(10, 20);
	while (poll(&in, 1, n < expected ? 10000 : 100) == 1 && recv(sink, data, sizeof(data), 0) > 0)
		n++;
	if (system("tc qdisc del dev lo clsact"))
		diag("tc: not removed");
	return n;
}

static void tc(int index, int expected)
{
	int level;

	for (level = 0; level <= (moat_present() ? 2 : 0); level += 2) {
		moat_set_level(level);
		ok(past_tc(index, expected) == expected, "tc's filter for interface %d at level %d", index, level);
	}
}

int main(void)
{
	enum source from;
	size_t x;

	pin_to_cpu(0);
	make_packets();
	set_up();
	for (from = PAIR; from < SOURCES; from++)
		for (x = 0; x < ARRAY_SIZE(extensions); x++)
			compare(from, x);
	tcpdump("udp and ifindex 1", 3);
	tcpdump("udp and (ifindex 2 or greater 200)", 0);
	tc(1, 0);
	tc(2, 10);
	if (system("ip link del moat0"))
		diag("veth pair not removed");
	if (!moat_present())
		skip("no moat.ko", "level 2");
	return finish();
}
