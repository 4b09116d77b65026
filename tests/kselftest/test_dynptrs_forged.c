// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,0 timeout=240 */
/*
 * What can a program do with dynptrs that it has written itself?
 *
 * A dynptr is 16 bytes of the program's stack. No verifier looked at these programs: they
 * have dynptrs for kernel memory and for memory of others, of any size and type, and change them
 * while a helper looks. For records: test_dynptr_records_forged.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "dynptrs.h"

static u64 data;	/* kernel memory with canaries */

static bool is_changed(struct run *run, const void *before)
{
	return canary("data") != *(const u64 *)before;
}

static void begin(void)
{
	canary_reset();
	cnt = 0;
}

static void reads(const char *what, u64 addr, u32 size, u32 offset, u64 part)
{
	u64 secret;

	begin();
	secret = canary("data");
	E(FORGE(addr, size, offset), READ_PART(part), TAKE_R3(), FINISH(&xdp));
	attack(&(struct attack){ &xdp, "rogue_reads", "dynptr_read", 0, loot_is, &secret, what },
	       insns, cnt);
}

static void writes(const char *what, u64 addr, u32 size, u32 offset, u64 part)
{
	begin();
	E(FORGE(addr, size, offset), WRITE_PART(part), FINISH(&sched_cls));
	attack(&(struct attack){ &sched_cls, "rogue_writes", "dynptr_write", 0, data_is_mark, NULL,
				 what }, insns, cnt);
}

static void kernel_memory(void)
{
	reads("kernel memory is read", data, 8 | LOCAL, 0, 0);
	reads("the same by one of a ring", data, 8 | OF_RING, 0, 0);
	reads("the same by one that is read-only", data, 8 | RDONLY, 0, 0);
	reads("the same, of no type", data, 8, 0, 0);
	reads("by its offset", data - 8, 16, 8, 0);
	reads("by the offset that is asked for", data - 0xfffff0, 0xffffff, 0, 0xfffff0);
	reads("by both, with more than 32 bits", data - 0xffffffff - 0xff0000, 0xffffff, 0xffffffff,
	      0xff0000);
	reads("by an offset with more than 32 bits", data - 8, 16, 0, 1ULL << 32 | 8);
	writes("kernel memory is written", data, 8 | LOCAL, 0, 0);
	writes("the same by one of a ring", data, 0xffffff | OF_RING, 0, 0);
	writes("the same, by all offsets", data - 0xffffffff - 0xff0000, 0xffffff, 0xffffffff,
	       0xff0000);
}

/* What it can address, but another program has: it says itself where it sees that. */
static void memory_of_others(void)
{
	int map = array_of(128), owner;
	u64 where, secret = 0x5ec4e75ec4e7;
	u32 zero = 0;

	loot_clear();
	begin();
	E(LD_MAP_VALUE(R3, map, 0), TAKE_R3(), FINISH(&xdp));
	owner = load(&xdp, "owner", insns, cnt);
	prog_run_once(owner);
	where = loot_at(0);
	map_update(map, &zero, &(u64[16]){ secret });

	begin();
	E(FORGE(where, 64, 0), READ_PART(0), TAKE_R3(), FINISH(&socket_filter));
	attack(&(struct attack){ &socket_filter, "rogue_reads", "dynptr_read", 0, loot_is, &secret,
				 "a map of others is read" }, insns, cnt);
	begin();
	E(FORGE(where, 64, 0), WRITE_PART(8), LD_IMM64(R3, secret), TAKE_R3(), FINISH(&xdp));
	attack(&(struct attack){ &xdp, "rogue_writes", "dynptr_write", 0, loot_is, &secret,
				 "a map of others is written" }, insns, cnt);
	ok((slot(map, 1) == MARK) == !level, "%d: a map of others is %s", level,
	   level ? "what it was" : "another");
	close(owner);
	close(map);
}

static void read_only_values(void)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 64, .max_entries = 1,
		.map_flags = BPF_F_RDONLY_PROG,
	};
	int map = syscall(321 /* bpf */, BPF_MAP_CREATE, &attr, sizeof(attr));
	u64 mark = MARK;

	begin();
	E(LD_MAP_VALUE(R6, map, 0), STX(BPF_DW, R10, R6, -16), LD_IMM64(R1, 64),
	  STX(BPF_DW, R10, R1, -8), WRITE_PART(0), LDX(BPF_DW, R3, R6, 0), TAKE_R3(),
	  FINISH(&xdp));
	attack(&(struct attack){ &xdp, "rogue_writes", "dynptr_write", 0, loot_is, &mark,
				 "what programs may only read is written" }, insns, cnt);
	close(map);
}

