// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 keys=13,0 timeout=180 */
/*
 * Do programs that trace functions of another (fentry, fexit) see of an isolated one what they
 * see of a plain one: how often, with what, with which result? They come and go while it runs.
 * And does one that no verifier looked at get at more by them?
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include "attack.h"
#include "ext.h"

#define A 0x1122334455667788ULL
#define B 0xfedcba9876543210ULL
#define COOKIE 77

/* Where the kernel has the length of a packet, and the ends of one, in bytes */
static int skb_len, xdp_data, xdp_end;

static int offset(const struct btf *btf, const char *name, const char *field)
{
	int id = btf__find_by_name_kind(btf, name, BTF_KIND_STRUCT);
	const struct btf_type *type = btf__type_by_id(btf, id);
	const struct btf_member *member = btf_members(type);

	for (int i = 0; i < btf_vlen(type); i++) {
		if (!strcmp(btf__name_by_offset(btf, member[i].name_off), field))
			return btf_member_bit_offset(type, i) / 8;
	}
	bail("no %s in struct %s", field, name);
}

static void find_offsets(void)
{
	struct btf *btf = btf__load_vmlinux_btf();

	if (!btf)
		bail("no BTF of the kernel");
	xdp_data = offset(btf, "xdp_buff", "data");
	xdp_end = offset(btf, "xdp_buff", "data_end");
	skb_len = offset(btf, "sk_buff", "len");
	btf__free(btf);
}

/*
 * A program that traces @f and what it notes: [0] how often, then arguments, result, and more;
 * without a link if it cannot be attached.
 */
struct tracer {
	enum function f;
	bool leaves;
	int map, fd, link;
};

#define MORE 7

/* R8 = how long the packet is, R8 being the kernel's context; clobbers R9. */
static void length(void)
{
	if (t == &xdp)
		E(LDX(BPF_DW, R9, R8, xdp_end), LDX(BPF_DW, R8, R8, xdp_data),
		  ALU64_REG(BPF_SUB, R9, R8), MOV_REG(R8, R9));
	else
		E(LDX(BPF_W, R8, R8, skb_len));
}

static void trace(struct tracer *tracer, int target, int level)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .tracing.cookie = COOKIE);
	const char *args = takes(tracer->f);
	int n = 0;

	tracer->map = map_of_words(0);
	function(MAIN);
	E(MOV_REG(R6, R1), LD_MAP_VALUE(R7, tracer->map, 0), MOV_IMM(R3, 1),
	  ATOMIC(BPF_DW, BPF_ADD, R7, R3, 0));
	for (; args[n]; n++) {
		E(LDX(BPF_DW, R8, R6, 8 * n));
		if (args[n] == 'c')
			length();
		E(STX(BPF_DW, R7, R8, 8 * (1 + n)));
	}
	E(MOV_REG(R1, R6), CALL(get_func_arg_cnt), MOV_REG(R9, R0),
	  MOV_REG(R1, R6), CALL(get_attach_cookie), ALU64_IMM(BPF_LSH, R0, 8),
	  ALU64_REG(BPF_ADD, R9, R0), MOV_REG(R1, R6), CALL(get_func_ip),
	  JMP_IMM(BPF_JEQ, R0, 0, 1), ALU64_IMM(BPF_ADD, R9, 1 << 20));
	if (tracer->leaves)
		E(LDX(BPF_DW, R8, R6, 8 * n), STX(BPF_DW, R7, R8, 48), MOV_REG(R1, R6),
		  MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -8), CALL(get_func_ret),
		  LDX(BPF_DW, R0, R10, -8), JMP_REG(BPF_JNE, R0, R8, 1),
		  ALU64_IMM(BPF_ADD, R9, 1 << 21));
	E(STX(BPF_DW, R7, R9, 8 * MORE), MOV_IMM(R0, 0), EXIT());
	tracer->fd = build_for(BPF_PROG_TYPE_TRACING,
			       tracer->leaves ? BPF_TRACE_FEXIT : BPF_TRACE_FENTRY, "tracer", level,
			       target, tracer->f);
	if (tracer->fd < 0)
		bail("tracer: %s\n%s", strerror(errno), prog_log);
	tracer->link = bpf_link_create(tracer->fd, 0, tracer->leaves ? BPF_TRACE_FEXIT :
				       BPF_TRACE_FENTRY, &opts);
}

static void forget(struct tracer *tracer)
{
	close(tracer->link);
	close(tracer->fd);
	close(tracer->map);
}

static u64 runs_of(int fd)
{
	struct bpf_prog_info info = {};
	u32 len = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &len) ? 0 : info.run_cnt;
}

