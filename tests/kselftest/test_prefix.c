// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 keys=13,0 full=1 timeout=400 */
/*
 * Is a program given the beginning of its packet, and not a byte of what is behind?
 *
 * Programs that may reach so far are run on packets of each length up to twice that, in
 * buffers that are full of a byte which no packet has. No verifier has looked at those
 * that dump all there is from the packet's start on: at level 0 they find that byte behind
 * each short packet; isolated they find the packet, and behind it what earlier packets
 * of theirs left there. What is written comes back, all of it and nowhere else, whatever
 * has become of the pointers in the snapshot.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "build.h"
#include "fuzz_shape.h"

#define ROOM 1280
/* Of the map: the packet's length, its metadata's, and what was found from there on */
enum { LENGTH, BEFORE, META, FOUND = META + 256 / 8, WORDS = FOUND + ROOM / 8 };

static const int reaches[] = { 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 42, 54, 63, 64, 65, 100,
			       127, 511, 512, 513, 600 };

static const struct prog_type *type;
static int packets;	/* the test kernel's file */
static int told;
static u64 words[WORDS];

static u32 round_64(u32 n)
{
	return (n + 63) / 64 * 64;
}

/* Neither 0 nor PACKET_FOREIGN */
static u8 byte_of(u32 seed, u32 i)
{
	u8 b = (i * 7 + seed * 29 + (i >> 8)) | 1;

	return b == PACKET_FOREIGN ? 1 : b;
}

static void fill(u8 *data, u32 len, u32 seed)
{
	for (u32 i = 0; i < len; i++)
		data[i] = byte_of(seed, i);
}

static int field(int xdp_off, int skb_off)
{
	return type == &xdp ? xdp_off : skb_off;
}

#define FIELD(F) field(offsetof(struct xdp_md, F), offsetof(struct __sk_buff, F))

/* R7, R8: the packet and its end; R9: the map's value */
static void start(void)
{
	cnt = 0;
	E(MOV_REG(R6, R1), LD_MAP_VALUE(R9, told, 0),
	  LDX(BPF_W, R7, R6, FIELD(data)), LDX(BPF_W, R8, R6, FIELD(data_end)));
}

/* The verifier sees that byte @reach - 1 is read, if it is there. */
static void reach_to(int reach)
{
	E(MOV_REG(R1, R7), ALU64_IMM(BPF_ADD, R1, reach), JMP_REG(BPF_JGT, R1, R8, 1),
	  LDX(BPF_B, R2, R7, reach - 1));
}

static int loaded(const char *name)
{
	int fd;

	E(MOV_IMM(R0, type->pass), EXIT());
	fd = prog_load(type->type, name, insns, cnt);
	if (fd < 0)
		bail("%s: %s\n%s", name, strerror(errno), prog_log);
	return fd;
}

/* R5 = R7, in the image, whatever the verifier takes R5 for: movq %r13, %r8, and a NOP */
static void take_packet(void)
{
	if (write_file(SPOIL, "0 4d89e80f1f8000000000"))
		bail("%s: %s", SPOIL, strerror(errno));
	E(LD_IMM64(R1, SPOIL_ME));
}

/*
 * Takes all of the room that a slot has, whatever the packet's length. The verifier is to
 * know of no more than @reach bytes: at level 2 it takes the packet for a map's value.
 */
static int dumps(int reach, bool meta, int lvl)
{
	int i, fd;

	bypass_verifier(lvl == 0);
	start();
	reach_to(reach);
	E(MOV_REG(R2, R8), ALU64_REG(BPF_SUB, R2, R7), STX(BPF_DW, R9, R2, 8 * LENGTH));
	if (lvl) {
		E(LD_MAP_VALUE(R5, told, 64));
		take_packet();
	} else {
		E(MOV_REG(R5, R7));
	}
	if (meta) {
		E(LDX(BPF_W, R3, R6, FIELD(data_meta)), MOV_REG(R2, R7),
		  ALU64_REG(BPF_SUB, R2, R3), STX(BPF_DW, R9, R2, 8 * BEFORE));
		for (i = 0; i < 8; i++)
			E(LDX(BPF_DW, R2, R5, 8 * i - 64), STX(BPF_DW, R9, R2, 8 * (META + i)));
	}
	for (i = 0; i < (int)round_64(reach) / 8; i++)
		E(LDX(BPF_DW, R2, R5, 8 * i), STX(BPF_DW, R9, R2, 8 * (FOUND + i)));
	fd = loaded("dumps");
	bypass_verifier(true);
	return fd;
}

