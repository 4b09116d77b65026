// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,0 timeout=180 */
/*
 * What becomes of timers, and of the kernel that calls what they were given, if a program that
 * no verifier looked at takes what is no timer or no function, and if what is called has no
 * end, gives back nothing, or goes on in the program, where all is for a packet?
 *
 * What would have a plain kernel follow any pointer is tried at level 2 only.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "attack.h"
#include "build.h"
#include "timers.h"

#define SHORT 1000000

static int map, other;
static u64 data;

/* R1 = the timer of value 0 of @MAP */
#define PLACE(MAP) LD_MAP_VALUE(R1, MAP, TIMER_AT)
#define INIT(MAP) PLACE(MAP), LD_MAP_FD(R2, MAP), MOV_IMM(R3, CLOCK_MONOTONIC), CALL(timer_init)
#define START(MAP) PLACE(MAP), LD_IMM64(R2, SHORT), MOV_IMM(R3, 0), CALL(timer_start)

static void set(int of, int f)
{
	E(PLACE(of));
	emit_function(R2, f);
	E(CALL(timer_set_callback));
}

static void begin(void)
{
	map = timed_map(BPF_MAP_TYPE_ARRAY, 1, 0, false);
	other = timed_map(BPF_MAP_TYPE_ARRAY, 1, 0, false);
	cnt = 0;
}

/* A timer of the same map, of a program that keeps to the rules, runs out afterwards. */
static void end(const char *what)
{
	int fd;

	if (level) {
		timed_reset(map, 0, 0);
		cnt = 0;
		E(INIT(map));
		set(map, 1);
		E(START(map), MOV_IMM(R0, 2), EXIT());
		begin_function(1);
		E(LDX(BPF_DW, R1, R3, FIRED_AT), ALU64_IMM(BPF_ADD, R1, 1),
		  STX(BPF_DW, R3, R1, FIRED_AT), MOV_IMM(R0, 0), EXIT());
		fd = load(&xdp, "keeps_to_it", insns, cnt);
		ok(prog_run_once(fd) == 2 && timed_fires(map, 0, 1), "%d: %s: others have timers",
		   level, what);
		close(fd);
	}
	close(map);
	close(other);
}

/* Waits for what a timer calls. */
static bool later(bool (*there)(void))
{
	for (int i = 0; i < 300 && !there(); i++)
		usleep(10000);
	return there();
}

/* A run of @fd arms a timer, and what that calls must be stopped, which the log says. */
static void stops_later(int fd, const char *name, const char *said, const char *what)
{
	s64 violations = moat_counter("violations");
	const char *line;
	struct run run;

	loot_clear();
	run_packet(&run, 64);
	kmsg_mark();
	if (prog_run(fd, &run) || run.retval != xdp.pass)
		diag("ran: verdict %u", run.retval);
	line = kmsg_stopped_later(fd, name);
	diag("%s", line ?: "nothing in the log");
	ok(line && strstr(line, said), "%d: %s: stopped", level, what);
	ok(moat_counter("violations") == violations + 1, "%d: %s: counted, once", level, what);
	prog_run(fd, &run);
	ok(run.retval == xdp.safe, "%d: %s: stays dead", level, what);
	ok(others_run(), "%d: %s: others go on", level, what);
}

static bool data_is_taken(struct run *run, const void *arg)
{
	/* An address of the kernel's */
	return canary("data") >> 56 == 0xff;
}

