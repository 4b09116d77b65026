// SPDX-License-Identifier: GPL-2.0
/*
 * Tail calls: do isolated and plain programs go on in each other, in any mix, as plain
 * ones do? test_tail_chains has functions, and how long a chain may take.
 *
 * moat-test: kernel=test,preempt levels=2 keys=13,0 timeout=240
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "tails.h"

#define RUN_IN "/sys/kernel/debug/moat_test/run_in"
#define LEN 64

/* Two programs that count in words[0] and words[1]: the first goes to the second. */
static void two(int mix, int *first, int *second)
{
	E(MOV_REG(R6, R1), COUNT(0), GO(MOV_IMM(R3, 0)), RETURN(FELL));
	*first = load_at(FROM(mix), "first");
	E(COUNT(1), RETURN(5));
	*second = load_at(TO(mix), "second");
	put(0, *second);
}

static void goes_on(int mix)
{
	s64 calls = moat_counter("tail_calls"), runs = moat_counter("runs");
	int first, second;
	s64 verdict;

	begin_tails(1);
	two(mix, &first, &second);
	verdict = prog_run_once(first);
	ok(verdict == 5 && map_word(words, 0) == 1 && map_word(words, 1) == 1,
	   "%s, %s: goes on in it", t->name, mix_name[mix]);
	if (verdict != 5)
		diag("verdict %ld, %lu to %lu runs", verdict, map_word(words, 0),
		     map_word(words, 1));
	ok(moat_counter("tail_calls") - calls == !!FROM(mix) &&
	   moat_counter("runs") - runs >= !!FROM(mix) + !!TO(mix),
	   "%s, %s: counted", t->name, mix_name[mix]);
	close(first);
	close(second);
	end_tails();
}

/* What the first changes of packet and context, the second finds; what comes out of both. */
static void packet_of_16(int data, int data_end)
{
	E(LDX(BPF_W, R7, R6, data), LDX(BPF_W, R8, R6, data_end),
	  MOV_REG(R3, R7), ALU64_IMM(BPF_ADD, R3, 16), JMP_REG(BPF_JLE, R3, R8, 2),
	  RETURN(FELL + 1));
}

#define PACKET_OF(TYPE) packet_of_16(offsetof(TYPE, data), offsetof(TYPE, data_end))

static void first_changes(void)
{
	E(MOV_REG(R6, R1));
	if (t == &xdp) {
		E(MOV_REG(R1, R6), MOV_IMM(R2, -8), CALL(xdp_adjust_head));
		PACKET_OF(struct xdp_md);
		E(LD_IMM64(R3, 0x1122334455667788), STX(BPF_DW, R7, R3, 0));
	} else if (t == &socket_filter) {
		E(MOV_IMM(R3, 0x4711),
		  STX(BPF_W, R6, R3, offsetof(struct __sk_buff, cb[1])));
	} else {
		E(MOV_REG(R1, R6), MOV_IMM(R2, 0x0081), MOV_IMM(R3, 5), CALL(skb_vlan_push));
		PACKET_OF(struct __sk_buff);
		E(MOV_IMM(R3, 0x4711),
		  STX(BPF_W, R6, R3, offsetof(struct __sk_buff, mark)),
		  STX(BPF_W, R6, R3, offsetof(struct __sk_buff, cb[1])),
		  LD_IMM64(R3, 0x1122334455667788), STX(BPF_DW, R7, R3, 0));
	}
	E(GO(MOV_IMM(R3, 0)), RETURN(FELL));
}

static void second_looks(void)
{
	E(MOV_REG(R6, R1));
	if (t == &xdp) {
		PACKET_OF(struct xdp_md);
	} else if (t == &socket_filter) {
		E(LDX(BPF_W, R3, R6, offsetof(struct __sk_buff, cb[1])), TELL(0, R3),
		  RETURN(5));
		return;
	} else {
		E(LDX(BPF_W, R3, R6, offsetof(struct __sk_buff, mark)), TELL(0, R3),
		  LDX(BPF_W, R3, R6, offsetof(struct __sk_buff, cb[1])), TELL(1, R3),
		  MOV_IMM(R3, 0x815), STX(BPF_W, R6, R3, offsetof(struct __sk_buff, mark)));
		PACKET_OF(struct __sk_buff);
	}
	E(LDX(BPF_DW, R3, R7, 0), TELL(2, R3),
	  MOV_REG(R3, R8), ALU64_REG(BPF_SUB, R3, R7), TELL(3, R3),
	  LD_IMM64(R3, 0x0102030405060708), STX(BPF_DW, R7, R3, 8),
	  RETURN(5));
}

struct outcome {
	u8 packet[2 * LEN];
	struct __sk_buff skb;
	u64 words[4];
	u32 len, verdict;
};

