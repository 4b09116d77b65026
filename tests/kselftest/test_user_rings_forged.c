// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,0 timeout=120 */
/*
 * What can a function do that a helper calls for samples of a user ring buffer?
 *
 * Plainly its dynptr lies on the kernel's stack, and who does not come back leaves the ring to
 * nobody. No verifier looked at these programs.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "attack.h"
#include "build.h"
#include "user_rings.h"
#include "visitor.h"

#define RING 4096

static struct user_ring ring;
static u64 data;	/* kernel memory with canaries */

/* R0 = what it returns, with function 1 */
static void drain(int map)
{
	E(LD_MAP_FD(R1, map));
	emit_function(R2, 1);
	E(MOV_IMM(R3, 0), MOV_IMM(R4, 0), CALL(user_ringbuf_drain));
}

static void begin(void)
{
	ring = user_ring_open(RING);
	for (u8 i = 0; i < 3; i++)
		user_ring_put(&ring, 16, i);
	canary_reset();
	cnt = 0;
}

/* A well-behaved program gets the samples that are left. */
static void end(const char *what, s64 left)
{
	int fd;

	if (level) {
		cnt = 0;
		drain(ring.map);
		E(EXIT());
		begin_function(1);
		E(MOV_IMM(R0, 0), EXIT());
		fd = load(&xdp, "good_drain", insns, cnt);
		ok(prog_run_once(fd) == left && *ring.consumer == *ring.producer,
		   "%d: %s: others drain the ring", level, what);
		close(fd);
	}
	user_ring_close(&ring);
}

static bool is_marked(struct run *run, const void *arg)
{
	return canary("data") == MARK;
}

/* Its dynptr is memory that it can write, but nobody believes what is there. */
static void forged(void)
{
	const char *reads = "a sample is said to be kernel memory, and read";
	const char *writes = "a sample is said to be kernel memory, and written";
	u64 secret;

	begin();
	secret = canary("data");
	drain(ring.map);
	E(FINISH(&xdp));
	begin_function(1);
	E(MOV_REG(R6, R1), LD_IMM64(R2, data), STX(BPF_DW, R6, R2, 0), ADDRESS(R1, R10, -8),
	  MOV_IMM(R2, 8), MOV_REG(R3, R6), MOV_IMM(R4, 0), MOV_IMM(R5, 0), CALL(dynptr_read),
	  LDX(BPF_DW, R3, R10, -8), TAKE_R3(), MOV_IMM(R0, 1), EXIT());
	attack(&(struct attack){ &xdp, "rogue_sample", "dynptr_read", 0, loot_is, &secret, reads },
	       insns, cnt);
	end(reads, 2);

	begin();
	drain(ring.map);
	E(FINISH(&sched_cls));
	begin_function(1);
	E(MOV_REG(R6, R1), LD_IMM64(R2, data), STX(BPF_DW, R6, R2, 0), LD_IMM64(R2, MARK),
	  STX(BPF_DW, R10, R2, -8), MOV_REG(R1, R6), MOV_IMM(R2, 0), ADDRESS(R3, R10, -8),
	  MOV_IMM(R4, 8), MOV_IMM(R5, 0), CALL(dynptr_write), MOV_IMM(R0, 1), EXIT());
	attack(&(struct attack){ &sched_cls, "rogue_sample", "dynptr_write", 0, is_marked, NULL,
				 writes }, insns, cnt);
	end(writes, 2);
}

/* The header of the next sample lies behind it, if it is the ring's own. */
static void past_the_end(void)
{
	struct run run;
	u32 header;
	int fd;

	begin();
	drain(ring.map);
	E(MOV_IMM(R0, 2), EXIT());
	begin_function(1);
	E(MOV_REG(R6, R1), ST(BPF_W, R6, 8, 0xffff), ST(BPF_DW, R10, -8, 0x7777), MOV_REG(R1, R6),
	  MOV_IMM(R2, 16), ADDRESS(R3, R10, -8), MOV_IMM(R4, 4), MOV_IMM(R5, 0),
	  CALL(dynptr_write), MOV_IMM(R0, 1), EXIT());
	fd = load(&xdp, "rogue_past", insns, cnt);
	run_packet(&run, 64);
	prog_run(fd, &run);
	header = *(u32 *)&ring.data[16 + HEADER];
	ok(run.retval == 2 && (header == 0x7777) == !level,
	   "%d: a function writes past its sample: the next one's header is %x", level, header);
	close(fd);
	end("a function writes past its sample", 2);
}

static bool was_drained(struct run *run, const void *arg)
{
	return *ring.consumer;
}

