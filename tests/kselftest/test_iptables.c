// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 keys=13 full=0 timeout=120 */
/*
 * Does iptables -m bpf match the same when what it loads is isolated? Bytecode and a pinned
 * program, by both kinds of iptables: the same datagrams are sent over loopback at level 0
 * and at level 2. What arrives and what the rules have counted has to be the same.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "software.h"

#define PINNED "/sys/fs/bpf/moat_xt"
#define PORT 5000
#define PORTS 32
/* As the manual of iptables-extensions has it */
#define BYTECODE(FILTER) \
	"-m bpf --bytecode \"$(tcpdump -y RAW -ddd '" FILTER "' | tr '\\n' , | sed 's/,$//')\" "

static const char *const kinds[] = { "iptables-legacy", "iptables-nft" };

/* $i is one of these. */
static const char rules[] =
	"set -e; "
	"$i -t raw -A PREROUTING " BYTECODE("udp[4:2] > 150 and udp dst portrange 5000-5031")
	"-j DROP; "
	"$i -t raw -A OUTPUT " BYTECODE("udp[8] = 0x05 or ip[8] < 32") "-j DROP; "
	"$i -N bpf; $i -A INPUT -p udp -j bpf; "
	"$i -A bpf -m bpf --object-pinned " PINNED " -m comment --comment 'odd ones' -j RETURN; "
	"$i -A bpf " BYTECODE("udp dst port 5004 or udp dst port 5006") "-j DROP; "
	"$i -A bpf ! -s 127.0.0.2 " BYTECODE("udp[8 + 20:4] & 0x7 != udp[2:2] & 0x7") "-j DROP; "
	"$i -A OUTPUT -p udp -m bpf --object-pinned " PINNED " " BYTECODE("greater 100") "-j ACCEPT; "
	"$i -A OUTPUT " BYTECODE("dst host 127.0.0.3 or icmp") "-j ACCEPT";

static void pin(void)
{
	struct bpf_object *obj;
	struct bpf_program *p;
	char path[512];

	snprintf(path, sizeof(path), "%s/kselftest/software.bpf.o", getenv("MOAT_OUT") ?: "");
	obj = bpf_object__open_file(path, NULL);
	if (!obj)
		bail("%s: %s", path, strerror(errno));
	bpf_object__for_each_program(p, obj)
		bpf_program__set_autoload(p, !strcmp(bpf_program__name(p), "sw_match"));
	if (bpf_object__load(obj))
		bail("cannot load sw_match: %s", strerror(errno));
	p = bpf_object__find_program_by_name(obj, "sw_match");
	unlink(PINNED);
	if (bpf_obj_pin(bpf_program__fd(p), PINNED))
		bail("cannot pin it: %s", strerror(errno));
	bpf_object__close(obj);
}

/* One of each length to each port, from 127.0.0.1 and 127.0.0.2; what arrives is told. */
static void send_all(FILE *to)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	int in[PORTS], out, i, n, ttl, from;
	u8 data[256];
	ssize_t len;

	for (i = 0; i < PORTS; i++) {
		in[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
		addr.sin_addr.s_addr = INADDR_ANY;
		addr.sin_port = htons(PORT + i);
		if (bind(in[i], (void *)&addr, sizeof(addr)))
			bail("port %d: %s", PORT + i, strerror(errno));
	}
	for (n = 0; n < 2 * PORTS * 4; n++) {
		out = socket(AF_INET, SOCK_DGRAM, 0);
		from = 1 + n % 2;
		ttl = n % 37 ? 64 : 5;
		setsockopt(out, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
		addr.sin_port = 0;
		addr.sin_addr.s_addr = htonl(0x7f000000 + from);
		if (bind(out, (void *)&addr, sizeof(addr)))
			bail("127.0.0.%d: %s", from, strerror(errno));
		addr.sin_port = htons(PORT + n / 2 % PORTS);
		addr.sin_addr.s_addr = htonl(0x7f000001 + n % 5);
		for (i = 0; i < (int)sizeof(data); i++)
			data[i] = n * 5 + i * (n / 64);
		/* It may be told that it must not. */
		len = sendto(out, data, 30 + 7 * (n % 19), 0, (void *)&addr, sizeof(addr));
		fprintf(to, "%d sent %zd %d\n", n, len, len < 0 ? errno : 0);
		close(out);
	}
	usleep(100000);
	for (i = 0; i < PORTS; i++) {
		while ((len = recv(in[i], data, sizeof(data), 0)) >= 0)
			fprintf(to, "%d arrived %zd %02x%02x\n", PORT + i, len, data[0], data[len - 1]);
		close(in[i]);
	}
}

static char *play(const char *kind, int level)
{
	struct isolated ours, classic;
	char *text, *more;
	size_t size;
	FILE *to;

	moat_set_level(level);
	pin();
	sh("i=%s; { %s; } 2>&1", kind, rules);
	to = open_memstream(&text, &size);
	send_all(to);
	more = sh_output("for t in raw filter; do %s -t $t -L -v -x -n; done | "
			 "awk '{ print $1, $2, $3, $4 }'; "
			 "for m in $(bpftool map | sed -n 's/^\\([0-9]*\\):.*name sw_[sb].*/\\1/p'); do "
			 "bpftool -j map dump id $m; done | tr '{' '\\n' | sed 's/[]},]*$//' | sort", kind);
	fprintf(to, "%s\n", more);
	fclose(to);
	free(more);
	ours = isolated(" sw_match ");
	classic = isolated("- socket_filter - ");
	if (level)
		ok(ours.ran == 1 && classic.ran >= 6,
		   "%s: a program and %d filters have run isolated, %llu times", kind, classic.ran,
		   (unsigned long long)(ours.runs + classic.runs));
	else if (ours.programs + classic.programs)
		bail("%s: isolated at level 0", kind);
	sh("for t in raw filter; do %s -t $t -F; %s -t $t -X; done; rm " PINNED, kind, kind);
	wait_for_none(" sw_match ");
	wait_for_none("- socket_filter - ");
	return text;
}

int main(void)
{
	size_t i;

	need_tools("iptables-legacy", "iptables-nft", "tcpdump", "bpftool", NULL);
	if (!moat_present())
		skip_all("no MOAT");
	pin_to_cpu(0);
	own_network();
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		char *was = play(kinds[i], 0), *is = play(kinds[i], 2), *p;
		int arrived = 0;

		for (p = was; (p = strstr(p, "arrived")); p++)
			arrived++;
		ok(arrived > 20 && arrived < 236, "%s: %d datagrams of 256 arrive", kinds[i], arrived);
		ok(same_text(was, is), "%s: %zu bytes of what is seen are the same", kinds[i],
		   strlen(was));
		free(was);
		free(is);
	}
	return finish();
}
