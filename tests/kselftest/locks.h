/* SPDX-License-Identifier: GPL-2.0 */
/* Maps whose values have a lock */
#ifndef LOCKS_H
#define LOCKS_H

#include "moat_test.h"

struct locked {
	u64 a, b;
	struct bpf_spin_lock lock;
	u32 c;
};

#define LOCK_AT ((s16)offsetof(struct locked, lock))

struct btf;

/* What struct locked is, without which the kernel sees no lock in it; of these integers */
int locked_type(struct btf *btf, int u32_id, int u64_id);
/* Of type hash or array, with keys of 4 bytes; ends the test if there is none. */
int locked_map(enum bpf_map_type type, u32 entries, u32 flags);
/* As user space does, with BPF_F_LOCK */
bool locked_update(int map, u32 key, u64 a, u64 b);
bool locked_lookup(int map, u32 key, struct locked *value);

#endif
