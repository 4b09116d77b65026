// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "moat_test.h"

#define MOAT_TEST "/sys/kernel/debug/moat_test/"

bool test_kernel(void)
{
	return !access(MOAT_TEST "targets", F_OK);
}

static void verify_again(void)
{
	bypass_verifier(false);
}

bool bypass_verifier(bool on)
{
	static bool put_back;

	/* What a test leaves on is not on for the next. */
	if (on && !put_back)
		atexit(verify_again);
	put_back |= on;
	return !write_file(MOAT_TEST "bypass_verifier", "%d", on);
}

static void loop_again(void)
{
	without_loops(false);
}

bool without_loops(bool on)
{
	static bool put_back;

	if (on && !put_back)
		atexit(loop_again);
	put_back |= on;
	return !write_file(MOAT_TEST "off/loops", "%d", on);
}

/* Open all the time: what opens allocates. */
static int allocs = -1;

bool can_fail_allocs(void)
{
	if (allocs < 0)
		allocs = open(MOAT_TEST "fail_alloc", O_RDWR | O_CLOEXEC);
	return allocs >= 0;
}

void fail_alloc(int n, const char *which)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%d %s", n, which);

	if (n < 0)
		len = snprintf(text, sizeof(text), "off");
	if (!can_fail_allocs() || write(allocs, text, len) != len)
		bail("fail_alloc: %s", strerror(errno));
}

int failed_allocs(void)
{
	char text[64] = "";
	int failed;

	if (!can_fail_allocs() || pread(allocs, text, sizeof(text) - 1, 0) <= 0 ||
	    sscanf(text, "%*d %d", &failed) != 1)
		bail("fail_alloc: %s", strerror(errno));
	return failed;
}

static u64 named(const char *path, const char *name)
{
	char line[128];
	size_t len = strlen(name);
	u64 value = 0;
	FILE *f = fopen(path, "r");

	if (!f)
		bail("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, name, len) && line[len] == '=')
			value = strtoull(line + len + 1, NULL, 16);
	fclose(f);
	return value;
}

u64 target(const char *name)
{
	return named(MOAT_TEST "targets", name);
}

u64 canary(const char *name)
{
	return named(MOAT_TEST "canary", name);
}

void canary_reset(void)
{
	if (write_file(MOAT_TEST "canary", "1"))
		bail("cannot reset the canaries: %s", strerror(errno));
}

void host_nmis(bool on)
{
	if (!atoi(getenv("MOAT_NMI") ?: "0"))
		return;
	/* Or each would be two lines on the console. */
	write_file(MOAT_TEST "expect_nmis", on ? "Y" : "N");
	printf("MOAT-NMI-%s\n", on ? "START" : "STOP");
	fflush(stdout);
}
