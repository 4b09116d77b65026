// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 keys=13 full=0 timeout=120 */
/*
 * Do programs as people write them carry traffic as before: a load balancer, a chain of
 * policies, exporters of flows, a limiter of rates, a receiver in user space, a SYN proxy?
 *
 * Each is a file of C, traffic_*.bpf.c, built by clang and loaded by libbpf. The same
 * frames go through it at levels 0 and 2. What comes out of each device, what is told to
 * user space and what is in each map has to be the same, byte by byte; and at level 2
 * nearly all programs have to have run isolated.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <net/if.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "packets.h"
#include "traffic.h"
#include "traffic_syn.h"
#include "xsk.h"

#define FRAMES 240
#define MOST_LINES 4096

/* What was seen, a line each, in the order of the alphabet */
struct seen {
	char *line[MOST_LINES];
	int lines;
};

struct scene {
	const char *name, *file;
	enum hook hook;
	void (*prepare)(struct bpf_object *obj);
	/* While frames come, and afterwards: what is told to user space */
	void (*listen)(struct bpf_object *obj);
	void (*tell)(struct seen *seen);
	void (*send)(const char *dev);	/* in place of what others are sent */
	int pause;	/* us, after each frame, for timers that it has started */
	int runs;	/* of programs, for each frame of the service's */
};

static struct seen *now;

static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *fmt, ...)
{
	va_list args;

	if (now->lines == MOST_LINES)
		bail("more than %d lines", MOST_LINES);
	va_start(args, fmt);
	if (vasprintf(&now->line[now->lines++], fmt, args) < 0)
		bail("out of memory");
	va_end(args);
}

static void note_bytes(const char *what, const void *data, size_t len)
{
	const u8 *p = data;
	char text[4096];
	size_t i;

	for (i = 0; i < len && 2 * i + 3 < sizeof(text); i++)
		sprintf(text + 2 * i, "%02x", p[i]);
	text[2 * i] = 0;
	note("%s %zu %s", what, len, text);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Maps */

static int map_fd(struct bpf_object *obj, const char *name)
{
	int fd = bpf_object__find_map_fd_by_name(obj, name);

	if (fd < 0)
		bail("no map %s", name);
	return fd;
}

static void put(struct bpf_object *obj, const char *map, const void *key, const void *value)
{
	if (bpf_map_update_elem(map_fd(obj, map), key, value, BPF_ANY))
		bail("%s: %s", map, strerror(errno));
}

/* Those of per-CPU maps are added up: which CPU it was is not up to us. */
static void note_map(struct bpf_map *map)
{
	u8 key[64], next[64], value[8 * 64], *last = NULL;
	const char *name = bpf_map__name(map);
	char what[64];

	for (; !bpf_map_get_next_key(bpf_map__fd(map), last, next); last = key) {
		memcpy(key, next, sizeof(key));
		if (bpf_map_lookup_elem(bpf_map__fd(map), key, value))
			continue;
		if (bpf_map__type(map) == BPF_MAP_TYPE_PERCPU_ARRAY) {
			u64 *n = (u64 *)value;
			int cpu;

			for (cpu = 1; cpu < libbpf_num_possible_cpus(); cpu++)
				n[0] += n[cpu];
			note("%s[%u] %lu", name, *(u32 *)key, n[0]);
			continue;
		}
		snprintf(what, sizeof(what), "%s key", name);
		note_bytes(what, key, bpf_map__key_size(map));
		memcpy(key + bpf_map__key_size(map), value, 0);
		snprintf(what, sizeof(what), "%s value", name);
		note_bytes(what, value, bpf_map__value_size(map));
	}
}

static void note_maps(struct bpf_object *obj)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, obj) {
		switch (bpf_map__type(map)) {
		case BPF_MAP_TYPE_HASH:
		case BPF_MAP_TYPE_LRU_HASH:
		case BPF_MAP_TYPE_PERCPU_ARRAY:
			note_map(map);
		default:
			break;
		}
	}
}

/* Frames */

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

static int tap(const char *dev)
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

/* What came in by @dev; not what was sent */
static int drain(int s, const char *dev)
{
	struct sockaddr_ll from;
	socklen_t len = sizeof(from);
	int frames = 0;
	u8 data[2048];
	ssize_t n;

	while ((n = recvfrom(s, data, sizeof(data), 0, (void *)&from, &len)) >= 0) {
		len = sizeof(from);
		if (from.sll_pkttype == PACKET_OUTGOING)
			continue;
		note_bytes(dev, data, n);
		frames++;
	}
	close(s);
	return frames;
}

static void send_frames(int pause)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = if_nametoindex("traffic0") };
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

/* Scenes */

