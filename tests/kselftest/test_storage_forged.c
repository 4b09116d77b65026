// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,0 timeout=120 */
/*
 * What if a program that no verifier looked at asks for the value of a socket that it does
 * not have, or of a map that is not its own, has one begin with memory of others, or goes on
 * beside the value that it gets, where plainly the kernel has its lists?
 *
 * And one that verifiers let pass: in the place of another's function it runs for what that
 * was attached to, with no value of its own map there.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>
#include "attack.h"
#include "ext.h"
#include "locks.h"
#include "sockets.h"
#include "storages.h"
#include "visitor.h"

#define CREATE BPF_SK_STORAGE_GET_F_CREATE

static struct ends ends;
static int map, other;

static bool done(struct run *run, const void *arg)
{
	return loot_at(1) == DONE;
}

static u64 value_of(int map, int s)
{
	u64 value[512] = { 0 };

	return map_lookup(map, &s, value) ? 0 : value[0];
}

static bool has_value(struct run *run, const void *map)
{
	u64 value[512];

	return !map_lookup(*(const int *)map, &ends.end, value);
}

static bool has_none(struct run *run, const void *map)
{
	return !has_value(run, map);
}

static bool is_canary(struct run *run, const void *map)
{
	return value_of(*(const int *)map, ends.end) == canary("data");
}

static void begin(void)
{
	map = storage(BPF_MAP_TYPE_SK_STORAGE, 4, 8);
	other = storage(BPF_MAP_TYPE_SK_STORAGE, 4, 8);
	cnt = 0;
	E(MOV_REG(R6, R1));
}

static void end(void)
{
	close(map);
	close(other);
}

/* R7 = the socket, or the end */
static void find_socket(void)
{
	socket_lookup(BPF_FUNC_sk_lookup_tcp, ends.peer, ends.port);
	E(JMP_IMM(BPF_JNE, R0, 0, 2), MOV_IMM(R0, 7), EXIT(), MOV_REG(R7, R0));
}

#define TRY(NAME, HELPER, LANDED, ARG, WHAT) do { \
		attack(&(struct attack){ &sched_cls, NAME, HELPER, ANYWHERE, LANDED, ARG, WHAT }, \
		       insns, cnt); \
		end(); \
	} while (0)

static void sockets(void)
{
	u64 addr = socket_keep(&ends), one = 1;

	begin();
	E(LD_MAP_FD(R1, map), LD_IMM64(R2, addr), MOV_IMM(R3, 0), MOV_IMM(R4, CREATE),
	  CALL(sk_storage_get), FINISH(&sched_cls));
	TRY("rogue_socket", "sk_storage_get", has_value, &map, "a socket that it does not have");

	begin();
	map_update(map, &ends.end, &one);
	E(LD_MAP_FD(R1, map), LD_IMM64(R2, addr), CALL(sk_storage_delete), FINISH(&sched_cls));
	TRY("rogue_delete", "sk_storage_delete", has_none, &map,
	    "the value of a socket that it does not have is deleted");
	socket_give_back(addr);

	begin();
	find_socket();
	socket_release(R7);
	E(LD_MAP_FD(R1, map), MOV_REG(R2, R7), MOV_IMM(R3, 0), MOV_IMM(R4, CREATE),
	  CALL(sk_storage_get), FINISH(&sched_cls));
	TRY("rogue_after", "sk_storage_get", has_value, &map, "a socket after its release");
}

static void maps(void)
{
	u64 addr;

	begin();
	addr = map_address(other);
	cnt = 0;
	E(MOV_REG(R6, R1));
	find_socket();
	E(LD_MAP_FD(R1, map), LD_IMM64(R1, addr), MOV_REG(R2, R7), MOV_IMM(R3, 0),
	  MOV_IMM(R4, CREATE), CALL(sk_storage_get));
	socket_release(R7);
	E(FINISH(&sched_cls));
	TRY("rogue_map", "sk_storage_get", has_value, &other, "a map that is not its own");

	begin();
	find_socket();
	E(LD_MAP_FD(R1, loot), MOV_REG(R2, R7), MOV_IMM(R3, 0), MOV_IMM(R4, 0),
	  CALL(sk_storage_get));
	socket_release(R7);
	E(FINISH(&sched_cls));
	TRY("rogue_type", "sk_storage_get", done, NULL, "a map of another type");
}

