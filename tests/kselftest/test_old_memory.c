// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 keys=13,0 full=1 timeout=300 */
/*
 * Does what the kernel had in the head room of a packet stay there?
 *
 * XDP programs that move the start of the packet, or of its metadata, down to where
 * old kernel memory is, and read it or send it on: they get some at level 0, and none
 * when they are isolated. And what the packet or the program had there stays as it is.
 * What is said to be metadata, and is none any more, is for test_old_metadata.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "old_memory.h"

#define HEAD 192

static void by_head(void)
{
	int jump;

	start();
	move(BPF_FUNC_xdp_adjust_head, -HEAD);
	jump = between(XDP_DATA, XDP_DATA_END, HEAD);
	look(R7, 0, HEAD / 8);
	otherwise(jump);
	move(BPF_FUNC_xdp_adjust_head, HEAD);
}

/* A little each time, and back in between */
static void by_steps(void)
{
	int i, jump;

	start();
	for (i = 1; i <= 6; i++) {
		move(BPF_FUNC_xdp_adjust_head, -32 * i);
		jump = between(XDP_DATA, XDP_DATA_END, HEAD);
		look(R7, 0, 4 * i);
		otherwise(jump);
		move(BPF_FUNC_xdp_adjust_head, 32 * i);
	}
}

static void by_meta(void)
{
	int jump;

	start();
	move(BPF_FUNC_xdp_adjust_meta, -META);
	jump = between(XDP_DATA_META, XDP_DATA, META);
	look(R7, 0, META / 8);
	otherwise(jump);
	move(BPF_FUNC_xdp_adjust_meta, META);
}

/* With metadata, which moves along */
static void by_both(void)
{
	int jump;

	start();
	move(BPF_FUNC_xdp_adjust_meta, -8);
	jump = between(XDP_DATA_META, XDP_DATA, 8);
	E(ST(BPF_DW, R7, 0, 0));
	otherwise(jump);
	move(BPF_FUNC_xdp_adjust_head, -128);
	move(BPF_FUNC_xdp_adjust_meta, -24);
	jump = between(XDP_DATA_META, XDP_DATA, META);
	look(R7, 0, META / 8);
	otherwise(jump);
	jump = between(XDP_DATA, XDP_DATA_END, 128);
	look(R7, 0, 128 / 8);
	otherwise(jump);
	move(BPF_FUNC_xdp_adjust_meta, META);
	move(BPF_FUNC_xdp_adjust_head, 128);
}

static void by_load_bytes(void)
{
	int i;

	start();
	move(BPF_FUNC_xdp_adjust_head, -HEAD);
	for (i = 0; i < HEAD; i += 8)
		E(ST(BPF_DW, R10, i - HEAD, 0));
	E(MOV_REG(R1, R6), MOV_IMM(R2, 0), MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -HEAD),
	  MOV_IMM(R4, HEAD), CALL(xdp_load_bytes));
	look(R10, -HEAD, HEAD / 8);
	move(BPF_FUNC_xdp_adjust_head, HEAD);
}

/* Without a look at it */
static void by_sending(void)
{
	start();
	move(BPF_FUNC_xdp_adjust_head, -HEAD);
}

/* For those that come after it */
static void by_leaving_metadata(void)
{
	start();
	move(BPF_FUNC_xdp_adjust_meta, -META);
}

static void look_at_metadata(void)
{
	int jump;

	start();
	jump = between(offsetof(struct __sk_buff, data_meta),
		       offsetof(struct __sk_buff, data), META);
	look(R7, 0, META / 8);
	otherwise(jump);
}

static u8 frame[FRAME];

/* Sends frames and says how often something was found in their head room, or -1. */
static u64 frames(const char *from, const char *to)
{
	int in = frame_socket(to), out = frame_socket(from), i;
	u8 got[2 * FRAME];

	for (i = 0; i < PACKETS; i++) {
		leave_secrets();
		frame_fill(frame, FRAME, i);
		frame_send(out, frame, FRAME, true);
		if (frame_receive(in, got, sizeof(got)) != FRAME || memcmp(frame, got, FRAME)) {
			diag("frame %d does not arrive as it was", i);
			break;
		}
	}
	close(in);
	close(out);
	if (map_word(told, RUNS) != PACKETS || map_word(told, ERRORS)) {
		diag("%lu packets, %lu errors", map_word(told, RUNS), map_word(told, ERRORS));
		return -1;
	}
	if (i < PACKETS)
		return -1;
	diag("%lu times in %lu packets, in %lu words, the secret in %lu", map_word(told, FOUND),
	     map_word(told, RUNS), map_word(told, WORDS), map_word(told, SECRETS));
	return map_word(told, FOUND);
}

