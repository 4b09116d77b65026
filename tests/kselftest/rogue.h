/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A program that goes after what is not its own, as soon as it is told where that
 * is. Until then its runs do nothing; that one it reads what it may share. The code is in
 * lib_rogue.c.
 */
#ifndef ROGUE_H
#define ROGUE_H

#include "programs.h"

#define ROGUE_WRITES 0x646f6e6520746861ULL

struct rogue {
	const struct prog_type *type;
	int prog, loot;
	bool write;
};

/* @shares: a map that it may read, or -1. */
struct rogue rogue_load(const struct prog_type *type, bool write, int shares);
/* Has its next run go there. */
void rogue_aim(const struct rogue *rogue, u64 where);
s64 rogue_attack(const struct rogue *rogue, u64 where);
/* Whether it got past the access, and what it read in it. */
bool rogue_got(const struct rogue *rogue, u64 *what);
/* The last it read of the map it shares */
u64 rogue_shared(const struct rogue *rogue);
void rogue_close(const struct rogue *rogue);

#endif
