// SPDX-License-Identifier: GPL-2.0
/*
 * Ten programs in a row, as a policy of stages: each may drop the packet, marks it, leaves
 * the next one a note in the context, and changes a byte of the packet.
 */
#include <linux/pkt_cls.h>
#include "traffic_parse.h"

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, STAGES);
	__type(key, __u32);
	__type(value, __u32);
} stages SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct policy_key);
	__type(value, __u32);
} policies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} out SEC(".maps");

#define PAYLOAD (sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct udphdr))

static __always_inline int stage(struct __sk_buff *skb, __u32 n)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct policy_key key = { .stage = n };
	__u32 *says, zero = 0, *ifindex;
	struct flow flow;
	__u8 *trace;

	if (!parse(data, end, &flow))
		return TC_ACT_OK;
	if (!n)
		count(SEEN);
	key.port = bpf_ntohs(flow.to_port);
	says = bpf_map_lookup_elem(&policies, &key);
	if (says && *says == DENIED) {
		count(DROPPED);
		return TC_ACT_SHOT;
	}
	/* The one before counted the same. */
	if (n && (skb->cb[0] != n || skb->mark != 0x100 * n)) {
		count(FAILED);
		return TC_ACT_SHOT;
	}
	skb->cb[0] = n + 1;
	skb->mark = 0x100 * (n + 1);
	trace = data + PAYLOAD + n;
	if ((void *)(trace + 1) > end)
		return TC_ACT_SHOT;
	*trace += n + (says ? *says : 0);
	if (n + 1 < STAGES) {
		bpf_tail_call(skb, &stages, n + 1);
		count(FAILED);
		return TC_ACT_SHOT;
	}
	count(SENT_ON);
	skb->mark = 0;
	ifindex = bpf_map_lookup_elem(&out, &zero);
	return ifindex ? bpf_redirect(*ifindex, 0) : TC_ACT_SHOT;
}

#define STAGE(N) \
	SEC("tc") int stage_##N(struct __sk_buff *skb) { return stage(skb, N); }

STAGE(0)
STAGE(1)
STAGE(2)
STAGE(3)
STAGE(4)
STAGE(5)
STAGE(6)
STAGE(7)
STAGE(8)
STAGE(9)

char _license[] SEC("license") = "GPL";
