// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,0 timeout=120 */
/*
 * Do locks in map values keep who takes them apart: programs on several CPUs, user space
 * with BPF_F_LOCK, and programs that do the same? Is what comes of it the same at levels
 * 0 and 2? Does a map serve programs of one kind only?
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>
#include "build.h"
#include "locks.h"

#define WORKERS 3
#define ROUNDS 10
#define REPEAT 100
#define KEYS 3

static const struct {
	const char *name;
	enum bpf_map_type type;
	u32 flags;
} kinds[] = {
	{ "an array", BPF_MAP_TYPE_ARRAY, 0 },
	{ "a hash", BPF_MAP_TYPE_HASH, 0 },
	{ "a hash on demand", BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC },
};
static const struct prog_type *const types[WORKERS] = { &xdp, &sched_cls, &cgroup_skb };

static int map, progs[WORKERS];
static atomic_int working, torn, failed;

/* R0 = the value with key @key of the map, or the end */
static void find(const struct prog_type *t, u32 key)
{
	E(ST(BPF_W, R10, -4, key), LD_MAP_FD(R1, map), MOV_REG(R2, R10),
	  ALU64_IMM(BPF_ADD, R2, -4), CALL(map_lookup_elem), JMP_IMM(BPF_JNE, R0, 0, 2),
	  MOV_IMM(R0, t->safe), EXIT());
}

#define ON_LOCK(FROM, HELPER) \
	MOV_REG(R1, FROM), ALU64_IMM(BPF_ADD, R1, LOCK_AT), CALL(HELPER)

/* Adds 1 to both numbers of each value, the second seen to be what the first one is. */
static int counts(const struct prog_type *t)
{
	cnt = 0;
	for (int key = 0; key < KEYS; key++) {
		find(t, key);
		E(MOV_REG(R6, R0), ON_LOCK(R6, spin_lock), LDX(BPF_DW, R7, R6, 0),
		  LDX(BPF_DW, R8, R6, 8), ALU64_IMM(BPF_ADD, R7, 1), ALU64_IMM(BPF_ADD, R8, 1),
		  STX(BPF_DW, R6, R7, 0), STX(BPF_DW, R6, R8, 8), ON_LOCK(R6, spin_unlock),
		  JMP_REG(BPF_JEQ, R7, R8, 2), MOV_IMM(R0, t->safe), EXIT());
	}
	E(MOV_IMM(R0, t->pass), EXIT());
	return prog_load(t->type, "counts", insns, cnt);
}

/* Replaces value 0, both numbers at once. */
static int replaces(const struct prog_type *t)
{
	cnt = 0;
	E(CALL(get_prandom_u32), STX(BPF_DW, R10, R0, -24), STX(BPF_DW, R10, R0, -16),
	  ST(BPF_DW, R10, -8, 0), ST(BPF_W, R10, -32, 0), LD_MAP_FD(R1, map), MOV_REG(R2, R10),
	  ALU64_IMM(BPF_ADD, R2, -32), MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -24),
	  MOV_IMM(R4, BPF_F_LOCK), CALL(map_update_elem), JMP_IMM(BPF_JEQ, R0, 0, 2),
	  MOV_IMM(R0, t->safe), EXIT(), MOV_IMM(R0, t->pass), EXIT());
	return prog_load(t->type, "replaces", insns, cnt);
}

static void *worker(void *arg)
{
	long n = (long)arg;
	u8 packet[64] = {};

	pin_to_cpu(n);
	for (int i = 0; i < ROUNDS; i++) {
		struct run run = {
			.data_in = packet, .data_in_size = sizeof(packet), .repeat = REPEAT,
		};

		if (prog_run(progs[n], &run) || run.retval != types[n]->pass)
			failed++;
	}
	working--;
	return NULL;
}

/* While programs work, user space looks, and with @writes writes what it has seen. */
static void watch(bool writes)
{
	struct locked value;
	int looked = 0;

	pin_to_cpu(WORKERS);
	while (working) {
		u32 key = looked++ % KEYS;

		if (!locked_lookup(map, key, &value))
			failed++;
		if (value.a != value.b || *(u32 *)&value.lock)
			torn++;
		if (writes && !locked_update(map, 0, looked, looked))
			failed++;
	}
	diag("looked %d times", looked);
}

