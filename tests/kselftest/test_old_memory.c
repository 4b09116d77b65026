// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 keys=13,1,0 timeout=300 */
/*
 * Does what the kernel had in the head room of a packet stay there?
 *
 * XDP programs that move the start of the packet, or of its metadata, down to where
 * old kernel memory is, and read it or send it on: they get some at level 0, and none
 * when they are isolated. And what the packet or the program had there stays as it is.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "build.h"
#include "packets.h"

#define HEAD 192
#define META 32
#define FRAME 300
#define PACKETS 300

/* Another program's memory, for which the kernel had a use meanwhile */
#define SECRET 0x5353535353535353ULL

static void leave_secrets(void)
{
	static const size_t sizes[] = { 150, 600, 1500, 3000 };
	u64 secret[512], back[512];
	size_t i, k;
	int s[2];
	u64 *page;

	for (i = 0; i < 512; i++)
		secret[i] = SECRET;
	page = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED || socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, s))
		bail("no secrets: %s", strerror(errno));
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		for (k = 0; k < 4; k++)
			if (write(s[0], secret, sizes[i]) < 0)
				break;
	while (read(s[1], back, sizeof(back)) > 0)
		;
	close(s[0]);
	close(s[1]);
	for (i = 0; i < (1 << 16) / 8; i++)
		page[i] = SECRET;
	munmap(page, 1 << 16);
}

/* What a program tells: how often it ran, found something, in how many words */
enum { RUNS, FOUND, WORDS, SECRETS, ERRORS };

static int told;

static void count(int word)
{
	E(MOV_IMM(R1, 1), ATOMIC(BPF_DW, BPF_ADD, R9, R1, 8 * word));
}

static void start(void)
{
	cnt = 0;
	E(MOV_REG(R6, R1), LD_MAP_VALUE(R9, told, 0));
	count(RUNS);
}

static void move(int helper, int by)
{
	E(MOV_REG(R1, R6), MOV_IMM(R2, by),
	  INSN(BPF_JMP | BPF_CALL, 0, 0, 0, helper),
	  JMP_IMM(BPF_JEQ, R0, 0, 2));
	count(ERRORS);
}

/* Counts what is not zero in @n words from @reg, which it may read. */
static void look(int reg, int off, int n)
{
	int i;

	E(MOV_IMM(R0, 0), LD_IMM64(R3, SECRET));
	for (i = 0; i < n; i++) {
		E(LDX(BPF_DW, R2, reg, off + 8 * i), JMP_IMM(BPF_JEQ, R2, 0, 6),
		  MOV_IMM(R0, 1));
		count(WORDS);
		E(JMP_REG(BPF_JNE, R2, R3, 2));
		count(SECRETS);
	}
	E(JMP_IMM(BPF_JEQ, R0, 0, 2));
	count(FOUND);
}

/* R7 = from there, R8 = to there, if there are @len bytes between; else ERRORS */
static int between(int from, int to, int len)
{
	E(LDX(BPF_W, R7, R6, from), LDX(BPF_W, R8, R6, to),
	  MOV_REG(R1, R7), ALU64_IMM(BPF_ADD, R1, len), JMP_REG(BPF_JGT, R1, R8, 0));
	return cnt - 1;
}

/* Where the program goes if there are not. */
static void otherwise(int jump)
{
	E(JA(2));
	insns[jump].off = cnt - jump - 1;
	count(ERRORS);
}

#define XDP_DATA offsetof(struct xdp_md, data)
#define XDP_DATA_END offsetof(struct xdp_md, data_end)
#define XDP_DATA_META offsetof(struct xdp_md, data_meta)

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

/* Not for those that come after it */
static void by_real_metadata(void)
{
	int i, jump;

	start();
	move(BPF_FUNC_xdp_adjust_meta, -META);
	jump = between(XDP_DATA_META, XDP_DATA, META);
	for (i = 0; i < META; i += 8)
		E(ST(BPF_DW, R7, i, 0x1111));
	otherwise(jump);
}

/* What is said to be metadata, if anything is */
static void look_before_packet(void)
{
	int jump = between(offsetof(struct __sk_buff, data_meta),
			   offsetof(struct __sk_buff, data), META);

	look(R7, 0, META / 8);
	insns[jump].off = cnt - jump - 1;
}

static void by_looking(void)
{
	start();
	look_before_packet();
}

/* The packet grows at its head, and the metadata is said to be before that. */
static void by_change_head(void)
{
	start();
	E(MOV_IMM(R3, 0));
	move(BPF_FUNC_skb_change_head, 64);
	look_before_packet();
}

/* Those that by_real_metadata() left */
static void by_counting_metadata(void)
{
	int i, jump;

	start();
	jump = between(offsetof(struct __sk_buff, data_meta),
		       offsetof(struct __sk_buff, data), META);
	for (i = 0; i < META; i += 8) {
		E(LDX(BPF_DW, R2, R7, i), JMP_IMM(BPF_JNE, R2, 0x1111, 2));
		count(FOUND);
	}
	otherwise(jump);
}

