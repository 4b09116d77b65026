// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 keys=13,0 timeout=300 */
/*
 * Do programs do the same with maps that make their elements on demand, LPM tries and
 * hashes without preallocation, when they are isolated? While these grow, with user
 * space changing them too, and when values are replaced or deleted that a program has?
 *
 * One program does what it is told, by a map. The same things at random are done at
 * levels 0 and 2, and what comes of each is compared.
 *
 * usage: test_results_demand [seed]
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "build.h"

#define KEY_MAX 20
#define ENTRIES 1500		/* more than are there when the map is made */
#define STEPS 4000
#define VALUE 40

enum op { LOOKUP, UPDATE, DELETE, DELETED, REPLACED, NR_OPS };

/* What the program is told, and what it tells: the only value of an array */
struct order {
	u64 key[4], other[4];		/* of KEY_MAX bytes at most */
	u64 value[5];
	u64 flags;
	u64 ret, other_ret, found, seen[5], before, after;
};

#define AT(FIELD) ((s16)offsetof(struct order, FIELD))

static int orders, map;
static u32 key_size, entries[3], given;	/* a seed, or 0 */
static bool trie;
/*
 * Whether values of the map at level 0 are the kernel's as they are where nothing is to be
 * isolated. Who has one that was deleted sees in a hash what the allocator makes of it.
 */
static bool own_memory;

/* R2 = R9 + @off; [R10 - 32] for the others, which may be changed meanwhile */
static void key_from(int off)
{
	E(MOV_REG(R2, R9), ALU64_IMM(BPF_ADD, R2, off));
}

static void call(int func, int key)
{
	key_from(key);
	E(LD_MAP_FD(R1, map), MOV_REG(R3, R9), ALU64_IMM(BPF_ADD, R3, AT(value)),
	  LDX(BPF_DW, R4, R9, AT(flags)), INSN(BPF_JMP | BPF_CALL, 0, 0, 0, func));
}

/* Numbers that programs compute are theirs: the rest of R0 of an int is anything. */
static void ret(s16 to)
{
	E(ALU64_IMM(BPF_LSH, R0, 32), ALU64_IMM(BPF_ARSH, R0, 32), STX(BPF_DW, R9, R0, to));
}

static int program(const struct prog_type *t, enum op op)
{
	int i;

	cnt = 0;
	E(LD_MAP_VALUE(R9, orders, 0));
	switch (op) {
	case UPDATE:
		call(BPF_FUNC_map_update_elem, AT(key));
		ret(AT(ret));
		break;
	case DELETE:
		call(BPF_FUNC_map_delete_elem, AT(key));
		ret(AT(ret));
		break;
	case LOOKUP:
		call(BPF_FUNC_map_lookup_elem, AT(key));
		E(ST(BPF_DW, R9, AT(found), 0), JMP_IMM(BPF_JEQ, R0, 0, 14),
		  ST(BPF_DW, R9, AT(found), 1));
		for (i = 0; i < 5; i++)
			E(LDX(BPF_DW, R1, R0, 8 * i), STX(BPF_DW, R9, R1, (s16)(AT(seen) + 8 * i)));
		E(LDX(BPF_DW, R1, R9, AT(value)), ATOMIC(BPF_DW, BPF_ADD, R0, R1, 8),
		  ST(BPF_B, R0, 39, 0x5a));
		break;
	case DELETED:
	case REPLACED:
		/* What it has of one, once that is no more, and another has come */
		call(BPF_FUNC_map_lookup_elem, AT(key));
		E(ST(BPF_DW, R9, AT(found), 0), JMP_IMM(BPF_JNE, R0, 0, 2),
		  MOV_IMM(R0, t->pass), EXIT(), ST(BPF_DW, R9, AT(found), 1), MOV_REG(R6, R0),
		  LDX(BPF_DW, R1, R6, 16), STX(BPF_DW, R9, R1, AT(before)));
		call(op == DELETED ? BPF_FUNC_map_delete_elem : BPF_FUNC_map_update_elem, AT(key));
		ret(AT(ret));
		call(BPF_FUNC_map_update_elem, AT(other));
		ret(AT(other_ret));
		E(LDX(BPF_DW, R1, R6, 16), STX(BPF_DW, R9, R1, AT(after)), ST(BPF_DW, R6, 32, 3));
		break;
	default:
		break;
	}
	E(MOV_IMM(R0, t->pass), EXIT());
	return prog_load(t->type, "ordered", insns, cnt);
}

