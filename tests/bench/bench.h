/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the bench's files share. A row of its tables is measured once for each layer
 * that its programs can run in.
 */
#ifndef BENCH_H
#define BENCH_H

#include <linux/bpf.h>
#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include "settings.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* PLAIN is level 0, or a kernel without MOAT. */
enum layer { PLAIN, KEYED, VIEW, CONFINED, LAYERS };

/* Of one operation, in the quietest round */
struct cost {
	double insns;	/* negative: there is no such layer */
	double pkrs, cr3;	/* writes; negative: nobody counts them */
};

struct program {
	enum bpf_prog_type type;
	const struct bpf_insn *insns;
	size_t count;
	enum bpf_map_type map;
	unsigned int verdict;
	bool on_demand;		/* elements of the map are made when they are needed */
	int elements;		/* that it has; 0: one */
};

/* What is measured is in one table, with what it may cost: rows.c. */
struct row {
	const char *name;
	/* A run by BPF_PROG_TEST_RUN, something end to end, or what happens to all */
	enum { PROGRAM, END_TO_END, INTERRUPT } table;
	/* Decides which layers there are. */
	enum { NOTHING, EBPF, CLASSIC, SECCOMP } runs;
	struct cost (*measure)(const struct row *row);
	struct program prog;
	const struct sock_fprog *filter;
	int which;	/* for @measure */
	/* What isolation may add to the plain row, in instructions; 0: no limit yet */
	int keyed, view;
	int pkrs;	/* and so many writes; in a view as many of CR3 */
	/* What is to be reached with a key: instructions, or end to end per cent. 0: none */
	int goal, goal_pkrs;
};

extern const struct row rows[];
extern const int nr_rows;

/* layers.c */
bool layer_exists(const struct row *row, enum layer layer);
/* For what is loaded and attached from now on */
void set_layer(enum layer layer);

/* rounds.c */
struct counters {
	double pkrs, cr3;
};

struct counters read_counters(void);
/* Keeps in @best the cost of @n operations in @insns, if no round was quieter. */
void keep_quietest(struct cost *best, double insns, const struct counters *before, int n);

struct operation {
	bool (*run)(void *arg);	/* false: not as it should be, so does not count */
	void (*settle)(void *arg);	/* afterwards; may be NULL */
	void *arg;
};

#define OPERATIONS 3200	/* so many it does in all */
struct cost quietest(const struct operation *op);

static inline unsigned long long now(void)
{
	return __builtin_ia32_rdtsc();
}

/* test_run.c: BPF_PROG_TEST_RUN, and programs for others */
int map_for(const struct program *prog);	/* -1: it has none */
int load(const struct program *prog, const char *name, int map);
unsigned long long counted(int map);	/* in its first value */
struct cost test_run(const char *name, int fd, unsigned int verdict);
struct cost measure_test_run(const struct row *row);
struct cost measure_tail_call(const struct row *row);

/* packets.c */
struct cost measure_loopback(const struct row *row);
struct cost measure_veth(const struct row *row);
struct cost measure_packet_socket(const struct row *row);
enum { VETH_SAME, VETH_SWAPPED, VETH_REDIRECTED };

/* filters.c */
extern const struct sock_fprog udp_port_53, port_and_data, allow_list;
struct cost measure_system_call(const struct row *row);
enum { CALL_ARGUMENT, CALL_ERRNO };

/* interrupts.c */
struct cost measure_kernel_interrupt(const struct row *row);
struct cost measure_user_interrupt(const struct row *row);

#endif
