// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 alone=machine timeout=400 */
/*
 * Does isolation hold in any context the kernel may run a program in: a task with
 * interrupts on and off, softirq, hardirq, NMI?
 *
 * In each of them, for each type, without MOAT, keyed and in a view: a program
 * finds all as it should be, and its every run is counted; one that reads or writes
 * kernel memory is stopped, and succeeds without MOAT. Then a program runs in a task,
 * while it and another one run in all other contexts on the same CPU.
 *
 * "nmi_open" is an NMI handler that has taken a fault: NMIs are not blocked any
 * more, so that the next one may find it in a program.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "build.h"

#define RUN_IN "/sys/kernel/debug/moat_test/run_in"
#define MARK 0x5eed5eed5eed5eedULL
#define LEN 64			/* of the packet; byte i is i */
#define CPU 1			/* where all of it runs */
#define INNER 200		/* rounds of a program */
#define NEST 3			/* runs of one program that nest: MOAT_NEST */
/* For how long programs run nested */
#define MIN_NS 2000000000ULL
#define MAX_NS 20000000000ULL

static const struct prog_type *const types[] = {
	&xdp, &sched_cls, &sched_act, &socket_filter, &cgroup_skb,
};

static const char *const contexts[] = {
	"task", "irqoff", "softirq", "hardirq", "nmi", "nmi_open",
};

static const char *const layers[] = { "without MOAT", "keyed", "in a view" };
static enum moat_layer layer;

/* Of a map: 64 bit words */
enum { RUNS, BAD, HOT, ADDRESS, INSIDE, DEPTH, LOOT = DEPTH + 8, WORDS = 32 };

static u64 word(int map, int i)
{
	u64 v[WORDS] = {};
	u32 zero = 0;

	map_lookup(map, &zero, v);
	return v[i];
}

static int new_map(void)
{
	int fd = map_create(BPF_MAP_TYPE_ARRAY, 4, 8 * WORDS, 1);

	if (fd < 0)
		bail("map: %s", strerror(errno));
	return fd;
}

struct result {
	u64 runs, verdict, other, errors;
};

