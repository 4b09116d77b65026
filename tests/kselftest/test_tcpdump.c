// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 keys=13 full=0 timeout=180 */
/*
 * Does tcpdump capture the same when its filters are isolated? All of these at once, each
 * with a tcpdump of its own, at level 0 and at level 2: their files must have the same
 * frames, cut at the same length; at level 2 each filter must be an isolated program that
 * has run, and not tcpdump's own, to which it goes back when the kernel refuses.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "packets.h"
#include "software.h"

#define DIR "/tmp/moat_tcpdump"

static const struct {
	const char *what;
	const char *filter;	/* NULL: hosts(), more than 1,000 instructions */
	const char *options;
	bool in_tcpdump;	/* what no classic filter of the kernel's can do */
	bool device;		/* The number of ours is to follow. */
} filters[] = {
	{ "everything", .filter = "" },
	{ "nothing", .filter = "less 10" },
	{ "a port", .filter = "udp port 53" },
	{ "a port, cut", .filter = "udp port 53", .options = "-s 50" },
	{ "a range of ports", .filter = "portrange 1000-5000" },
	{ "hosts, negated", .filter = "not host 10.0.0.1 and not host 10.0.0.2" },
	{ "a network", .filter = "src net 10.0.0.0/21 and dst net 10.0.0.128/25" },
	{ "beginnings of connections", .filter = "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0" },
	{ "what HTTP asks for", .filter = "tcp[((tcp[12] & 0xf0) >> 2):4] = 0x47455420" },
	{ "options of IP", .filter = "(ip[0] & 0xf) > 5" },
	{ "fragments", .filter = "ip[6:2] & 0x3fff != 0" },
	{ "the end of what is there", .filter = "ip[2:2] = len - 14" },
	{ "beyond the end", .filter = "ether[1513] = 0 or ether[60:4] > 0x40000000" },
	{ "division by what is there", .filter = "ip[39] / ip[34] >= 1" },
	{ "remainder by what is there", .filter = "ip[30] % ip[31] < 7" },
	{ "arithmetic",
	  .filter = "(ip[8] * 3 - ip[9]) ^ 0x55 > 20 and ((ip[16:4] << 3) | ip[19]) & 0x18 != 0" },
	{ "an index that is computed",
	  .filter = "ip[ip[3] & 31] > ip[((ip[0] & 0xf) << 2) + (ip[9] & 3)]" },
	{ "the type of ICMP", .filter = "icmp[icmptype] = icmp-echo or icmp6[0] = 135" },
	{ "inside an ICMP error", .filter = "icmp[icmptype] = 3 and icmp[8 + 9] = 17" },
	{ "groups", .filter = "ether multicast and not broadcast" },
	{ "groups of IP", .filter = "ip multicast or ip6 multicast" },
	{ "IPv6, its next header", .filter = "ip6[6] = 0 and ip6[40] = 17" },
	{ "IPv6, a network", .filter = "ip6 dst host 2001:db8::2 or ip6 net 2001:db8::/127" },
	{ "chains of headers", .filter = "ip6 protochain 17", .in_tcpdump = true },
	{ "VLAN", .filter = "vlan" },
	{ "one VLAN", .filter = "vlan 5 and udp port 53" },
	{ "VLAN in VLAN", .filter = "vlan 5 and vlan 7" },
	{ "VLAN or none", .filter = "udp port 53 or (vlan and udp port 53)" },
	{ "MPLS", .filter = "mpls 100 and mpls 200 and tcp" },
	{ "PPPoE", .filter = "pppoes 3 and udp port 53" },
	{ "LLC", .filter = "llc u or llc s or ether proto \\stp" },
	{ "IEEE 802.3", .filter = "ether[12:2] <= 1500" },
	{ "protocols by number",
	  .filter = "ip proto 47 or ip proto 50 or ip proto 132 or ip proto 89" },
	{ "IP in IP, VXLAN, Geneve",
	  .filter = "ip proto 4 or (udp port 4789 and udp[12:4] = 0x4d00) or geneve 9" },
	{ "in", .filter = "inbound and udp" },
	{ "out", .filter = "outbound and not arp", .options = "-s 34" },
	{ "the device", .filter = "not arp and ifindex ", .device = true },
	{ "lengths", .filter = "greater 100 and less 140", .options = "-s 100" },
	{ "of Ethernet",
	  .filter = "ether src 02:00:00:00:00:02 and ether[0] & 1 = 0 and ether proto 0x88b5" },
	{ "time to live", .filter = "ip[8] >= 62 and ip[8] < 68" },
	{ "a thousand hosts", .filter = NULL },
	{ "a thousand hosts, not", .filter = NULL, .options = "-s 64" },
};

#define N ARRAY_SIZE(filters)

static pid_t tcpdump[N];

static const char *path(size_t i, int level, const char *what)
{
	static char text[2][128];
	static int turn;

	turn ^= 1;
	snprintf(text[turn], sizeof(text[0]), DIR "/%zu-%d.%s", i, level, what);
	return text[turn];
}

