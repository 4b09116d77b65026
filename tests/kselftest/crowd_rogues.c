// SPDX-License-Identifier: GPL-2.0
/* Rogues in the crowd: whom they attack, where, and whether they are stopped. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "crowd.h"

u64 attacked, crossed, illegal_stops, moved;
int most_keys;

enum aim { OWN_MAP, SHARED_MAP, STACK, LANDING, AIMS };
static const char *const aim_name[] = { "map", "shared map", "stack", "landing area" };

/* Attacks by the layers of attacked and attacker, aim, and whether it writes */
static u64 attacks[3][3][AIMS][2], with_shared[3][3];

static int random_below(int n)
{
	static unsigned int seed = 1;

	return rand_r(&seed) % n;
}

/* One of those that have a key now, or -1 */
static int keyed_member(void)
{
	FILE *f = fopen("/sys/kernel/debug/moat/keys", "r");
	int found = -1, n = 0, i;
	char line[1024], *at;
	u32 id;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*d bound %*d %u", &id) != 1)
			continue;
		for (at = strrchr(line, ' '); at; at = strchr(at + 1, ',')) {
			id = strtoul(at + 1, NULL, 10);
			for (i = 0; i < total && crowd[i].id != id; i++)
				;
			if (i < total && random_below(++n) == 0)
				found = i;
		}
	}
	if (f)
		fclose(f);
	return found;
}

/* Somebody of @layer, if there is one; at best one that shares a map with the rogue. */
static int victim_in(enum moat_layer layer, int group)
{
	int i, m, found = random_below(total);

	for (i = 0; i < 10; i++) {
		if (layer == KEYED)
			m = keyed_member();
		else if (group >= 0 && i < 5)
			m = group * SHARERS + random_below(SHARERS);
		else
			m = random_below(total);
		if (m >= 0 && m < total && moat_layer(crowd[m].prog) == layer)
			return m;
	}
	return found;
}

/* Runs it until the balance gives it keys: what runs much gets them. */
static bool make_keyed(const struct rogue *rogue)
{
	u8 packet[64] = {};
	int i;

	for (i = 0; i < 40 && moat_layer(rogue->prog) != KEYED; i++) {
		struct run run = {
			.data_in = packet, .data_in_size = sizeof(packet), .repeat = 1000,
		};

		if (prog_run(rogue->prog, &run) || run.retval != rogue->type->pass)
			return false;
	}
	return true;
}

/* Where to, or 0 if it is not known. */
static u64 address(enum aim aim, const struct own *own)
{
	int cpu = random_below(CPUS), i;

	if (aim == OWN_MAP)
		return own->at + offsetof(struct own, me);
	if (aim == SHARED_MAP)
		return own->shared_at;
	for (i = 0; i < CPUS; i++, cpu = (cpu + 1) % CPUS) {
		if (!own->stack[cpu])
			continue;
		if (aim == STACK)
			return own->stack[cpu] - 8;
		/*
		 * Below a CPU's slots are the landing areas of the CPU before, of 96
		 * bytes. The lowest slot has 256, with all that goes into it.
		 */
		if (cpu)
			return own->stack[cpu] - 256 - 48;
	}
	return 0;
}

static void complain(const char *what, const struct rogue *rogue, int m, enum aim aim)
{
	if (crossed++ < 10)
		diag("%s: a %s that %s the %s of member %d", what, rogue->type->name,
		     rogue->write ? "writes" : "reads", aim_name[aim], m);
}

/* What was least attacked, of those that @own gives the address of */
static enum aim choose(u64 so_far[AIMS][2], bool write, const struct own *own, enum aim aims,
		       bool share)
{
	enum aim best = OWN_MAP, aim;

	for (aim = SHARED_MAP; aim < aims; aim++) {
		if ((aim == SHARED_MAP && share) || !address(aim, own))
			continue;
		if (so_far[aim][write] < so_far[best][write])
			best = aim;
	}
	return best;
}

