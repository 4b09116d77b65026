// SPDX-License-Identifier: GPL-2.0
/*
 * Devices with players on them, and what goes through: datagrams and TCP over lo, a
 * pair of veth devices and a VXLAN tunnel between them, what a packet socket sends
 * with an offload header, and what packet sockets hear of all of it.
 *
 *   lo     tc in and out, generic XDP
 *   fz0    dummy; nothing on it
 *   fz1    dummy without any offload, small MTU; nothing on it
 *   fz2    dummy; tc in and out, generic XDP
 *   va     veth; tc in and out. Its peer vb, in a network of its own: GRO, native XDP, tc
 *   vx0    VXLAN over va, tc in and out, to vx1 over vb
 *   fzi    IPIP over va, which has no link header; fzg GRE
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "fuzz.h"

u64 played, captured, sent, heard, strange;

enum { TC, TC_WRITES, XDP_GENERIC, XDP_NATIVE, PLAYERS };
static struct player players[PLAYERS];
static bool player_writes[PLAYERS] = { false, true, true, false };
static const char *const player_name[PLAYERS] = {
	"tc", "tc that writes", "generic XDP", "native XDP",
};
static u64 traffic_seed;
static volatile bool on;
static int there;	/* the other network */

static int shaped[2], hooked[3];

int shaped_ifindex(u64 *rng)
{
	return shaped[below(rng, ARRAY_SIZE(shaped))];
}

int hooked_ifindex(u64 *rng)
{
	return hooked[below(rng, ARRAY_SIZE(hooked))];
}

static void ethtool(const char *dev, u32 command, u32 value)
{
	struct ethtool_value v = { command, value };
	struct ifreq r = { .ifr_data = (void *)&v };
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	strcpy(r.ifr_name, dev);
	if (ioctl(sock, SIOCETHTOOL, &r))
		diag("ethtool %s %#x: %s", dev, command, strerror(errno));
	close(sock);
}

static void hook(const char *dev, enum bpf_tc_attach_point at, int player)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = if_nametoindex(dev),
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = players[player].prog, .handle = 1, .priority = 1);
	int err = bpf_tc_hook_create(&hook);

	hook.attach_point = at;
	if (!err || err == -EEXIST)
		err = bpf_tc_attach(&hook, &opts);
	if (err)
		bail("tc on %s: %s", dev, strerror(-err));
}

static void hook_xdp(const char *dev, u32 mode, int player)
{
	int err = bpf_xdp_attach(if_nametoindex(dev), players[player].prog, mode, NULL);

	if (err)
		bail("XDP on %s: %s", dev, strerror(-err));
}

static void enter(int net)
{
	if (setns(net, CLONE_NEWNET))
		bail("setns: %s", strerror(errno));
}

#define TUNE(DEV) \
	"for f in rp_filter forwarding; do echo 0 >/proc/sys/net/ipv4/conf/" DEV "/$f; done; " \
	"echo 1 >/proc/sys/net/ipv4/conf/" DEV "/forwarding; " \
	"echo 1 >/proc/sys/net/ipv4/conf/" DEV "/accept_local; " \
	"echo 0 >/proc/sys/net/ipv6/conf/" DEV "/accept_dad; " \
	"echo 1 >/proc/sys/net/ipv6/conf/" DEV "/forwarding"
#define NEW_NET	"ip link set lo up; " TUNE("all") "; " TUNE("default")

static FILE *batch;

static void address(const char *dev, int net, int host)
{
	fprintf(batch, "addr add 10.77.%d.%d/24 dev %s\n", net, host, dev);
	fprintf(batch, "addr add d01::%d:%d/112 dev %s nodad\nlink set %s up\n", net, host, dev, dev);
	for (int other = 1; other < 4; other++) {
		if (other == host)
			continue;
		fprintf(batch, "neigh replace 10.77.%d.%d lladdr 02:02:02:02:02:%02x dev %s\n", net,
			other, other, dev);
		fprintf(batch, "neigh replace d01::%d:%d lladdr 02:02:02:02:02:%02x dev %s\n", net,
			other, other, dev);
	}
}

static void ip_batch(void)
{
	batch = popen("ip -batch - 2>&1", "w");
	if (!batch)
		bail("ip: %s", strerror(errno));
}

static void ip_done(void)
{
	if (pclose(batch))
		bail("the devices cannot be made");
}

