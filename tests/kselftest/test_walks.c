// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,0 timeout=60 */
/*
 * Loops over hash maps in isolated programs: which walks are such loops, and what becomes of one
 * whose function forges what the loop asks for its next elements with?
 */
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "build.h"
#include "kmsg.h"
#include "test_kernel.h"

/* What a loop adds to the frame of its function: kernel/bpf/moat_elems.c, <linux/moat.h> */
#define BATCH (40 + 16 * 24)		/* keys of a word */
#define FRAME 16			/* what the function has by itself */
#define ELEMS (-(FRAME + BATCH))	/* of the frame pointer; the cursor is the first word */

/* Of a call: the function that it is for, as the verifier would have found */
#define FOR_EACH_BY(F) INSN(BPF_JMP | BPF_CALL, 0, 0, F, BPF_FUNC_for_each_map_elem)

static int hash_of(int many)
{
	int map = map_create(BPF_MAP_TYPE_HASH, 8, 8, 64);
	u64 key, value = 0;

	if (map < 0)
		bail("map: %s", strerror(errno));
	for (key = 0; key < (u64)many; key++)
		if (map_update(map, &key, &value))
			bail("update: %s", strerror(errno));
	return map;
}

/* What it returns is how many elements there were; the function is still to come. */
static void walk(int map, bool verified)
{
	cnt = 0;
	E(ST(BPF_DW, R10, -FRAME, 0), LD_MAP_FD(R1, map));
	emit_function(R2, 1);
	E(MOV_IMM(R3, 0), MOV_IMM(R4, 0));
	if (verified)
		E(CALL(for_each_map_elem));
	else
		E(FOR_EACH_BY(1));
	E(EXIT());
	begin_function(1);
}

/* With @many elements, @calls through gates */
static void goes(int map, int many, int calls, const char *what)
{
	int fd = must_load(&socket_filter, "walks", 2), is;
	s64 before = moat_counter("calls");

	is = prog_run_once(fd);
	ok(is == many, "%s: %d elements", what, many);
	is = moat_counter("calls") - before;
	if (!ok(is == calls, "%s: %d calls through gates", what, calls))
		diag("%d", is);
	close(fd);
	close(map);
}

static void which(void)
{
	int map = hash_of(20), other;

	walk(map, true);
	E(LDX(BPF_DW, R1, R3, 0), ALU64_IMM(BPF_ADD, R1, 1), STX(BPF_DW, R3, R1, 0), MOV_IMM(R0, 0),
	  EXIT());
	goes(map, 20, 2, "a function that counts");

	map = hash_of(20);
	walk(map, true);
	emit_call(2);
	E(EXIT());
	begin_function(2);
	E(CALL(ktime_get_ns), MOV_IMM(R0, 0), EXIT());
	goes(map, 20, 22, "one that looks at the time");

	/* The helper, and it calls the function. */
	map = hash_of(20);
	walk(map, true);
	E(LD_MAP_FD(R1, map), CALL(map_delete_elem), MOV_IMM(R0, 0), EXIT());
	goes(map, 20, 22, "one that deletes");

	map = hash_of(20);
	walk(map, true);
	E(MOV_REG(R1, R2));
	emit_call(2);
	E(EXIT());
	begin_function(2);
	E(MOV_REG(R2, R1), LD_MAP_FD(R1, map), CALL(map_delete_elem), MOV_IMM(R0, 0), EXIT());
	goes(map, 20, 22, "one that has another one delete");

	/* What it deletes is not known to be what it was called for: the loop asks anew. */
	map = hash_of(20);
	walk(map, true);
	E(LDX(BPF_DW, R3, R2, 0), STX(BPF_DW, R10, R3, -8), LD_MAP_FD(R1, map), MOV_REG(R2, R10),
	  ALU64_IMM(BPF_ADD, R2, -8), CALL(map_delete_elem), MOV_IMM(R0, 0), EXIT());
	goes(map, 20, 41, "one that deletes by a key of its own");

	map = hash_of(20);
	other = hash_of(1);
	walk(map, true);
	E(LDX(BPF_DW, R3, R2, 0), STX(BPF_DW, R10, R3, -8), LD_MAP_FD(R1, other),
	  MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -8), CALL(map_delete_elem), MOV_IMM(R0, 0),
	  EXIT());
	goes(map, 20, 22, "one that deletes from another map");
	close(other);
}

/* It is stopped in the loop's call, once the function has been there. */
static void stopped(const char *what)
{
	s64 before = moat_counter("violations");
	int fd = must_load(&socket_filter, "forger", 2);
	const char *line;

	kmsg_mark();
	ok(prog_run_once(fd) == socket_filter.safe, "%s: stopped", what);
	ok(moat_counter("violations") - before == 1, "%s: counted", what);
	line = kmsg_stopped(fd, "forger");
	ok(line && strstr(line, "next_elems"), "%s: reported", what);
	close(fd);
}

/* Of the function that calls this one, and is the loop's: its frame pointer, or its @reg */
#define FRAME_POINTER 0
#define SAVED_R7 -16		/* R6 and R7 lie there if this function changes both. */

static void emit_forge(int where)
{
	/* A multiplication, so that nobody takes it for a use of this function's own stack */
	E(MOV_REG(R2, R10), ALU64_IMM(BPF_MUL, R2, 1), STX(BPF_DW, R2, R1, where), MOV_IMM(R6, 0),
	  MOV_IMM(R7, 0), MOV_IMM(R0, 0), EXIT());
}

/* A map that programs may only read */
static int read_only(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_RDONLY_PROG);
	int map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "readonly", 4, 512, 1, &opts);

	if (map < 0)
		bail("map: %s", strerror(errno));
	return map;
}

