// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,0 timeout=300 */
/*
 * Do timers in map values do for isolated programs what they do for others? They run out,
 * are started again and cancelled, by the program, by what they call and by user space, with
 * the value, with the map; and on several CPUs. What comes of it is the same at all levels.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "build.h"
#include "timers.h"

#define KEYS 8
#define LONG 10000000000ULL	/* ns, until after a test */
#define SHORT 1000000ULL
#define CPUS 4
#define ROUNDS 200
#define STORM 300
#define GROWN 3000	/* values: more than there are ahead */

static const struct {
	const char *name;
	enum bpf_map_type type;
	u32 flags;
} kinds[] = {
	{ "an array", BPF_MAP_TYPE_ARRAY, 0 },
	{ "a hash", BPF_MAP_TYPE_HASH, 0 },
	{ "an LRU hash", BPF_MAP_TYPE_LRU_HASH, 0 },
	{ "a hash on demand", BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC },
};

static u32 flags;	/* of the maps of now */

static const struct prog_type *t = &xdp;
static int map, orders, total, ring, level;

/* What the program is to do: an array of words, which it has the address of */
enum order { KEY, OP, NS, ANSWER, PERIOD };
#define ORDER(REG, WHICH) \
	LD_MAP_VALUE(REG, orders, 0), LDX(BPF_DW, REG, REG, 8 * (WHICH))
enum op { INIT, SET, SET_CANCELS, SET_DELETES, SET_CALLS, START, CANCEL, NR_OPS };

/* R1 = the timer of the value in @reg */
#define TIMER(REG) MOV_REG(R1, REG), ALU64_IMM(BPF_ADD, R1, TIMER_AT)

/* Counts, in the value and for all, in what a timer calls: R6 = map, R7 = value */
static void counts(int f)
{
	begin_function(f);
	E(MOV_REG(R6, R1), MOV_REG(R7, R3), LDX(BPF_W, R8, R2, 0), ALU64_IMM(BPF_ADD, R8, 1),
	  STX(BPF_DW, R7, R8, KEY_AT), MOV_IMM(R1, 1),
	  ATOMIC(BPF_DW, BPF_ADD, R7, R1, FIRED_AT), LD_MAP_VALUE(R2, total, 0),
	  ATOMIC(BPF_DW, BPF_ADD, R2, R1, 0));
}

static void ends(void)
{
	E(MOV_IMM(R0, 0), EXIT());
}

/* if (OP == @op) ..., which leaves the answer in R0, and goes on behind all of these. */
static int when[NR_OPS];

static void begin_op(enum op op)
{
	E(JMP_IMM(BPF_JNE, R7, op, 0));
	when[op] = cnt;
}

static int ends_op[NR_OPS];

static void end_op(enum op op)
{
	E(JA(0));
	ends_op[op] = cnt;
	insns[when[op] - 1].off = cnt - when[op];
}

static void set(enum op op, int f)
{
	begin_op(op);
	E(TIMER(R6));
	emit_function(R2, f);
	E(CALL(timer_set_callback));
	end_op(op);
}

