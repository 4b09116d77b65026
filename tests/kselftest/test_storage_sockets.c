// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13 full=0 timeout=120 */
/*
 * Do programs find the values that sockets have, those of the packet's socket and of one that
 * they look up, and does user space see what they count there? Are values copied to sockets
 * that are accepted, and do they go with a deletion, with the socket, and with the map? Also
 * in maps of maps, and with locks.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "locks.h"
#include "sockets.h"
#include "storages.h"
#include "visitor.h"

#define WORKERS 3
#define COMING 3000	/* sockets that come and go */
#define SENT 150	/* datagrams of each worker, where a value has a lock */
#define MANY 150	/* sockets: more than the values of 4 KiB that there are ahead, twice */

static int level, to, cgroup;
static struct ends ends;

static u64 value_of(int map, int s)
{
	u64 value[512] = { 0 };

	return map_lookup(map, &s, value) ? ~0ULL : value[0];
}

/* Counts in the value of the socket, which begins at 1,000 if it is new and @create. */
static int counter(int map, u32 size, bool create)
{
	int prog;

	cnt = 0;
	E(MOV_REG(R6, R1), MOV_IMM(R9, 0));
	if (create && size == 16)
		E(ST(BPF_DW, R10, -16, 1000), ST(BPF_DW, R10, -8, 0), MOV_REG(R9, R10),
		  ALU64_IMM(BPF_ADD, R9, -16));
	of_socket(map, create);
	E(MOV_IMM(R1, 1), ATOMIC(BPF_DW, BPF_ADD, R0, R1, 0), MOV_IMM(R0, 1), EXIT());
	prog = load_for(BPF_CGROUP_INET_EGRESS, "counter");
	attach_to(cgroup, prog, BPF_CGROUP_INET_EGRESS);
	return prog;
}

static void gone(int prog)
{
	detach_from(cgroup, prog, BPF_CGROUP_INET_EGRESS);
	close(prog);
}

static void own_value(void)
{
	int map = storage(BPF_MAP_TYPE_SK_STORAGE, 4, 16), other, s[2], prog, deleter;
	u64 value[2] = { 50 };

	s[0] = sender();
	s[1] = sender();
	prog = counter(map, 16, false);
	send_to(s[0], to, 1);
	ok(value_of(map, s[0]) == ~0ULL && errno == ENOENT, "%d: none is made if none is to be",
	   level);
	gone(prog);

	prog = counter(map, 16, true);
	send_to(s[0], to, 3);
	send_to(s[1], to, 5);
	ok(value_of(map, s[0]) == 1003 && value_of(map, s[1]) == 1005,
	   "%d: each counts for itself: %lu, %lu", level, value_of(map, s[0]), value_of(map, s[1]));
	map_update(map, &s[0], value);
	send_to(s[0], to, 2);
	ok(value_of(map, s[0]) == 52, "%d: and goes on from what user space has put in", level);
	ok(!map_delete(map, &s[1]) && value_of(map, s[1]) == ~0ULL, "%d: a deletion", level);
	send_to(s[1], to, 1);
	ok(value_of(map, s[1]) == 1001, "%d: after which it is new", level);

	/* Another map of the same sockets, without a value to begin with */
	other = storage(BPF_MAP_TYPE_SK_STORAGE, 4, 100);
	gone(prog);
	prog = counter(other, 100, true);
	send_to(s[0], to, 4);
	ok(value_of(other, s[0]) == 4 && value_of(map, s[0]) == 52, "%d: each map has its own",
	   level);
	gone(prog);

	cnt = 0;
	E(MOV_REG(R6, R1), MOV_IMM(R9, 0));
	of_socket(map, false);
	E(LDX(BPF_DW, R1, R6, offsetof(struct __sk_buff, sk)), JMP_IMM(BPF_JNE, R1, 0, 2),
	  MOV_IMM(R0, 1), EXIT(), MOV_REG(R2, R1), LD_MAP_FD(R1, map), CALL(sk_storage_delete),
	  MOV_IMM(R0, 1), EXIT());
	deleter = load_for(BPF_CGROUP_INET_EGRESS, "deleter");
	attach_to(cgroup, deleter, BPF_CGROUP_INET_EGRESS);
	send_to(s[0], to, 1);
	ok(value_of(map, s[0]) == ~0ULL && value_of(map, s[1]) == 1001 && value_of(other, s[0]) == 4,
	   "%d: a program deletes one", level);
	gone(deleter);
	/* One socket before its maps, one after */
	close(s[1]);
	close(map);
	close(other);
	usleep(100000);
	close(s[0]);
}

