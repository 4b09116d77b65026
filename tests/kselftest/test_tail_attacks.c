// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,0 timeout=240 */
/*
 * Does a program that no verifier looked at go on where it may not, by a tail call?
 *
 * Through an array that is another's, or none; more often than 33 times; or with a stack
 * that is not the kernel's. What has run by then, and how often, says which of it worked.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "attack.h"

static const struct prog_type *const types[] = {
	&xdp, &sched_cls, &sched_act, &socket_filter,
};

/* loot[0] = MARK, loot[1] = DONE: what nobody but its owner goes on in */
static int load_prize(const struct prog_type *t)
{
	struct bpf_insn insns[] = {
		LD_MAP_VALUE(R7, loot, 0),
		LD_IMM64(R3, MARK),
		STX(BPF_DW, R7, R3, 0),
		FINISH(t),
	};

	return load(t, "prize", insns, ARRAY_SIZE(insns));
}

static int array_with(int prog, u32 entries)
{
	int array = map_create(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, entries);

	for (u32 i = 0; i < entries; i++)
		if (array < 0 || map_update(array, &i, &prog))
			bail("array of programs: %s", strerror(errno));
	return array;
}

static const u64 mark = MARK;

/*
 * None at all, where the site knows of none either: without MOAT the kernel would look for it
 * at address 0.
 */
static void no_array(const struct prog_type *t)
{
	const struct bpf_insn insns[] = {
		MOV_IMM(R2, 0), MOV_IMM(R3, 0), CALL(tail_call), MOV_IMM(R0, t->pass), EXIT(),
	};
	int fd = load(t, "rogue_none", insns, ARRAY_SIZE(insns));

	kmsg_mark();
	ok(prog_run_once(fd) == t->safe &&
	   reported(kmsg_stopped(fd, "rogue_none"), "tail_call", 0),
	   "2: %s goes through no array: stopped", t->name);
	close(fd);
	ok(others_run(), "2: %s: other programs run as before", t->name);
}

static void others_array(const struct prog_type *t)
{
	int prize = load_prize(t), array = array_with(prize, 1);
	u64 where = map_address_for(t, array);
	struct bpf_insn insns[] = {
		LD_IMM64(R2, where),
		MOV_IMM(R3, 0),
		CALL(tail_call),
		MOV_IMM(R0, t->pass),
		EXIT(),
	};
	char text[64];

	snprintf(text, sizeof(text), "%s goes through another's array", t->name);
	ATTACK(insns, t, "rogue_array", "tail_call", 0, loot_is, &mark, text);
	close(array);
	close(prize);
}

/* What is at @addr in the kernel, by a program that is not isolated */
static void peek(u64 addr, u64 *to, int words)
{
	struct bpf_insn insns[6 + 4 * 32];
	int copy = array_of(256), now = level, n = 0, fd;

	for (int i = 0; i < words; i++) {
		const struct bpf_insn one[] = {
			LD_MAP_VALUE(R2, copy, 8 * i),
			LDX(BPF_DW, R3, R1, 8 * i),
			STX(BPF_DW, R2, R3, 0),
		};

		if (!i) {
			const struct bpf_insn from[] = { LD_IMM64(R1, addr) };

			memcpy(insns, from, sizeof(from));
			n = 2;
		}
		memcpy(insns + n, one, sizeof(one));
		n += ARRAY_SIZE(one);
	}
	insns[n++] = MOV_IMM(R0, 0);
	insns[n++] = EXIT();
	moat_set_level(0);
	fd = load(&xdp, "peek", insns, n);
	prog_run_once(fd);
	moat_set_level(now);
	for (int i = 0; i < words; i++) {
		u64 v[32];
		u32 zero = 0;

		map_lookup(copy, &zero, v);
		to[i] = v[i];
	}
	close(fd);
	close(copy);
}

/*
 * An array of values holds, in the place of programs, the address of one that the attacker
 * was never given: where they are in both is the same.
 */
