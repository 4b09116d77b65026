// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,0 timeout=240 */
/*
 * Helpers that take maps whose values are names: are they given maps and memory that are not
 * the program's? And does a program learn where the kernel has what it looks up?
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "attack.h"

static u64 want;

/* A devmap that leads to lo */
static int devices(void)
{
	int map = map_create(BPF_MAP_TYPE_DEVMAP, 4, 4, 4);
	u32 zero = 0, lo = 1;

	if (map < 0 || map_update(map, &zero, &lo))
		bail("a devmap: %s", strerror(errno));
	return map;
}

static void maps_of_others(void)
{
	int other = devices();
	u64 addr = map_address(other), data = target("data");
	int events = map_create(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096);
	int bloom = map_create(BPF_MAP_TYPE_BLOOM_FILTER, 0, 8, 16);
	int perf = map_create(BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 4);

	struct bpf_insn redirects[] = {
		LD_IMM64(R1, addr), MOV_IMM(R2, 0), MOV_IMM(R3, 0), CALL(redirect_map),
		MOV_REG(R3, R0), TAKE_R3(), FINISH(&xdp),
	};
	want = XDP_REDIRECT;
	ATTACK(redirects, &xdp, "rogue_redirect", "redirect_map", 0, loot_is, &want,
	       "redirect_map by a map of others");

	struct bpf_insn finds[] = {
		ST(BPF_DW, R10, -8, 0), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -8),
		LD_IMM64(R1, addr), CALL(map_lookup_elem), JMP_IMM(BPF_JEQ, R0, 0, 4),
		LDX(BPF_W, R3, R0, 0), TAKE_R3(), FINISH(&sched_cls),
	};
	want = 1;
	ATTACK(finds, &sched_cls, "rogue_finds", "map_lookup_elem", 0, loot_is, &want,
	       "map_lookup_elem gets a devmap of others");

	struct bpf_insn tells[] = {
		LD_MAP_FD(R1, events), LD_IMM64(R2, data), MOV_IMM(R3, 8), MOV_IMM(R4, 0),
		CALL(ringbuf_output), MOV_REG(R3, R0), ALU64_IMM(BPF_ADD, R3, 1), TAKE_R3(),
		FINISH(&cgroup_skb),
	};
	want = 1;
	ATTACK(tells, &cgroup_skb, "rogue_tells", "ringbuf_output", 0, loot_is, &want,
	       "ringbuf_output tells what is in kernel memory");

	struct bpf_insn puts[] = {
		LD_MAP_FD(R1, bloom), LD_IMM64(R2, data), MOV_IMM(R3, 0), CALL(map_push_elem),
		MOV_REG(R3, R0), ALU64_IMM(BPF_LSH, R3, 32), ALU64_IMM(BPF_ADD, R3, 1), TAKE_R3(),
		FINISH(&xdp),
	};
	ATTACK(puts, &xdp, "rogue_puts", "map_push_elem", 0, loot_is, &want,
	       "map_push_elem asks for what is in kernel memory");

	/* There is no event, which is found out after the call. */
	struct bpf_insn events_of[] = {
		LD_MAP_FD(R2, perf), LD_IMM64(R3, 0xffffffff), LD_IMM64(R4, data), MOV_IMM(R5, 8),
		CALL(perf_event_output), MOV_REG(R3, R0), TAKE_R3(), FINISH(&socket_filter),
	};
	want = -ENOENT;
	ATTACK(events_of, &socket_filter, "rogue_events", "perf_event_output", 0, loot_is, &want,
	       "perf_event_output is given kernel memory");
	close(other);
	close(events);
	close(bloom);
	close(perf);
}

static bool leads_to_kernel(struct run *run, const void *arg)
{
	return loot_at(0) >> 63 && loot_at(0) >> 39 != 0x1fffffd;
}

/* What is found is a copy: where the kernel has it, is not told. */
static void addresses(void)
{
	int map = devices(), fd;
	struct bpf_insn finds[] = {
		LOOK_UP_0(map), MOV_REG(R3, R0), TAKE_R3(),
		FINISH(&sched_cls),
	};
	struct run run;

	loot_clear();
	fd = load(&sched_cls, "finds", finds, ARRAY_SIZE(finds));
	run_packet(&run, 64);
	prog_run(fd, &run);
	ok(loot_at(1) == DONE && loot_at(0) && leads_to_kernel(&run, NULL) == !level,
	   "%d: a lookup tells %s: %lx", level, level ? "of a copy" : "where the kernel has it",
	   loot_at(0));
	close(fd);
	close(map);
}

/* As many entries that differ as there is room for copies of, and one more */
#define ROOM 64

static void too_many(void)
{
	struct bpf_insn pass[] = { MOV_IMM(R0, 2), EXIT() }, insns[8 * (ROOM + 1) + 2];
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_XDP_DEVMAP);
	int map = map_create(BPF_MAP_TYPE_DEVMAP, 4, 8, ROOM + 1), n = 0, fd, more;
	s64 violations = moat_counter("violations");
	const char *line;
	struct run run;
	u32 i;

	moat_set_level(0);
	for (i = 0; i <= ROOM; i++) {
		int prog = bpf_prog_load(BPF_PROG_TYPE_XDP, "entry", "GPL", pass, 2, &opts);
		struct bpf_devmap_val v = { .ifindex = 1, .bpf_prog.fd = prog };

		if (prog < 0 || map_update(map, &i, &v))
			bail("entry %u: %s", i, strerror(errno));
		close(prog);
	}
	moat_set_level(level);
	for (more = 0; more <= 1; more++) {
		n = 0;
		for (i = 0; i < ROOM + (u32)more; i++) {
			struct bpf_insn one[] = {
				ST(BPF_W, R10, -4, (s32)i), MOV_REG(R2, R10),
				ALU64_IMM(BPF_ADD, R2, -4), LD_MAP_FD(R1, map), CALL(map_lookup_elem),
			};

			memcpy(insns + n, one, sizeof(one));
			n += ARRAY_SIZE(one);
		}
		insns[n++] = MOV_IMM(R0, xdp.pass);
		insns[n++] = EXIT();
		fd = load(&xdp, "too_many", insns, n);
		kmsg_mark();
		run_packet(&run, 64);
		prog_run(fd, &run);
		line = kmsg_stopped(fd, "too_many");
		if (level && more)
			ok(run.retval == xdp.safe && line && strstr(line, "more than 64 entries") &&
			   moat_counter("violations") == violations + 1,
			   "2: who looks up more entries than there is room for is stopped");
		else
			ok(run.retval == xdp.pass && !line, "%d: %d entries", level, ROOM + more);
		close(fd);
	}
	close(map);
}

static void attacks(void)
{
	maps_of_others();
	addresses();
	too_many();
}

int main(void)
{
	return at_each_level(attacks);
}