/* What a value begins with */
static void memory(void)
{
	begin();
	find_socket();
	E(LD_MAP_FD(R1, map), MOV_REG(R2, R7), LD_IMM64(R3, target("data")), MOV_IMM(R4, CREATE),
	  CALL(sk_storage_get));
	socket_release(R7);
	E(FINISH(&sched_cls));
	TRY("rogue_begin", "sk_storage_get", is_canary, &map, "it begins with kernel memory");

	begin();
	find_socket();
	E(LD_MAP_FD(R1, map), MOV_REG(R2, R7), MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, 0x200000),
	  MOV_IMM(R4, level ? CREATE : 0), CALL(sk_storage_get));
	socket_release(R7);
	E(FINISH(&sched_cls));
	TRY("rogue_far", "sk_storage_get", done, NULL, "it begins with what is far from its stack");
}

/* Plainly the map's address is before a value: that is how the kernel finds it. */
static void before(void)
{
	u64 addr, one = 77, where, was;
	int fd;

	begin();
	addr = map_address(map);
	map_update(map, &ends.end, &one);
	cnt = 0;
	E(MOV_REG(R6, R1));
	find_socket();
	E(LD_MAP_FD(R1, map), MOV_REG(R2, R7), MOV_IMM(R3, 0), MOV_IMM(R4, 0),
	  CALL(sk_storage_get), MOV_REG(R9, R0), LDX(BPF_DW, R3, R9, -8), ST(BPF_DW, R9, -8, 0));
	socket_release(R7);
	E(LD_MAP_VALUE(R7, loot, 0), STX(BPF_DW, R7, R3, 0), STX(BPF_DW, R7, R9, 16),
	  FINISH(&sched_cls));
	loot_clear();
	fd = load(&sched_cls, "rogue_before", insns, cnt);
	prog_run_once(fd);
	was = loot_at(0);
	where = loot_at(2);
	ok(level ? was != addr && value_of(map, ends.end) == one :
		   was == addr && !value_of(map, ends.end),
	   "%d: what is before a value is %s", level, level ? "no map" : "the map, and overwritten");
	diag("%lx: %lx, and the map is at %lx", where - 8, was, addr);
	close(fd);
	if (!level) {
		cnt = 0;
		E(LD_IMM64(R2, where), LD_IMM64(R3, was), STX(BPF_DW, R2, R3, -8), MOV_IMM(R0, 0),
		  EXIT());
		fd = load(&sched_cls, "mender", insns, cnt);
		prog_run_once(fd);
		close(fd);
		ok(value_of(map, ends.end) == one, "0: and mended");
	}
	end();
}

/* The last value that there is, of a page: nothing is behind it. */
static void behind(void)
{
	begin();
	close(map);
	map = storage(BPF_MAP_TYPE_SK_STORAGE, 4, 4096);
	find_socket();
	E(LD_MAP_FD(R1, map), MOV_REG(R2, R7), MOV_IMM(R3, 0), MOV_IMM(R4, CREATE),
	  CALL(sk_storage_get), MOV_REG(R9, R0));
	socket_release(R7);
	E(LDX(BPF_DW, R3, R9, 4096), TAKE_R3(), FINISH(&sched_cls));
	TRY("rogue_behind", "read", done, NULL, "what is behind a value");
}

/* R9 = the value of the socket, with a lock in it, or the end */
static void find_locked(void)
{
	begin();
	close(map);
	map = try_storage(BPF_MAP_TYPE_SK_STORAGE, 4, 0, BPF_F_NO_PREALLOC, true);
	find_socket();
	E(LD_MAP_FD(R1, map), MOV_REG(R2, R7), MOV_IMM(R3, 0), MOV_IMM(R4, CREATE),
	  CALL(sk_storage_get), MOV_REG(R9, R0));
	socket_release(R7);
}

static volatile bool over;

/* Wants the lock, which a program keeps. */
static void *waits(void *failed)
{
	pin_to_cpu(1);
	while (!over)
		*(int *)failed += !locked_update(map, ends.end, 1, 2);
	return NULL;
}

