// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 keys=13,0 full=1 timeout=400 */
/*
 * Do programs see, and change, all of a large packet when they are isolated?
 *
 * Linear packets from 64 bytes to more than the verifier lets a program reach, sent
 * through lo and by BPF_PROG_TEST_RUN, at level 0 and at level 2: what the program
 * counted, read and wrote must be the same. Then ordinary TCP through a veth pair.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "large_packets.h"
#include "packets.h"

#define MOST 100000

/* How many frames one becomes */
static int copies = 1;

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
	prog[0] = large_load(hook_type(hook), body, 0, 0);
	map[0] = told;
	prog[1] = large_load(hook_type(hook), body, moat_present() ? 2 : 0, 0);
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
	prog[0] = large_load(of, writes, 0, of == &xdp ? BPF_F_XDP_HAS_FRAGS : 0);
	map[0] = told;
	prog[1] = large_load(of, writes, moat_present() ? 2 : 0, of == &xdp ? BPF_F_XDP_HAS_FRAGS : 0);
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
	large_stream(0);
	if (moat_present())
		large_stream(2);
	else
		skip("no moat.ko", "level 2");
	return finish();
}
