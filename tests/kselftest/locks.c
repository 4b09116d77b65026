// SPDX-License-Identifier: GPL-2.0
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "build.h"
#include "locks.h"

int locked_type(struct btf *btf, int u32_id, int u64_id)
{
	int lock = btf__add_struct(btf, "bpf_spin_lock", 4), value;

	btf__add_field(btf, "val", u32_id, 0, 0);
	value = btf__add_struct(btf, "locked", sizeof(struct locked));
	btf__add_field(btf, "a", u64_id, 8 * offsetof(struct locked, a), 0);
	btf__add_field(btf, "b", u64_id, 8 * offsetof(struct locked, b), 0);
	btf__add_field(btf, "lock", lock, 8 * offsetof(struct locked, lock), 0);
	btf__add_field(btf, "c", u32_id, 8 * offsetof(struct locked, c), 0);
	return value;
}

static int describe(u32 *key, u32 *value)
{
	struct btf *btf = btf__new_empty();

	if (!btf)
		bail("BTF: %s", strerror(errno));
	*key = btf__add_int(btf, "unsigned int", 4, 0);
	*value = locked_type(btf, *key, btf__add_int(btf, "unsigned long", 8, 0));
	return btf_load(btf);
}

int locked_map(enum bpf_map_type type, u32 entries, u32 flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
	int fd;

	opts.btf_fd = describe(&opts.btf_key_type_id, &opts.btf_value_type_id);
	fd = bpf_map_create(type, "locked", 4, sizeof(struct locked), entries, &opts);
	if (fd < 0)
		bail("map with a lock: %s", strerror(errno));
	close(opts.btf_fd);
	return fd;
}

bool locked_update(int map, u32 key, u64 a, u64 b)
{
	struct locked value = { .a = a, .b = b };

	return !bpf_map_update_elem(map, &key, &value, BPF_F_LOCK);
}

bool locked_lookup(int map, u32 key, struct locked *value)
{
	return !bpf_map_lookup_elem_flags(map, &key, value, BPF_F_LOCK);
}