static void foreign_ring(void)
{
	const char *what = "a ring of others is drained";
	u64 addr;

	begin();
	addr = map_address(ring.map);
	E(LD_IMM64(R1, addr));
	emit_function(R2, 1);
	E(MOV_IMM(R3, 0), MOV_IMM(R4, 0), CALL(user_ringbuf_drain), FINISH(&xdp));
	begin_function(1);
	E(MOV_IMM(R0, 1), EXIT());
	attack(&(struct attack){ &xdp, "rogue_drain", "user_ringbuf_drain", 0, was_drained, NULL,
				 what }, insns, cnt);
	end(what, 3);
}

/* A ring that was in a map of maps: the program has its address still. */
static void taken_out_of_one(void)
{
	const char *what = "a ring that was taken out of a map of maps";
	s64 violations = moat_counter("violations");
	int outer, fd;
	s64 got;

	begin();
	outer = outer_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, ring.map);
	if (put(outer, ring.map))
		bail("a map of maps: %s", strerror(errno));
	E(ST(BPF_W, R10, -4, 0), LD_MAP_FD(R1, outer), ADDRESS(R2, R10, -4), CALL(map_lookup_elem),
	  LD_MAP_VALUE(R8, loot, 32), JMP_IMM(BPF_JEQ, R0, 0, 1), STX(BPF_DW, R8, R0, 0),
	  LDX(BPF_DW, R1, R8, 0));
	emit_function(R2, 1);
	E(MOV_IMM(R3, 0), MOV_IMM(R4, 0), CALL(user_ringbuf_drain), MOV_IMM(R0, 2), EXIT());
	begin_function(1);
	E(MOV_IMM(R0, 1), EXIT());
	fd = load(&xdp, "rogue_out", insns, cnt);
	ok(prog_run_once(fd) == 2 && *ring.consumer == 16 + HEADER,
	   "%d: %s: is used as long as it is there", level, what);
	take_out(outer);
	got = prog_run_once(fd);
	if (level)
		ok(got == xdp.safe && *ring.consumer == 16 + HEADER &&
		   moat_counter("violations") == violations + 1, "%d: %s: stopped", level, what);
	else
		ok(got == 2 && *ring.consumer == 2 * (16 + HEADER), "%d: %s: succeeds", level, what);
	close(fd);
	close(outer);
	end(what, level ? 2 : 1);
}

/* How it is stopped while the helper has the ring, and a record in the same function. */
static void stopped(const char *how, const struct bpf_insn *more, int n, const char *said)
{
	struct ring records = ring_open(RING);
	s64 given = moat_counter("given_back");
	const char *line;
	struct run run;
	int fd;

	begin();
	drain(ring.map);
	E(MOV_IMM(R0, 2), EXIT());
	begin_function(1);
	E(MOV_REG(R6, R1), LD_MAP_FD(R1, records.map), MOV_IMM(R2, 8), MOV_IMM(R3, 0),
	  ADDRESS(R4, R10, -16), CALL(ringbuf_reserve_dynptr));
	emit(more, n);
	E(ADDRESS(R1, R10, -16), MOV_IMM(R2, 0), CALL(ringbuf_submit_dynptr), MOV_IMM(R0, 0),
	  EXIT());
	fd = load(&xdp, "rogue_keeps", insns, cnt);
	run_packet(&run, 64);
	kmsg_mark();
	prog_run(fd, &run);
	line = kmsg_stopped(fd, "rogue_keeps");
	diag("%s", line ?: "nothing in the log");
	ok(run.retval == xdp.safe && line && strstr(line, said), "%d: %s: stopped", level, how);
	ok(moat_counter("given_back") == given + 1 && ring_gets_on(&records),
	   "%d: %s: the record is given back", level, how);
	close(fd);
	ring_close(&records);
	end(how, 2);
}

static void attacks(void)
{
	const struct bpf_insn for_ever[] = { JMP_IMM(BPF_JNE, R10, 0, -1) };
	struct bpf_insn writes[] = { LD_IMM64(R1, 0), ST(BPF_DW, R1, 0, 1) };
	int budget;

	data = target("data");
	forged();
	past_the_end();
	foreign_ring();
	taken_out_of_one();
	if (!level)
		return;
	writes[0].imm = data;
	writes[1].imm = data >> 32;
	stopped("a function faults", writes, ARRAY_SIZE(writes), "write of ");
	budget = moat_set_budget(1);
	stopped("a function goes on for ever", for_ever, ARRAY_SIZE(for_ever), "ran too long");
	moat_set_budget(budget);
}

int main(void)
{
	return at_all_levels(attacks);
}