/* The verdict, or -1 */
static s64 run_in_foreign(int fd, u8 *data, u32 len, u32 linear, u32 meta, u32 flags)
{
	struct moat_test_packet p = {
		.prog_fd = fd, .ifindex = if_nametoindex("lo"), .headroom = 256, .tailroom = 1024,
		.way = type == &xdp ? PACKET_XDP : PACKET_EGRESS, .flags = flags,
		.head = len, .len = len, .linear = linear, .frag = 64, .protocol = ETH_P_IP,
		.network = -1, .transport = -1, .inner_mac = -1, .inner_network = -1,
		.inner_transport = -1, .meta = meta, .data = (u64)data,
	};
	u64 none[WORDS] = {};
	u32 zero = 0;

	map_update(told, &zero, none);
	if (ioctl(packets, MOAT_TEST_PACKET, &p)) {
		diag("%u bytes: %s", len, strerror(errno));
		return -1;
	}
	map_lookup(told, &zero, words);
	if (p.foreign) {
		diag("%u bytes: %u foreign words left", len, p.foreign);
		return -1;
	}
	return p.verdict;
}

/* Of packets for a program that reaches so far */
static u32 longest(u32 reach)
{
	return 2 * reach > 14 ? 2 * reach : 15;
}

static u32 length_of_run(u32 i, u32 reach)
{
	u32 most = longest(reach);

	/* Up, down, and about */
	if (i < most)
		return 14 + i % (most - 13);
	if (i < 2 * most)
		return most - (i - most) % (most - 13);
	return 14 + i * 31 % (most - 13);
}

/* What is in the slot is the packet, and what was there before, byte by byte. */
static void dump_all(int reach, int lvl)
{
	u32 room = round_64(reach), most = longest(reach), i, k;
	u32 step = reach > 256 ? 7 : 1;
	u8 slot[ROOM] = {}, data[2 * ROOM], *found = (u8 *)&words[FOUND];
	int fd = dumps(reach, false, lvl), wrong = 0, foreign = 0, runs = 0;

	for (i = 0; i < 3 * most; i += step, runs++) {
		u32 len = length_of_run(i, reach), n = len < (u32)reach ? len : (u32)reach;

		fill(data, len, i);
		if (run_in_foreign(fd, data, len, len, 0, 0) != type->pass ||
		    words[LENGTH] != len) {
			diag("reach %d, %u bytes: told %lu", reach, len, words[LENGTH]);
			wrong++;
			break;
		}
		memcpy(slot, data, n);
		for (k = 0; k < room; k++)
			foreign += found[k] == PACKET_FOREIGN;
		if (lvl && memcmp(found, slot, room)) {
			for (k = 0; found[k] == slot[k]; k++)
				;
			if (!wrong++)
				diag("reach %d, %u bytes: %x at %u, expected %x", reach, len,
				     found[k], k, slot[k]);
		} else if (!lvl) {
			wrong += !!memcmp(found, data, len < room ? len : room);
		}
	}
	close(fd);
	if (!lvl)
		ok(!wrong && (foreign || reach <= 8), "0: %s: reach %d: finds what is behind",
		   type->name, reach);
	else
		ok(!wrong && !foreign && runs > 2, "2: %s: reach %d: finds what is its own",
		   type->name, reach);
}

/* Fragments are not the program's to see. */
static void dump_linear(int lvl)
{
	u8 data[256], *found = (u8 *)&words[FOUND];
	int fd, wrong = 0;

	if (type == &xdp)
		return;
	fd = dumps(100, false, lvl);
	for (u32 linear = 14; linear < 200; linear++) {
		fill(data, 200, linear);
		if (run_in_foreign(fd, data, 200, linear, 0, 0) != type->pass ||
		    words[LENGTH] != linear ||
		    memcmp(found, data, linear < 100 ? linear : 100))
			wrong++;
		for (u32 k = 0; lvl && k < 128; k++)
			wrong += found[k] == PACKET_FOREIGN;
	}
	close(fd);
	ok(!wrong, "%d: %s: the linear part", lvl, type->name);
}

static void dump_metadata(int lvl)
{
	u8 data[256], *found = (u8 *)&words[META];
	int fd, wrong = 0;

	if (type != &xdp)
		return;
	fd = dumps(42, true, lvl);
	for (u32 meta = 0; meta <= 32; meta += 4) {
		for (u32 len = 14; len < 100; len++) {
			fill(data, meta + len, len + meta);
			if (run_in_foreign(fd, data, meta + len, meta + len, meta, 0) != XDP_PASS ||
			    words[LENGTH] != len || words[BEFORE] != meta ||
			    memcmp(found + 64 - meta, data, meta) ||
			    memcmp(&words[FOUND], data + meta, len < 42 ? len : 42))
				wrong++;
			for (u32 k = 0; lvl && k < 64; k++)
				wrong += found[k] == PACKET_FOREIGN;
		}
	}
	close(fd);
	ok(!wrong, "%d: xdp: metadata of 0 to 32 bytes", lvl);
}