static void run_all(int (*program)(const struct prog_type *), bool writes)
{
	pthread_t t[WORKERS];

	failed = 0;
	torn = 0;
	working = WORKERS;
	for (long i = 0; i < WORKERS; i++) {
		progs[i] = program(types[i]);
		if (progs[i] < 0)
			diag("load: %s\n%s", strerror(errno), prog_log);
	}
	for (long i = 0; i < WORKERS; i++)
		pthread_create(&t[i], NULL, worker, (void *)i);
	watch(writes);
	for (int i = 0; i < WORKERS; i++) {
		pthread_join(t[i], NULL);
		close(progs[i]);
	}
}

static void keep_apart(int level)
{
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		struct locked value = {};
		bool right = true;

		map = locked_map(kinds[k].type, KEYS, kinds[k].flags);
		for (u32 key = 0; key < KEYS; key++)
			if (bpf_map_update_elem(map, &key, &value, BPF_ANY))
				bail("update: %s", strerror(errno));
		run_all(counts, false);
		for (u32 key = 0; key < KEYS; key++) {
			u64 want = WORKERS * ROUNDS * REPEAT;

			right &= locked_lookup(map, key, &value) && value.a == want &&
				 value.b == want;
		}
		ok(right && !failed && !torn, "%d: %s: programs count together", level,
		   kinds[k].name);
		if (!right || failed || torn)
			diag("%lu, %lu of %d; %d failed, %d torn", value.a, value.b,
			     WORKERS * ROUNDS * REPEAT, failed, torn);
		run_all(replaces, true);
		ok(!failed && !torn, "%d: %s: programs and user space replace a value", level,
		   kinds[k].name);
		close(map);
	}
}

/* A map that serves programs of one kind does not serve those of the other. */
static void one_kind(void)
{
	int isolated, plain, after, again;

	map = locked_map(BPF_MAP_TYPE_HASH, KEYS, 0);
	isolated = counts(&xdp);
	moat_set_level(0);
	plain = counts(&xdp);
	ok(isolated >= 0 && plain < 0 && errno == EACCES &&
	   strstr(prog_log, "map 'locked' has special fields in its values, and serves programs that MOAT isolates"),
	   "a map that isolated programs use: a plain one is refused");
	diag("%s", prog_log);
	close(isolated);
	moat_set_level(2);
	again = counts(&sched_cls);
	ok(again >= 0, "another isolated one is not");
	close(again);
	close(map);

	map = locked_map(BPF_MAP_TYPE_HASH, KEYS, 0);
	moat_set_level(0);
	plain = counts(&xdp);
	moat_set_level(2);
	kmsg_mark();
	isolated = counts(&xdp);
	ok(plain >= 0 && isolated < 0 && errno == EACCES &&
	   strstr(prog_log, "has a bpf_spin_lock in its values, and serves programs that are not isolated"),
	   "a map that plain programs use: an isolated one is refused");
	diag("%s", prog_log);
	moat_set_strict(false);
	after = counts(&xdp);
	ok(after >= 0 && moat_layer(after) == NONE, "and runs plainly, if it may");
	moat_set_strict(true);
	close(plain);
	close(after);
	close(map);
}

/* Instructions that a lock costs, taken and given back, if one is a nanosecond (ICOUNT=1) */
static void cost(int level)
{
	u8 packet[64] = {};
	u32 took[2];

	map = locked_map(BPF_MAP_TYPE_ARRAY, KEYS, 0);
	for (int locks = 0; locks < 2; locks++) {
		struct run run = {
			.data_in = packet, .data_in_size = sizeof(packet), .repeat = 1000,
		};
		int fd;

		cnt = 0;
		E(LD_MAP_VALUE(R6, map, 0));
		if (locks)
			E(ON_LOCK(R6, spin_lock), ON_LOCK(R6, spin_unlock));
		E(MOV_IMM(R0, 2), EXIT());
		fd = prog_load(xdp.type, "costs", insns, cnt);
		if (fd < 0 || prog_run(fd, &run))
			bail("cost: %s\n%s", strerror(errno), prog_log);
		took[locks] = run.duration;
		close(fd);
	}
	diag("%d: a lock costs %d ns", level, took[1] - took[0]);
	close(map);
}

/* usage: test_locks [cost] */
int main(int argc, char **argv)
{
	if (argc > 1) {
		for (int level = 0; level <= 2; level += 2) {
			moat_set_level(level);
			cost(level);
		}
		return 0;
	}
	for (int level = 0; level <= 2; level += 2) {
		s64 given = moat_counter("given_back"), violations = moat_counter("violations");

		if (!moat_set_level(level))
			skip_all("no moat.ko");
		keep_apart(level);
		ok(moat_counter("given_back") == given &&
		   moat_counter("violations") == violations, "%d: nobody was stopped", level);
	}
	one_kind();
	return finish();
}
