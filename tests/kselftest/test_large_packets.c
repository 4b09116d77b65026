// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 keys=13,0 full=1 timeout=400 */
/*
 * Do programs see, and change, all of a large packet when they are isolated?
 *
 * Linear packets from 64 bytes to more than the verifier lets a program reach, sent
 * through lo and by BPF_PROG_TEST_RUN, at level 0 and at level 2: what the program
 * counted, read and wrote must be the same. Then ordinary TCP through a veth pair.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "build.h"
#include "packets.h"

/* MAX_PACKET_OFF of kernel/bpf/verifier.c */
#define REACH 65535
#define MOST 100000
#define STRIDE 509

/* What a program tells */
enum { RUNS, BYTES, LENGTH, SUM, LAST, PULLED, AFTER, LARGEST };

/* Has the verifier think that the program may go as far as it can, or 4,096 bytes */
static int reach;
static const struct prog_type *type;
static int told;

static void tell(int word, int reg)
{
	E(STX(BPF_DW, R9, reg, 8 * word));
}

/* R7 and R8: the packet and its end */
static void packet(void)
{
	bool x = type == &xdp;

	E(LDX(BPF_W, R7, R6, x ? offsetof(struct xdp_md, data) : offsetof(struct __sk_buff, data)),
	  LDX(BPF_W, R8, R6, x ? offsetof(struct xdp_md, data_end) :
	      offsetof(struct __sk_buff, data_end)));
}

static void count_bytes(int word)
{
	E(MOV_REG(R2, R8), ALU64_REG(BPF_SUB, R2, R7));
	tell(word, R2);
}

/* Some of the packet, as far as it goes: read and added up, or written */
static void stride(bool write)
{
	int loop;

	E(MOV_IMM(R5, 0), MOV_IMM(R4, 0));
	loop = cnt;
	E(MOV_REG(R3, R7), ALU64_REG(BPF_ADD, R3, R5), MOV_REG(R1, R3), ALU64_IMM(BPF_ADD, R1, 8),
	  JMP_REG(BPF_JGT, R1, R8, write ? 4 : 5));
	if (write)
		E(MOV_REG(R2, R5), STX(BPF_W, R3, R2, 3));
	else
		E(LDX(BPF_DW, R2, R3, 0), ALU64_IMM(BPF_MUL, R4, 31), ALU64_REG(BPF_ADD, R4, R2));
	E(ALU64_IMM(BPF_ADD, R5, STRIDE),
	  JMP_IMM(BPF_JLT, R5, reach - STRIDE, loop - cnt - 2));
	if (!write)
		tell(SUM, R4);
}

/* The last four bytes, if they are within reach */
static void last(bool write)
{
	E(MOV_REG(R2, R8), ALU64_REG(BPF_SUB, R2, R7), JMP_IMM(BPF_JGT, R2, reach, 8),
	  JMP_IMM(BPF_JLT, R2, 4, 7), ALU64_IMM(BPF_SUB, R2, 4),
	  MOV_REG(R3, R7), ALU64_REG(BPF_ADD, R3, R2), MOV_REG(R1, R3), ALU64_IMM(BPF_ADD, R1, 4),
	  JMP_REG(BPF_JGT, R1, R8, 1));
	/* One instruction, and none of it if that was too much */
	if (write)
		E(ST(BPF_W, R3, 0, 0x5a6b7c8d));
	else
		E(LDX(BPF_W, R4, R3, 0));
	if (!write)
		tell(LAST, R4);
}

static void start(void)
{
	cnt = 0;
	E(MOV_REG(R6, R1), LD_MAP_VALUE(R9, told, 0),
	  LDX(BPF_DW, R2, R9, 8 * RUNS), ALU64_IMM(BPF_ADD, R2, 1));
	tell(RUNS, R2);
	if (type == &xdp)
		E(MOV_REG(R1, R6), CALL(xdp_get_buff_len));
	else
		E(LDX(BPF_W, R0, R6, offsetof(struct __sk_buff, len)));
	tell(LENGTH, R0);
	packet();
	count_bytes(BYTES);
}

static void reads(void)
{
	start();
	stride(false);
	E(MOV_IMM(R4, 0));
	last(false);
}

static void writes(void)
{
	reads();
	stride(true);
	last(true);
}

static u32 to_pull;

