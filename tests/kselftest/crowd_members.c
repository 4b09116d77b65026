// SPDX-License-Identifier: GPL-2.0
/* The crowd: programs on live hooks, what makes them run, and others that visit. */
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "crowd.h"

#define PIN "/sys/fs/bpf/moat-crowd"

struct member crowd[MOST];
int total, nr_shared, shared[MOST / SHARERS + 1];
u64 visits, sent;
volatile bool on = true;
static int nr_tc;

/* Counts, and looks whether its map and its stack are as it left them. */
static int member_load(const struct prog_type *type, u32 verdict, int own, int both, u64 me)
{
	const struct bpf_insn insns[] = {
		LD_MAP_VALUE(R6, own, 0),
		MOV_IMM(R7, me),
		STX(BPF_DW, R10, R7, -8),
		MOV_IMM(R1, 1),
		ATOMIC(BPF_DW, BPF_ADD, R6, R1, offsetof(struct own, runs)),
		LD_MAP_VALUE(R8, both, 0),
		STX(BPF_DW, R6, R6, offsetof(struct own, at)),
		STX(BPF_DW, R6, R8, offsetof(struct own, shared_at)),
		ATOMIC(BPF_DW, BPF_ADD, R8, R1, 0),
		CALL(get_smp_processor_id),
		ALU64_IMM(BPF_AND, R0, CPUS - 1),
		ALU64_IMM(BPF_LSH, R0, 3),
		ALU64_REG(BPF_ADD, R0, R6),
		STX(BPF_DW, R0, R10, offsetof(struct own, stack)),
		LDX(BPF_DW, R2, R6, offsetof(struct own, me)),
		LDX(BPF_DW, R3, R10, -8),
		MOV_IMM(R1, 1),
		JMP_REG(BPF_JNE, R2, R7, 1),
		JMP_REG(BPF_JEQ, R3, R7, 1),
		ATOMIC(BPF_DW, BPF_ADD, R6, R1, offsetof(struct own, wrong)),
		MOV_IMM(R0, verdict),
		EXIT(),
	};

	return prog_load(type->type, "member", insns, ARRAY_SIZE(insns));
}

static int own_map(u64 me)
{
	struct own value = { .me = me };
	u32 zero = 0;
	int map = map_create(BPF_MAP_TYPE_ARRAY, 4, sizeof(value), 1);

	if (map < 0 || map_update(map, &zero, &value))
		bail("map %llu: %s", (unsigned long long)me, strerror(errno));
	return map;
}

u64 shared_count(int map)
{
	u32 zero = 0;
	u64 n = 0;

	map_lookup(map, &zero, &n);
	return n;
}

struct own own_of(int map)
{
	struct own own = { 0 };
	u32 zero = 0;

	map_lookup(map, &zero, &own);
	return own;
}

void wait_for_all(void)
{
	u64 end = now_ns() + 60 * 1000000000ULL;
	int i;

	for (i = 0; i < total; i++)
		while (!own_of(crowd[i].map).runs && now_ns() < end)
			usleep(10000);
}

static int shell(const char *fmt, int a)
{
	char command[512];

	snprintf(command, sizeof(command), fmt, a, a, a, a, a, a);
	return system(command);
}

static void attach_filter(struct member *m)
{
	struct sockaddr_ll lo = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = if_nametoindex("lo"),
	};

	m->sock = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (m->sock < 0 || setsockopt(m->sock, SOL_SOCKET, SO_ATTACH_BPF, &m->prog, sizeof(int)) ||
	    bind(m->sock, (void *)&lo, sizeof(lo)))
		bail("socket filter: %s", strerror(errno));
}

static void attach_tc(struct member *m, int i)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = if_nametoindex("lo"),
		    .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = m->prog, .handle = 1, .priority = i + 1);
	int err = i ? 0 : bpf_tc_hook_create(&hook);

	if (!err)
		err = bpf_tc_attach(&hook, &opts);
	if (err)
		bail("tc filter %d: %s", i, strerror(-err));
}

static void attach_xdp(struct member *m, int i)
{
	char name[16];
	int err;

	snprintf(name, sizeof(name), "mc%d%c", i / 2, i % 2 ? 'b' : 'a');
	err = bpf_xdp_attach(if_nametoindex(name), m->prog, XDP_FLAGS_SKB_MODE, NULL);
	if (err)
		bail("xdp on %s: %s", name, strerror(-err));
}

