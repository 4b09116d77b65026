// SPDX-License-Identifier: GPL-2.0
/*
 * Tail calls: do isolated and plain programs go on in each other, in any mix, as plain
 * ones do?
 *
 * moat-test: kernel=test,preempt levels=2 keys=13,0 timeout=240
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "build.h"

#define RUN_IN "/sys/kernel/debug/moat_test/run_in"
#define MOST 33			/* MAX_TAIL_CALL_CNT */
#define FELL 77			/* what a program returns that goes on behind its tail call */
#define LEN 64

static const struct prog_type *const types[] = {
	&xdp, &sched_cls, &sched_act, &socket_filter,
};

static const char *const mix_name[] = {
	"plain to plain", "plain to isolated", "isolated to plain", "isolated to isolated",
};

#define FROM(mix) ((mix) & 2)		/* its level */
#define TO(mix) ((mix) & 1 ? 2 : 0)

static const struct prog_type *t;
static int array, words;

/* words[i]++; clobbers R1, R2 */
#define COUNT(I) LD_MAP_VALUE(R1, words, 8 * (I)), MOV_IMM(R2, 1), \
	ATOMIC(BPF_DW, BPF_ADD, R1, R2, 0)
/* words[i] = reg; clobbers R1 */
#define TELL(I, REG) LD_MAP_VALUE(R1, words, 8 * (I)), STX(BPF_DW, R1, REG, 0)
/* R6: the context */
#define GO(...) MOV_REG(R1, R6), LD_MAP_FD(R2, array), __VA_ARGS__, CALL(tail_call)
#define RETURN(V) MOV_IMM(R0, V), EXIT()

static void begin(int entries)
{
	array = map_create(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, entries);
	words = map_of_words(0);
	if (array < 0)
		bail("array: %s", strerror(errno));
}

static void end(void)
{
	close(array);
	close(words);
}

static int loaded(int fd, int level, const char *name)
{
	if (fd < 0)
		bail("%s: %s\n%s", name, strerror(errno), prog_log);
	if ((moat_layer(fd) != NONE) != (level != 0))
		bail("%s is %s", name, moat_layer_name[moat_layer(fd)]);
	return fd;
}

/* What is in insns */
static int load_at(int level, const char *name)
{
	int fd;

	moat_set_level(level);
	fd = loaded(prog_load(t->type, name, insns, cnt), level, name);
	cnt = 0;
	return fd;
}

static void put(u32 i, int fd)
{
	if (map_update(array, &i, &fd))
		bail("entry %u: %s", i, strerror(errno));
}

static void take(u32 i)
{
	map_delete(array, &i);
}

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

	begin(1);
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
	end();
}

/* What the first changes of packet and context, the second finds; what comes out of both. */
static void change_xdp(void)
{
	E(LDX(BPF_W, R7, R6, offsetof(struct xdp_md, data)),
	  LDX(BPF_W, R8, R6, offsetof(struct xdp_md, data_end)),
	  MOV_REG(R3, R7), ALU64_IMM(BPF_ADD, R3, 16), JMP_REG(BPF_JLE, R3, R8, 2),
	  RETURN(FELL + 1));
}

static void change_skb(void)
{
	E(LDX(BPF_W, R7, R6, offsetof(struct __sk_buff, data)),
	  LDX(BPF_W, R8, R6, offsetof(struct __sk_buff, data_end)),
	  MOV_REG(R3, R7), ALU64_IMM(BPF_ADD, R3, 16), JMP_REG(BPF_JLE, R3, R8, 2),
	  RETURN(FELL + 1));
}

