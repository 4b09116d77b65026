// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "loops.h"

static int loop_map;

void loop_open(struct loop *l)
{
	l->map = map_of_words(0);
	loop_map = l->map;
}

static void set_stop(const struct loop *l, u64 stop)
{
	u64 value[8] = { map_word(l->map, RUNS), stop, map_word(l->map, SENT) };
	u32 zero = 0;

	map_update(l->map, &zero, value);
}

void loop_stop(const struct loop *l)
{
	set_stop(l, 1);
}

void loop_go(const struct loop *l)
{
	set_stop(l, 0);
}

void loop_close(struct loop *l)
{
	system("tc qdisc del dev lo clsact 2>/dev/null; ip link set dev lo xdpgeneric off;"
	       "ip link del ml0 2>/dev/null; ip netns del moatloop 2>/dev/null");
	for (int i = 0; i < l->nr; i++)
		close(l->prog[i]);
	close(l->map);
}

void loop_begin(const struct prog_type *type)
{
	cnt = 0;
	E(MOV_REG(R6, R1), LD_MAP_VALUE(R7, loop_map, 0),
	  MOV_IMM(R1, 1), ATOMIC(BPF_DW, BPF_ADD, R7, R1, 8 * RUNS),
	  LDX(BPF_DW, R1, R7, 8 * STOP), JMP_IMM(BPF_JEQ, R1, 0, 2),
	  MOV_IMM(R0, type->safe), EXIT());
}

void add_program(struct loop *l, const struct prog_type *type)
{
	int prog = prog_load(type->type, "loop", insns, cnt);

	if (prog < 0)
		bail("program: %s: %s", strerror(errno), prog_log);
	l->prog[l->nr++] = prog;
}

void make_veths(const char *netns, int *a, int *b)
{
	char command[256], in[32] = "";

	if (netns)
		snprintf(in, sizeof(in), "-n %s", netns);
	/* The kernel's own packets would begin loops, too. */
	snprintf(command, sizeof(command),
		 "%s%s; ip link add ml0 type veth peer name ml1 %s%s && "
		 "ip link set ml0 addrgenmode none up && ip %s link set ml1 addrgenmode none up",
		 netns ? "ip netns add " : ":", netns ?: "", netns ? "netns " : "", netns ?: "", in);
	if (system(command))
		bail("%s", command);
	*a = if_nametoindex("ml0");
	if (netns)
		enter_netns(netns);
	*b = if_nametoindex("ml1");
	if (netns)
		enter_netns(NULL);
}

void enter_netns(const char *name)
{
	static int home = -1;
	char path[64];
	int fd;

	if (home < 0)
		home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (!name) {
		if (setns(home, CLONE_NEWNET))
			bail("setns: %s", strerror(errno));
		return;
	}
	snprintf(path, sizeof(path), "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (setns(fd, CLONE_NEWNET))
		bail("%s: %s", path, strerror(errno));
	close(fd);
}

static void tc_attach_at(int prog, int ifindex, enum bpf_tc_attach_point where, int prio)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = where);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = prog, .handle = 1, .priority = prio);
	int err = bpf_tc_hook_create(&hook);

	if (!err || err == -EEXIST)
		err = bpf_tc_attach(&hook, &opts);
	if (err)
		bail("tc filter on %d: %s", ifindex, strerror(-err));
}

void tc_attach(int prog, int ifindex, int where, int prio)
{
	if (where & BPF_TC_INGRESS)
		tc_attach_at(prog, ifindex, BPF_TC_INGRESS, prio);
	if (where & BPF_TC_EGRESS)
		tc_attach_at(prog, ifindex, BPF_TC_EGRESS, prio);
}

void xdp_attach(int prog, int ifindex, int mode)
{
	int err = bpf_xdp_attach(ifindex, prog, mode, NULL);

	if (err)
		bail("xdp on %d: %s", ifindex, strerror(-err));
}

int send_frames(const struct loop *l, int n)
{
	u8 frame[64] = { [6] = 2, [12] = 0x88, [13] = 0xb5 };
	struct sockaddr_ll dev = { .sll_family = AF_PACKET, .sll_ifindex = l->ifindex };
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(9),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int sock, sent = 0;

	if (l->netns)
		enter_netns(l->netns);
	sock = l->udp ? socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) :
			socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	while (n--) {
		if (l->udp)
			sent += sendto(sock, frame, 32, 0, (void *)&to, sizeof(to)) > 0;
		else
			sent += sendto(sock, frame, sizeof(frame), 0, (void *)&dev, sizeof(dev)) > 0;
	}
	close(sock);
	if (l->netns)
		enter_netns(NULL);
	return sent;
}