static struct result run_in(int prog, const char *context, u64 count)
{
	struct result r = {};
	char text[128] = {};
	int fd = open(RUN_IN, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		bail(RUN_IN ": %s", strerror(errno));
	if (dprintf(fd, "%d %s %d %lu", prog, context, CPU, count) < 0)
		diag("run in %s: %s", context, strerror(errno));
	else if (pread(fd, text, sizeof(text) - 1, 0) <= 0 ||
		 sscanf(text, "%lu %lu %lu %lu", &r.runs, &r.verdict, &r.other, &r.errors) != 4)
		diag("run in %s: no result", context);
	close(fd);
	return r;
}

static bool is_nmi(const char *context)
{
	return !strncmp(context, "nmi", 3);
}

/* Programs */

/* [BAD]++ unless the jump @... is taken; R9: the map */
#define UNLESS(...) E(MOV_IMM(R3, 1), __VA_ARGS__, ATOMIC(BPF_DW, BPF_ADD, R9, R3, 8 * BAD))

static u64 expected(void)
{
	u64 a = 0x123456789abcdefULL, b = ~a;
	int i;

	for (i = 0; i < INNER; i++) {
		a = a * 31 + b;
		b ^= a >> 7;
	}
	return a + b * 5 + 9;
}

static int load(const struct prog_type *t, const char *name)
{
	int fd;

	/* its own, and that of a map it shares with one that is closed but not gone */
	if (layer == KEYED)
		moat_wait_for_keys(2);
	fd = prog_load(t->type, name, insns, cnt);
	if (fd < 0)
		diag("%s, %s: load: %s\n%s", t->name, name, strerror(errno), prog_log);
	else if (moat_layer(fd) != layer)
		diag("%s, %s: layer %d", t->name, name, moat_layer(fd));
	return fd;
}

/*
 * Counts its runs, and whatever is not as it should be: values in registers, on the
 * stack and across a function, what helpers return, context and packet. [DEPTH + n]
 * counts the runs that began while n others had. @hash, if there is one, is updated.
 */
static int load_good(const struct prog_type *t, const char *name, int map, int hash)
{
	bool skb = t != &xdp;
	/* a socket filter's packet has no Ethernet header */
	int len = t == &socket_filter ? LEN - 14 : LEN;
	int first = LEN - len, loop, call;

	cnt = 0;
	E(MOV_REG(R8, R1), LD_MAP_VALUE(R9, map, 0), STX(BPF_DW, R9, R9, 8 * ADDRESS));
	/* depth: the map is one CPU's */
	E(MOV_IMM(R2, 1), ATOMIC(BPF_DW, BPF_ADD | BPF_FETCH, R9, R2, 8 * INSIDE),
	  ALU64_IMM(BPF_AND, R2, 7), ALU64_IMM(BPF_LSH, R2, 3), MOV_REG(R4, R9),
	  ALU64_REG(BPF_ADD, R4, R2), MOV_IMM(R3, 1),
	  ATOMIC(BPF_DW, BPF_ADD, R4, R3, 8 * DEPTH));
	/* context and packet */
	if (skb) {
		E(LDX(BPF_W, R2, R8, offsetof(struct __sk_buff, len)));
		UNLESS(JMP_IMM(BPF_JEQ, R2, len, 1));
		E(MOV_REG(R1, R8), MOV_IMM(R2, 20), MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -16),
		  MOV_IMM(R4, 8), ST(BPF_DW, R10, -16, 0), CALL(skb_load_bytes),
		  LDX(BPF_B, R2, R10, -9));
		UNLESS(JMP_IMM(BPF_JEQ, R2, 27 + first, 1));
	} else {
		E(LDX(BPF_W, R2, R8, offsetof(struct xdp_md, data)),
		  LDX(BPF_W, R4, R8, offsetof(struct xdp_md, data_end)),
		  MOV_REG(R5, R2), ALU64_IMM(BPF_ADD, R5, LEN), MOV_IMM(R7, 0),
		  JMP_REG(BPF_JGT, R5, R4, 1), LDX(BPF_B, R7, R2, LEN - 1));
		UNLESS(JMP_IMM(BPF_JEQ, R7, LEN - 1, 1));
	}
	/* helpers */
	E(CALL(get_smp_processor_id));
	UNLESS(JMP_IMM(BPF_JEQ, R0, CPU, 1));
	E(CALL(ktime_get_ns));
	UNLESS(JMP_IMM(BPF_JNE, R0, 0, 1));
	E(ST(BPF_W, R10, -8, 0), LD_MAP_FD(R1, map), MOV_REG(R2, R10),
	  ALU64_IMM(BPF_ADD, R2, -8), CALL(map_lookup_elem));
	UNLESS(JMP_REG(BPF_JEQ, R0, R9, 1));
	if (hash >= 0) {
		E(LD_MAP_FD(R1, hash), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -8),
		  MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -16), MOV_IMM(R4, 0),
		  ST(BPF_DW, R10, -16, 7), CALL(map_update_elem));
		UNLESS(JMP_IMM(BPF_JEQ, R0, 0, 1));
	}
	/* time, with a word that is written in every round */
	E(LD_IMM64(R6, 0x123456789abcdefULL), MOV_REG(R7, R6), ALU64_IMM(BPF_XOR, R7, -1),
	  MOV_IMM(R5, INNER), STX(BPF_DW, R10, R7, -24));
	loop = cnt;
	E(ALU64_IMM(BPF_MUL, R6, 31), LDX(BPF_DW, R2, R10, -24), ALU64_REG(BPF_ADD, R6, R2),
	  MOV_REG(R2, R6), ALU64_IMM(BPF_RSH, R2, 7), ALU64_REG(BPF_XOR, R7, R2),
	  STX(BPF_DW, R10, R7, -24), ALU64_IMM(BPF_SUB, R5, 1));
	E(JMP_IMM(BPF_JNE, R5, 0, loop - cnt - 1));
	E(STX(BPF_DW, R9, R6, 8 * HOT), MOV_REG(R1, R7));
	call = cnt;
	E(CALL_REL(0), ALU64_REG(BPF_ADD, R6, R0), LD_IMM64(R2, expected()));
	UNLESS(JMP_REG(BPF_JEQ, R2, R6, 1));
	E(MOV_IMM(R3, 1), ATOMIC(BPF_DW, BPF_ADD, R9, R3, 8 * RUNS),
	  MOV_IMM(R3, -1), ATOMIC(BPF_DW, BPF_ADD, R9, R3, 8 * INSIDE),
	  MOV_IMM(R0, t->pass), EXIT());
	insns[call].imm = cnt - call - 1;
	E(STX(BPF_DW, R10, R1, -8), CALL(ktime_get_ns), LDX(BPF_DW, R0, R10, -8),
	  ALU64_IMM(BPF_MUL, R0, 5), ALU64_IMM(BPF_ADD, R0, 9), EXIT());
	return load(t, name);
}

