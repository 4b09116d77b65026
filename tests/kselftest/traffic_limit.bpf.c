// SPDX-License-Identifier: GPL-2.0
/*
 * A rate limiter: who sends has a bucket of tokens, a byte each, that fills as time goes
 * by. A timer says when: it is started for every so many frames, and goes off at once, so
 * that time is the same whenever the frames come.
 */
#include "traffic_parse.h"

#define CLOCK_MONOTONIC 1
#define TICK 8			/* frames */
#define RATE 300		/* bytes in that time */
#define BURST 1200

struct bucket {
	struct bpf_spin_lock lock;
	__u32 tokens;
	__u64 filled;		/* when, in ticks */
	__u64 passed, dropped;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __be32);
	__type(value, struct bucket);
} buckets SEC(".maps");

struct clock {
	struct bpf_timer timer;
	struct bpf_spin_lock lock;
	__u64 frames, ticks;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct clock);
} clocks SEC(".maps");

static int tick(void *map, __u32 *key, struct clock *clock)
{
	/* Linux 6.1 lets no function that a timer calls take a lock. */
	__sync_fetch_and_add(&clock->ticks, 1);
	return 0;
}

static __always_inline __u64 ticks(void)
{
	__u32 zero = 0;
	struct clock *clock = bpf_map_lookup_elem(&clocks, &zero);
	__u64 frames, ticks;

	if (!clock)
		return 0;
	bpf_spin_lock(&clock->lock);
	frames = clock->frames++;
	ticks = clock->ticks;
	bpf_spin_unlock(&clock->lock);
	if (!frames) {
		bpf_timer_init(&clock->timer, &clocks, CLOCK_MONOTONIC);
		bpf_timer_set_callback(&clock->timer, tick);
	}
	if (frames % TICK == TICK - 1)
		bpf_timer_start(&clock->timer, 0, 0);
	return ticks;
}

/* Whether @bucket has tokens for @len bytes, which are taken then. */
static __always_inline int take(struct bucket *bucket, __u32 len, __u64 now)
{
	int has;

	bpf_spin_lock(&bucket->lock);
	if (now > bucket->filled) {
		__u64 tokens = bucket->tokens + (now - bucket->filled) * RATE;

		bucket->tokens = tokens > BURST ? BURST : tokens;
		bucket->filled = now;
	}
	has = bucket->tokens >= len;
	if (has) {
		bucket->tokens -= len;
		bucket->passed++;
	} else {
		bucket->dropped++;
	}
	bpf_spin_unlock(&bucket->lock);
	return has;
}

SEC("xdp")
int limit(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct bucket *bucket, full = { .tokens = BURST };
	__u64 now = ticks();
	struct flow flow = {};

	if (!parse(data, end, &flow))
		return XDP_PASS;
	count(SEEN);
	bucket = bpf_map_lookup_elem(&buckets, &flow.from);
	if (!bucket) {
		full.filled = now;
		bpf_map_update_elem(&buckets, &flow.from, &full, BPF_NOEXIST);
		bucket = bpf_map_lookup_elem(&buckets, &flow.from);
		count(NEW_FLOWS);
	}
	if (!bucket) {
		count(FAILED);
		return XDP_ABORTED;
	}
	if (!take(bucket, end - data, now)) {
		count(DROPPED);
		return XDP_DROP;
	}
	count(SENT_ON);
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
