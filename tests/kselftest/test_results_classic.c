// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=product levels=2 cpus=2 keys=13 full=0,1 timeout=600 */
/*
 * Do classic filters return what they have to, whatever they load: plain, confined, and
 * isolated?
 *
 * usage: test_results_classic [SEED [COUNT]]
 *
 * An interpreter that compares no offset with a length, in front of memory that is not
 * mapped (classic.c), says what that is. Filters: every code there could be; every form of
 * a load at every edge of packets in one piece or with fragments; arithmetic at its edges;
 * the longest jumps; COUNT at random. A filter lets through as many bytes as some bits of
 * its result say: the packet begins with which bits.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "classic.h"

enum mode { PLAIN, CONFINED, ISOLATED, MODES };

static const char *const mode_name[] = { "plain", "confined", "isolated" };

/* What a packet begins with: how far to shift the result, and what to leave of it */
#define HEAD 3
/* Where there are attributes, of type 3 and 5 */
#define ATTRS 8
#define LARGE 5000
#define HUGE 70000

/* Which filters a packet is for: those, and all after them */
enum { ALWAYS, LOADS, RANDOM };

static struct packet {
	u32 len, shift, mask;
	int when;
	struct classic_input in;
} packets[] = {
#define P(LEN, SHIFT, MASK, WHEN) { .len = LEN, .shift = SHIFT, .mask = MASK, .when = WHEN }
	P(300, 0, 0xff, ALWAYS), P(300, 8, 0xff, ALWAYS), P(300, 16, 0xff, ALWAYS),
	P(300, 24, 0xff, ALWAYS),
	P(0, 0, 0, LOADS), P(1, 0, 0, LOADS), P(2, 0, 0, LOADS), P(3, 0, 0, LOADS),
	P(4, 0, 0, LOADS), P(5, 0, 0, LOADS), P(8, 0, 0, LOADS), P(60, 0, 0, LOADS),
	P(LARGE, 0, 0xfff, LOADS), P(LARGE, 12, 0xfff, RANDOM), P(LARGE, 24, 0xfff, RANDOM),
	P(HUGE, 0, 0xffff, LOADS), P(HUGE, 16, 0xffff, RANDOM),
};

#define PACKETS ARRAY_SIZE(packets)

static int modes = MODES;
static u32 filters, sent, reach;
static int pair[MODES][2];

/* At level 0 `confined` means nothing. */
static void set_mode(enum mode mode)
{
	static enum mode now = MODES;
	static int level, confined;

	if (!moat_present() || mode == now)
		return;
	if (now == MODES) {
		level = open("/proc/sys/kernel/moat/socket_filter", O_WRONLY);
		confined = open("/proc/sys/kernel/moat/confined", O_WRONLY);
	}
	now = mode;
	if (pwrite(confined, mode == ISOLATED ? "0" : "1", 1, 0) != 1 ||
	    pwrite(level, mode == PLAIN ? "0" : "2", 1, 0) != 1)
		bail("the sysctls of classic filters: %s", strerror(errno));
}

/* Whether the kernel takes it; -1 if not for the usual reason */
static int attach(enum mode mode, const struct sock_filter *insns, u32 n)
{
	struct sock_fprog prog = { .len = n, .filter = (struct sock_filter *)insns };

	set_mode(mode);
	if (!setsockopt(pair[mode][1], SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)))
		return true;
	return errno == EINVAL ? false : -1;
}

/* How many bytes of the packet arrive, or -1 */
static s64 arrives(enum mode mode, const struct packet *p)
{
	char byte;

	sent++;
	if (send(pair[mode][0], p->in.bytes, p->len, 0) != p->len)
		bail("send: %s", strerror(errno));
	return recv(pair[mode][1], &byte, 1, MSG_TRUNC | MSG_DONTWAIT);
}

static s64 expected(const struct sock_filter *insns, u32 n, const struct packet *p)
{
	u32 ret = classic_run(insns, n, &p->in);

	if (!ret)
		return -1;
	return ret < p->len ? ret : p->len;
}

static void show(const struct sock_filter *insns, u32 n)
{
	for (u32 i = 0; i < n; i++)
		diag("  %u: code %#x jt %u jf %u k %#x", i, insns[i].code, insns[i].jt,
		     insns[i].jf, insns[i].k);
}