void enlist(int i, const struct prog_type *type)
{
	struct member *m = &crowd[i];
	u32 verdict = 0;

	if (type != &socket_filter)
		verdict = type == &xdp ? xdp.pass : (u32)TC_ACT_UNSPEC;
	if (i % SHARERS == 0) {
		shared[nr_shared] = map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1);
		if (shared[nr_shared++] < 0)
			bail("shared map: %s", strerror(errno));
	}
	m->shared = nr_shared - 1;
	m->map = own_map(i + 1);
	m->prog = member_load(type, verdict, m->map, shared[m->shared], i + 1);
	if (m->prog < 0)
		bail("program %d: %s", i, strerror(errno));
	m->id = prog_id(m->prog);
	if (type == &xdp)
		attach_xdp(m, i);
	else if (type == &sched_cls)
		attach_tc(m, nr_tc++);
	else
		attach_filter(m);
}

void assemble(void)
{
	int i;

	shell("ip link set lo up", 0);
	for (i = 0; i < PAIRS; i++)
		if (shell("ip link add mc%da type veth peer name mc%db && ip link set mc%da up && "
			  "ip link set mc%db up", i))
			bail("veth pair %d", i);
	for (i = 0; i < total; i++) {
		enlist(i, i < 2 * PAIRS ? &xdp : i % 2 ? &sched_cls : &socket_filter);
		if ((i + 1) % 256 == 0)
			diag("%d programs attached", i + 1);
	}
}

void disband(void)
{
	int i;

	shell("tc qdisc del dev lo clsact", 0);
	for (i = 0; i < PAIRS; i++)
		shell("ip link del mc%da", i);
	for (i = 0; i < total; i++)
		if (crowd[i].sock)
			close(crowd[i].sock);
	usleep(200000);
}

void *traffic(void *cpu)
{
	u8 frame[64] = { [0 ... 5] = 0xff, [12] = 0x88, [13] = 0xb5 };
	int sock = socket(AF_PACKET, SOCK_RAW, 0), i, udp = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(9),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	pin_to_cpu((long)cpu);
	while (on) {
		for (i = (long)cpu; i < 2 * PAIRS && on; i += CPUS) {
			char name[16];
			struct sockaddr_ll dev = { .sll_family = AF_PACKET };

			snprintf(name, sizeof(name), "mc%d%c", i / 2, i % 2 ? 'b' : 'a');
			dev.sll_ifindex = if_nametoindex(name);
			sendto(sock, frame, sizeof(frame), 0, (void *)&dev, sizeof(dev));
		}
		sendto(udp, frame, 32, 0, (void *)&to, sizeof(to));
		__atomic_add_fetch(&sent, 1, __ATOMIC_RELAXED);
		/* Leave the CPU now and then: loads wait for grace periods. */
		usleep(2000);
	}
	close(sock);
	close(udp);
	return NULL;
}

void *come_and_go(void *unused)
{
	u64 n = 0;

	while (on) {
		int group = n % nr_shared, own = own_map(1), other = -1, prog;

		/* This one is not in the sums: it has no traffic. */
		if (n % 3 == 0) {
			unlink(PIN);
			if (bpf_obj_pin(own, PIN))
				bail("pin: %s", strerror(errno));
			other = bpf_obj_get(PIN);
		}
		prog = member_load(&xdp, xdp.pass, own, other >= 0 ? other : shared[group], 1);
		if (prog < 0)
			bail("a program that comes: %s", strerror(errno));
		if (n % 3 == 0) {
			/* Two programs share the pinned map for a moment. */
			int second = own_map(1);
			int sharer = member_load(&sched_act, sched_act.pass, second, other, 1);

			if (sharer < 0 || prog_run_once(sharer) != sched_act.pass ||
			    prog_run_once(prog) != xdp.pass)
				bail("a pinned map: %s", strerror(errno));
			close(sharer);
			close(second);
			close(other);
		}
		close(prog);
		close(own);
		n++;
		visits = n;
	}
	unlink(PIN);
	return NULL;
}