/* Kernel memory is no timer: plainly what is zero there becomes a pointer. */
static void no_timer(void)
{
	static const char *const what[] = {
		"kernel memory is taken for a timer", "the address of a value",
		"a word beside the timer",
	};
	static const s16 beside[] = { 0, 0, TIMER_AT + 8 };

	/* It is left with something that is none, and nobody calls. */
	begin();
	canary_reset();
	E(LD_IMM64(R6, data));
	if (!level)
		E(ST(BPF_DW, R6, 0, 0), ST(BPF_DW, R6, 8, 0));
	E(MOV_REG(R1, R6), LD_MAP_FD(R2, map), MOV_IMM(R3, CLOCK_MONOTONIC), CALL(timer_init),
	  JMP_IMM(BPF_JEQ, R0, 0, 2), MOV_IMM(R0, 2), EXIT(), FINISH(&xdp));
	attack(&(struct attack){ &xdp, "rogue_timer", "timer_init", 0, data_is_taken, NULL,
				 what[0] }, insns, cnt);
	end(what[0]);
	for (int i = 1; i < 3 && level; i++) {
		begin();
		E(LD_MAP_VALUE(R1, map, beside[i]), LD_MAP_FD(R2, map), MOV_IMM(R3, 0),
		  CALL(timer_init), FINISH(&xdp));
		attack(&(struct attack){ &xdp, "rogue_beside", "timer_init", 0, loot_is, &data,
					 what[i] }, insns, cnt);
		end(what[i]);
	}
}

/* Of what a helper gets, what only MOAT can tell */
static void arguments(void)
{
	static const u64 none[] = { 0, 1, ~0ULL, 0x8000000000000000ULL };
	const char *what = "a timer of one map, and another map";
	int others = timed_map(BPF_MAP_TYPE_ARRAY, 1, 0, false);
	u64 where;
	int fd;

	begin();
	E(LD_MAP_FD(R6, other), PLACE(map), MOV_REG(R2, R6), MOV_IMM(R3, 0), CALL(timer_init),
	  FINISH(&xdp));
	attack(&(struct attack){ &xdp, "rogue_map", "timer_init", 0, loot_is, &data, what },
	       insns, cnt);
	end(what);

	what = "the timer of somebody else's map";
	begin();
	loot_clear();
	E(LD_MAP_VALUE(R3, others, TIMER_AT), TAKE_R3(), FINISH(&xdp));
	fd = load(&xdp, "tells", insns, cnt);
	prog_run_once(fd);
	where = loot_at(0);
	cnt = 0;
	E(LD_IMM64(R1, where), CALL(timer_cancel), FINISH(&xdp));
	attack(&(struct attack){ &xdp, "rogue_others", "timer_cancel", 0, loot_is, &data, what },
	       insns, cnt);
	close(fd);
	end(what);

	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		what = "a function that is none";
		begin();
		E(INIT(map), PLACE(map), LD_IMM64(R2, none[i]), CALL(timer_set_callback),
		  FINISH(&xdp));
		attack(&(struct attack){ &xdp, "rogue_function", "timer_set_callback", 0, loot_is,
					 &data, what }, insns, cnt);
		end(what);
	}
	close(others);
}

static bool has_mark(void)
{
	return loot_at(0) == MARK;
}

static bool marked_later(struct run *run, const void *arg)
{
	return later(has_mark);
}

/* Behind the NOP that a function begins with */
static void second_instruction(void)
{
	const char *what = "the second instruction of a function";

	begin();
	E(INIT(map), PLACE(map));
	emit_function(R2, 1);
	E(ALU64_IMM(BPF_ADD, R2, 5), CALL(timer_set_callback), START(map), FINISH(&xdp));
	begin_function(1);
	E(LD_IMM64(R3, MARK), TAKE_R3(), MOV_IMM(R0, 0), EXIT());
	attack(&(struct attack){ &xdp, "rogue_second", "timer_set_callback", 0, marked_later, NULL,
				 what }, insns, cnt);
	end(what);
}