static void devices(void)
{
	int here;

	if (unshare(CLONE_NEWNET))
		bail("a network of its own: %s", strerror(errno));
	here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	unshare(CLONE_NEWNET);
	there = open("/proc/self/ns/net", O_RDONLY);
	sh("{ %s; } 2>&1", NEW_NET);
	enter(here);
	sh("{ %s; } 2>&1", NEW_NET);
	ip_batch();
	fputs("link add fz0 address 02:02:02:02:02:01 type dummy\n"
	      "link add fz1 address 02:02:02:02:02:01 mtu 1280 type dummy\n"
	      "link add fz2 address 02:02:02:02:02:01 type dummy\nlink set fz2 up\n"
	      "link add va address 02:02:02:02:02:01 type veth peer name vb address "
	      "02:02:02:02:02:02\n", batch);
	/* By descriptor: there is no name for it. */
	fprintf(batch, "link set vb netns /proc/%d/fd/%d\n", getpid(), there);
	address("fz0", 0, 1);
	address("fz1", 1, 1);
	address("va", 2, 1);
	fputs("link add vx0 address 02:02:02:02:02:01 type vxlan id 42 remote 10.77.2.2 local "
	      "10.77.2.1 dstport 4789 dev va\n", batch);
	address("vx0", 3, 1);
	fputs("link add fzi type ipip remote 10.77.2.2 local 10.77.2.1\nlink set fzi up\n"
	      "link add fzg type gre remote 10.77.2.2 local 10.77.2.1\nlink set fzg up\n", batch);
	ip_done();
	ethtool("fz1", ETHTOOL_STXCSUM, 0);
	ethtool("fz1", ETHTOOL_SSG, 0);
	ethtool("fz1", ETHTOOL_SGSO, 0);
	enter(there);
	ip_batch();
	address("vb", 2, 2);
	fputs("link add vx1 address 02:02:02:02:02:02 type vxlan id 42 remote 10.77.2.1 local "
	      "10.77.2.2 dstport 4789 dev vb\n", batch);
	address("vx1", 3, 2);
	ip_done();
	ethtool("vb", ETHTOOL_SGRO, 1);
	enter(here);
}

void traffic_setup(u64 seed)
{
	static const char *const names[] = { "lo", "fz0", "fz1", "fz2", "va", "vx0", "fzi", "fzg" };
	int i, here;

	traffic_seed = seed;
	libbpf_set_print(NULL);
	devices();
	here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	for (i = 0; i < (int)ARRAY_SIZE(names); i++)
		ifindexes[nr_ifindexes++] = if_nametoindex(names[i]);
	for (i = 0; i < PLAYERS; i++)
		player_load(&players[i], i >= XDP_GENERIC ? &xdp : &sched_cls, player_writes[i],
			    i == XDP_NATIVE, SCRIPTS);
	shaped[0] = if_nametoindex("fz0");
	shaped[1] = if_nametoindex("fz1");
	hooked[0] = if_nametoindex("fz2");
	hooked[1] = if_nametoindex("va");
	hooked[2] = if_nametoindex("lo");
	for (i = 0; i < 2; i++) {
		enum bpf_tc_attach_point at = i ? BPF_TC_EGRESS : BPF_TC_INGRESS;

		hook("lo", at, i ? TC : TC_WRITES);
		hook("fz2", at, i ? TC_WRITES : TC);
		hook("va", at, i ? TC_WRITES : TC);
		hook("vx0", at, TC);
		enter(there);
		hook("vb", at, i ? TC : TC_WRITES);
		enter(here);
	}
	hook_xdp("lo", XDP_FLAGS_SKB_MODE, XDP_GENERIC);
	hook_xdp("fz2", XDP_FLAGS_SKB_MODE, XDP_GENERIC);
	enter(there);
	hook_xdp("vb", XDP_FLAGS_DRV_MODE, XDP_NATIVE);
	enter(here);
	close(here);
}

/* The first of what is strange, to be told when all is over */
static struct {
	const char *how;	/* it came here */
	u8 *data;
	u32 len, where, steps;	/* that were played of the script, if there is one */
	struct script script;
} first;

/* Whether it is the first */
static bool note_strange(const char *how, const u8 *data, u32 len, u32 where)
{
	if (__atomic_fetch_add(&strange, 1, __ATOMIC_RELAXED))
		return false;
	first.data = malloc(len);
	if (!first.data)
		return false;
	memcpy(first.data, data, len);
	first.len = len;
	first.where = where;
	first.how = how;
	return true;
}

