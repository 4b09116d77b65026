// SPDX-License-Identifier: GPL-2.0
/* moat-test: full=1,0 boot=init_on_alloc=0,slub_debug=FZPU,panic_on_warn=1 timeout=900 alone=machine */
/*
 * Can a program that the verifier accepts kill the kernel with the helpers that change
 * packets, or read with them what is neither the packet's nor its own?
 *
 * test_fuzz [SEED [COUNT [WORKER FIRST]]]: the seed is always the same in `make test`,
 * and a new one where programs have fewer keys, in `make test-full`. COUNT sequences, or those of one worker from
 * number FIRST on, with nothing else going on; a few of them are told before. A thread's
 * name is worker and number of what it does, so that an oops tells what to repeat.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "fuzz.h"

#define WORKERS		4
#define SEQUENCES	100000
/* include/uapi/linux/bpf.h of the kernel that is tested */
#define CHECKSUM_COMPLETE	(1U << 2)
#define XDP_LIVE_FRAMES		(1U << 1)

enum kind {
	TEST_RUN_TC = 1, TEST_RUN_XDP = 2, SHAPED_TC = 4, SHAPED_XDP = 8, HOOKED = 16,
	TRAFFIC = 32, ALL = 63,
};
static u32 kinds = ALL;

enum { TC, TC_WRITES, XDP, XDP_FRAGS, PLAYERS };
static const bool writes[PLAYERS] = { false, true, true, true };

struct worker {
	int number;
	u64 first, count;
	pthread_t thread;
	struct player player[PLAYERS];
	int packet;		/* the test kernel's file */
	u8 in[1 << 17], out[1 << 17];
	u64 runs, errors, tried[OPS], done[OPS], scanned, segments, foreign;
	u64 lists, redirects, partial, complete;
};

#define FEW 100
static bool tells;

static u64 seed;
static struct worker *workers;
static u64 finished;	/* sequences, for whoever watches */
static pthread_mutex_t telling = PTHREAD_MUTEX_INITIALIZER;

static void tell(struct worker *w, u64 n, const struct script *s,
		 const struct moat_test_packet *p, const char *what)
{
	if (w->foreign++)
		return;
	pthread_mutex_lock(&telling);
	diag("seed %#lx worker %d sequence %lu: %s", seed, w->number, n, what);
	if (p)
		packet_tell(p);
	script_tell(s);
	pthread_mutex_unlock(&telling);
}

/* What will be done; the kernel may not live to tell. FUZZ_STEPS: a mask of what is left. */
static void announce(struct worker *w, u64 n, struct script *s, const struct moat_test_packet *p)
{
	const char *mask = getenv("FUZZ_STEPS");
	int i;

	if (!tells)
		return;
	for (i = 0; s && mask && i < STEPS; i++)
		if (!(strtoul(mask, NULL, 0) >> i & 1))
			s->step[i].op = LOOK;
	diag("sequence %lu", n);
	if (p)
		packet_tell(p);
	if (s)
		script_tell(s);
	fflush(stdout);
}

/* What the program saw, step by step */
static void look(struct worker *w, u64 n, const struct script *s,
		 const struct moat_test_packet *p)
{
	char what[200];
	u32 where, i, j, len;

	for (i = 0; i < s->done && i < STEPS; i++) {
		w->tried[s->step[i].op]++;
		w->done[s->step[i].op] += (s32)s->step[i].ret >= 0;
		if (!foreign(s->seen[i], SEEN, &where))
			continue;
		len = snprintf(what, sizeof(what), "step %u saw at %u:", i, where);
		for (j = 0; j < 16 && where + j < SEEN; j++)
			len += snprintf(what + len, sizeof(what) - len, " %02x", s->seen[i][where + j]);
		tell(w, n, s, p, what);
	}
}

