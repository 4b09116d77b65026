// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 keys=13,0 full=1 timeout=300 */
/*
 * Calls that know their map, and lookups without a call: is what they make of any
 * arguments what an audit would make of them? Do they read keys that are not the
 * program's?
 *
 * A call that two maps reach is always audited. Each pair of programs differs in that
 * alone: they must return the same, leave the same in maps, or both be stopped. What is
 * really in the map's register is put there in the image, behind the verifier's back.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "attack.h"

#define KEY 0x1122334455667788ULL
#define MOST_CPUS 64

enum op { LOOKUP, UPDATE, DELETE, NR_OPS };
static const char *const op_name[] = { "lookup", "update", "delete" };

/* Where an argument points */
enum place { STACK, STACK_END, CONTEXT, VALUE, FAR, KERNEL, NOWHERE, NR_PLACES };
static const char *const place_name[] = {
	"the stack", "the end of the stack", "the context", "a map value", "beyond the slots",
	"kernel memory", "nowhere"
};

static int mine, mine_too, foreign, values;
/* Maps of maps hold these, in this order. */
static int inner[3];
static bool of_maps;
static u64 key_word = KEY;

/* What became of a run, and of the maps */
struct outcome {
	u32 retval;
	u64 loot, done;
	u64 in_mine, in_mine_too, in_foreign;
};

static u64 content(int fd)
{
	u64 key = key_word, v[MOST_CPUS] = {}, sum = 0;
	int i;

	if (of_maps)
		return 0;
	if (map_lookup(fd, &key, v))
		return ~0ULL;
	for (i = 0; i < MOST_CPUS; i++)
		sum += v[i];
	return sum;
}

/* Nothing else is in it. */
static void fill(int fd, u64 with)
{
	u64 key, v[MOST_CPUS];
	int i;

	if (of_maps)
		return;
	while (!bpf_map_get_next_key(fd, NULL, &key))
		map_delete(fd, &key);
	key = KEY;
	for (i = 0; i < MOST_CPUS; i++)
		v[i] = with;
	if (map_update(fd, &key, v))
		bail("map: %s", strerror(errno));
}

/* @reg = an address at @place, where there is a key or a value if there can be */
static int point(struct bpf_insn *insns, int reg, enum place place)
{
	const struct bpf_insn value[] = { LD_MAP_VALUE(reg, values, 8) };
	const struct bpf_insn kernel[] = { LD_IMM64(reg, target("data")) };
	const struct bpf_insn nowhere[] = { LD_IMM64(reg, 0x8000000000000000ULL) };
	const struct bpf_insn stack[] = { MOV_REG(reg, R10), ALU64_IMM(BPF_ADD, reg, -64) };
	const struct bpf_insn end[] = { MOV_REG(reg, R10), ALU64_IMM(BPF_ADD, reg, -7) };
	const struct bpf_insn far[] = { MOV_REG(reg, R10), ALU64_IMM(BPF_ADD, reg, 1 << 30) };
	const struct bpf_insn context[] = { MOV_REG(reg, R6), ALU64_IMM(BPF_ADD, reg, 0) };
	const struct bpf_insn *const at[] = { stack, end, context, value, far, kernel, nowhere };

	memcpy(insns, at[place], 2 * sizeof(*insns));
	return 2;
}

static struct outcome attempt(enum op op, bool known, u64 map, enum place key, enum place value)
{
	static const int funcs[] = {
		BPF_FUNC_map_lookup_elem, BPF_FUNC_map_update_elem, BPF_FUNC_map_delete_elem
	};
	struct bpf_insn insns[80] = {
		MOV_REG(R6, R1),
		LD_IMM64(R3, key_word),
		STX(BPF_DW, R10, R3, -64),
		/* the program uses both */
		LD_MAP_FD(R1, mine_too),
		LD_MAP_FD(R1, mine),
	};
	const struct bpf_insn both[] = {
		LDX(BPF_W, R3, R6, offsetof(struct xdp_md, rx_queue_index)),
		JMP_IMM(BPF_JNE, R3, 0x7fff, 2),
		LD_MAP_FD(R1, mine_too),
	};
	const struct bpf_insn replaced[] = { LD_IMM64(R5, SPOIL_ME) };
	const struct bpf_insn call[] = {
		MOV_IMM(R4, 0), INSN(BPF_JMP | BPF_CALL, 0, 0, 0, funcs[op]),
	};
	const struct bpf_insn read[] = {
		MOV_IMM(R3, 0x999), JMP_IMM(BPF_JEQ, R0, 0, 2), LDX(BPF_DW, R3, R0, 0), JA(1),
		MOV_IMM(R3, 0x998),
	};
	const struct bpf_insn result[] = { MOV_REG(R3, R0) };
	const struct bpf_insn rest[] = { TAKE_R3(), FINISH(&xdp) };
	struct outcome out = {};
	struct run run;
	int n = 8, fd;

#define APPEND(PART) (memcpy(insns + n, PART, sizeof(PART)), n += ARRAY_SIZE(PART))
	if (!known)
		APPEND(both);
	n += point(insns + n, R2, key);
	n += point(insns + n, R3, value);
	APPEND(replaced);
	APPEND(call);
	if (op == LOOKUP && !of_maps)
		APPEND(read);
	else
		APPEND(result);
	APPEND(rest);
#undef APPEND

