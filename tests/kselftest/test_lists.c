// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=0,2 keys=13,0 full=1 */
/*
 * Can the kernel segment a packet that GRO made a list of buffers of, after a program
 * has changed it?
 *
 * skb_segment() has the buffers begin where segments do, by the lengths of the headers
 * that GRO saw. Where a program says something else, it was a BUG_ON, and is an error
 * with patch 0016. At level 0 a change must come to that, at level 2 none may.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "build.h"
#include "fuzz_shape.h"

#define MSS	100
#define HEADERS	54
#define SEGMENTS 8
#define TCPV4	1	/* SKB_GSO_TCPV4 */
#define PARTIAL	3	/* CHECKSUM_PARTIAL */
/* Of a device: NETIF_F_SG, NETIF_F_HW_CSUM */
#define SG	1
#define HW_CSUM	8

static int level;
static u8 data[HEADERS + SEGMENTS * MSS];

/* Ethernet, IPv4 and TCP, then bytes that tell where they were. */
static void packet(void)
{
	static const u8 ip[] = { 0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, IPPROTO_TCP, 0, 0,
				 10, 0, 0, 1, 10, 0, 0, 2 };
	size_t i;

	memset(data, 2, 12);
	data[12] = 8;
	data[13] = 0;
	memcpy(data + 14, ip, sizeof(ip));
	data[16] = (sizeof(data) - 14) >> 8;
	data[17] = (u8)(sizeof(data) - 14);
	memset(data + 34, 0, 20);
	data[46] = 0x50;
	data[47] = 0x10;
	for (i = HEADERS; i < sizeof(data); i++)
		data[i] = 1 + i % 0x4f;
}

enum { LINEAR, PAGE_FRAGMENTS, NR_KINDS };
static const char *const kind_name[] = { "buffers", "page fragments" };

/* The first segment's worth is in the packet's own head, the rest in the list. */
static int run(int prog, int kind, u64 features, struct moat_test_packet *p)
{
	int fd = open("/sys/kernel/debug/moat_test/packet", O_RDWR | O_CLOEXEC), ret;

	packet();
	*p = (struct moat_test_packet){
		.prog_fd = prog, .ifindex = if_nametoindex("lo"), .way = PACKET_EGRESS,
		.after = PACKET_SEGMENT, .headroom = 128, .len = sizeof(data),
		.head = HEADERS + MSS, .linear = HEADERS + MSS, .list = MSS, .payload = HEADERS,
		.gso_type = TCPV4, .gso_size = MSS, .gso_segs = SEGMENTS, .ip_summed = PARTIAL,
		.csum_start = 34, .csum_offset = 16, .protocol = 0x0800, .network = 14,
		.transport = 34, .inner_mac = -1, .inner_network = -1, .inner_transport = -1,
		.data = (uintptr_t)data, .features = features,
		.flags = kind == PAGE_FRAGMENTS ? PACKET_HEAD_FRAG | PACKET_LIST_HEAD_FRAG : 0,
	};
	ret = ioctl(fd, MOAT_TEST_PACKET, p) ? -errno : 0;
	close(fd);
	return ret;
}

/* One byte of the packet, by a store of its own */
static void write_byte(int off, int value)
{
	E(LDX(BPF_W, R2, R1, offsetof(struct __sk_buff, data)),
	  LDX(BPF_W, R3, R1, offsetof(struct __sk_buff, data_end)),
	  MOV_REG(R4, R2), ALU64_IMM(BPF_ADD, R4, HEADERS), JMP_REG(BPF_JGT, R4, R3, 1),
	  ST(BPF_B, R2, off, value));
}

static void store_byte(int off, int value)
{
	E(ST(BPF_B, R10, -8, value), MOV_IMM(R2, off), MOV_REG(R3, R10),
	  ALU64_IMM(BPF_ADD, R3, -8), MOV_IMM(R4, 1), MOV_IMM(R5, 0), CALL(skb_store_bytes));
}

static void writes_doff(void)
{
	write_byte(46, 0x80);
}

static void stores_doff(void)
{
	store_byte(46, 0x80);
}

static void pulls_some(void)
{
	E(MOV_IMM(R2, HEADERS + 2 * MSS + 30), CALL(skb_pull_data));
}

/* Nobody may mind. */
static void writes_an_address(void)
{
	write_byte(29, 9);
}

