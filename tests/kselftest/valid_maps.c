// SPDX-License-Identifier: GPL-2.0
/* Steps with maps, and with what is in them */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "locks.h"
#include "same.h"
#include "valid.h"

static const struct {
	enum bpf_map_type type;
	u32 key, value, entries, flags;
} kinds[V_PROGS] = {
	[V_ARRAY] = { BPF_MAP_TYPE_ARRAY, 4, VALUE_SIZE, KEYS },
	[V_PERCPU_ARRAY] = { BPF_MAP_TYPE_PERCPU_ARRAY, 4, VALUE_SIZE, KEYS },
	/* A hash is in the order of its keys' hashes, which is to be the same for all. */
	[V_HASH] = { BPF_MAP_TYPE_HASH, 4, VALUE_SIZE, KEYS - 2, BPF_F_ZERO_SEED },
	[V_LRU] = { BPF_MAP_TYPE_LRU_HASH, 4, VALUE_SIZE, 512, BPF_F_ZERO_SEED },
	[V_DEMAND] = { BPF_MAP_TYPE_HASH, 4, VALUE_SIZE, KEYS, BPF_F_ZERO_SEED | BPF_F_NO_PREALLOC },
	[V_PERCPU_HASH] = { BPF_MAP_TYPE_PERCPU_HASH, 4, VALUE_SIZE, KEYS, BPF_F_ZERO_SEED },
	[V_PERCPU_DEMAND] = { BPF_MAP_TYPE_PERCPU_HASH, 4, VALUE_SIZE, KEYS,
			      BPF_F_ZERO_SEED | BPF_F_NO_PREALLOC },
	[V_INNER] = { BPF_MAP_TYPE_HASH, 4, VALUE_SIZE, KEYS, BPF_F_ZERO_SEED },
	[V_TRIE] = { BPF_MAP_TYPE_LPM_TRIE, 8, VALUE_SIZE, KEYS, BPF_F_NO_PREALLOC },
	[V_QUEUE] = { BPF_MAP_TYPE_QUEUE, 0, 8, 16 },
	[V_STACK] = { BPF_MAP_TYPE_STACK, 0, 8, 16 },
	[V_BLOOM] = { BPF_MAP_TYPE_BLOOM_FILTER, 0, 8, 64, BPF_F_ZERO_SEED },
	[V_RING] = { BPF_MAP_TYPE_RINGBUF, 0, 0, 4096 },
	[V_EVENTS] = { BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 4 },
	[V_DEVICES] = { BPF_MAP_TYPE_DEVMAP, 4, 4, 4 },
	[V_SEEN] = { BPF_MAP_TYPE_ARRAY, 4, 64, 1 },
};

static int create(const struct valid *v, enum valid_map m)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);

	if (m == V_LOCKED_ARRAY || m == V_LOCKED_HASH)
		return locked_map(m == V_LOCKED_HASH ? BPF_MAP_TYPE_HASH : BPF_MAP_TYPE_ARRAY, KEYS, 0);
	if (m >= V_PROGS)
		return bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, "valid", 4, 4, 4, NULL);
	opts.map_flags = kinds[m].flags;
	if (m != V_OUTER && m != V_OUTER_HASH)
		return bpf_map_create(kinds[m].type, "valid", kinds[m].key, kinds[m].value,
				      kinds[m].entries, &opts);
	opts.inner_map_fd = v->map[V_INNER];
	return bpf_map_create(m == V_OUTER ? BPF_MAP_TYPE_ARRAY_OF_MAPS : BPF_MAP_TYPE_HASH_OF_MAPS,
			      "valid", 4, 4, 4, &opts);
}

void valid_maps(struct valid *v)
{
	u32 m, key = 1, device = 1, one = 1;

	for (m = 0; m < V_MAPS; m++) {
		v->map[m] = create(v, m);
		if (v->map[m] < 0)
			bail("map %u: %s", m, strerror(errno));
	}
	if (map_update(v->map[V_OUTER], &key, &v->map[V_INNER]) ||
	    map_update(v->map[V_OUTER_HASH], &key, &v->map[V_INNER]) ||
	    map_update(v->map[V_DEVICES], &one, &device))
		bail("update: %s", strerror(errno));
}

