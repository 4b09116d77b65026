// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13 full=0 timeout=120 */
/*
 * Do programs find the values that their cgroup has, each for itself or for all ways and
 * CPUs as the map says, and count in them what they count plainly? By themselves, beside user
 * space, on several CPUs, and in more cgroups than the map has values for at first.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "locks.h"
#include "storages.h"

#define WORKERS 3
#define MANY 96		/* cgroups: more than the values of 4 KiB that there are ahead */

static int level, to;

/* Counts, and lets all packets pass. */
static int counter(int map, u32 attach_type)
{
	cnt = 0;
	count_here(map);
	E(MOV_IMM(R0, 1), EXIT());
	return load_for(attach_type, "counter");
}

static u64 first_of(int map, const void *key)
{
	u64 value[512] = { ~0 };

	return map_lookup(map, key, value) ? ~0ULL : value[0];
}

/* Packets of two cgroups, in and out */
static void each_for_itself(u32 key_size)
{
	int map = storage(BPF_MAP_TYPE_CGROUP_STORAGE, key_size, 16), cgroup[2], s[2], here;
	int out = counter(map, BPF_CGROUP_INET_EGRESS), in = counter(map, BPF_CGROUP_INET_INGRESS);
	bool ways = key_size == EACH_WAY, right;
	struct bpf_cgroup_storage_key key, next;
	u64 id[2], count[4], value[2] = { 100, 1 };

	id[0] = enter_cgroup("_a", &cgroup[0]);
	s[0] = sender();
	here = receiver();
	id[1] = enter_cgroup("_b", &cgroup[1]);
	s[1] = sender();
	for (int i = 0; i < 2; i++) {
		attach_to(cgroup[i], out, BPF_CGROUP_INET_EGRESS);
		attach_to(cgroup[i], in, BPF_CGROUP_INET_INGRESS);
	}
	send_to(s[0], here, 3);
	send_to(s[1], here, 4);
	receive(here, 7);
	send_to(s[1], to, 5);
	for (int i = 0; i < 4; i++) {
		key = storage_key(id[i / 2], i % 2);
		count[i] = first_of(map, &key);
	}
	/* Ways: 0 is in, 1 is out. */
	if (ways)
		right = count[0] == 7 && count[1] == 3 && count[2] == 0 && count[3] == 9;
	else
		right = count[0] == 10 && count[2] == 9;
	ok(right, "%d: %s: %lu, %lu, %lu, %lu", level, ways ? "each way" : "both ways", count[0],
	   count[1], count[2], count[3]);

	/* What user space puts in is gone on from. */
	key = storage_key(id[1], BPF_CGROUP_INET_EGRESS);
	if (map_update(map, &key, value))
		bail("update: %s", strerror(errno));
	send_to(s[1], to, 2);
	ok(first_of(map, &key) == value[0] + 2, "%d: an update", level);
	ok(map_delete(map, &key) && errno == EINVAL, "%d: no deletion", level);
	key = storage_key(1, 0);
	ok(map_lookup(map, &key, count) && errno == ENOENT &&
	   map_update(map, &key, count) && errno == ENOENT, "%d: of other cgroups nothing", level);

	int n = 0;

	for (void *at = NULL; !bpf_map_get_next_key(map, at, &next); at = &key, n++)
		memcpy(&key, &next, key_size);
	ok(n == (ways ? 4 : 2), "%d: %d keys", level, n);
	for (int i = 0; i < 2; i++) {
		detach_from(cgroup[i], out, BPF_CGROUP_INET_EGRESS);
		detach_from(cgroup[i], in, BPF_CGROUP_INET_INGRESS);
		close(s[i]);
	}
	close(here);
	close(out);
	close(in);
	leave_cgroup("_b", cgroup[1]);
	leave_cgroup("_a", cgroup[0]);
	close(map);
}

