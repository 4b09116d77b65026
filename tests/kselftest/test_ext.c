// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 keys=13,0 timeout=180 */
/*
 * Does a program do the same in the place of another's function (freplace), whichever of the
 * two is isolated? Arguments, the context, the packet and the result go to it and back; it
 * comes and goes while the other runs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "ext.h"

#define A 0x1122334455667788ULL
#define B 0xfedcba9876543210ULL

static const struct prog_type *const types[] = { &xdp, &sched_cls };

static int words, theirs;	/* the target's, and those of what is in it */
#define TELL(MAP, I, REG) LD_MAP_VALUE(R1, MAP, 8 * (I)), STX(BPF_DW, R1, REG, 0)

/* Two bytes of the packet to R7, or out; clobbers R1, R2. R6: the context. */
static void packet(void)
{
	int data = t == &xdp ? offsetof(struct xdp_md, data) : offsetof(struct __sk_buff, data);
	int end = t == &xdp ? offsetof(struct xdp_md, data_end) :
		  offsetof(struct __sk_buff, data_end);

	E(LDX(BPF_W, R7, R6, data), LDX(BPF_W, R2, R6, end), MOV_REG(R1, R7),
	  ALU64_IMM(BPF_ADD, R1, 14), JMP_REG(BPF_JLE, R1, R2, 2), MOV_IMM(R0, 99), EXIT());
}

static void returns(enum function f, int value)
{
	function(f);
	E(MOV_IMM(R0, value), EXIT());
}

/* Calls its functions, and tells what it has of each, and of the packet afterwards. */
static int target_load(int level)
{
	function(MAIN);
	E(MOV_REG(R6, R1));
	packet();
	E(ST(BPF_B, R7, 1, 0x55), MOV_REG(R1, R6));
	call(ALONE);
	E(TELL(words, 0, R0));
	packet();
	E(LDX(BPF_H, R8, R7, 0), TELL(words, 3, R8));
	if (t != &xdp)
		E(LDX(BPF_W, R8, R6, offsetof(struct __sk_buff, mark)), TELL(words, 4, R8));
	E(MOV_REG(R1, R6), LD_IMM64(R2, A), LD_IMM64(R3, B));
	call(PAIR);
	E(TELL(words, 1, R0));
	E(MOV_REG(R1, R6), LD_IMM64(R2, A), LD_IMM64(R3, B), MOV_IMM(R4, -3), LD_IMM64(R5, B / 3));
	call(FOUR);
	E(TELL(words, 2, R0), MOV_IMM(R0, t->pass), EXIT());
	returns(ALONE, 10);
	returns(PAIR, 11);
	returns(FOUR, 12);
	return build("target", level);
}

/* The same of functions that take the context elsewhere, or not at all */
static int places_load(int level)
{
	function(MAIN);
	E(MOV_REG(R6, R1), MOV_REG(R2, R1), LD_IMM64(R1, A), LD_IMM64(R3, B));
	call(MIDDLE);
	E(TELL(words, 0, R0), LD_IMM64(R1, A), LD_IMM64(R2, B), MOV_IMM(R3, 3), MOV_IMM(R4, -5),
	  MOV_REG(R5, R6));
	call(BEHIND);
	E(TELL(words, 1, R0), MOV_REG(R1, R6), LD_IMM64(R2, A), MOV_REG(R3, R6));
	call(TWICE);
	E(TELL(words, 2, R0), LD_IMM64(R1, A), LD_IMM64(R2, B), MOV_IMM(R3, 3), MOV_IMM(R4, -5),
	  LD_IMM64(R5, A / 7));
	call(FIVE);
	E(TELL(words, 3, R0));
	call(NOTHING);
	E(TELL(words, 4, R0), MOV_IMM(R0, t->pass), EXIT());
	for (int f = MIDDLE; f <= NOTHING; f++)
		returns(f, 20 + f);
	return build("places", level);
}

/* Word @i of theirs: what the packet begins with, R6 being the context, and what is in R9 */
static void tell_packet(int i)
{
	packet();
	E(LDX(BPF_H, R7, R7, 0), ALU64_REG(BPF_ADD, R7, R9), TELL(theirs, i, R7));
}

