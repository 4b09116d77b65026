/* SPDX-License-Identifier: GPL-2.0 */
/* Files, commands, CPUs and time, for any test. The code is in lib_system.c. */
#ifndef SYSTEM_H
#define SYSTEM_H

#include "types.h"

/* On a machine with fewer CPUs another one stands for it. */
void pin_to_cpu(int cpu);
int write_file(const char *path, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
s64 read_number(const char *path);
s64 free_kb(void);	/* of memory, without what can be had again */
/* A shell command; ends the test with what it said if it fails. */
void sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* What it prints, without a last newline; the caller frees it. */
char *sh_output(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The shell command fails, and the first line it prints has @saying. */
bool command_fails(const char *command, const char *saying);
u64 now_ns(void);

#endif
