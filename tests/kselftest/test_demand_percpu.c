// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=none,2 cpus=4 keys=13 full=0 */
/*
 * Per-CPU hash maps that make their elements on demand: does each CPU find its own value,
 * and user space those of all? Do programs find values on pages that came after they were
 * loaded, also in maps of maps? Can a program read what lies beside its values?
 *
 * Without the module that is what the per-CPU allocator has put there, such as another map's
 * values; with it there are only the map's own.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "demand.h"

#define CPUS 4
#define MOST 2000	/* bytes of a value */
#define SECRET 0x5ec2e7005ec2e700ULL
#define TYPE BPF_MAP_TYPE_PERCPU_HASH

static u64 values[CPUS][MOST / 8];

/* What user space finds at @key: the first word of each CPU's value; the rest has to be 0. */
static bool words(int map, u32 size, u64 key, u64 *word)
{
	static u64 read[CPUS * MOST / 8];
	u32 cpu, i, n = (size + 7) / 8;
	bool zero = true;

	if (map_lookup(map, &key, read))
		return false;
	for (cpu = 0; cpu < CPUS; cpu++) {
		word[cpu] = read[cpu * n];
		for (i = 1; i < n; i++)
			zero &= !read[cpu * n + i];
	}
	return zero;
}

static bool run_on(int prog, int cpu, u32 verdict)
{
	bool good;

	pin_to_cpu(cpu);
	good = prog_run_once(prog) == verdict;
	pin_to_cpu(0);
	return good;
}

/* told[1] becomes what CPU told[2] has at told[0]. */
static int reader(int map, int told)
{
	cnt = 0;
	E(LD_MAP_VALUE(R9, told, 0), MOV_REG(R2, R9), LDX(BPF_DW, R3, R9, 16), LD_MAP_FD(R1, map),
	  CALL(map_lookup_percpu_elem), JMP_IMM(BPF_JNE, R0, 0, 2), MOV_IMM(R0, xdp.safe), EXIT(),
	  LDX(BPF_DW, R1, R0, 0), STX(BPF_DW, R9, R1, 8), MOV_IMM(R0, xdp.pass), EXIT());
	return loaded(&xdp, "reader");
}

/* Puts 7 into what this CPU has at told[0]. */
static int setter(int map, int told, u32 size)
{
	u32 i;

	cnt = 0;
	for (i = 0; i < size; i += 8)
		E(ST(BPF_DW, R10, (s16)(i - size), i ? 0 : 7));
	E(LD_MAP_VALUE(R2, told, 0), LD_MAP_FD(R1, map), MOV_REG(R3, R10),
	  ALU64_IMM(BPF_ADD, R3, -(s32)size), MOV_IMM(R4, 0), CALL(map_update_elem),
	  MOV_IMM(R1, xdp.pass), JMP_IMM(BPF_JEQ, R0, 0, 1), MOV_IMM(R1, xdp.safe),
	  MOV_REG(R0, R1), EXIT());
	return loaded(&xdp, "setter");
}

/* Adds up what this CPU has, in told[1]. */
static int summer(int map, int told)
{
	cnt = 0;
	emit_function(R2, 1);
	E(LD_MAP_FD(R1, map), MOV_IMM(R3, 0), MOV_IMM(R4, 0), CALL(for_each_map_elem),
	  MOV_IMM(R0, xdp.pass), EXIT());
	begin_function(1);
	E(LDX(BPF_DW, R1, R3, 0), LD_MAP_VALUE(R4, told, 0), ATOMIC(BPF_DW, BPF_ADD, R4, R1, 8),
	  MOV_IMM(R0, 0), EXIT());
	return loaded(&xdp, "summer");
}

