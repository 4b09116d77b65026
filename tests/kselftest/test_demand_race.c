// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=none,2 cpus=4 keys=13,0 */
/*
 * Maps that make their elements on demand: what if they are changed from all CPUs at once
 * while programs have their values? What if a prefix changes while the kernel reads it?
 *
 * The first must do the same with MOAT and without; the second does what it is to do to the
 * kernel only without.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "demand.h"

static atomic_bool over;

struct racer {
	enum bpf_map_type type;
	int map, prog, cpu;
	u64 errors;
};

/* All words of a value are the same: of a trie, for as long as a program has it. */
static void *races(void *arg)
{
	struct racer *r = arg;
	u64 key, v[4], n = r->cpu;

	pin_to_cpu(r->cpu);
	while (!over) {
		n = n * 6364136223846793005ULL + 1442695040888963407ULL;
		key = nth(r->type, n >> 40 & 63);
		v[0] = v[1] = v[2] = v[3] = n;
		if (r->prog >= 0) {
			if (prog_run_once(r->prog) != xdp.pass)
				r->errors++;
		} else if (n >> 50 & 3) {
			if (map_update(r->map, &key, v) && errno != EBUSY)
				r->errors++;
		} else {
			map_delete(r->map, &key);
		}
	}
	return NULL;
}

static void concurrent(enum bpf_map_type type)
{
	int map = demand_map(type, 32, 64), torn = map_create(BPF_MAP_TYPE_ARRAY, 4, 24, 1), i;
	struct racer racers[4];
	pthread_t threads[4];
	u32 walked, zero = 0;
	u64 v[3];

	/* Looks for two, replaces or deletes one, and compares what it has of the others. */
	cnt = 0;
	E(LD_MAP_VALUE(R9, torn, 0), CALL(get_prandom_u32), MOV_REG(R7, R0), MOV_REG(R1, R0),
	  ALU64_IMM(BPF_AND, R1, 63));
	if (type == BPF_MAP_TYPE_LPM_TRIE)
		E(INSN(BPF_ALU | BPF_END | BPF_TO_BE, R1, 0, 0, 32), ALU64_IMM(BPF_LSH, R1, 32),
		  ALU64_IMM(BPF_OR, R1, 32));
	else
		E(LD_IMM64(R2, (u64)PATTERN << 32), ALU64_REG(BPF_OR, R1, R2));
	E(STX(BPF_DW, R10, R1, -8), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -8),
	  LD_MAP_FD(R1, map), CALL(map_lookup_elem), MOV_REG(R6, R0),
	  STX(BPF_DW, R10, R7, -16), STX(BPF_DW, R10, R7, -24), STX(BPF_DW, R10, R7, -32),
	  STX(BPF_DW, R10, R7, -40), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -8),
	  LD_MAP_FD(R1, map), JMP_IMM(BPF_JSET, R7, 0x300, 2), CALL(map_delete_elem), JA(4),
	  MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -40), MOV_IMM(R4, 0), CALL(map_update_elem),
	  JMP_IMM(BPF_JEQ, R6, 0, 11), LDX(BPF_DW, R1, R6, 0), LDX(BPF_DW, R2, R6, 8),
	  LDX(BPF_DW, R3, R6, 16), LDX(BPF_DW, R4, R6, 24), JMP_REG(BPF_JNE, R1, R2, 2),
	  JMP_REG(BPF_JNE, R1, R3, 1), JMP_REG(BPF_JEQ, R1, R4, 2), MOV_IMM(R1, 1),
	  ATOMIC(BPF_DW, BPF_ADD, R9, R1, 0), MOV_IMM(R1, 1), ATOMIC(BPF_DW, BPF_ADD, R9, R1, 8),
	  MOV_IMM(R0, xdp.pass), EXIT());
	over = false;
	for (i = 0; i < 4; i++) {
		racers[i] = (struct racer){ type, map, -1, i, 0 };
		if (i)
			racers[i].prog = loaded(&xdp, "racer");
		pthread_create(&threads[i], NULL, races, &racers[i]);
	}
	usleep(700000);
	over = true;
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	map_lookup(torn, &zero, v);
	for (i = 0; i < 4; i++) {
		if (racers[i].errors)
			diag("CPU %d: %lu errors", i, racers[i].errors);
		racers[0].errors += i ? racers[i].errors : 0;
		close(racers[i].prog);
	}
	ok(!racers[0].errors, "%s: changes from all CPUs and user space do not fail",
	   name_of(type));
	diag("%lu values were looked at", v[1]);
	/* That of a hash may be another one's at once, with or without MOAT. */
	if (type == BPF_MAP_TYPE_LPM_TRIE)
		ok(v[1] && !v[0], "%s: what a program has stays while it has it", name_of(type));
	ok(found(type, map, 64, &walked) == walked, "%s: and leave it whole", name_of(type));
	close(torn);
	close(map);
}