/* A run that has the lock of a value, and does not give it back itself */
static void keeps(const char *what, const char *said, const struct bpf_insn *more, int n)
{
	s64 given = moat_counter("given_back");
	struct locked value = {};
	int fd, failed = 0;
	const char *line;
	pthread_t t;

	find_locked();
	E(ADDRESS(R1, R9, LOCK_AT), CALL(spin_lock));
	emit(more, n);
	E(FINISH(&sched_cls));
	fd = load(&sched_cls, "rogue_keeps", insns, cnt);
	/* Two that make it at once do not both get it. */
	locked_update(map, ends.end, 1, 2);
	over = false;
	pthread_create(&t, NULL, waits, &failed);
	pin_to_cpu(2);
	kmsg_mark();
	prog_run_once(fd);
	line = kmsg_stopped(fd, "rogue_keeps");
	over = true;
	pthread_join(t, NULL);
	diag("%s", line ?: "nothing in the log");
	ok(line && strstr(line, said) && moat_counter("given_back") == given + 1,
	   "%d: %s: stopped, and the lock is given back", level, what);
	ok(!failed && locked_update(map, ends.end, 3, 4) && locked_lookup(map, ends.end, &value) &&
	   value.a == 3 && value.b == 4 && others_run(), "%d: %s: others get it", level, what);
	close(fd);
	end();
}

static void locks(void)
{
	const struct bpf_insn ends_with_it[] = { MOV_IMM(R0, 0) };
	const struct bpf_insn for_ever[] = { JMP_IMM(BPF_JNE, R10, 0, -1) };
	u64 taken = 1;
	int budget;

	/* In the value, so that plainly it does no harm: it is taken, and seen there. */
	find_locked();
	E(ADDRESS(R1, R9, LOCK_AT + 4), CALL(spin_lock), LDX(BPF_W, R6, R9, LOCK_AT + 4),
	  ADDRESS(R1, R9, LOCK_AT + 4), CALL(spin_unlock), MOV_REG(R3, R6), TAKE_R3(),
	  FINISH(&sched_cls));
	TRY("rogue_beside", "spin_lock", loot_is, &taken, "what is beside the lock of a value");
	/* Others would wait for ever. */
	if (!level)
		return;
	keeps("a lock is kept to the end", "came to its end with 1", ends_with_it, 1);
	budget = moat_set_budget(1);
	keeps("a lock is kept for ever", "ran too long", for_ever, 1);
	moat_set_budget(budget);
}

/* A map that was in a map of maps: the program has its address still. */
static void taken_out_of_one(void)
{
	const char *what = "a map that was taken out of a map of maps";
	s64 violations = moat_counter("violations");
	int outer, fd;
	s64 got;

	begin();
	outer = outer_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, map);
	if (put(outer, map))
		bail("a map of maps: %s", strerror(errno));
	find_socket();
	E(ST(BPF_W, R10, -4, 0), LD_MAP_FD(R1, outer), ADDRESS(R2, R10, -4), CALL(map_lookup_elem),
	  LD_MAP_VALUE(R8, loot, 32), JMP_IMM(BPF_JEQ, R0, 0, 1), STX(BPF_DW, R8, R0, 0),
	  LDX(BPF_DW, R1, R8, 0), MOV_REG(R2, R7), MOV_IMM(R3, 0), MOV_IMM(R4, CREATE),
	  CALL(sk_storage_get));
	socket_release(R7);
	E(FINISH(&sched_cls));
	fd = load(&sched_cls, "rogue_out", insns, cnt);
	ok(prog_run_once(fd) == sched_cls.pass && has_value(NULL, &map),
	   "%d: %s: is used as long as it is there", level, what);
	map_delete(map, &ends.end);
	take_out(outer);
	got = prog_run_once(fd);
	if (level)
		ok(got == sched_cls.safe && has_none(NULL, &map) &&
		   moat_counter("violations") == violations + 1, "%d: %s: stopped", level, what);
	else
		ok(got == sched_cls.pass && has_value(NULL, &map), "%d: %s: succeeds", level, what);
	close(fd);
	close(outer);
	end();
}

static void cgroup(const char *name, const char *access, const char *what)
{
	attack(&(struct attack){ &cgroup_skb, name, access, ANYWHERE, done, NULL, what }, insns, cnt);
	close(map);
}