static void each_its_own(u32 size)
{
	enum { N = 100 };
	int map = demand_map(TYPE, size, N), told = map_create(BPF_MAP_TYPE_ARRAY, 4, 24, 1);
	int add = adder(&xdp, map, told), get = reader(map, told), sum = summer(map, told);
	int set = size <= 256 ? setter(map, told, size) : -1;
	u32 i, cpu, zero = 0, wrong = 0;
	u64 word[CPUS], due = 0;

	for (i = 0; i < N; i++) {
		u64 key = nth(TYPE, i), t[3] = { key };

		for (cpu = 0; cpu < CPUS; cpu++)
			values[0][cpu * ((size + 7) / 8)] = 1000 * i + cpu;
		wrong += map_update(map, &key, values) != 0;
		for (cpu = 0; cpu < CPUS; cpu++)
			values[0][cpu * ((size + 7) / 8)] = 0;
		map_update(told, &zero, t);
		wrong += !run_on(add, i % CPUS, xdp.pass);
		wrong += !words(map, size, key, word);
		for (cpu = 0; cpu < CPUS; cpu++) {
			wrong += word[cpu] != 1000 * i + cpu + (cpu == i % CPUS);
			t[2] = cpu;
			map_update(told, &zero, t);
			wrong += !run_on(get, (cpu + i) % CPUS, xdp.pass) ||
				 map_word(told, 1) != word[cpu];
		}
		due += word[2];
	}
	ok(!wrong, "%u bytes: programs and user space find each CPU's value (%u wrong)", size, wrong);

	map_update(told, &zero, (u64[3]){});
	ok(run_on(sum, 2, xdp.pass) && map_word(told, 1) == due,
	   "%u bytes: a function is called for each of a CPU's values", size);

	/* What another element has had is not seen in the next. */
	for (wrong = i = 0; i < N && set >= 0; i++) {
		u64 key = nth(TYPE, i), next = nth(TYPE, N + i);

		map_delete(map, &key);
		wrong += !map_lookup(map, &key, values[0]);
		map_update(told, &zero, (u64[3]){ next });
		wrong += !run_on(set, i % CPUS, xdp.pass) || !words(map, size, next, word);
		for (cpu = 0; cpu < CPUS; cpu++)
			wrong += word[cpu] != (cpu == i % CPUS ? 7 : 0);
	}
	memset(values, 0, sizeof(values));
	if (set >= 0)
		ok(!wrong, "%u bytes: what a program puts in is 0 elsewhere (%u wrong)", size, wrong);
	close(set);
	close(sum);
	close(get);
	close(add);
	close(told);
	close(map);
}

/* By way of a map of maps: adds 1 to what this CPU has at told[0], and puts it into told[1]. */
static int inner_adder(int outer, int told)
{
	cnt = 0;
	E(LOOK_UP_0(outer), JMP_IMM(BPF_JNE, R0, 0, 2),
	  MOV_IMM(R0, sched_cls.safe), EXIT(), LD_MAP_VALUE(R9, told, 0), MOV_REG(R2, R9),
	  MOV_REG(R1, R0), CALL(map_lookup_elem), JMP_IMM(BPF_JNE, R0, 0, 2),
	  MOV_IMM(R0, sched_cls.safe), EXIT(), MOV_IMM(R1, 1), ATOMIC(BPF_DW, BPF_ADD, R0, R1, 0),
	  LDX(BPF_DW, R1, R0, 0), STX(BPF_DW, R9, R1, 8), MOV_IMM(R0, sched_cls.pass), EXIT());
	return loaded(&sched_cls, "inner_adder");
}

/* Values are there for programs that were loaded when there was no page for them. */
static void grows(void)
{
	enum { N = 4000, BYTES = 512 };
	int map = demand_map(TYPE, BYTES, N), told = map_create(BPF_MAP_TYPE_ARRAY, 4, 24, 1);
	LIBBPF_OPTS(bpf_map_create_opts, opts, .inner_map_fd = map);
	int outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "outer", 4, 4, 1, &opts);
	u32 i, zero = 0, went = 0, wrong = 0;
	int prog[2];
	u64 key;

	if (outer < 0 || map_update(outer, &zero, &map))
		bail("map of maps: %s", strerror(errno));
	prog[0] = adder(&xdp, map, told);
	prog[1] = inner_adder(outer, told);
	for (i = 0; i < N; i++) {
		key = nth(TYPE, i);
		went += !map_update(map, &key, values);
		if (i % 37)
			continue;
		map_update(told, &zero, (u64[3]){ key });
		wrong += !run_on(prog[0], i % CPUS, xdp.pass) || map_word(told, 1) != 1;
		wrong += !run_on(prog[1], i % CPUS, sched_cls.pass) || map_word(told, 1) != 2;
		wrong += !run_on(prog[1], (i + 1) % CPUS, sched_cls.pass) || map_word(told, 1) != 1;
	}
	key = nth(TYPE, N);
	ok(went == N && map_update(map, &key, values) && errno == E2BIG,
	   "as many go in as there may be, and no more (%u)", went);
	ok(!wrong, "programs find values on pages that came later (%u wrong)", wrong);
	close(prog[0]);
	close(prog[1]);
	close(outer);
	close(told);
	close(map);
}

