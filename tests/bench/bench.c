// SPDX-License-Identifier: GPL-2.0
/*
 * What isolation costs: instructions, PKRS and CR3 writes, of small programs, of packets
 * and system calls from end to end; at level 0, and at level 2 with a key and in a view.
 * In a guest with ICOUNT=1 an instruction takes one nanosecond.
 *
 * `bench --check` also fails when a cost is above its limit. --plain, or a kernel without
 * MOAT: only what plain programs take, to be compared between kernels.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "bench.h"

/* What a write of the register may take on a CPU that has PKS: docs/cost.md */
static double pkrs_cycles = 30, cr3_cycles = 300;

static bool missed, plain_only;

static const char *const layer_name[] = { "plain", "keyed", "view", "confined" };

void die(const char *what)
{
	fflush(stdout);
	fprintf(stderr, "bench: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
	exit(1);
}

static void print_heading(int table)
{
	static const char *const titles[] = { "a run", "from end to end", "an interrupt" };

	printf("\n%-32s%-8s  %8s  %8s  %5s  %5s  %5s  %6s\n", titles[table], "layer", "insns",
	       "added", "%", "PKRS", "CR3", "model%");
}

static void print_number(double n, int width, int digits)
{
	if (n < 0)
		printf("  %*s", width, "-");
	else
		printf("  %*.*f", width, digits, n);
}

static void print_limit(const struct row *row, enum layer layer, const struct cost *cost,
			double added)
{
	int most = layer == KEYED ? row->keyed : layer == VIEW ? row->view : 0;
	int pkrs = layer == CONFINED ? 0 : row->pkrs;
	bool met;

	if (!most && layer != CONFINED) {
		printf("  no limit yet");
	} else {
		met = added <= most && cost->pkrs <= pkrs &&
		      cost->cr3 <= (layer == VIEW ? pkrs : 0);
		printf("  at most %d, %d: %s", most, pkrs, met ? "met" : "MISSED");
		missed |= !met;
	}
}

static void print_goal(const struct row *row, const struct cost *cost, const struct cost *plain)
{
	double added = cost->insns - plain->insns;
	bool reached = cost->insns >= 0 && cost->pkrs <= row->goal_pkrs;

	if (!row->goal)
		return;
	if (row->table == END_TO_END)
		added *= 100 / plain->insns;
	reached &= added <= row->goal;
	printf("  goal %d%s, %d: %s", row->goal, row->table == END_TO_END ? " %" : "",
	       row->goal_pkrs, reached ? "reached" : "not reached");
}

static void print_cost(const struct row *row, enum layer layer, const struct cost *cost,
		       const struct cost *plain)
{
	double added = cost->insns - plain->insns, cycles;

	printf("%-32s%-8s", row->name, layer_name[layer]);
	if (cost->insns >= 0)
		print_number(cost->insns, 8, row->table == END_TO_END);
	else
		printf("  not there");
	if (layer != PLAIN && cost->insns >= 0) {
		cycles = added + cost->pkrs * pkrs_cycles + cost->cr3 * cr3_cycles;
		printf("  %+8.*f  %5.1f", row->table == END_TO_END, added,
		       100 * added / plain->insns);
		print_number(cost->pkrs, 5, 2);
		print_number(cost->cr3, 5, 2);
		printf("  %6.1f", 100 * cycles / plain->insns);
		print_limit(row, layer, cost, added);
	}
	if (layer == KEYED)
		print_goal(row, cost, plain);
	printf("\n");
}

static void measure(const struct row *row, struct cost *cost)
{
	for (int layer = PLAIN; layer < (plain_only ? KEYED : LAYERS); layer++) {
		struct cost *c = &cost[layer];

		*c = (struct cost){ -1, -1, -1 };
		if (layer_exists(row, layer)) {
			set_layer(layer);
			errno = 0;
			*c = row->measure(row);
			set_layer(PLAIN);
			if (c->insns < 0) {
				errno = 0;
				fprintf(stderr, "bench: %s, %s: ", row->name, layer_name[layer]);
				die("not once as it should be");
			}
			if (layer == KEYED ? !c->pkrs : layer == VIEW && !c->cr3) {
				errno = 0;
				fprintf(stderr, "bench: %s, %s: ", row->name, layer_name[layer]);
				die("no write of PKRS or CR3, so nothing was isolated");
			}
		} else if (!moat_loaded() || row->runs == NOTHING ||
			   (layer == CONFINED && row->runs == EBPF)) {
			continue;
		}
		print_cost(row, layer, c, &cost[PLAIN]);
		fflush(stdout);
	}
}

/* 5 % are for runs that an interrupt came into. */
static void limit(const char *what, double cost, double goal)
{
	bool met = cost >= 0 && cost <= goal * 1.05;

	printf("%-28s %7.1f  (at most %g: %s)\n", what, cost, goal, met ? "met" : "MISSED");
	missed |= !met;
}

static const struct cost *find(struct cost (*costs)[LAYERS], const char *name)
{
	for (int i = 0; i < nr_rows; i++)
		if (!strcmp(rows[i].name, name))
			return costs[i];
	errno = ENOENT;
	die(name);
}

static double added(const struct cost *row)
{
	return row[KEYED].insns - row[PLAIN].insns;
}

/* What the rows have in common, and may not lose */
static void check_parts(struct cost (*costs)[LAYERS])
{
	const struct cost *empty = find(costs, "empty"), *one = find(costs, "one helper");
	const struct cost *four = find(costs, "four helpers"), *ctx = find(costs, "two ctx reads");
	const struct cost *tail = find(costs, "tail call"), *local = find(costs, "local call");
	const struct cost *record = find(costs, "ring buffer record, 64 bytes");
	const struct cost *gate = find(costs, "a callback by a helper");
	const struct cost *gates = find(costs, "eleven callbacks by it");
	const struct cost *elem = find(costs, "an element of a hash");
	const struct cost *elems = find(costs, "eleven elements of a hash");

	printf("\nadded instructions and PKRS writes\n");
	limit("an empty run", added(empty), 80);
	limit("an empty run, PKRS writes", empty[KEYED].pkrs, 2);
	limit("a helper call", (added(four) - added(one)) / 3, 40);
	limit("a helper call, PKRS writes", (four[KEYED].pkrs - one[KEYED].pkrs) / 3, 2);
	limit("a local call", added(local) - added(empty), 5);
	limit("a local call, PKRS writes", local[KEYED].pkrs - empty[KEYED].pkrs, 0);
	limit("a tail call, beyond a run", added(tail) - 2 * added(empty), 60);
	limit("a tail call, PKRS writes", tail[KEYED].pkrs - empty[KEYED].pkrs, 2);
	limit("a record, beyond a run", added(record) - added(empty), 140);
	limit("a record, PKRS writes", record[KEYED].pkrs - empty[KEYED].pkrs, 4);
	limit("a callback through a gate", (added(gates) - added(gate)) / 10, 91);
	limit("such a callback, PKRS writes", (gates[KEYED].pkrs - gate[KEYED].pkrs) / 10, 2);
	limit("an element of a hash", (added(elems) - added(elem)) / 10, 43);
	limit("an element of a hash, PKRS writes", (elems[KEYED].pkrs - elem[KEYED].pkrs) / 10, 0);
	limit("a context field", (added(ctx) - added(empty)) / 2, 10);
	limit("a view, beyond a key", empty[VIEW].insns - empty[KEYED].insns, 30);
	limit("a view, CR3 writes", empty[VIEW].cr3, 2);
}

static void refuse(void)
{
	fprintf(stderr,
		"usage: bench [--check] [--plain] [--only NAME] [--{pkrs,cr3}-cycles N]\n");
	exit(2);
}

static double to_number(const char *word)
{
	char *end;
	double n = strtod(word, &end);

	if (end == word || *end || !(n >= 0 && n <= 100000)) {
		fprintf(stderr, "bench: '%s' is not a number of cycles\n", word);
		exit(2);
	}
	return n;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "check", no_argument, NULL, 'c' },
		{ "plain", no_argument, NULL, 'l' },
		{ "only", required_argument, NULL, 'o' },
		{ "pkrs-cycles", required_argument, NULL, 'p' },
		{ "cr3-cycles", required_argument, NULL, 'r' },
		{ }
	};
	struct cost costs[nr_rows][LAYERS];
	const char *only = NULL;
	bool check = false;
	int opt, table = -1;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (opt) {
		case 'c':
			check = true;
			break;
		case 'l':
			plain_only = true;
			break;
		case 'o':
			only = optarg;
			break;
		case 'p':
			pkrs_cycles = to_number(optarg);
			break;
		case 'r':
			cr3_cycles = to_number(optarg);
			break;
		default:
			refuse();
		}
	}
	if (optind < argc)
		refuse();
	if (check && !moat_loaded()) {
		fprintf(stderr, "bench: moat.ko is not loaded\n");
		return 1;
	}
	printf("model: %g cycles for a write of PKRS, %g of CR3, 1 for any other instruction\n",
	       pkrs_cycles, cr3_cycles);
	for (int i = 0; i < nr_rows; i++) {
		if (only && !strstr(rows[i].name, only))
			continue;
		if (table != (int)rows[i].table)
			print_heading(rows[i].table);
		table = rows[i].table;
		measure(&rows[i], costs[i]);
	}
	if (moat_loaded() && !only && !plain_only)
		check_parts(costs);
	return check && missed;
}
