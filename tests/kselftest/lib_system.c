// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "moat_test.h"

void pin_to_cpu(int cpu)
{
	int cpus = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t set;

	if (cpus > 0 && cpu >= cpus) {
		diag("CPU %d stands for CPU %d", cpu % cpus, cpu);
		cpu %= cpus;
	}
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		bail("cannot run on CPU %d: %s", cpu, strerror(errno));
}

int write_file(const char *path, const char *fmt, ...)
{
	char text[64];
	va_list ap;
	int fd, len, err = 0;

	va_start(ap, fmt);
	len = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return -1;
	if (write(fd, text, len) != len)
		err = errno ?: EIO;
	close(fd);
	errno = err;
	return err ? -1 : 0;
}

s64 read_number(const char *path)
{
	char text[64] = "";
	int fd = open(path, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	return n > 0 ? strtoll(text, NULL, 0) : -1;
}

s64 free_kb(void)
{
	char line[128];
	s64 kb = 0;
	FILE *f;

	write_file("/proc/sys/vm/drop_caches", "3");
	f = fopen("/proc/meminfo", "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemFree: %ld", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb;
}

static char *run(int *status, const char *fmt, va_list args)
{
	char command[8192], *text = NULL;
	size_t size = 0;
	FILE *f, *to;
	int c;

	if (vsnprintf(command, sizeof(command), fmt, args) >= (int)sizeof(command))
		bail("too long a command: %.80s", command);
	f = popen(command, "r");
	to = open_memstream(&text, &size);
	if (!f || !to)
		bail("%s: %s", command, strerror(errno));
	while ((c = getc(f)) != EOF)
		putc(c, to);
	fclose(to);
	while (size && text[size - 1] == '\n')
		text[--size] = 0;
	*status = pclose(f);
	if (*status)
		diag("%s", command);
	return text;
}

static char *run_well(const char *fmt, va_list args)
{
	int status;
	char *text = run(&status, fmt, args);

	if (status)
		bail("exit status %d: %s", WEXITSTATUS(status), text);
	return text;
}

void sh(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	free(run_well(fmt, args));
	va_end(args);
}

char *sh_output(const char *fmt, ...)
{
	va_list args;
	char *text;

	va_start(args, fmt);
	text = run_well(fmt, args);
	va_end(args);
	return text;
}

bool command_fails(const char *command, const char *saying)
{
	char line[512], said[256] = "";
	bool so;
	FILE *f;

	snprintf(line, sizeof(line), "%s 2>&1", command);
	f = popen(line, "r");
	if (!f)
		return false;
	so = fgets(said, sizeof(said), f) && strstr(said, saying);
	return pclose(f) && so;
}

u64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}