/* What comes after the header is in fragments until it is pulled. */
static void pulls(void)
{
	start();
	E(MOV_REG(R1, R6), to_pull ? MOV_IMM(R2, to_pull) :
	  LDX(BPF_W, R2, R6, offsetof(struct __sk_buff, len)), CALL(skb_pull_data));
	tell(PULLED, R0);
	packet();
	count_bytes(AFTER);
	stride(false);
	E(MOV_IMM(R4, 0));
	last(false);
	stride(true);
	last(true);
}

/* How many frames one becomes */
static int copies = 1;

/*
 * Sends copies through itself twice, each time from within a run, and changes its
 * packet afterwards.
 */
static void nests(void)
{
	int jump;

	start();
	E(MOV_REG(R1, R6), LDX(BPF_W, R2, R6, offsetof(struct __sk_buff, len)),
	  CALL(skb_pull_data), LDX(BPF_W, R2, R6, offsetof(struct __sk_buff, mark)));
	jump = cnt;
	E(JMP_IMM(BPF_JGE, R2, 2, 0), ALU64_IMM(BPF_ADD, R2, 1),
	  STX(BPF_W, R6, R2, offsetof(struct __sk_buff, mark)),
	  MOV_REG(R1, R6), MOV_IMM(R2, 1), MOV_IMM(R3, 0), CALL(clone_redirect));
	tell(PULLED, R0);
	insns[jump].off = cnt - jump - 1;
	packet();
	count_bytes(AFTER);
	stride(false);
	E(MOV_IMM(R4, 0));
	last(false);
	stride(true);
	last(true);
	/* All three differ. */
	E(LDX(BPF_DW, R2, R9, 8 * RUNS), LDX(BPF_DW, R3, R9, 8 * LARGEST),
	  ALU64_IMM(BPF_MUL, R3, 7), ALU64_REG(BPF_ADD, R2, R3));
	tell(LARGEST, R2);
	packet();
	E(MOV_REG(R1, R7), ALU64_IMM(BPF_ADD, R1, 24), JMP_REG(BPF_JGT, R1, R8, 1),
	  STX(BPF_DW, R7, R2, 16));
}

/* The largest packet, and all bytes */
static void counts(void)
{
	cnt = 0;
	E(MOV_REG(R6, R1), LD_MAP_VALUE(R9, told, 0), MOV_IMM(R2, 1),
	  ATOMIC(BPF_DW, BPF_ADD, R9, R2, 8 * RUNS));
	packet();
	E(MOV_REG(R2, R8), ALU64_REG(BPF_SUB, R2, R7), ATOMIC(BPF_DW, BPF_ADD, R9, R2, 8 * BYTES),
	  LDX(BPF_DW, R1, R9, 8 * LARGEST), JMP_REG(BPF_JLE, R2, R1, 1),
	  STX(BPF_DW, R9, R2, 8 * LARGEST));
	/* So that it may go far */
	E(MOV_IMM(R4, 0));
	last(false);
}