/* What is in the value is nothing: what is there plainly is a pointer of the kernel's. */
static void in_the_value(void)
{
	const char *what = "a timer that is armed is looked at, and written over";
	struct run run;
	u64 seen;
	int fd;

	begin();
	loot_clear();
	E(INIT(map));
	set(map, 1);
	E(START(map), PLACE(map), LDX(BPF_DW, R9, R1, 0));
	if (level)
		E(LD_IMM64(R2, data), STX(BPF_DW, R1, R2, 0), STX(BPF_DW, R1, R2, 8));
	E(MOV_REG(R3, R9), LD_MAP_VALUE(R7, loot, 0), STX(BPF_DW, R7, R3, 16), MOV_IMM(R0, 2),
	  EXIT());
	begin_function(1);
	E(LD_IMM64(R3, MARK), TAKE_R3(), MOV_IMM(R0, 0), EXIT());
	fd = load(&xdp, "looks", insns, cnt);
	run_packet(&run, 64);
	prog_run(fd, &run);
	seen = loot_at(2);
	ok(run.retval == xdp.pass && (level ? !seen : seen >> 56 == 0xff), "%d: %s: %s", level,
	   what, level ? "it is not there" : "succeeds");
	ok(later(has_mark), "%d: %s: it runs out", level, what);
	close(fd);
	end(what);
}

static bool data_is_marked(void)
{
	return canary("data") == MARK;
}

static bool data_marked_later(struct run *run, const void *arg)
{
	return later(data_is_marked);
}

/* What a timer calls writes to memory of the kernel's. */
static void writes(void)
{
	const char *what = "what a timer calls writes to the kernel";
	u64 before;
	int fd;

	begin();
	canary_reset();
	before = canary("data");
	E(INIT(map));
	set(map, 1);
	E(START(map), MOV_IMM(R0, 2), EXIT());
	begin_function(1);
	E(MOV_REG(R6, R3), LDX(BPF_DW, R1, R6, FIRED_AT), ALU64_IMM(BPF_ADD, R1, 1),
	  STX(BPF_DW, R6, R1, FIRED_AT), START(map), LD_IMM64(R1, data), LD_IMM64(R2, MARK),
	  STX(BPF_DW, R1, R2, 0), MOV_IMM(R0, 0), EXIT());
	fd = load(&xdp, "rogue_writes", insns, cnt);
	if (!level) {
		prog_run_once(fd);
		ok(data_marked_later(NULL, NULL), "0: %s: succeeds", what);
	} else {
		stops_later(fd, "rogue_writes", "write of ", what);
		usleep(100000);
		ok(canary("data") == before && timed_value(map, 0).fired == 1,
		   "%d: %s: nothing got there, and it is not called again", level, what);
	}
	timed_reset(map, 0, 0);
	close(fd);
	usleep(20000);
	canary_reset();
	end(what);
}

/* What a timer calls does @more and returns, or does not. */
static void called(const char *what, const char *said, s64 gives, const struct bpf_insn *more, int n)
{
	s64 given = moat_counter("given_back");
	int fd;

	E(INIT(map));
	set(map, 1);
	E(START(map), MOV_IMM(R0, 2), EXIT());
	begin_function(1);
	emit(more, n);
	E(MOV_IMM(R0, 0), EXIT());
	fd = load(&xdp, "rogue_called", insns, cnt);
	stops_later(fd, "rogue_called", said, what);
	ok(moat_counter("given_back") == given + gives, "%d: %s: %ld given back", level, what,
	   moat_counter("given_back") - given);
	close(fd);
	end(what);
}
#define CALLED(WHAT, SAID, GIVES, ...) do { \
		begin(); \
		const struct bpf_insn more_[] = { __VA_ARGS__ }; \
		called(WHAT, SAID, GIVES, more_, ARRAY_SIZE(more_)); \
	} while (0)