/* What was accepted has the values of the listener that are to be copied. */
static void accepted(void)
{
	int map = try_storage(BPF_MAP_TYPE_SK_STORAGE, 4, 16, BPF_F_NO_PREALLOC | BPF_F_CLONE, false);
	int alone = storage(BPF_MAP_TYPE_SK_STORAGE, 4, 16);
	u64 value[2] = { 7, 8 }, seen[2] = {};
	struct ends more;

	map_update(map, &ends.listener, value);
	map_update(alone, &ends.listener, value);
	socket_connect(&ends, &more);
	ok(!map_lookup(map, &more.end, seen) && seen[0] == 7 && seen[1] == 8 &&
	   value_of(alone, more.end) == ~0ULL && value_of(map, more.client) == ~0ULL,
	   "%d: what is accepted has a copy", level);
	value[0] = 9;
	map_update(map, &ends.listener, value);
	ok(value_of(map, more.end) == 7 && value_of(map, ends.listener) == 9, "%d: of its own", level);
	close(more.client);
	close(more.end);
	map_delete(map, &ends.listener);
	map_delete(alone, &ends.listener);
	close(map);
	close(alone);
}

/* Of a socket that a program of traffic control looks up */
static void looked_up(void)
{
	int map = storage(BPF_MAP_TYPE_SK_STORAGE, 4, 8), fd;
	s64 ret = 0;

	cnt = 0;
	E(MOV_REG(R6, R1));
	socket_lookup(BPF_FUNC_sk_lookup_tcp, ends.peer, ends.port);
	E(JMP_IMM(BPF_JNE, R0, 0, 2), MOV_IMM(R0, 7), EXIT(), MOV_REG(R7, R0), LD_MAP_FD(R1, map),
	  MOV_REG(R2, R7), MOV_IMM(R3, 0), MOV_IMM(R4, BPF_SK_STORAGE_GET_F_CREATE),
	  CALL(sk_storage_get), MOV_IMM(R9, 77), JMP_IMM(BPF_JEQ, R0, 0, 4),
	  LDX(BPF_DW, R9, R0, 0), ALU64_IMM(BPF_ADD, R9, 1), STX(BPF_DW, R0, R9, 0),
	  ALU64_IMM(BPF_AND, R9, 0xff));
	socket_release(R7);
	E(MOV_REG(R0, R9), EXIT());
	fd = prog_load(sched_cls.type, "looked_up", insns, cnt);
	if (fd < 0 || (level && moat_layer(fd) == NONE))
		bail("looked_up: %s\n%s", strerror(errno), prog_log);
	for (int i = 0; i < 4; i++)
		ret = prog_run_once(fd);
	ok(ret == 4 && value_of(map, ends.end) == 4 && value_of(map, ends.client) == ~0ULL,
	   "%d: of a socket that is looked up: %ld", level, ret);
	close(fd);
	close(map);
}

static void many_sockets(void)
{
	int map = storage(BPF_MAP_TYPE_SK_STORAGE, 4, 4096), s[MANY], right = 0, n, prog;

	prog = counter(map, 4096, true);
	/* A program cannot wait for pages; user space does. */
	for (n = 0; n < 2; n++) {
		for (int i = 0; i < MANY; i++) {
			u64 value[512] = { 10 };

			s[i] = sender();
			if (map_update(map, &s[i], value))
				diag("update: %s", strerror(errno));
			send_to(s[i], to, 1 + i % 3);
		}
		for (int i = 0; i < MANY; i++) {
			right += value_of(map, s[i]) == (u64)(11 + i % 3);
			if (n || i % 2)
				close(s[i]);
		}
	}
	ok(right == 2 * MANY, "%d: %d of %d sockets have their own", level, right, 2 * MANY);
	gone(prog);
	close(map);
}

static s64 free_kib(void)
{
	FILE *f = fopen("/proc/meminfo", "r");
	char line[128];
	s64 kib = 0;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemFree: %ld", &kib) == 1)
			break;
	fclose(f);
	return kib;
}

/* Values of 16 KiB, one after the other: fewer are in use, or will be given back, at a time. */
static void come_back(void)
{
	static u64 value[2048] = { 1 };
	int map = storage(BPF_MAP_TYPE_SK_STORAGE, 4, sizeof(value)), failed = 0, s;
	s64 before = free_kib(), used;

	for (int i = 0; i < COMING; i++) {
		s = sender();
		failed += map_update(map, &s, value) != 0;
		if (i % 2)
			failed += map_delete(map, &s) != 0;
		close(s);
		if (i % 20 == 0)
			usleep(5000);
	}
	used = before - free_kib();
	ok(!failed && used < COMING * 16 / 2, "%d: values come back: %ld KiB of %d are used",
	   level, used, COMING * 16);
	close(map);
}