static void each_cpu(void)
{
	int map = storage(BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE, BOTH_WAYS, 20), cgroup, s;
	int prog = counter(map, BPF_CGROUP_INET_EGRESS);
	u8 value[16][24] = {};
	bool right = true;
	u64 id;

	id = enter_cgroup("_cpu", &cgroup);
	s = sender();
	attach_to(cgroup, prog, BPF_CGROUP_INET_EGRESS);
	for (int cpu = 0; cpu < 4; cpu++) {
		pin_to_cpu(cpu);
		send_to(s, to, 2 + cpu);
	}
	map_lookup(map, &id, value);
	for (int cpu = 0; cpu < 4; cpu++)
		right &= *(u64 *)value[cpu] == (u64)(2 + cpu);
	ok(right, "%d: each CPU counts for itself", level);
	for (int cpu = 0; cpu < 4; cpu++)
		memset(value[cpu], cpu + 1, sizeof(value[cpu]));
	map_update(map, &id, value);
	pin_to_cpu(2);
	send_to(s, to, 1);
	memset(value, 0, sizeof(value));
	map_lookup(map, &id, value);
	for (int cpu = 0; cpu < 4; cpu++)
		right &= value[cpu][0] == cpu + 1 + (cpu == 2) && value[cpu][19] == cpu + 1;
	ok(right, "%d: and goes on from what user space has put in", level);
	detach_from(cgroup, prog, BPF_CGROUP_INET_EGRESS);
	close(s);
	close(prog);
	leave_cgroup("_cpu", cgroup);
	close(map);
}

static atomic_int working;

static void *sends(void *cpu)
{
	int s = sender();

	pin_to_cpu((long)cpu);
	send_to(s, to, 300);
	close(s);
	working--;
	return NULL;
}

/* Workers send, and meanwhile user space looks, and writes if it is told to. */
static bool together(int map, u64 id, bool writes, bool lock)
{
	pthread_t t[WORKERS];
	bool torn = false;

	working = WORKERS;
	for (long i = 0; i < WORKERS; i++)
		pthread_create(&t[i], NULL, sends, (void *)i);
	while (working) {
		struct locked v = {};

		torn |= bpf_map_lookup_elem_flags(map, &id, &v, lock ? BPF_F_LOCK : 0) != 0;
		torn |= lock && v.a != v.b;
		if (writes)
			torn |= bpf_map_update_elem(map, &id, &v, lock ? BPF_F_LOCK : 0) != 0;
	}
	for (int i = 0; i < WORKERS; i++)
		pthread_join(t[i], NULL);
	return !torn;
}

static void many_cpus(bool lock)
{
	int map = try_storage(BPF_MAP_TYPE_CGROUP_STORAGE, BOTH_WAYS, sizeof(struct locked), 0, lock);
	s64 violations = moat_counter("violations");
	int cgroup, prog;
	u64 id, count;
	bool whole;

	cnt = 0;
	if (!lock) {
		count_here(map);
	} else {
		E(LD_MAP_FD(R1, map), MOV_IMM(R2, 0), CALL(get_local_storage), MOV_REG(R6, R0),
		  MOV_REG(R1, R6), ALU64_IMM(BPF_ADD, R1, LOCK_AT), CALL(spin_lock),
		  LDX(BPF_DW, R7, R6, 0), ALU64_IMM(BPF_ADD, R7, 1), STX(BPF_DW, R6, R7, 0),
		  LDX(BPF_DW, R7, R6, 8), ALU64_IMM(BPF_ADD, R7, 1), STX(BPF_DW, R6, R7, 8),
		  MOV_REG(R1, R6), ALU64_IMM(BPF_ADD, R1, LOCK_AT), CALL(spin_unlock));
	}
	E(MOV_IMM(R0, 1), EXIT());
	prog = load_for(BPF_CGROUP_INET_EGRESS, "together");
	id = enter_cgroup("_many", &cgroup);
	attach_to(cgroup, prog, BPF_CGROUP_INET_EGRESS);
	whole = together(map, id, false, lock);
	count = first_of(map, &id);
	ok(whole && count == 300 * WORKERS, "%d: %d CPUs count together%s: %lu", level, WORKERS,
	   lock ? ", with a lock" : "", count);
	whole = together(map, id, true, lock);
	ok(whole && moat_counter("violations") == violations, "%d: while user space writes%s",
	   level, lock ? ", with a lock" : "");
	detach_from(cgroup, prog, BPF_CGROUP_INET_EGRESS);
	close(prog);
	leave_cgroup("_many", cgroup);
	close(map);
}

