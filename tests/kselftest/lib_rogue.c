// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "moat_test.h"

/* What a rogue has in its own map */
enum { WHERE, GOT, WHAT, SHARED };

struct rogue rogue_load(const struct prog_type *type, bool write, int shares)
{
	struct rogue rogue = { .type = type, .loot = map_of_words(0), .write = write };
	const struct bpf_insn insns[] = {
		LD_MAP_VALUE(R6, rogue.loot, 0),
		LD_MAP_VALUE(R7, shares >= 0 ? shares : rogue.loot, 0),
		LDX(BPF_DW, R2, R7, 0),
		STX(BPF_DW, R6, R2, 8 * SHARED),
		MOV_IMM(R0, type->pass),
		LDX(BPF_DW, R1, R6, 8 * WHERE),
		JMP_IMM(BPF_JEQ, R1, 0, 6),
		LD_IMM64(R3, ROGUE_WRITES),
		write ? STX(BPF_DW, R1, R3, 0) : LDX(BPF_DW, R3, R1, 0),
		STX(BPF_DW, R6, R3, 8 * WHAT),
		MOV_IMM(R1, 1),
		STX(BPF_DW, R6, R1, 8 * GOT),
		EXIT(),
	};

	bypass_verifier(true);
	rogue.prog = PROG_LOAD(type->type, "rogue", insns);
	bypass_verifier(false);
	if (rogue.prog < 0)
		bail("a rogue does not load: %s", strerror(errno));
	return rogue;
}

void rogue_aim(const struct rogue *rogue, u64 where)
{
	u64 value[MAP_WORDS] = { [WHERE] = where };
	u32 zero = 0;

	if (map_update(rogue->loot, &zero, value))
		bail("a rogue's map: %s", strerror(errno));
}

s64 rogue_attack(const struct rogue *rogue, u64 where)
{
	rogue_aim(rogue, where);
	return prog_run_once(rogue->prog);
}

bool rogue_got(const struct rogue *rogue, u64 *what)
{
	if (what)
		*what = map_word(rogue->loot, WHAT);
	return map_word(rogue->loot, GOT);
}

u64 rogue_shared(const struct rogue *rogue)
{
	return map_word(rogue->loot, SHARED);
}

void rogue_close(const struct rogue *rogue)
{
	close(rogue->prog);
	close(rogue->loot);
}
