// SPDX-License-Identifier: GPL-2.0
/*
 * What isolation costs: instructions, PKRS and CR3 writes per run of small programs
 * at level 0, and at level 2 with a key and in a view. In a guest with ICOUNT=1 an
 * instruction takes one nanosecond, so that BPF_PROG_TEST_RUN's duration is
 * instructions per run, its own loop included.
 *
 * `bench --check` also fails when a cost is above its limit.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "programs.h"

#define REPEAT 500
#define ROUNDS 40

#define SYSCTL "/proc/sys/kernel/moat/"
#define PKRS_WRITES "/sys/kernel/debug/moat/pkrs_writes"
#define CR3_WRITES "/sys/kernel/debug/moat/cr3_writes"

struct cost {
	long insns;
	double writes, cr3;	/* negative: nobody counts them */
};

static const struct program {
	const char *name;
	enum bpf_prog_type type;
	const struct bpf_insn *insns;
	size_t count;
	enum bpf_map_type map;
	unsigned int verdict;
} programs[] = {
#define P(n, t, p, m, v) { n, BPF_PROG_TYPE_##t, p, sizeof(p) / sizeof(p[0]), m, v }
	P("empty", SOCKET_FILTER, p_empty, 0, 0),
	P("two ctx reads", SOCKET_FILTER, p_two_ctx, 0, sizeof(packet) - 14),
	P("one helper", SOCKET_FILTER, p_helper, 0, 0),
	P("four helpers", SOCKET_FILTER, p_four_helpers, 0, 0),
	P("array update", SOCKET_FILTER, p_array, BPF_MAP_TYPE_ARRAY, 0),
	P("hash update", SOCKET_FILTER, p_hash, BPF_MAP_TYPE_HASH, 0),
	P("empty XDP", XDP, p_xdp_empty, 0, XDP_PASS),
	P("XDP header parse", XDP, p_xdp_parse, 0, XDP_PASS),
};
enum { EMPTY, TWO_CTX, ONE_HELPER, FOUR_HELPERS, PROGRAMS = sizeof(programs) / sizeof(programs[0]) };

static void die(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void set_level(const char *level)
{
	static const char *const files[] = { SYSCTL "xdp", SYSCTL "socket_filter" };

	for (int i = 0; i < 2; i++) {
		FILE *f = fopen(files[i], "w");

		if (!f || fputs(level, f) < 0 || fclose(f))
			die(files[i]);
	}
}

/* Programs loaded from now on get keys, or do not. */
static void set_keys(int keys)
{
	FILE *f = fopen(SYSCTL "keys", "w");

	if (!f || fprintf(f, "%d", keys) < 0 || fclose(f))
		die(SYSCTL "keys");
}

static double counted(const char *path)
{
	unsigned long long n;
	FILE *f = fopen(path, "r");

	if (!f)
		return -1;
	if (fscanf(f, "%llu", &n) != 1)
		die(path);
	fclose(f);
	return n;
}

static int load(const struct program *p)
{
	struct bpf_insn insns[64];
	int map = -1, fd;

	memcpy(insns, p->insns, p->count * sizeof(insns[0]));
	if (p->map) {
		map = bpf_map_create(p->map, "bench", 4, 8, 16, NULL);
		if (map < 0)
			die("map");
	}
	for (size_t i = 0; i < p->count; i++)
		if (insns[i].src_reg == BPF_PSEUDO_MAP_FD && insns[i].code == (BPF_LD | BPF_IMM | BPF_DW))
			insns[i].imm = map;
	fd = bpf_prog_load(p->type, "bench", "GPL", insns, p->count, NULL);
	if (fd < 0)
		die(p->name);
	if (map >= 0)
		close(map);
	return fd;
}

static struct cost measure(const struct program *p)
{
	struct cost c = { -1, -1, -1 };
	int fd = load(p);
	double before = counted(PKRS_WRITES), cr3 = counted(CR3_WRITES);

	for (int i = 0; i < ROUNDS; i++) {
		LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = packet,
			    .data_size_in = sizeof(packet), .repeat = REPEAT);

		if (bpf_prog_test_run_opts(fd, &run))
			die("BPF_PROG_TEST_RUN");
		if (run.retval != p->verdict) {
			fprintf(stderr, "bench: %s returned %u, not %u\n", p->name, run.retval, p->verdict);
			exit(1);
		}
		/* The round that no timer interrupt fell into. */
		if (c.insns < 0 || run.duration < c.insns)
			c.insns = run.duration;
	}
	if (before >= 0) {
		c.writes = (counted(PKRS_WRITES) - before) / (ROUNDS * REPEAT);
		c.cr3 = (counted(CR3_WRITES) - cr3) / (ROUNDS * REPEAT);
	}
	close(fd);
	return c;
}

