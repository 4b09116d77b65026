// SPDX-License-Identifier: GPL-2.0
/*
 * What has as many runs and packets as a loop, and is none: a firewall under a flood,
 * programs that pass packets on to one another, and fan-out.
 */
#define _GNU_SOURCE
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "loops.h"

#define FANS	12
/* All packets are seen to there, whoever sends them: it is never done. */
#define BUSY	2

static volatile bool flooding;
static u64 sent;

static void *flood(void *arg)
{
	const struct loop *l = arg;

	while (flooding)
		__atomic_add_fetch(&sent, send_frames(l, 64), __ATOMIC_RELAXED);
	return NULL;
}

static void flood_for(struct loop *l, int seconds)
{
	static const int cpus[] = { 0, 1, 3 };
	pthread_t threads[ARRAY_SIZE(cpus)];

	sent = 0;
	flooding = true;
	for (size_t i = 0; i < ARRAY_SIZE(cpus); i++) {
		cpu_set_t set;

		pthread_create(&threads[i], NULL, flood, l);
		CPU_ZERO(&set);
		CPU_SET(cpus[i], &set);
		pthread_setaffinity_np(threads[i], sizeof(set), &set);
	}
	sleep(seconds);
	flooding = false;
	for (size_t i = 0; i < ARRAY_SIZE(cpus); i++)
		pthread_join(threads[i], NULL);
	usleep(300000);
}

static void rps(const char *dev, bool on)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/class/net/%s/queues/rx-0/rps_cpus", dev);
	write_file(path, "%x", on ? 1 << BUSY : 0);
}

static s64 tx_packets(int i)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/class/net/mf%d/statistics/tx_packets", i);
	return read_number(path);
}

static bool let_alone(const struct loop *l, s64 refused)
{
	for (int i = 0; i < l->nr; i++)
		if (kmsg_stopped(l->prog[i], "loop"))
			return false;
	return moat_counter("refused_sends") == refused && !kmsg_find("redirect refused", NULL);
}

static void firewall(void)
{
	struct loop l = { .ifindex = 1 };
	s64 refused = moat_counter("refused_sends");

	loop_open(&l);
	loop_begin(&sched_cls);
	/* Every other one may pass. */
	E(LDX(BPF_DW, R1, R7, 8 * RUNS), ALU64_IMM(BPF_AND, R1, 1), MOV_IMM(R0, 0),
	  JMP_IMM(BPF_JEQ, R1, 0, 1), MOV_IMM(R0, 2), EXIT());
	add_program(&l, &sched_cls);
	tc_attach(l.prog[0], 1, BPF_TC_INGRESS, 1);
	rps("lo", true);
	kmsg_mark();
	flood_for(&l, 4);
	rps("lo", false);
	diag("%lu packets, %lu runs", sent, map_word(l.map, RUNS));
	ok(map_word(l.map, RUNS) > 1000 && let_alone(&l, refused),
	   "a firewall under a flood is let alone");
	loop_close(&l);
}

/* One sends what comes to the next, and that away; no packet comes back. */
static void chain(void)
{
	struct loop l = { .ifindex = 1 };
	s64 refused = moat_counter("refused_sends"), before, went;
	int a, b, i;

	loop_open(&l);
	make_veths(NULL, &a, &b);
	before = tx_packets(0);
	for (i = 0; i < 2; i++) {
		loop_begin(&sched_cls);
		E(MOV_IMM(R1, i ? (int)if_nametoindex("mf0") : a), MOV_IMM(R2, 0), CALL(redirect),
		  EXIT());
		add_program(&l, &sched_cls);
		tc_attach(l.prog[i], i ? b : 1, BPF_TC_INGRESS, 1);
	}
	rps("lo", true);
	kmsg_mark();
	flood_for(&l, 4);
	rps("lo", false);
	went = tx_packets(0) - before;
	diag("%lu packets, %lu runs, %ld sent on", sent, map_word(l.map, RUNS), went);
	ok(went > 1000 && let_alone(&l, refused),
	   "programs that pass a flood on to one another are let alone");
	loop_close(&l);
}

static void fan_out(void)
{
	struct loop l = { .ifindex = 1 };
	s64 refused = moat_counter("refused_sends"), before[FANS];
	bool all = true;
	int i, n;

	loop_open(&l);
	loop_begin(&sched_cls);
	for (i = 0; i < FANS; i++) {
		char name[8];

		snprintf(name, sizeof(name), "mf%d", i);
		E(MOV_REG(R1, R6), MOV_IMM(R2, if_nametoindex(name)), MOV_IMM(R3, 0),
		  CALL(clone_redirect));
		before[i] = tx_packets(i);
	}
	E(MOV_IMM(R0, 2), EXIT());
	add_program(&l, &sched_cls);
	tc_attach(l.prog[0], 1, BPF_TC_EGRESS, 1);
	kmsg_mark();
	/* The program drops the packet itself, so that sendto() says it was not sent. */
	send_frames(&l, 500);
	n = map_word(l.map, RUNS);
	for (i = 0; i < FANS; i++) {
		if (tx_packets(i) - before[i] == n)
			continue;
		diag("mf%d: %ld packets of %d", i, (long)(tx_packets(i) - before[i]), n);
		all = false;
	}
	ok(n == 500 && all && let_alone(&l, refused), "fan-out to %d devices reaches all of them",
	   FANS);
	loop_close(&l);
}

void floods(int level)
{
	char command[160];
	int i;

	for (i = 0; i < FANS; i++) {
		/* Without IPv6, which sends packets of its own. */
		snprintf(command, sizeof(command), "ip link add mf%d type dummy && "
			 "echo 1 >/proc/sys/net/ipv6/conf/mf%d/disable_ipv6 && "
			 "ip link set mf%d up", i, i, i);
		if (system(command))
			bail("%s", command);
	}
	fan_out();
	if (level) {
		firewall();
		chain();
	}
	for (i = 0; i < FANS; i++) {
		snprintf(command, sizeof(command), "ip link del mf%d", i);
		system(command);
	}
}
