/* SPDX-License-Identifier: GPL-2.0 */
/* Entries of the connection tracker, for programs to find and make. The code is in conns.c. */
#ifndef CONNS_H
#define CONNS_H

#include "moat_test.h"

/* The kernel's functions, by what is behind bpf_, or bpf_xdp_ and bpf_skb_ */
enum conn_func {
	CT_ALLOC, CT_LOOKUP, CT_INSERT, CT_RELEASE, CT_SET_TIMEOUT, CT_CHANGE_TIMEOUT,
	CT_SET_STATUS, CT_CHANGE_STATUS, CT_SET_NAT_INFO, CT_NR,
};

/* Fields of struct nf_conn */
enum conn_field { CT_TIMEOUT, CT_TUPLES, CT_STATUS, CT_MARK, CT_NET, CT_FIELDS };

/* Reads the kernel's types. False if it has none, or no tracker. */
bool conn_init(void);
u32 conn_offset(enum conn_field field);
/* How many entries there are in this namespace */
s64 conn_count(void);

/*
 * Pieces of a program (build.h) of type @t, with the context in R6. On the stack are a tuple
 * at TUPLE, of IPv4 from port @from to @to of 10.0.0.1 and 10.0.0.2, and options at OPTS.
 */
#define TUPLE	-32
#define OPTS	-16
#define ERROR	(OPTS + 4)

struct bpf_insn conn_call(const struct prog_type *t, enum conn_func func);
void conn_put_tuple(u16 from, u16 to);
void conn_put_opts(void);
/* R1 to R5, then R0 = what @func says; CT_ALLOC or CT_LOOKUP */
void conn_pass(int tuple, int tuple_size, int opts, int opts_size);
void conn_ask(const struct prog_type *t, enum conn_func func, u16 from, u16 to);
/* With @reg, a register */
void conn_release(const struct prog_type *t, int reg);

/*
 * What a program notes while it runs, a word each in an array of one value, of which @noted
 * is a copy after runs().
 */
#define WORDS	64
#define NOTHING	0x77	/* what is there if it is not noted */
extern int notes;
extern u64 noted[WORDS];

void note(int word, int reg);
void note_error(int word);
/* Of a connection, five words, or with @timeout, which is absolute once it is inserted, six */
void note_conn(int word, int reg, bool timeout);
/* The end of the program if @reg is NULL */
void need_conn(int reg);
/* Loads what is built, which the verifier accepts, and runs it to its end. */
bool runs(const struct prog_type *t, const char *what);
/* Whether it has noted what @which of eight did at level 2, which comes first. */
void same_as(int which, const struct prog_type *t, const char *what);

/* A plain program makes an entry, which stays for @ms; its address, in the kernel. */
u64 conn_make(u16 from, u16 to, u32 ms);
/* A plain program looks it up, and keeps the reference. */
u64 conn_keep(u16 from, u16 to);
/* A plain program reads what it is told: how many references there are. */
int conn_references(u64 addr);
/* Plain programs read 32 bits of it, and write them. */
u32 conn_field(u64 addr, enum conn_field field);
void conn_set_field(u64 addr, enum conn_field field, u32 value);
/* A plain program gives a reference back. */
void conn_give_back(u64 addr);
/* A plain program inserts what was made, and keeps no reference. */
void conn_insert(u64 addr);
/* A plain program has it expire; it is gone then, if nobody keeps it. */
void conn_expire(u16 from, u16 to);

#endif