static void good(const struct prog_type *t, const char *context)
{
	int map = new_map(), hash = -1, fd;
	s64 violations = moat_counter("violations"), deep = moat_counter("too_deep");
	const u64 count = 50;
	struct result r;

	/* an NMI may find the bucket locked */
	if (!is_nmi(context))
		hash = map_create(BPF_MAP_TYPE_HASH, 4, 8, 4);
	fd = load_good(t, "good", map, hash);
	r = run_in(fd, context, count);
	if (!ok(fd >= 0 && moat_layer(fd) == layer && r.runs == count && r.verdict == t->pass &&
		!r.other && !r.errors && word(map, RUNS) == count && !word(map, BAD) &&
		word(map, DEPTH) == count && !word(map, INSIDE) &&
		moat_counter("violations") == violations && moat_counter("too_deep") == deep,
		"%s, %s, %s: right and counted", layers[layer], t->name, context))
		diag("%lu runs, verdict %lu, %lu others, %lu errors; counted %lu, bad %lu, in %lu",
		     r.runs, r.verdict, r.other, r.errors, word(map, RUNS), word(map, BAD),
		     word(map, INSIDE));
	close(fd);
	close(map);
	close(hash);
}

/*
 * What @insns do must happen without MOAT, if @landed says what that is, and be
 * stopped with it, and reported with all of @report.
 */
static void rogue(const struct prog_type *t, const char *context, int map, const char *what,
		  const char *report, bool landed(int map))
{
	s64 violations = moat_counter("violations");
	const char *line = NULL;
	struct result r, again;
	bool out, held;
	int fd;

	canary_reset();
	kmsg_mark();
	fd = load(t, "rogue");
	r = run_in(fd, context, 1);
	out = landed && landed(map);
	if (layer == NONE) {
		ok(fd >= 0 && r.runs == 1 && r.verdict == t->pass && !r.errors && out,
		   "%s, %s, %s: %s", layers[layer], t->name, context, what);
	} else {
		again = run_in(fd, context, 2);
		line = kmsg_stopped(fd, "rogue");
		held = fd >= 0 && moat_layer(fd) == layer && r.runs == 1 && r.verdict == t->safe &&
		       !r.errors && !out && line && strstr(line, report) &&
		       moat_counter("violations") == violations + 1 && again.runs == 2 &&
		       again.verdict == t->safe && !again.other && !again.errors;
		if (!ok(held, "%s, %s, %s: %s: stopped", layers[layer], t->name, context, what))
			diag("verdict %lu, then %lu, %lu others, errors %lu and %lu; %s: %s",
			     r.verdict, again.verdict, again.other, r.errors, again.errors,
			     out ? "it landed" : "in vain", line ?: "nothing in the log");
	}
	close(fd);
	canary_reset();
}

static bool canary_in_loot(int map)
{
	return word(map, LOOT) == canary("data");
}

static bool canary_is_mark(int map)
{
	return canary("data") == MARK;
}