static void first_changes(void)
{
	E(MOV_REG(R6, R1));
	if (t == &xdp) {
		E(MOV_REG(R1, R6), MOV_IMM(R2, -8), CALL(xdp_adjust_head));
		change_xdp();
		E(LD_IMM64(R3, 0x1122334455667788), STX(BPF_DW, R7, R3, 0));
	} else if (t == &socket_filter) {
		E(MOV_IMM(R3, 0x4711),
		  STX(BPF_W, R6, R3, offsetof(struct __sk_buff, cb[1])));
	} else {
		E(MOV_REG(R1, R6), MOV_IMM(R2, 0x0081), MOV_IMM(R3, 5), CALL(skb_vlan_push));
		change_skb();
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
		change_xdp();
	} else if (t == &socket_filter) {
		E(LDX(BPF_W, R3, R6, offsetof(struct __sk_buff, cb[1])), TELL(0, R3),
		  RETURN(5));
		return;
	} else {
		E(LDX(BPF_W, R3, R6, offsetof(struct __sk_buff, mark)), TELL(0, R3),
		  LDX(BPF_W, R3, R6, offsetof(struct __sk_buff, cb[1])), TELL(1, R3),
		  MOV_IMM(R3, 0x815), STX(BPF_W, R6, R3, offsetof(struct __sk_buff, mark)));
		change_skb();
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
	begin(1);
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
	end();
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

	begin(2);
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
	end();
}

/* @n times an empty entry, then one that is not: does it get there? */
static bool after(int level, int n)
{
	int first, second;
	s64 verdict;

	begin(2);
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
	end();
	return verdict == 5;
}

/* The index comes from words[7], so that it is no constant. */
static s64 at_index(int level, u64 index)
{
	int first, second;
	u64 v[8] = { [7] = index };
	s64 verdict;
	u32 zero = 0;

	begin(3);
	E(MOV_REG(R6, R1), LD_MAP_VALUE(R7, words, 56), LDX(BPF_DW, R7, R7, 0),
	  GO(MOV_REG(R3, R7)), COUNT(0), RETURN(FELL));
	first = load_at(level, "index");
	E(RETURN(5));
	second = load_at(level, "second");
	put(0, second);
	put(2, second);
	map_update(words, &zero, v);
	verdict = prog_run_once(first);
	close(first);
	close(second);
	end();
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

	begin(1);
	/* No constant: what is not isolated has the jump patched then. */
	E(MOV_REG(R6, R1), LD_MAP_VALUE(R7, words, 56), LDX(BPF_DW, R7, R7, 0),
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
	end();
}

static void anywhere(int mix)
{
	static const char *const contexts[] = { "task", "irqoff", "softirq", "hardirq", "nmi" };
	u64 runs, verdict, other, errors;
	int first, second, fd;

	begin(2);
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
	end();
}

/* A program reads what it may not, in each place of a chain of three. */
static void is_stopped(int place, int level)
{
	int fds[3];
	s64 verdict;

	begin(3);
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
	end();
}

/* What is in insns, with a function at instruction @at */
static int load_with_function(int level, const char *name, u32 at)
{
	struct btf *btf = btf__new_empty();
	int number = btf__add_int(btf, "int", 4, BTF_INT_SIGNED);
	int proto = btf__add_func_proto(btf, number);
	struct bpf_func_info functions[2] = {
		{ .type_id = btf__add_func(btf, "f", BTF_FUNC_STATIC, proto) },
		{ .insn_off = at, .type_id = btf__add_func(btf, "g", BTF_FUNC_STATIC, proto) },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts,
		.prog_btf_fd = btf__load_into_kernel(btf) ? -1 : btf__fd(btf),
		.func_info = functions, .func_info_cnt = 2,
		.func_info_rec_size = sizeof(functions[0]),
		.log_buf = prog_log, .log_size = sizeof(prog_log), .log_level = 1);
	int fd;

	moat_set_level(level);
	fd = bpf_prog_load(t->type, name, "GPL", insns, cnt, &opts);
	loaded(fd, level, name);
	btf__free(btf);
	cnt = 0;
	return fd;
}

/* A function's tail call is the function's result; what changed is there, too. */
static void in_function(int mix, u64 *told)
{
	int first, second, at;

	begin(1);
	E(MOV_REG(R6, R1), MOV_IMM(R8, 1000));
	at = cnt;
	/* An int: the upper half is what it happens to be. */
	E(CALL_REL(0), ALU32_REG(BPF_MOV, R0, R0), TELL(0, R0), ALU64_REG(BPF_ADD, R8, R0));
	if (t != &xdp)
		E(LDX(BPF_W, R3, R6, offsetof(struct __sk_buff, cb[1])), TELL(1, R3));
	E(MOV_REG(R0, R8), EXIT());
	insns[at].imm = cnt - at - 1;
	at = cnt;
	E(MOV_REG(R6, R1), MOV_IMM(R8, 7), COUNT(2), GO(MOV_IMM(R3, 0)), COUNT(3), RETURN(FELL));
	first = load_with_function(FROM(mix), "first", at);
	E(MOV_REG(R6, R1), COUNT(4));
	if (t != &xdp)
		E(MOV_IMM(R3, 0x4711), STX(BPF_W, R6, R3, offsetof(struct __sk_buff, cb[1])));
	E(RETURN(-5));
	second = load_at(TO(mix), "second");
	told[0] = prog_run_once(first);
	put(0, second);
	told[1] = prog_run_once(first);
	for (int i = 0; i < 5; i++)
		told[2 + i] = map_word(words, i);
	close(first);
	close(second);
	end();
}

static void in_functions(void)
{
	u64 plain[7], mixed[7];

	in_function(0, plain);
	ok(plain[0] == 1000 + FELL && (u32)plain[1] == 1000 - 5,
	   "%s: a function's tail call is its result", t->name);
	for (int mix = 1; mix < 4; mix++) {
		in_function(mix, mixed);
		if (!ok(!memcmp(plain, mixed, sizeof(plain)), "%s, %s: in a function", t->name,
			mix_name[mix]))
			for (int i = 0; i < 7; i++)
				diag("%lx, plain %lx", mixed[i], plain[i]);
	}
}

int main(void)
{
	if (!moat_present())
		skip_all("no moat.ko");
	moat_set_strict(true);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		t = types[i];
		for (int mix = 0; mix < 4; mix++) {
			goes_on(mix);
			has_an_end(mix);
		}
		carries_over();
		goes_nowhere();
		is_updated();
		in_functions();
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
