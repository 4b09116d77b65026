// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=0,2 cpus=4 keys=13,0 timeout=120 */
/*
 * Do programs of cgroups let packets in and out, and keep them, as plain ones do? By the
 * system calls of systemd's IPAddressDeny=, IPAddressAllow= and IPAccounting=: programs that
 * look an address up and count, more than one for a cgroup, replaced while packets go.
 *
 * And a program that nobody verified: its packets go nowhere, in or out.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "build.h"

#define CGROUP "/sys/fs/cgroup/moat_test"
#define DENIED "127.0.0.9"
#define PACKETS 10

static int level, cgroup, denied, counts;

/*
 * Of IPv4, by the source of what comes in and the destination of what goes out: denied if
 * the map has it. Counts packets and bytes, as IPAccounting= does.
 */
static int firewall(u32 attach_type)
{
	int at = attach_type == BPF_CGROUP_INET_INGRESS ? 12 : 16;
	int base = 16 * (int)attach_type;

	cnt = 0;
	E(MOV_REG(R6, R1), LDX(BPF_W, R7, R6, offsetof(struct __sk_buff, protocol)),
	  JMP_IMM(BPF_JEQ, R7, htons(0x0800), 2), MOV_IMM(R0, 1), EXIT());
	if (attach_type == BPF_CGROUP_INET_INGRESS)
		E(MOV_REG(R1, R6), MOV_IMM(R2, at), MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -4),
		  MOV_IMM(R4, 4), ST(BPF_W, R10, -4, 0), CALL(skb_load_bytes));
	else
		E(LDX(BPF_W, R2, R6, offsetof(struct __sk_buff, data)),
		  LDX(BPF_W, R3, R6, offsetof(struct __sk_buff, data_end)), MOV_REG(R4, R2),
		  ALU64_IMM(BPF_ADD, R4, 20), MOV_IMM(R0, 0), JMP_REG(BPF_JLE, R4, R3, 1), EXIT(),
		  LDX(BPF_W, R4, R2, at), STX(BPF_W, R10, R4, -4));
	E(LD_MAP_VALUE(R8, counts, base), MOV_IMM(R1, 1), ATOMIC(BPF_DW, BPF_ADD, R8, R1, 0),
	  LDX(BPF_W, R1, R6, offsetof(struct __sk_buff, len)),
	  ATOMIC(BPF_DW, BPF_ADD, R8, R1, 8));
	E(LD_MAP_FD(R1, denied), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -4),
	  CALL(map_lookup_elem), MOV_REG(R1, R0), MOV_IMM(R0, 1), JMP_IMM(BPF_JEQ, R1, 0, 1),
	  MOV_IMM(R0, 0), EXIT());
	return must_load_for(&cgroup_skb, attach_type, "sd_fw", level);
}

/* Datagrams to @to that arrive; in *@err why the last could not be sent */
static int arriving(const char *to, int *err)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = inet_addr(to) };
	int from = socket(AF_INET, SOCK_DGRAM, 0), s = socket(AF_INET, SOCK_DGRAM, 0), n = 0, i;
	socklen_t len = sizeof(addr);
	char text[32] = "a datagram";

	*err = 0;
	if (bind(s, (void *)&addr, sizeof(addr)) || getsockname(s, (void *)&addr, &len))
		bail("%s: %s", to, strerror(errno));
	for (i = 0; i < PACKETS; i++)
		if (sendto(from, text, sizeof(text), 0, (void *)&addr, sizeof(addr)) < 0)
			*err = errno;
	for (i = 0; i < PACKETS; i++) {
		struct pollfd p = { .fd = s, .events = POLLIN };

		if (poll(&p, 1, i || !*err ? 50 : 10) == 1)
			n += recv(s, text, sizeof(text), MSG_DONTWAIT) > 0;
	}
	close(from);
	close(s);
	return n;
}

static void attach(int prog, u32 type, u32 flags)
{
	if (bpf_prog_attach(prog, cgroup, type, flags))
		bail("attach: %s", strerror(errno));
}

static void detach(int prog, u32 type)
{
	if (bpf_prog_detach2(prog, cgroup, type))
		bail("detach: %s", strerror(errno));
}

static u64 count_of(u32 i)
{
	return map_word(counts, i);
}

