// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "moat_test.h"

#define SYSCTL "/proc/sys/kernel/moat/"
#define STRICT SYSCTL "strict"
#define CONFINED SYSCTL "confined"
#define BUDGET SYSCTL "budget"
#define KEYS SYSCTL "keys"
#define DEBUGFS "/sys/kernel/debug/moat/"

bool moat_present(void)
{
	return !access(SYSCTL "xdp", F_OK);
}

int moat_insmod(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err, why;

	if (fd < 0)
		return -1;
	err = syscall(__NR_finit_module, fd, "", 0);
	why = errno;
	close(fd);
	errno = why;
	return err;
}

s64 moat_counter(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), DEBUGFS "%s", name);
	return read_number(path);
}

static const struct prog_type *const types[] = {
	&xdp, &sched_cls, &sched_act, &socket_filter, &cgroup_skb, &seccomp,
};

static const char *level_path(size_t i)
{
	static char path[64];

	snprintf(path, sizeof(path), SYSCTL "%s", types[i]->name);
	return path;
}

/* What it was before the test, put back at its end. */
static s64 level_before[ARRAY_SIZE(types)], strict_before = -1, confined_before;
static s64 violations_before, unlogged_before;

/* The log takes 500 messages in 5 seconds (run/limit.c): the next test reads its own. */
static void spare_the_log(void)
{
	if (moat_counter("violations") - violations_before > 100 ||
	    moat_counter("unlogged") > unlogged_before)
		sleep(6);
}

static void restore(void)
{
	size_t i;

	if (!moat_present())
		return;
	spare_the_log();
	for (i = 0; i < ARRAY_SIZE(types); i++)
		write_file(level_path(i), "%ld", level_before[i]);
	write_file(STRICT, "%ld", strict_before);
	write_file(CONFINED, "%ld", confined_before);
}

static void remember(void)
{
	size_t i;

	if (strict_before >= 0)
		return;
	strict_before = read_number(STRICT);
	violations_before = moat_counter("violations");
	unlogged_before = moat_counter("unlogged");
	confined_before = read_number(CONFINED);
	for (i = 0; i < ARRAY_SIZE(types); i++)
		level_before[i] = read_number(level_path(i));
	atexit(restore);
}

bool moat_set_level(int level)
{
	size_t i;

	if (!moat_present())
		return level == 0;
	remember();
	if (write_file(STRICT, "1"))
		bail(STRICT ": %s", strerror(errno));
	for (i = 0; i < ARRAY_SIZE(types); i++)
		if (write_file(level_path(i), "%d", level))
			bail("%s does not take %d: %s", level_path(i), level, strerror(errno));
	return true;
}

int moat_level_asked(void)
{
	int level = atoi(getenv("MOAT_LEVEL") ?: "0");

	if (!moat_set_level(level))
		bail("no MOAT for level %d", level);
	return level;
}

bool moat_set_strict(bool strict)
{
	return !write_file(STRICT, "%d", strict);
}

void moat_set_confined(bool confined)
{
	remember();
	if (write_file(CONFINED, "%d", confined))
		bail(CONFINED ": %s", strerror(errno));
}

const char *const moat_layer_name[] = { "plain", "keyed", "viewed" };

/* What stands after @name in the fdinfo of @prog, or "" */
static const char *fdinfo(int prog, const char *name)
{
	static char line[128];
	size_t len = strlen(name);
	const char *found = "";
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", prog);
	f = fopen(path, "r");
	while (f && !*found && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, len) && line[len] == ':')
			found = line + len + 1 + strspn(line + len + 1, "\t ");
	if (f)
		fclose(f);
	return found;
}

enum moat_layer moat_layer(int prog)
{
	const char *layer = fdinfo(prog, "moat_layer");

	return !*layer ? NONE : strncmp(layer, "keyed", 5) ? VIEW : KEYED;
}

int moat_pcid(int prog)
{
	const char *pcid = fdinfo(prog, "moat_pcid");

	return *pcid ? atoi(pcid) : -1;
}

/* Keys in @state, as debugfs says */
static int keys_in(const char *state)
{
	char line[256], found[16];
	FILE *f = fopen(DEBUGFS "keys", "r");
	int n = 0;

	while (f && fgets(line, sizeof(line), f))
		n += sscanf(line, "%*d %15s", found) == 1 && !strcmp(found, state);
	if (f)
		fclose(f);
	return n;
}

int moat_keys_free(void)
{
	return keys_in("free");
}

void moat_set_keys(int keys)
{
	FILE *f = fopen(KEYS, "w");
	int i;

	if (!f || fprintf(f, "%d", keys) < 0 || fclose(f))
		bail("kernel.moat.keys: %s", strerror(errno));
	for (i = 0; i < 100 && keys_in("bound") > keys; i++)
		usleep(20000);
}

void moat_wait_for_keys(int keys)
{
	for (int i = 0; i < 250 && moat_keys_free() < keys; i++)
		usleep(20000);
}

void moat_wait_loaded(s64 programs)
{
	for (int i = 0; i < 2000 && moat_counter("loaded") > programs; i++)
		usleep(5000);
	if (moat_counter("loaded") > programs)
		bail("%ld isolated programs are not freed, of %ld", moat_counter("loaded"), programs);
}

int moat_set_budget(int seconds)
{
	int before = read_number(BUDGET);

	write_file(BUDGET, "%d", seconds);
	return before;
}