static void rogues(const struct prog_type *t, const char *context)
{
	u64 data = target("data");
	int map = new_map();
	char report[64];

	cnt = 0;
	E(LD_IMM64(R2, data), LDX(BPF_DW, R3, R2, 0), LD_MAP_VALUE(R9, map, 0),
	  STX(BPF_DW, R9, R3, 8 * LOOT), MOV_IMM(R0, t->pass), EXIT());
	snprintf(report, sizeof(report), ": read of %#018lx", data);
	rogue(t, context, map, "reads kernel memory", report, canary_in_loot);

	cnt = 0;
	E(LD_IMM64(R2, data), LD_IMM64(R3, MARK), STX(BPF_DW, R2, R3, 0),
	  MOV_IMM(R0, t->pass), EXIT());
	snprintf(report, sizeof(report), ": write of %#018lx", data);
	rogue(t, context, map, "writes kernel memory", report, canary_is_mark);

	if (layer == NONE) {
		close(map);
		return;
	}
	cnt = 0;
	E(LD_MAP_FD(R1, map), LD_IMM64(R2, data), MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -64),
	  MOV_IMM(R4, 0), CALL(map_update_elem), MOV_IMM(R0, t->pass), EXIT());
	rogue(t, context, map, "passes a key in kernel memory",
	      "helper map_update_elem argument 2", NULL);

	/*
	 * A function that gives its caller kernel memory for a stack, where the gate by which it
	 * returns takes that from. If another NMI comes before the fault's entry code has got far,
	 * no more than that is known.
	 */
	cnt = 0;
	E(MOV_IMM(R2, 0), JMP_IMM(BPF_JEQ, R2, 0, 6), SIX_CALLS(3),
	  CALL_REL(3), ST(BPF_DW, R10, -8, 1), MOV_IMM(R0, t->pass), EXIT(),
	  LD_IMM64(R3, data), STX(BPF_DW, R10, R3, 0), MOV_IMM(R0, 0), EXIT());
	rogue(t, context, map, "loses its stack",
	      is_nmi(context) ? "; stopped" : "stack pointer lost", NULL);
	close(map);
}

/* Nested */

struct storm {
	pthread_t thread;
	const char *context;
	int prog, cpu;
	u64 asked, runs, others, errors;
	const struct prog_type *t;
};

static volatile bool over;

static void *storm(void *arg)
{
	struct storm *s = arg;
	const u64 batch = 20;
	struct result r;

	pin_to_cpu(s->cpu);
	while (!over) {
		r = run_in(s->prog, s->context, batch);
		s->asked += batch;
		s->runs += r.runs;
		s->others += r.other + (r.verdict != s->t->pass);
		s->errors += r.errors;
	}
	return NULL;
}

static struct task {
	int prog;
	const struct prog_type *t;
	u64 runs, wrong;
} task;

static void *run_task(void *unused)
{
	static u8 packet[LEN];
	int i;

	for (i = 0; i < LEN; i++)
		packet[i] = i;
	pin_to_cpu(CPU);
	while (!over) {
		struct run run = { .data_in = packet, .data_in_size = LEN, .repeat = 20 };

		if (prog_run(task.prog, &run))
			bail("run: %s", strerror(errno));
		task.runs += run.repeat;
		/* it may have met three others */
		task.wrong += run.retval != task.t->pass;
	}
	return NULL;
}

static int breakpoint(int map)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT, .size = sizeof(attr),
		.bp_type = HW_BREAKPOINT_W, .bp_addr = word(map, ADDRESS) + 8 * HOT,
		.bp_len = HW_BREAKPOINT_LEN_8, .sample_period = 1, .exclude_user = 1,
	};

	return syscall(__NR_perf_event_open, &attr, -1, CPU, -1, 0);
}

/*
 * Programs of type @t in a task, and meanwhile the same and another one in
 * @with. No run may be lost: it is counted, or it was one too many.
 */
