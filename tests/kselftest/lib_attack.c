// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "attack.h"

int loot;
int level;

u64 loot_at(u32 i)
{
	u64 v[16] = {};
	u32 zero = 0;

	map_lookup(loot, &zero, v);
	return v[i];
}

void loot_clear(void)
{
	u64 v[16] = {};
	u32 zero = 0;

	map_update(loot, &zero, v);
}

int array_of(u32 size)
{
	int fd = map_create(BPF_MAP_TYPE_ARRAY, 4, size, 1);

	if (fd < 0)
		bail("map: %s", strerror(errno));
	return fd;
}

u64 slot(int map, u32 i)
{
	u64 v[16] = {};
	u32 zero = 0;

	map_lookup(map, &zero, v);
	return v[i];
}

int load(const struct prog_type *t, const char *name, const struct bpf_insn *insns, size_t cnt)
{
	int fd = prog_load(t->type, name, insns, cnt);

	if (fd < 0)
		diag("%s: load: %s\n%s", name, strerror(errno), prog_log);
	return fd;
}

u64 map_address_for(const struct prog_type *t, int map)
{
	int out = array_of(8);
	struct bpf_insn insns[] = {
		LD_MAP_FD(R1, map),
		LD_MAP_VALUE(R2, out, 0),
		STX(BPF_DW, R2, R1, 0),
		MOV_IMM(R0, 0),
		EXIT(),
	};
	int fd, now = level;
	u64 addr;

	moat_set_level(0);
	fd = load(t, "tell", insns, ARRAY_SIZE(insns));
	prog_run_once(fd);
	moat_set_level(now);
	addr = slot(out, 0);
	close(fd);
	close(out);
	return addr;
}

u64 map_address(int map)
{
	return map_address_for(&xdp, map);
}

bool others_run(void)
{
	struct bpf_insn insns[] = {
		LD_MAP_VALUE(R1, loot, 120),
		MOV_IMM(R2, 1),
		ATOMIC(BPF_DW, BPF_ADD, R1, R2, 0),
		MOV_IMM(R0, 2),
		EXIT(),
	};
	int fd = load(&xdp, "good", insns, ARRAY_SIZE(insns));
	u64 before = loot_at(15);
	bool good = fd >= 0 && prog_run_once(fd) == 2 && loot_at(15) == before + 1;

	close(fd);
	return good;
}

bool reported(const char *line, const char *access, u64 addr)
{
	char want[64];
	const char *at;
	u64 seen;

	if (!line) {
		diag("nothing in the log");
		return false;
	}
	diag("%s", line);
	if (!strcmp(access, RETURN))
		return strstr(line, access);
	if (strcmp(access, "read") && strcmp(access, "write")) {
		snprintf(want, sizeof(want), "helper %s argument ", access);
		return strstr(line, want);
	}
	snprintf(want, sizeof(want), ": %s of ", access);
	at = strstr(line, want);
	if (!at)
		return false;
	seen = strtoull(at + strlen(want), NULL, 16);
	return addr == ANYWHERE || seen - addr < 8;
}

/* Runs @fd, which must be stopped as @access of @addr, and stay dead. */
static void must_be_stopped(const struct prog_type *t, int fd, const char *name,
			    const char *access, u64 addr, struct run *run, const char *what)
{
	s64 violations = moat_counter("violations");
	bool err;

	kmsg_mark();
	err = prog_run(fd, run);
	ok(!err && run->retval == t->safe, "%d: %s: stopped with the safe verdict", level, what);
	if (err || run->retval != t->safe)
		diag("%s, verdict %u, expected %u", err ? strerror(errno) : "ran",
		     run->retval, t->safe);
	ok(reported(kmsg_stopped(fd, name), access, addr), "%d: %s: reported", level, what);
	ok(moat_counter("violations") == violations + 1, "%d: %s: counted", level, what);
	err = prog_run(fd, run);
	ok(!err && run->retval == t->safe && moat_counter("violations") == violations + 1,
	   "%d: %s: stays dead", level, what);
}

void run_packet(struct run *run, u32 size)
{
	static u8 in[2048], out[4096];

	memset(in, 0xab, sizeof(in));
	*run = (struct run){
		.data_in = in, .data_in_size = size,
		.data_out = out, .data_out_size = sizeof(out),
	};
}

void attack(const struct attack *a, const struct bpf_insn *insns, size_t cnt)
{
	struct run run;
	bool landed;
	int fd;

	loot_clear();
	canary_reset();
	fd = load(a->t, a->name, insns, cnt);
	if (fd < 0) {
		ok(false, "%d: %s: loads", level, a->what);
		return;
	}
	run_packet(&run, 1024);
	if (level == 0) {
		if (prog_run(fd, &run))
			diag("run: %s", strerror(errno));
		landed = a->landed(&run, a->arg);
		ok(run.retval == a->t->pass && loot_at(1) == DONE && landed,
		   "0: %s: succeeds", a->what);
		if (run.retval != a->t->pass || loot_at(1) != DONE || !landed)
			diag("verdict %u, loot %lx %lx", run.retval, loot_at(0), loot_at(1));
	} else {
		must_be_stopped(a->t, fd, a->name, a->access, a->addr, &run, a->what);
		landed = a->landed(&run, a->arg);
		if (!ok(loot_at(1) != DONE && !landed, "%d: %s: nothing got out or in", level,
			a->what))
			diag("the attack %s; loot %lx %lx", landed ? "landed" : "had no effect",
			     loot_at(0), loot_at(1));
		ok(others_run(), "%d: %s: the kernel and other programs go on", level, a->what);
	}
	close(fd);
	canary_reset();
}

bool loot_is(struct run *run, const void *arg)
{
	return loot_at(0) == *(const u64 *)arg;
}

bool loot_is_done(struct run *run, const void *arg)
{
	return loot_at(1) == DONE;
}

bool data_is_mark(struct run *run, const void *arg)
{
	return canary("data") == MARK;
}

static int at_levels(const int *levels, void (*attacks)(void))
{
	if (!test_kernel())
		skip_all("needs the test kernel");
	pin_to_cpu(0);
	loot = array_of(128);
	if (!bypass_verifier(true))
		bail("no verifier switch");

	do {
		level = *levels;
		if (level && !moat_present()) {
			skip("no moat.ko", "level %d", level);
			continue;
		}
		moat_set_level(level);
		attacks();
	} while (*levels++);
	return finish();
}

int at_each_level(void (*attacks)(void))
{
	static const int levels[] = { 2, 0 };

	return at_levels(levels, attacks);
}

int at_all_levels(void (*attacks)(void))
{
	static const int levels[] = { 2, 1, 0 };

	return at_levels(levels, attacks);
}
