// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=none,2 cpus=4 keys=13,0 timeout=300 */
/*
 * Maps that make their elements on demand: can a program reach what the kernel follows
 * in an element or a node? Does it find values on pages that came after it was loaded?
 * What if there are none left, in a program and in user space?
 *
 * Without the module values are in elements, and the attacks succeed; with it they are
 * not, and what a program writes beside its value is another value of the map at most.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "demand.h"

/* Flips a bit of what is @before bytes before a value: without the module, of its key. */
static void beside(enum bpf_map_type type, s16 before)
{
	int map = demand_map(type, 8, 64), prog, i;
	u64 key = nth(type, 3), value = 0x1111;
	u32 there, walked;

	for (i = 0; i < 64; i++) {
		u64 k = nth(type, i);

		map_update(map, &k, &value);
	}
	cnt = 0;
	E(LD_IMM64(R1, key), STX(BPF_DW, R10, R1, -8), MOV_REG(R2, R10),
	  ALU64_IMM(BPF_ADD, R2, -8), LD_MAP_FD(R1, map), CALL(map_lookup_elem),
	  JMP_IMM(BPF_JEQ, R0, 0, 3), LDX(BPF_B, R1, R0, (s16)-before),
	  ALU64_IMM(BPF_XOR, R1, 0x10), STX(BPF_B, R0, R1, (s16)-before),
	  MOV_IMM(R0, xdp.pass), EXIT());
	bypass_verifier(true);
	prog = loaded(&xdp, "beside");
	bypass_verifier(false);
	prog_run_once(prog);
	there = found(type, map, 64, &walked);
	if (moat_present())
		ok(there == 64 && walked == 64, "%s: what is written beside a value is no key",
		   name_of(type));
	else
		ok(there < 64 || walked != 64, "%s: without MOAT it is", name_of(type));
	if (moat_present() != (there == 64))
		diag("%u keys are found, %u are walked through", there, walked);
	close(prog);
	close(map);
}

/* Beyond all values there is nothing. */
static void beyond(enum bpf_map_type type)
{
	int map = demand_map(type, 8, 64), prog;
	u64 key = nth(type, 3), value = 1;

	map_update(map, &key, &value);
	cnt = 0;
	E(LD_IMM64(R1, key), STX(BPF_DW, R10, R1, -8), MOV_REG(R2, R10),
	  ALU64_IMM(BPF_ADD, R2, -8), LD_MAP_FD(R1, map), CALL(map_lookup_elem),
	  JMP_IMM(BPF_JEQ, R0, 0, 3), MOV_REG(R6, R0), ALU64_IMM(BPF_ADD, R6, 1 << 20),
	  ST(BPF_DW, R6, 0, 1), MOV_IMM(R0, xdp.pass), EXIT());
	bypass_verifier(true);
	prog = loaded(&xdp, "beyond");
	bypass_verifier(false);
	kmsg_mark();
	ok(prog_run_once(prog) == xdp.safe && kmsg_stopped(prog, "beyond"),
	   "%s: a write beyond all values is stopped", name_of(type));
	close(prog);
	close(map);
}

/*
 * Where values will be one day there are no pages yet, and helpers may not be sent there. A
 * program without MOAT would have the kernel die of it.
 */
static void hole(enum bpf_map_type type)
{
	enum { N = 12000, BYTES = 512, AWAY = 3 << 20 };
	static const char *const what[] = { "a key", "what is written to", "what is printed" };
	int map = demand_map(type, BYTES, N), prog, i;
	u64 key = nth(type, 3), value[BYTES / 8] = { 1 };

	map_update(map, &key, value);
	for (i = 0; i < 3; i++) {
		cnt = 0;
		E(MOV_REG(R7, R1), LD_IMM64(R1, key), STX(BPF_DW, R10, R1, -8), MOV_REG(R2, R10),
		  ALU64_IMM(BPF_ADD, R2, -8), LD_MAP_FD(R1, map), CALL(map_lookup_elem),
		  JMP_IMM(BPF_JNE, R0, 0, 2), MOV_IMM(R0, xdp.pass), EXIT(),
		  MOV_REG(R6, R0), ALU64_IMM(BPF_ADD, R6, AWAY));
		if (i == 0)
			E(LD_MAP_FD(R1, map), MOV_REG(R2, R6), CALL(map_lookup_elem));
		else if (i == 1)
			E(MOV_REG(R1, R7), MOV_IMM(R2, 0), MOV_REG(R3, R6), MOV_IMM(R4, 8),
			  CALL(xdp_load_bytes));
		else
			E(MOV_REG(R1, R6), MOV_IMM(R2, 8), CALL(trace_printk));
		E(MOV_IMM(R0, xdp.pass), EXIT());
		bypass_verifier(true);
		prog = loaded(&xdp, "hole");
		bypass_verifier(false);
		kmsg_mark();
		ok(prog_run_once(prog) == xdp.safe && kmsg_stopped(prog, "hole"),
		   "%s: %s where there is no page yet: stopped", name_of(type), what[i]);
		diag("%s", kmsg_stopped(prog, "hole") ?: "nothing in the log");
		close(prog);
	}
	close(map);
}

