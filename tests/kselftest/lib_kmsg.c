// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "moat_test.h"

static int kmsg = -1;
static char kmsg_seen[1 << 20];	/* all since the mark, a line each */
static size_t kmsg_len;

void kmsg_mark(void)
{
	if (kmsg < 0)
		kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg < 0 || lseek(kmsg, 0, SEEK_END) < 0)
		bail("/dev/kmsg: %s", strerror(errno));
	kmsg_len = 0;
	kmsg_seen[0] = 0;
}

static void kmsg_read(void)
{
	char record[8192], *line;
	ssize_t n;

	/* EPIPE: records were overwritten before they were read */
	while ((n = read(kmsg, record, sizeof(record) - 1)) > 0 || (n < 0 && errno == EPIPE)) {
		if (n < 0)
			continue;
		record[n] = 0;
		line = strchr(record, ';');
		line = line ? line + 1 : record;
		n = strcspn(line, "\n");
		if (kmsg_len + n + 2 > sizeof(kmsg_seen))
			break;
		memcpy(kmsg_seen + kmsg_len, line, n);
		kmsg_len += n;
		kmsg_seen[kmsg_len++] = '\n';
		kmsg_seen[kmsg_len] = 0;
	}
}

/* How many lines have both; the first is copied to @found, of @size bytes. */
static int kmsg_lines(const char *a, const char *b, char *found, size_t size)
{
	char text[1024], *line, *next;
	int lines = 0;
	size_t n;

	kmsg_read();
	for (line = kmsg_seen; *line; line = next) {
		n = strcspn(line, "\n");
		next = line + n + 1;
		if (n >= sizeof(text))
			continue;
		memcpy(text, line, n);
		text[n] = 0;
		if (!strstr(text, a) || (b && !strstr(text, b)))
			continue;
		if (!lines++ && found)
			snprintf(found, size, "%s", text);
	}
	return lines;
}

const char *kmsg_find(const char *a, const char *b)
{
	static char found[1024];

	return kmsg_lines(a, b, found, sizeof(found)) ? found : NULL;
}

int kmsg_count(const char *a, const char *b)
{
	return kmsg_lines(a, b, NULL, 0);
}

/* Lines of MOAT's, but for those that count what was said too often before. */
int kmsg_said(void)
{
	return kmsg_count("moat: ", NULL) - kmsg_count("moat: ", " were not logged");
}

const char *kmsg_stopped(int fd, const char *name)
{
	char who[64];

	snprintf(who, sizeof(who), "moat: %s (id %u, type ", name, prog_id(fd));
	return kmsg_find(who, "; stopped");
}

const char *kmsg_stopped_later(int fd, const char *name)
{
	const char *line = NULL;

	for (int i = 0; i < 500 && !line; i++) {
		usleep(10000);
		line = kmsg_stopped(fd, name);
	}
	return line;
}