static void changes(int mix, struct outcome *o)
{
	u8 in[LEN];
	struct run run = {
		.data_in = in, .data_in_size = LEN,
		.data_out = o->packet, .data_out_size = sizeof(o->packet),
	};
	int first, second;

	memset(o, 0, sizeof(*o));
	for (int i = 0; i < LEN; i++)
		in[i] = i;
	if (t != &xdp) {
		run.ctx_out = &o->skb;
		run.ctx_out_size = sizeof(o->skb);
	}
	begin_tails(1);
	first_changes();
	first = load_at(FROM(mix), "first");
	second_looks();
	second = load_at(TO(mix), "second");
	put(0, second);
	if (prog_run(first, &run))
		diag("run: %s", strerror(errno));
	o->len = run.data_out_size;
	o->verdict = run.retval;
	for (int i = 0; i < 4; i++)
		o->words[i] = map_word(words, i);
	close(first);
	close(second);
	end_tails();
}

static void carries_over(void)
{
	struct outcome plain, mixed;

	changes(0, &plain);
	ok(plain.verdict == 5 && (plain.words[0] == 0x4711 || t == &xdp),
	   "%s: what the first changes, the second finds", t->name);
	for (int mix = 1; mix < 4; mix++) {
		changes(mix, &mixed);
		if (!ok(!memcmp(&plain, &mixed, sizeof(plain)),
			"%s, %s: context and packet are carried over", t->name, mix_name[mix]))
			diag("%u %u bytes %lx %lx %lx %lx", mixed.verdict, mixed.len,
			     mixed.words[0], mixed.words[1], mixed.words[2], mixed.words[3]);
	}
}

/* Two that go to each other, and one that goes to itself: 33 times. */
static void has_an_end(int mix)
{
	int first, second;
	s64 verdict;
	u64 runs;

	begin_tails(2);
	E(MOV_REG(R6, R1), COUNT(0), GO(MOV_IMM(R3, 1)), COUNT(1), RETURN(FELL));
	first = load_at(FROM(mix), "first");
	E(MOV_REG(R6, R1), COUNT(0), GO(MOV_IMM(R3, 0)), COUNT(1), RETURN(FELL));
	second = load_at(TO(mix), "second");
	put(0, first);
	put(1, second);
	for (int i = 0; i < 3; i++)
		verdict = prog_run_once(first);
	runs = map_word(words, 0);
	ok(verdict == FELL && runs == 3 * (MOST + 1) && map_word(words, 1) == 3,
	   "%s, %s: a chain ends after %d", t->name, mix_name[mix], MOST);
	if (runs != 3 * (MOST + 1))
		diag("verdict %ld, %lu runs, %lu ends", verdict, runs, map_word(words, 1));
	put(1, first);
	prog_run_once(first);
	ok(map_word(words, 0) == runs + MOST + 1, "%s, %s: so does one that goes to itself",
	   t->name, mix_name[mix]);
	close(first);
	close(second);
	end_tails();
}

/* @n times an empty entry, then one that is not: does it get there? */
static bool after(int level, int n)
{
	int first, second;
	s64 verdict;

	begin_tails(2);
	E(MOV_REG(R6, R1));
	for (int i = 0; i < n; i++)
		E(GO(MOV_IMM(R3, 1)));
	E(GO(MOV_IMM(R3, 0)), RETURN(FELL));
	first = load_at(level, "tries");
	E(RETURN(5));
	second = load_at(level, "second");
	put(0, second);
	verdict = prog_run_once(first);
	close(first);
	close(second);
	end_tails();
	return verdict == 5;
}

/* The index comes from words[7], so that it is no constant. */
static s64 at_index(int level, u64 index)
{
	int first, second;
	s64 verdict;

	begin_tails(3);
	E(MOV_REG(R6, R1), GIVEN(R7),
	  GO(MOV_REG(R3, R7)), COUNT(0), RETURN(FELL));
	first = load_at(level, "index");
	E(RETURN(5));
	second = load_at(level, "second");
	put(0, second);
	put(2, second);
	give(index);
	verdict = prog_run_once(first);
	close(first);
	close(second);
	end_tails();
	return verdict;
}

static void goes_nowhere(void)
{
	static const u64 indices[] = {
		0, 1, 2, 3, 4, 0x7fffffff, 0x80000000, 0xffffffff, -1, 1ULL << 32, 3ULL << 32 | 2,
		1ULL << 63,
	};

	for (size_t i = 0; i < ARRAY_SIZE(indices); i++)
		ok(at_index(2, indices[i]) == at_index(0, indices[i]), "%s: index %#lx",
		   t->name, indices[i]);
	for (int n = MOST - 1; n <= MOST; n++)
		ok(after(2, n) == after(0, n) && after(2, n) == (n < MOST),
		   "%s: attempts count: %d before one", t->name, n);
}

/* An update is seen: of a program that runs next, and of one that runs now. */
static volatile bool stop;
static int first_fd, others[2];

static void *keep_running(void *arg)
{
	u64 *seen = arg;
	u8 in[LEN] = {};

	while (!stop) {
		struct run run = { .data_in = in, .data_in_size = LEN };

		if (prog_run(first_fd, &run))
			seen[3]++;
		else if (run.retval == FELL)
			seen[2]++;
		else
			seen[run.retval - 5 <= 1 ? run.retval - 5 : 3]++;
	}
	return NULL;
}