/* Whether it does as it should in each of the modes, with packets for @when. */
static bool right(const struct sock_filter *insns, u32 n, int when)
{
	bool valid = classic_valid(insns, n, false);
	bool good = true;

	filters += valid;
	for (int mode = 0; mode < modes && good; mode++) {
		int taken = attach(mode, insns, n);

		if (taken != valid) {
			diag("%s: %s", mode_name[mode], taken > 0 ? "attached" : strerror(errno));
			good = false;
			break;
		}
		for (size_t i = 0; valid && i < PACKETS; i++) {
			s64 is, due;

			if (packets[i].when > when)
				continue;
			due = expected(insns, n, &packets[i]);
			is = arrives(mode, &packets[i]);
			if (is == due)
				continue;
			diag("%s: %u bytes, shifted by %u: %ld, not %ld", mode_name[mode],
			     packets[i].len, packets[i].shift, is, due);
			good = false;
		}
	}
	if (!good)
		show(insns, n < 64 ? n : 64);
	return good;
}

/* Returns what A has, as a length that shows it. */
static void show_a(struct classic *c)
{
	ADD(c, C(BPF_ST, 0), C(BPF_LD | BPF_B | BPF_ABS, 0), C(BPF_MISC | BPF_TAX, 0),
	    C(BPF_LD | BPF_MEM, 0), C(BPF_ALU | BPF_RSH | BPF_X, 0), C(BPF_ST, 0),
	    C(BPF_LD | BPF_H | BPF_ABS, 1), C(BPF_MISC | BPF_TAX, 0), C(BPF_LD | BPF_MEM, 0),
	    C(BPF_ALU | BPF_AND | BPF_X, 0), C(BPF_ALU | BPF_ADD | BPF_K, 1), C(BPF_RET | BPF_A, 0));
}

/* One that shows @insn's result, and one that shows whether there is one. */
static bool load_is_right(u32 x, struct sock_filter insn)
{
	struct classic value = {}, there = {};

	ADD(&value, C(BPF_LDX | BPF_IMM, x), C(BPF_LD | BPF_IMM, 0x5eed5eed), insn);
	there = value;
	if (BPF_CLASS(insn.code) == BPF_LDX)
		ADD(&value, C(BPF_MISC | BPF_TXA, 0));
	show_a(&value);
	ADD(&there, C(BPF_RET | BPF_K, -1));
	return right(value.insns, value.n, LOADS) && right(there.insns, there.n, LOADS);
}

static u32 offsets[1000], nr_offsets;

static void offset(u32 off)
{
	for (u32 i = 0; i < nr_offsets; i++)
		if (offsets[i] == off)
			return;
	offsets[nr_offsets++] = off;
}

static void edge(u32 at)
{
	for (int d = -4; d <= 1; d++)
		offset(at + d);
}

static void find_edges(void)
{
	for (size_t i = 0; i < PACKETS; i++) {
		edge(packets[i].len);
		edge(SKF_NET_OFF + packets[i].len);
	}
	edge(4096);		/* as much as an isolated filter has at hand */
	edge(12656);		/* where fragments begin in one of HUGE */
	edge(reach);
	edge(SKF_NET_OFF + reach);
	edge(SKF_LL_OFF + 300);
	edge(0x7fff);		/* how far an instruction reaches */
	edge(0x8000);
	edge(0x10000);
	edge(0x7fffffff);
	edge(0x80000000);
	edge(SKF_LL_OFF);
	edge(SKF_NET_OFF);
	edge(SKF_AD_OFF);
	edge(0);
	offset(77);
	offset(0x12345678);
	offset(0x9abcdef0);
}