static void place_ext(enum function f)
{
	switch (f) {
	case MIDDLE:
		E(MOV_REG(R9, R1), ALU64_REG(BPF_SUB, R9, R3), MOV_REG(R6, R2));
		tell_packet(0);
		break;
	case BEHIND:
		E(MOV_REG(R9, R1), ALU64_REG(BPF_SUB, R9, R2), ALU64_REG(BPF_ADD, R9, R3),
		  ALU64_REG(BPF_XOR, R9, R4), MOV_REG(R6, R5));
		tell_packet(1);
		break;
	case TWICE:
		E(MOV_REG(R9, R2), MOV_REG(R8, R3), MOV_REG(R6, R1));
		tell_packet(2);
		/* Plainly, who writes has to have the context first: tc_cls_act_prologue(). */
		packet();
		E(ST(BPF_B, R7, 0, 0x42), MOV_REG(R6, R8));
		tell_packet(3);
		break;
	case FIVE:
		E(MOV_REG(R6, R1));
		for (int reg = R2; reg <= R5; reg++)
			E(ALU64_IMM(BPF_MUL, R6, 3), ALU64_REG(BPF_ADD, R6, reg));
		E(TELL(theirs, 4, R6));
		break;
	default:
		E(MOV_IMM(R6, 5), TELL(theirs, 5, R6));
	}
	E(MOV_IMM(R0, 2000 + f), EXIT());
}

static int ext_load(int level, int target, enum function f, const char *name)
{
	int fd;

	function(f);
	if (f < MIDDLE)
		E(MOV_REG(R6, R1));
	switch (f) {
	case MIDDLE ... NOTHING:
		place_ext(f);
		break;
	case ALONE:
		packet();
		E(LDX(BPF_H, R8, R7, 0), TELL(theirs, 0, R8), ST(BPF_B, R7, 0, 0x42));
		if (t != &xdp)
			E(MOV_IMM(R8, 77),
			  STX(BPF_W, R6, R8, offsetof(struct __sk_buff, mark)));
		E(MOV_IMM(R0, 1000), EXIT());
		break;
	case PAIR:
		E(MOV_REG(R7, R2), MOV_REG(R8, R3), TELL(theirs, 1, R7), TELL(theirs, 2, R8),
		  MOV_IMM(R0, 0), CALL(ktime_get_ns), ALU32_REG(BPF_MOV, R0, R7), EXIT());
		break;
	default:
		E(MOV_REG(R7, R2), MOV_REG(R8, R3), MOV_REG(R9, R4), STX(BPF_DW, R10, R5, -8),
		  TELL(theirs, 3, R7), TELL(theirs, 4, R8), TELL(theirs, 5, R9),
		  LDX(BPF_DW, R7, R10, -8), TELL(theirs, 6, R7), MOV_IMM(R0, 1234), EXIT());
	}
	fd = build_for(BPF_PROG_TYPE_EXT, 0, name, level, target, f);
	if (fd < 0)
		bail("%s: %s\n%s", name, strerror(errno), prog_log);
	if ((moat_layer(fd) != NONE) != (level != 0))
		bail("%s is %s", name, moat_layer_name[moat_layer(fd)]);
	return fd;
}

struct result {
	u64 words[8], theirs[8];
	u32 retval;
	u8 out[64];
};

static void run_it(int fd, struct result *result)
{
	static const u64 zeros[8];
	u8 in[64] = { 1, 2, 3 };
	struct run run = {
		.data_in = in, .data_in_size = sizeof(in),
		.data_out = result->out, .data_out_size = sizeof(result->out),
	};
	u32 zero = 0;

	map_update(words, &zero, zeros);
	map_update(theirs, &zero, zeros);
	memset(result->out, 0, sizeof(result->out));
	if (prog_run(fd, &run))
		bail("run: %s", strerror(errno));
	result->retval = run.retval;
	map_lookup(words, &zero, result->words);
	map_lookup(theirs, &zero, result->theirs);
}