static void write_filter(size_t i)
{
	FILE *f = fopen(path(i, 0, "filter"), "w");
	int n;

	if (!f)
		bail("%s: %s", path(i, 0, "filter"), strerror(errno));
	if (filters[i].filter) {
		fputs(filters[i].filter, f);
		if (filters[i].device)
			fprintf(f, "%d", if_nametoindex("tcpd1"));
	} else {
		fputs(strstr(filters[i].what, "not") ? "udp and not (" : "udp and (", f);
		/* No two next to each other, or they would be made one comparison. */
		for (n = 0; n < 250; n++)
			fprintf(f, "%ssrc host 10.0.%d.9 or dst host 10.0.7.%d", n ? " or " : "",
				2 * n % 256, n + 1);
		fputs(")", f);
	}
	fclose(f);
}

/* Until @f has a line with @word in it; false if it ends first, or a minute passes. */
static bool wait_for(FILE *f, const char *word, char *line, size_t size)
{
	struct pollfd p = { .fd = fileno(f), .events = POLLIN };

	/* Unbuffered: poll() sees all there is. */
	while (poll(&p, 1, 60000) == 1 && fgets(line, size, f))
		if (strstr(line, word))
			return true;
	return false;
}

static void start(size_t i, int level)
{
	char command[512], line[512] = "";
	int said[2];
	FILE *f;

	snprintf(command, sizeof(command),
		 "exec tcpdump -n -i tcpd1 -Z root --immediate-mode -U -s 2048 -B 4096 %s -w %s -F %s",
		 filters[i].options ?: "", path(i, level, "pcap"), path(i, 0, "filter"));
	if (pipe2(said, O_CLOEXEC))
		bail("pipe: %s", strerror(errno));
	tcpdump[i] = fork();
	if (!tcpdump[i]) {
		dup2(said[1], 2);
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	close(said[1]);
	f = fdopen(said[0], "r");
	setvbuf(f, NULL, _IONBF, 0);
	/* It says so when the filter is attached. */
	if (!wait_for(f, "listening on", line, sizeof(line)))
		bail("%s: tcpdump says: %s", filters[i].what, line);
	fclose(f);
}

static off_t written(int level)
{
	struct stat st;
	off_t all = 0;
	size_t i;

	for (i = 0; i < N; i++)
		if (!stat(path(i, level, "pcap"), &st))
			all += st.st_size;
	return all;
}

static void capture(int level)
{
	struct isolated had = { 0 };
	int wanted = 0, quiet;
	off_t before;
	size_t i;

	if (!moat_set_level(level))
		skip_all("no MOAT");
	for (i = 0; i < N; i++) {
		start(i, level);
		wanted += !filters[i].in_tcpdump;
	}
	frames_send("tcpd0");
	frames_send("tcpd1");
	for (before = -1, quiet = 0; quiet < 10; usleep(100000)) {
		quiet = written(level) == before ? quiet + 1 : 0;
		before = written(level);
	}
	had = isolated(" tcpdump[");
	for (i = 0; i < N; i++)
		kill(tcpdump[i], SIGINT);
	for (i = 0; i < N; i++)
		waitpid(tcpdump[i], NULL, 0);
	if (!level)
		ok(!had.programs, "level 0: no filter is isolated");
	else
		ok(had.ran == wanted,
		   "level %d: %d of %d filters run isolated, of %zu; %llu runs", level, had.ran,
		   wanted, N, (unsigned long long)had.runs);
}

/* What is compared: all but when. Returns how many frames there are, -1: no capture. */
static int digest(const char *name, char **text, size_t *size)
{
	struct { u32 magic, version, zone, figures, snaplen, link; } head;
	struct { u32 seconds, fraction, caplen, len; } record;
	u8 data[2048];
	FILE *f = fopen(name, "r"), *to = open_memstream(text, size);
	int n = 0;

	if (!f || fread(&head, sizeof(head), 1, f) != 1)
		return -1;
	for (; fread(&record, sizeof(record), 1, f) == 1; n++) {
		if (record.caplen > sizeof(data) || fread(data, record.caplen, 1, f) != 1)
			return -1;
		fwrite(&record.caplen, 8, 1, to);
		fwrite(data, record.caplen, 1, to);
	}
	fclose(f);
	fclose(to);
	return n;
}

int main(void)
{
	int total = 0;
	size_t i;

	need_tools("tcpdump", "ip", NULL);
	if (!moat_present())
		skip_all("no MOAT");
	own_network();
	veth_create("tcpd0", "tcpd1", 1500);
	sh("mkdir -p " DIR);
	for (i = 0; i < N; i++)
		write_filter(i);
	capture(0);
	capture(2);
	for (i = 0; i < N; i++) {
		char *was = NULL, *is = NULL;
		size_t was_size = 0, is_size = 0;
		int n = digest(path(i, 0, "pcap"), &was, &was_size);
		int m = digest(path(i, 2, "pcap"), &is, &is_size);

		ok(n >= 0 && n == m && was_size == is_size && !memcmp(was, is, was_size),
		   "%s: %d of %d frames", filters[i].what, n, 2 * frames());
		if (n != m)
			diag("level 2: %d", m);
		total += n;
	}
	ok(total > frames() * 3, "%d frames in all", total);
	sh("rm -r " DIR);
	return finish();
}
