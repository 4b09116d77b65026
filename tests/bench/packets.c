// SPDX-License-Identifier: GPL-2.0
/*
 * Packets from end to end: 64 bytes of UDP from one socket to another, by loopback and
 * by veth, and frames past a packet socket. All of it happens in the sender's system
 * call, softirqs too, so that one thread sends and receives.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "bench.h"
#include "packet.h"
#include "programs.h"

#define PORT 53
#define BYTES 64

struct path {
	int tx, rx;
};

static bool send_and_receive(void *arg)
{
	static char out[BYTES] = "moat", in[BYTES];
	const struct path *p = arg;

	return send(p->tx, out, BYTES, 0) == BYTES && recv(p->rx, in, BYTES, MSG_DONTWAIT) == BYTES;
}

static void drain(void *arg)
{
	const struct path *p = arg;
	char in[BYTES];

	while (recv(p->rx, in, sizeof(in), MSG_DONTWAIT) >= 0)
		;
}

static const struct operation datagrams = { send_and_receive, drain };

static int udp_socket(void)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (s < 0)
		die("socket");
	return s;
}

static struct sockaddr_in at_port(const char *address, int port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(port),
		.sin_addr.s_addr = inet_addr(address),
	};
}

static void listen_at(int s, const char *address)
{
	struct sockaddr_in at = at_port(address, PORT);

	if (bind(s, (void *)&at, sizeof(at)))
		die(address);
}

static void send_to(int s, const char *address)
{
	/* Not any: which others it meets in hash tables is not to change. */
	struct sockaddr_in from = at_port("0.0.0.0", PORT + 1), to = at_port(address, PORT);

	if (bind(s, (void *)&from, sizeof(from)) || connect(s, (void *)&to, sizeof(to)))
		die(address);
}

static void attach_filter(int s, const struct sock_fprog *filter)
{
	if (setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, filter, sizeof(*filter)))
		die("SO_ATTACH_FILTER");
}

static void close_path(struct path *p)
{
	close(p->tx);
	close(p->rx);
}

/* Ends the bench unless the program, or what is to be a filter, has seen each packet. */
static void all_counted(const struct row *row, int map, unsigned long long sent)
{
	if (map < 0 || counted(map) >= sent)
		return;
	fprintf(stderr, "bench: %s: %llu packets of %llu counted\n", row->name, counted(map), sent);
	exit(1);
}

struct cost measure_loopback(const struct row *row)
{
	int map = map_for(&row->prog), prog = -1;
	struct path p = { udp_socket(), udp_socket() };
	struct operation op = datagrams;
	struct cost cost;
	char in[BYTES];

	listen_at(p.rx, "127.0.0.1");
	send_to(p.tx, "127.0.0.1");
	if (row->filter) {
		attach_filter(p.rx, row->filter);
		if (send(p.tx, "another", 8, 0) != 8 || recv(p.rx, in, BYTES, MSG_DONTWAIT) >= 0) {
			fprintf(stderr, "bench: %s: the filter lets all through\n", row->name);
			exit(1);
		}
	}
	if (row->prog.insns) {
		prog = load(&row->prog, row->name, map);
		if (setsockopt(p.rx, SOL_SOCKET, SO_ATTACH_BPF, &prog, sizeof(prog)))
			die("SO_ATTACH_BPF");
		close(prog);
	}
	op.arg = &p;
	cost = quietest(&op);
	all_counted(row, map, OPERATIONS);
	close_path(&p);
	if (map >= 0)
		close(map);
	return cost;
}

/*
 * va, here, has vb of moat1 for its peer; vc, there, has vd of moat2. Nothing is resolved
 * and nobody speaks IPv6, so that nothing is sent that is not asked for. There is one
 * neighbour only, since how long it takes to find one of several is random.
 *
 * 10.9.0.2: from va to vb. 10.9.1.2: the same, but source and destination are exchanged
 * at vb, whose address is therefore the sender's. 10.9.2.2: from va to vd, to which
 * somebody must take it from vb.
 */
static const char veth_up[] =
	"set -e; mac=02:00:00:00:00:0; ip netns add moat1; ip netns add moat2\n"
	"for e in '' 'ip netns exec moat1' 'ip netns exec moat2'; do\n"
	"	$e sh -c 'cd /proc/sys/net/ipv6/conf; for i in all default; do\n"
	"		echo 1 >$i/disable_ipv6; done'\n"
	"	$e ip link set lo up\n"
	"done\n"
	"ip link add va address ${mac}a type veth peer name vb address ${mac}b netns moat1\n"
	"ip -n moat1 link add vc address ${mac}c type veth peer name vd address ${mac}b netns moat2\n"
	"ip addr add 10.9.0.1/24 dev va; ip addr add 10.9.1.1/32 dev va\n"
	"ip -n moat1 addr add 10.9.0.2/24 dev vb; ip -n moat1 addr add 10.9.1.1/24 dev vb\n"
	"ip -n moat2 addr add 10.9.2.2/24 dev vd\n"
	"ip link set va up; ip -n moat1 link set vb up; ip -n moat1 link set vc up\n"
	"ip -n moat2 link set vd up\n"
	"ip neigh add 10.9.0.2 dev va nud permanent lladdr ${mac}b\n"
	"ip route add 10.9.1.2 via 10.9.0.2 src 10.9.1.1; ip route add 10.9.2.2 via 10.9.0.2\n";