/* Values are there for programs that were loaded when there was no page for them. */
static void grows(enum bpf_map_type type)
{
	enum { N = 12000, BYTES = 512 };	/* three page tables and more */
	static const struct prog_type *const types[] = { &xdp, &sched_cls };
	int map = demand_map(type, BYTES, N), told = map_create(BPF_MAP_TYPE_ARRAY, 4, 16, 1);
	u64 key, value[BYTES / 8] = {}, word[2];
	u32 i, j, zero = 0, right = 0, wrong = 0;
	int prog[2];

	prog[0] = adder(types[0], map, told);
	prog[1] = adder(types[1], map, told);
	for (i = 0; i < N; i++) {
		key = nth(type, i);
		value[0] = i;
		if (map_update(map, &key, value))
			break;
		if (i % 97)
			continue;
		for (j = 0; j < 2; j++) {
			word[0] = key;
			map_update(told, &zero, word);
			if (prog_run_once(prog[j]) != types[j]->pass)
				wrong++;
			map_lookup(told, &zero, word);
			map_lookup(map, &key, value);
			right += word[1] == i + j + 1 && value[0] == i + j + 1;
		}
	}
	ok(i == N, "%s: as many go in as there may be", name_of(type));
	ok(!wrong && right == 2 * ((N - 1) / 97 + 1),
	   "%s: programs find values on pages that came later", name_of(type));
	if (wrong || i < N)
		diag("%u went in, %u right, %u did not run", i, right, wrong);
	key = nth(type, N);
	ok(map_update(map, &key, value) && errno == (type == BPF_MAP_TYPE_HASH ? E2BIG : ENOSPC),
	   "%s: and no more", name_of(type));
	/* one that comes now has all of them at once */
	close(prog[1]);
	prog[1] = adder(types[1], map, told);
	word[0] = nth(type, N - 1);
	map_update(told, &zero, word);
	ok(prog_run_once(prog[1]) == types[1]->pass, "%s: and so does one that comes later",
	   name_of(type));
	close(prog[0]);
	close(prog[1]);
	close(told);
	close(map);
}

/* Of workers that are bound to no CPU */
#define CPUMASK "/sys/devices/virtual/workqueue/cpumask"
/* So many a run, which is more than there are ahead of use */
#define AT_ONCE 6000

/*
 * A program that puts in numbers from told[0] on. told[1] becomes the last error, told[2] how
 * many there were, told[3] how many went in.
 */
static int putter(enum bpf_map_type type, int map, int told)
{
	int again;

	cnt = 0;
	E(LD_MAP_VALUE(R9, told, 0), MOV_IMM(R8, 0));
	again = cnt;
	E(MOV_IMM(R1, 1), ATOMIC(BPF_DW, BPF_ADD | BPF_FETCH, R9, R1, 0));
	if (type == BPF_MAP_TYPE_LPM_TRIE)
		E(INSN(BPF_ALU | BPF_END | BPF_TO_BE, R1, 0, 0, 32), ALU64_IMM(BPF_LSH, R1, 32),
		  ALU64_IMM(BPF_OR, R1, 32));
	else
		E(LD_IMM64(R2, (u64)PATTERN << 32), ALU64_REG(BPF_OR, R1, R2));
	E(STX(BPF_DW, R10, R1, -8), ST(BPF_DW, R10, -16, 7), MOV_REG(R2, R10),
	  ALU64_IMM(BPF_ADD, R2, -8), MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -16),
	  MOV_IMM(R4, 0), LD_MAP_FD(R1, map), CALL(map_update_elem),
	  ALU64_IMM(BPF_LSH, R0, 32), ALU64_IMM(BPF_ARSH, R0, 32),
	  JMP_IMM(BPF_JEQ, R0, 0, 4), STX(BPF_DW, R9, R0, 8), MOV_IMM(R1, 1),
	  ATOMIC(BPF_DW, BPF_ADD, R9, R1, 16), JA(2), MOV_IMM(R1, 1),
	  ATOMIC(BPF_DW, BPF_ADD, R9, R1, 24), ALU64_IMM(BPF_ADD, R8, 1));
	E(JMP_IMM(BPF_JLT, R8, AT_ONCE, (s16)(again - cnt - 1)),
	  MOV_IMM(R0, sched_cls.pass), EXIT());
	return loaded(&sched_cls, "putter");
}