static void loads(void)
{
	static const struct {
		const char *what;
		u16 code;
	} direct[] = {
		{ "LD W ABS", BPF_LD | BPF_W | BPF_ABS }, { "LD H ABS", BPF_LD | BPF_H | BPF_ABS },
		{ "LD B ABS", BPF_LD | BPF_B | BPF_ABS }, { "LDX B MSH", BPF_LDX | BPF_B | BPF_MSH },
	}, indirect[] = {
		{ "LD W IND", BPF_LD | BPF_W | BPF_IND }, { "LD H IND", BPF_LD | BPF_H | BPF_IND },
		{ "LD B IND", BPF_LD | BPF_B | BPF_IND },
	};
	static const u32 x[] = { 0, 1, 0x7fffffff, 0x80000000, 0xfffffffd };

	for (size_t i = 0; i < ARRAY_SIZE(direct); i++) {
		u32 wrong = 0;

		for (u32 k = 0; k < nr_offsets && wrong < 3; k++)
			wrong += !load_is_right(5, C(direct[i].code, offsets[k]));
		ok(!wrong, "%s, at each of %u offsets", direct[i].what, nr_offsets);
	}
	for (size_t i = 0; i < ARRAY_SIZE(indirect); i++) {
		u32 wrong = 0;

		for (u32 k = 0; k < nr_offsets && wrong < 3; k++) {
			size_t n = k % ARRAY_SIZE(x);

			wrong += !load_is_right(x[n], C(indirect[i].code, offsets[k] - x[n]));
			wrong += !load_is_right(offsets[k], C(indirect[i].code, 0));
		}
		ok(!wrong, "%s, at each of %u offsets", indirect[i].what, nr_offsets);
	}
}

/* Each at where the one before it says: of more than a few, some have no call (moat_filter.c). */
static void many_loads(void)
{
	static const int counts[] = { 1, 2, 63, 64, 65, 75 };
	static const u16 sizes[] = { BPF_B, BPF_H, BPF_W };
	u32 wrong = 0;

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		struct classic c = {};

		for (int n = 0; n < counts[i]; n++)
			ADD(&c, C(BPF_LD | sizes[n % 3] | BPF_IND, n % 7),
			    C(BPF_ALU | BPF_AND | BPF_K, 0x1f), C(BPF_MISC | BPF_TAX, 0));
		show_a(&c);
		wrong += !right(c.insns, c.n, LOADS);
	}
	ok(!wrong, "up to %d loads, each where the one before it says", counts[ARRAY_SIZE(counts) - 1]);
}

static void others(void)
{
	static const u16 lens[] = { BPF_LD | BPF_W | BPF_LEN, BPF_LDX | BPF_W | BPF_LEN };
	struct classic cells = {};
	u32 wrong = 0, cell;

	for (size_t i = 0; i < ARRAY_SIZE(lens); i++)
		wrong += !load_is_right(0, C(lens[i], 0));
	ok(!wrong, "the length");
	wrong = 0;
	for (u32 off = 0; off < SKF_AD_MAX; off += 4)
		if (off != SKF_AD_RANDOM)
			wrong += !load_is_right(3, C(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + off));
	ok(!wrong, "the extensions");

	/* Each gets something of its own, one way or the other. */
	for (cell = 0; cell < CELLS; cell++)
		ADD(&cells, C(cell % 2 ? BPF_LD | BPF_IMM : BPF_LDX | BPF_IMM, 3 << 2 * cell),
		    C(cell % 2 ? BPF_ST : BPF_STX, cell));
	ADD(&cells, C(BPF_LD | BPF_IMM, 0));
	for (cell = 0; cell < CELLS; cell++)
		ADD(&cells, C(BPF_ALU | BPF_MUL | BPF_K, 3), C(BPF_LDX | BPF_MEM, cell),
		    C(BPF_ALU | BPF_ADD | BPF_X, 0));
	show_a(&cells);
	ok(right(cells.insns, cells.n, ALWAYS), "all scratch cells");
	wrong = 0;
	for (cell = CELLS - 1; cell <= CELLS; cell++) {
		struct classic store = {}, load = {};

		ADD(&store, C(BPF_LD | BPF_IMM, 7), C(BPF_ST, cell), C(BPF_LD | BPF_MEM, CELLS - 1));
		ADD(&load, C(BPF_LD | BPF_IMM, 7), C(BPF_ST, CELLS - 1), C(BPF_LD | BPF_MEM, cell));
		show_a(&store);
		show_a(&load);
		wrong += !right(store.insns, store.n, ALWAYS) + !right(load.insns, load.n, ALWAYS);
	}
	ok(!wrong, "the last scratch cell, and the one after it");
}