static void nested(const struct prog_type *t, const char *const *with, int n, const char *what)
{
	int same_map = new_map(), other_map = new_map(), same, other, i, bp, nr = 0;
	s64 violations = moat_counter("violations"), deep = moat_counter("too_deep");
	struct storm storms[8] = {};
	u64 wanted, others = 0, errors = 0, missing = 0, hits = 0, depth[8], began;
	const struct prog_type *o = t == &xdp ? &sched_cls : &xdp;
	pthread_t thread;
	bool held;

	same = load_good(t, "same", same_map, -1);
	other = load_good(o, "other", other_map, -1);
	if (same < 0 || other < 0) {
		ok(false, "%s, %s in a task, %s: loads", layers[layer], t->name, what);
		return;
	}
	over = false;
	task = (struct task){ same, t, 0, 0 };
	pthread_create(&thread, NULL, run_task, NULL);
	while (!word(same_map, ADDRESS))
		usleep(1000);
	bp = breakpoint(same_map);
	for (i = 0; i < n; i++) {
		int k;

		for (k = 0; k < 2; k++, nr++) {
			storms[nr] = (struct storm){
				.context = with[i], .prog = k ? other : same, .t = k ? o : t,
				.cpu = 2 + i % 2,
			};
			pthread_create(&storms[nr].thread, NULL, storm, &storms[nr]);
		}
	}
	/* until they have met */
	began = now_ns();
	do {
		usleep(100000);
		for (i = 0; i < 8; i++)
			depth[i] = word(same_map, DEPTH + i);
	} while (now_ns() - began < (depth[2] > 10 ? MIN_NS : MAX_NS));
	over = true;
	for (i = 0; i < nr; i++)
		pthread_join(storms[i].thread, NULL);
	pthread_join(thread, NULL);

	wanted = task.runs;
	for (i = 0; i < nr; i++) {
		wanted += storms[i].runs;
		missing += storms[i].asked - storms[i].runs;
		others += storms[i].others;
		errors += storms[i].errors;
	}
	if (bp >= 0 && read(bp, &hits, 8) != 8)
		hits = 0;
	deep = moat_counter("too_deep") - deep;
	held = word(same_map, RUNS) + word(other_map, RUNS) + deep == wanted && !missing &&
	       !errors && !word(same_map, BAD) && !word(other_map, BAD) &&
	       moat_layer(same) == layer && moat_layer(other) == layer &&
	       moat_counter("violations") == violations;
	if (n < NEST)
		held &= !deep && !others && !task.wrong;
	if (!ok(held, "%s, %s in a task, %s: every run is right, and counted",
		layers[layer], t->name, what))
		diag("%lu + %lu of %lu, %lu too deep, %lu missing, verdicts: %lu and %lu, %lu errors, %lu + %lu bad, %ld violations",
		     word(same_map, RUNS), word(other_map, RUNS), wanted, deep, missing, others,
		     task.wrong, errors, word(same_map, BAD), word(other_map, BAD),
		     moat_counter("violations") - violations);
	ok(depth[1] && depth[NEST - 1] && !depth[NEST],
	   "%s, %s in a task, %s: runs nest", layers[layer], t->name, what);
	diag("%lu runs in the task, %lu in all; %lu, %lu, %lu at depth 0, 1, 2; %lu too deep, %lu breakpoints",
	     task.runs, wanted, depth[0], depth[1], depth[2], deep, hits);
	close(bp);
	close(same);
	close(other);
	close(same_map);
	close(other_map);
}

static void all_nested(const struct prog_type *t)
{
	static const char *const hard[] = { "hardirq", "nmi" };
	static const char *const open[] = { "hardirq", "nmi_open" };
	static const char *const four[] = { "softirq", "hardirq", "nmi" };

	nested(t, hard, 2, "others in hardirq and NMI");
	nested(t, open, 2, "others in hardirq and open NMI");
	nested(t, four, 3, "others in softirq, hardirq and NMI");
}

int main(void)
{
	size_t i, k;

	if (!test_kernel() || access(RUN_IN, F_OK))
		skip_all("needs the test kernel");
	if (!moat_present())
		skip_all("needs MOAT");
	pin_to_cpu(0);
	for (layer = NONE; layer <= VIEW; layer++) {
		moat_set_level(layer == NONE ? 0 : 2);
		moat_set_keys(layer == VIEW ? 0 : 13);
		for (i = 0; i < ARRAY_SIZE(contexts); i++)
			for (k = 0; k < ARRAY_SIZE(types); k++)
				good(types[k], contexts[i]);
		bypass_verifier(true);
		for (i = 0; i < ARRAY_SIZE(contexts); i++)
			for (k = 0; k < ARRAY_SIZE(types); k++)
				rogues(types[k], contexts[i]);
		bypass_verifier(false);
		if (layer == NONE)
			continue;
		all_nested(&xdp);
		all_nested(&sched_cls);
	}
	moat_set_keys(13);
	return finish();
}