static void context(u64 *rng, struct __sk_buff *skb, u32 len)
{
	memset(skb, 0, sizeof(*skb));
	skb->mark = any(rng);
	skb->ifindex = one_in(rng, 2) ? 0 : shaped_ifindex(rng);
	skb->ingress_ifindex = one_in(rng, 2) ? 1 : 0;
	skb->wire_len = one_in(rng, 4) ? len + below(rng, 65536 - len) : 0;
	skb->tstamp = one_in(rng, 2) ? 0 : any(rng);
	if (one_in(rng, 2))
		return;
	skb->gso_size = one_in(rng, 8) ? below(rng, 65536) : 1 + below(rng, 1500);
	skb->gso_segs = one_in(rng, 2) ? 0 : below(rng, 65536);
}

/* BPF_PROG_TEST_RUN */
static void test_run(u64 *rng, struct worker *w, u64 n, bool is_xdp)
{
	u32 which = is_xdp ? XDP + below(rng, 2) : TC + below(rng, 2);
	struct player *player = &w->player[which];
	struct script *s = player->script;
	struct __sk_buff skb;
	struct xdp_md md = {};
	union bpf_attr attr;
	u32 len, where, most = which == XDP_FRAGS && one_in(rng, 2) ? MOST : 3400;

	len = packet_plain(rng, w->in, most);
	script_write(rng, s, is_xdp ? &xdp : &sched_cls, writes[which], len, is_xdp ? 256 : 66);
	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = player->prog;
	attr.test.data_in = (uintptr_t)w->in;
	attr.test.data_size_in = len;
	attr.test.data_out = (uintptr_t)w->out;
	attr.test.data_size_out = sizeof(w->out);
	attr.test.repeat = 1;
	if (!is_xdp) {
		attr.test.flags = one_in(rng, 3) ? CHECKSUM_COMPLETE : 0;
		w->complete += !!attr.test.flags;
		if (!one_in(rng, 3)) {
			context(rng, &skb, len);
			attr.test.ctx_in = (uintptr_t)&skb;
			attr.test.ctx_size_in = sizeof(skb);
		}
	} else {
		bool live = one_in(rng, 4);

		md.data = len > 64 && one_in(rng, 3) ? 4 * below(rng, 9) : 0;
		md.data_end = len;
		if (one_in(rng, 2))
			md.ingress_ifindex = one_in(rng, 2) ? (u32)shaped_ifindex(rng) : 1;
		attr.test.ctx_in = (uintptr_t)&md;
		attr.test.ctx_size_in = sizeof(md);
		if (live) {
			if (len > 3000)
				md.data_end = attr.test.data_size_in = 3000;
			attr.test.flags = XDP_LIVE_FRAMES;
			attr.test.data_out = 0;
			attr.test.data_size_out = 0;
			/* More would patch the dispatcher: see README.md. */
			attr.test.repeat = 1;
		}
	}
	announce(w, n, s, NULL);
	if (syscall(__NR_bpf, BPF_PROG_TEST_RUN, &attr, sizeof(attr))) {
		w->errors++;
	} else if (attr.test.data_out) {
		len = attr.test.data_size_out;
		if (len > sizeof(w->out))
			len = sizeof(w->out);
		w->scanned += len;
		if (foreign(w->out, len, &where)) {
			char what[80];

			snprintf(what, sizeof(what), "test run gives back %02x%02x%02x%02x at %u of %u",
				 w->out[where], w->out[where + 1], w->out[where + 2],
				 w->out[where + 3], where, len);
			tell(w, n, s, NULL, what);
		}
	}
	w->runs += !!s->done;
	look(w, n, s, NULL);
}