static void array_of_values(const struct prog_type *t)
{
	int prize = load_prize(t), array = array_with(prize, 2), values = array_of(8);
	u64 head[128], at = map_address_for(t, array);
	u32 zero = 0;
	struct bpf_insn insns[] = {
		LD_MAP_FD(R2, values),
		MOV_IMM(R3, 0),
		CALL(tail_call),
		MOV_IMM(R0, t->pass),
		EXIT(),
	};
	char text[64];
	int i;

	for (i = 0; i < 128; i += 32)
		peek(at + 8 * i, head + i, 32);
	/* Two that are the same, and kernel addresses: the programs of the array */
	for (i = 0; i < 127; i++)
		if (head[i] == head[i + 1] && head[i] >> 56 == 0xff && head[i] % 4096 == 0)
			break;
	if (i == 127)
		bail("no programs in the array");
	map_update(values, &zero, &head[i]);
	snprintf(text, sizeof(text), "%s goes through an array of values", t->name);
	ATTACK(insns, t, "rogue_values", "tail_call", 0, loot_is, &mark, text);
	close(values);
	close(array);
	close(prize);
}

/* The count is on the stack of a program that is not isolated, and its to write. */
static void forged_count(const struct prog_type *t)
{
	int array = map_create(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 1), fd;
	struct bpf_insn insns[] = {
		MOV_REG(R6, R1),
		LD_MAP_VALUE(R7, loot, 0),
		MOV_IMM(R3, 1),
		ATOMIC(BPF_DW, BPF_ADD, R7, R3, 16),
		LDX(BPF_DW, R3, R7, 16),
		JMP_IMM(BPF_JGE, R3, 100, 10),
		LDX(BPF_DW, R3, R7, 24),	/* zero, but nobody knows */
		MOV_REG(R2, R10),
		ALU64_REG(BPF_ADD, R2, R3),
		ST(BPF_W, R2, -4, 0),
		MOV_REG(R1, R6),
		LD_MAP_FD(R2, array),
		MOV_IMM(R3, 0),
		CALL(tail_call),
		MOV_IMM(R0, t->pass),
		EXIT(),
	};
	u32 zero = 0;
	u64 runs;

	loot_clear();
	fd = load(t, "rogue_count", insns, ARRAY_SIZE(insns));
	if (fd < 0 || map_update(array, &zero, &fd))
		bail("forged count: %s", strerror(errno));
	prog_run_once(fd);
	runs = loot_at(2);
	if (!ok(runs == (level ? 34 : 100), "%d: %s writes over the count: %s", level, t->name,
		level ? "33 it is" : "there is no end"))
		diag("%lu runs", runs);
	close(array);
	close(fd);
}

/*
 * A function has the main program go on with another frame pointer, from which RSP is
 * computed; that then goes on in a program that is not isolated. Only at level 2: the
 * kernel would be lost.
 */
static void lost_stack(const struct prog_type *t, u64 where)
{
	int array, prize, fd, now = level, tries;
	struct bpf_insn insns[] = {
		MOV_REG(R6, R1),
		LD_IMM64(R7, where),
		CALL_REL(7),
		LD_IMM64(R8, where),
		MOV_REG(R1, R6),
		LD_MAP_FD(R2, 0),
		MOV_IMM(R3, 0),
		CALL(tail_call),
		EXIT(),
		STX(BPF_DW, R10, R7, 0),	/* the caller's frame pointer */
		MOV_IMM(R0, 0),
		EXIT(),
	};
	s64 verdict;

	insns[3].imm = 8;
	moat_set_level(0);
	prize = load_prize(t);
	moat_set_level(now);
	array = array_with(prize, 1);
	insns[7].imm = array;
	loot_clear();
	/* What interrupts it meanwhile finds no stack, and it is stopped: once more then. */
	for (tries = 0; tries < 5; tries++) {
		fd = load(t, "lost_stack", insns, ARRAY_SIZE(insns));
		kmsg_mark();
		verdict = prog_run_once(fd);
		if (verdict != t->safe || !kmsg_stopped(fd, "lost_stack") || tries == 4)
			break;
		close(fd);
	}
	ok(verdict == t->pass && loot_at(0) == MARK,
	   "2: %s, frame pointer %#lx: the other program has the kernel's stack", t->name, where);
	if (verdict != t->pass)
		diag("verdict %ld\n%s", verdict, fd < 0 ? prog_log : "");
	ok(others_run(), "2: %s: the kernel and other programs go on", t->name);
	close(fd);
	close(array);
	close(prize);
}

static void attacks(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		others_array(types[i]);
		if (level)
			no_array(types[i]);
		array_of_values(types[i]);
		forged_count(types[i]);
		if (!level)
			continue;
		lost_stack(types[i], 0);
		lost_stack(types[i], 1ULL << 63);
		lost_stack(types[i], target("data"));
	}
}

int main(void)
{
	return at_each_level(attacks);
}
