// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 alone=machine timeout=120 */
/*
 * Who reaches whose memory, for every pair of layers: the attacked program keyed
 * or in a view, the attacker keyed or in a view; its own map, its stack, and a map
 * that it shares with a third program. And what sharing a pinned map with a
 * hostile program exposes: that map and nothing else. The same at level 0, where
 * it must succeed (but for the stack, which is the kernel's there and long gone).
 *
 * Then the sets themselves: programs that share come and go while others run, and keys
 * that they had go to others.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "moat_test.h"

#define MARK 0x6d6f617420697321ULL
#define PIN "/sys/fs/bpf/moat-domains"

/* Where a program has its things, as it says itself in its own map. */
struct whereabouts {
	u64 own, stack, both, mark;
};

/* How many keys are free before a rogue comes that is to have one, or 0 */
static int rogues_keys;

/* Tells where its things are, and leaves MARK in each. */
static int honest(const char *name, int own, int both)
{
	const struct bpf_insn insns[] = {
		LD_MAP_VALUE(R6, own, 0),
		LD_MAP_VALUE(R7, both, 0),
		LD_IMM64(R8, MARK),
		STX(BPF_DW, R10, R8, -8),
		STX(BPF_DW, R6, R6, offsetof(struct whereabouts, own)),
		MOV_REG(R2, R10),
		ALU64_IMM(BPF_ADD, R2, -8),
		STX(BPF_DW, R6, R2, offsetof(struct whereabouts, stack)),
		STX(BPF_DW, R6, R7, offsetof(struct whereabouts, both)),
		STX(BPF_DW, R6, R8, offsetof(struct whereabouts, mark)),
		STX(BPF_DW, R7, R8, 0),
		MOV_IMM(R0, 2),
		EXIT(),
	};
	int fd = PROG_LOAD(xdp.type, name, insns);

	if (fd < 0)
		bail("%s does not load: %s", name, strerror(errno));
	return fd;
}

/*
 * One attack. @watch, @slot: the word it is after. @shares: a map that it may read,
 * or -1. Returns what it read there.
 */
static u64 attack(enum moat_layer layer, const char *what, u64 where, bool write, int watch,
		  u32 slot, int shares)
{
	u64 before = map_word(watch, slot), read, shared;
	struct rogue rogue;
	enum moat_layer is;
	s64 verdict;
	bool got;

	moat_wait_for_keys(rogues_keys);
	rogue = rogue_load(&xdp, write, shares);
	is = moat_layer(rogue.prog);
	kmsg_mark();
	verdict = rogue_attack(&rogue, where);
	got = rogue_got(&rogue, &read);
	shared = rogue_shared(&rogue);
	if (layer == NONE) {
		got &= write ? map_word(watch, slot) == ROGUE_WRITES : read == before;
		ok(verdict == xdp.pass && got, "0: %s %s: succeeds", write ? "writes" : "reads", what);
	} else {
		if (is != layer)
			diag("the attacker is %s", moat_layer_name[is]);
		ok(is == layer && verdict == xdp.safe && !got && map_word(watch, slot) == before &&
		   kmsg_stopped(rogue.prog, "rogue"), "%s %s %s: stopped", moat_layer_name[layer],
		   write ? "writes" : "reads", what);
	}
	rogue_close(&rogue);
	return shared;
}

