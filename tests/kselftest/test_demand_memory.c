// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 */
/*
 * Maps that make their elements on demand: is memory that runs out an error, and no more,
 * and does nothing of them stay behind?
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "demand.h"

/* Each allocation fails once while a map is made, and is an error; and many while it grows. */
static void short_of_memory(enum bpf_map_type type)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_NO_PREALLOC);
	u64 key, value[4 * 32] = {};
	u32 i, went, walked;
	int map, err, n, failed, wrong = 0;

	for (n = 0; n < 300; n++) {
		fail_alloc(n, "");
		map = bpf_map_create(type, "short", 8, 256, 5000, &opts);
		err = errno;
		failed = failed_allocs();
		fail_alloc(-1, "");
		wrong += map < 0 && err != ENOMEM;
		if (map >= 0)
			close(map);
		if (!failed)
			break;
	}
	ok(n && n < 300 && !wrong, "%s: %d allocations that fail are errors, and no more",
	   name_of(type), n);
	map = demand_map(type, 256, 5000);
	wrong = 0;
	for (went = i = 0; i < 5000; i++) {
		key = nth(type, i);
		fail_alloc(0, i % 2 ? "all" : "now");
		err = map_update(map, &key, value) ? errno : 0;
		fail_alloc(-1, "");
		wrong += err && err != ENOMEM;
		if (err && map_update(map, &key, value))
			wrong++;
		went += !err;
	}
	ok(!wrong && found(type, map, 5000, &walked) == 5000 && walked == 5000,
	   "%s: it grows when there is memory again", name_of(type));
	diag("%u went in at once", went);
	close(map);
}

/* 5 MB a life; nothing of it stays. */
static void lives(enum bpf_map_type type)
{
	int map, prog, told = map_create(BPF_MAP_TYPE_ARRAY, 4, 16, 1), i, k;
	u64 key, value[4 * 128] = {}, until;
	s64 before = 0, now;

	for (i = 0; i < 25; i++) {
		if (i == 5) {
			sleep(1);
			before = free_kb();
		}
		map = demand_map(type, 1024, 5000);
		prog = adder(&xdp, map, told);
		for (k = 0; k < 5000; k++) {
			key = nth(type, k);
			map_update(map, &key, value);
		}
		prog_run_once(prog);
		close(prog);
		close(map);
	}
	until = now_ns() + 10000000000ULL;
	do {
		usleep(200000);
		now = free_kb();
	} while (before - now > 20000 && now_ns() < until);
	ok(before - now <= 20000, "%s: nothing stays of maps that have gone", name_of(type));
	diag("%ld kB less are free", before - now);
	close(told);
}

int main(void)
{
	static const enum bpf_map_type types[] = {
		BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_LPM_TRIE, BPF_MAP_TYPE_PERCPU_HASH,
	};
	size_t i;

	if (!can_fail_allocs())
		skip_all("not the test kernel");
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		short_of_memory(types[i]);
		lives(types[i]);
	}
	return finish();
}
