/* SPDX-License-Identifier: GPL-2.0 */
/* MOAT's switches and counters, for every program here. */
#ifndef SETTINGS_H
#define SETTINGS_H

#include <stdbool.h>

/* Says what failed, with errno, and ends the program, which has its own. */
_Noreturn void die(const char *what);

bool moat_loaded(void);
/* Whether there is kernel.moat.@name; sets it. */
bool sysctl_exists(const char *name);
void set_sysctl(const char *name, int value);
/* What the counter of that name in debugfs/moat is; -1: there is none. */
long moat_counter(const char *name);

#endif