void valid_note_maps(const struct valid *v)
{
	u8 value[VALUE_SIZE * 64];
	u32 m, key[2];

	for (m = 0; m <= V_LOCKED_HASH; m++) {
		for (key[1] = 0; key[1] < KEYS; key[1]++) {
			memset(value, 0, sizeof(value));
			key[0] = m == V_TRIE ? 32 : key[1];
			if (map_lookup(v->map[m], key, value))
				note_word(errno);
			note(value, sizeof(value));
		}
	}
	note_word(map_word(v->map[V_SEEN], 0));
	note_word(map_word(v->map[V_SEEN], 1));
}

/* R2 = the address of a key, and R1 = map */
static void with_key(struct valid *v, enum valid_map map)
{
	if (map == V_TRIE) {
		small(v, R1, KEYS - 1);
		E(ST(BPF_W, R10, KEY_AT, PICK(&v->rng, 0, 8, 32, 32, 33)),
		  STX(BPF_W, R10, R1, KEY_AT + 4));
	} else {
		/* Now and then one that there is not */
		small(v, R1, one_in(&v->rng, 8) ? 2 * KEYS - 1 : KEYS - 1);
		E(STX(BPF_W, R10, R1, KEY_AT));
	}
	E(ADDRESS(R2, R10, KEY_AT), LD_MAP_FD(R1, v->map[map]));
}

static enum valid_map any_map(struct valid *v)
{
	return below(&v->rng, V_TRIE + 1);
}

/* R9: the address of a value of @size bytes */
static void use_value(struct valid *v, u32 size)
{
	int n, i, bytes, at;

	for (n = below(&v->rng, 4); n >= 0; n--) {
		i = any_size(v);
		bytes = bytes_of(i);
		at = bytes * below(&v->rng, size / bytes);
		switch (below(&v->rng, 4)) {
		case 0:
			E(LDX(i, R1, R9, at));
			mix(R1);
			break;
		case 1:
			E(STX(i, R9, one_in(&v->rng, 2) ? R7 : R8, at));
			break;
		case 2:
			E(ST(i, R9, at, any(&v->rng)));
			break;
		default:
			i = one_in(&v->rng, 2) ? BPF_W : BPF_DW;
			at &= ~7;
			E(MOV_REG(R1, R8), ATOMIC(i, PICK(&v->rng, BPF_ADD, BPF_XOR | BPF_FETCH, BPF_OR,
							   BPF_XCHG, BPF_ADD | BPF_FETCH), R9, R1, at));
			mix(R1);
		}
	}
}

/* At a place that the program has computed, too */
static void use_value_at(struct valid *v)
{
	E(MOV_REG(R1, R7), ALU64_IMM(BPF_AND, R1, 24), ALU64_REG(BPF_ADD, R9, R1));
	use_value(v, 8);
}

static void look_up(struct valid *v)
{
	int none;

	with_key(v, any_map(v));
	E(CALL(map_lookup_elem));
	none = jump(JMP_IMM(BPF_JEQ, R0, 0, 0));
	E(MOV_REG(R9, R0));
	if (one_in(&v->rng, 3))
		use_value_at(v);
	else
		use_value(v, VALUE_SIZE);
	land(none);
}

static void look_up_there(struct valid *v)
{
	int none;

	with_key(v, PICK(&v->rng, V_PERCPU_ARRAY, V_PERCPU_HASH, V_PERCPU_DEMAND));
	E(MOV_IMM(R3, below(&v->rng, 5)), CALL(map_lookup_percpu_elem));
	none = jump(JMP_IMM(BPF_JEQ, R0, 0, 0));
	E(MOV_REG(R9, R0));
	use_value(v, VALUE_SIZE);
	land(none);
}

static void update(struct valid *v)
{
	enum valid_map map = any_map(v);

	fill_value(v);
	with_key(v, map);
	E(ADDRESS(R3, R10, VALUE_AT), MOV_IMM(R4, PICK(&v->rng, 0, 0, 0, 1, 2, 3, 8)),
	  CALL(map_update_elem));
	mix(R0);
}

static void remove_one(struct valid *v)
{
	with_key(v, any_map(v));
	E(CALL(map_delete_elem));
	mix(R0);
}

static void direct(struct valid *v)
{
	E(LD_MAP_VALUE(R9, v->map[V_SEEN], 16));
	use_value(v, 48);
}

