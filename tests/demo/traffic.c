// SPDX-License-Identifier: GPL-2.0
/*
 * traffic receive: echoes UDP and TCP; prints `ready`, and at SIGTERM what came.
 * traffic send ADDRESS N: N ICMP, UDP and TCP exchanges and N UDP packets to the
 * dropped port. Each exchange waits for its answer, so that the packets counted
 * on the way are the same in every run.
 * traffic once ADDRESS PORT: one UDP packet.
 * traffic ping ADDRESS N: N pings; prints how many were answered.
 * traffic checksum INTERFACE: makes it compute checksums before it sends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "demo.h"

#define PAYLOAD 200

static void die(const char *what)
{
	fprintf(stderr, "traffic: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct sockaddr_in address(const char *host, int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	if (inet_pton(AF_INET, host, &a.sin_addr) != 1) {
		fprintf(stderr, "traffic: %s: not an IPv4 address\n", host);
		exit(1);
	}
	return a;
}

static int new_socket(int type, int protocol, int timeout_ms)
{
	struct timeval tv = { timeout_ms / 1000, timeout_ms % 1000 * 1000 };
	int s = socket(AF_INET, type, protocol);

	if (s < 0 || setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)))
		die("socket");
	return s;
}

static volatile sig_atomic_t stop;

static void on_term(int sig)
{
	stop = 1;
}

static int listener(int type, int port)
{
	struct sockaddr_in a = address("0.0.0.0", port);
	int one = 1, s = new_socket(type, 0, 1000);

	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(s, (void *)&a, sizeof(a)) || (type == SOCK_STREAM && listen(s, 8)))
		die("bind");
	if (setsockopt(s, IPPROTO_IP, IP_RECVTTL, &one, sizeof(one)))
		die("IP_RECVTTL");
	return s;
}

/* Echoes one datagram; returns its TTL. */
static int echo_udp(int s)
{
	char data[2048], control[CMSG_SPACE(sizeof(int))];
	struct sockaddr_in from;
	struct iovec iov = { data, sizeof(data) };
	struct msghdr m = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(s, &m, 0);
	struct cmsghdr *c;

	if (n < 0)
		return -1;
	if (sendto(s, data, n, 0, (void *)&from, sizeof(from)) != n)
		die("echo");
	for (c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL)
			return *(int *)CMSG_DATA(c);
	return 0;
}

static long echo_tcp(int s)
{
	int one = 1, c = accept(s, NULL, NULL);
	char data[2048];
	long total = 0;
	ssize_t n;

	if (c < 0)
		return 0;
	setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	while ((n = read(c, data, sizeof(data))) > 0) {
		if (write(c, data, n) != n)
			die("echo");
		total += n;
	}
	close(c);
	return total;
}

static int receive(void)
{
	struct sigaction sa = { .sa_handler = on_term };
	struct pollfd p[3] = {
		{ listener(SOCK_DGRAM, PORT_UDP_REAL), POLLIN, 0 },
		{ listener(SOCK_DGRAM, PORT_UDP), POLLIN, 0 },
		{ listener(SOCK_STREAM, PORT_TCP), POLLIN, 0 },
	};
	long rewritten = 0, as_sent = 0, bytes = 0;

	sigaction(SIGTERM, &sa, NULL);
	printf("ready\n");
	fflush(stdout);
	while (!stop) {
		if (poll(p, 3, 1000) <= 0)
			continue;
		if (p[0].revents)
			rewritten += echo_udp(p[0].fd) == REWRITTEN_TTL;
		if (p[1].revents)
			as_sent += echo_udp(p[1].fd) >= 0;
		if (p[2].revents)
			bytes += echo_tcp(p[2].fd);
	}
	printf("udp_received_rewritten %ld\nudp_received_as_sent %ld\ntcp_received_bytes %ld\n",
	       rewritten, as_sent, bytes);
	return 0;
}

static unsigned short checksum(const unsigned short *p, size_t bytes)
{
	unsigned int sum = 0;

	for (; bytes; bytes -= 2)
		sum += *p++;
	sum = (sum & 0xffff) + (sum >> 16);
	return ~(sum + (sum >> 16));
}

