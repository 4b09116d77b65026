// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <arpa/inet.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "software.h"

void need_tools(const char *tool, ...)
{
	va_list args;
	char text[128];

	va_start(args, tool);
	for (; tool; tool = va_arg(args, const char *)) {
		snprintf(text, sizeof(text), "command -v %s >/dev/null", tool);
		if (system(text)) {
			snprintf(text, sizeof(text), "%s is not installed", tool);
			skip_all(text);
		}
	}
	va_end(args);
}

void own_network(void)
{
	if (unshare(CLONE_NEWNET))
		bail("no network of its own: %s", strerror(errno));
	sh("for i in all default; do echo 1 >/proc/sys/net/ipv6/conf/$i/disable_ipv6; done; "
	   "ip link set lo up");
}

struct isolated isolated(const char *with)
{
	FILE *f = fopen("/sys/kernel/debug/moat/programs", "r");
	struct isolated all = { 0 };
	unsigned long long runs;
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		/* id type name level layer domains runs */
		if (!strstr(line, with) ||
		    sscanf(line, "%*s %*s %*s %*s %*s %*s %llu", &runs) != 1)
			continue;
		all.programs++;
		all.ran += runs > 0;
		all.runs += runs;
	}
	if (f)
		fclose(f);
	return all;
}

void wait_for_none(const char *with)
{
	int i;

	for (i = 0; i < 100 && isolated(with).programs; i++)
		usleep(100000);
}

void frames_send(const char *dev)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_ifindex = if_nametoindex(dev),
	};
	int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), i;

	if (s < 0)
		bail("a socket for %s: %s", dev, strerror(errno));
	for (i = 0; i < frames(); i++) {
		size_t len;
		const u8 *data = frame(i, &len);

		if (sendto(s, data, len, 0, (void *)&to, sizeof(to)) != (ssize_t)len)
			bail("frame %d on %s: %s", i, dev, strerror(errno));
	}
	close(s);
}

int watch(const char *dev)
{
	struct sockaddr_ll on = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = if_nametoindex(dev),
	};
	int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), room = 1 << 22;
	int aux = 1;

	if (s < 0 || setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) ||
	    setsockopt(s, SOL_PACKET, PACKET_AUXDATA, &aux, sizeof(aux)) ||
	    bind(s, (void *)&on, sizeof(on)))
		bail("a socket on %s: %s", dev, strerror(errno));
	return s;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void watch_tell(int s, const char *dev, FILE *to)
{
	u8 data[2048], room[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	struct tpacket_auxdata aux;
	struct sockaddr_ll from;
	struct iovec iov = { data, sizeof(data) };
	char *lines[1024];
	int n = 0, i, at;
	ssize_t len;

	for (; n < 1024; n++) {
		struct msghdr msg = {
			.msg_name = &from,
			.msg_namelen = sizeof(from),
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = room,
			.msg_controllen = sizeof(room),
		};

		len = recvmsg(s, &msg, 0);
		if (len < 0)
			break;
		memset(&aux, 0, sizeof(aux));
		if (CMSG_FIRSTHDR(&msg))
			memcpy(&aux, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(aux));
		lines[n] = malloc(64 + 2 * len);
		at = sprintf(lines[n], "%s %d %zd vlan %d ", dev, from.sll_pkttype, len,
			     aux.tp_status & TP_STATUS_VLAN_VALID ? aux.tp_vlan_tci : -1);
		for (i = 0; i < len; i++)
			at += sprintf(lines[n] + at, "%02x", data[i]);
	}
	close(s);
	qsort(lines, n, sizeof(lines[0]), compare);
	for (i = 0; i < n; i++) {
		fprintf(to, "%s\n", lines[i]);
		free(lines[i]);
	}
}

bool same_text(const char *was, const char *is)
{
	static const char *const names[] = { "/tmp/moat_was", "/tmp/moat_is" };
	const char *texts[] = { was, is };
	int i;

	if (!strcmp(was, is))
		return true;
	for (i = 0; i < 2; i++) {
		FILE *f = fopen(names[i], "w");

		if (!f || fputs(texts[i], f) < 0 || fclose(f))
			bail("%s: %s", names[i], strerror(errno));
	}
	diag("%s", sh_output("diff %s %s | cut -c1-200 | head -n 20 | sed '2,$s/^/# /'", names[0],
			     names[1]));
	return false;
}