/* By as much as there is room for, but not for the metadata */
static void by_filling_the_head_room(void)
{
	int jump;

	start();
	E(MOV_IMM(R3, 0));
	move(BPF_FUNC_skb_change_head, 240);
	jump = between(offsetof(struct __sk_buff, data_meta),
		       offsetof(struct __sk_buff, data), META);
	count(FOUND);
	insns[jump].off = cnt - jump - 1;
}

static int load(const struct prog_type *type, int level, void (*body)(void), u32 verdict)
{
	int fd;

	moat_set_level(level);
	body();
	E(MOV_IMM(R0, verdict), EXIT());
	fd = prog_load(type->type, "old_memory", insns, cnt);
	if (fd < 0)
		bail("the program does not load: %s\n%s", strerror(errno), prog_log);
	if (level && moat_layer(fd) == NONE)
		bail("the program is not isolated");
	return fd;
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
	prog = load(&xdp, level, body, xdp.pass);
	hook_attach(hook, to, prog);
	n = frames(from, to);
	hook_detach(hook, to);
	close(prog);
	close(told);
	return n;
}

/* @attack says how often there was something. */
static void both_ways(const char *what, enum hook hook,
		      u64 (*attack)(enum hook, int, void (*)(void)), void (*body)(void))
{
	u64 n;
	int level;

	n = attack(hook, 0, body);
	ok((s64)n > 0, "level 0: %s, %s: shows old memory", hook_name[hook], what);
	for (level = 1; level <= 2; level++) {
		if (!moat_present())
			skip("no moat.ko", "level %d: %s, %s", level, hook_name[hook], what);
		else
			ok(attack(hook, level, body) == 0, "level %d: %s, %s: shows none", level,
			   hook_name[hook], what);
	}
}