static int load(const struct prog_type *of, void (*body)(void), int level, u32 flags)
{
	union bpf_attr attr = { .prog_type = of->type, .license = (uintptr_t)"GPL",
				.prog_flags = flags, .prog_name = "large" };
	int fd;

	type = of;
	told = map_of_words(0);
	moat_set_level(level);
	body();
	E(MOV_IMM(R0, type->pass), EXIT());
	attr.insns = (uintptr_t)insns;
	attr.insn_cnt = cnt;
	fd = syscall(__NR_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	if (fd < 0) {
		int why = errno;

		prog_load(of->type, "large", insns, cnt);
		bail("the program does not load: %s\n%s", strerror(why), prog_log);
	}
	if (level && moat_layer(fd) == NONE)
		bail("the program is not isolated");
	return fd;
}

struct outcome {
	u64 told[8];
	ssize_t len;
	u8 packet[MOST];
};

static struct outcome plain, isolated;
static u8 sent[MOST];

/* What became of a frame of @len bytes that went through the program */
static void through(struct outcome *o, int s, size_t len, bool linear)
{
	u32 i, zero = 0;
	int n;

	memset(o, 0, sizeof(*o));
	map_update(told, &zero, o->told);
	frame_fill(sent, len, len);
	if (!frame_send(s, sent, len, linear))
		o->len = -2;
	for (n = 0; n < copies && o->len >= 0; n++) {
		static u8 got[MOST];
		ssize_t k, arrived = frame_receive(s, got, MOST);

		o->len = arrived < 0 ? arrived : o->len + arrived;
		for (k = 0; k < arrived && k < MOST; k++)
			o->packet[k] = o->packet[k] * 5 + got[k];
	}
	for (i = 0; i < 8; i++)
		o->told[i] = map_word(told, i);
}

static bool same(const char *what, size_t len)
{
	int i;

	for (i = 0; i < 8 && plain.told[i] == isolated.told[i]; i++)
		;
	if (i < 8)
		diag("%s, %zu bytes: word %d is %#llx at level 0, %#llx at level 2", what, len, i,
		     (unsigned long long)plain.told[i], (unsigned long long)isolated.told[i]);
	if (plain.len != isolated.len)
		diag("%s, %zu bytes: %zd arrive at level 0, %zd at level 2", what, len,
		     plain.len, isolated.len);
	else if (memcmp(plain.packet, isolated.packet, MOST))
		diag("%s, %zu bytes: others arrive at level 2", what, len);
	return i == 8 && plain.len == isolated.len &&
	       !memcmp(plain.packet, isolated.packet, MOST);
}

static const size_t sizes[] = {
	64, 65, 1000, 1514, 4000, 4095, 4096, 4097, 4100, 4160, 5000, 6000, 9014, 16384, 32767,
	32768, 40000, 65000, 65472, 65531, 65534, 65535,
	/* Beyond anybody's reach */
	65536, 65550, 70000, 90000,
};

/* Is the linear part all of it, as this test means it to be? */
static bool meant(enum hook hook, size_t len, bool linear)
{
	/* Whoever comes last tells what others have pulled. */
	if (copies > 1)
		return plain.told[LENGTH] == len;
	if (!linear && hook != GENERIC_XDP)
		return plain.told[LENGTH] == len && (plain.told[BYTES] < len || len < 4096);
	return plain.told[BYTES] == (len > REACH && hook != GENERIC_XDP ? REACH : len);
}

static void live(enum hook hook, const char *what, void (*body)(void), bool linear, int far)
{
	int s = frame_socket("lo"), prog[2], map[2];
	bool all = true;
	size_t i;

	reach = far;
	prog[0] = load(hook_type(hook), body, 0, 0);
	map[0] = told;
	prog[1] = load(hook_type(hook), body, moat_present() ? 2 : 0, 0);
	map[1] = told;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		/* More does not go into fragments. */
		if (!linear && sizes[i] > 65550)
			continue;
		told = map[0];
		hook_attach(hook, "lo", prog[0]);
		through(&plain, s, sizes[i], linear);
		hook_detach(hook, "lo");
		told = map[1];
		hook_attach(hook, "lo", prog[1]);
		through(&isolated, s, sizes[i], linear);
		hook_detach(hook, "lo");
		if (plain.told[RUNS] != (u64)copies || plain.len != (ssize_t)sizes[i] * copies ||
		    !meant(hook, sizes[i], linear)) {
			diag("%zu bytes at level 0: %lu runs, %lu of %lu bytes seen, %zd arrive",
			     sizes[i], plain.told[RUNS], plain.told[BYTES], plain.told[LENGTH],
			     plain.len);
			all = false;
		}
		all &= same(what, sizes[i]);
	}
	for (i = 0; i < 2; i++) {
		close(prog[i]);
		close(map[i]);
	}
	close(s);
	ok(all, "%s: %s: as at level 0, with packets of %zu to %zu bytes", hook_name[hook], what,
	   sizes[0], sizes[ARRAY_SIZE(sizes) - 1]);
}

static void test_run(struct outcome *o, int prog, size_t len)
{
	struct run run = { .data_in = sent, .data_in_size = len, .data_out = o->packet,
			   .data_out_size = MOST };
	u32 i, zero = 0;

	memset(o, 0, sizeof(*o));
	map_update(told, &zero, o->told);
	frame_fill(sent, len, len);
	o->len = prog_run(prog, &run) ? -errno : run.data_out_size + ((ssize_t)run.retval << 32);
	for (i = 0; i < 8; i++)
		o->told[i] = map_word(told, i);
}

