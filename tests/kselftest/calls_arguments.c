// SPDX-License-Identifier: GPL-2.0
#include "calls_helpers.h"
#include "locks.h"
#include "timers.h"

static void stack(int reg, int off)
{
	E(MOV_REG(reg, R10), ALU64_IMM(BPF_ADD, reg, off));
}

static void own(int reg, int off)
{
	E(MOV_REG(reg, R7), ALU64_IMM(BPF_ADD, reg, off));
}

/* As bad as can be */
static void worst(struct calls *c, int reg)
{
	switch (below(&c->rng, 12)) {
	case 0:
	case 1:
		E(LD_IMM64(reg, c->foreign[below(&c->rng, c->nr_foreign)]));
		break;
	case 2:
		E(MOV_IMM(reg, PICK(&c->rng, 0, -1, 1, 8, 4096, -4096, 0x7fffffff, -0x7fffffff)));
		break;
	case 3:
		E(LD_IMM64(reg, any(&c->rng) >> below(&c->rng, 64)));
		break;
	case 4:
		stack(reg, PICK(&c->rng, 0, 8, 64, -1, -4, -8, -504, -512, -520, -576, -4096, 4096, 65536));
		break;
	case 5:
		own(reg, PICK(&c->rng, -8, OWN_SIZE - 1, OWN_SIZE - 4, OWN_SIZE, 1 << 20, -4096, -1));
		break;
	case 6:
		E(LD_MAP_FD(reg, c->map[below(&c->rng, MAPS)]));
		break;
	case 7:
	case 8:
		E(LDX(BPF_DW, reg, R7, RESULTS + 8 * below(&c->rng, NR_RESULTS)));
		break;
	case 9:
		E(LDX(BPF_DW, reg, R7, HELD + 8 * below(&c->rng, NOTHING)),
		  ALU64_IMM(BPF_ADD, reg, PICK(&c->rng, 0, 0, 1, 8, -8, -16, 24, 64, 4096)));
		break;
	case 10:
		calls_function(c, reg);
		break;
	default:
		E(MOV_REG(reg, R6), ALU64_IMM(BPF_ADD, reg, PICK(&c->rng, 0, 8, -8, 256)));
	}
}

static void held(struct calls *c, int reg, enum held what)
{
	E(LDX(BPF_DW, reg, R7, HELD + 8 * what));
}

/* One of @n maps from the first on */
static void map_of(struct calls *c, int reg, enum map first, u32 n)
{
	E(LD_MAP_FD(reg, c->map[first + below(&c->rng, n)]));
}

/* Kinds that are one of some maps */
static const struct {
	enum map first;
	u32 n;
} maps_of[] = {
	[WALKED] = { ARRAY, LRU - ARRAY + 1 },
	[PER_CPU] = { PERCPU_ARRAY, 2 },
	[FIFO] = { QUEUE, 3 },
	[RINGS] = { RING, 1 },
	[EVENTS] = { PERF, 1 },
	[REDIRECTS] = { DEVMAP, 3 },
	[PROGRAMS] = { PROGS, 1 },
	[OF_CGROUPS] = { CGROUPS, 1 },
	[TIMED] = { TIMED_ARRAY, 2 },
	[USER_RINGS] = { USER_RING, 1 },
	[OF_SOCKETS] = { SK_STORAGE, 1 },
	[OF_CGROUP] = { CGROUP_STORAGE, 1 },
};

/* In the value of an array with one entry, or of a hash, if one was found */
static void in_value(struct calls *c, int reg, enum map array, int off)
{
	if (one_in(&c->rng, 3))
		E(LDX(BPF_DW, reg, R7, HELD + 8 * VALUE_HELD), ALU64_IMM(BPF_ADD, reg, off));
	else
		E(LD_MAP_VALUE(reg, c->map[array], off));
}

/* May clobber R0 to R5 below @reg only by constants: arguments are made from the last on. */
void calls_argument(struct calls *c, int reg, enum kind kind)
{
	if (kind != NO_ARG && c->worst && one_in(&c->rng, c->worst)) {
		worst(c, reg);
		return;
	}
	switch (kind) {
	case NO_ARG:
		break;
	case CTX:
		E(MOV_REG(reg, R6));
		break;
	case MEM:
	case ITEM:
		if (one_in(&c->rng, 2))
			stack(reg, -256);
		else
			own(reg, SCRATCH + 8 * below(&c->rng, 64));
		break;
	case KEY:
		stack(reg, -8 * (1 + below(&c->rng, 4)));
		break;
	case SIZE:
		E(MOV_IMM(reg, PICK(&c->rng, 1, 4, 8, 12, 16, 20, 24, 28, 32, 40, 64)));
		break;
	case NUM:
		E(MOV_IMM(reg, PICK(&c->rng, 0, 0, 1, 2, 3, 4, 14, 20, 64, 1000, -4)));
		break;
	case FLAGS:
		E(MOV_IMM(reg, one_in(&c->rng, 3) ? PICK(&c->rng, 1, 2, 4, 8, 16) : 0));
		break;
	case NETNS:
		E(MOV_IMM(reg, -1));
		break;
	case TUPLE:
		own(reg, TUPLES + 16 * below(&c->rng, NR_TUPLES));
		break;
	case TUPLE_SIZE:
		E(MOV_IMM(reg, 12));
		break;
	case STRING:
		own(reg, FORMAT);
		break;
	case KEYS:
		if (one_in(&c->rng, 10))
			held(c, reg, MAP_HELD);
		else if (one_in(&c->rng, 8))
			E(LD_MAP_FD(reg, c->map[PICK(&c->rng, DEVMAP, XSKMAP, SOCKMAP, SOCKHASH)]));
		else
			map_of(c, reg, ARRAY, TIMED_HASH - ARRAY + 1);
		break;
	case WALKED:
	case PER_CPU:
	case FIFO:
	case RINGS:
	case EVENTS:
	case REDIRECTS:
	case PROGRAMS:
	case OF_CGROUPS:
	case TIMED:
	case USER_RINGS:
	case OF_SOCKETS:
	case OF_CGROUP:
		map_of(c, reg, maps_of[kind].first, maps_of[kind].n);
		break;
	case REC:
		held(c, reg, RECORD_HELD);
		break;
	case SOCK:
		held(c, reg, SOCKET_HELD);
		break;
	case LOCK:
		in_value(c, reg, LOCKED_ARRAY, LOCK_AT);
		break;
	case TIMER:
		in_value(c, reg, TIMED_ARRAY, TIMER_AT);
		break;
	case DYNPTR:
		stack(reg, one_in(&c->rng, 4) ? -320 : -304);
		break;
	case OWN:
		own(reg, SCRATCH + 8 * below(&c->rng, 64));
		break;
	case CREATE:
		E(MOV_IMM(reg, one_in(&c->rng, 4) ? 0 : BPF_SK_STORAGE_GET_F_CREATE));
		break;
	case FUNC:
		calls_function(c, reg);
	}
}