static atomic_int working;
static int shared[WORKERS];

static void *sends(void *cpu)
{
	int s = shared[(long)cpu];

	pin_to_cpu((long)cpu);
	for (int i = 0; i < 100; i++) {
		int own = sender();

		send_to(own, to, 1);
		send_to(s, to, 1);
		close(own);
	}
	working--;
	return NULL;
}

/* Values come and go by programs on several CPUs, and by user space. */
static void together(void)
{
	int map = storage(BPF_MAP_TYPE_SK_STORAGE, 4, 16), prog = counter(map, 16, true), wrong = 0;
	s64 violations = moat_counter("violations");
	pthread_t t[WORKERS];

	working = WORKERS;
	for (long i = 0; i < WORKERS; i++) {
		shared[i] = sender();
		pthread_create(&t[i], NULL, sends, (void *)i);
	}
	for (int i = 0; working; i++) {
		int s = shared[i % WORKERS];
		u64 value[2] = { 1000 }, was;

		was = value_of(map, s);
		wrong += was != ~0ULL && (was < 1000 || was > 1100);
		if (i % 2)
			map_delete(map, &s);
		else
			map_update(map, &s, value);
	}
	for (long i = 0; i < WORKERS; i++) {
		pthread_join(t[i], NULL);
		close(shared[i]);
	}
	ok(!wrong && moat_counter("violations") == violations,
	   "%d: on several CPUs, while user space updates and deletes", level);
	gone(prog);
	close(map);
}

/* Of maps that are in a map of maps, while they are there; with pages that come later. */
static void inside(void)
{
	int a = storage(BPF_MAP_TYPE_SK_STORAGE, 4, 4096), outer, prog, s[MANY], right = 0;
	int b = storage(BPF_MAP_TYPE_SK_STORAGE, 4, 4096);
	u64 value[512] = { 10 };

	outer = outer_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, a);
	cnt = 0;
	E(MOV_REG(R6, R1), MOV_IMM(R9, 0));
	of_socket_inside(outer, true);
	E(MOV_IMM(R1, 1), ATOMIC(BPF_DW, BPF_ADD, R0, R1, 0), MOV_IMM(R0, 1), EXIT());
	prog = load_for(BPF_CGROUP_INET_EGRESS, "inside");
	attach_to(cgroup, prog, BPF_CGROUP_INET_EGRESS);
	s[0] = sender();
	send_to(s[0], to, 1);
	ok(value_of(a, s[0]) == ~0ULL && !put(outer, a), "%d: inside: a map is put there", level);
	send_to(s[0], to, 2);
	ok(value_of(a, s[0]) == 2 && value_of(b, s[0]) == ~0ULL, "%d: inside: counts in it", level);
	map_update(b, &s[0], value);
	ok(!put(outer, b), "%d: inside: another one in its place", level);
	send_to(s[0], to, 3);
	ok(value_of(a, s[0]) == 2 && value_of(b, s[0]) == 13, "%d: inside: counts in that", level);
	for (int i = 1; i < MANY; i++) {
		s[i] = sender();
		map_update(b, &s[i], value);
		send_to(s[i], to, 1);
	}
	for (int i = 1; i < MANY; i++)
		right += value_of(b, s[i]) == 11;
	ok(right == MANY - 1, "%d: inside: %d of %d sockets have their own", level, right, MANY - 1);
	take_out(outer);
	send_to(s[0], to, 1);
	ok(value_of(a, s[0]) == 2 && value_of(b, s[0]) == 13, "%d: inside: and no more", level);
	for (int i = 0; i < MANY; i++)
		close(s[i]);
	gone(prog);
	close(outer);
	close(a);
	close(b);
}

static int one;

static void *sends_one(void *cpu)
{
	pin_to_cpu((long)cpu);
	send_to(one, to, SENT);
	working--;
	return NULL;
}

