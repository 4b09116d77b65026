// SPDX-License-Identifier: GPL-2.0
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "moat_test.h"

static unsigned int passed, failed, skipped;

/* A line is one thread's. */
static void line(const char *begin, const char *fmt, va_list ap, const char *end)
{
	flockfile(stdout);
	fputs(begin, stdout);
	vprintf(fmt, ap);
	fputs(end, stdout);
	fflush(stdout);
	funlockfile(stdout);
}

void diag(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	line("# ", fmt, ap, "\n");
	va_end(ap);
}

/* One more of these is told. */
static void tell(unsigned int *of, const char *fmt, va_list ap, const char *end)
{
	char begin[32];

	flockfile(stdout);
	*of += 1;
	snprintf(begin, sizeof(begin), "%sok %u - ", of == &failed ? "not " : "",
		 passed + failed + skipped);
	line(begin, fmt, ap, end);
	funlockfile(stdout);
}

bool ok(bool held, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell(held ? &passed : &failed, fmt, ap, "\n");
	va_end(ap);
	return held;
}

void skip(const char *why, const char *fmt, ...)
{
	char end[256];
	va_list ap;

	snprintf(end, sizeof(end), " # SKIP %s\n", why);
	va_start(ap, fmt);
	tell(&skipped, fmt, ap, end);
	va_end(ap);
}

int finish(void)
{
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	fflush(stdout);
	return failed ? 1 : passed ? 0 : 4;
}

void skip_all(const char *why)
{
	skip(why, "everything");
	exit(finish());
}

void bail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell(&failed, fmt, ap, "\n");
	va_end(ap);
	exit(finish());
}