static void deny(void)
{
	u32 key = inet_addr(DENIED);
	int in = firewall(BPF_CGROUP_INET_INGRESS), out = firewall(BPF_CGROUP_INET_EGRESS), err, n;
	s64 runs = moat_counter("runs");
	u64 one = 1, before;

	attach(in, BPF_CGROUP_INET_INGRESS, BPF_F_ALLOW_MULTI);
	n = arriving(DENIED, &err);
	ok(n == PACKETS && !err, "%d: before it is denied all come in", level);
	map_update(denied, &key, &one);
	/* From what is denied, for what comes from there over lo is from there. */
	n = arriving("127.0.0.1", &err);
	ok(n == PACKETS && !err, "%d: from others they come in", level);
	detach(in, BPF_CGROUP_INET_INGRESS);

	before = count_of(2);
	attach(out, BPF_CGROUP_INET_EGRESS, BPF_F_ALLOW_MULTI);
	n = arriving(DENIED, &err);
	ok(!n && err == EPERM && count_of(2) - before == PACKETS, "%d: to there none goes out: %s",
	   level, strerror(err));
	n = arriving("127.0.0.1", &err);
	ok(n == PACKETS && !err && count_of(2) - before == 2 * PACKETS &&
	   count_of(3) >= 2 * PACKETS * 60, "%d: to others they go, and are counted", level);

	/* a second one for the same cgroup, which counts, too; and then in place of the first */
	int again = firewall(BPF_CGROUP_INET_EGRESS);

	before = count_of(2);
	attach(again, BPF_CGROUP_INET_EGRESS, BPF_F_ALLOW_MULTI);
	n = arriving("127.0.0.1", &err);
	ok(n == PACKETS && count_of(2) - before == 2 * PACKETS, "%d: two look at each", level);
	detach(out, BPF_CGROUP_INET_EGRESS);
	n = arriving(DENIED, &err);
	ok(!n && err == EPERM, "%d: the other denies alone", level);
	detach(again, BPF_CGROUP_INET_EGRESS);
	n = arriving(DENIED, &err);
	ok(n == PACKETS && !err, "%d: without programs all go", level);
	map_delete(denied, &key);
	ok(!level || moat_counter("runs") > runs, "%d: they ran isolated", level);
	close(in);
	close(out);
	close(again);
}

/* What comes in from an address that is denied */
static void deny_source(void)
{
	u32 key = inet_addr("127.0.0.1");
	int in = firewall(BPF_CGROUP_INET_INGRESS), err, n;
	u64 one = 1;

	map_update(denied, &key, &one);
	attach(in, BPF_CGROUP_INET_INGRESS, BPF_F_ALLOW_MULTI);
	n = arriving("127.0.0.1", &err);
	ok(!n && !err, "%d: from there none comes in, and who sends is not told", level);
	detach(in, BPF_CGROUP_INET_INGRESS);
	map_delete(denied, &key);
	close(in);
}

/* It writes to the kernel, and lets everything pass. */
static void rogue(u32 attach_type, const char *way)
{
	s64 violations = moat_counter("violations");
	u64 data = target("data"), was;
	int prog, n, err;

	canary_reset();
	was = canary("data");
	bypass_verifier(true);
	cnt = 0;
	E(LD_IMM64(R2, data), ST(BPF_DW, R2, 0, 0x600d), MOV_IMM(R0, 1), EXIT());
	prog = must_load_for(&cgroup_skb, attach_type, "rogue", level);
	bypass_verifier(false);
	attach(prog, attach_type, BPF_F_ALLOW_MULTI);
	n = arriving("127.0.0.1", &err);
	if (level)
		ok(!n && err == (attach_type == BPF_CGROUP_INET_EGRESS ? EPERM : 0) &&
		   canary("data") == was && moat_counter("violations") == violations + 1,
		   "2: %s: it is stopped, and nothing passes", way);
	else
		ok(n == PACKETS && canary("data") == 0x600d, "0: %s: it writes to the kernel", way);
	detach(prog, attach_type);
	n = arriving("127.0.0.1", &err);
	ok(n == PACKETS && !err, "%d: %s: packets pass once it is gone", level, way);
	close(prog);
	canary_reset();
}

static void leave(void)
{
	write_file("/sys/fs/cgroup/cgroup.procs", "%d", getpid());
	rmdir(CGROUP);
}

int main(void)
{
	level = moat_level_asked();
	if (mkdir(CGROUP, 0755) && errno != EEXIST)
		skip_all("no cgroups");
	atexit(leave);
	cgroup = open(CGROUP, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroup < 0 || write_file(CGROUP "/cgroup.procs", "%d", getpid()))
		bail("a cgroup: %s", strerror(errno));
	denied = map_create(BPF_MAP_TYPE_HASH, 4, 8, 8);
	counts = map_of_words(0);
	deny();
	deny_source();
	if (test_kernel()) {
		rogue(BPF_CGROUP_INET_INGRESS, "in");
		rogue(BPF_CGROUP_INET_EGRESS, "out");
	}
	return finish();
}