static void what_is_called(void)
{
	int ring = map_create(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096), locks;
	int budget;

	if (ring < 0)
		bail("ring: %s", strerror(errno));
	CALLED("it keeps a record", "came to its end with 1", 1, LD_MAP_FD(R1, ring), MOV_IMM(R2, 8),
	       MOV_IMM(R3, 0), CALL(ringbuf_reserve));
	locks = timed_map(BPF_MAP_TYPE_ARRAY, 1, 0, true);
	CALLED("it keeps a lock", "came to its end with 1", 1, LD_MAP_VALUE(R1, locks, TIMED_LOCK_AT),
	       CALL(spin_lock));
	CALLED("a timer is started with a lock held", "timer_start called with a lock held", 1,
	       LD_MAP_VALUE(R1, locks, TIMED_LOCK_AT), CALL(spin_lock), START(map));
	CALLED("it has the kernel read for it", "helper map_update_elem argument 3", 0,
	       ST(BPF_W, R10, -4, 0), LD_MAP_FD(R1, loot), MOV_REG(R2, R10),
	       ALU64_IMM(BPF_ADD, R2, -4), LD_IMM64(R3, data), MOV_IMM(R4, 0),
	       CALL(map_update_elem));
	CALLED("it cancels what is no timer", "helper timer_cancel argument 1", 0,
	       LD_IMM64(R1, data), CALL(timer_cancel));
	CALLED("it redirects", "redirect at func1", 0, MOV_IMM(R1, 1), MOV_IMM(R2, 0),
	       CALL(redirect));
	budget = moat_set_budget(1);
	CALLED("it has no end", "ran too long", 0, MOV_IMM(R0, 0), JMP_IMM(BPF_JEQ, R0, 0, -1));
	CALLED("it calls helpers without end", "ran too long", 0, CALL(ktime_get_ns),
	       JMP_IMM(BPF_JNE, R0, 0, -2));
	CALLED("it starts timers without end", "ran too long", 0, START(other),
	       JMP_IMM(BPF_JNE, R10, 0, -7));
	moat_set_budget(budget);
	close(locks);
	close(ring);
}

/*
 * What is called goes on in the program, behind its first call, and what is there is for a
 * context. Its frame says where it goes on; the snapshot's address it has from a run before.
 */
static void goes_on(const struct prog_type *t, const char *what, const char *said,
		    const struct bpf_insn *more, int n)
{
	int flag = map_of_words(0), call, fd;

	begin();
	E(MOV_REG(R6, R1), LD_MAP_VALUE(R3, flag, 8), STX(BPF_DW, R3, R1, 0));
	call = cnt;
	E(CALL_REL(0), LD_MAP_VALUE(R3, flag, 0), LDX(BPF_DW, R3, R3, 0),
	  JMP_IMM(BPF_JEQ, R3, 0, n + 3), LD_MAP_VALUE(R6, flag, 8), LDX(BPF_DW, R6, R6, 0));
	emit(more, n);
	E(INIT(map));
	set(map, 2);
	E(START(map), MOV_IMM(R0, 2), EXIT());
	insns[call].imm = cnt - call - 1;
	begin_function(1);
	E(MOV_IMM(R0, 0), EXIT());
	begin_function(2);
	E(LD_MAP_VALUE(R3, flag, 0), ST(BPF_DW, R3, 0, 1), ST(BPF_DW, R10, 8, 0), MOV_IMM(R0, 0),
	  EXIT());
	fd = load(t, "rogue_goes_on", insns, cnt);
	if (fd < 0) {
		ok(false, "%d: %s: loads", level, what);
		return;
	}
	if (t == &xdp) {
		stops_later(fd, "rogue_goes_on", said, what);
	} else {
		const char *line;

		kmsg_mark();
		prog_run_once(fd);
		line = kmsg_stopped_later(fd, "rogue_goes_on");
		diag("%s", line ?: "nothing in the log");
		ok(line && strstr(line, said), "%d: %s (%s): stopped", level, what, t->name);
		ok(others_run(), "%d: %s (%s): others go on", level, what, t->name);
	}
	close(fd);
	close(flag);
	end(what);
}
#define NO_PACKET "where a timer has called it and there is no packet"
#define GOES_ON(T, WHAT, SAID, ...) do { \
		const struct bpf_insn more_[] = { __VA_ARGS__ }; \
		goes_on(T, WHAT, SAID, more_, ARRAY_SIZE(more_)); \
	} while (0)