/* Of XDP what is more than a page goes to fragments, and is seen there as before. */
static void by_test_run(const struct prog_type *of)
{
	static const size_t lens[] = { 64, 1514, 3000, 3391, 3520, 5000, 20000, 60000 };
	int prog[2], map[2], ran = 0;
	bool all = true;
	size_t i;

	reach = REACH;
	prog[0] = load(of, writes, 0, of == &xdp ? BPF_F_XDP_HAS_FRAGS : 0);
	map[0] = told;
	prog[1] = load(of, writes, moat_present() ? 2 : 0, of == &xdp ? BPF_F_XDP_HAS_FRAGS : 0);
	map[1] = told;
	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		told = map[0];
		test_run(&plain, prog[0], lens[i]);
		told = map[1];
		test_run(&isolated, prog[1], lens[i]);
		all &= same("test run", lens[i]);
		ran += plain.told[RUNS] == 1;
	}
	for (i = 0; i < 2; i++) {
		close(prog[i]);
		close(map[i]);
	}
	if (!ok(all && ran >= 4, "%s: BPF_PROG_TEST_RUN: as at level 0", of->name))
		diag("%d ran", ran);
}

/* Not 0, and no more than there is, whatever A is */
#define LOW_BYTE C(BPF_ALU | BPF_AND | BPF_K, 0xff)
#define ADD_ONE C(BPF_ALU | BPF_ADD | BPF_K, 1)
#define RET_A C(BPF_RET | BPF_A, 0)

/* What filters of a packet socket let through of 65,535 bytes in one piece */
static void classic(void)
{
	static const struct sock_filter filters[][5] = {
		{ C(BPF_LD | BPF_B | BPF_ABS, 4093), LOW_BYTE, ADD_ONE, RET_A },
		{ C(BPF_LD | BPF_W | BPF_ABS, 4094), LOW_BYTE, ADD_ONE, RET_A },
		{ C(BPF_LD | BPF_B | BPF_ABS, 4096), LOW_BYTE, ADD_ONE, RET_A },
		{ C(BPF_LD | BPF_H | BPF_ABS, 5000), LOW_BYTE, ADD_ONE, RET_A },
		{ C(BPF_LD | BPF_W | BPF_ABS, 32764), LOW_BYTE, ADD_ONE, RET_A },
		{ C(BPF_LD | BPF_B | BPF_ABS, 40000), LOW_BYTE, ADD_ONE, RET_A },
		{ C(BPF_LD | BPF_B | BPF_ABS, 65534), LOW_BYTE, ADD_ONE, RET_A },
		{ C(BPF_LD | BPF_W | BPF_ABS, 65532), LOW_BYTE, ADD_ONE, RET_A },
		{ C(BPF_LDX | BPF_W | BPF_IMM, 50000), C(BPF_LD | BPF_B | BPF_IND, 33), LOW_BYTE, ADD_ONE, RET_A },
	};
	bool all = true;
	size_t i;
	int level;

	for (i = 0; i < ARRAY_SIZE(filters); i++) {
		ssize_t n[2];

		for (level = 0; level < 2; level++) {
			struct sock_fprog prog = { 5, (void *)filters[i] };
			int s = frame_socket("lo");

			while (BPF_CLASS(filters[i][prog.len - 1].code) != BPF_RET)
				prog.len--;
			moat_set_level(level && moat_present() ? 2 : 0);
			if (setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)))
				bail("filter: %s", strerror(errno));
			frame_fill(sent, REACH, i);
			frame_send(s, sent, REACH, true);
			n[level] = frame_receive(s, plain.packet, MOST);
			close(s);
		}
		if (n[0] != n[1]) {
			diag("filter %zu: %zd bytes at level 0, %zd at level 2", i, n[0], n[1]);
			all = false;
		}
	}
	ok(all, "classic filters that read beyond 4,096 bytes: as at level 0");
}

#define PORT 4712
#define STREAM (4 << 20)

/* The other end, in a network of its own: sends as soon as it may. */
static void send_stream(int go)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT),
				  .sin_addr.s_addr = htonl(0x0a090001) };
	static u8 data[1 << 18];
	int s, i, sent_now;
	char c;

	if (read(go, &c, 1) != 1 ||
	    system("ip addr add 10.9.0.2/24 dev mtlb && ip link set mtlb up"))
		exit(1);
	s = socket(AF_INET, SOCK_STREAM, 0);
	for (i = 0; i < 50 && connect(s, (void *)&to, sizeof(to)); i++)
		usleep(100000);
	for (i = 0; i < STREAM; i += sent_now) {
		memset(data, i >> 18, sizeof(data));
		sent_now = write(s, data, sizeof(data));
		if (sent_now <= 0)
			exit(1);
	}
	close(s);
	/* The devices would go with its network. */
	i = read(go, &c, 1);
	exit(0);
}