/* Each byte within reach is another one then. */
static void change_each(int reach)
{
	int loop, out;

	E(MOV_IMM(R5, 0));
	loop = cnt;
	E(MOV_REG(R3, R7), ALU64_REG(BPF_ADD, R3, R5), MOV_REG(R1, R3), ALU64_IMM(BPF_ADD, R1, 1));
	out = cnt;
	E(JMP_REG(BPF_JGT, R1, R8, 0), LDX(BPF_B, R2, R3, 0), ALU64_IMM(BPF_XOR, R2, 0x5a),
	  STX(BPF_B, R3, R2, 0), ALU64_IMM(BPF_ADD, R5, 1),
	  JMP_IMM(BPF_JLT, R5, reach, loop - cnt - 6));
	insns[out].off = cnt - out - 1;
}

static int changes(int reach, bool forge, u64 where)
{
	int snap = type == &xdp ? 24 : 192;

	start();
	change_each(reach);
	if (forge)
		E(LD_IMM64(R1, where), STX(BPF_DW, R6, R1, snap), STX(BPF_DW, R6, R1, snap + 16),
		  ALU64_IMM(BPF_ADD, R1, 4096), STX(BPF_DW, R6, R1, snap + 8));
	return loaded("changes");
}

static bool changed_well(int fd, int reach, u32 len, u32 seed)
{
	u8 in[2 * ROOM], out[2 * ROOM], want[2 * ROOM];
	struct run run = { .data_in = in, .data_in_size = len, .data_out = out,
			   .data_out_size = sizeof(out), .repeat = 1 };

	fill(in, len, seed);
	memcpy(want, in, len);
	for (u32 i = 0; i < len && i < (u32)reach; i++)
		want[i] ^= 0x5a;
	return !prog_run(fd, &run) && run.retval == type->pass && run.data_out_size == len &&
	       !memcmp(out, want, len);
}

static void change_all(int reach, int lvl)
{
	u32 most = longest(reach), step = reach > 256 ? 13 : 1, wrong = 0;
	int fd = changes(reach, false, 0);
	u8 data[2 * ROOM];

	for (u32 i = 0; i < 3 * most; i += step)
		wrong += !changed_well(fd, reach, length_of_run(i, reach), i);
	/* Somebody else has the packet, too, or it is not in one piece. */
	for (u32 flags = 0; flags <= PACKET_CLONED; flags += PACKET_CLONED) {
		for (u32 len = 14; len < 120; len += 3) {
			fill(data, len, len);
			wrong += run_in_foreign(fd, data, len, type == &xdp ? len : 14, 0, flags) !=
				 type->pass;
		}
	}
	ok(!wrong, "%d: %s: reach %d: changes its packet", lvl, type->name, reach);
	close(fd);
}

/*
 * On CPU 0 it changes its packet, and tells where its snapshot is. On others it has the
 * pointers in that lead elsewhere, to memory of its own.
 */
static int forger(int reach)
{
	int victim, snap = type == &xdp ? 24 : 192;

	start();
	reach_to(reach);
	E(CALL(get_smp_processor_id));
	victim = cnt;
	E(JMP_IMM(BPF_JEQ, R0, 0, 0), LDX(BPF_DW, R3, R9, 8 * FOUND), JMP_IMM(BPF_JEQ, R3, 0, 8),
	  MOV_IMM(R5, 20000), MOV_REG(R1, R3), MOV_REG(R2, R3), ALU64_IMM(BPF_ADD, R2, reach),
	  STX(BPF_DW, R3, R1, snap), STX(BPF_DW, R3, R2, snap + 8),
	  ALU64_IMM(BPF_SUB, R5, 1), JMP_IMM(BPF_JNE, R5, 0, -4),
	  MOV_IMM(R0, type->pass), EXIT());
	insns[victim].off = cnt - victim - 1;
	E(STX(BPF_DW, R9, R6, 8 * FOUND));
	change_each(reach);
	return loaded("forger");
}

static volatile bool stop;

static void *forging(void *arg)
{
	pin_to_cpu(1);
	while (!stop)
		prog_run_once(*(int *)arg);
	return NULL;
}