static void is_updated(void)
{
	u64 seen[4] = {};
	pthread_t thread;
	s64 v[4];

	begin_tails(1);
	/* No constant: what is not isolated has the jump patched then. */
	E(MOV_REG(R6, R1), GIVEN(R7),
	  GO(MOV_REG(R3, R7)), RETURN(FELL));
	first_fd = load_at(2, "first");
	for (int i = 0; i < 2; i++) {
		E(COUNT(i), RETURN(5 + i));
		others[i] = load_at(i ? 0 : 2, "other");
	}
	v[0] = prog_run_once(first_fd);
	put(0, others[0]);
	v[1] = prog_run_once(first_fd);
	put(0, others[1]);
	v[2] = prog_run_once(first_fd);
	take(0);
	v[3] = prog_run_once(first_fd);
	ok(v[0] == FELL && v[1] == 5 && v[2] == 6 && v[3] == FELL, "%s: an update is seen",
	   t->name);
	stop = false;
	pthread_create(&thread, NULL, keep_running, seen);
	for (u64 until = now_ns() + 1000000000; now_ns() < until;) {
		put(0, others[0]);
		usleep(100);
		put(0, others[1]);
		usleep(100);
		take(0);
		usleep(100);
	}
	stop = true;
	pthread_join(thread, NULL);
	ok(seen[0] && seen[1] && seen[2] && !seen[3], "%s: updates are seen meanwhile", t->name);
	diag("%lu %lu %lu, %lu otherwise", seen[0], seen[1], seen[2], seen[3]);
	close(first_fd);
	close(others[0]);
	close(others[1]);
	end_tails();
}

static void anywhere(int mix)
{
	static const char *const contexts[] = { "task", "irqoff", "softirq", "hardirq", "nmi" };
	u64 runs, verdict, other, errors;
	int first, second, fd;

	begin_tails(2);
	E(MOV_REG(R6, R1), COUNT(0), GO(MOV_IMM(R3, 1)), COUNT(1), RETURN(1));
	first = load_at(FROM(mix), "first");
	E(MOV_REG(R6, R1), COUNT(0), GO(MOV_IMM(R3, 0)), COUNT(1), RETURN(1));
	second = load_at(TO(mix), "second");
	put(0, first);
	put(1, second);
	for (size_t i = 0; i < ARRAY_SIZE(contexts); i++) {
		u64 before = map_word(words, 0);
		char text[128] = {};

		runs = verdict = other = errors = -1;
		fd = open(RUN_IN, O_RDWR | O_CLOEXEC);
		if (dprintf(fd, "%d %s 1 500", first, contexts[i]) > 0 &&
		    pread(fd, text, sizeof(text) - 1, 0) > 0)
			sscanf(text, "%lu %lu %lu %lu", &runs, &verdict, &other, &errors);
		close(fd);
		ok(runs == 500 && verdict == 1 && !other && !errors &&
		   map_word(words, 0) == before + 500 * (MOST + 1),
		   "%s: chains in %s", mix_name[mix], contexts[i]);
	}
	close(first);
	close(second);
	end_tails();
}

/* A program reads what it may not, in each place of a chain of three. */
static void is_stopped(int place, int level)
{
	int fds[3];
	s64 verdict;

	begin_tails(3);
	bypass_verifier(true);
	for (int i = 0; i < 3; i++) {
		E(MOV_REG(R6, R1), COUNT(i));
		if (i == place)
			E(LD_IMM64(R7, target("secret")), LDX(BPF_DW, R7, R7, 0), COUNT(4));
		E(GO(MOV_IMM(R3, i + 1)), RETURN(i == 2 ? (int)t->pass : FELL));
		fds[i] = load_at(i == place ? 2 : level, "place");
		put(i, fds[i]);
	}
	bypass_verifier(false);
	verdict = prog_run_once(fds[0]);
	ok(verdict == t->safe && map_word(words, place) == 1 && !map_word(words, 4) &&
	   (place == 2 || !map_word(words, place + 1)),
	   "%s: stopped in place %d, others %s: the safe verdict", t->name, place,
	   level ? "isolated" : "plain");
	verdict = prog_run_once(fds[0]);
	ok(verdict == t->safe && map_word(words, 0) == (place ? 2 : 1),
	   "%s: place %d stays so, others run", t->name, place);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	end_tails();
}

int main(void)
{
	if (!moat_present())
		skip_all("no moat.ko");
	moat_set_strict(true);
	for (size_t i = 0; i < ARRAY_SIZE(tail_types); i++) {
		t = tail_types[i];
		for (int mix = 0; mix < 4; mix++) {
			goes_on(mix);
			has_an_end(mix);
		}
		carries_over();
		goes_nowhere();
		is_updated();
		for (int place = 0; place < 3; place++) {
			is_stopped(place, 2);
			is_stopped(place, 0);
		}
	}
	t = &xdp;
	for (int mix = 1; mix < 4; mix++)
		anywhere(mix);
	return finish();
}