static void inner(struct valid *v)
{
	enum valid_map outer = one_in(&v->rng, 2) ? V_OUTER : V_OUTER_HASH;
	int none, none_inside;

	E(ST(BPF_W, R10, KEY_AT, one_in(&v->rng, 4) ? 0 : 1), ADDRESS(R2, R10, KEY_AT),
	  LD_MAP_FD(R1, v->map[outer]), CALL(map_lookup_elem));
	none = jump(JMP_IMM(BPF_JEQ, R0, 0, 0));
	if (one_in(&v->rng, 2)) {
		E(MOV_REG(R9, R0));
		fill_value(v);
		E(MOV_REG(R1, R9), ADDRESS(R2, R10, KEY_AT), ADDRESS(R3, R10, VALUE_AT),
		  MOV_IMM(R4, below(&v->rng, 3)), CALL(map_update_elem));
		mix(R0);
	} else {
		E(MOV_REG(R1, R0), ADDRESS(R2, R10, KEY_AT), CALL(map_lookup_elem));
		none_inside = jump(JMP_IMM(BPF_JEQ, R0, 0, 0));
		E(MOV_REG(R9, R0));
		use_value(v, VALUE_SIZE);
		land(none_inside);
	}
	land(none);
}

static void locked(struct valid *v)
{
	int none;

	if (one_in(&v->rng, 2)) {
		fill_value(v);
		with_key(v, V_LOCKED_HASH);
		E(ADDRESS(R3, R10, VALUE_AT), MOV_IMM(R4, PICK(&v->rng, 0, 0, 1, 2, BPF_F_LOCK)),
		  CALL(map_update_elem));
		mix(R0);
	}
	with_key(v, one_in(&v->rng, 2) ? V_LOCKED_ARRAY : V_LOCKED_HASH);
	E(CALL(map_lookup_elem));
	none = jump(JMP_IMM(BPF_JEQ, R0, 0, 0));
	E(MOV_REG(R9, R0), ADDRESS(R1, R9, LOCK_AT), CALL(spin_lock));
	use_value(v, LOCK_AT);
	E(ADDRESS(R1, R9, LOCK_AT), CALL(spin_unlock));
	land(none);
}

static void queue(struct valid *v)
{
	enum valid_map map = PICK(&v->rng, V_QUEUE, V_STACK, V_BLOOM);
	u32 what = map == V_BLOOM ? below(&v->rng, 2) : below(&v->rng, 4);

	number(v, R1);
	E(STX(BPF_DW, R10, R1, VALUE_AT), ADDRESS(R2, R10, VALUE_AT), LD_MAP_FD(R1, v->map[map]));
	switch (what) {
	case 0:
		E(CALL(map_peek_elem));
		break;
	case 3:
		E(CALL(map_pop_elem));
		break;
	default:
		E(MOV_IMM(R3, one_in(&v->rng, 4) ? BPF_EXIST : 0), CALL(map_push_elem));
	}
	mix(R0);
	E(LDX(BPF_DW, R1, R10, VALUE_AT));
	mix(R1);
}

static void record(struct valid *v)
{
	u32 size = PICK(&v->rng, 8, 16, 40, 64, 256), i, at;
	int none;

	E(LD_MAP_FD(R1, v->map[V_RING]), MOV_IMM(R2, size), MOV_IMM(R3, 0), CALL(ringbuf_reserve));
	none = jump(JMP_IMM(BPF_JEQ, R0, 0, 0));
	E(MOV_REG(R9, R0));
	/* What it holds already is what old records have left. */
	use_value(v, size);
	for (i = below(&v->rng, 3); i; i--) {
		at = 8 * below(&v->rng, size / 8);
		E(STX(BPF_DW, R9, R7, at));
	}
	E(MOV_REG(R1, R9), MOV_IMM(R2, PICK(&v->rng, 0, 1, 2)));
	if (one_in(&v->rng, 4))
		E(CALL(ringbuf_discard));
	else
		E(CALL(ringbuf_submit));
	land(none);
}

static void output(struct valid *v)
{
	fill_value(v);
	E(LD_MAP_FD(R1, v->map[V_RING]), ADDRESS(R2, R10, VALUE_AT), MOV_IMM(R3, 1 + below(&v->rng, 64)),
	  MOV_IMM(R4, 0), CALL(ringbuf_output));
	mix(R0);
	E(LD_MAP_FD(R1, v->map[V_RING]), MOV_IMM(R2, below(&v->rng, 5)), CALL(ringbuf_query));
	mix(R0);
}

