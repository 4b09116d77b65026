// SPDX-License-Identifier: GPL-2.0
/*
 * A rate limiter: who sends has a bucket of tokens, a byte each, that fills as time goes
 * by. Time is frames here, so that it is the same each time, and somebody's who may be on
 * another CPU.
 */
#include "traffic_parse.h"

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
	__u64 frames;
	struct bpf_spin_lock lock;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct clock);
} clocks SEC(".maps");

static __always_inline __u64 ticks(void)
{
	__u32 zero = 0;
	struct clock *clock = bpf_map_lookup_elem(&clocks, &zero);
	__u64 frames;

	if (!clock)
		return 0;
	bpf_spin_lock(&clock->lock);
	frames = ++clock->frames;
	bpf_spin_unlock(&clock->lock);
	return frames / TICK;
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