static u64 received(const char *what)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/class/net/mtla/statistics/rx_%s", what);
	return read_number(path);
}

/* Nothing has come for a while: what the device counts and the program is comparable. */
static void until_quiet(void)
{
	u64 before, now = received("packets");
	int i;

	for (i = 0; i < 50; i++) {
		before = now;
		usleep(300000);
		now = received("packets");
		if (now == before)
			return;
	}
	bail("mtla is never quiet");
}

/* Ordinary TCP: a counter of bytes counts what the device does. */
static void tcp(int level)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int l = socket(AF_INET, SOCK_STREAM, 0), on = 1, go[2], prog, s;
	static u8 data[1 << 16];
	u64 bytes, packets, got = 0;
	char command[256];
	ssize_t n;
	pid_t pid;

	veth_create("mtla", "mtlb", 1500);
	if (pipe(go))
		bail("pipe: %s", strerror(errno));
	pid = fork();
	if (!pid) {
		/* IPv6 would send packets of its own. */
		if (unshare(CLONE_NEWNET) ||
		    write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1"))
			_exit(1);
		send_stream(go[0]);
	}
	usleep(200000);
	snprintf(command, sizeof(command),
		 "ip link set mtlb netns %d && ip addr add 10.9.0.1/24 dev mtla", pid);
	reach = REACH;
	prog = load(&xdp, counts, level, 0);
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (system(command) || bind(l, (void *)&at, sizeof(at)) || listen(l, 1))
		bail("the network: %s", strerror(errno));
	hook_attach(GENERIC_XDP, "mtla", prog);
	until_quiet();
	bytes = received("bytes");
	packets = received("packets");
	if (write(go[1], "", 1) != 1)
		bail("pipe: %s", strerror(errno));
	s = accept(l, NULL, NULL);
	while ((n = read(s, data, sizeof(data))) > 0)
		got += n;
	close(s);
	close(l);
	until_quiet();
	bytes = received("bytes") - bytes;
	packets = received("packets") - packets;
	hook_detach(GENERIC_XDP, "mtla");
	if (write(go[1], "", 1) != 1)
		bail("pipe: %s", strerror(errno));
	waitpid(pid, NULL, 0);
	if (!ok(got == STREAM && map_word(told, RUNS) == packets &&
		map_word(told, BYTES) == bytes && map_word(told, LARGEST) > 4096,
		"generic XDP on veth at level %d counts the bytes of TCP, in packets of up to %lu",
		level, map_word(told, LARGEST)))
		diag("%lu bytes received; the device has %lu in %lu packets, the program %lu in %lu",
		     got, bytes, packets, map_word(told, BYTES), map_word(told, RUNS));
	close(go[0]);
	close(go[1]);
	close(prog);
	close(told);
}

int main(void)
{
	static const u32 pull[] = { 5000, 20000, 65535, 0 };
	enum hook hook;
	char what[64];
	size_t i;

	pin_to_cpu(0);
	if (system("ip link set lo mtu 100000"))
		bail("lo takes no MTU of 100,000");
	for (hook = GENERIC_XDP; hook <= TC_EGRESS; hook++) {
		if (hook == NATIVE_XDP)
			continue;
		live(hook, "reads", reads, true, REACH);
		live(hook, "writes", writes, true, REACH);
		live(hook, "reads of 4,096 bytes", reads, true, 4096);
		live(hook, "writes of 9,000 bytes", writes, true, 9000);
	}
	live(GENERIC_XDP, "writes to what was in fragments", writes, false, REACH);
	/* The last is for all bytes. */
	for (i = 0; i < ARRAY_SIZE(pull); i++) {
		to_pull = pull[i];
		snprintf(what, sizeof(what), "pulls %u bytes", to_pull);
		live(TC_INGRESS, to_pull ? what : "pulls all bytes", pulls, false, REACH);
	}
	live(TC_EGRESS, "pulls all bytes to the first 65,535", pulls, true, REACH);
	copies = 3;
	live(TC_EGRESS, "runs in runs", nests, true, REACH);
	copies = 1;
	by_test_run(&xdp);
	by_test_run(&sched_cls);
	classic();
	if (system("ip link set lo mtu 65536"))
		diag("the MTU of lo stays");
	tcp(0);
	if (moat_present())
		tcp(2);
	else
		skip("no moat.ko", "level 2");
	return finish();
}
