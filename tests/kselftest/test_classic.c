// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=product,preempt levels=2 cpus=4 keys=13,1,0 timeout=300 */
/*
 * Do classic filters let the same through when they are isolated?
 *
 * Each is attached to one end of a socket pair, at level 0 and at level 2: as much
 * of the same packet must arrive there, and at level 2 an isolated program must
 * have run.
 */
#include <errno.h>
#include <linux/filter.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "moat_test.h"

#define C(CODE, K) ((struct sock_filter)BPF_STMT(CODE, K))
#define CJ(CODE, K, T, F) ((struct sock_filter)BPF_JUMP(CODE, K, T, F))
/* the low byte of A as length, so that it shows */
#define RET_A C(BPF_ALU | BPF_AND | BPF_K, 0xff), C(BPF_ALU | BPF_ADD | BPF_K, 1), \
	C(BPF_RET | BPF_A, 0)

static const struct {
	const char *what;
	struct sock_filter insns[20];
} filters[] = {
#define F(WHAT, ...) { WHAT, { __VA_ARGS__ } }
	F("drop", C(BPF_RET | BPF_K, 0)),
	F("all", C(BPF_RET | BPF_K, -1)),
	F("some", C(BPF_RET | BPF_K, 100)),
	F("length", C(BPF_LD | BPF_W | BPF_LEN, 0), RET_A),
	F("byte", C(BPF_LD | BPF_B | BPF_ABS, 77), RET_A),
	F("half", C(BPF_LD | BPF_H | BPF_ABS, 31), RET_A),
	F("word", C(BPF_LD | BPF_W | BPF_ABS, 200), RET_A),
	F("past the end", C(BPF_LD | BPF_W | BPF_ABS, 298), RET_A),
	F("index", C(BPF_LDX | BPF_W | BPF_IMM, 20), C(BPF_LD | BPF_B | BPF_IND, 33), RET_A),
	F("header length", C(BPF_LDX | BPF_B | BPF_MSH, 5), C(BPF_MISC | BPF_TXA, 0), RET_A),
	F("scratch memory", C(BPF_LD | BPF_B | BPF_ABS, 3), C(BPF_ST, 15),
	  C(BPF_LD | BPF_IMM, 9), C(BPF_LDX | BPF_MEM, 15),
	  C(BPF_ALU | BPF_ADD | BPF_X, 0), RET_A),
	F("division by zero", C(BPF_LD | BPF_IMM, 9), C(BPF_LDX | BPF_IMM, 0),
	  C(BPF_ALU | BPF_DIV | BPF_X, 0), RET_A),
	F("arithmetic", C(BPF_LD | BPF_W | BPF_ABS, 8), C(BPF_MISC | BPF_TAX, 0),
	  C(BPF_ALU | BPF_MUL | BPF_K, 31), C(BPF_ALU | BPF_XOR | BPF_X, 0),
	  C(BPF_ALU | BPF_RSH | BPF_K, 3), C(BPF_ALU | BPF_MOD | BPF_K, 251), RET_A),
	F("jumps", C(BPF_LD | BPF_B | BPF_ABS, 1), CJ(BPF_JMP | BPF_JGT | BPF_K, 3, 1, 0),
	  C(BPF_RET | BPF_K, 11), CJ(BPF_JMP | BPF_JSET | BPF_K, 8, 0, 1),
	  C(BPF_RET | BPF_K, 22), C(BPF_RET | BPF_K, 33)),
	F("protocol", C(BPF_LD | BPF_H | BPF_ABS, SKF_AD_OFF + SKF_AD_PROTOCOL), RET_A),
	F("packet type", C(BPF_LD | BPF_B | BPF_ABS, SKF_AD_OFF + SKF_AD_PKTTYPE), RET_A),
	F("mark", C(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_MARK), RET_A),
	F("queue", C(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_QUEUE), RET_A),
	F("CPU", C(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_CPU), RET_A),
	F("VLAN tag", C(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_VLAN_TAG), RET_A),
	F("random number", C(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_RANDOM),
	  C(BPF_RET | BPF_K, 5)),
	F("payload offset", C(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_PAY_OFFSET), RET_A),
	F("search for an attribute", C(BPF_LD | BPF_IMM, 0), C(BPF_LDX | BPF_IMM, 3),
	  C(BPF_LD | BPF_B | BPF_ABS, SKF_AD_OFF + SKF_AD_NLATTR), RET_A),
};

/* How much of the packet the filter lets through: the length, -1 for nothing. */
static int filtered(size_t f, u8 *data)
{
	struct sock_fprog prog = {
		.len = ARRAY_SIZE(filters[f].insns),
		.filter = (struct sock_filter *)filters[f].insns,
	};
	u8 in[300];
	int s[2], i, n = -2;

	while (BPF_CLASS(prog.filter[prog.len - 1].code) != BPF_RET)
		prog.len--;
	for (i = 0; i < 300; i++)
		in[i] = i * 5 + 3;
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, s))
		return -3;
	if (setsockopt(s[1], SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog))) {
		diag("%s: attach: %s", filters[f].what, strerror(errno));
	} else {
		memset(data, 0, 300);
		if (write(s[0], in, sizeof(in)) != sizeof(in) && errno != EPERM)
			diag("%s: write: %s", filters[f].what, strerror(errno));
		n = read(s[1], data, 300);
	}
	close(s[0]);
	close(s[1]);
	return n;
}

static void classic(size_t f)
{
	u8 a[300], b[300];
	int n, m;
	s64 runs;

	moat_set_level(0);
	n = filtered(f, a);
	moat_set_level(moat_present() ? 2 : 0);
	runs = moat_counter("runs");
	kmsg_mark();
	m = filtered(f, b);
	if (!ok(n >= -1 && n == m && !memcmp(a, b, 300) &&
		(!moat_present() || moat_counter("runs") > runs),
		"classic filter: %s: the same at level 0 and 2", filters[f].what))
		diag("%d bytes at level 0, %d at level 2; %ld runs; %s", n, m,
		     moat_counter("runs") - runs, kmsg_find("moat: ", NULL) ?: "");
}

int main(void)
{
	size_t i;

	pin_to_cpu(0);
	for (i = 0; i < ARRAY_SIZE(filters); i++)
		classic(i);
	if (!moat_present())
		skip("no moat.ko", "level 2");
	return finish();
}