/* By the test kernel, on a packet of any shape */
static void shaped_run(u64 *rng, struct worker *w, u64 n, bool is_xdp)
{
	u32 which = is_xdp ? XDP + below(rng, 2) : TC + below(rng, 2);
	struct player *player = &w->player[which];
	struct script *s = player->script;
	struct moat_test_packet p;
	char what[80];

	packet_make(rng, &p, w->in, is_xdp);
	p.prog_fd = player->prog;
	p.ifindex = shaped_ifindex(rng);
	script_write(rng, s, is_xdp ? &xdp : &sched_cls, writes[which], p.len, p.headroom);
	announce(w, n, s, &p);
	if (ioctl(w->packet, MOAT_TEST_PACKET, &p)) {
		if (!w->errors++)
			diag("worker %d: sequence %lu: no such packet: %s", w->number, n, strerror(errno));
		if (w->errors == 1)
			packet_tell(&p);
	}
	w->runs += !!s->done;
	w->scanned += p.scanned;
	w->segments += p.segments;
	w->lists += !!p.list;
	w->partial += p.ip_summed == 3;
	w->complete += p.ip_summed == 2;
	w->redirects += !!(p.flags & PACKET_REDIRECTED);
	if (p.foreign) {
		snprintf(what, sizeof(what), "%016llx at %u of a packet that leaves, stage %u",
			 (unsigned long long)p.word, p.where, p.stage);
		tell(w, n, s, &p, what);
	}
	look(w, n, s, &p);
}

/* One for the players on a device */
static void hooked_run(u64 *rng, struct worker *w, u64 n)
{
	struct moat_test_packet p;

	packet_make(rng, &p, w->in, false);
	p.ifindex = hooked_ifindex(rng);
	p.way = p.way == PACKET_INGRESS ? PACKET_RECV : PACKET_XMIT;
	announce(w, n, NULL, &p);
	w->errors += !!ioctl(w->packet, MOAT_TEST_PACKET, &p);
	w->lists += !!p.list;
}