static void build_program(void)
{
	cnt = 0;
	E(ORDER(R1, KEY), STX(BPF_W, R10, R1, -4), LD_MAP_FD(R1, map), MOV_REG(R2, R10),
	  ALU64_IMM(BPF_ADD, R2, -4), CALL(map_lookup_elem), JMP_IMM(BPF_JNE, R0, 0, 2),
	  MOV_IMM(R0, t->safe), EXIT(), MOV_REG(R6, R0), ORDER(R7, OP), MOV_IMM(R0, 1));
	begin_op(INIT);
	E(TIMER(R6), LD_MAP_FD(R2, map), MOV_IMM(R3, CLOCK_MONOTONIC), CALL(timer_init));
	end_op(INIT);
	set(SET, 1);
	set(SET_CANCELS, 2);
	set(SET_DELETES, 3);
	set(SET_CALLS, 4);
	begin_op(START);
	E(TIMER(R6), ORDER(R2, NS), MOV_IMM(R3, 0), CALL(timer_start));
	end_op(START);
	begin_op(CANCEL);
	E(TIMER(R6), CALL(timer_cancel));
	end_op(CANCEL);
	for (int op = 0; op < NR_OPS; op++)
		insns[ends_op[op] - 1].off = cnt - ends_op[op];
	E(LD_MAP_VALUE(R1, orders, 8 * ANSWER), STX(BPF_DW, R1, R0, 0), MOV_IMM(R0, t->pass),
	  EXIT());

	/* Starts the timer again, as often as the value says. */
	counts(1);
	E(LDX(BPF_DW, R1, R7, AGAIN_AT), JMP_IMM(BPF_JEQ, R1, 0, 9), ALU64_IMM(BPF_SUB, R1, 1),
	  STX(BPF_DW, R7, R1, AGAIN_AT), TIMER(R7), ORDER(R2, PERIOD), MOV_IMM(R3, 0),
	  CALL(timer_start));
	ends();
	/* Cancels it. */
	counts(2);
	E(TIMER(R7), CALL(timer_cancel), STX(BPF_DW, R7, R0, GOT_AT));
	ends();
	/* Deletes the value, having started it again. */
	counts(3);
	E(ALU64_IMM(BPF_SUB, R8, 1), STX(BPF_W, R10, R8, -4), TIMER(R7), MOV_IMM(R2, 1000),
	  MOV_IMM(R3, 0), CALL(timer_start), MOV_REG(R1, R6), MOV_REG(R2, R10),
	  ALU64_IMM(BPF_ADD, R2, -4), CALL(map_delete_elem), STX(BPF_DW, R7, R0, GOT_AT));
	ends();
	/* Calls helpers, one of which calls a function, too: a record, then all values. */
	counts(4);
	E(LD_MAP_FD(R1, ring), MOV_IMM(R2, 8), MOV_IMM(R3, 0), CALL(ringbuf_reserve),
	  JMP_IMM(BPF_JEQ, R0, 0, 4), STX(BPF_DW, R0, R8, 0), MOV_REG(R1, R0), MOV_IMM(R2, 0),
	  CALL(ringbuf_submit), ST(BPF_DW, R10, -8, 0), MOV_REG(R1, R6));
	emit_function(R2, 5);
	E(MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -8), MOV_IMM(R4, 0), CALL(for_each_map_elem),
	  LDX(BPF_DW, R1, R10, -8), STX(BPF_DW, R7, R1, GOT_AT));
	ends();
	begin_function(5);
	E(LDX(BPF_DW, R1, R4, 0), ALU64_IMM(BPF_ADD, R1, 1), STX(BPF_DW, R4, R1, 0));
	ends();
}

static int load_program(void)
{
	int fd;

	build_program();
	fd = prog_load(t->type, "timed", insns, cnt);
	if (fd < 0)
		diag("load: %s\n%s", strerror(errno), prog_log);
	return fd;
}

/* How often timers have called a function */
static u64 calls(void)
{
	return map_word(total, 0);
}

static void give_orders(u32 key, enum op op, u64 ns, u64 period)
{
	u64 words[8] = { [KEY] = key, [OP] = op, [NS] = ns, [PERIOD] = period, [ANSWER] = 77 };
	u32 zero = 0;

	map_update(orders, &zero, words);
}

/* What the helper answers; 78: the program was stopped, 77: it did not get there. */
static s64 does(int fd, u32 key, enum op op, u64 ns)
{
	u8 packet[64] = {};
	struct run run = { .data_in = packet, .data_in_size = sizeof(packet) };

	give_orders(key, op, ns, SHORT);
	if (prog_run(fd, &run) || run.retval != t->pass)
		return 78;
	return (s32)map_word(orders, ANSWER);
}

static bool is_started(int fd, u32 key, enum op set, u64 ns)
{
	s64 init = does(fd, key, INIT, 0);

	return (!init || init == -EBUSY) && !does(fd, key, set, 0) && !does(fd, key, START, ns);
}

static void setup(enum bpf_map_type type)
{
	/* None is evicted. */
	map = timed_map(type, type == BPF_MAP_TYPE_LRU_HASH ? 512 * CPUS : KEYS, flags, false);
	for (u32 key = 0; key < KEYS; key++)
		timed_reset(map, key, 0);
}