static int pass_at_level_0(void)
{
	const struct bpf_insn pass[] = { MOV_IMM(R0, 2), EXIT() };
	int fd;

	moat_set_level(0);
	fd = PROG_LOAD(BPF_PROG_TYPE_XDP, "pass", pass);
	if (fd < 0)
		bail("the program does not load: %s", strerror(errno));
	return fd;
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
	prog = load(&xdp, level, body, 3 /* XDP_TX */);
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
	prog = load(&xdp, level, body, xdp.pass);
	told = map_of_words(0);
	reader = load(&sched_cls, 0, look_at_metadata, 0);
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

/* Frames that go in at mtob, each seen by the program that tells before the next */
static void packets_seen(void)
{
	int out = frame_socket("mtob"), i, k;

	for (i = 0; i < PACKETS; i++) {
		leave_secrets();
		frame_fill(frame, FRAME, i);
		frame_send(out, frame, FRAME, true);
		for (k = 0; k < 1000 && map_word(told, RUNS) <= (u64)i; k++)
			usleep(1000);
	}
	close(out);
}

/* The metadata of an XDP program, after a tc program has moved the packet */
static u64 before_packet(enum hook hook, int level, void (*body)(void))
{
	int prog, mover, map;
	u64 found;

	told = map_of_words(0);
	map = told;
	prog = load(&xdp, level, by_real_metadata, xdp.pass);
	told = map_of_words(0);
	mover = load(&sched_cls, level, body, sched_cls.safe);
	hook_attach(hook, "mtoa", prog);
	hook_attach(TC_INGRESS, "mtoa", mover);
	packets_seen();
	hook_detach(TC_INGRESS, "mtoa");
	hook_detach(hook, "mtoa");
	found = map_word(told, FOUND);
	diag("%lu times in %lu packets, %lu errors", found, map_word(told, RUNS),
	     map_word(told, ERRORS));
	if (map_word(map, ERRORS) || map_word(told, ERRORS) || map_word(told, RUNS) != PACKETS)
		found = -1;
	close(prog);
	close(mover);
	close(map);
	close(told);
	return found;
}

/* Metadata that nothing was pushed before is there. */
static void real_metadata(enum hook hook)
{
	int level;

	for (level = 0; level <= 2; level += 2) {
		u64 words;

		if (level && !moat_present()) {
			skip("no moat.ko", "level 2: metadata");
			continue;
		}
		words = before_packet(hook, level, by_counting_metadata);
		if (!ok(words == PACKETS * META / 8, "level %d: %s: metadata is there", level,
			hook_name[hook]))
			diag("%lu words", words);
	}
}

/* A tunnel pushes its header before metadata and packet. */
static u64 behind_tunnel(enum hook hook, int level, void (*body)(void))
{
	int prog, sender, looker, map;
	u64 found;

	told = map_of_words(0);
	map = told;
	prog = load(&xdp, level, by_real_metadata, xdp.pass);
	told = map_of_words(0);
	looker = load(&sched_cls, level, body, sched_cls.pass);
	moat_set_level(0);
	cnt = 0;
	E(MOV_IMM(R1, if_nametoindex("mtog")), MOV_IMM(R2, 0), CALL(redirect), EXIT());
	sender = prog_load(BPF_PROG_TYPE_SCHED_CLS, "sender", insns, cnt);
	if (sender < 0)
		bail("sender: %s", strerror(errno));
	hook_attach(hook, "mtoa", prog);
	hook_attach(TC_INGRESS, "mtoa", sender);
	hook_attach(TC_EGRESS, "mtod", looker);
	packets_seen();
	hook_detach(TC_EGRESS, "mtod");
	hook_detach(TC_INGRESS, "mtoa");
	hook_detach(hook, "mtoa");
	found = map_word(told, FOUND);
	diag("%lu times in %lu packets", found, map_word(told, RUNS));
	if (map_word(map, ERRORS) || map_word(told, RUNS) != PACKETS)
		found = -1;
	close(prog);
	close(sender);
	close(looker);
	close(map);
	close(told);
	return found;
}

/* Leaves a secret in the head room of a page that the next packet gets, and no packet. */
static void by_leaving_secrets(void)
{
	int i, jump;

	start();
	/* Metadata and what the kernel knows of the frame need the rest. */
	move(BPF_FUNC_xdp_adjust_head, -128);
	jump = between(XDP_DATA, XDP_DATA_END, 128);
	E(LD_IMM64(R3, SECRET));
	for (i = 0; i < 128; i += 8)
		E(STX(BPF_DW, R7, R3, i));
	otherwise(jump);
}

/* Generic XDP moves a packet that came with metadata, which it does not know of. */
static void by_moving_away(void)
{
	start();
	move(BPF_FUNC_xdp_adjust_head, -64);
}

/* Frames with metadata, as a driver's XDP leaves them, on a device with generic XDP */
static u64 behind_generic_xdp(enum hook hook, int level, void (*body)(void))
{
	struct xdp_md md = { .data = META, .data_end = META + FRAME,
			     .ingress_ifindex = if_nametoindex("lo") };
	static u8 frame_with_metadata[META + FRAME];
	struct run run = { .data_in = frame_with_metadata, .ctx_in = &md,
			   .data_in_size = META + FRAME, .ctx_in_size = sizeof(md), .repeat = 1,
			   .flags = 1U << 1 /* BPF_F_TEST_XDP_LIVE_FRAMES */ };
	int pass = pass_at_level_0(), dirty, dirt, mover, looker, map, i;
	u64 found;

	told = map_of_words(0);
	dirt = told;
	dirty = load(&xdp, 0, by_leaving_secrets, 1 /* XDP_DROP */);
	told = map_of_words(0);
	map = told;
	mover = load(&xdp, level, by_moving_away, xdp.pass);
	told = map_of_words(0);
	looker = load(&sched_cls, level, body, sched_cls.safe);
	hook_attach(hook, "lo", mover);
	hook_attach(TC_INGRESS, "lo", looker);
	for (i = 0; i < PACKETS; i++) {
		frame_fill(frame_with_metadata + META, FRAME, i);
		if (prog_run(dirty, &run) || prog_run(pass, &run))
			bail("run: %s", strerror(errno));
	}
	hook_detach(TC_INGRESS, "lo");
	hook_detach(hook, "lo");
	found = map_word(told, FOUND);
	diag("%lu times in %lu packets", found, map_word(told, RUNS));
	if (map_word(map, ERRORS) || map_word(dirt, ERRORS) || map_word(told, RUNS) != PACKETS)
		found = -1;
	close(pass);
	close(dirty);
	close(dirt);
	close(mover);
	close(looker);
	close(map);
	close(told);
	return found;
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
	prog = load(&xdp, level, body, xdp.pass);
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
			prog = load(&xdp, moat_present() ? level : 0, at_random, xdp.pass);
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
	both_ways("metadata after skb_change_head", NATIVE_XDP, before_packet, by_change_head);
	both_ways("metadata without room", NATIVE_XDP, before_packet, by_filling_the_head_room);
	if (system("ip link add mtod type dummy && ip addr add 10.9.6.1/24 dev mtod && "
		   "echo 1 >/proc/sys/net/ipv6/conf/mtod/disable_ipv6 && ip link set mtod up && "
		   "ip neigh replace 10.9.6.2 lladdr 02:02:02:02:02:02 dev mtod && ip link add mtog "
		   "type gretap remote 10.9.6.2 local 10.9.6.1 && "
		   "echo 1 >/proc/sys/net/ipv6/conf/mtog/disable_ipv6 && ip link set mtog up"))
		bail("no tunnel");
	both_ways("metadata behind a tunnel's header", NATIVE_XDP, behind_tunnel, by_looking);
	if (system("ip link del mtog && ip link del mtod"))
		diag("the tunnel stays");
	both_ways("metadata that was elsewhere", GENERIC_XDP, behind_generic_xdp, by_looking);
	real_metadata(GENERIC_XDP);
	real_metadata(NATIVE_XDP);
	both_ways("tail called", GENERIC_XDP, tail_called, by_head);
	same_moves();
	return finish();
}