/* A run for a test has a value of zeros, in no cgroup. */
static void test_run(void)
{
	int map = storage(BPF_MAP_TYPE_CGROUP_STORAGE, BOTH_WAYS, 8), out = map_of_words(0), prog;
	u8 packet[64] = {};
	struct run run = { .data_in = packet, .data_in_size = sizeof(packet), .repeat = 5 };
	u64 key, right = 1;

	cnt = 0;
	count_here(map);
	E(LDX(BPF_DW, R1, R0, 0), LD_MAP_VALUE(R2, out, 0), STX(BPF_DW, R2, R1, 0), MOV_IMM(R0, 1),
	  EXIT());
	prog = load_for(BPF_CGROUP_INET_EGRESS, "test_run");
	for (int i = 0; i < 3; i++)
		right &= !prog_run(prog, &run) && run.retval == 1 && map_word(out, 0) == 5;
	ok(right && bpf_map_get_next_key(map, NULL, &key), "%d: five runs for a test count to %lu",
	   level, map_word(out, 0));
	close(prog);
	close(out);
	close(map);
}

static void many_cgroups(void)
{
	int map = storage(BPF_MAP_TYPE_CGROUP_STORAGE, BOTH_WAYS, 4096), cgroup[MANY], right = 0;
	int prog = counter(map, BPF_CGROUP_INET_EGRESS);
	u64 id[MANY];
	char name[16];

	for (int i = 0; i < MANY; i++) {
		int s;

		snprintf(name, sizeof(name), "_%d", i);
		id[i] = enter_cgroup(name, &cgroup[i]);
		attach_to(cgroup[i], prog, BPF_CGROUP_INET_EGRESS);
		s = sender();
		send_to(s, to, 1 + i % 3);
		close(s);
	}
	for (int i = 0; i < MANY; i++)
		right += first_of(map, &id[i]) == (u64)(1 + i % 3);
	ok(right == MANY, "%d: %d of %d cgroups have their own", level, right, MANY);
	/* The program and the map go while most of them are there. */
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "_%d", i);
		if (i == 1) {
			close(prog);
			close(map);
		}
		leave_cgroup(name, cgroup[i]);
	}
}

/* An isolated program and a plain one count in the same values. */
static void shared(enum bpf_map_type type)
{
	int map, out, in, cgroup, s, here, cpus = type == BPF_MAP_TYPE_CGROUP_STORAGE ? 1 : 4;
	u64 value[16][3] = {}, id, sum = 0;

	moat_set_level(2);
	map = storage(type, BOTH_WAYS, 24);
	out = counter(map, BPF_CGROUP_INET_EGRESS);
	moat_set_level(0);
	in = counter(map, BPF_CGROUP_INET_INGRESS);
	id = enter_cgroup("_both", &cgroup);
	attach_to(cgroup, out, BPF_CGROUP_INET_EGRESS);
	attach_to(cgroup, in, BPF_CGROUP_INET_INGRESS);
	here = receiver();
	s = sender();
	send_to(s, here, 6);
	receive(here, 6);
	map_lookup(map, &id, value);
	for (int cpu = 0; cpu < cpus; cpu++)
		sum += value[cpu][0];
	ok(moat_layer(out) != NONE && moat_layer(in) == NONE && sum == 12,
	   "an isolated program and a plain one count together: %lu", sum);
	close(s);
	close(here);
	close(in);
	close(out);
	leave_cgroup("_both", cgroup);
	close(map);
}

/* What was made while nothing was to be isolated is not moved. */
static void made_before(void)
{
	int map, prog;

	moat_set_level(0);
	map = storage(BPF_MAP_TYPE_CGROUP_STORAGE, BOTH_WAYS, 8);
	moat_set_level(2);
	cnt = 0;
	count_here(map);
	E(MOV_IMM(R0, 1), EXIT());
	prog = prog_load(BPF_PROG_TYPE_CGROUP_SKB, "late", insns, cnt);
	ok(prog < 0 && errno == EACCES &&
	   strstr(prog_log, "map storage (cgroup_storage) was made before MOAT was to isolate anything"),
	   "a map from before is refused");
	diag("%s", prog_log);
	close(map);
}

int main(void)
{

	if (access("/sys/fs/cgroup/cgroup.procs", W_OK))
		skip_all("no cgroups");
	to = receiver();
	for (level = moat_present() ? 2 : 0; level >= 0; level--) {
		moat_set_level(level);
		each_for_itself(EACH_WAY);
		each_for_itself(BOTH_WAYS);
		each_cpu();
		many_cpus(false);
		many_cpus(true);
		test_run();
		many_cgroups();
	}
	if (moat_present()) {
		shared(BPF_MAP_TYPE_CGROUP_STORAGE);
		shared(BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE);
		made_before();
	}
	return finish();
}