/* The dynptr itself is elsewhere. */
static void elsewhere(void)
{
	int map = array_of(64);
	u64 before;

	begin();
	before = canary("data");
	E(LD_MAP_VALUE(R1, map, 0), MOV_IMM(R2, 64), MOV_IMM(R3, 0), LD_IMM64(R4, data),
	  CALL(dynptr_from_mem), FINISH(&xdp));
	attack(&(struct attack){ &xdp, "rogue_from_mem", "dynptr_from_mem", 0, is_changed, &before,
				 "a dynptr is put into kernel memory" }, insns, cnt);
	begin();
	E(LD_MAP_VALUE(R1, map, 0), MOV_IMM(R2, 64), MOV_IMM(R3, 1), LD_IMM64(R4, data + 56),
	  ALU64_IMM(BPF_SUB, R4, 56), CALL(dynptr_from_mem), FINISH(&xdp));
	attack(&(struct attack){ &xdp, "rogue_no_mem", "dynptr_from_mem", 0, is_changed, &before,
				 "kernel memory is cleared as a dynptr" }, insns, cnt);
	close(map);
}

/* What comes back is an address as the program has it. */
static void finds(void)
{
	begin();
	E(FORGE(data - 8, 64, 0), ADDRESS(R1, R10, -16), MOV_IMM(R2, 8), MOV_IMM(R3, 8),
	  CALL(dynptr_data), LD_IMM64(R1, MARK), STX(BPF_DW, R0, R1, 0), FINISH(&xdp));
	attack(&(struct attack){ &xdp, "rogue_data", "write", data, data_is_mark, NULL,
				 "a part that is kernel memory is written" }, insns, cnt);
}

/*
 * The dynptr is in a map, and another CPU has it be for the program's memory, for the kernel's,
 * and so on. What is believed of a look that is not the last one lands.
 */
#define TRIES 12

static volatile u64 *changing;
static volatile bool done;
static u64 own;

static void *change(void *arg)
{
	pin_to_cpu(1);
	while (!done) {
		*changing = data;
		*changing = own;
		for (volatile int i = 0; i < 40; i++)
			;
	}
	return NULL;
}

static void while_it_looks(void)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 128, .max_entries = 1,
		.map_flags = BPF_F_MMAPABLE,
	};
	int map = syscall(321 /* bpf */, BPF_MAP_CREATE, &attr, sizeof(attr));
	u32 landed = 0, stopped = 0;
	pthread_t t;

	changing = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
	if (map < 0 || changing == MAP_FAILED)
		bail("map to be changed: %s", strerror(errno));
	for (int i = 0; i < TRIES; i++) {
		struct run run;
		int fd;

		begin();
		/* First it tells where its memory is, with nothing to write to. */
		E(LD_MAP_VALUE(R6, map, 0), ADDRESS(R3, R6, 64), TAKE_R3(), LDX(BPF_DW, R8, R6, 16),
		  LD_IMM64(R1, MARK), STX(BPF_DW, R10, R1, -64), MOV_REG(R1, R6), MOV_IMM(R2, 0),
		  ADDRESS(R3, R10, -64), MOV_IMM(R4, 8), MOV_IMM(R5, 0), CALL(dynptr_write),
		  ALU64_IMM(BPF_SUB, R8, 1), JMP_IMM(BPF_JNE, R8, 0, -9), MOV_IMM(R0, 2), EXIT());
		fd = load(&xdp, "rogue_changes", insns, cnt);
		changing[0] = changing[1] = 0;
		changing[2] = 1;
		run_packet(&run, 64);
		prog_run(fd, &run);
		own = loot_at(0);
		changing[1] = 8;
		changing[2] = level ? 1000 : 100000;
		changing[0] = own;
		done = false;
		pthread_create(&t, NULL, change, NULL);
		for (int more = 0; more < 100 && run.retval == 2 && canary("data") != MARK; more++)
			prog_run(fd, &run);
		done = true;
		pthread_join(t, NULL);
		landed += canary("data") == MARK;
		stopped += run.retval == xdp.safe;
		close(fd);
		if (!level)
			break;
	}
	diag("%d: %u of %d landed, %u stopped", level, landed, TRIES, stopped);
	ok(!!landed == !level && !!stopped == !!level,
	   "%d: a dynptr is changed while a helper looks: %s", level,
	   level ? "contained" : "succeeds");
	canary_reset();
	munmap((void *)changing, 4096);
	close(map);
}

static void attacks(void)
{
	data = target("data");
	kernel_memory();
	memory_of_others();
	read_only_values();
	elsewhere();
	finds();
	while_it_looks();
}

int main(void)
{
	return at_all_levels(attacks);
}
