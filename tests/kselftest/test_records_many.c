// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 keys=13 timeout=60 */
/*
 * Does a ring buffer have all records of programs on four CPUs, whole and in order, while
 * its consumer takes them? And may a program hold as many as the verifier lets it?
 */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/btf.h>
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

/* int main(struct xdp_md *ctx), and a global function, which is verified for itself */
static int load_with_function(const struct bpf_insn *insns, size_t cnt, u32 function)
{
	struct btf *btf = btf__new_empty();
	int number = btf__add_int(btf, "int", 4, BTF_INT_SIGNED);
	int ctx = btf__add_ptr(btf, btf__add_struct(btf, "xdp_md", 0));
	struct bpf_func_info infos[2] = { {}, { .insn_off = function } };
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .func_info = infos, .func_info_cnt = 2,
		    .func_info_rec_size = sizeof(infos[0]), .log_buf = prog_log,
		    .log_size = sizeof(prog_log), .log_level = 1);
	int proto = btf__add_func_proto(btf, number), fd;

	infos[1].type_id = btf__add_func(btf, "report", BTF_FUNC_GLOBAL, proto);
	proto = btf__add_func_proto(btf, number);
	btf__add_func_param(btf, "ctx", ctx);
	infos[0].type_id = btf__add_func(btf, "main", BTF_FUNC_STATIC, proto);
	if (btf__load_into_kernel(btf))
		bail("BTF: %s", strerror(errno));
	opts.prog_btf_fd = btf__fd(btf);
	fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "caller", "GPL", insns, cnt, &opts);
	btf__free(btf);
	return fd;
}

/* A record is held while a function that knows nothing of it has one of its own. */
static void held_by_caller(int level)
{
	struct ring ring = ring_open(RING);
	const struct bpf_insn insns[] = {
		LD_MAP_FD(R1, ring.map), MOV_IMM(R2, 16), MOV_IMM(R3, 0), CALL(ringbuf_reserve),
		JMP_IMM(BPF_JEQ, R0, 0, 7), MOV_REG(R6, R0), ST(BPF_DW, R6, 0, 1),
		CALL_REL(5),
		MOV_REG(R1, R6), MOV_IMM(R2, 0), CALL(ringbuf_submit), MOV_IMM(R0, 2),
		EXIT(),
		LD_MAP_FD(R1, ring.map), MOV_IMM(R2, 24), MOV_IMM(R3, 0), CALL(ringbuf_reserve),
		JMP_IMM(BPF_JEQ, R0, 0, 4), ST(BPF_DW, R0, 0, 2), MOV_REG(R1, R0),
		MOV_IMM(R2, 0), CALL(ringbuf_submit), MOV_IMM(R0, 0), EXIT(),
	};
	s64 verdict;
	int fd = load_with_function(insns, ARRAY_SIZE(insns), 14);

	if (fd < 0)
		diag("%s", prog_log);
	verdict = prog_run_once(fd);
	if (!ok(verdict == 2 && ring_word(&ring, 0) == 1 && ring_word(&ring, 16 + HEADER) == 2 &&
		ring_consume(&ring) == 2, "level %d: a function's record beside its caller's", level))
		diag("verdict %ld", verdict);
	close(fd);
	ring_close(&ring);
}

int main(void)
{
	for (int level = moat_present() ? 2 : 0; level >= 0; level -= 2) {
		moat_set_level(level);
		producers(level);
		held_by_caller(level);
	}
	return finish();
}