/* Looks until all is sent; with @change, updates and deletes as well. Whether all was whole. */
static bool locked_on_cpus(int map, bool change)
{
	pthread_t t[WORKERS];
	struct locked value;
	bool whole = true;

	working = WORKERS;
	for (long i = 0; i < WORKERS; i++)
		pthread_create(&t[i], NULL, sends_one, (void *)i);
	for (int i = 0; working; i++) {
		if (locked_lookup(map, one, &value))
			whole &= value.a == value.b;
		/* The kernel does not try again when all values of a socket go. */
		if (change)
			whole &= locked_update(map, one, i, i) || errno == EAGAIN;
		if (change && i % 3 == 0)
			map_delete(map, &one);
	}
	for (long i = 0; i < WORKERS; i++)
		pthread_join(t[i], NULL);
	return whole;
}

/* Values with a lock, which programs on several CPUs and user space take */
static void locked_values(void)
{
	int map = try_storage(BPF_MAP_TYPE_SK_STORAGE, 4, 0, BPF_F_NO_PREALLOC | BPF_F_CLONE, true);
	s64 violations = moat_counter("violations");
	struct locked value = {};
	struct ends more;
	int prog;

	cnt = 0;
	E(MOV_REG(R6, R1), MOV_IMM(R9, 0));
	of_socket(map, true);
	E(MOV_REG(R7, R0), ADDRESS(R1, R7, LOCK_AT), CALL(spin_lock), LDX(BPF_DW, R8, R7, 0),
	  ALU64_IMM(BPF_ADD, R8, 1), STX(BPF_DW, R7, R8, 0), LDX(BPF_DW, R8, R7, 8),
	  ALU64_IMM(BPF_ADD, R8, 1), STX(BPF_DW, R7, R8, 8), ADDRESS(R1, R7, LOCK_AT),
	  CALL(spin_unlock), MOV_IMM(R0, 1), EXIT());
	prog = load_for(BPF_CGROUP_INET_EGRESS, "locks");
	attach_to(cgroup, prog, BPF_CGROUP_INET_EGRESS);
	one = sender();
	send_to(one, to, 1);
	ok(locked_on_cpus(map, false), "%d: locks: on several CPUs", level);
	locked_lookup(map, one, &value);
	ok(value.a == 1 + WORKERS * SENT && value.b == value.a,
	   "%d: locks: all is counted: %lu, %lu", level, value.a, value.b);
	ok(locked_on_cpus(map, true), "%d: locks: while user space updates and deletes", level);
	gone(prog);
	ok(locked_update(map, ends.listener, 7, 7), "%d: locks: of a listener", level);
	socket_connect(&ends, &more);
	ok(locked_lookup(map, more.end, &value) && value.a == 7 && value.b == 7 &&
	   locked_update(map, more.end, 8, 8), "%d: locks: what is accepted has a copy", level);
	ok(moat_counter("violations") == violations, "%d: locks: nobody was stopped", level);
	close(more.client);
	close(more.end);
	map_delete(map, &ends.listener);
	close(one);
	close(map);
}

/* A map from before, by itself and in a map of maps */
static void refused(int map)
{
	int prog, outer = outer_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, map);

	cnt = 0;
	E(MOV_REG(R6, R1), MOV_IMM(R9, 0));
	of_socket(map, false);
	E(MOV_IMM(R0, 1), EXIT());
	prog = prog_load(BPF_PROG_TYPE_CGROUP_SKB, "refused", insns, cnt);
	ok(prog < 0 && errno == EACCES &&
	   strstr(prog_log, "map storage (sk_storage) was made before MOAT was to isolate anything"),
	   "a map from before is refused");
	diag("%s", prog_log);
	cnt = 0;
	E(MOV_REG(R6, R1), MOV_IMM(R9, 0));
	of_socket_inside(outer, false);
	E(MOV_IMM(R0, 1), EXIT());
	prog = load_for(BPF_CGROUP_INET_EGRESS, "inside");
	ok(put(outer, map) && errno == EACCES, "nor is it put into a map of maps");
	close(prog);
	close(outer);
	close(map);
}

int main(void)
{

	if (access("/sys/fs/cgroup/cgroup.procs", W_OK))
		skip_all("no cgroups");
	enter_cgroup("", &cgroup);
	to = receiver();
	socket_ends(&ends);
	for (level = moat_present() ? 2 : 0; level >= 0; level--) {
		moat_set_level(level);
		own_value();
		accepted();
		looked_up();
		many_sockets();
		if (level)
			come_back();
		together();
		inside();
		locked_values();
	}
	if (moat_present()) {
		int map = storage(BPF_MAP_TYPE_SK_STORAGE, 4, 8);

		moat_set_level(2);
		refused(map);
	}
	leave_cgroup("", cgroup);
	return finish();
}
