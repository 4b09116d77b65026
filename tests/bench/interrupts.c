// SPDX-License-Identifier: GPL-2.0
/* Interrupts of kernel code and of user code: what every one of them pays. */
#include <stdio.h>
#include <stdlib.h>
#include "bench.h"

/* How many interrupts CPU 0 has had by what /proc/interrupts calls @name */
static long nr_interrupts(const char *name)
{
	FILE *f = fopen("/proc/interrupts", "r");
	char line[512], format[16];
	long n = -1;

	snprintf(format, sizeof(format), " %s: %%ld", name);
	while (f && n < 0 && fgets(line, sizeof(line), f))
		if (sscanf(line, format, &n) != 1)
			n = -1;
	if (n < 0)
		die("/proc/interrupts");
	fclose(f);
	return n;
}

/* A program that has an IPI sent to its own CPU in each run */
struct cost measure_kernel_interrupt(const struct row *row)
{
	long before = nr_interrupts("IWI"), after;
	struct cost cost = measure_test_run(row);

	after = nr_interrupts("IWI");
	if (after - before < 10000) {
		fprintf(stderr, "bench: %s: only %ld interrupts\n", row->name, after - before);
		exit(1);
	}
	return cost;
}

static int by_size(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;

	return x < y ? -1 : x > y;
}

/*
 * Ticks of a loop that only reads the TSC. Some have more to do than others; what counts
 * is what most of them take.
 */
#define TICKS 400

struct cost measure_user_interrupt(const struct row *row)
{
	struct cost cost = { -1, -1, -1 };
	unsigned long long before = now(), is;
	long gaps[TICKS], between = 1000;
	int n = 0, same = 0;

	while (n < TICKS) {
		is = now();
		if ((long)(is - before) > 100)
			gaps[n++] = is - before;
		else if ((long)(is - before) < between)
			between = is - before;
		before = is;
	}
	qsort(gaps, n, sizeof(gaps[0]), by_size);
	/* If half of them are alike, the one in the middle is one of these. */
	for (int i = 0; i < n; i++)
		same += gaps[i] == gaps[n / 2];
	if (same > n / 2)
		cost.insns = gaps[n / 2] - between;
	return cost;
}
