// SPDX-License-Identifier: GPL-2.0
/* (a) Counts packets per protocol and drops one UDP port. */
#include "parse.h"

SEC("xdp")
int xdp_count(struct xdp_md *ctx)
{
	__u32 port;

	return parse_and_count(ctx, &port);
}

char _license[] SEC("license") = "GPL";
