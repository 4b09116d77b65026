/* SPDX-License-Identifier: GPL-2.0 */
/* What a test prints: README.md. The code is in lib_tap.c. */
#ifndef TAP_H
#define TAP_H

#include <stdbool.h>

void diag(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool ok(bool held, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void skip(const char *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int finish(void);
void skip_all(const char *why) __attribute__((noreturn));
void bail(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
