// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=0,2 cpus=4 keys=13,0 timeout=200 */
/*
 * Do packets go where programs redirect them by maps: to a device in another namespace, to
 * all, to another CPU, to an AF_XDP socket? And programs that are attached to the entries?
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "build.h"
#include "packets.h"
#include "xsk.h"

#define COUNT 20
#define LEN 200
#define ALL ((1U << COUNT) - 1)

static int level, sender, counts;
static int to_in[2], netns, home;	/* sockets in the other namespace */

static void go_to(int ns)
{
	if (setns(ns, CLONE_NEWNET))
		bail("setns: %s", strerror(errno));
}

/* counts[@i] += R1; clobbers R2 */
#define COUNT_R1(I) LD_MAP_VALUE(R2, counts, 8 * (I)), ATOMIC(BPF_DW, BPF_ADD, R2, R1, 0)

static int redirector(int map, u32 key, u64 flags)
{
	cnt = 0;
	E(LD_MAP_FD(R1, map), MOV_IMM(R2, key), LD_IMM64(R3, flags), CALL(redirect_map), EXIT());
	return must_load_for(&xdp, BPF_XDP, "redirector", level);
}

static u64 count_of(u32 i)
{
	return map_word(counts, i);
}

static void send_frames(void)
{
	u8 frame[LEN];
	int i;

	for (i = 0; i < COUNT; i++) {
		frame_fill(frame, LEN, i + 1);
		frame_send(sender, frame, LEN, false);
	}
}

/* Which of those that were sent it is: a bit each; one more if it is another */
static u32 which(const u8 *frame, size_t len)
{
	u8 want[LEN];
	int i;

	for (i = 0; i < COUNT; i++) {
		frame_fill(want, LEN, i + 1);
		if (len == LEN && !memcmp(frame, want, LEN))
			break;
	}
	return 1U << i;
}

/* Which come there */
static u32 arrived(int s)
{
	u8 frame[LEN];
	u32 seen = 0;
	ssize_t n;

	while (seen != ALL && (n = frame_receive(s, frame, sizeof(frame))) >= 0)
		seen |= which(frame, n);
	return seen;
}

static void drain(int s)
{
	u8 frame[LEN];

	while (recv(s, frame, sizeof(frame), MSG_DONTWAIT) >= 0)
		;
}

static void unicast(enum bpf_map_type type, enum hook hook)
{
	int map = map_create(type, 4, 4, 8), prog;
	u32 key = 3, dev = if_nametoindex("mo0");

	map_update(map, &key, &dev);
	prog = redirector(map, 3, 0);
	hook_attach(hook, "mib", prog);
	send_frames();
	ok(arrived(to_in[0]) == ALL, "%d: %s: by map type %d to a device", level, hook_name[hook],
	   type);
	hook_detach(hook, "mib");
	close(prog);
	close(map);
}

static void broadcast(enum bpf_map_type type, enum hook hook)
{
	int map = map_create(type, 4, 4, 8), prog, i;
	u32 key, dev;
	char name[8];

	for (i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), i < 2 ? "mo%d" : "mib", i);
		key = i + 1;
		dev = if_nametoindex(name);
		map_update(map, &key, &dev);
	}
	prog = redirector(map, 7, BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS);
	hook_attach(hook, "mib", prog);
	send_frames();
	ok(arrived(to_in[0]) == ALL && arrived(to_in[1]) == ALL, "%d: %s: by map type %d to all",
	   level, hook_name[hook], type);
	hook_detach(hook, "mib");
	close(prog);
	close(map);
}

/* The program of the entry counts, sees where the packet goes, and drops what is odd. */
static void with_program(void)
{
	int map = map_create(BPF_MAP_TYPE_DEVMAP, 4, 8, 4), prog, own;
	struct bpf_devmap_val v = { .ifindex = if_nametoindex("mo0") };
	u32 key = 1, seen;
	u64 before = count_of(1), in = count_of(2), out = count_of(3);

	cnt = 0;
	E(MOV_REG(R6, R1), MOV_IMM(R1, 1), COUNT_R1(1),
	  LDX(BPF_W, R1, R6, offsetof(struct xdp_md, ingress_ifindex)), COUNT_R1(2),
	  LDX(BPF_W, R1, R6, offsetof(struct xdp_md, egress_ifindex)), COUNT_R1(3),
	  LDX(BPF_W, R2, R6, offsetof(struct xdp_md, data)),
	  LDX(BPF_W, R3, R6, offsetof(struct xdp_md, data_end)), MOV_REG(R4, R2),
	  ALU64_IMM(BPF_ADD, R4, 15), MOV_IMM(R0, XDP_DROP), JMP_REG(BPF_JGT, R4, R3, 4),
	  LDX(BPF_B, R5, R2, 14), ALU64_IMM(BPF_AND, R5, 1), JMP_IMM(BPF_JNE, R5, 0, 1),
	  MOV_IMM(R0, XDP_PASS), EXIT());
	own = must_load_for(&xdp, BPF_XDP_DEVMAP, "of_entry", level);
	v.bpf_prog.fd = own;
	if (map_update(map, &key, &v))
		bail("an entry with a program: %s", strerror(errno));
	prog = redirector(map, 1, 0);
	hook_attach(NATIVE_XDP, "mib", prog);
	send_frames();
	seen = arrived(to_in[0]);
	ok(count_of(1) - before == COUNT && seen && seen != ALL &&
	   count_of(2) - in == COUNT * if_nametoindex("mib") &&
	   count_of(3) - out == COUNT * if_nametoindex("mo0"),
	   "%d: the program of a devmap's entry sees each, and lets pass what it wants: %x", level,
	   seen);
	/* the same each time: what is odd of the frames is not random */
	static u32 first;
	ok(!first || first == seen, "%d: the same ones", level);
	first = seen;
	hook_detach(NATIVE_XDP, "mib");
	close(prog);
	close(own);
	close(map);
}

