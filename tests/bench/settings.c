// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <unistd.h>
#include "settings.h"

#define SYSCTL "/proc/sys/kernel/moat/"
#define DEBUGFS "/sys/kernel/debug/moat/"

bool sysctl_exists(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), SYSCTL "%s", name);
	return !access(path, F_OK);
}

void set_sysctl(const char *name, int value)
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
	return sysctl_exists("");
}

long moat_counter(const char *name)
{
	char path[64];
	long n;
	FILE *f;

	snprintf(path, sizeof(path), DEBUGFS "%s", name);
	f = fopen(path, "r");
	if (!f)
		return -1;
	if (fscanf(f, "%ld", &n) != 1)
		die(path);
	fclose(f);
	return n;
}