	loot_clear();
	fill(mine, 11);
	fill(mine_too, 22);
	fill(foreign, 33);
	/* movabs $map, %rdi: in the order of memory */
	if (write_file(SPOIL, "0 48bf%016lx", __builtin_bswap64(map)))
		bail("%s: %s", SPOIL, strerror(errno));
	fd = load(&xdp, "map_call", insns, n);
	if (fd < 0)
		bail("a program does not load");
	run_packet(&run, 64);
	if (prog_run(fd, &run))
		bail("a program does not run: %s", strerror(errno));
	out.retval = run.retval;
	out.loot = loot_at(0);
	out.done = loot_at(1);
	out.in_mine = content(mine);
	out.in_mine_too = content(mine_too);
	out.in_foreign = content(foreign);
	close(fd);
	return out;
}

static bool same(enum bpf_map_type type, enum op op, const char *whose, u64 map, enum place key,
		 enum place value)
{
	struct outcome a = attempt(op, true, map, key, value);
	struct outcome b = attempt(op, false, map, key, value);

	if (a.retval == b.retval && a.loot == b.loot && a.done == b.done &&
	    a.in_mine == b.in_mine && a.in_mine_too == b.in_mine_too &&
	    a.in_foreign == b.in_foreign)
		return true;
	diag("type %d: %s in %s, key in %s, value in %s", type, op_name[op], whose,
	     place_name[key], place_name[value]);
	diag("%u %lx %lx %lx %lx, not", a.retval, a.loot, a.in_mine, a.in_mine_too,
	     a.in_foreign);
	diag("%u %lx %lx %lx %lx", b.retval, b.loot, b.in_mine, b.in_mine_too, b.in_foreign);
	return false;
}

/* The ordinary call does what it should, so that the same is not the same nothing. */
static bool works(enum op op, u64 before)
{
	struct outcome out = attempt(op, true, map_address(mine), STACK, STACK);

	if (out.retval != xdp.pass || out.done != DONE)
		return false;
	switch (op) {
	case LOOKUP:
		if (of_maps)
			return out.loot == map_address(inner[0]);
		return out.loot == 11 && out.in_mine == before;
	case UPDATE:
		return out.loot == 0 && out.in_mine != before && out.in_mine != ~0ULL;
	default:
		return out.loot == 0 && out.in_mine == ~0ULL;
	}
}

/* A map of type @type, with what belongs to @inner's map @n if it is one of maps */
static int make_map(enum bpf_map_type type, int n)
{
	int fd;

	if (!of_maps)
		return map_create(type, 8, 8, 16);
	inner[n] = map_create(BPF_MAP_TYPE_HASH, 8, 8, 16);
	LIBBPF_OPTS(bpf_map_create_opts, like, .inner_map_fd = inner[n]);
	fd = bpf_map_create(type, "outer", type == BPF_MAP_TYPE_ARRAY_OF_MAPS ? 4 : 8, 4, 16,
			    &like);
	if (fd >= 0 && map_update(fd, &key_word, &inner[n]))
		bail("a map of maps: %s", strerror(errno));
	return fd;
}