static void arithmetic(void)
{
	static const u16 ops[] = {
		BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_MOD, BPF_AND, BPF_OR, BPF_XOR, BPF_LSH,
		BPF_RSH, BPF_NEG,
	};
	static const u32 numbers[] = {
		0, 1, 7, 31, 32, 33, 63, 0x7fffffff, 0x80000000, 0xffffffff, 0x5eed5eed,
	};
	u32 wrong = 0;

	for (size_t op = 0; op < ARRAY_SIZE(ops); op++)
		for (size_t i = 0; i < ARRAY_SIZE(numbers) * ARRAY_SIZE(numbers); i++) {
			u32 a = numbers[i % ARRAY_SIZE(numbers)], by = numbers[i / ARRAY_SIZE(numbers)];
			struct classic k = {}, x = {};

			ADD(&k, C(BPF_LD | BPF_IMM, a), C(BPF_ALU | ops[op] | BPF_K, by));
			ADD(&x, C(BPF_LD | BPF_IMM, a), C(BPF_LDX | BPF_IMM, by),
			    C(BPF_ALU | ops[op] | BPF_X, 0));
			show_a(&k);
			show_a(&x);
			wrong += !right(k.insns, k.n, ALWAYS) + !right(x.insns, x.n, ALWAYS);
			if (wrong > 3)
				break;
		}
	ok(!wrong, "arithmetic at its edges");
}

static void jumps(void)
{
	static struct sock_filter insns[BPF_MAXINSNS + 1];
	static const u32 far[] = { 0, 1, 30, 31, 32, 127, 128, 254, 255 };
	u32 wrong = 0, i, n;

	for (i = 0; i < ARRAY_SIZE(far); i++) {
		for (n = 0; n < far[i] + 1; n++)
			insns[3 + n] = C(BPF_RET | BPF_K, 11);
		insns[0] = C(BPF_LD | BPF_W | BPF_LEN, 0);
		insns[1] = CJ(BPF_JMP | BPF_JGT | BPF_K, 60, far[i], 0);
		insns[2] = C(BPF_RET | BPF_K, 22);
		insns[2 + far[i]] = C(BPF_RET | BPF_K, 33);
		wrong += !right(insns, 3 + far[i], LOADS);
		/* One too far */
		insns[1].jt++;
		wrong += !right(insns, 3 + far[i], LOADS);
	}
	/* Over all that there may be, of what takes most room and may be jumped over */
	insns[0] = C(BPF_JMP | BPF_JA, BPF_MAXINSNS - 2);
	for (n = 1; n < BPF_MAXINSNS; n++)
		insns[n] = C(BPF_ALU | BPF_MOD | BPF_X, 0);
	insns[n - 1] = C(BPF_RET | BPF_K, 44);
	wrong += !right(insns, BPF_MAXINSNS, ALWAYS);
	insns[0].k++;
	wrong += !right(insns, BPF_MAXINSNS, ALWAYS);
	insns[0].k = -1;
	wrong += !right(insns, BPF_MAXINSNS, ALWAYS);
	/* One after the other, each over 255 */
	for (n = 0; n < BPF_MAXINSNS - 1; n++)
		insns[n] = CJ(BPF_JMP | BPF_JSET | BPF_K, -1, 0,
			      n + 256 < BPF_MAXINSNS ? 255 : BPF_MAXINSNS - 2 - n);
	wrong += !right(insns, BPF_MAXINSNS, ALWAYS);
	ok(!wrong, "jumps as long as can be");
}

/* Some that the kernel must not take */
static void codes(void)
{
	u32 code, wrong = 0, taken = 0;

	for (code = 0; code < 1 << 16; code++) {
		struct sock_filter insns[] = {
			C(BPF_ST, 0), C(BPF_LDX | BPF_IMM, 1), C(code, 0), C(BPF_RET | BPF_K, 77),
		};

		taken += classic_valid(insns, ARRAY_SIZE(insns), false);
		wrong += !right(insns, ARRAY_SIZE(insns), ALWAYS);
		insns[2].k = 1;
		wrong += wrong < 3 && code < 256 && !right(insns, ARRAY_SIZE(insns), ALWAYS);
		if (wrong > 3)
			break;
	}
	ok(!wrong, "%u of 65,536 codes are taken, and no others", taken);
}

static void at_random(u64 seed, u32 count)
{
	u32 wrong = 0;
	u64 start;

	for (u32 i = 0; i < count && wrong < 3; i++) {
		u32 size = classic_rand(&seed) % 200, len = packets[classic_rand(&seed) % PACKETS].len ?: 300;
		struct classic c = {};

		start = seed;
		classic_random(&c, &seed, size, len, false);
		if (i % 16 == 15) {
			/* It may be one that has to be refused. */
			u32 n = classic_rand(&seed) % c.n;

			c.insns[n].code = classic_rand(&seed) % 256;
			c.insns[n].k = classic_rand(&seed) % 64;
		}
		show_a(&c);
		if (right(c.insns, c.n, RANDOM))
			continue;
		diag("the seed of this one is %#lx", start);
		wrong++;
	}
	ok(!wrong, "%u at random", count);
}

