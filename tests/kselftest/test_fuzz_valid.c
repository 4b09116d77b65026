// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=product levels=2 cpus=4 keys=13 full=0 timeout=600 */
/*
 * Do random programs that the verifier accepts do the same isolated as plainly?
 *
 * test_fuzz_valid [SEED [COUNT [FIRST]]]: each program is loaded at levels 0, 1 and 2, each
 * time with maps of its own, and run with the same packets. What it returns, what becomes of
 * packet and context, what it leaves in its maps and rings must be what they are at
 * level 0, byte by byte; what the verifier accepts at 0 must not be refused. Maps
 * are kept from one program to the next, and so are some programs, for tail calls. The seed
 * is always the same in `make test`, and a new one where programs have fewer keys, in
 * `make test-full`. FUZZ_SHOW=number: that program is shown.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "same.h"
#include "sockets.h"
#include "valid.h"

#define COUNT	300
#define PACKETS	3

static const int levels[] = { 0, 1, 2 };
#define LEVELS ARRAY_SIZE(levels)

static struct valid worlds[LEVELS];
static struct ring rings[LEVELS];
static struct same_seen seen[LEVELS];
static u32 rejected, refused, ran, differed;

static void make_packet(u64 *rng, u8 *packet, u32 size)
{
	static const u8 head[] = { 8, 0, 0x45, 0, 0, 60, 0, 1, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1,
				   127, 0, 0, 1 };

	for (u32 i = 0; i < size; i++)
		packet[i] = any(rng);
	if (!one_in(rng, 4))
		for (u32 i = 0; i < sizeof(head) && i + 12 < size; i++)
			packet[12 + i] = head[i];
	if (size > 23 && one_in(rng, 3))
		packet[23] = 6;
}

static void run_one(const struct valid *v, u64 *rng, int fd)
{
	static u8 packet[4096], out[8192];
	struct __sk_buff skb = {}, skb_out;
	struct run run = {
		.data_in = packet, .data_in_size = 14 + below(rng, one_in(rng, 4) ? 1400 : 100),
		.data_out = out, .data_out_size = sizeof(out), .repeat = 1,
	};

	make_packet(rng, packet, run.data_in_size);
	memset(out, 0, sizeof(out));
	memset(&skb_out, 0, sizeof(skb_out));
	skb.mark = any(rng);
	skb.priority = below(rng, 8);
	skb.cb[below(rng, 5)] = any(rng);
	if (v->type) {
		run.ctx_in = &skb;
		run.ctx_out = &skb_out;
		run.ctx_in_size = run.ctx_out_size = sizeof(skb);
	}
	note_word(prog_run(fd, &run) ? errno : 0);
	note_word(run.retval);
	note_word(run.data_out_size);
	note(out, run.data_out_size);
	note(&skb_out, sizeof(skb_out));
}

/* Runs it as @level says, and notes all there is to see. False: it is not there. */
static bool try(u32 level, u64 seed, bool show)
{
	struct valid *v = &worlds[level];
	u32 slot, i;
	u64 rng;
	int fd;

	v->rng = seed;
	v->type = below(&v->rng, ARRAY_SIZE(valid_types));
	moat_set_level(levels[level]);
	valid_build(v);
	if (show && !level)
		for (i = 0; i < (u32)cnt; i++)
			diag("%4u: %02x dst %u src %u off %d imm %#x", i, insns[i].code, insns[i].dst_reg,
			     insns[i].src_reg, insns[i].off, insns[i].imm);
	fd = prog_load(valid_types[v->type]->type, "valid", insns, cnt);
	if (fd < 0)
		return false;
	if (levels[level] && moat_layer(fd) == NONE)
		bail("level %d: not isolated", levels[level]);
	rng = v->rng;
	for (i = 0; i < PACKETS; i++)
		run_one(v, &rng, fd);
	valid_note_maps(v);
	note_ring(&rings[level]);
	ring_consume(&rings[level]);
	slot = seed >> 32 & 3;
	if (map_update(v->map[V_PROGS + v->type], &slot, &fd))
		bail("program array: %s", strerror(errno));
	close(fd);
	seen[level] = same_taken();
	return true;
}

static size_t first_difference(const struct same_seen *a, const struct same_seen *b)
{
	size_t at = 0;

	while (at < a->len && at < b->len && a->bytes[at] == b->bytes[at])
		at++;
	return at;
}

/* False if no more can be said, as maps differ. */
static bool one(u64 n, u64 seed, bool show)
{
	bool go_on = true;

	if (!try(0, seed, show)) {
		rejected++;
		if (show || rejected < 3)
			diag("program %lu is rejected: %s", n, prog_log + (strlen(prog_log) > 600 ?
			     strlen(prog_log) - 600 : 0));
		return true;
	}
	for (u32 i = 1; i < LEVELS; i++) {
		if (!try(i, seed, false)) {
			refused++;
			diag("program %lu, %s: refused at level %d: %s\n%s", n,
			     valid_types[worlds[i].type]->name, levels[i], strerror(errno), prog_log);
			go_on = false;
			continue;
		}
		ran++;
		if (seen[i].len == seen[0].len && !memcmp(seen[i].bytes, seen[0].bytes, seen[0].len)) {
			free(seen[i].bytes);
			continue;
		}
		differed++;
		diag("program %lu, %s: level %d: %zu bytes, %zu at level 0, from %zu on others", n,
		     valid_types[worlds[i].type]->name, levels[i], seen[i].len, seen[0].len,
		     first_difference(&seen[0], &seen[i]));
		go_on = false;
	}
	free(seen[0].bytes);
	return go_on;
}

int main(int argc, char **argv)
{
	u64 seed = argc > 1 ? strtoull(argv[1], NULL, 0) : moat_keys_free() == 13 ? 1 : now_ns();
	u64 count = argc > 2 ? strtoull(argv[2], NULL, 0) : COUNT, n = 0;
	const char *show = getenv("FUZZ_SHOW");
	struct ends ends;
	s64 stopped;

	if (!moat_present())
		skip_all("no moat.ko");
	pin_to_cpu(0);
	socket_ends(&ends);
	for (u32 i = 0; i < LEVELS; i++) {
		moat_set_level(levels[i]);
		worlds[i].port = ends.port;
		valid_maps(&worlds[i]);
		rings[i] = ring_of(worlds[i].map[V_RING], 4096);
	}
	stopped = moat_counter("violations");
	diag("seed %#lx, %lu programs", seed, count);
	while (n < count && one(n, seed + (n << 8), show && strtoull(show, NULL, 0) == n))
		n++;
	ok(n == count && !refused && !differed, "%u runs as plainly", ran);
	ok(rejected * 10 < count, "the verifier rejects %u of %lu", rejected, n);
	ok(!valid_untried(), "each step was in some program%s%s", valid_untried() ? ", but for " : "",
	   valid_untried() ?: "");
	ok(moat_counter("violations") == stopped, "none is stopped");
	return finish();
}