static void basics(const char *kind, enum bpf_map_type type)
{
	int fd;

	setup(type);
	fd = load_program();
	ok(does(fd, 3, CANCEL, 0) == -EINVAL && does(fd, 3, SET, 0) == -EINVAL &&
	   does(fd, 3, START, SHORT) == -EINVAL, "%d: %s: none is there before", level, kind);
	ok(!does(fd, 3, INIT, 0) && does(fd, 3, INIT, 0) == -EBUSY &&
	   does(fd, 3, START, SHORT) == -EINVAL, "%d: %s: it is made once, and calls nothing yet",
	   level, kind);
	ok(!does(fd, 3, SET, 0) && !does(fd, 3, START, SHORT) && timed_fires(map, 3, 1) &&
	   timed_value(map, 3).key == 4, "%d: %s: it runs out, and calls the function with its key",
	   level, kind);
	ok(does(fd, 3, CANCEL, 0) == 0 && does(fd, 3, START, SHORT) == -EINVAL,
	   "%d: %s: cancelled, it has no function", level, kind);
	ok(is_started(fd, 3, SET, LONG) && does(fd, 3, CANCEL, 0) == 1,
	   "%d: %s: cancelled while it is armed", level, kind);

	ok(is_started(fd, 4, SET_CANCELS, SHORT) && timed_fires(map, 4, 1) &&
	   timed_value(map, 4).got == -EDEADLK, "%d: %s: what it calls cannot cancel it", level, kind);

	timed_reset(map, 5, 5);
	ok(is_started(fd, 5, SET, SHORT) && timed_fires(map, 5, 6) &&
	   timed_value(map, 5).key == 6, "%d: %s: what it calls starts it again, and again", level,
	   kind);

	ok(is_started(fd, 6, SET_CALLS, SHORT) && timed_fires(map, 6, 1) &&
	   timed_value(map, 6).got == KEYS, "%d: %s: what it calls calls helpers", level, kind);
	if (timed_value(map, 6).got != KEYS)
		diag("got %ld", timed_value(map, 6).got);
	close(fd);
	close(map);
}

static void deleted(const char *kind, enum bpf_map_type type)
{
	bool array = type == BPF_MAP_TYPE_ARRAY;
	u32 key = 2, other = 3;
	struct timed value;
	u64 before;
	int fd;

	setup(type);
	fd = load_program();
	before = calls();
	ok(is_started(fd, key, SET, 100 * SHORT) && !(array ? 0 : map_delete(map, &key)),
	   "%d: %s: armed%s", level, kind, array ? "" : ", and its value deleted");
	timed_reset(map, key, 0);
	usleep(300000);
	ok(calls() == before && !timed_value(map, key).fired &&
	   does(fd, key, START, SHORT) == -EINVAL, "%d: %s: the new value has none", level, kind);
	if (!array) {
		ok(is_started(fd, other, SET_DELETES, SHORT), "%d: %s: armed", level, kind);
		usleep(100000);
		ok(calls() == before + 1 && map_lookup(map, &other, &value) &&
		   errno == ENOENT, "%d: %s: what it calls deletes its value", level, kind);
	}
	close(fd);
	close(map);
}

/* The oldest values go, with their timers. */
static void evicted(void)
{
	u64 before = calls();
	struct timed value = {};
	int fd, there = 0;

	map = timed_map(BPF_MAP_TYPE_LRU_HASH, KEYS, 0, false);
	fd = load_program();
	for (u32 key = 0; key < 4 * KEYS; key++) {
		timed_reset(map, key, 0);
		is_started(fd, key, SET, 2000 * SHORT);
	}
	for (u32 key = 0; key < 4 * KEYS; key++)
		there += !map_lookup(map, &key, &value);
	usleep(3000000);
	ok(there && there < 4 * KEYS && calls() == before + there,
	   "%d: an LRU hash: timers go with the oldest values", level);
	if (calls() != before + there)
		diag("%ld of %d", calls() - before, there);
	close(fd);
	close(map);
}

/* Whether what timers call has stopped to be called */
static bool is_quiet(void)
{
	u64 before;

	usleep(50000);
	before = calls();
	usleep(200000);
	return calls() == before;
}