static void enter(const char *netns)
{
	int fd = open(netns, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die(netns);
	close(fd);
}

static const char *const netns[] = {
	[VETH_SAME] = "/run/netns/moat1", [VETH_SWAPPED] = "/run/netns/moat1",
	[VETH_REDIRECTED] = "/run/netns/moat2",
};

static const struct {
	const char *to, *at;
} addresses[] = {
	[VETH_SAME] = { "10.9.0.2", "10.9.0.2" },
	[VETH_SWAPPED] = { "10.9.1.2", "10.9.1.1" },
	[VETH_REDIRECTED] = { "10.9.2.2", "10.9.2.2" },
};

/* Else veth takes no frames from XDP. */
static void receive_in_batches(const char *dev)
{
	struct ethtool_value on = { .cmd = ETHTOOL_SGRO, .data = 1 };
	struct ifreq ifr = { .ifr_data = (void *)&on };
	int s = udp_socket();

	strcpy(ifr.ifr_name, dev);
	if (ioctl(s, SIOCETHTOOL, &ifr))
		die("GRO");
	close(s);
}

static void bring_veth_up(void)
{
	static bool up;

	if (up)
		return;
	if (system(veth_up)) {
		errno = 0;
		die("no veth devices");
	}
	enter(netns[VETH_REDIRECTED]);
	receive_in_batches("vd");
	enter("/proc/1/ns/net");
	up = true;
}

static void attach(const struct row *row, int ifindex, int prog)
{
	int err;

	if (row->prog.type == BPF_PROG_TYPE_XDP) {
		err = bpf_xdp_attach(ifindex, prog, XDP_FLAGS_DRV_MODE, NULL);
	} else {
		LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_INGRESS);
		LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = prog, .handle = 1, .priority = 1);

		err = bpf_tc_hook_create(&hook);
		err = err ? err : bpf_tc_attach(&hook, &opts);
	}
	if (err) {
		errno = -err;
		die(row->name);
	}
}

static void detach(const struct row *row, int ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex,
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	int err;

	if (row->prog.type == BPF_PROG_TYPE_XDP)
		err = bpf_xdp_detach(ifindex, XDP_FLAGS_DRV_MODE, NULL);
	else
		err = bpf_tc_hook_destroy(&hook);
	if (err) {
		errno = -err;
		die("detach");
	}
}

struct cost measure_veth(const struct row *row)
{
	int map = map_for(&row->prog), one = 1, prog, vb;
	struct bpf_insn redirect[ARRAY_SIZE(p_xdp_redirect)];
	struct program p = row->prog;
	struct operation op = datagrams;
	struct path path;
	struct cost cost;

	bring_veth_up();
	path.tx = udp_socket();
	send_to(path.tx, addresses[row->which].to);
	enter(netns[row->which]);
	path.rx = udp_socket();
	listen_at(path.rx, addresses[row->which].at);
	enter("/run/netns/moat1");
	vb = if_nametoindex("vb");
	if (row->which == VETH_REDIRECTED) {
		memcpy(redirect, p.insns, sizeof(redirect));
		redirect[REDIRECT_IFINDEX].imm = if_nametoindex("vc");
		p.insns = redirect;
		/* A checksum that the device was to compute is lost. */
		if (setsockopt(path.tx, SOL_SOCKET, SO_NO_CHECK, &one, sizeof(one)))
			die("SO_NO_CHECK");
	}
	prog = load(&p, row->name, map);
	attach(row, vb, prog);
	close(prog);
	op.arg = &path;
	cost = quietest(&op);
	all_counted(row, map, OPERATIONS);
	detach(row, vb);
	enter("/proc/1/ns/net");
	close_path(&path);
	if (map >= 0)
		close(map);
	return cost;
}

/*
 * A frame that a packet socket's filter does not want, as most that tcpdump sees: it
 * leaves by a dummy device, which drops it, and on the way out the filter looks at it.
 */
static bool send_frame(void *arg)
{
	const struct path *p = arg;

	return send(p->tx, packet, sizeof(packet), 0) == sizeof(packet);
}

static int packet_socket(const char *dev, int protocol)
{
	struct sockaddr_ll at = {
		.sll_family = AF_PACKET, .sll_protocol = htons(protocol),
		.sll_ifindex = if_nametoindex(dev),
	};
	int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (s < 0 || bind(s, (void *)&at, sizeof(at)))
		die("packet socket");
	return s;
}

struct cost measure_packet_socket(const struct row *row)
{
	static const char up[] = "ip link add dummy type dummy 2>/dev/null;"
		"echo 1 >/proc/sys/net/ipv6/conf/dummy/disable_ipv6; ip link set dummy up";
	struct operation op = { .run = send_frame };
	unsigned char frame[sizeof(packet)];
	struct path p;
	struct cost cost;
	bool wrong;

	if (system(up)) {
		errno = 0;
		die("no dummy device");
	}
	p.tx = packet_socket("dummy", 0);
	p.rx = packet_socket("dummy", ETH_P_ALL);
	attach_filter(p.rx, row->filter);
	drain(&p);
	/* It does want port 53, which the packet is sent to, but not port 54. */
	wrong = !send_frame(&p) || recv(p.rx, frame, sizeof(frame), MSG_DONTWAIT) != sizeof(frame);
	packet[37]++;
	op.arg = &p;
	cost = quietest(&op);
	packet[37]--;
	wrong |= recv(p.rx, frame, sizeof(frame), MSG_DONTWAIT) >= 0;
	if (wrong) {
		fprintf(stderr, "bench: %s: the filter is wrong\n", row->name);
		exit(1);
	}
	close_path(&p);
	return cost;
}
