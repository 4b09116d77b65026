// SPDX-License-Identifier: GPL-2.0
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "moat_test.h"
#include "traffic.h"
#include "traffic_syn.h"

/* Three segments of each; of six ports, four have a socket. */
#define CONNECTIONS 70
#define FIRST 1000
#define SERVICE(i) (PORT + (i) % 6)
#define HAS_SOCKET(i) ((i) % 6 < BACKENDS)

struct segment {
	struct ethhdr eth;
	struct iphdr ip;
	struct tcphdr tcp;
	u8 data[32];
} __attribute__((packed));

void syn_listen(void)
{
	static bool done;
	struct sockaddr_in a = { .sin_family = AF_INET };
	int one = 1;

	write_file("/proc/sys/net/ipv4/tcp_syncookies", "2");
	for (int i = 0; i < BACKENDS && !done; i++) {
		int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		a.sin_port = htons(PORT + i);
		setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (bind(s, (void *)&a, sizeof(a)) || listen(s, 4))
			bail("port %d: %s", PORT + i, strerror(errno));
	}
	done = true;
}

static u16 sum(const void *data, size_t len, u32 total)
{
	const u8 *p = data;

	for (size_t i = 0; i + 1 < len; i += 2)
		total += p[i] | p[i + 1] << 8;
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return ~total;
}

static u16 sum_tcp(const struct segment *s, size_t len)
{
	u32 pseudo = htons(len) + htons(IPPROTO_TCP);

	pseudo += (s->ip.saddr & 0xffff) + (s->ip.saddr >> 16);
	pseudo += (s->ip.daddr & 0xffff) + (s->ip.daddr >> 16);
	return sum(&s->tcp, len, pseudo);
}

/* Of connection @i, with @len bytes behind the header */
static size_t segment(struct segment *s, int i, u32 seq, size_t len)
{
	size_t tcp = sizeof(s->tcp) + len;

	memset(s, 0, sizeof(*s));
	memset(s->eth.h_dest, 0xff, ETH_ALEN);
	memcpy(s->eth.h_source, "\x02\x00\x00\x00\x00\x01", ETH_ALEN);
	s->eth.h_proto = htons(ETH_P_IP);
	s->ip.version = 4;
	s->ip.ihl = 5;
	s->ip.ttl = 64;
	s->ip.protocol = IPPROTO_TCP;
	s->ip.tot_len = htons(sizeof(s->ip) + tcp);
	s->ip.saddr = htonl(0xc0a80001 + i);
	s->ip.daddr = htonl(0x0a0a0a0a);
	s->ip.check = sum(&s->ip, sizeof(s->ip), 0);
	s->tcp.source = htons(FIRST + i);
	s->tcp.dest = htons(SERVICE(i));
	s->tcp.seq = htonl(seq);
	s->tcp.doff = 5;
	s->tcp.window = htons(1000);
	return offsetof(struct segment, tcp) + tcp;
}

static void put(int s, const struct sockaddr_ll *to, struct segment *segment, size_t len)
{
	segment->tcp.check = sum_tcp(segment, len - offsetof(struct segment, tcp));
	if (sendto(s, segment, len, 0, (const void *)to, sizeof(*to)) < 0)
		bail("send: %s", strerror(errno));
}

/* What the answers say, by connection; how many there are. */
static int answers(int s, u32 *cookie)
{
	struct pollfd p = { .fd = s, .events = POLLIN };
	struct sockaddr_ll from;
	struct segment got;
	int n = 0;

	while (poll(&p, 1, 100) == 1) {
		socklen_t len = sizeof(from);
		u32 i;

		memset(&got, 0, sizeof(got));
		if (recvfrom(s, &got, sizeof(got), 0, (void *)&from, &len) < 0 ||
		    from.sll_pkttype == PACKET_OUTGOING || got.ip.protocol != IPPROTO_TCP)
			continue;
		i = ntohs(got.tcp.dest) - FIRST;
		if (i >= CONNECTIONS || !got.tcp.syn || !got.tcp.ack)
			continue;
		if (sum_tcp(&got, sizeof(got.tcp) + 4))
			diag("answer %u: sum %x", i, sum_tcp(&got, sizeof(got.tcp) + 4));
		cookie[i] = ntohl(got.tcp.seq);
		n++;
	}
	return n;
}

void syn_send(const char *dev)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = if_nametoindex(dev),
	};
	int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)), n;
	u32 cookie[CONNECTIONS] = {};
	struct segment data;
	size_t len;

	if (s < 0 || bind(s, (void *)&to, sizeof(to)))
		bail("%s: %s", dev, strerror(errno));
	for (int i = 0; i < CONNECTIONS; i++) {
		len = segment(&data, i, 7 * i, 4);
		memcpy(data.data, "\x02\x04\x05\xb4", 4);
		data.tcp.doff = 6;
		data.tcp.syn = 1;
		put(s, &to, &data, len);
	}
	n = answers(s, cookie);
	diag("%d answers", n);
	for (int i = 0; i < CONNECTIONS; i++) {
		/* One of seven has not seen its answer. */
		if (i % 7 == 3)
			cookie[i] ^= 0x10;
		for (int more = 0; more <= 16; more += 16) {
			len = segment(&data, i, 7 * i + 1, more);
			data.tcp.ack = 1;
			data.tcp.ack_seq = htonl(cookie[i] + 1);
			put(s, &to, &data, len);
		}
	}
	close(s);
}
