/* SPDX-License-Identifier: GPL-2.0 */
/* What the programs, the traffic and the counters agree on. */
#ifndef DEMO_H
#define DEMO_H

#define PORT_UDP	7000	/* what the sender asks for */
#define PORT_UDP_REAL	7001	/* what the tc program makes of it */
#define PORT_TCP	8000
#define PORT_DROPPED	9	/* the XDP program drops it */
#define PORT_TRIGGER	6666	/* the rogue waits for it */
#define REWRITTEN_TTL	42

enum {
	COUNT_ICMP,
	COUNT_UDP,
	COUNT_TCP_OPEN,		/* SYN */
	COUNT_TCP_DATA,		/* with payload; how many bare ACKs go is up to timers */
	COUNT_DROPPED,
	COUNT_MAX,
};

struct count {
	unsigned long long packets;
	unsigned long long bytes;
};

#endif
