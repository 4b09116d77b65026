/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Maps of maps, and programs that use what is in them.
 */
#ifndef MOAT_VISITOR_H
#define MOAT_VISITOR_H

#include "moat_test.h"

/* Words of a visitor's own map: what it is to do, how often it did, what it saw */
enum { MODE, RUNS, EMPTY, INNER, WHERE, GOT, KEY, WORDS = 8 };
/* Add one to the word of the map at KEY; read where it found that map or word before */
enum { VISIT, BY_MAP, BY_VALUE };

int outer_create(enum bpf_map_type type, int like);
/* The same with so many entries, or -1 with errno */
int outer_of(enum bpf_map_type type, int like, u32 entries, u32 flags);
/* One 64 bit word, at key 0 */
int inner_create(enum bpf_map_type type, u64 first);
u64 inner_word(int map);
/* Puts a map at key 0, and takes it out again. */
int put(int outer, int inner);
void take_out(int outer);

/* -1 with errno and prog_log if it is refused */
int visitor_load(const struct prog_type *type, int own, int outer);
int visitor(const struct prog_type *type, int own, int outer);
void set_mode(int own, u64 mode);
void set_key(int own, u64 key);

#endif