/* Calls all its functions, and returns what they have returned, added up. */
static int target_load(int level)
{
	function(MAIN);
	E(MOV_REG(R6, R1), MOV_IMM(R7, 0));
	for (int f = ALONE; f < LAST; f++) {
		static const u64 numbers[] = { A, B, -3, 5, A / 7 };
		const char *args = takes(f);

		for (int i = 0; args[i]; i++) {
			if (args[i] == 'c')
				E(MOV_REG(R1 + i, R6));
			else
				E(LD_IMM64(R1 + i, numbers[i]));
		}
		call(f);
		E(ALU64_REG(BPF_ADD, R7, R0));
	}
	E(MOV_REG(R0, R7), EXIT());
	for (int f = ALONE; f < LAST; f++) {
		function(f);
		/* What is there of registers is the callers' again. */
		E(MOV_IMM(R6, 0), MOV_IMM(R7, 0), MOV_IMM(R8, 0), MOV_IMM(R9, 0),
		  MOV_IMM(R0, 100 + f), EXIT());
	}
	return build("target", level);
}

#define SUM ((100 + LAST - 1) * (100 + LAST) / 2 - 99 * 100 / 2 - 100)

struct seen {
	u64 words[2 * LAST + 2][MAP_WORDS];
};

/* All functions are traced when they begin and when they are done, and one twice. */
static void traced(int level, struct seen *seen)
{
	int target = target_load(level), n = 0, stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	struct tracer tracers[2 * LAST + 2];
	bool counted = true, ended = true;
	u32 zero = 0;
	s64 ret;

	ret = prog_run_once(target);
	ok(ret == SUM, "%d: %s: runs (%ld)", level, t->name, ret);
	for (int f = ALONE; f < LAST; f++) {
		for (int i = 0; i < (f == PAIR ? 4 : 2); i++) {
			tracers[n] = (struct tracer){ .f = f, .leaves = i & 1 };
			trace(&tracers[n++], target, level);
		}
	}
	ret = prog_run_once(target);
	for (int i = 0; i < n; i++) {
		map_lookup(tracers[i].map, &zero, seen->words[i]);
		counted &= seen->words[i][0] == 1 && runs_of(tracers[i].fd) == 1;
	}
	ok(ret == SUM && counted, "%d: %s: the same, and all are traced, once (%ld)", level,
	   t->name, ret);
	/* What began is forgotten first, then the rest. */
	for (int i = 0; i < n; i += 2)
		close(tracers[i].link);
	ret = prog_run_once(target);
	for (int i = 0; i < n; i++)
		ended &= map_word(tracers[i].map, 0) == (i & 1 ? 2 : 1);
	for (int i = 0; i < n; i++)
		forget(&tracers[i]);
	ok(ret == SUM && ended && prog_run_once(target) == SUM,
	   "%d: %s: then when they are done, then not any more", level, t->name);
	close(stats);
	close(target);
}

static void compare(void)
{
	static struct seen plain, isolated;
	const u64 *a = plain.words[0], *b = isolated.words[0];

	traced(0, &plain);
	traced(2, &isolated);
	for (size_t i = 0; i < sizeof(plain) / sizeof(*a); i++) {
		if (a[i] != b[i])
			diag("tracer %zu: [%zu] %lx %lx", i / MAP_WORDS, i % MAP_WORDS, a[i], b[i]);
	}
	ok(!memcmp(a, b, sizeof(plain)) && plain.words[3][1] == plain.words[0][1] && plain.words[2][2] == B &&
	   plain.words[1][6] == 100 + ALONE &&
	   plain.words[1][MORE] == (1 << 21) + (1 << 20) + (COOKIE << 8) + 1,
	   "%s: all of them see what they see of a plain one", t->name);
}

static int racing;
static volatile bool over;
static u64 runs, wrong;