static int new_map(enum bpf_map_type type, u32 key, u32 value, u32 entries)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_NO_PREALLOC);
	int fd = bpf_map_create(type, "on_demand", key, value, entries, &opts);

	if (fd < 0)
		bail("map: %s", strerror(errno));
	return fd;
}

/* A prefix of few enough bits that differ for there to be longer and shorter ones */
static void random_key(u64 *words)
{
	u8 *key = (u8 *)words;
	u32 i, bits = (key_size - 4) * 8, prefix = random() % (bits + 1);

	memset(words, 0, 32);
	if (!trie) {
		words[0] = random() % (ENTRIES + 100);
		return;
	}
	if (random() % 100 == 0)
		prefix = bits + 1 + random() % 300;
	memcpy(key, &prefix, 4);
	for (i = 4; i < key_size; i++)
		key[i] = random() & (i < 6 ? 0xff : 0x81);
}

struct history {
	u64 hash[STEPS];
	u32 entries, ran, failed;
	bool short_of_values;	/* what a program gets then depends on other CPUs */
	struct order last[STEPS];
};

static u64 mix(u64 hash, const void *data, size_t n)
{
	const u8 *p = data;

	while (n--)
		hash = (hash ^ *p++) * 0x100000001b3ULL;
	return hash;
}

/* All that is in the map; a hash has it in any order, since its seed is random. */
static u64 contents(u32 *entries)
{
	u8 key[KEY_MAX] = {}, next[KEY_MAX] = {}, value[VALUE];
	void *prev = NULL;
	u64 sum = 0;

	*entries = 0;
	while (!bpf_map_get_next_key(map, prev, next)) {
		memcpy(key, next, KEY_MAX);
		prev = key;
		if (map_lookup(map, key, value))
			continue;
		sum += mix(mix(1, key, key_size), value, VALUE);
		++*entries;
	}
	return sum;
}

static bool play(const struct prog_type *t, enum bpf_map_type type, int level, u32 seed,
		 struct history *h)
{
	int prog[NR_OPS], i, op;
	struct order o = {};
	u32 zero = 0;
	u64 hash = seed;
	bool ok = true;

	memset(h, 0, sizeof(*h));
	moat_set_level(own_memory ? level : 2);
	map = new_map(type, key_size, VALUE, entries[level]);
	moat_set_level(level);
	orders = map_create(BPF_MAP_TYPE_ARRAY, 4, sizeof(o), 1);
	for (op = 0; op < NR_OPS; op++) {
		prog[op] = program(t, op);
		if (prog[op] < 0) {
			diag("load: %s\n%s", strerror(errno), prog_log);
			return false;
		}
	}
	srandom(seed);
	for (i = 0; i < STEPS; i++) {
		/* first it fills, then it empties */
		op = random() % 10;
		op = op < NR_OPS ? op : i < STEPS * 2 / 3 ? UPDATE : DELETE;
		if (own_memory && !trie)
			op %= DELETED;
		memset(&o, 0, sizeof(o));
		random_key(o.key);
		random_key(o.other);
		o.value[0] = i;
		o.value[2] = random();
		o.value[4] = random();
		o.flags = random() % 4 ? 0 : random() % 4;
		if (op == DELETED || op == REPLACED)
			o.flags = 0;
		if (random() % 4 == 0 && op <= DELETE) {
			/* by user space */
			if (op == UPDATE)
				o.ret = bpf_map_update_elem(map, o.key, o.value, o.flags);
			else if (op == DELETE)
				o.ret = bpf_map_delete_elem(map, o.key);
			else
				o.ret = map_lookup(map, o.key, o.seen) ? -errno : 0;
		} else {
			map_update(orders, &zero, &o);
			if (prog_run_once(prog[op]) != t->pass) {
				diag("step %d, %d, did not run", i, op);
				ok = false;
				break;
			}
			h->ran++;
			map_lookup(orders, &zero, &o);
		}
		h->failed += op == UPDATE && o.ret;
		if ((s64)o.ret == -ENOMEM || (s64)o.other_ret == -ENOMEM)
			h->short_of_values = true;
		hash = mix(hash, &o, sizeof(o));
		h->hash[i] = i % 500 == 499 ? hash + contents(&h->entries) : hash;
		h->last[i] = o;
	}
	for (op = 0; op < NR_OPS; op++)
		close(prog[op]);
	close(orders);
	close(map);
	return ok;
}

static bool play_well(const struct prog_type *t, enum bpf_map_type type, int level, u32 seed,
		      struct history *h)
{
	int i;

