// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <string.h>
#include "bugs.h"

#define MOST_BUGS 64

static struct seen {
	const struct bug *bug;
	char lost[128], stopped[256];
} seen[MOST_BUGS];

static struct seen *of(const struct bug *bug)
{
	int i;

	for (i = 0; i < MOST_BUGS; i++) {
		if (!seen[i].bug)
			seen[i].bug = bug;
		if (seen[i].bug == bug)
			return &seen[i];
	}
	bail("more than %d bugs", MOST_BUGS);
}

static void add(char *list, size_t size, const char *item)
{
	size_t used = strlen(list);

	if (!strstr(list, item))
		snprintf(list + used, size - used, "%s%s", used ? ", " : "", item);
}

void bug_lost(const struct bug *bug, const char *what)
{
	add(of(bug)->lost, sizeof(seen->lost), what);
}

void bug_stopped(const struct bug *bug, const char *by)
{
	add(of(bug)->stopped, sizeof(seen->stopped), by);
}

void print_bugs(void)
{
	const struct seen *s;

	for (s = seen; s < seen + MOST_BUGS && s->bug; s++)
		diag("bug: %s | %s | %s | %s | %s | %s", s->bug->cve, s->bug->family, s->bug->fixed,
		     s->bug->wrong, s->lost, s->stopped);
}