struct forger {
	volatile u32 *prefix;
	u32 one, other;
};

static void *forges(void *arg)
{
	struct forger *f = arg;

	pin_to_cpu(1);
	while (!over) {
		*f->prefix = f->one;
		*f->prefix = f->other;
	}
	return NULL;
}

/*
 * The length of a prefix changes while the kernel reads it. Without MOAT there is a
 * node that is longer than can be, soon: by a byte, as the kernel would not survive more.
 */
static void forged(void)
{
	int map = demand_map(BPF_MAP_TYPE_LPM_TRIE, 8, 64), keys, prog, at, i;
	struct forger f = { .one = 32, .other = 40 };
	u32 key[4] = {}, longest = 0;
	pthread_t thread;
	u8 *shared;
	u64 until;

	keys = map_with_flags(BPF_MAP_TYPE_ARRAY, 4, 4096, 1, BPF_F_MMAPABLE);
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, keys, 0);
	if (shared == MAP_FAILED)
		bail("mmap: %s", strerror(errno));
	/* The key is the last of the page; a plain kernel reads on, and wants something there. */
	at = moat_present() ? 4088 : 4080;
	f.prefix = (u32 *)(shared + at);
	f.prefix[1] = 0x01020304;
	cnt = 0;
	E(LD_MAP_VALUE(R9, keys, at));
	for (i = 0; i < 60; i++) {
		E(MOV_REG(R2, R9), MOV_REG(R3, R9), MOV_IMM(R4, 0), LD_MAP_FD(R1, map));
		if (i % 3 == 0)
			E(CALL(map_update_elem));
		else if (i % 3 == 1)
			E(CALL(map_lookup_elem));
		else if (i > 50)
			E(CALL(map_delete_elem));
		else
			E(CALL(map_update_elem));
	}
	E(MOV_IMM(R0, xdp.pass), EXIT());
	prog = loaded(&xdp, "forged");
	over = false;
	pthread_create(&thread, NULL, forges, &f);
	pin_to_cpu(0);
	kmsg_mark();
	for (until = now_ns() + 3000000000ULL; longest <= 32 && now_ns() < until;) {
		for (i = 0; i < 20; i++)
			if (prog_run_once(prog) != xdp.pass)
				break;
		if (!bpf_map_get_next_key(map, NULL, key) && key[0] > longest)
			longest = key[0];
		if (moat_present() && now_ns() + 2000000000ULL > until)
			break;
	}
	over = true;
	pthread_join(thread, NULL);
	if (moat_present())
		ok(longest <= 32 && prog_run_once(prog) == xdp.pass,
		   "trie: a prefix that changes while it is read is no longer than can be");
	else
		ok(longest > 32, "trie: without MOAT it is");
	munmap(shared, 4096);
	close(prog);
	close(keys);
	close(map);
}

int main(void)
{
	concurrent(BPF_MAP_TYPE_HASH);
	concurrent(BPF_MAP_TYPE_LPM_TRIE);
	forged();
	return finish();
}
