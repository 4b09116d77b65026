// SPDX-License-Identifier: GPL-2.0
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "moat_test.h"

static unsigned int passed, failed, skipped;

void diag(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("# ");
	vprintf(fmt, ap);
	printf("\n");
	fflush(stdout);
	va_end(ap);
}

bool ok(bool held, const char *fmt, ...)
{
	va_list ap;

	*(held ? &passed : &failed) += 1;
	va_start(ap, fmt);
	printf("%sok %u - ", held ? "" : "not ", passed + failed + skipped);
	vprintf(fmt, ap);
	printf("\n");
	fflush(stdout);
	va_end(ap);
	return held;
}

void skip(const char *why, const char *fmt, ...)
{
	va_list ap;

	skipped++;
	va_start(ap, fmt);
	printf("ok %u - ", passed + failed + skipped);
	vprintf(fmt, ap);
	printf(" # SKIP %s\n", why);
	fflush(stdout);
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

	failed++;
	va_start(ap, fmt);
	printf("not ok %u - ", passed + failed + skipped);
	vprintf(fmt, ap);
	printf("\n");
	va_end(ap);
	exit(finish());
}