/* Members need a key for what is theirs, and one for what they share; so do rogues. */
static bool possible(enum moat_layer of, enum moat_layer by)
{
	return most_keys >= (of == KEYED ? 2 : 0) + (by == KEYED ? 1 : 0);
}

static bool sharing_possible(enum moat_layer by)
{
	return by == VIEW || most_keys != 1;
}

void attack_member(u32 n, bool plain)
{
	static const struct prog_type *const types[] = {
		&xdp, &sched_cls, &sched_act, &socket_filter,
	};
	enum moat_layer by = n & 1 ? KEYED : VIEW, by_after;
	enum moat_layer of = n & 2 && possible(KEYED, by) ? KEYED : VIEW, of_after;
	bool share = n % 3 == 0 && sharing_possible(by);
	int group = share ? random_below(nr_shared) : -1, m;
	const struct prog_type *type = types[random_below(ARRAY_SIZE(types))];
	struct rogue rogue = rogue_load(type, n & 4, group < 0 ? -1 : shared[group]);
	u64 where, got, word, count;
	s64 verdict, stopped;
	struct own own;
	enum aim aim;

	/* What it may do it can do. */
	if (rogue_attack(&rogue, 0) != type->pass ||
	    (!plain && by == KEYED && possible(VIEW, by) && !make_keyed(&rogue)))
		illegal_stops++;
	m = victim_in(plain ? NONE : of, group);
	own = own_of(crowd[m].map);
	of = moat_layer(crowd[m].prog);
	by = moat_layer(rogue.prog);
	/* Without isolation stacks are the kernel's, and long gone. */
	aim = choose(attacks[of][by], rogue.write, &own, plain ? STACK : AIMS,
		     crowd[m].shared == group);
	where = address(aim, &own);
	if (!own.runs || !where)
		bail("nothing is known of member %d", m);

	stopped = moat_counter("violations");
	verdict = rogue_attack(&rogue, where);
	stopped = moat_counter("violations") - stopped;
	of_after = moat_layer(crowd[m].prog);
	by_after = moat_layer(rogue.prog);
	attacked++;

	/* Members and counts have small numbers. */
	own = own_of(crowd[m].map);
	count = shared_count(shared[crowd[m].shared]);
	if (plain) {
		word = aim == OWN_MAP ? own.me : count;
		if (verdict != type->pass || !rogue_got(&rogue, &got) || !got ||
		    (rogue.write && word - ROGUE_WRITES >= UINT32_MAX))
			complain("does not succeed", &rogue, m, aim);
	} else if (verdict != type->safe || stopped != 1 || rogue_got(&rogue, NULL) ||
		   own.me != (u64)m + 1 || count >= UINT32_MAX) {
		complain("is not stopped", &rogue, m, aim);
	}
	if (of_after == of && by_after == by) {
		attacks[of][by][aim][rogue.write]++;
		with_shared[of][by] += group >= 0;
	} else {
		moved++;
	}
	rogue_close(&rogue);
}

void *attacker(void *unused)
{
	u32 n;

	for (n = 0; on; n++)
		attack_member(n, false);
	return NULL;
}

bool all_attacked(bool tell)
{
	static const enum moat_layer layers[] = { KEYED, VIEW };
	bool all = true;

	for (int i = 0; i < 4; i++) {
		enum moat_layer of = layers[i / 2], by = layers[i % 2];
		u64 sum = 0, least = UINT64_MAX;

		if (!possible(of, by))
			continue;
		for (int j = 0; j < 2 * AIMS; j++) {
			u64 n = attacks[of][by][j / 2][j % 2];

			sum += n;
			least = n < least ? n : least;
		}
		all &= least > 0 && (with_shared[of][by] > 0 || !sharing_possible(by));
		if (tell)
			diag("%s, attacked by %s: %llu attacks, each kind %llu times or more, "
			     "%llu by one that shares a map",
			     moat_layer_name[of], moat_layer_name[by], (unsigned long long)sum,
			     (unsigned long long)least, (unsigned long long)with_shared[of][by]);
	}
	return all;
}
