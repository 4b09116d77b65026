/* SPDX-License-Identifier: GPL-2.0 */
/* For programs that send frames on: what they know of a flow, and the device for it. */
#ifndef TRAFFIC_SEND_H
#define TRAFFIC_SEND_H

#include "traffic_parse.h"

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct flow);
	__type(value, __u32);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} out SEC(".maps");

/* A checksum from the sum of 16-bit words */
static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return ~((sum & 0xffff) + (sum >> 16));
}

#endif