/* The attacked program and a third that shares a map with it, then the attacks. */
static void combination(enum moat_layer attacked, enum moat_layer attacker)
{
	int both = map_of_words(0), own = map_of_words(0), third_own = map_of_words(0);
	struct whereabouts at;
	int victim, third, hostile;
	char what[64];
	u32 zero = 0;

	if (attacked != NONE)
		moat_wait_for_keys(13);
	moat_set_keys(attacked == VIEW ? 0 : 13);
	victim = honest("attacked", own, both);
	third = honest("third", third_own, both);
	if (prog_run_once(victim) != xdp.pass || prog_run_once(third) != xdp.pass)
		bail("an honest program does not run");
	map_lookup(own, &zero, &at);
	rogues_keys = 0;
	if (attacked != NONE) {
		ok(moat_layer(victim) == attacked && moat_layer(third) == attacked,
		   "%s programs, attacked by one that is %s", moat_layer_name[attacked],
		   moat_layer_name[attacker]);
		/* No key but for the attacker, or none for it */
		if (attacker != attacked)
			moat_set_keys(attacker == KEYED ? 1 : 13 - moat_keys_free());
		if (attacker == KEYED)
			rogues_keys = moat_keys_free();
	}

	snprintf(what, sizeof(what), "the map of a %s program", moat_layer_name[attacked]);
	attack(attacker, what, at.own + offsetof(struct whereabouts, mark), false, own, 3, -1);
	attack(attacker, what, at.own + offsetof(struct whereabouts, mark), true, own, 3, -1);
	snprintf(what, sizeof(what), "a map that two %s programs share", moat_layer_name[attacked]);
	attack(attacker, what, at.both, false, both, 0, -1);
	attack(attacker, what, at.both, true, both, 0, -1);
	if (attacked != NONE) {
		snprintf(what, sizeof(what), "the stack of a %s program", moat_layer_name[attacked]);
		attack(attacker, what, at.stack, false, own, 3, -1);
	}
	ok(prog_run_once(victim) == xdp.pass && prog_run_once(third) == xdp.pass,
	   "%s programs go on", moat_layer_name[attacked]);

	/* A hostile program that shares a pinned map gets just that. */
	unlink(PIN);
	if (bpf_obj_pin(both, PIN))
		bail("pin: %s", strerror(errno));
	hostile = bpf_obj_get(PIN);
	rogues_keys = 0;
	moat_set_keys(attacker == VIEW ? 0 : 13);
	snprintf(what, sizeof(what), "the map of a program whose other map it shares");
	ok(attack(attacker, what, at.own + offsetof(struct whereabouts, mark), false, own, 3,
		  hostile) != 0, "and what they share is there for both");
	close(hostile);
	unlink(PIN);
	ok(prog_run_once(victim) == xdp.pass && map_word(own, 3) == MARK, "the other is none the worse");

	close(victim);
	close(third);
	close(both);
	close(own);
	close(third_own);
}

/* Domains in debugfs: how many use exactly programs @a and @b */
static int domains_of(u32 a, u32 b)
{
	FILE *f = fopen("/sys/kernel/debug/moat/domains", "r");
	char line[512], users[256];
	int n = 0, one, two;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*d %*s %*d %*d %*d %255s", users) == 1 &&
		    sscanf(users, "%d,%d,", &one, &two) == 2 && strchr(users, ',') == strrchr(users, ','))
			n += ((u32)one == a && (u32)two == b) || ((u32)one == b && (u32)two == a);
	}
	if (f)
		fclose(f);
	return n;
}

static volatile bool on;
static int runner_fd[2];
static bool runner_ok[2];

static void *runner(void *arg)
{
	long i = (long)arg;

	pin_to_cpu(i + 1);
	while (on)
		runner_ok[i] &= prog_run_once(runner_fd[i]) == xdp.pass;
	return NULL;
}