static void *runner(void *arg)
{
	u8 in[64] = {};

	pin_to_cpu((int)(long)arg);
	while (!over) {
		struct run run = { .data_in = in, .data_in_size = sizeof(in), .repeat = 50 };

		if (prog_run(racing, &run) || run.retval != SUM)
			__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&runs, 50, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* They come and go while it runs on other CPUs. */
static void race(void)
{
	struct tracer tracers[] = { { .f = ALONE, .leaves = true }, { .f = ALONE },
				    { .f = FIVE, .leaves = true } };
	s64 violations = moat_counter("violations");
	u64 end, seen[ARRAY_SIZE(tracers)] = {};
	pthread_t thread[3];
	int changes = 0;
	bool some = true;

	racing = target_load(2);
	for (long i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, runner, (void *)(i + 1));
	pin_to_cpu(0);
	for (end = now_ns() + 1000000000ULL; now_ns() < end || changes < 3; changes++) {
		for (size_t i = 0; i < ARRAY_SIZE(tracers); i++)
			trace(&tracers[i], racing, 2);
		usleep(1000 * (changes % 4));
		for (size_t i = 0; i < ARRAY_SIZE(tracers); i++) {
			seen[i] += map_word(tracers[i].map, 0);
			forget(&tracers[i]);
		}
	}
	over = true;
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	for (size_t i = 0; i < ARRAY_SIZE(tracers); i++)
		some &= seen[i] && seen[i] <= runs;
	ok(!wrong && some && moat_counter("violations") == violations,
	   "they come and go while three CPUs run it: the same each time");
	diag("%d times, %lu runs, of which %lu, %lu, %lu were traced, %lu wrong", changes, runs,
	     seen[0], seen[1], seen[2], wrong);
	close(racing);
}

/* There is room for 32 where two trampolines are in one image. */
static void too_many(void)
{
	struct tracer tracers[33];
	int target = target_load(2), n = 0, err = 0;

	while (n < (int)ARRAY_SIZE(tracers) && !err) {
		tracers[n] = (struct tracer){ .f = ALONE, .leaves = n & 1 };
		trace(&tracers[n], target, 2);
		err = tracers[n++].link < 0 ? errno : 0;
	}
	ok(n == 33 && err == E2BIG && prog_run_once(target) == SUM &&
	   map_word(tracers[0].map, 0) == 1 && map_word(tracers[31].map, 0) == 1,
	   "32 programs trace one function, and no more (%d, %s)", n, strerror(err));
	while (n--)
		forget(&tracers[n]);
	close(target);
}

/* No verifier looked at what passes, as the context, what is none. */
static void forged_context(void)
{
	struct tracer tracer = { .f = ALONE };
	int target_fd;
	u64 seen;
	s64 ret;

	canary_reset();
	loot_clear();
	function(MAIN);
	/* Nobody looks at what follows what is wrong: zero, as it happens */
	E(LD_MAP_VALUE(R7, loot, 24), LDX(BPF_DW, R3, R7, 0), ALU64_REG(BPF_ADD, R1, R3),
	  LD_IMM64(R1, target("data") - xdp_end));
	call(ALONE);
	E(ALU64_IMM(BPF_ADD, R0, 0), EXIT());
	function(ALONE);
	E(MOV_IMM(R0, 10), EXIT());
	target_fd = build("rogue_caller", level);
	trace(&tracer, target_fd, level);
	ret = prog_run_once(target_fd);
	seen = map_word(tracer.map, 1);
	ok(ret == 10 && (seen == 64) == !!level,
	   "%d: passes what is not its context: who traces it sees %s (%lx)", level,
	   level ? "the context" : "another's memory", seen);
	forget(&tracer);
	close(target_fd);
}

/* It is stopped in a function that is traced, which is not done then. */
static void stopped(void)
{
	struct tracer begin = { .f = ALONE }, done = { .f = ALONE, .leaves = true };
	s64 violations = moat_counter("violations"), ret;
	int target_fd;

	canary_reset();
	function(MAIN);
	call(ALONE);
	E(ALU64_IMM(BPF_ADD, R0, 0), EXIT());
	function(ALONE);
	E(LD_IMM64(R2, target("data")), LD_IMM64(R3, MARK), STX(BPF_DW, R2, R3, 0),
	  MOV_IMM(R0, 10), EXIT());
	target_fd = build("rogue_traced", level);
	trace(&begin, target_fd, level);
	trace(&done, target_fd, level);
	kmsg_mark();
	ret = prog_run_once(target_fd);
	if (level)
		ok(ret == t->safe && canary("data") != MARK && map_word(begin.map, 0) == 1 &&
		   map_word(done.map, 0) == 0 &&
		   reported(kmsg_stopped(target_fd, "rogue_traced"), "write", target("data")) &&
		   moat_counter("violations") == violations + 1,
		   "2: writes to the kernel while it is traced: stopped");
	else
		ok(ret == 10 && canary("data") == MARK && map_word(done.map, 0) == 1,
		   "0: writes to the kernel while it is traced");
	forget(&begin);
	forget(&done);
	close(target_fd);
}

/* The way when nobody traces it, and its middle, where the function returns to */
static void astray(void)
{
	static const char *const to[] = { "1 eb22", "1 eb5c" };

	if (!level)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(to); i++) {
		s64 ret;
		int fd;

		fd = ext_spoilt(to[i]);
		kmsg_mark();
		ret = fd < 0 ? -1 : prog_run_once(fd);
		ok(fd >= 0 && !!kmsg_find("image (", RETURN) == !i && (i || ret == t->safe),
		   "2: goes to the %s of the way: %s", i ? "middle" : "begin",
		   i ? "back in the program" : "stopped");
		diag("%lx; %s", ret, kmsg_find("moat: ", NULL) ?: "nothing");
		close(fd);
	}
}

static void attacks(void)
{
	describe(&xdp);
	forged_context();
	stopped();
	astray();
	if (level)
		ok(others_run(), "2: other programs run as before");
}

int main(void)
{
	if (!moat_present())
		skip_all("no MOAT");
	find_offsets();
	describe(&sched_cls);
	compare();
	describe(&xdp);
	compare();
	race();
	too_many();
	return at_each_level(attacks);
}