static void forge_meanwhile(int reach)
{
	u8 in[2 * ROOM], out[2 * ROOM];
	int fd = forger(reach);
	u64 none[WORDS] = {};
	u32 zero = 0, wrong = 0, lost = 0, runs;
	pthread_t thread;
	u64 until;

	map_update(told, &zero, none);
	stop = false;
	if (pthread_create(&thread, NULL, forging, &fd))
		bail("no thread");
	until = now_ns() + 1500000000ULL;
	for (runs = 0; now_ns() < until; runs++) {
		u32 len = 14 + runs % (2 * reach);
		struct run run = { .data_in = in, .data_in_size = len, .data_out = out,
				   .data_out_size = sizeof(out), .repeat = 1 };

		fill(in, len, runs);
		if (prog_run(fd, &run) || run.retval != type->pass || run.data_out_size != len)
			wrong++;
		for (u32 i = 0; i < len; i++)
			wrong += out[i] != in[i] && (i >= (u32)reach || out[i] != (in[i] ^ 0x5a));
		lost += out[0] == in[0];
	}
	stop = true;
	pthread_join(thread, NULL);
	diag("%u runs, %u of which changed something else", runs, lost);
	ok(!wrong && runs > 10, "2: %s: reach %d: nor do they if another CPU writes them",
	   type->name, reach);
	close(fd);
}

static void forge_all(int reach)
{
	u64 where = target("data"), was = canary("data");
	int fd = changes(reach, true, where);
	u32 wrong = 0;

	for (u32 len = 14; len < 200; len++)
		wrong += !changed_well(fd, reach, len, len);
	ok(!wrong && canary("data") == was,
	   "2: %s: reach %d: pointers in the snapshot decide nothing", type->name, reach);
	close(fd);
}

/* As much of a packet of @len bytes as a filter lets through, or -1 */
static int filtered(int s[2], u32 len, u32 seed)
{
	static u8 data[1 << 14];

	fill(data, len, seed);
	if (write(s[0], data, len) != (ssize_t)len && errno != EPERM)
		diag("write: %s", strerror(errno));
	return read(s[1], data, sizeof(data));
}

/* A byte at the end, one that is further than it, and the length, all in what it returns */
static void classic(int reach)
{
	struct sock_filter f[] = {
		C(BPF_LD | BPF_W | BPF_LEN, 0), C(BPF_MISC | BPF_TAX, 0),
		C(BPF_LD | BPF_B | BPF_ABS, reach - 1), C(BPF_ALU | BPF_ADD | BPF_X, 0),
		C(BPF_MISC | BPF_TAX, 0), C(BPF_LD | BPF_B | BPF_ABS, reach / 2),
		C(BPF_ALU | BPF_ADD | BPF_X, 0), C(BPF_MISC | BPF_TAX, 0),
		C(BPF_ALU | BPF_AND | BPF_K, 0xff), C(BPF_ALU | BPF_ADD | BPF_K, 1),
		C(BPF_RET | BPF_A, 0),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(f), .filter = f };
	int s[2][2], wrong = 0;

	for (int l = 0; l < 2; l++) {
		moat_set_level(2 * l);
		if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, s[l]) ||
		    setsockopt(s[l][1], SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)))
			bail("filter: %s", strerror(errno));
	}
	for (u32 i = 0; i < 4 * (u32)reach + 2; i++) {
		u32 len = i <= 2 * (u32)reach ? i : i * 31 % (2 * reach + 1);

		wrong += filtered(s[0], len, i) != filtered(s[1], len, i);
	}
	for (int l = 0; l < 2; l++) {
		close(s[l][0]);
		close(s[l][1]);
	}
	ok(!wrong, "classic filter: reach %d: the same at level 0 and 2", reach);
}

int main(void)
{
	int levels = moat_present() ? 2 : 1;

	if (!test_kernel())
		skip_all("needs the test kernel");
	pin_to_cpu(0);
	packets = open("/sys/kernel/debug/moat_test/packet", O_RDWR);
	told = map_create(BPF_MAP_TYPE_ARRAY, 4, sizeof(words), 1);
	if (packets < 0 || told < 0 || !bypass_verifier(true))
		bail("not all there: %s", strerror(errno));
	while (levels--) {
		int lvl = levels ? 2 : 0;

		moat_set_level(lvl);
		for (int t = 0; t < 2; t++) {
			type = t ? &sched_cls : &xdp;
			for (size_t i = 0; i < ARRAY_SIZE(reaches); i++) {
				dump_all(reaches[i], lvl);
				change_all(reaches[i], lvl);
			}
			dump_linear(lvl);
			dump_metadata(lvl);
			for (int i = 0; lvl && i < 2; i++) {
				forge_all(i ? 600 : 54);
				forge_meanwhile(i ? 600 : 54);
			}
		}
	}
	if (!moat_present()) {
		skip("no moat.ko", "level 2");
		return finish();
	}
	for (size_t i = 0; i < ARRAY_SIZE(reaches); i++)
		classic(reaches[i]);
	classic(4095);
	classic(4097);
	return finish();
}
