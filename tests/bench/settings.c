// SPDX-License-Identifier: GPL-2.0
/* Which layer programs run in that are loaded from now on. */
#include <stdio.h>
#include <unistd.h>
#include "bench.h"

#define SYSCTL "/proc/sys/kernel/moat/"

static bool exists(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), SYSCTL "%s", name);
	return !access(path, F_OK);
}

static void set(const char *name, int value)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), SYSCTL "%s", name);
	f = fopen(path, "w");
	if (!f || fprintf(f, "%d", value) < 0 || fclose(f))
		die(path);
}

bool moat_loaded(void)
{
	return exists("");
}

bool layer_exists(const struct row *row, enum layer layer)
{
	if (layer == PLAIN)
		return true;
	if (row->runs == NOTHING || !moat_loaded())
		return false;
	if (row->runs == SECCOMP && !exists("seccomp"))
		return false;
	return layer != CONFINED || (row->runs != EBPF && exists("confined"));
}

void set_layer(enum layer layer)
{
	static const char *const types[] = { "xdp", "sched_cls", "socket_filter", "seccomp" };

	if (!moat_loaded())
		return;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (exists(types[i]))
			set(types[i], layer == PLAIN ? 0 : 2);
	if (exists("confined"))
		set("confined", layer == CONFINED);
	set("keys", layer == VIEW ? 0 : 13);
}
