// SPDX-License-Identifier: GPL-2.0
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "traffic.h"
#include "traffic_seen.h"

static u16 sum(const void *data, size_t len)
{
	const u16 *p = data;
	u32 total = 0;

	for (; len; len -= 2)
		total += *p++;
	total = (total & 0xffff) + (total >> 16);
	return ~(total + (total >> 16));
}

/* One of NO_FLOWS flows: of four senders, to six ports, four of which are services. */
static size_t frame(u8 *data, u32 n)
{
	struct ethhdr *eth = (void *)data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	size_t payload = 18 + n * 37 % 400, i;
	u32 flow = n % NO_FLOWS;

	memset(data, 0, ETH_HLEN + 28);
	memset(eth->h_dest, 0xff, ETH_ALEN);
	memcpy(eth->h_source, "\x02\x00\x00\x00\x00\x01", ETH_ALEN);
	eth->h_proto = htons(n % 16 == 15 ? 0x88b5 : ETH_P_IP);
	ip->version = 4;
	ip->ihl = 5;
	ip->ttl = 64;
	ip->id = htons(n);
	ip->protocol = n % 16 == 14 ? IPPROTO_TCP : IPPROTO_UDP;
	ip->tot_len = htons(28 + payload);
	ip->saddr = htonl(0xc0a80000 + (flow % 4 << 8) + 1 + flow / 4);
	ip->daddr = htonl(0x0a0a0a0a);
	ip->check = sum(ip, 20);
	udp->source = htons(1000 + flow);
	udp->dest = htons(PORT + flow % 6);
	udp->len = htons(8 + payload);
	for (i = 0; i < payload; i++)
		data[ETH_HLEN + 28 + i] = n + i;
	return ETH_HLEN + 28 + payload;
}

int traffic_tap(const char *dev)
{
	struct sockaddr_ll on = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = if_nametoindex(dev),
	};
	int s = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), room = 8 << 20;

	if (s < 0 || setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) ||
	    bind(s, (void *)&on, sizeof(on)))
		bail("%s: %s", dev, strerror(errno));
	return s;
}

int traffic_note(int tap, const char *what)
{
	struct sockaddr_ll from;
	socklen_t len = sizeof(from);
	int frames = 0;
	u8 data[2048];
	ssize_t n;

	while ((n = recvfrom(tap, data, sizeof(data), 0, (void *)&from, &len)) >= 0) {
		len = sizeof(from);
		/* Only what came in. */
		if (from.sll_pkttype == PACKET_OUTGOING)
			continue;
		note_bytes(what, data, n);
		frames++;
	}
	close(tap);
	return frames;
}

void traffic_out(const char *dev, int pause)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(dev) };
	int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	u8 data[1024];
	u32 i;

	for (i = 0; i < FRAMES; i++) {
		if (sendto(s, data, frame(data, i), 0, (void *)&to, sizeof(to)) < 0)
			bail("send: %s", strerror(errno));
		if (pause)
			usleep(pause);
	}
	close(s);
}
