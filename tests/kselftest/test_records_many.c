// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,0 timeout=60 */
/*
 * Does a ring buffer have all records of programs on four CPUs, whole and in order, while
 * its consumer takes them?
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>
#include "records.h"

#define RING (1 << 17)

/* Each of four CPUs has a program that counts. */
#define EACH 3000
static struct ring shared;
static int counting[4];

static void *produce(void *arg)
{
	int cpu = (long)arg;
	u64 got = 0;

	pin_to_cpu(cpu);
	for (int i = 0; i < EACH; i++)
		got += prog_run_once(counting[cpu]) == 1;
	return (void *)got;
}

static void producers(int level)
{
	pthread_t thread[4];
	u64 last[4] = {}, got = 0, taken = 0, wrong = 0, done = 0;
	int words = map_of_words(0);

	shared = ring_open(RING);
	for (int cpu = 0; cpu < 4; cpu++) {
		struct bpf_insn insns[] = {
			LD_MAP_FD(R1, shared.map), MOV_IMM(R2, 24), MOV_IMM(R3, 0),
			CALL(ringbuf_reserve), JMP_IMM(BPF_JNE, R0, 0, 2), MOV_IMM(R0, 7), EXIT(),
			LD_MAP_VALUE(R1, words, 8 * cpu), LDX(BPF_DW, R2, R1, 0),
			ALU64_IMM(BPF_ADD, R2, 1), STX(BPF_DW, R1, R2, 0), STX(BPF_DW, R0, R2, 8),
			ST(BPF_DW, R0, 0, cpu), ALU64_IMM(BPF_XOR, R2, -1),
			STX(BPF_DW, R0, R2, 16),
			MOV_REG(R1, R0), MOV_IMM(R2, cpu & 1 ? BPF_RB_NO_WAKEUP : 0),
			CALL(ringbuf_submit), MOV_IMM(R0, 1), EXIT(),
		};

		counting[cpu] = PROG_LOAD(xdp.type, "producer", insns);
		if (counting[cpu] < 0)
			bail("load: %s\n%s", strerror(errno), prog_log);
	}
	for (long cpu = 0; cpu < 4; cpu++)
		pthread_create(&thread[cpu], NULL, produce, (void *)cpu);
	while (done < 4) {
		void *ret;

		if (!pthread_tryjoin_np(thread[done], &ret)) {
			got += (u64)ret;
			done++;
		}
		while (*shared.consumer < __atomic_load_n(shared.producer, __ATOMIC_ACQUIRE)) {
			u64 pos = *shared.consumer, cpu;
			u32 header = ring_header(&shared, pos);

			if (header & BUSY)
				break;
			cpu = ring_word(&shared, pos) & 3;
			wrong += header != 24 || ring_word(&shared, pos + 8) <= last[cpu] ||
				 ring_word(&shared, pos + 16) != ~ring_word(&shared, pos + 8);
			last[cpu] = ring_word(&shared, pos + 8);
			taken++;
			__atomic_store_n(shared.consumer, pos + ring_step(header),
					 __ATOMIC_RELEASE);
		}
	}
	taken += ring_consume(&shared);
	ok(!wrong && taken == got && got > EACH,
	   "%d: records of four CPUs: %lu made, %lu taken, %lu wrong", level, got, taken, wrong);
	for (int cpu = 0; cpu < 4; cpu++)
		close(counting[cpu]);
	close(words);
	ring_close(&shared);
}

int main(void)
{
	for (int level = moat_present() ? 2 : 0; level >= 0; level -= 2) {
		moat_set_level(level);
		producers(level);
	}
	return finish();
}
