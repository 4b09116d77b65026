// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 */
/*
 * Maps that make their elements on demand: is memory that runs out an error, and no more,
 * and does nothing of them stay behind?
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "build.h"
#include "demand.h"
#include "timers.h"

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

/* Arms the timer of the value whose key is in the first word of @which, which is counted there. */
static int timed_program(int map, int which)
{
	cnt = 0;
	E(LD_MAP_VALUE(R1, which, 0), LDX(BPF_DW, R1, R1, 0), STX(BPF_W, R10, R1, -4),
	  LD_MAP_FD(R1, map), ADDRESS(R2, R10, -4), CALL(map_lookup_elem),
	  JMP_IMM(BPF_JNE, R0, 0, 2), MOV_IMM(R0, 1), EXIT(), MOV_REG(R6, R0),
	  ADDRESS(R1, R6, TIMER_AT), LD_MAP_FD(R2, map), MOV_IMM(R3, CLOCK_MONOTONIC),
	  CALL(timer_init), ADDRESS(R1, R6, TIMER_AT));
	emit_function(R2, 1);
	E(CALL(timer_set_callback), ADDRESS(R1, R6, TIMER_AT), MOV_IMM(R2, 1000), MOV_IMM(R3, 0),
	  CALL(timer_start), MOV_IMM(R0, 2), EXIT());
	begin_function(1);
	E(MOV_IMM(R1, 1), ATOMIC(BPF_DW, BPF_ADD, R3, R1, FIRED_AT), MOV_IMM(R0, 0), EXIT());
	return prog_load(xdp.type, "timed", insns, cnt);
}

/* The same of timers, which come with the first isolated program and with the values. */
static void timers(void)
{
	int which = map_of_words(0), map, prog = -1, n, failed, err, wrong = 0, fired = 0;
	u64 words[8] = {};
	u32 i, zero = 0;

	map = timed_map(BPF_MAP_TYPE_HASH, 5000, BPF_F_NO_PREALLOC, false);
	for (n = 0; n < 300; n++) {
		fail_alloc(n, "");
		prog = timed_program(map, which);
		err = errno;
		failed = failed_allocs();
		fail_alloc(-1, "");
		/* Of other ways to fail the kernel has its own. */
		wrong += prog < 0 && err == EACCES;
		if (!failed)
			break;
		if (prog >= 0)
			close(prog);
	}
	ok(n && n < 300 && !wrong && prog >= 0,
	   "timers: %d allocations that fail are errors, and no more", n);
	for (wrong = i = 0; i < 5000; i++) {
		struct timed value = {};

		fail_alloc(0, i % 2 ? "all" : "now");
		err = map_update(map, &i, &value) ? errno : 0;
		fail_alloc(-1, "");
		wrong += err && err != ENOMEM;
		if (err && map_update(map, &i, &value))
			wrong++;
	}
	for (i = 99; i < 5000; i += 100) {
		words[0] = i;
		map_update(which, &zero, words);
		fired += prog_run_once(prog) == 2 && timed_fires(map, i, 1);
	}
	ok(!wrong && fired == 50, "timers: they come when there is memory again (%d of 50)", fired);
	close(prog);
	close(map);
	close(which);
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
	timers();
	return finish();
}