static bool is_loaded(u32 id)
{
	int fd = bpf_prog_get_fd_by_id(id);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool is_listed(void)
{
	return !system("grep -q timed /sys/kernel/debug/moat/programs");
}

static bool is_freed(u32 id)
{
	for (int i = 0; i < 500 && is_loaded(id); i++)
		usleep(10000);
	return !is_loaded(id);
}

static void freed(const char *kind, enum bpf_map_type type)
{
	int fd;
	u32 id;

	/* The map goes: it has no descriptor any more, but programs. */
	setup(type);
	fd = load_program();
	timed_reset(map, 1, -1ULL);
	ok(is_started(fd, 1, SET, SHORT) && !is_quiet(), "%d: %s: it goes on and on", level, kind);
	close(map);
	ok(is_quiet(), "%d: %s: until the map goes", level, kind);
	ok(does(fd, 2, INIT, 0) == -EPERM, "%d: %s: there are no others then", level, kind);
	id = prog_id(fd);
	close(fd);
	ok(is_freed(id), "%d: %s: the program can be freed", level, kind);

	/* The program goes: what it has armed stays, and with that the program itself. */
	setup(type);
	fd = load_program();
	id = prog_id(fd);
	timed_reset(map, 1, -1ULL);
	ok(is_started(fd, 1, SET, SHORT), "%d: %s: started", level, kind);
	close(fd);
	ok(!is_quiet() && is_loaded(id), "%d: %s: without its program it goes on", level, kind);
	timed_reset(map, 1, 0);
	ok(is_quiet() && is_freed(id), "%d: %s: until its value is replaced, and both go", level,
	   kind);
	close(map);
	if (level) {
		for (int i = 0; i < 500 && is_listed(); i++)
			usleep(10000);
		ok(!is_listed(), "2: %s: and what MOAT has of them", kind);
	}
}

/* Values with a lock and a timer: what a timer calls takes the lock that user space has. */
static void locked(void)
{
	struct timed value = { .again = 200 };
	u32 key = 1;
	bool torn = false;
	int fd, looked = 0;

	map = timed_map(BPF_MAP_TYPE_HASH, KEYS, 0, true);
	timed_reset(map, key, 200);
	cnt = 0;
	E(ST(BPF_W, R10, -4, key), LD_MAP_FD(R1, map), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -4),
	  CALL(map_lookup_elem), JMP_IMM(BPF_JNE, R0, 0, 2), MOV_IMM(R0, t->safe), EXIT(),
	  MOV_REG(R6, R0), TIMER(R6), LD_MAP_FD(R2, map), MOV_IMM(R3, CLOCK_MONOTONIC),
	  CALL(timer_init), TIMER(R6));
	emit_function(R2, 1);
	E(CALL(timer_set_callback), TIMER(R6), MOV_IMM(R2, 1000), MOV_IMM(R3, 0), CALL(timer_start),
	  MOV_IMM(R0, t->pass), EXIT());
	begin_function(1);
	/* Of the value that it is told of the verifier lets it take no lock. */
	E(CALL(map_lookup_elem), JMP_IMM(BPF_JNE, R0, 0, 2), MOV_IMM(R0, 0), EXIT(),
	  MOV_REG(R7, R0), MOV_REG(R1, R7), ALU64_IMM(BPF_ADD, R1, TIMED_LOCK_AT), CALL(spin_lock),
	  LDX(BPF_DW, R8, R7, FIRED_AT), ALU64_IMM(BPF_ADD, R8, 1), STX(BPF_DW, R7, R8, FIRED_AT),
	  STX(BPF_DW, R7, R8, KEY_AT), LDX(BPF_DW, R9, R7, AGAIN_AT),
	  MOV_REG(R1, R7), ALU64_IMM(BPF_ADD, R1, TIMED_LOCK_AT), CALL(spin_unlock),
	  JMP_REG(BPF_JGE, R8, R9, 5), TIMER(R7), MOV_IMM(R2, 1000), MOV_IMM(R3, 0),
	  CALL(timer_start), MOV_IMM(R0, 0), EXIT());
	fd = prog_load(t->type, "locks", insns, cnt);
	if (fd < 0)
		diag("load: %s\n%s", strerror(errno), prog_log);
	ok(prog_run_once(fd) == t->pass, "%d: a value with a lock and a timer", level);
	while (looked++ < 20000 && value.fired < 200) {
		if (bpf_map_lookup_elem_flags(map, &key, &value, BPF_F_LOCK))
			break;
		torn |= value.fired != value.key;
	}
	ok(!torn && timed_fires(map, key, 200), "%d: what it calls takes the lock", level);
	diag("looked %d times, %lu", looked, value.fired);
	close(fd);
	close(map);
}