/* The headers, and what is around the foreign bytes */
void traffic_tell(void)
{
	char line[3 * 32 + 1];
	u32 i, j;

	if (!first.how)
		return;
	diag("%s: foreign bytes at %u of %u:", first.how, first.where, first.len);
	for (i = 0; i < first.len; i += 32) {
		if (i >= 128 && (i + 96 < first.where || i > first.where + 64))
			continue;
		for (j = i; j < i + 32 && j < first.len; j++)
			sprintf(line + 3 * (j - i), "%02x ", first.data[j]);
		diag("  %5u: %s", i, line);
	}
	if (!first.steps)
		return;
	diag("  after %u steps of", first.steps);
	script_tell(&first.script);
}

/* New scripts for those that were played; what they saw is looked at first. */
static void refill(u64 *rng, int i)
{
	struct script *s = players[i].script;
	u32 where = 0, j, k;

	for (j = 0; j < SCRIPTS; j++, s++) {
		if (__atomic_load_n(&s->todo, __ATOMIC_ACQUIRE))
			continue;
		for (k = 0; k < s->done && k < STEPS; k++) {
			if (!foreign(s->seen[k], SEEN, &where))
				continue;
			if (!note_strange(player_name[i], s->seen[k], SEEN, where))
				continue;
			first.steps = k + 1;
			first.script = *s;
		}
		played += !!s->done;
		script_write(rng, s, i >= XDP_GENERIC ? &xdp : &sched_cls, player_writes[i],
			     60 + below(rng, 1500), 256);
	}
}

static void *fill(void *unused)
{
	u64 rng = traffic_seed;
	int i;

	while (on) {
		for (i = 0; i < PLAYERS; i++)
			refill(&rng, i);
		usleep(4000);
	}
	return NULL;
}

static const char *const hosts[] = { "127.0.0.1", "10.77.2.2", "10.77.3.2", "10.77.0.2" };

static struct sockaddr_in to(int i)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(FUZZ_PORT) };

	inet_pton(AF_INET, hosts[i], &a.sin_addr);
	return a;
}

static void payload(u8 *data, u32 len)
{
	while (len--)
		data[len] = 1 + len % 0x4f;
}

/* Datagrams, one at a time or many in a GSO packet */
static void *datagrams(void *unused)
{
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), big = 4 << 20;
	u64 rng = traffic_seed + 1;
	static u8 data[65536];

	payload(data, sizeof(data));
	setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
	while (on) {
		struct sockaddr_in a = to(below(&rng, ARRAY_SIZE(hosts)));
		u32 size = one_in(&rng, 2) ? 0 : 1 + below(&rng, 1400);
		u32 len = size ? size * (1 + below(&rng, 40)) : (u32)below(&rng, 3000);

		if (one_in(&rng, 8))
			len = below(&rng, 65508);
		setsockopt(sock, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size));
		if (sendto(sock, data, len > 65507 ? 65507 : len, MSG_DONTWAIT, (void *)&a,
			   sizeof(a)) > 0)
			sent++;
		usleep(4000);
	}
	close(sock);
	return NULL;
}

/* As a virtual machine would send it: nobody has looked at sizes and offsets. */
static void *virtual(void *unused)
{
	int sock = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), one = 1;
	static u8 data[12 + (1 << 17)];
	u64 rng = traffic_seed + 2;

	setsockopt(sock, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one));
	while (on) {
		struct virtio_net_hdr *h = (void *)data;
		struct moat_test_packet p;
		struct sockaddr_ll a = { .sll_family = AF_PACKET, .sll_halen = 6,
					 .sll_ifindex = hooked_ifindex(&rng) };

		packet_make(&rng, &p, data + sizeof(*h), false);
		memset(h, 0, sizeof(*h));
		if (p.gso_type && !p.ipproto && p.inner_mac < 0) {
			h->gso_type = p.gso_type & 1 ? VIRTIO_NET_HDR_GSO_TCPV4 :
				      p.gso_type & 16 ? VIRTIO_NET_HDR_GSO_TCPV6 : 0;
			h->gso_size = p.gso_size;
		}
		if (p.ip_summed == 3) {
			h->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
			h->csum_start = p.csum_start;
			h->csum_offset = p.csum_offset;
			h->hdr_len = p.payload;
		}
		a.sll_protocol = htons(p.protocol);
		if (sendto(sock, data, sizeof(*h) + p.len, MSG_DONTWAIT, (void *)&a, sizeof(a)) > 0)
			sent++;
		usleep(8000);
	}
	close(sock);
	return NULL;
}