/* Where programs have the value of @map, for as long as @prog is loaded */
static u64 address_of(int map, int *prog)
{
	int told = map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1);
	u32 zero = 0;
	u64 addr;

	cnt = 0;
	E(LD_MAP_VALUE(R1, map, 0), LD_MAP_VALUE(R2, told, 0), STX(BPF_DW, R2, R1, 0),
	  MOV_IMM(R0, 0), EXIT());
	*prog = must_load(&socket_filter, "address", 2);
	prog_run_once(*prog);
	if (map_lookup(told, &zero, &addr))
		bail("lookup: %s", strerror(errno));
	close(told);
	return addr;
}

/* The next elements are to go to where the program must not write. */
static void elsewhere(void)
{
	int map = hash_of(1), target = read_only(), prog, i;
	/* A cursor, and the address of a count: there have to be some where they are to go. */
	u64 value[64] = { 1, address_of(target, &prog) + 16 }, is[64], wrong = 0;
	u32 zero = 0;

	if (map_update(target, &zero, value))
		bail("update: %s", strerror(errno));
	walk(map, false);
	E(LD_MAP_VALUE(R1, target, 0), ALU64_IMM(BPF_ADD, R1, -ELEMS));
	emit_forge(FRAME_POINTER);
	stopped("elements to a map that is read-only");
	if (map_lookup(target, &zero, is))
		bail("lookup: %s", strerror(errno));
	for (i = 0; i < 64; i++)
		wrong |= is[i] ^ value[i];
	ok(!wrong, "the map is what it was");
	close(prog);
	close(map);
	close(target);
}

static void other_map(void)
{
	int map = hash_of(17), other = hash_of(3);

	walk(map, false);
	E(LD_MAP_FD(R1, other));
	emit_forge(SAVED_R7);
	stopped("elements of another map of the program");

	walk(map, false);
	E(LD_IMM64(R1, target("data")));
	emit_forge(SAVED_R7);
	stopped("of what is no map");
	close(map);
	close(other);
}

/* Any cursor will do: then there are more elements, or fewer. */
static void cursors(void)
{
	static const u64 cursor[] = {
		1, 16, 0xffffffff, 1ULL << 32, 5ULL << 32 | 0xffffffff, 63ULL << 32, 64ULL << 32,
		1ULL << 63, ~0ULL, ~0ULL << 32,
	};
	s64 violations = moat_counter("violations");
	int map = hash_of(40), fd, is, wrong = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cursor); i++) {
		walk(map, false);
		/* Once, with the first element: those of that batch come first. */
		E(LDX(BPF_DW, R1, R3, 0), JMP_IMM(BPF_JNE, R1, 0, 7), ST(BPF_DW, R3, 0, 1),
		  LDX(BPF_DW, R1, R10, 0), LD_IMM64(R2, cursor[i]), STX(BPF_DW, R1, R2, ELEMS),
		  MOV_IMM(R0, 0), EXIT(), MOV_IMM(R0, 1), EXIT());
		fd = must_load(&socket_filter, "cursor", 2);
		is = prog_run_once(fd);
		if (is < 1 || is > 56) {
			diag("%llx: %d", (unsigned long long)cursor[i], is);
			wrong++;
		}
		close(fd);
	}
	ok(!wrong, "cursors that are made up: no more than so many elements");
	ok(moat_counter("violations") == violations, "nor is that forbidden");
	close(map);
}

/* Walk after walk over a large map that is empty: nearly all of the time is the kernel's. */
static void endless(void)
{
	static const char *const contexts[] = { "task", "irqoff", "softirq" };
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_NO_PREALLOC);
	int map = bpf_map_create(BPF_MAP_TYPE_HASH, "large", 8, 8, 1 << 20, &opts), budget, fd;
	size_t i;
	u64 ms;

	if (map < 0)
		bail("map: %s", strerror(errno));
	cnt = 0;
	E(MOV_IMM(R1, 1 << 23));
	emit_function(R2, 1);
	E(MOV_IMM(R3, 0), MOV_IMM(R4, 0), CALL(loop), MOV_IMM(R0, 7), EXIT());
	begin_function(1);
	E(LD_MAP_FD(R1, map));
	emit_function(R2, 2);
	E(MOV_IMM(R3, 0), MOV_IMM(R4, 0), CALL(for_each_map_elem), MOV_IMM(R0, 0), EXIT());
	begin_function(2);
	E(MOV_IMM(R0, 0), EXIT());

	for (i = 0; i < ARRAY_SIZE(contexts); i++) {
		fd = must_load(&socket_filter, "endless", 2);
		budget = moat_set_budget(1);
		kmsg_mark();
		ms = now_ns() / 1000000;
		write_file("/sys/kernel/debug/moat_test/run_in", "%d %s 2 1", fd, contexts[i]);
		ms = now_ns() / 1000000 - ms;
		if (!ok(ms > 500 && ms < 8000 && kmsg_stopped(fd, "endless"),
			"walks without end (%s): stopped in time", contexts[i]))
			diag("after %llu ms", (unsigned long long)ms);
		moat_set_budget(budget);
		close(fd);
	}
	close(map);
}

int main(void)
{
	if (!test_kernel())
		skip_all("needs the test kernel");
	if (!moat_present())
		skip_all("no moat.ko");
	pin_to_cpu(0);
	moat_set_level(2);
	which();
	endless();
	bypass_verifier(true);
	elsewhere();
	other_map();
	cursors();
	bypass_verifier(false);
	return finish();
}
