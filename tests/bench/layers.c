// SPDX-License-Identifier: GPL-2.0
/* Which layer programs run in that are loaded from now on. */
#include "bench.h"

bool layer_exists(const struct row *row, enum layer layer)
{
	if (layer == PLAIN)
		return true;
	if (row->runs == NOTHING || !moat_loaded())
		return false;
	if (row->runs == SECCOMP && !sysctl_exists("seccomp"))
		return false;
	return layer != CONFINED || (row->runs != EBPF && sysctl_exists("confined"));
}

void set_layer(enum layer layer)
{
	static const char *const types[] = { "xdp", "sched_cls", "socket_filter", "seccomp" };

	if (!moat_loaded())
		return;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (sysctl_exists(types[i]))
			set_sysctl(types[i], layer == PLAIN ? 0 : 2);
	if (sysctl_exists("confined"))
		set_sysctl("confined", layer == CONFINED);
	set_sysctl("keys", layer == VIEW ? 0 : 13);
}