/* Programs on all CPUs start, cancel and look for the same timers, and user space deletes. */
static int prog;
static atomic_int failed, working;

static void *worker(void *arg)
{
	u8 packet[64] = {};
	struct run run = {
		.data_in = packet, .data_in_size = sizeof(packet), .repeat = 20,
	};

	pin_to_cpu((long)arg);
	for (int i = 0; i < STORM; i++) {
		give_orders((i + (long)arg) % KEYS, (i * 7 + (long)arg) % NR_OPS, 20000, 20000);
		if (prog_run(prog, &run) || (run.retval != t->pass && run.retval != t->safe))
			failed++;
	}
	working--;
	return NULL;
}

static void storm(const char *kind, enum bpf_map_type type)
{
	s64 violations = moat_counter("violations");
	pthread_t threads[CPUS];
	u32 n = 0;

	setup(type);
	prog = load_program();
	failed = 0;
	working = CPUS;
	for (long i = 0; i < CPUS; i++)
		pthread_create(&threads[i], NULL, worker, (void *)i);
	while (working) {
		u32 key = n++ % KEYS;

		if (type != BPF_MAP_TYPE_ARRAY && n % 3 == 0)
			map_delete(map, &key);
		timed_reset(map, key, n % 4 * 5);
		usleep(100);
	}
	for (int i = 0; i < CPUS; i++)
		pthread_join(threads[i], NULL);
	ok(!failed && calls(), "%d: %s: on several CPUs", level, kind);
	diag("%lu calls so far, %u values", calls(), n);
	close(prog);
	close(map);
	ok(moat_counter("violations") == violations, "%d: %s: nobody was stopped", level, kind);
}

static void counted(const char *kind, enum bpf_map_type type)
{
	bool right = true;
	int fd;

	setup(type);
	fd = load_program();
	for (u32 key = 0; key < KEYS; key++) {
		timed_reset(map, key, ROUNDS);
		pin_to_cpu(key % CPUS);
		right &= is_started(fd, key, SET, SHORT);
	}
	give_orders(0, NR_OPS, 0, 100000);
	for (u32 key = 0; key < KEYS; key++)
		right &= timed_fires(map, key, ROUNDS + 1);
	ok(right, "%d: %s: %d timers on %d CPUs, each %d times", level, kind, KEYS, CPUS, ROUNDS + 1);
	close(fd);
	close(map);
}

/*
 * A hash on demand with more values than there were at first: their timers come with them, and
 * those of values that are deleted go.
 */
static void grown(void)
{
	u32 first = GROWN - 64, armed = 0, fired = 0, key;
	int fd;

	map = timed_map(BPF_MAP_TYPE_HASH, 10 * GROWN, BPF_F_NO_PREALLOC, false);
	fd = load_program();
	for (key = 0; key < GROWN; key++)
		timed_reset(map, key, 0);
	for (key = first; key < GROWN; key++)
		armed += is_started(fd, key, SET, key % 2 ? SHORT : 300 * SHORT);
	for (key = first; key < GROWN; key += 2)
		map_delete(map, &key);
	for (key = first + 1; key < GROWN; key += 2)
		fired += timed_fires(map, key, 1) && timed_value(map, key).key == key + 1;
	ok(armed == 64 && fired == 32, "%d: a hash on demand: %u of %u timers of %d values run out",
	   level, fired, armed, GROWN);
	usleep(400000);
	for (key = first, fired = 0; key < GROWN; key += 2) {
		timed_reset(map, key, 0);
		fired += does(fd, key, START, SHORT) != -EINVAL;
	}
	usleep(20000);
	for (key = first; key < GROWN; key++)
		fired += timed_value(map, key).fired != key % 2;
	ok(!fired, "%d: a hash on demand: and none of those that were deleted", level);
	close(fd);
	close(map);
}