/* On another CPU, where the entry's program looks at each. */
static void other_cpu(bool with_prog)
{
	int map = map_create(BPF_MAP_TYPE_CPUMAP, 4, 8, 4), prog, own = -1;
	int s = frame_socket("mib");
	struct bpf_cpumap_val v = { .qsize = 64 };
	u32 key = 2;
	u64 before = count_of(4), wrong = count_of(5);

	if (with_prog) {
		cnt = 0;
		E(MOV_IMM(R1, 1), COUNT_R1(4), CALL(get_smp_processor_id), MOV_IMM(R1, 0),
		  JMP_IMM(BPF_JEQ, R0, 2, 1), MOV_IMM(R1, 1), COUNT_R1(5), MOV_IMM(R0, XDP_PASS),
		  EXIT());
		own = must_load_for(&xdp, BPF_XDP_CPUMAP, "of_cpu", level);
		v.bpf_prog.fd = own;
	}
	if (map_update(map, &key, &v))
		bail("an entry of a cpumap: %s", strerror(errno));
	prog = redirector(map, 2, 0);
	hook_attach(NATIVE_XDP, "mib", prog);
	drain(s);
	send_frames();
	ok(arrived(s) == ALL && (!with_prog || (count_of(4) - before == COUNT &&
						count_of(5) == wrong)),
	   "%d: to another CPU%s", level, with_prog ? ", and a program there" : "");
	hook_detach(NATIVE_XDP, "mib");
	close(s);
	close(prog);
	close(own);
	close(map);
}

/* As arrived() */
static u32 xsk_arrived(struct xsk *x)
{
	const void *frame;
	u32 seen = 0, len;
	int wait;

	for (wait = 0; wait < 20 && seen != ALL; wait++) {
		struct pollfd p = { .fd = x->fd, .events = POLLIN };

		poll(&p, 1, 100);
		while ((frame = xsk_next(x, &len)))
			seen |= which(frame, len);
	}
	return seen;
}

/* Only if there is a socket, as the programs of libraries do; else on as ever */
static void sockets(enum hook hook, struct xsk *x)
{
	int map = map_create(BPF_MAP_TYPE_XSKMAP, 4, 4, 4), prog, s = frame_socket("mib");
	u32 key = 0;

	cnt = 0;
	E(LDX(BPF_W, R7, R1, offsetof(struct xdp_md, rx_queue_index)),
	  STX(BPF_W, R10, R7, -4), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -4),
	  LD_MAP_FD(R1, map), CALL(map_lookup_elem), MOV_REG(R1, R0), MOV_IMM(R0, XDP_PASS),
	  JMP_IMM(BPF_JEQ, R1, 0, 5), LD_MAP_FD(R1, map), MOV_REG(R2, R7), MOV_IMM(R3, 0),
	  CALL(redirect_map), EXIT());
	prog = must_load_for(&xdp, BPF_XDP, "to_socket", level);
	hook_attach(hook, "mib", prog);
	drain(s);
	send_frames();
	ok(arrived(s) == ALL, "%d: %s: there is no AF_XDP socket yet", level, hook_name[hook]);
	if (map_update(map, &key, &x->fd))
		bail("an entry for a socket: %s", strerror(errno));
	send_frames();
	ok(xsk_arrived(x) == ALL, "%d: %s: to an AF_XDP socket", level, hook_name[hook]);
	hook_detach(hook, "mib");
	close(s);
	close(prog);
	close(map);
}

static void tidy(void)
{
	if (system("for i in 0 1; do ip link del mo$i; done 2>/dev/null; ip netns del moat_far"))
		diag("the other namespace is not gone");
}

int main(void)
{
	struct xsk x;
	int pass, i;
	char dev[8];

	level = moat_level_asked();
	counts = map_of_words(0);
	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	sh("ip netns add moat_far");
	atexit(tidy);
	netns = open("/run/netns/moat_far", O_RDONLY | O_CLOEXEC);
	veth_create("mia", "mib", 1500);
	sh("for i in 0 1; do ip link add mo$i type veth peer name mp$i netns moat_far && "
	   "echo 1 >/proc/sys/net/ipv6/conf/mo$i/disable_ipv6; ip link set mo$i up && "
	   "ip -n moat_far link set mp$i up || exit 1; done");
	cnt = 0;
	E(MOV_IMM(R0, XDP_PASS), EXIT());
	pass = must_load_for(&xdp, BPF_XDP, "pass", level);
	go_to(netns);
	for (i = 0; i < 2; i++) {
		snprintf(dev, sizeof(dev), "mp%d", i);
		to_in[i] = frame_socket(dev);
		/* who is sent frames has to have a place for them */
		hook_attach(NATIVE_XDP, dev, pass);
	}
	go_to(home);
	sender = frame_socket("mia");
	usleep(200000);

	unicast(BPF_MAP_TYPE_DEVMAP, NATIVE_XDP);
	unicast(BPF_MAP_TYPE_DEVMAP_HASH, GENERIC_XDP);
	broadcast(BPF_MAP_TYPE_DEVMAP, GENERIC_XDP);
	broadcast(BPF_MAP_TYPE_DEVMAP_HASH, NATIVE_XDP);
	with_program();
	other_cpu(false);
	other_cpu(true);
	xsk_open(&x, "mib", 0);
	sockets(NATIVE_XDP, &x);
	sockets(GENERIC_XDP, &x);
	return finish();
}