static void without_context(void)
{
	int array = map_create(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 1);
	int array_tc = map_create(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 1);
	int events = map_create(BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 4);
	int devices = map_create(BPF_MAP_TYPE_DEVMAP, 4, 4, 4);
	int storage = map_create(BPF_MAP_TYPE_CGROUP_STORAGE, 8, 8, 0);
	const struct bpf_insn pass[] = { MOV_IMM(R0, 2), EXIT() };
	int next = load(&xdp, "next", pass, 2);
	u32 zero = 0;

	if (array < 0 || array_tc < 0 || events < 0 || devices < 0 ||
	    storage < 0 || map_update(array, &zero, &next))
		bail("maps: %s", strerror(errno));
	GOES_ON(&xdp, "it goes on to the end of the program", "return to an unknown place",
		MOV_IMM(R0, 2), EXIT());
	GOES_ON(&xdp, "it goes on to a tail call", "may not be gone on in", MOV_REG(R1, R6),
		LD_MAP_FD(R2, array), MOV_IMM(R3, 0), CALL(tail_call));
	GOES_ON(&xdp, "it goes on to xdp_adjust_head", "xdp_adjust_head at main", MOV_REG(R1, R6),
		MOV_IMM(R2, 4), CALL(xdp_adjust_head));
	GOES_ON(&xdp, "it goes on to xdp_load_bytes", NO_PACKET, MOV_REG(R1, R6), MOV_IMM(R2, 0),
		MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -8), MOV_IMM(R4, 8), CALL(xdp_load_bytes));
	GOES_ON(&xdp, "it goes on to xdp_get_buff_len", NO_PACKET, MOV_REG(R1, R6),
		CALL(xdp_get_buff_len));
	GOES_ON(&xdp, "it goes on to perf_event_output", NO_PACKET, MOV_REG(R1, R6),
		LD_MAP_FD(R2, events), MOV_IMM(R3, 0), MOV_REG(R4, R10), ALU64_IMM(BPF_ADD, R4, -8),
		MOV_IMM(R5, 8), CALL(perf_event_output));
	GOES_ON(&xdp, "it goes on to redirect", NO_PACKET, MOV_IMM(R1, 1), MOV_IMM(R2, 0),
		CALL(redirect));
	GOES_ON(&xdp, "it goes on to redirect_map", NO_PACKET, LD_MAP_FD(R1, devices),
		MOV_IMM(R2, 0), MOV_IMM(R3, 0), CALL(redirect_map));
	GOES_ON(&xdp, "it goes on to sk_lookup_udp", NO_PACKET, MOV_REG(R1, R6), MOV_REG(R2, R10),
		ALU64_IMM(BPF_ADD, R2, -16), MOV_IMM(R3, 12), MOV_IMM(R4, 0), MOV_IMM(R5, 0),
		CALL(sk_lookup_udp));
	GOES_ON(&sched_cls, "it goes on to clone_redirect", NO_PACKET, MOV_REG(R1, R6),
		MOV_IMM(R2, 1), MOV_IMM(R3, 0), CALL(clone_redirect));
	GOES_ON(&sched_cls, "it goes on to skb_store_bytes", NO_PACKET, MOV_REG(R1, R6),
		MOV_IMM(R2, 0), MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -8), MOV_IMM(R4, 8),
		MOV_IMM(R5, 0), CALL(skb_store_bytes));
	GOES_ON(&sched_cls, "it goes on to skb_load_bytes", NO_PACKET, MOV_REG(R1, R6),
		MOV_IMM(R2, 0), MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -8), MOV_IMM(R4, 8),
		CALL(skb_load_bytes));
	GOES_ON(&sched_cls, "it goes on to get_hash_recalc", NO_PACKET, MOV_REG(R1, R6),
		CALL(get_hash_recalc));
	GOES_ON(&sched_cls, "it goes on to csum_update", NO_PACKET, MOV_REG(R1, R6),
		MOV_IMM(R2, 1), CALL(csum_update));
	GOES_ON(&sched_cls, "it goes on to redirect", NO_PACKET, MOV_IMM(R1, 1), MOV_IMM(R2, 0),
		CALL(redirect));
	GOES_ON(&sched_cls, "it goes on to redirect_peer", NO_PACKET, MOV_IMM(R1, 1),
		MOV_IMM(R2, 0), CALL(redirect_peer));
	GOES_ON(&sched_cls, "it goes on to get_socket_cookie", NO_PACKET, MOV_REG(R1, R6),
		CALL(get_socket_cookie));
	GOES_ON(&cgroup_skb, "it goes on to skb_cgroup_id", NO_PACKET, MOV_REG(R1, R6),
		CALL(skb_cgroup_id));
	GOES_ON(&cgroup_skb, "it goes on to get_local_storage", NO_PACKET, LD_MAP_FD(R1, storage),
		MOV_IMM(R2, 0), CALL(get_local_storage));
	GOES_ON(&socket_filter, "it goes on to skb_load_bytes", NO_PACKET, MOV_REG(R1, R6),
		MOV_IMM(R2, 0), MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -8), MOV_IMM(R4, 8),
		CALL(skb_load_bytes));
	close(array);
	close(array_tc);
	close(events);
	close(devices);
	close(storage);
	close(next);
}