/* TCP to each of the hosts, as much as gets through; a new connection now and then */
static void *streams(void *unused)
{
	int sock[3] = { -1, -1, -1 };
	u64 rng = traffic_seed + 3;
	static u8 data[65536];
	u32 i;

	payload(data, sizeof(data));
	while (on) {
		for (i = 0; i < ARRAY_SIZE(sock); i++) {
			struct sockaddr_in a = to(i);

			if (sock[i] >= 0 && one_in(&rng, 200)) {
				close(sock[i]);
				sock[i] = -1;
			}
			if (sock[i] < 0) {
				sock[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
				connect(sock[i], (void *)&a, sizeof(a));
			} else if (send(sock[i], data, sizeof(data), MSG_NOSIGNAL) > 0) {
				sent++;
			} else if (errno != EAGAIN && errno != EINPROGRESS && errno != ENOTCONN) {
				close(sock[i]);
				sock[i] = -1;
			}
		}
		usleep(10000);
	}
	for (i = 0; i < ARRAY_SIZE(sock); i++)
		close(sock[i]);
	return NULL;
}

/* Takes what comes to FUZZ_PORT, and hears all that passes, in the network @net. */
static void *listen_in(void *net)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(FUZZ_PORT) };
	struct pollfd fds[20];
	static __thread u8 data[1 << 17];
	int n = 3, i, one = 1;
	u32 where = 0;

	if (*(int *)net >= 0)
		enter(*(int *)net);
	fds[0].fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
	fds[1].fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	fds[2].fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fds[2].fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fds[1].fd, IPPROTO_UDP, UDP_GRO, &one, sizeof(one));
	if (bind(fds[1].fd, (void *)&a, sizeof(a)) || bind(fds[2].fd, (void *)&a, sizeof(a)) ||
	    listen(fds[2].fd, 16))
		bail("port %d: %s", FUZZ_PORT, strerror(errno));
	while (on) {
		for (i = 0; i < n; i++)
			fds[i].events = POLLIN;
		if (poll(fds, n, 100) <= 0)
			continue;
		for (i = 0; i < n; i++) {
			ssize_t len;

			if (!fds[i].revents)
				continue;
			if (i == 2) {
				if (n == ARRAY_SIZE(fds))
					close(fds[--n].fd);
				fds[n].fd = accept4(fds[2].fd, NULL, NULL, SOCK_CLOEXEC);
				if (fds[n].fd >= 0)
					n++;
				continue;
			}
			len = recv(fds[i].fd, data, sizeof(data), MSG_DONTWAIT);
			if (len > 0) {
				*(i ? &heard : &captured) += 1;
				if (foreign(data, len, &where))
					note_strange(i ? "received" : "captured", data, len, where);
			} else if (i > 2 && (!len || errno != EAGAIN)) {
				close(fds[i].fd);
				fds[i] = fds[--n];
				break;
			}
		}
	}
	while (n--)
		close(fds[n].fd);
	return NULL;
}

/* Memory that others have used, for the kernel to use again */
static void *spray(void *unused)
{
	while (on) {
		u32 size = 16 << 20;
		u8 *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p != MAP_FAILED) {
			memset(p, PACKET_FOREIGN, size);
			munmap(p, size);
		}
		usleep(1000000);
	}
	return NULL;
}

static pthread_t threads[8];
static int nr_threads;

static void start(void *(*f)(void *), void *arg)
{
	if (pthread_create(&threads[nr_threads++], NULL, f, arg))
		bail("a thread: %s", strerror(errno));
}

void traffic_start(void)
{
	static int here = -1;

	on = true;
	start(spray, NULL);
	start(fill, NULL);
	start(listen_in, &here);
	start(listen_in, &there);
	start(datagrams, NULL);
	start(virtual, NULL);
	start(streams, NULL);
}

void traffic_stop(void)
{
	on = false;
	while (nr_threads)
		pthread_join(threads[--nr_threads], NULL);
}