static bool same(const struct result *a, const struct result *b, const char *what)
{
	if (!memcmp(a, b, sizeof(*a)))
		return true;
	for (int i = 0; i < 8; i++)
		diag("%s: [%d] %lx %lx, %lx %lx", what, i, a->words[i], b->words[i],
		     a->theirs[i], b->theirs[i]);
	diag("%s: returns %u, %u; %02x%02x, %02x%02x", what, a->retval, b->retval, a->out[0],
	     a->out[1], b->out[0], b->out[1]);
	return false;
}

static const char *const mixes[] = {
	"both plain", "the function's program isolated", "what replaces it isolated",
	"both isolated",
};

/* What is replaced of which program, and the first word before and after */
static const struct set {
	const char *what;
	int (*load)(int level);
	enum function from, to;
	u64 bare, replaced;
} sets[] = {
	{ "three", target_load, ALONE, FOUR, 10, 1000 },
	{ "five that take the context anywhere", places_load, MIDDLE, NOTHING, 20 + MIDDLE,
	  2000 + MIDDLE },
};

static void compare(const struct set *set, struct result *plain, struct result *bare)
{
	struct result now = {};

	for (int mix = 0; mix < 4; mix++) {
		int target = set->load(mix & 1 ? 2 : 0), ext[LAST], link[LAST];
		bool good = true;

		run_it(target, mix ? &now : bare);
		good &= !mix || same(bare, &now, "before");
		for (int f = set->from; f <= (int)set->to; f++) {
			ext[f] = ext_load(mix & 2 ? 2 : 0, target, f, "part");
			link[f] = attach(ext[f], target, f);
			if (link[f] < 0)
				bail("%s: attach: %s", mixes[mix], strerror(errno));
		}
		run_it(target, mix ? &now : plain);
		good &= !mix || same(plain, &now, "attached");
		for (int f = set->from; f <= (int)set->to; f++)
			close(link[f]);
		run_it(target, &now);
		good &= same(bare, &now, "detached");
		link[0] = attach(ext[set->from], target, set->from);
		run_it(target, &now);
		good &= link[0] >= 0 && now.words[0] == set->replaced &&
			now.words[1] == bare->words[1];
		ok(good && bare->words[0] == set->bare,
		   "%s: %s: the same before, with %s replaced, without, with one", t->name,
		   mixes[mix], set->what);
		close(link[0]);
		for (int f = set->from; f <= (int)set->to; f++)
			close(ext[f]);
		close(target);
	}
}

static void all_the_same(void)
{
	struct result plain = {}, bare = {};

	compare(&sets[0], &plain, &bare);
	ok(plain.words[0] == 1000 && plain.words[2] == 1234 && plain.theirs[1] == A &&
	   plain.theirs[2] == B && plain.theirs[6] == B / 3 && plain.theirs[5] == (u64)-3 &&
	   plain.words[3] == 0x5542 && bare.words[3] == 0x5501,
	   "%s: and they did what they are to do", t->name);
	compare(&sets[1], &plain, &bare);
	ok(plain.words[4] == 2000 + NOTHING && plain.theirs[0] == A - B + 0x0201 &&
	   plain.theirs[1] == ((A - B + 3) ^ (u64)-5) + 0x0201 &&
	   plain.theirs[2] == A + 0x0201 && plain.theirs[3] == A + 0x0242 &&
	   plain.theirs[4] == (((A * 3 + B) * 3 + 3) * 3 - 5) * 3 + A / 7 &&
	   plain.theirs[5] == 5, "%s: and these, too", t->name);
}

/* Plainly, tc's prologue would take the number for the context, and the kernel crash. */
static void writes_elsewhere(void)
{
	int target = places_load(2), ext, link;
	struct result now;

	function(MIDDLE);
	E(MOV_REG(R6, R2));
	packet();
	E(ST(BPF_B, R7, 0, 0x42), MOV_IMM(R0, 5), EXIT());
	ext = build_for(BPF_PROG_TYPE_EXT, 0, "writer", 2, target, MIDDLE);
	link = attach(ext, target, MIDDLE);
	run_it(target, &now);
	ok(link >= 0 && now.words[0] == 5 && now.out[0] == 0x42,
	   "%s: isolated, one writes to the packet with the context behind a number", t->name);
	close(link);
	close(ext);
	close(target);
}