static u32 kind_of(u64 *rng)
{
	static const u8 likely[] = {
		TEST_RUN_TC, TEST_RUN_TC, TEST_RUN_TC, TEST_RUN_TC, TEST_RUN_XDP, TEST_RUN_XDP,
		SHAPED_TC, SHAPED_TC, SHAPED_TC, SHAPED_TC, SHAPED_TC, SHAPED_TC, SHAPED_XDP,
		SHAPED_XDP, HOOKED,
	};
	u32 kind;

	do
		kind = likely[below(rng, ARRAY_SIZE(likely))];
	while (!(kinds & kind));
	return kind;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	char name[32];
	u64 n;

	pin_to_cpu(w->number);
	for (n = w->first; n < w->first + w->count; n++) {
		u64 rng = seed_of(seed, w->number, n);

		snprintf(name, sizeof(name), "fz%d/%lu", w->number, n);
		prctl(PR_SET_NAME, name);
		switch (kind_of(&rng)) {
		case TEST_RUN_TC:
			test_run(&rng, w, n, false);
			break;
		case TEST_RUN_XDP:
			test_run(&rng, w, n, true);
			break;
		case SHAPED_TC:
			shaped_run(&rng, w, n, false);
			break;
		case SHAPED_XDP:
			shaped_run(&rng, w, n, true);
			break;
		default:
			hooked_run(&rng, w, n);
		}
		__atomic_add_fetch(&finished, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void prepare(struct worker *w)
{
	int i;

	w->packet = open("/sys/kernel/debug/moat_test/packet", O_RDWR | O_CLOEXEC);
	if (w->packet < 0)
		bail("moat_test/packet: %s", strerror(errno));
	for (i = 0; i < PLAYERS; i++)
		player_load(&w->player[i], i >= XDP ? &xdp : &sched_cls, writes[i],
			    i == XDP_FRAGS, 1);
}

static u64 sum(size_t off)
{
	u64 total = 0;
	int i;

	for (i = 0; i < WORKERS; i++)
		total += *(u64 *)((u8 *)&workers[i] + off);
	return total;
}
#define SUM(FIELD) sum(offsetof(struct worker, FIELD))

/* A helper that never does anything has not been tried. */
static void coverage(u64 count)
{
	char never[256] = "";
	int i;

	for (i = 0; i < OPS; i++) {
		u64 tried = SUM(tried[i]), did = SUM(done[i]);

		diag("%-20s called %lu, succeeded %lu", op_name[i], tried, did);
		if (!did && strlen(never) + 32 < sizeof(never)) {
			strcat(never, " ");
			strcat(never, op_name[i]);
		}
	}
	if (count >= SEQUENCES)
		ok(!*never, "each helper did something%s%s", *never ? ", but for" : "", never);
}

/* Until all are done; it may take minutes, and the guest may die of it. */
static void progress(u64 began)
{
	u64 all = 0, told = 0, now;
	int i;

	for (i = 0; i < WORKERS; i++)
		all += workers[i].count;
	while ((now = __atomic_load_n(&finished, __ATOMIC_RELAXED)) < all) {
		if (now / (all / 10 + 1) > told) {
			told = now / (all / 10 + 1);
			diag("%lu sequences in %lu s, %lu on live traffic", now,
			     (now_ns() - began) / 1000000000, played);
		}
		usleep(200000);
	}
}

static bool all_keys(void)
{
	FILE *f = fopen("/proc/sys/kernel/moat/keys", "re");
	int keys = 0;

	if (!f)
		return false;
	if (fscanf(f, "%d", &keys) != 1)
		keys = 0;
	fclose(f);
	return keys == 13;
}

int main(int argc, char **argv)
{
	bool all = argc < 5;
	u64 count = argc > 2 ? strtoull(argv[2], NULL, 0) : SEQUENCES;
	s64 violations, refused;
	u64 began;
	int i, isolated = 0;

	if (!test_kernel())
		skip_all("needs the test kernel");
	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0);
	else if (all_keys())
		seed = 1000;
	else if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		bail("no random seed");
	diag("seed %#lx, %lu sequences", seed, count);
	if (getenv("FUZZ_KINDS"))
		kinds = atoi(getenv("FUZZ_KINDS")) & ALL ?: ALL;
	if (!(kinds & ~TRAFFIC))
		kinds |= HOOKED;
	violations = moat_counter("violations");
	refused = moat_counter("refused");
	foreign_init();
	traffic_setup(seed);
	workers = calloc(WORKERS, sizeof(*workers));
	if (!workers)
		bail("no memory");
	for (i = 0; i < WORKERS; i++) {
		struct worker *w = &workers[i];
		int j;

		w->number = i;
		w->count = count / WORKERS;
		prepare(w);
		for (j = 0; j < PLAYERS; j++)
			isolated += moat_layer(w->player[j].prog) != NONE;
	}
	if (!all) {
		i = atoi(argv[3]) % WORKERS;
		workers[i].first = strtoull(argv[4], NULL, 0);
		workers[i].count = count;
		tells = count <= FEW;
		work(&workers[i]);
		coverage(0);
		ok(!SUM(foreign), "nobody saw what is neither the packet's nor the program's");
		return finish();
	}
	began = now_ns();
	if (kinds & TRAFFIC)
		traffic_start();
	for (i = 0; i < WORKERS; i++)
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			bail("a worker: %s", strerror(errno));
	progress(began);
	for (i = 0; i < WORKERS; i++)
		pthread_join(workers[i].thread, NULL);
	traffic_stop();
	diag("%lu s", (now_ns() - began) / 1000000000);

	coverage(count);
	diag("traffic: sent %lu, heard %lu, captured %lu, scripts played %lu", sent, heard,
	     captured, played);
	diag("%lu runs, %lu errors, %lu segments, %lu with frag_list, %lu redirects, summed: "
	     "partial %lu, complete %lu", SUM(runs), SUM(errors), SUM(segments), SUM(lists),
	     SUM(redirects), SUM(partial), SUM(complete));
	ok(SUM(runs) + played >= count / 2, "%lu sequences of helper calls, %lu more on live traffic",
	   SUM(runs), played);
	if (getenv("MOAT_LEVEL") && atoi(getenv("MOAT_LEVEL")))
		ok(isolated == WORKERS * PLAYERS, "all programs were isolated");
	ok(moat_counter("violations") == violations && moat_counter("refused") == refused,
	   "none was stopped or refused");
	ok(!SUM(foreign), "no program saw what is neither the packet's nor its own, of %lu bytes",
	   SUM(scanned));
	ok(!strange, "nor did traffic carry it: %lu packets captured", captured);
	traffic_tell();
	ok(SUM(segments) > count / 10 && SUM(lists) > count / 50 && captured > 100 && played > 100,
	   "packets of every kind were there");
	return finish();
}
