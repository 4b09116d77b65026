/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Attacks by programs that no verifier looked at, and what must become of each.
 *
 * Each attack runs twice. At level 0 it must succeed, or it proves nothing. At
 * level 2, or 1, it must be stopped with the type's safe verdict, stay stopped, be
 * reported, have no effect, and a well-behaved program must run as before. The
 * code is in lib_attack.c.
 */
#ifndef ATTACK_H
#define ATTACK_H

#include "moat_test.h"

#define MARK 0x5eed5eed5eed5eedULL
#define DONE 0x0d0e0d0e0d0e0d0eULL

/* Where attackers leave what they got: [0] a value, [1] DONE. */
extern int loot;
extern int level;	/* of all types, now */

u64 loot_at(u32 i);
void loot_clear(void);
/* An array with one value of @size bytes; ends the test if there is none. */
int array_of(u32 size);
/* The address of the map itself, from a program that is not isolated */
u64 map_address(int map);
/* From one of type @t: an array of programs belongs to one type. */
u64 map_address_for(const struct prog_type *t, int map);
/* One of the first 16 words in it */
u64 slot(int map, u32 i);

/* prog_load() with a diagnostic */
int load(const struct prog_type *t, const char *name, const struct bpf_insn *insns, size_t cnt);
/* Whether a program with nothing wrong with it runs, isolated as of now. */
bool others_run(void);
/* Makes it a run on a packet of @size bytes 0xab. */
void run_packet(struct run *run, u32 size);

/*
 * @line says what was stopped. With @access "read" or "write" it must name that
 * and, unless it is ANYWHERE, the address; else the helper that @access names.
 */
#define ANYWHERE 1
#define RETURN "return to an unknown place"
bool reported(const char *line, const char *access, u64 addr);

/*
 * An attack of a single program. It must leave DONE in loot[1] behind itself
 * if it gets that far, and then return @t->pass.
 */
struct attack {
	const struct prog_type *t;
	const char *name;	/* of the program: 15 characters */
	const char *access;
	u64 addr;
	bool (*landed)(struct run *run, const void *arg);
	const void *arg;
	const char *what;
};

void attack(const struct attack *a, const struct bpf_insn *insns, size_t cnt);
#define ATTACK(INSNS, ...) \
	attack(&(struct attack){ __VA_ARGS__ }, INSNS, ARRAY_SIZE(INSNS))

/* For @landed: loot[0] is *(u64 *)@arg; the program got to its end; the canary "data" is MARK. */
bool loot_is(struct run *run, const void *arg);
bool loot_is_done(struct run *run, const void *arg);
bool data_is_mark(struct run *run, const void *arg);

/* R0 = verdict; loot[1] = DONE. Ends every attacker; clobbers R7, R8. */
#define FINISH(T) \
	LD_MAP_VALUE(R7, loot, 0), \
	LD_IMM64(R8, DONE), \
	STX(BPF_DW, R7, R8, 8), \
	MOV_IMM(R0, (T)->pass), \
	EXIT()
/* loot[0] = R3; clobbers R7 */
#define TAKE_R3() LD_MAP_VALUE(R7, loot, 0), STX(BPF_DW, R7, R3, 0)

/* The test: @attacks at level 2 and at level 0; returns what main() does. */
int at_each_level(void (*attacks)(void));
/* The same at levels 2, 1 and 0. */
int at_all_levels(void (*attacks)(void));

#endif