static int racing;
static volatile bool over;
static u64 runs, replaced_runs, wrong;

static void *runner(void *arg)
{
	u8 in[64] = {};

	pin_to_cpu((int)(long)arg);
	while (!over) {
		struct run run = { .data_in = in, .data_in_size = sizeof(in), .repeat = 50 };

		if (prog_run(racing, &run) || (run.retval != 10 && run.retval != 1000))
			__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
		if (run.retval == 1000)
			__atomic_add_fetch(&replaced_runs, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&runs, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* While it runs on other CPUs */
static void race(void)
{
	s64 violations = moat_counter("violations");
	int changes = 0, failed = 0, ext;
	pthread_t thread[3];
	u64 end;

	function(MAIN);
	call(ALONE);
	E(EXIT());
	returns(ALONE, 10);
	racing = build("racing", 2);
	ext = ext_load(2, racing, ALONE, "racer");
	over = false;
	runs = replaced_runs = wrong = 0;
	for (long i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, runner, (void *)(i + 1));
	pin_to_cpu(0);
	for (end = now_ns() + 2500000000ULL; now_ns() < end; changes++) {
		int link = attach(ext, racing, ALONE);

		failed += link < 0;
		usleep(1000 * (changes % 4));
		close(link);
	}
	over = true;
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	if (!ok(!wrong && !failed && runs > 10 && replaced_runs && changes > 5 &&
		moat_counter("violations") == violations,
		"%s: it comes and goes while three CPUs run the other: one of both, each time",
		t->name))
		diag("%lu wrong of %lu, %d of %d not attached", wrong, runs, failed, changes);
	diag("%d times, %lu runs with, %lu without", changes, replaced_runs, runs - replaced_runs);
	close(ext);
	close(racing);
}

/* Tracing programs see the main program's runs, as they are with kernel rights. */
static void traced(void)
{
	int target = target_load(2), tracer[2], link[2];
	struct result now;

	for (int i = 0; i < 2; i++) {
		function(MAIN);
		E(LD_MAP_VALUE(R2, theirs, 8 * i), MOV_IMM(R3, 1),
		  ATOMIC(BPF_DW, BPF_ADD, R2, R3, 0));
		if (i)
			E(LDX(BPF_DW, R3, R1, 8), STX(BPF_DW, R2, R3, 8));
		E(MOV_IMM(R0, 0), EXIT());
		tracer[i] = build_for(BPF_PROG_TYPE_TRACING, i ? BPF_TRACE_FEXIT : BPF_TRACE_FENTRY,
				      "tracer", 2, target, MAIN);
		link[i] = tracer[i] < 0 ? -1 : bpf_raw_tracepoint_open(NULL, tracer[i]);
		if (link[i] < 0)
			diag("%s: %s", strerror(errno), prog_log);
	}
	run_it(target, &now);
	ok(link[0] >= 0 && link[1] >= 0 && now.theirs[0] == 1 && now.theirs[1] == 1 &&
	   (u32)now.theirs[2] == t->pass && now.retval == t->pass && moat_layer(target) != NONE,
	   "%s: fentry and fexit see its run and what it returns", t->name);
	for (int i = 0; i < 2; i++) {
		close(link[i]);
		close(tracer[i]);
	}
	run_it(target, &now);
	ok(now.theirs[0] == 0 && now.retval == t->pass, "%s: and no more when they are gone", t->name);
	close(target);
}

int main(void)
{
	if (!moat_present())
		skip_all("no MOAT");
	words = map_of_words(0);
	theirs = map_of_words(0);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		describe(types[i]);
		all_the_same();
		writes_elsewhere();
		traced();
	}
	describe(&xdp);
	race();
	return finish();
}