static u64 on_hook(enum hook hook, int level, void (*body)(void))
{
	const char *to = hook == GENERIC_XDP ? "lo" : "mtoa";
	const char *from = hook == GENERIC_XDP ? "lo" : "mtob";
	int prog;
	u64 n;

	told = map_of_words(0);
	prog = load_at(&xdp, level, body, xdp.pass);
	hook_attach(hook, to, prog);
	n = frames(from, to);
	hook_detach(hook, to);
	close(prog);
	close(told);
	return n;
}

/* What it sends back is looked at where it arrives. */
static u64 sent_back(enum hook hook, int level, void (*body)(void))
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL),
				  .sll_ifindex = if_nametoindex("mtob") };
	int s = socket(AF_PACKET, SOCK_RAW, 0), out = frame_socket("mtob"), pass, prog, i, k;
	struct pollfd p = { .fd = s, .events = POLLIN };
	u64 found = 0, arrived = 0;
	u8 got[2 * FRAME];

	if (bind(s, (void *)&at, sizeof(at)))
		bail("a socket: %s", strerror(errno));
	told = map_of_words(0);
	/* Without a program the other end takes no frames. */
	pass = pass_at_level_0();
	hook_attach(hook, "mtob", pass);
	prog = load_at(&xdp, level, body, 3 /* XDP_TX */);
	hook_attach(hook, "mtoa", prog);
	for (i = 0; i < PACKETS; i++) {
		leave_secrets();
		frame_fill(frame, FRAME, i);
		frame_send(out, frame, FRAME, true);
		while (poll(&p, 1, 1000) == 1) {
			/* One that goes out first */
			if (recv(s, got, sizeof(got), 0) != HEAD + FRAME)
				continue;
			arrived += !memcmp(got + HEAD, frame, FRAME);
			for (k = 0; k < HEAD && !got[k]; k++)
				;
			found += k < HEAD;
			break;
		}
	}
	hook_detach(hook, "mtoa");
	hook_detach(hook, "mtob");
	close(pass);
	close(prog);
	close(told);
	close(s);
	close(out);
	diag("in %lu of %lu packets", found, arrived);
	return arrived == PACKETS ? found : (u64)-1;
}

/* What it leaves as metadata is looked at by a plain tc program. */
static u64 left_as_metadata(enum hook hook, int level, void (*body)(void))
{
	int prog = -1, reader, map;
	u64 n;

	told = map_of_words(0);
	map = told;
	prog = load_at(&xdp, level, body, xdp.pass);
	told = map_of_words(0);
	reader = load_at(&sched_cls, 0, look_at_metadata, 0);
	hook_attach(hook, "mtoa", prog);
	hook_attach(TC_INGRESS, "mtoa", reader);
	n = frames("mtob", "mtoa");
	hook_detach(TC_INGRESS, "mtoa");
	hook_detach(hook, "mtoa");
	close(prog);
	close(reader);
	close(map);
	close(told);
	return n;
}

/* A plain program calls it. */
static u64 tail_called(enum hook hook, int level, void (*body)(void))
{
	int array = map_create(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 1), plain, prog;
	u32 zero = 0;
	u64 n;

	moat_set_level(0);
	cnt = 0;
	E(LD_MAP_FD(R2, array), MOV_IMM(R3, 0), CALL(tail_call), MOV_IMM(R0, 1), EXIT());
	plain = prog_load(BPF_PROG_TYPE_XDP, "caller", insns, cnt);
	told = map_of_words(0);
	prog = load_at(&xdp, level, body, xdp.pass);
	if (plain < 0 || map_update(array, &zero, &prog))
		bail("tail call: %s", strerror(errno));
	hook_attach(hook, "lo", plain);
	n = frames("lo", "lo");
	hook_detach(hook, "lo");
	close(plain);
	close(array);
	close(prog);
	close(told);
	return n;
}

/*
 * Moves and writes at random, by test run, where the head room is zero: all must be
 * as at level 0.
 */
static u32 seed;

