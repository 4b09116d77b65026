// SPDX-License-Identifier: GPL-2.0
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "build.h"
#include "timers.h"

/* What struct timed is, without which the kernel sees no timer in it. */
static int describe(u32 *key, u32 *value, bool locks)
{
	struct btf *btf = btf__new_empty();
	int u32_id, u64_id, timer, lock;

	if (!btf)
		bail("BTF: %s", strerror(errno));
	u32_id = btf__add_int(btf, "unsigned int", 4, 0);
	u64_id = btf__add_int(btf, "unsigned long", 8, 0);
	timer = btf__add_struct(btf, "bpf_timer", sizeof(struct bpf_timer));
	btf__add_field(btf, "opaque", u64_id, 0, 0);
	lock = btf__add_struct(btf, "bpf_spin_lock", 4);
	btf__add_field(btf, "val", u32_id, 0, 0);
	*key = u32_id;
	*value = btf__add_struct(btf, "timed", sizeof(struct timed));
	btf__add_field(btf, "fired", u64_id, 8 * FIRED_AT, 0);
	btf__add_field(btf, "key", u64_id, 8 * KEY_AT, 0);
	btf__add_field(btf, "again", u64_id, 8 * AGAIN_AT, 0);
	btf__add_field(btf, "got", u64_id, 8 * GOT_AT, 0);
	btf__add_field(btf, "timer", timer, 8 * TIMER_AT, 0);
	btf__add_field(btf, "lock", locks ? lock : u32_id, 8 * TIMED_LOCK_AT, 0);
	btf__add_field(btf, "pad", u32_id, 8 * offsetof(struct timed, pad), 0);
	return btf_load(btf);
}

int timed_map(enum bpf_map_type type, u32 entries, u32 flags, bool locks)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
	int fd;

	opts.btf_fd = describe(&opts.btf_key_type_id, &opts.btf_value_type_id, locks);
	fd = bpf_map_create(type, "timers", 4, sizeof(struct timed), entries, &opts);
	if (fd < 0)
		bail("map with a timer: %s", strerror(errno));
	close(opts.btf_fd);
	return fd;
}

struct timed timed_value(int map, u32 key)
{
	struct timed value;

	if (map_lookup(map, &key, &value))
		bail("value %u: %s", key, strerror(errno));
	return value;
}

void timed_reset(int map, u32 key, u64 again)
{
	struct timed value = { .again = again };

	if (map_update(map, &key, &value))
		bail("value %u: %s", key, strerror(errno));
}

bool timed_fires(int map, u32 key, u64 times)
{
	u64 end = now_ns() + 10000000000ULL;

	while (timed_value(map, key).fired < times && now_ns() < end)
		usleep(1000);
	return timed_value(map, key).fired == times;
}