/*
 * Programs that put in more than there are values for at the time fail, and go on. The
 * worker has only the CPU that is busy with them.
 */
static void runs_short(enum bpf_map_type type)
{
	enum { N = 20000 };
	int map = demand_map(type, 8, N), told = map_create(BPF_MAP_TYPE_ARRAY, 4, 32, 1);
	int prog = putter(type, map, told), i;
	u64 v[4] = {};
	u32 zero = 0, walked;
	u64 first = 0;

	write_file(CPUMASK, "1");
	for (i = 0; i < 100 && v[3] < N; i++) {
		if (prog_run_once(prog) != sched_cls.pass)
			bail("it does not run");
		map_lookup(told, &zero, v);
		if (!i) {
			first = v[3];
			if (moat_present())
				ok(first >= 1000 && first < AT_ONCE && (s64)v[1] == -ENOMEM,
				   "%s: a program that needs more than there are ahead fails",
				   name_of(type));
			else
				ok(first == AT_ONCE, "%s: a program puts in many", name_of(type));
		}
		usleep(20000);
	}
	write_file(CPUMASK, "f");
	ok(v[3] == N, "%s: and goes on, until there are as many as there may be", name_of(type));
	diag("%lu went in at once, %lu in all; %lu did not, the last for %ld", first, v[3], v[2],
	     (s64)v[1]);
	found(type, map, N, &walked);
	ok(walked == N, "%s: all of them are there", name_of(type));
	close(prog);
	close(told);
	close(map);
}

/* User space replaces a value more often than there are, and never has to fail. */
static void replaces(enum bpf_map_type type)
{
	int map = demand_map(type, 8, 1), i;
	u64 key = nth(type, 0), value;

	for (i = 0; i < 20000; i++) {
		value = i;
		if (map_update(map, &key, &value))
			break;
	}
	ok(i == 20000, "%s: a value can be replaced for as long as one likes", name_of(type));
	if (i < 20000)
		diag("after %d: %s", i, strerror(errno));
	close(map);
}

#define EARLY "was made before MOAT was to isolate anything; make it anew"
#define LARGE "has more or larger entries than MOAT has room for"

/* What cannot be isolated says so. */
static void refused(void)
{
	static const struct {
		enum bpf_map_type type;
		u32 value, entries;
		const char *why;
		int made_at;		/* level */
	} maps[] = {
		{ BPF_MAP_TYPE_HASH, 8, 16, EARLY, 0 },
		{ BPF_MAP_TYPE_LPM_TRIE, 8, 16, EARLY, 0 },
		{ BPF_MAP_TYPE_PERCPU_HASH, 8, 16, EARLY, 0 },
		{ BPF_MAP_TYPE_HASH, 1 << 20, 1 << 20, LARGE, 2 },
		{ BPF_MAP_TYPE_PERCPU_HASH, 1 << 15, 1 << 20, LARGE, 2 },
		{ BPF_MAP_TYPE_LPM_TRIE, 8, 0xffffffff, LARGE, 2 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(maps); i++) {
		int map, prog;

		moat_set_level(maps[i].made_at);
		map = demand_map(maps[i].type, maps[i].value, maps[i].entries);
		moat_set_level(2);
		cnt = 0;
		E(LD_MAP_FD(R1, map), MOV_IMM(R0, xdp.pass), EXIT());
		kmsg_mark();
		prog = prog_load(xdp.type, "refused", insns, cnt);
		ok(prog < 0 && errno == EACCES && kmsg_find("on_demand", maps[i].why),
		   "a map that %s is refused", maps[i].why);
		close(prog);
		close(map);
	}
}

int main(void)
{
	static const enum bpf_map_type types[] = { BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_LPM_TRIE };
	size_t i;

	pin_to_cpu(0);
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		beside(types[i], types[i] == BPF_MAP_TYPE_HASH ? 8 : 4);
		if (moat_present()) {
			beyond(types[i]);
			hole(types[i]);
		}
		grows(types[i]);
		runs_short(types[i]);
		replaces(types[i]);
	}
	if (moat_present())
		refused();
	return finish();
}