static void prepare_balance(struct bpf_object *obj)
{
	u32 i, ifindex = if_nametoindex("traffic2"), zero = 0, first = 0;
	struct source_key source = { 24, htonl(0xc0a80200) };
	struct service service = { htonl(0x0a0a0a0a), 0, IPPROTO_UDP };
	u32 denied = 1, allowed = 0;

	put(obj, "out", &zero, &ifindex);
	put(obj, "sources", &source, &denied);
	source.prefix = 16;
	put(obj, "sources", &source, &allowed);
	/* One of those who are denied is not. */
	source.prefix = 32;
	source.addr = htonl(0xc0a80203);
	put(obj, "sources", &source, &allowed);
	for (i = 0; i < BACKENDS; i++) {
		u32 backend = htonl(0xac100001 + i);

		put(obj, "backends", &i, &backend);
		service.port = htons(PORT + i);
		put(obj, "services", &service, &first);
	}
}

static void prepare_chain(struct bpf_object *obj)
{
	u32 i, ifindex = if_nametoindex("traffic2"), zero = 0;
	struct policy_key key;
	char name[16];

	for (i = 0; i < STAGES; i++) {
		int fd;

		snprintf(name, sizeof(name), "stage_%u", i);
		fd = bpf_program__fd(bpf_object__find_program_by_name(obj, name));
		put(obj, "stages", &i, &fd);
		for (key.stage = i, key.port = PORT; key.port < PORT + 4; key.port++) {
			u32 says = key.port == PORT + 1 && i == 6 ? DENIED : (key.port + i) % DENIED;

			put(obj, "policies", &key, &says);
		}
	}
	put(obj, "out", &zero, &ifindex);
}

static struct ring_buffer *ring;
static struct perf_buffer *perf;

static int on_record(void *ctx, void *data, size_t size)
{
	note_bytes("record", data, size);
	return 0;
}

static void listen_ring(struct bpf_object *obj)
{
	ring = ring_buffer__new(map_fd(obj, "ring"), on_record, NULL, NULL);
	if (!ring)
		bail("ring buffer: %s", strerror(errno));
}

static void tell_ring(struct seen *seen)
{
	ring_buffer__consume(ring);
	ring_buffer__free(ring);
}

static void on_sample(void *ctx, int cpu, void *data, __u32 size)
{
	note_bytes("sample", data, size);
}

static void on_lost(void *ctx, int cpu, __u64 n)
{
	note("lost %llu", n);
}

static void listen_perf(struct bpf_object *obj)
{
	perf = perf_buffer__new(map_fd(obj, "events"), 64, on_sample, on_lost, NULL, NULL);
	if (!perf)
		bail("perf buffer: %s", strerror(errno));
}

static void tell_perf(struct seen *seen)
{
	perf_buffer__consume(perf);
	perf_buffer__free(perf);
}

static struct xsk xsk;

static void listen_xsk(struct bpf_object *obj)
{
	u32 queue = 0;

	xsk_open(&xsk, "traffic1", queue);
	put(obj, "sockets", &queue, &xsk.fd);
}

static void tell_xsk(struct seen *seen)
{
	const void *data;
	u32 len;

	while ((data = xsk_next(&xsk, &len)))
		note_bytes("socket", data, len);
	xsk_close(&xsk);
}

/* Something that takes what is sent on: without it veth has no place for redirected frames. */
static int taker(void)
{
	const struct bpf_insn pass[] = { MOV_IMM(R0, 2), EXIT() };

	return PROG_LOAD(xdp.type, "taker", pass);
}

static void prepare_syn(struct bpf_object *obj)
{
	u32 zero = 0, ifindex = if_nametoindex("traffic2");
	int take = taker();

	put(obj, "out", &zero, &ifindex);
	syn_listen();
	/* What is sent back has to be taken, too. */
	hook_attach(NATIVE_XDP, "traffic0", take);
	close(take);
}

static const struct scene scenes[] = {
	{ "load balancer", "traffic_balance", NATIVE_XDP, prepare_balance, .runs = 1 },
	{ "chain of policies", "traffic_chain", TC_INGRESS, prepare_chain, .runs = STAGES },
	{ "exporter, ring buffer", "traffic_ring", NATIVE_XDP, .listen = listen_ring,
	  .tell = tell_ring, .runs = 1 },
	{ "exporter, perf events", "traffic_perf", NATIVE_XDP, .listen = listen_perf,
	  .tell = tell_perf, .runs = 1 },
	{ "rate limiter", "traffic_limit", NATIVE_XDP, .runs = 1, .pause = 1000 },
	{ "receiver", "traffic_xsk", NATIVE_XDP, .listen = listen_xsk, .tell = tell_xsk, .runs = 1 },
	{ "SYN proxy", "traffic_syn", NATIVE_XDP, prepare_syn, .send = syn_send, .runs = 1 },
};