/* Returns how many of the n echo requests were answered. */
static int ping(const char *host, int n, int timeout_ms)
{
	struct sockaddr_in to = address(host, 0);
	int i, got = 0, s = new_socket(SOCK_RAW, IPPROTO_ICMP, timeout_ms);
	struct {
		struct icmphdr h;
		char payload[56];
	} packet = { .h = { .type = ICMP_ECHO } };
	unsigned char reply[2048];

	packet.h.un.echo.id = htons(getpid());
	for (i = 0; i < n; i++) {
		packet.h.un.echo.sequence = htons(i);
		packet.h.checksum = 0;
		packet.h.checksum = checksum((void *)&packet, sizeof(packet));
		if (sendto(s, &packet, sizeof(packet), 0, (void *)&to, sizeof(to)) < 0)
			die("ping");
		while (recv(s, reply, sizeof(reply), 0) > 0) {
			struct icmphdr *h = (void *)(reply + (reply[0] & 15) * 4);

			if (h->type == ICMP_ECHOREPLY && h->un.echo.id == packet.h.un.echo.id &&
			    h->un.echo.sequence == packet.h.un.echo.sequence) {
				got++;
				break;
			}
		}
	}
	close(s);
	return got;
}

static int udp(const char *host, int port, int n, int answered)
{
	struct sockaddr_in to = address(host, port);
	int i, got = 0, s = new_socket(SOCK_DGRAM, 0, 5000);
	char data[PAYLOAD], back[PAYLOAD];

	for (i = 0; i < n; i++) {
		memset(data, 'a' + i % 26, sizeof(data));
		if (sendto(s, data, sizeof(data), 0, (void *)&to, sizeof(to)) != sizeof(data))
			die("UDP");
		if (answered)
			got += recv(s, back, sizeof(back), 0) == sizeof(back) &&
			       !memcmp(data, back, sizeof(data));
	}
	close(s);
	return got;
}

static int tcp(const char *host, int n)
{
	struct sockaddr_in to = address(host, PORT_TCP);
	int i, one = 1, got = 0, s = new_socket(SOCK_STREAM, 0, 20000);
	char data[PAYLOAD], back[PAYLOAD];

	setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(s, (void *)&to, sizeof(to)))
		die("TCP connect");
	for (i = 0; i < n; i++) {
		memset(data, 'A' + i % 26, sizeof(data));
		if (write(s, data, sizeof(data)) != sizeof(data))
			die("TCP");
		got += recv(s, back, sizeof(back), MSG_WAITALL) == sizeof(back) &&
		       !memcmp(data, back, sizeof(data));
	}
	close(s);
	return got;
}

static int no_offload(const char *interface)
{
	struct ethtool_value off = { .cmd = ETHTOOL_STXCSUM };
	struct ifreq ifr = { .ifr_data = (void *)&off };

	strncpy(ifr.ifr_name, interface, IFNAMSIZ - 1);
	if (ioctl(new_socket(SOCK_DGRAM, 0, 0), SIOCETHTOOL, &ifr))
		die(interface);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "receive"))
		return receive();
	if (argc == 3 && !strcmp(argv[1], "checksum"))
		return no_offload(argv[2]);
	if (argc == 4 && !strcmp(argv[1], "ping")) {
		printf("%d\n", ping(argv[2], atoi(argv[3]), 500));
		return 0;
	}
	if (argc == 4 && !strcmp(argv[1], "once")) {
		udp(argv[2], atoi(argv[3]), 1, 0);
		return 0;
	}
	if (argc == 4 && !strcmp(argv[1], "send")) {
		int n = atoi(argv[3]);

		printf("icmp_answered %d\n", ping(argv[2], n, 5000));
		printf("udp_answered %d\n", udp(argv[2], PORT_UDP, n, 1));
		udp(argv[2], PORT_DROPPED, n, 0);
		printf("tcp_answered %d\n", tcp(argv[2], n));
		return 0;
	}
	fprintf(stderr, "usage: traffic receive | send ADDRESS N | ping ADDRESS N | once ADDRESS PORT |\n"
		"       traffic checksum INTERFACE\n");
	return 2;
}