/* Sets change under programs that run. */
static void regroup(int keys)
{
	int both[2] = { map_of_words(0), map_of_words(0) };
	int own[2] = { map_of_words(0), map_of_words(0) }, i, round;
	pthread_t thread[2];
	s64 stopped = moat_counter("violations");

	moat_set_keys(keys);
	for (i = 0; i < 2; i++) {
		const struct bpf_insn insns[] = {
			LD_MAP_VALUE(R6, own[i], 0), LD_MAP_VALUE(R7, both[0], 0),
			LD_MAP_VALUE(R8, both[1], 0), MOV_IMM(R1, 1),
			ATOMIC(BPF_DW, BPF_ADD, R6, R1, 0), ATOMIC(BPF_DW, BPF_ADD, R7, R1, 0),
			ATOMIC(BPF_DW, BPF_ADD, R8, R1, 0), MOV_IMM(R0, 2), EXIT(),
		};

		runner_fd[i] = PROG_LOAD(xdp.type, "runner", insns);
		runner_ok[i] = true;
		if (runner_fd[i] < 0)
			bail("a runner does not load: %s", strerror(errno));
	}
	ok(domains_of(prog_id(runner_fd[0]), prog_id(runner_fd[1])) == 1,
	   "%d keys: two maps of the same two programs are one domain", keys);
	on = true;
	for (i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, runner, (void *)(long)i);
	for (round = 0; round < 20; round++) {
		int mine = map_of_words(0), guest = honest("guest", mine, both[round % 2]);

		if (!round)
			ok(domains_of(prog_id(runner_fd[0]), prog_id(runner_fd[1])) == 1,
			   "%d keys: a map that a third uses is none of it", keys);
		runner_ok[0] &= prog_run_once(guest) == xdp.pass;
		close(guest);
		close(mine);
	}
	on = false;
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	for (i = 0; i < 100 && domains_of(prog_id(runner_fd[0]), prog_id(runner_fd[1])) != 1; i++)
		usleep(20000);
	usleep(200000);
	ok(domains_of(prog_id(runner_fd[0]), prog_id(runner_fd[1])) == 1,
	   "%d keys: when it has gone they are one again", keys);
	ok(runner_ok[0] && runner_ok[1] && moat_counter("violations") == stopped,
	   "%d keys: none is stopped while sets change", keys);
	for (i = 0; i < 2; i++) {
		close(runner_fd[i]);
		close(own[i]);
		close(both[i]);
	}
}

/*
 * A rogue shared a map with a program that is gone: it has lost the key of what both had,
 * when others come who get that key and the one of the program. It goes after the first
 * of them, or the second.
 */
static void handed_on(int which)
{
	static const char *const name[] = { "first", "second" };
	int shared = map_of_words(0), own = map_of_words(0), others[2], progs[2], i;
	struct whereabouts at;
	struct rogue rogue;
	int partner, bound;
	s64 verdict;
	bool got;
	u32 zero = 0;

	moat_set_keys(13);
	moat_wait_for_keys(13);
	rogue = rogue_load(&xdp, false, shared);
	partner = honest("partner", own, shared);
	bound = 13 - moat_keys_free();
	close(partner);
	close(own);
	moat_wait_for_keys(12);
	for (i = 0; i < 2; i++) {
		int rest = map_of_words(0);

		others[i] = map_of_words(0);
		progs[i] = honest(name[i], others[i], rest);
		close(rest);
		if (prog_run_once(progs[i]) != xdp.pass)
			bail("an honest program does not run");
	}
	if (!ok(bound == 3 && 13 - moat_keys_free() == 3 && moat_layer(rogue.prog) == KEYED &&
		moat_layer(progs[which]) == KEYED,
		"two keys that a keyed program knew are others' now"))
		diag("%d keys, then %d; %s, %s", bound, 13 - moat_keys_free(),
		     moat_layer_name[moat_layer(rogue.prog)],
		     moat_layer_name[moat_layer(progs[which])]);
	map_lookup(others[which], &zero, &at);
	kmsg_mark();
	verdict = rogue_attack(&rogue, at.own + offsetof(struct whereabouts, mark));
	got = rogue_got(&rogue, NULL);
	ok(verdict == xdp.safe && !got && kmsg_stopped(rogue.prog, "rogue"),
	   "it reads the map of the %s of them: stopped", name[which]);
	rogue_close(&rogue);
	close(shared);
	for (i = 0; i < 2; i++) {
		close(progs[i]);
		close(others[i]);
	}
}

int main(void)
{
	static const enum moat_layer layers[] = { KEYED, VIEW };

	if (!test_kernel())
		skip_all("needs the test kernel");
	if (!moat_set_level(2))
		skip_all("no moat.ko");
	/* First: nothing viewed is left yet that would take a key. */
	handed_on(0);
	handed_on(1);
	for (size_t i = 0; i < ARRAY_SIZE(layers); i++)
		for (size_t j = 0; j < ARRAY_SIZE(layers); j++)
			combination(layers[i], layers[j]);
	regroup(13);
	regroup(2);
	regroup(0);
	moat_set_keys(13);
	moat_set_level(0);
	combination(NONE, NONE);
	return finish();
}