static void dynptr(struct valid *v)
{
	u32 size = PICK(&v->rng, 8, 24, 64, 100);
	bool ring = one_in(&v->rng, 2);
	int none;

	fill_value(v);
	if (ring)
		E(LD_MAP_FD(R1, v->map[V_RING]), MOV_IMM(R2, size), MOV_IMM(R3, 0),
		  ADDRESS(R4, R10, KEY_AT), CALL(ringbuf_reserve_dynptr));
	else
		E(LD_MAP_VALUE(R1, v->map[V_SEEN], 16), MOV_IMM(R2, size > 48 ? 48 : size), MOV_IMM(R3, 0),
		  ADDRESS(R4, R10, KEY_AT), CALL(dynptr_from_mem));
	mix(R0);
	E(ADDRESS(R1, R10, KEY_AT), MOV_IMM(R2, below(&v->rng, 24)), ADDRESS(R3, R10, VALUE_AT),
	  MOV_IMM(R4, 1 + below(&v->rng, 32)), MOV_IMM(R5, 0), CALL(dynptr_write));
	mix(R0);
	E(ADDRESS(R1, R10, VALUE_AT), MOV_IMM(R2, 1 + below(&v->rng, 32)), ADDRESS(R3, R10, KEY_AT),
	  MOV_IMM(R4, below(&v->rng, 24)), MOV_IMM(R5, one_in(&v->rng, 8)), CALL(dynptr_read));
	mix(R0);
	E(LDX(BPF_DW, R1, R10, VALUE_AT));
	mix(R1);
	E(ADDRESS(R1, R10, KEY_AT), MOV_IMM(R2, below(&v->rng, 16)), MOV_IMM(R3, 8), CALL(dynptr_data));
	none = jump(JMP_IMM(BPF_JEQ, R0, 0, 0));
	E(MOV_REG(R9, R0));
	use_value(v, 8);
	land(none);
	if (ring) {
		E(ADDRESS(R1, R10, KEY_AT), MOV_IMM(R2, 0));
		if (one_in(&v->rng, 3))
			E(CALL(ringbuf_discard_dynptr));
		else
			E(CALL(ringbuf_submit_dynptr));
	}
	/* It may be used as a key again. */
	E(ST(BPF_DW, R10, KEY_AT, 0), ST(BPF_DW, R10, KEY_AT + 8, 0));
}

static void redirect_map(struct valid *v)
{
	E(LD_MAP_FD(R1, v->map[V_DEVICES]), MOV_IMM(R2, below(&v->rng, 6)), MOV_IMM(R3, below(&v->rng, 3)),
	  CALL(redirect_map));
	mix(R0);
}

static void event(struct valid *v)
{
	fill_value(v);
	E(MOV_REG(R1, R6), LD_MAP_FD(R2, v->map[V_EVENTS]), MOV_IMM(R3, below(&v->rng, 6)),
	  ADDRESS(R4, R10, VALUE_AT), MOV_IMM(R5, 1 + below(&v->rng, 64)), CALL(perf_event_output));
	mix(R0);
}

const struct step map_steps[] = {
	STEP(look_up, V_ALL, 14, EVERYWHERE), STEP(update, V_ALL, 10, EVERYWHERE),
	STEP(remove_one, V_ALL, 3, EVERYWHERE), STEP(direct, V_ALL, 4, EVERYWHERE),
	STEP(look_up_there, V_ALL, 2, EVERYWHERE), STEP(inner, V_ALL, 5, EVERYWHERE),
	STEP(locked, V_XDP | V_TC | V_CGROUP, 4, EVERYWHERE), STEP(queue, V_ALL, 4, EVERYWHERE),
	STEP(record, V_ALL, 4, EVERYWHERE), STEP(output, V_ALL, 3, EVERYWHERE),
	STEP(dynptr, V_ALL, 4, EVERYWHERE), STEP(redirect_map, V_XDP, 2, CONTEXT),
	STEP(event, V_ALL, 1, CONTEXT),
};
const u32 nr_map_steps = ARRAY_SIZE(map_steps);