static u32 rnd(u32 n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

static void at_random(void)
{
	static const int by[] = { -64, -40, -20, -8, -4, 4, 8, 20, 40, 64 };
	int i, jump;

	cnt = 0;
	E(MOV_REG(R6, R1), LD_MAP_VALUE(R9, told, 0), MOV_IMM(R0, 0));
	for (i = 0; i < 14; i++) {
		switch (rnd(5)) {
		case 0:
		case 1:
			E(MOV_REG(R1, R6), MOV_IMM(R2, by[rnd(ARRAY_SIZE(by))]),
			  CALL(xdp_adjust_head));
			break;
		case 2:
			E(MOV_REG(R1, R6), MOV_IMM(R2, 4 * ((int)rnd(9) - 5)),
			  CALL(xdp_adjust_meta));
			break;
		case 3:
			jump = between(XDP_DATA, XDP_DATA_END, 8);
			E(ST(BPF_W, R7, 0, 0x1000 + i), ST(BPF_B, R7, 7, i), MOV_IMM(R0, i));
			insns[jump].off = cnt - jump - 1;
			break;
		case 4:
			jump = between(XDP_DATA_META, XDP_DATA, 4);
			E(LDX(BPF_W, R0, R7, 0), ST(BPF_W, R7, 0, 0x2000 + i));
			insns[jump].off = cnt - jump - 1;
			break;
		}
		/* What helpers returned and what it read, in one number */
		E(LDX(BPF_DW, R2, R9, 0), ALU64_IMM(BPF_MUL, R2, 31), ALU64_REG(BPF_ADD, R2, R0),
		  STX(BPF_DW, R9, R2, 0));
	}
}

static void same_moves(void)
{
	u8 in[200], out[2][600];
	struct run run[2];
	int n, level, bad = 0;
	u64 word[2];

	frame_fill(in, sizeof(in), 7);
	for (n = 0; n < 100; n++) {
		memset(out, 0, sizeof(out));
		for (level = 0; level <= 2; level += 2) {
			struct run *r = &run[level / 2];
			int prog;

			seed = n + 1;
			told = map_of_words(0);
			prog = load_at(&xdp, moat_present() ? level : 0, at_random, xdp.pass);
			*r = (struct run){ .data_in = in, .data_in_size = sizeof(in),
					   .data_out = out[level / 2], .data_out_size = 600 };
			if (prog_run(prog, r))
				bail("run: %s", strerror(errno));
			word[level / 2] = map_word(told, 0);
			close(prog);
			close(told);
		}
		if (run[0].retval == run[1].retval && word[0] == word[1] &&
		    run[0].data_out_size == run[1].data_out_size &&
		    !memcmp(out[0], out[1], sizeof(out[0])))
			continue;
		if (!bad++)
			diag("seed %d: %u bytes and %#lx at level 0, %u bytes and %#lx at level 2",
			     n + 1, run[0].data_out_size, word[0], run[1].data_out_size, word[1]);
	}
	ok(!bad, "what the packet and the program had in the head room is as at level 0");
}

int main(void)
{
	pin_to_cpu(0);
	veth_create("mtoa", "mtob", 1500);
	both_ways("xdp_adjust_head", GENERIC_XDP, on_hook, by_head);
	both_ways("xdp_adjust_head", NATIVE_XDP, on_hook, by_head);
	both_ways("xdp_adjust_head in steps", GENERIC_XDP, on_hook, by_steps);
	both_ways("xdp_adjust_meta", GENERIC_XDP, on_hook, by_meta);
	both_ways("xdp_adjust_meta", NATIVE_XDP, on_hook, by_meta);
	both_ways("both", GENERIC_XDP, on_hook, by_both);
	both_ways("both", NATIVE_XDP, on_hook, by_both);
	both_ways("xdp_load_bytes", GENERIC_XDP, on_hook, by_load_bytes);
	both_ways("xdp_load_bytes", NATIVE_XDP, on_hook, by_load_bytes);
	both_ways("a packet sent back", GENERIC_XDP, sent_back, by_sending);
	both_ways("a packet sent back", NATIVE_XDP, sent_back, by_sending);
	both_ways("metadata left", GENERIC_XDP, left_as_metadata, by_leaving_metadata);
	both_ways("metadata left", NATIVE_XDP, left_as_metadata, by_leaving_metadata);
	both_ways("tail called", GENERIC_XDP, tail_called, by_head);
	same_moves();
	return finish();
}
