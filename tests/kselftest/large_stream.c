// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "large_packets.h"
#include "packets.h"

#define PORT 4712
#define STREAM (4 << 20)

/* The other end, in a network of its own: sends as soon as it may. */
static void send_stream(int go)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT),
				  .sin_addr.s_addr = htonl(0x0a090001) };
	static u8 data[1 << 18];
	int s, i, sent_now;
	char c;

	if (read(go, &c, 1) != 1 ||
	    system("ip addr add 10.9.0.2/24 dev mtlb && ip link set mtlb up"))
		exit(1);
	s = socket(AF_INET, SOCK_STREAM, 0);
	for (i = 0; i < 50 && connect(s, (void *)&to, sizeof(to)); i++)
		usleep(100000);
	for (i = 0; i < STREAM; i += sent_now) {
		memset(data, i >> 18, sizeof(data));
		sent_now = write(s, data, sizeof(data));
		if (sent_now <= 0)
			exit(1);
	}
	close(s);
	/* The devices would go with its network. */
	i = read(go, &c, 1);
	exit(0);
}

static u64 received(const char *what)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/class/net/mtla/statistics/rx_%s", what);
	return read_number(path);
}

/* Nothing has come for a while: what the device counts and the program is comparable. */
static void until_quiet(void)
{
	u64 before, now = received("packets");
	int i;

	for (i = 0; i < 50; i++) {
		before = now;
		usleep(300000);
		now = received("packets");
		if (now == before)
			return;
	}
	bail("mtla is never quiet");
}

void large_stream(int level)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int l = socket(AF_INET, SOCK_STREAM, 0), on = 1, go[2], prog, s;
	static u8 data[1 << 16];
	u64 bytes, packets, got = 0;
	char command[256];
	ssize_t n;
	pid_t pid;

	veth_create("mtla", "mtlb", 1500);
	if (pipe(go))
		bail("pipe: %s", strerror(errno));
	pid = fork();
	if (!pid) {
		/* IPv6 would send packets of its own. */
		if (unshare(CLONE_NEWNET) ||
		    write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1"))
			_exit(1);
		send_stream(go[0]);
	}
	usleep(200000);
	snprintf(command, sizeof(command),
		 "ip link set mtlb netns %d && ip addr add 10.9.0.1/24 dev mtla", pid);
	reach = REACH;
	prog = large_load(&xdp, counts, level, 0);
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (system(command) || bind(l, (void *)&at, sizeof(at)) || listen(l, 1))
		bail("the network: %s", strerror(errno));
	hook_attach(GENERIC_XDP, "mtla", prog);
	until_quiet();
	bytes = received("bytes");
	packets = received("packets");
	if (write(go[1], "", 1) != 1)
		bail("pipe: %s", strerror(errno));
	s = accept(l, NULL, NULL);
	while ((n = read(s, data, sizeof(data))) > 0)
		got += n;
	close(s);
	close(l);
	until_quiet();
	bytes = received("bytes") - bytes;
	packets = received("packets") - packets;
	hook_detach(GENERIC_XDP, "mtla");
	if (write(go[1], "", 1) != 1)
		bail("pipe: %s", strerror(errno));
	waitpid(pid, NULL, 0);
	if (!ok(got == STREAM && map_word(told, RUNS) == packets &&
		map_word(told, BYTES) == bytes && map_word(told, LARGEST) > 4096,
		"generic XDP on veth at level %d counts the bytes of TCP, in packets of up to %lu",
		level, map_word(told, LARGEST)))
		diag("%lu bytes received; the device has %lu in %lu packets, the program %lu in %lu",
		     got, bytes, packets, map_word(told, BYTES), map_word(told, RUNS));
	close(go[0]);
	close(go[1]);
	close(prog);
	close(told);
}
