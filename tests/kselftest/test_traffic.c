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
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "packets.h"
#include "traffic.h"
#include "traffic_seen.h"
#include "traffic_syn.h"
#include "xsk.h"

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

	seen_begin(seen);
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
	in = traffic_tap("traffic0");
	pass = traffic_tap("traffic1");
	out = traffic_tap("traffic3");
	if (scene->send)
		scene->send("traffic0");
	else
		traffic_out("traffic0", scene->pause);
	usleep(200 * 1000);
	came = traffic_note(in, "back") + traffic_note(pass, "passed") + traffic_note(out, "out");
	note("%d frames", came);
	if (scene->tell)
		scene->tell(seen);
	note_maps(obj);
	hook_detach(scene->hook, "traffic1");
	hook_detach(NATIVE_XDP, "traffic3");
	bpf_object__close(obj);
	close(take);
	seen_end(seen);
	return true;
}

static void at_both_levels(const struct scene *scene)
{
	static struct seen plain, isolated;
	bool same;
	u64 runs;
	int i;

	moat_set_level(0);
	if (!ok(play(scene, &plain), "%s: runs at level 0", scene->name))
		return;
	ok(seen_line(&plain, "counts[0] 210") && !seen_line(&plain, "counts[3] 0") &&
	   seen_line(&plain, "counts[4] 0"),
	   "%s: sees the frames, and something comes of it", scene->name);
	moat_set_level(2);
	kmsg_mark();
	runs = moat_counter("runs");
	if (!ok(play(scene, &isolated), "%s: loads at level 2", scene->name)) {
		diag("%s", kmsg_find("moat: ", NULL) ?: "nothing is said");
		seen_forget(&plain);
		return;
	}
	runs = moat_counter("runs") - runs;
	i = seen_differs(&plain, &isolated, &same);
	/* Cookies change every minute. */
	if (scene->send && !same) {
		seen_forget(&plain);
		moat_set_level(0);
		play(scene, &plain);
		moat_set_level(2);
		i = seen_differs(&plain, &isolated, &same);
	}
	/* Of a chain some are dropped half way. */
	ok(runs >= (u64)FRAMES * scene->runs / 2, "%s: %lu runs are isolated", scene->name, runs);
	ok(!kmsg_find("moat: ", "stopped"), "%s: nothing is stopped", scene->name);
	if (!ok(same, "%s: %d lines are the same", scene->name, i))
		diag("0: %.200s\n2: %.200s", i < plain.lines ? plain.line[i] : "-",
		     i < isolated.lines ? isolated.line[i] : "-");
	seen_forget(&plain);
	seen_forget(&isolated);
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