	for (i = 0; i < 10; i++) {
		s64 runs = moat_counter("runs");

		if (!play(t, type, level, seed, h))
			return false;
		if (moat_counter("runs") != runs + (level ? h->ran : 0)) {
			diag("not all runs were isolated");
			return false;
		}
		if (!h->short_of_values)
			return true;
		diag("played again: there were no values for a while");
	}
	return false;
}

/*
 * With so many entries at level 0, and at level 2. Of a trie with more than MOAT has room
 * for the values are in the nodes, as they are of one that is made at level 0.
 */
static void compare(enum bpf_map_type type, u32 size, u32 plain, u32 isolated, const char *what)
{
	static const struct prog_type *const types[] = { &xdp, &sched_cls, &socket_filter };
	static u32 n;
	const struct prog_type *t = types[n++ % ARRAY_SIZE(types)];
	static struct history a, b;
	u32 seed = given ?: now_ns(), i;

	key_size = size;
	entries[0] = plain;
	entries[2] = isolated;
	trie = type == BPF_MAP_TYPE_LPM_TRIE;
	diag("%s, %s: seed %#x", what, t->name, seed);
	if (!ok(play_well(t, type, 0, seed, &a), "%s: plays at level 0", what) ||
	    !ok(play_well(t, type, 2, seed, &b), "%s: plays at level 2, isolated", what))
		return;
	for (i = 0; i < STEPS && a.hash[i] == b.hash[i]; i++)
		;
	ok(i == STEPS, "%s: %d steps at random are the same at level 0 and 2", what, STEPS);
	if (i < STEPS)
		diag("step %u: ret %ld and %ld, found %lu and %lu, %lx and %lx, then %lx and %lx",
		     i, (s64)a.last[i].ret, (s64)b.last[i].ret, a.last[i].found,
		     b.last[i].found, a.last[i].before, b.last[i].before, a.last[i].after,
		     b.last[i].after);
	diag("%u entries at the end, %u updates failed", a.entries, a.failed);
}

/* A route for every length, and what is found for each */
static void all_lengths(u32 bytes)
{
	u32 bits = bytes * 8, i, zero = 0, right = 0;
	struct order o;
	u32 *prefix = (u32 *)o.key;
	u8 *data = (u8 *)o.key + 4;
	int prog;

	key_size = 4 + bytes;
	trie = true;
	moat_set_level(2);
	map = new_map(BPF_MAP_TYPE_LPM_TRIE, key_size, VALUE, bits + 1);
	orders = map_create(BPF_MAP_TYPE_ARRAY, 4, sizeof(o), 1);
	prog = program(&xdp, LOOKUP);
	for (i = 0; i <= bits; i++) {
		memset(&o, 0, sizeof(o));
		memset(data, 0xff, bytes);
		*prefix = i;
		o.value[0] = 1000 + i;
		if (map_update(map, o.key, o.value))
			break;
	}
	ok(i == bits + 1, "%u bits: a prefix of each length goes in", bits);
	/* The first i bits are ones, the next is not. */
	for (i = 0; i <= bits; i++) {
		memset(&o, 0, sizeof(o));
		memset(data, 0xff, bytes);
		*prefix = bits;
		if (i < bits)
			data[i / 8] &= ~(0x80 >> i % 8);
		map_update(orders, &zero, &o);
		prog_run_once(prog);
		map_lookup(orders, &zero, &o);
		right += o.found && o.seen[0] == 1000 + i;
	}
	ok(right == bits + 1, "%u bits: the longest one is found, of each length", bits);
	close(prog);
	close(orders);
	close(map);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		given = strtoul(argv[1], NULL, 0);
	pin_to_cpu(0);
	if (!moat_present())
		skip_all("no moat.ko");
	compare(BPF_MAP_TYPE_HASH, 8, ENTRIES, ENTRIES, "hash");
	compare(BPF_MAP_TYPE_LPM_TRIE, 8, ENTRIES, ENTRIES, "full trie of 32 bits");
	own_memory = true;
	compare(BPF_MAP_TYPE_HASH, 8, ENTRIES, ENTRIES, "hash made at level 0");
	compare(BPF_MAP_TYPE_LPM_TRIE, 8, ENTRIES, ENTRIES, "full trie made at level 0");
	compare(BPF_MAP_TYPE_LPM_TRIE, 8, -1, 100000, "trie of 32 bits");
	compare(BPF_MAP_TYPE_LPM_TRIE, 20, -1, 100000, "trie of 128 bits");
	compare(BPF_MAP_TYPE_LPM_TRIE, 5, -1, 100000, "trie of 8 bits");
	all_lengths(4);
	all_lengths(16);
	return finish();
}