/*
 * Timers where no value is: behind the last one, on the page that it is on. There are @n places
 * from the first value on; of a hash, only those that have an element are called for.
 */
static void without_value(const char *what, enum bpf_map_type type, u32 entries, u32 flags, int n)
{
	bool array = type == BPF_MAP_TYPE_ARRAY;
	s64 violations = moat_counter("violations");
	int fd;

	begin();
	close(map);
	map = timed_map(type, entries, flags, false);
	timed_reset(map, 0, 0);
	E(ST(BPF_W, R10, -4, 0), LD_MAP_FD(R1, map), ADDRESS(R2, R10, -4), CALL(map_lookup_elem),
	  MOV_REG(R6, R0));
	/* A map begins with a table of pages. */
	if (!array)
		E(ALU64_IMM(BPF_AND, R6, -0x200000));
	E(ALU64_IMM(BPF_ADD, R6, TIMER_AT), MOV_IMM(R8, 0));
	/* For each: made, set, started */
	E(MOV_REG(R1, R6), LD_MAP_FD(R2, map), MOV_IMM(R3, CLOCK_MONOTONIC), CALL(timer_init),
	  MOV_REG(R1, R6));
	emit_function(R2, 1);
	E(CALL(timer_set_callback), MOV_REG(R1, R6), LD_IMM64(R2, SHORT), MOV_IMM(R3, 0),
	  CALL(timer_start), ALU64_IMM(BPF_ADD, R6, sizeof(struct timed)),
	  ALU64_IMM(BPF_ADD, R8, 1), JMP_IMM(BPF_JLT, R8, n, -17), MOV_IMM(R0, 2), EXIT());
	begin_function(1);
	E(LD_MAP_VALUE(R1, loot, 0), MOV_IMM(R2, 1), ATOMIC(BPF_DW, BPF_ADD, R1, R2, 0),
	  MOV_REG(R1, R3), ALU64_IMM(BPF_ADD, R1, TIMER_AT), LD_IMM64(R2, SHORT), MOV_IMM(R3, 0),
	  CALL(timer_start), MOV_IMM(R0, 0), EXIT());
	fd = load(&xdp, "rogue_places", insns, cnt);
	loot_clear();
	ok(prog_run_once(fd) == 2, "%d: %s: armed", level, what);
	usleep(200000);
	ok(loot_at(0) > (array ? (u64)n : 1), "%d: %s: they run out, again and again (%lu)", level,
	   what, loot_at(0));
	/* User space lets the map go, and they with it. */
	close(map);
	usleep(100000);
	loot_clear();
	usleep(100000);
	ok(!loot_at(0), "%d: %s: until user space lets the map go", level, what);
	ok(moat_counter("violations") == violations, "%d: %s: nobody was stopped", level, what);
	close(fd);
	map = timed_map(BPF_MAP_TYPE_ARRAY, 1, 0, false);
	end(what);
}