static struct bpf_object *load(const struct scene *scene)
{
	char path[512], *slash;
	struct bpf_object *obj;
	ssize_t n = readlink("/proc/self/exe", path, 400);

	path[n > 0 ? n : 0] = 0;
	slash = strrchr(path, '/');
	sprintf(slash ? slash + 1 : path, "%s.bpf.o", scene->file);
	obj = bpf_object__open_file(path, NULL);
	if (!obj)
		bail("%s: %s", path, strerror(errno));
	if (bpf_object__load(obj)) {
		bpf_object__close(obj);
		return NULL;
	}
	return obj;
}

static bool play(const struct scene *scene, struct seen *seen)
{
	int in, out, pass, take = taker(), came;
	struct bpf_object *obj = load(scene);

	now = seen;
	if (!obj)
		return false;
	veth_create("traffic0", "traffic1", 1500);
	veth_create("traffic2", "traffic3", 1500);
	hook_attach(NATIVE_XDP, "traffic3", take);
	if (scene->prepare)
		scene->prepare(obj);
	if (scene->listen)
		scene->listen(obj);
	hook_attach(scene->hook, "traffic1", bpf_program__fd(bpf_object__next_program(obj, NULL)));
	in = tap("traffic0");
	pass = tap("traffic1");
	out = tap("traffic3");
	if (scene->send)
		scene->send("traffic0");
	else
		send_frames(scene->pause);
	usleep(200 * 1000);
	came = drain(in, "back") + drain(pass, "passed") + drain(out, "out");
	note("%d frames", came);
	if (scene->tell)
		scene->tell(seen);
	note_maps(obj);
	hook_detach(scene->hook, "traffic1");
	hook_detach(NATIVE_XDP, "traffic3");
	bpf_object__close(obj);
	close(take);
	qsort(seen->line, seen->lines, sizeof(*seen->line), compare);
	return true;
}

static bool has(const struct seen *seen, const char *line)
{
	int i;

	for (i = 0; i < seen->lines; i++)
		if (!strcmp(seen->line[i], line))
			return true;
	return false;
}

static void forget(struct seen *seen)
{
	while (seen->lines)
		free(seen->line[--seen->lines]);
}

static bool is_same(const struct seen *a, const struct seen *b)
{
	int i;

	for (i = 0; i < a->lines && i < b->lines && !strcmp(a->line[i], b->line[i]); i++)
		;
	return i == a->lines && i == b->lines;
}

static void at_both_levels(const struct scene *scene)
{
	static struct seen plain, isolated;
	u64 runs;
	int i;

	moat_set_level(0);
	if (!ok(play(scene, &plain), "%s: runs at level 0", scene->name))
		return;
	ok(has(&plain, "counts[0] 210") && !has(&plain, "counts[3] 0") && has(&plain, "counts[4] 0"),
	   "%s: sees the frames, and something comes of it", scene->name);
	moat_set_level(2);
	kmsg_mark();
	runs = moat_counter("runs");
	if (!ok(play(scene, &isolated), "%s: loads at level 2", scene->name)) {
		diag("%s", kmsg_find("moat: ", NULL) ?: "nothing is said");
		forget(&plain);
		return;
	}
	runs = moat_counter("runs") - runs;
	/* Cookies change every minute. */
	if (scene->send && !is_same(&plain, &isolated)) {
		forget(&plain);
		moat_set_level(0);
		play(scene, &plain);
		moat_set_level(2);
	}
	/* Of a chain some are dropped half way. */
	ok(runs >= (u64)FRAMES * scene->runs / 2, "%s: %lu runs are isolated", scene->name, runs);
	ok(!kmsg_find("moat: ", "stopped"), "%s: nothing is stopped", scene->name);
	for (i = 0; i < plain.lines && i < isolated.lines &&
	     !strcmp(plain.line[i], isolated.line[i]); i++)
		;
	if (!ok(i == plain.lines && i == isolated.lines, "%s: %d lines are the same", scene->name, i))
		diag("0: %.200s\n2: %.200s", i < plain.lines ? plain.line[i] : "-",
		     i < isolated.lines ? isolated.line[i] : "-");
	forget(&plain);
	forget(&isolated);
}

int main(int argc, char **argv)
{
	size_t i;

	pin_to_cpu(0);
	libbpf_set_print(NULL);
	for (i = 0; i < ARRAY_SIZE(scenes); i++)
		if (argc < 2 || strstr(scenes[i].file, argv[1]))
			at_both_levels(&scenes[i]);
	return finish();
}