/* How often there is @SECRET on the page that the value of @key is on; -1: it was not read. */
static s64 secrets_beside(int map, u64 key)
{
	int told = map_of_words(0), prog, again;
	s64 found = -1;

	cnt = 0;
	E(LD_IMM64(R1, key), STX(BPF_DW, R10, R1, -8), MOV_REG(R2, R10),
	  ALU64_IMM(BPF_ADD, R2, -8), LD_MAP_FD(R1, map), CALL(map_lookup_elem),
	  JMP_IMM(BPF_JNE, R0, 0, 2), MOV_IMM(R0, xdp.safe), EXIT(),
	  MOV_REG(R6, R0), ALU64_IMM(BPF_AND, R6, -4096), MOV_IMM(R7, 0), MOV_IMM(R8, 0),
	  LD_IMM64(R9, SECRET));
	again = cnt;
	E(LDX(BPF_DW, R1, R6, 0), JMP_REG(BPF_JNE, R1, R9, 1), ALU64_IMM(BPF_ADD, R7, 1),
	  ALU64_IMM(BPF_ADD, R6, 8), ALU64_IMM(BPF_ADD, R8, 1));
	E(JMP_IMM(BPF_JLT, R8, 512, (s16)(again - cnt - 1)),
	  LD_MAP_VALUE(R1, told, 0), STX(BPF_DW, R1, R7, 0), ST(BPF_DW, R1, 8, 1),
	  MOV_IMM(R0, xdp.pass), EXIT());
	bypass_verifier(true);
	prog = loaded(&xdp, "beside");
	bypass_verifier(false);
	if (prog_run_once(prog) == xdp.pass && map_word(told, 1) == 1)
		found = map_word(told, 0);
	close(prog);
	close(told);
	return found;
}

/* Looks for another map's values on pages that some of its own are on. */
static void beside(u32 size)
{
	enum { N = 300, PAGES = 8 };
	int map = demand_map(TYPE, size, N), other = demand_map(TYPE, size, N);
	u32 i, cpu, read = 0;
	s64 found, sum = 0;
	u64 key;

	for (i = 0; i < N; i++) {
		key = nth(TYPE, i);
		map_update(map, &key, values);
		for (cpu = 0; cpu < CPUS; cpu++)
			values[0][cpu * size / 8] = SECRET;
		map_update(other, &key, values);
		memset(values, 0, sizeof(values));
	}
	for (i = 0; i < PAGES; i++) {
		found = secrets_beside(map, nth(TYPE, i * N / PAGES));
		read += found >= 0;
		sum += found;
	}
	ok(read == PAGES, "%u bytes: a program reads the pages of its values", size);
	if (moat_present())
		ok(!sum, "%u bytes: and finds nobody else's (%ld)", size, (long)sum);
	else
		ok(sum > 0, "%u bytes: without MOAT it has another map's, too (%ld)", size,
		   (long)sum);
	close(other);
	close(map);
}

/* Beyond all values there is nothing. */
static void beyond(s32 away)
{
	int map = demand_map(TYPE, 8, 64), prog;
	u64 key = nth(TYPE, 3);

	map_update(map, &key, values);
	cnt = 0;
	E(LD_IMM64(R1, key), STX(BPF_DW, R10, R1, -8), MOV_REG(R2, R10),
	  ALU64_IMM(BPF_ADD, R2, -8), LD_MAP_FD(R1, map), CALL(map_lookup_elem),
	  JMP_IMM(BPF_JEQ, R0, 0, 2), ALU64_IMM(BPF_ADD, R0, away), ST(BPF_DW, R0, 0, 1),
	  MOV_IMM(R0, xdp.pass), EXIT());
	bypass_verifier(true);
	prog = loaded(&xdp, "beyond");
	bypass_verifier(false);
	kmsg_mark();
	ok(prog_run_once(prog) == xdp.safe && kmsg_stopped(prog, "beyond"),
	   "%d bytes away: a write beyond all values is stopped", away);
	close(prog);
	close(map);
}

int main(void)
{
	if (!test_kernel())
		skip_all("needs the test kernel");
	pin_to_cpu(0);
	each_its_own(8);
	each_its_own(24);
	each_its_own(1000);
	each_its_own(MOST);
	grows();
	beside(8);
	beside(64);
	if (moat_present()) {
		beyond(-65536);
		beyond(1 << 20);
	}
	return finish();
}