/* So many bytes have so many places. */
#define PLACES(BYTES) (int)(((BYTES) + sizeof(struct timed) - 1) / sizeof(struct timed))

static void without_values(void)
{
	without_value("timers behind an array", BPF_MAP_TYPE_ARRAY, 1, 0, PLACES(4096));
	without_value("timers behind a hash", BPF_MAP_TYPE_HASH, 1, 0, PLACES(4096));
	/* 16 more values for each CPU: three pages */
	without_value("timers behind a hash on demand", BPF_MAP_TYPE_HASH, 100, BPF_F_NO_PREALLOC,
		      PLACES(3 * 4096));
}

/* A hash on demand: where there are no values yet there are no timers either. */
static void not_there(void)
{
	static const s64 far[] = { 50000, -(1 << 20), 1LL << 30 };
	const char *what = "a timer of a value that has no pages";

	for (size_t i = 0; i < ARRAY_SIZE(far); i++) {
		int demand = timed_map(BPF_MAP_TYPE_HASH, 100000, BPF_F_NO_PREALLOC, false);

		begin();
		timed_reset(demand, 0, 0);
		E(ST(BPF_W, R10, -4, 0), LD_MAP_FD(R1, demand), MOV_REG(R2, R10),
		  ALU64_IMM(BPF_ADD, R2, -4), CALL(map_lookup_elem), MOV_REG(R1, R0),
		  LD_IMM64(R2, far[i] * sizeof(struct timed) + TIMER_AT),
		  ALU64_REG(BPF_ADD, R1, R2), LD_MAP_FD(R2, demand), MOV_IMM(R3, CLOCK_MONOTONIC),
		  CALL(timer_init), FINISH(&xdp));
		attack(&(struct attack){ &xdp, "rogue_far", "timer_init", 0, loot_is, &data, what },
		       insns, cnt);
		close(demand);
		end(what);
	}
}

static bool is_freed(u32 id)
{
	int fd = bpf_prog_get_fd_by_id(id);

	if (fd >= 0)
		close(fd);
	return fd < 0;
}

/*
 * The value of an element that it deletes, of which a program may keep the address: its timer
 * calls nothing, is not that of whose value it is next, and leaves nothing behind.
 */
