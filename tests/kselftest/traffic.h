/* SPDX-License-Identifier: GPL-2.0 */
/* What the programs that carry traffic and test_traffic agree on. */
#ifndef TRAFFIC_H
#define TRAFFIC_H

#include <linux/types.h>

#define STAGES 10
#define BACKENDS 4
#define NO_FLOWS 32		/* at most, in a scene */
#define PORT 4711		/* first of the services' */
#define DENIED 3		/* what the policy of a stage says of a port */

/* Whom a service is for, and what it is */
struct service {
	__be32 addr;
	__be16 port;
	__u16 protocol;
};

struct flow {
	__be32 from, to;
	__be16 from_port, to_port;
	__u32 protocol;
};

struct policy_key {
	__u32 stage, port;
};

struct source_key {
	__u32 prefix;
	__be32 addr;
};

/* A line of what an exporter tells */
struct record {
	struct flow flow;
	__u64 packets, bytes;
	__u8 start[16];
};

enum { SEEN, DROPPED, NEW_FLOWS, SENT_ON, FAILED, COUNTS };

#endif
