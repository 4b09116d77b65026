// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <bpf/bpf.h>
#include "demand.h"

int map_with_flags(enum bpf_map_type type, u32 key, u32 value, u32 entries, u32 flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
	int fd = bpf_map_create(type, "on_demand", key, value, entries, &opts);

	if (fd < 0)
		bail("map: %s", strerror(errno));
	return fd;
}

int demand_map(enum bpf_map_type type, u32 value, u32 entries)
{
	return map_with_flags(type, 8, value, entries, BPF_F_NO_PREALLOC);
}

u64 nth(enum bpf_map_type type, u32 i)
{
	return type == BPF_MAP_TYPE_LPM_TRIE ? (u64)__builtin_bswap32(i) << 32 | 32 :
					       (u64)PATTERN << 32 | i;
}

const char *name_of(enum bpf_map_type type)
{
	switch (type) {
	case BPF_MAP_TYPE_HASH:
		return "hash";
	case BPF_MAP_TYPE_PERCPU_HASH:
		return "per-CPU hash";
	default:
		return "trie";
	}
}

int loaded(const struct prog_type *t, const char *name)
{
	int fd = prog_load(t->type, name, insns, cnt);

	if (fd < 0)
		bail("%s: %s\n%s", name, strerror(errno), prog_log);
	return fd;
}

u32 found(enum bpf_map_type type, int map, u32 n, u32 *walked)
{
	u64 key = 0, next, value[4096];
	void *prev = NULL;
	u32 i, there = 0;

	for (i = 0; i < n; i++) {
		key = nth(type, i);
		there += !map_lookup(map, &key, value);
	}
	for (*walked = 0; *walked < 2 * n && !bpf_map_get_next_key(map, prev, &next); ++*walked) {
		key = next;
		prev = &key;
	}
	return there;
}

int adder(const struct prog_type *t, int map, int told)
{
	cnt = 0;
	E(LD_MAP_VALUE(R9, told, 0), MOV_REG(R2, R9), LD_MAP_FD(R1, map), CALL(map_lookup_elem),
	  JMP_IMM(BPF_JNE, R0, 0, 2), MOV_IMM(R0, t->safe), EXIT(), MOV_IMM(R1, 1),
	  ATOMIC(BPF_DW, BPF_ADD, R0, R1, 0), LDX(BPF_DW, R1, R0, 0), STX(BPF_DW, R9, R1, 8),
	  MOV_IMM(R0, t->pass), EXIT());
	return loaded(t, "adder");
}