/* For @map, which is not in it */
static int outer_map(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .inner_map_fd = map);
	int outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "outer", 4, 4, 1, &opts);

	if (outer < 0)
		bail("map of maps: %s", strerror(errno));
	return outer;
}

/* A map serves programs of one kind only. */
static void one_kind(void)
{
	int isolated, plain, outer;
	u32 zero = 0;

	setup(BPF_MAP_TYPE_HASH);
	isolated = load_program();
	outer = outer_map();
	ok(bpf_map_update_elem(outer, &zero, &map, 0) && errno == EACCES,
	   "a map that isolated programs use: not put into a map of maps, where others find it");
	close(outer);
	moat_set_level(0);
	build_program();
	plain = prog_load(t->type, "plain", insns, cnt);
	ok(isolated >= 0 && plain < 0 && errno == EACCES &&
	   strstr(prog_log, "map 'timers' has special fields in its values, and serves programs that MOAT isolates"),
	   "a map that isolated programs use: a plain one is refused");
	close(isolated);
	close(map);

	setup(BPF_MAP_TYPE_ARRAY);
	plain = load_program();
	moat_set_level(2);
	build_program();
	isolated = prog_load(t->type, "isolated", insns, cnt);
	ok(plain >= 0 && isolated < 0 && errno == EACCES &&
	   strstr(prog_log, "has a bpf_timer in its values, and serves programs that are not isolated"),
	   "a map that plain programs use: an isolated one is refused");
	close(plain);
	close(map);

	setup(BPF_MAP_TYPE_ARRAY);
	outer = outer_map();
	cnt = 0;
	E(ST(BPF_W, R10, -4, 0), LD_MAP_FD(R1, outer), MOV_REG(R2, R10),
	  ALU64_IMM(BPF_ADD, R2, -4), CALL(map_lookup_elem), MOV_IMM(R0, t->pass), EXIT());
	isolated = prog_load(t->type, "looks", insns, cnt);
	ok(isolated < 0 && errno == EACCES &&
	   strstr(prog_log, "has maps in it with a bpf_timer in their values"),
	   "a map of such maps: refused");
	if (bpf_map_update_elem(outer, &zero, &map, 0))
		bail("map of maps: %s", strerror(errno));
	build_program();
	isolated = prog_load(t->type, "isolated", insns, cnt);
	ok(isolated < 0 && errno == EACCES && strstr(prog_log, "programs that are not isolated"),
	   "what is in a map of maps: an isolated program is refused");
	close(outer);
	close(map);
}

static void at_level(void)
{
	static const struct prog_type *const types[] = {
		&sched_cls, &sched_act, &socket_filter, &cgroup_skb, &xdp,
	};
	s64 violations = moat_counter("violations"), deep = moat_counter("too_deep");
	s64 given = moat_counter("given_back");

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		t = types[i];
		setup(BPF_MAP_TYPE_ARRAY);
		prog = load_program();
		ok(is_started(prog, 1, SET, SHORT) && timed_fires(map, 1, 1), "%d: %s: it runs out",
		   level, t->name);
		close(prog);
		close(map);
	}
	/* Runs of XDP that are repeated have the kernel patch itself. */
	t = &sched_cls;
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		flags = kinds[k].flags;
		basics(kinds[k].name, kinds[k].type);
		if (level == 1)
			continue;
		deleted(kinds[k].name, kinds[k].type);
		freed(kinds[k].name, kinds[k].type);
		counted(kinds[k].name, kinds[k].type);
		storm(kinds[k].name, kinds[k].type);
	}
	flags = 0;
	if (level != 1) {
		evicted();
		grown();
	}
	locked();
	ok(moat_counter("violations") == violations && moat_counter("too_deep") == deep &&
	   moat_counter("given_back") == given, "%d: nobody was stopped, and all were called", level);
}

int main(void)
{
	orders = map_of_words(0);
	total = map_of_words(0);
	ring = map_create(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096);
	for (level = 0; level <= 2; level++) {
		if (!moat_set_level(level))
			skip_all("no moat.ko");
		at_level();
	}
	one_kind();
	return finish();
}