static void cgroups(void)
{
	u64 addr;

	other = storage(BPF_MAP_TYPE_CGROUP_STORAGE, BOTH_WAYS, 8);
	addr = map_address(other);
	for (int type = 0; type < 3; type++) {
		static const char *const what[] = {
			"a map of cgroups that is not its own", "kernel memory for a map of cgroups",
			"no map of cgroups",
		};

		map = storage(BPF_MAP_TYPE_CGROUP_STORAGE, BOTH_WAYS, 8);
		cnt = 0;
		E(LD_MAP_FD(R1, map));
		switch (type) {
		case 0:
			E(LD_IMM64(R1, addr));
			break;
		case 1:
			E(LD_IMM64(R1, target("data")));
			break;
		default:
			E(LD_MAP_FD(R1, loot));
		}
		E(MOV_IMM(R2, 0), CALL(get_local_storage), FINISH(&cgroup_skb));
		cgroup("rogue_map", "get_local_storage", what[type]);
	}
	close(other);

	map = storage(BPF_MAP_TYPE_CGROUP_STORAGE, BOTH_WAYS, 4096);
	cnt = 0;
	E(LD_MAP_FD(R1, map), MOV_IMM(R2, 0), CALL(get_local_storage), LDX(BPF_DW, R3, R0, 4096),
	  TAKE_R3(), FINISH(&cgroup_skb));
	cgroup("rogue_behind", "read", "what is behind a cgroup's value");

	map = try_storage(BPF_MAP_TYPE_CGROUP_STORAGE, BOTH_WAYS, 8, BPF_F_RDONLY_PROG, false);
	cnt = 0;
	E(LD_MAP_FD(R1, map), MOV_IMM(R2, 0), CALL(get_local_storage), ST(BPF_DW, R0, 0, 1),
	  FINISH(&cgroup_skb));
	cgroup("rogue_write", "write", "a value that programs may only read");

	/* Of four CPUs, with a line each; plainly others have what is beside it. */
	map = storage(BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE, BOTH_WAYS, 8);
	cnt = 0;
	E(LD_MAP_FD(R1, map), MOV_IMM(R2, 0), CALL(get_local_storage),
	  LDX(BPF_DW, R3, R0, level ? 4 * 64 : 8), TAKE_R3(), FINISH(&cgroup_skb));
	cgroup("rogue_cpu", "read", "what is behind the values of all CPUs");
}

/* What replaces a function has a map of its own, of which there is no value. */
static void in_a_place(void)
{
	int target_fd, fd, link, theirs = storage(BPF_MAP_TYPE_CGROUP_STORAGE, BOTH_WAYS, 8);
	s64 violations = moat_counter("violations"), ret;

	map = storage(BPF_MAP_TYPE_CGROUP_STORAGE, BOTH_WAYS, 4096);
	describe(&cgroup_skb);
	function(MAIN);
	E(MOV_REG(R6, R1), LD_MAP_FD(R1, theirs), MOV_IMM(R2, 0), CALL(get_local_storage),
	  ST(BPF_DW, R0, 0, 0x7e57), MOV_REG(R1, R6));
	call(ALONE);
	E(MOV_IMM(R0, 1), EXIT());
	function(ALONE);
	E(MOV_IMM(R0, 1), EXIT());
	target_fd = build("target", level);
	function(ALONE);
	E(LD_MAP_FD(R1, map), MOV_IMM(R2, 0), CALL(get_local_storage), LDX(BPF_DW, R3, R0, 0),
	  TAKE_R3(), FINISH(&cgroup_skb));
	fd = build_for(BPF_PROG_TYPE_EXT, 0, "in_a_place", level, target_fd, ALONE);
	link = fd < 0 ? -1 : attach(fd, target_fd, ALONE);
	if (link < 0)
		bail("in_a_place: %s\n%s", strerror(errno), prog_log);
	loot_clear();
	kmsg_mark();
	ret = prog_run_once(target_fd);
	if (!level)
		ok(ret == 1 && loot_at(0) == 0x7e57 && loot_at(1) == DONE,
		   "0: what is in a function's place gets the value of another map");
	else
		ok(ret == 0 && !loot_at(1) && moat_counter("violations") == violations + 1 &&
		   reported(kmsg_stopped(fd, "in_a_place"), "get_local_storage", 0),
		   "2: what is in a function's place gets no value of another map");
	close(link);
	close(fd);
	close(target_fd);
	close(theirs);
	close(map);
}

static void attacks(void)
{
	canary_reset();
	sockets();
	maps();
	memory();
	before();
	behind();
	locks();
	taken_out_of_one();
	cgroups();
	/* Without it the kernel does not know a context. */
	if (access("/sys/kernel/btf/vmlinux", F_OK))
		skip("no BTF", "%d: what is in a function's place", level);
	else
		in_a_place();
}

int main(void)
{
	socket_ends(&ends);
	return at_each_level(attacks);
}