static void deleted(void)
{
	const char *what = "a timer of a value that is deleted";
	int demand = timed_map(BPF_MAP_TYPE_HASH, 100, BPF_F_NO_PREALLOC, false), fd, next, none = 0;
	u32 id, key = 1;

	begin();
	pin_to_cpu(0);
	timed_reset(demand, key, 0);
	E(ST(BPF_W, R10, -4, key), LD_MAP_FD(R1, demand), MOV_REG(R2, R10),
	  ALU64_IMM(BPF_ADD, R2, -4), CALL(map_lookup_elem), MOV_REG(R6, R0),
	  LD_MAP_FD(R1, demand), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -4),
	  CALL(map_delete_elem), ALU64_IMM(BPF_ADD, R6, TIMER_AT), MOV_REG(R1, R6),
	  LD_MAP_FD(R2, demand), MOV_IMM(R3, CLOCK_MONOTONIC), CALL(timer_init), MOV_REG(R1, R6));
	emit_function(R2, 1);
	E(CALL(timer_set_callback), MOV_REG(R1, R6), LD_IMM64(R2, 20 * SHORT), MOV_IMM(R3, 0),
	  CALL(timer_start), MOV_REG(R3, R0), TAKE_R3(), FINISH(&xdp));
	begin_function(1);
	E(LD_MAP_VALUE(R1, loot, 16), MOV_IMM(R2, 1), ATOMIC(BPF_DW, BPF_ADD, R1, R2, 0),
	  MOV_IMM(R0, 0), EXIT());
	fd = load(&xdp, "keeps_value", insns, cnt);
	id = prog_id(fd);
	loot_clear();
	ok(prog_run_once(fd) == 2 && !loot_at(0) && loot_at(1) == DONE, "%d: %s: is armed", level,
	   what);
	usleep(100000);
	ok(!loot_at(2), "%d: %s: calls nothing", level, what);
	timed_reset(demand, key, 0);
	prog_run_once(fd);
	/* The place is the first that is free. */
	for (key = 1; key < 100; key++)
		timed_reset(demand, key, 0);
	cnt = 0;
	E(ST(BPF_W, R10, -4, 0), LD_MAP_FD(R1, demand), MOV_REG(R2, R10),
	  ALU64_IMM(BPF_ADD, R2, -4), LD_MAP_VALUE(R3, loot, 32), LDX(BPF_W, R3, R3, 0),
	  STX(BPF_W, R10, R3, -4), CALL(map_lookup_elem), JMP_IMM(BPF_JNE, R0, 0, 2),
	  MOV_IMM(R0, 3), EXIT(), MOV_REG(R1, R0), ALU64_IMM(BPF_ADD, R1, TIMER_AT), MOV_IMM(R2, 1),
	  MOV_IMM(R3, 0), CALL(timer_start), MOV_IMM(R1, 1), ALU64_IMM(BPF_LSH, R0, 32),
	  ALU64_IMM(BPF_ARSH, R0, 32), JMP_IMM(BPF_JNE, R0, -EINVAL, 1), MOV_IMM(R1, 2), MOV_REG(R0, R1), EXIT());
	next = load(&xdp, "next", insns, cnt);
	for (key = 1; key < 100; key++) {
		u64 words[16] = { [4] = key };
		u32 zero = 0;

		map_update(loot, &zero, words);
		none += prog_run_once(next) == 2;
	}
	ok(none == 99, "%d: %s: is not that of the next value (%d of 99 have none)", level, what,
	   none);
	usleep(100000);
	ok(!loot_at(2), "%d: %s: and calls nothing", level, what);
	close(next);
	close(demand);
	close(fd);
	for (int i = 0; i < 300 && !is_freed(id); i++)
		usleep(10000);
	ok(is_freed(id), "%d: %s: nobody has the program any more", level, what);
	end(what);
}

/* One that has itself called back, without end */
static void too_deep(void)
{
	const char *what = "what a timer calls has itself called";
	int fd;

	begin();
	E(INIT(map));
	set(map, 1);
	emit_function(R2, 1);
	E(LD_MAP_VALUE(R3, loot, 64), STX(BPF_DW, R3, R2, 0), START(map), MOV_IMM(R0, 2), EXIT());
	begin_function(1);
	E(LD_MAP_VALUE(R3, loot, 64), LDX(BPF_DW, R2, R3, 0), MOV_IMM(R1, 1), MOV_IMM(R3, 0),
	  MOV_IMM(R4, 0), CALL(loop), MOV_IMM(R0, 0), EXIT());
	fd = load(&xdp, "rogue_deep", insns, cnt);
	stops_later(fd, "rogue_deep", "too many callbacks in one another", what);
	close(fd);
	end(what);
}

static void attacks(void)
{
	canary_reset();
	data = target("data");
	no_timer();
	second_instruction();
	in_the_value();
	writes();
	if (!level)
		return;
	arguments();
	what_is_called();
	without_context();
	without_values();
	not_there();
	deleted();
	too_deep();
}

int main(void)
{
	return at_all_levels(attacks);
}