static void compare(enum bpf_map_type type, const char *name)
{
	static const char *const whose[] = {
		"its map", "its other map", "a map of others", "no map"
	};
	u64 addr[ARRAY_SIZE(whose)];
	enum op op;
	size_t i;

	u64 keys[8];
	u32 zero = 0;

	of_maps = type == BPF_MAP_TYPE_ARRAY_OF_MAPS || type == BPF_MAP_TYPE_HASH_OF_MAPS;
	key_word = type == BPF_MAP_TYPE_ARRAY_OF_MAPS ? 3 : KEY;
	keys[0] = key_word;
	keys[1] = key_word;
	map_update(values, &zero, keys);
	mine = make_map(type, 0);
	mine_too = make_map(type, 1);
	foreign = make_map(type, 2);
	if (mine < 0 || mine_too < 0 || foreign < 0)
		bail("maps: %s", strerror(errno));
	addr[0] = map_address(mine);
	addr[1] = map_address(mine_too);
	addr[2] = map_address(foreign);
	addr[3] = target("data");
	fill(mine, 11);
	for (op = 0; op < (of_maps ? UPDATE : NR_OPS); op++) {
		int wrong = 0, all = 0;
		enum place key, value;

		ok(works(op, content(mine)), "%s: %s: works", name, op_name[op]);
		for (i = 0; i < ARRAY_SIZE(addr); i++) {
			for (key = 0; key < NR_PLACES; key++) {
				wrong += !same(type, op, whose[i], addr[i], key, STACK);
				all++;
			}
			for (value = 1; op == UPDATE && value < NR_PLACES; value++) {
				wrong += !same(type, op, whose[i], addr[i], STACK, value);
				all++;
			}
		}
		ok(!wrong, "%s: %s: of %d pairs of arguments, none is taken otherwise", name,
		   op_name[op], all);
	}
	close(mine);
	close(mine_too);
	close(foreign);
	for (i = 0; of_maps && i < ARRAY_SIZE(inner); i++)
		close(inner[i]);
}

/* The index that is in kernel memory from the last byte of a canary on */
#define KERNEL_INDEX 0x1016d

/*
 * A lookup in an array takes its index from kernel memory: at level 0, the program
 * finds out what is there by the value it gets.
 */
static void rogue_index(enum bpf_map_type type, int helper, const char *name, const char *what)
{
	u64 data = target("data") + 7, v[MOST_CPUS], mark = MARK;
	u32 index = KERNEL_INDEX;
	int array = map_create(type, 4, 8, KERNEL_INDEX + 1), i;

	if (array < 0)
		bail("array: %s", strerror(errno));
	for (i = 0; i < MOST_CPUS; i++)
		v[i] = MARK;
	if (map_update(array, &index, v))
		bail("array: %s", strerror(errno));
	struct bpf_insn insns[] = {
		LD_MAP_FD(R1, array),
		LD_IMM64(R2, data),
		MOV_IMM(R3, 0),
		INSN(BPF_JMP | BPF_CALL, 0, 0, 0, helper),
		MOV_IMM(R3, 0),
		JMP_IMM(BPF_JEQ, R0, 0, 1),
		LDX(BPF_DW, R3, R0, 0),
		TAKE_R3(),
		FINISH(&xdp),
	};
	ATTACK(insns, &xdp, name, "read", data, loot_is, &mark, what);
	close(array);
}

static void attacks(void)
{
	rogue_index(BPF_MAP_TYPE_ARRAY, BPF_FUNC_map_lookup_elem, "rogue_index",
		    "an array's index is kernel memory");
	rogue_index(BPF_MAP_TYPE_PERCPU_ARRAY, BPF_FUNC_map_lookup_elem, "rogue_pindex",
		    "a per-CPU array's index is kernel memory");
	rogue_index(BPF_MAP_TYPE_PERCPU_ARRAY, BPF_FUNC_map_lookup_percpu_elem, "rogue_cindex",
		    "the index of a CPU's value is kernel memory");
	if (level != 2)
		return;
	values = array_of(64);
	compare(BPF_MAP_TYPE_HASH, "hash");
	compare(BPF_MAP_TYPE_LRU_HASH, "LRU hash");
	compare(BPF_MAP_TYPE_PERCPU_HASH, "per-CPU hash");
	compare(BPF_MAP_TYPE_LRU_PERCPU_HASH, "per-CPU LRU hash");
	compare(BPF_MAP_TYPE_ARRAY_OF_MAPS, "array of maps");
	compare(BPF_MAP_TYPE_HASH_OF_MAPS, "hash of maps");
	close(values);
}

int main(void)
{
	pin_to_cpu(1);
	return at_each_level(attacks);
}