static const struct {
	const char *what;
	void (*body)(void);
	bool harmless;	/* at level 0 */
	u32 longer;	/* by which headers are then, of which the packet has more */
} changes[] = {
	{ "writes an address", writes_an_address, true, 0 },
	{ "pulls a part of the list", pulls_some, true, 0 },
	{ "writes another length of its TCP header", writes_doff, false, 12 },
	{ "has a helper write it", stores_doff, false, 12 },
};

static int load(int i)
{
	cnt = 0;
	E(MOV_REG(R6, R1));
	changes[i].body();
	E(MOV_IMM(R0, sched_cls.pass), EXIT());
	return must_load(&sched_cls, "lists", level);
}

/*
 * A program that writes is given one buffer. If there was no memory for that, helpers
 * are not to make one after all: what it writes goes back to where it was copied from.
 */
static void no_memory(void)
{
	int told = map_of_words(0), prog, parts = 0, wholes = 0, wrong = 0, round, n;

	cnt = 0;
	E(MOV_REG(R6, R1), LD_MAP_VALUE(R9, told, 0),
	  LDX(BPF_W, R7, R1, offsetof(struct __sk_buff, data_end)),
	  LDX(BPF_W, R8, R1, offsetof(struct __sk_buff, data)), ALU64_REG(BPF_SUB, R7, R8),
	  STX(BPF_DW, R9, R7, 0));
	write_byte(29, 9);
	E(MOV_IMM(R2, sizeof(data)), CALL(skb_pull_data), STX(BPF_DW, R9, R0, 8),
	  MOV_IMM(R0, sched_cls.pass), EXIT());
	prog = prog_load(BPF_PROG_TYPE_SCHED_CLS, "lists", insns, cnt);
	if (prog < 0)
		bail("lists: %s\n%s", strerror(errno), prog_log);

	/*
	 * Each allocation in turn, those for the packet itself included. Now and then there is
	 * one more, when a slab is used up, and the one for the buffer is passed over.
	 */
	for (round = 0, n = 0; n < 200 && round < 5; n++) {
		struct moat_test_packet p;
		s64 pulled;
		int ret;

		fail_alloc(n, "now");
		ret = run(prog, LINEAR, SG | HW_CSUM, &p);
		fail_alloc(-1, "");
		pulled = map_word(told, 1);
		if (!ret && map_word(told, 0) == sizeof(data)) {
			wholes += !pulled;
		} else if (!ret && map_word(told, 0)) {
			parts++;
			wrong += pulled >= 0;
		}
		wrong += !ret && p.foreign;
		if (!failed_allocs() && parts)
			break;
		if (!failed_allocs()) {
			n = -1;
			round++;
		}
	}
	ok(!wrong && parts && wholes, "2: no memory for one buffer: helpers leave the list alone");
	if (wrong || !parts || !wholes)
		diag("%d lists, %d of which were pulled; %d buffers; %d allocations", parts, wrong,
		     wholes, n);
	close(prog);
	close(told);
}

int main(void)
{
	static const u64 features[] = { SG | HW_CSUM, HW_CSUM };
	size_t i, j, kind;

	if (!test_kernel())
		skip_all("needs the test kernel");
	level = moat_level_asked();
	for (i = 0; i < ARRAY_SIZE(changes); i++) {
		bool all = true;

		for (kind = 0; kind < NR_KINDS; kind++) {
			for (j = 0; j < ARRAY_SIZE(features); j++) {
				struct moat_test_packet p;
				int prog = load(i), ret = run(prog, kind, features[j], &p);
				/* The packet itself, and then each segment with its headers */
				u32 extra = changes[i].longer, bytes = sizeof(data) +
					    SEGMENTS * (HEADERS + extra) + SEGMENTS * MSS - extra;
				bool well = !ret && !p.foreign && p.segments == SEGMENTS &&
					    p.scanned == bytes;

				if (ret || p.foreign || (!well && p.segments))
					bail("a list of %s: error %d, %u segments of %u bytes, not %u",
					     kind_name[kind], ret, p.segments, p.scanned, bytes);
				if (!well)
					diag("a list of %s, features %#llx: error %d, %u segments",
					     kind_name[kind], (unsigned long long)features[j],
					     ret, p.segments);
				all &= well;
				close(prog);
			}
		}
		ok(all == (level || changes[i].harmless), "%d: %s: can%s be segmented", level,
		   changes[i].what, level || changes[i].harmless ? "" : "not always");
	}
	if (level)
		no_memory();
	return finish();
}