/* What @insns let through of a packet */
static s64 plainly(const struct sock_filter *insns, u32 n, const struct packet *p)
{
	if (attach(PLAIN, insns, n) != 1)
		bail("attach: %s", strerror(errno));
	return arrives(PLAIN, p);
}

/* How much of a packet is found by its header: in 6.1.38, what is in one piece */
static u32 find_reach(const struct packet *p)
{
	u32 low = 0, high = HUGE;

	while (low + 1 < high) {
		u32 middle = (low + high) / 2;
		struct sock_filter insns[] = {
			C(BPF_LD | BPF_B | BPF_ABS, SKF_NET_OFF + middle), C(BPF_RET | BPF_K, -1),
		};

		*(plainly(insns, ARRAY_SIZE(insns), p) < 0 ? &high : &low) = middle;
	}
	return high;
}

/* Whether it has fragments: attributes are not looked for there. */
static bool has_parts(const struct packet *p)
{
	static const struct sock_filter insns[] = {
		C(BPF_LD | BPF_IMM, ATTRS), C(BPF_LDX | BPF_IMM, 3),
		C(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_NLATTR), C(BPF_RET | BPF_A, 0),
	};

	return plainly(insns, ARRAY_SIZE(insns), p) < 0;
}

static void make_packets(void)
{
	static u8 bytes[HUGE];
	u64 seed = 1;

	for (u32 i = HEAD; i < HUGE; i++)
		bytes[i] = classic_rand(&seed);
	memcpy(bytes + ATTRS, "\x08\0\x03\0\0\0\0\0\x0c\0\x05\0\x08\0\x05\0\1\2\3\4", 20);
	for (size_t i = 0; i < PACKETS; i++) {
		struct packet *p = &packets[i];

		bytes[0] = p->shift;
		bytes[1] = p->mask >> 8;
		bytes[2] = p->mask;
		p->in = classic_input(bytes, p->len, p->len);
	}
	for (size_t i = 0; i < PACKETS; i++) {
		struct packet *p = &packets[i];
		struct classic_input in = p->in;

		if (p->len != HUGE)
			continue;
		reach = find_reach(p);
		p->in = classic_input(in.bytes, HUGE, reach);
		p->in.parts = has_parts(p);
		classic_input_free(&in);
		diag("%u of %u bytes are found by the header, %s", reach, HUGE,
		     p->in.parts ? "with fragments" : "in one piece");
	}
}

#define OPTMEM "/proc/sys/net/core/optmem_max"

static s64 optmem;

static void restore_optmem(void)
{
	write_file(OPTMEM, "%ld", optmem);
}

/* For filters as long as can be */
static void raise_optmem(void)
{
	optmem = read_number(OPTMEM);
	atexit(restore_optmem);
	if (write_file(OPTMEM, "1000000"))
		bail(OPTMEM ": %s", strerror(errno));
}

int main(int argc, char **argv)
{
	u64 seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 20221206;
	s64 confined, runs;

	pin_to_cpu(0);
	if (moat_present())
		moat_set_level(2);
	else
		modes = 1;
	for (int mode = 0; mode < modes; mode++)
		if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair[mode]))
			bail("socketpair: %s", strerror(errno));
	raise_optmem();
	make_packets();
	find_edges();
	diag("seed %#lx", seed);
	confined = moat_counter("confined");
	runs = moat_counter("runs");
	filters = sent = 0;
	loads();
	many_loads();
	others();
	arithmetic();
	jumps();
	codes();
	at_random(seed, argc > 2 ? atoi(argv[2]) : 400);
	diag("%u filters, %u packets", filters, sent);
	if (moat_present()) {
		confined = moat_counter("confined") - confined;
		ok(confined == filters, "as many filters were confined as should be: %ld", confined);
		runs = moat_counter("runs") - runs;
		ok(runs == sent / MODES, "as many runs were isolated as should be: %ld", runs);
	} else {
		skip("no moat.ko", "confined, and isolated");
	}
	return finish();
}