static void print_writes(double w)
{
	if (w < 0)
		printf(" %8s", "-");
	else
		printf(" %8.2f", w);
}

/* 5 % are for runs that an interrupt came into. */
static int cost(const char *what, double cost, double goal)
{
	int met = cost >= 0 && cost <= goal * 1.05;

	printf("%-28s %7.1f  (at most %g: %s)\n", what, cost, goal, met ? "met" : "MISSED");
	return !met;
}

int main(int argc, char **argv)
{
	int check = argc == 2 && !strcmp(argv[1], "--check"), missed = 0;
	int moat = !access(SYSCTL, F_OK);
	struct cost off[PROGRAMS], on[PROGRAMS], view[PROGRAMS];

	if (argc > 1 && !check) {
		fprintf(stderr, "usage: bench [--check]\n");
		return 2;
	}
	if (check && !moat) {
		fprintf(stderr, "bench: moat.ko is not loaded\n");
		return 1;
	}
	printf("%-18s %8s %8s %8s %8s %8s %8s %8s %8s\n", "", "level 0", "level 2", "PKRS",
	       "added", "in view", "PKRS", "CR3", "added");
	for (int i = 0; i < PROGRAMS; i++) {
		if (moat)
			set_level("0");
		off[i] = measure(&programs[i]);
		printf("%-18s %8ld", programs[i].name, off[i].insns);
		if (!moat) {
			printf("\n");
			continue;
		}
		set_level("2");
		on[i] = measure(&programs[i]);
		set_keys(0);
		view[i] = measure(&programs[i]);
		set_keys(13);
		set_level("0");
		printf(" %8ld", on[i].insns);
		print_writes(on[i].writes);
		printf(" %8ld %8ld", on[i].insns - off[i].insns, view[i].insns);
		print_writes(view[i].writes);
		print_writes(view[i].cr3);
		printf(" %8ld\n", view[i].insns - off[i].insns);
	}
	if (!moat)
		return 0;

#define ADDED(i) ((double)(on[i].insns - off[i].insns))
	if (on[ONE_HELPER].writes == 0 || view[EMPTY].cr3 == 0) {
		printf("\nno PKRS or CR3 write at level 2: nothing was isolated\n");
		return 1;
	}
	printf("\nadded instructions and PKRS writes\n");
	missed |= cost("an empty run", ADDED(EMPTY), 80);
	missed |= cost("an empty run, PKRS writes", on[EMPTY].writes, 2);
	missed |= cost("a helper call", (ADDED(FOUR_HELPERS) - ADDED(ONE_HELPER)) / 3, 40);
	missed |= cost("a helper call, PKRS writes",
		       (on[FOUR_HELPERS].writes - on[ONE_HELPER].writes) / 3, 2);
	missed |= cost("a context field", (ADDED(TWO_CTX) - ADDED(EMPTY)) / 2, 10);
	missed |= cost("a view, beyond a key", (double)(view[EMPTY].insns - on[EMPTY].insns), 30);
	missed |= cost("a view, CR3 writes", view[EMPTY].cr3, 2);
	return check && missed;
}
