// SPDX-License-Identifier: GPL-2.0
/* Programs, and what BPF_PROG_TEST_RUN says that a run of them takes. */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "bench.h"
#include "packet.h"
#include "programs.h"

#define REPEAT 500
#define ROUNDS 40

int map_for(const struct program *prog)
{
	/* An LRU hash is to have its entry still; the others have no use for as many. */
	int entries = prog->map == BPF_MAP_TYPE_LRU_HASH ? 1024 : 16;
	unsigned long long value[8] = { 0 };	/* one for each CPU there may be */
	bool trie = prog->map == BPF_MAP_TYPE_LPM_TRIE;
	/* Elements are to be in the same buckets each time. */
	LIBBPF_OPTS(bpf_map_create_opts, opts,
		    .map_flags = (trie || prog->on_demand ? BPF_F_NO_PREALLOC : 0) |
				 (prog->elements ? BPF_F_ZERO_SEED : 0));
	unsigned long long key = trie ? 32 : 0;
	int map;

	switch (prog->map) {
	case BPF_MAP_TYPE_UNSPEC:
		return -1;
	case BPF_MAP_TYPE_RINGBUF:
		/* So that it is not full in the end */
		map = bpf_map_create(prog->map, "bench", 0, 0, 1 << 22, NULL);
		break;
	default:
		map = bpf_map_create(prog->map, "bench", trie ? 8 : 4, 8, entries, &opts);
	}
	if (map < 0)
		die("map");
	for (int i = 0; prog->map != BPF_MAP_TYPE_RINGBUF && i < (prog->elements ?: 1); i++, key++)
		if (bpf_map_update_elem(map, &key, value, BPF_ANY))
			die("map update");
	return map;
}

/* What the kernel wants to know of functions that are to be called, and of the program */
static void tell_of_functions(struct bpf_prog_load_opts *opts, const struct bpf_insn *insns,
			      size_t count)
{
	static struct bpf_func_info info[8];
	struct btf *btf = btf__new_empty();
	int word = btf__add_int(btf, "long", 8, BTF_INT_SIGNED);
	int proto = btf__add_func_proto(btf, word);
	size_t nr = 1;

	info[0].type_id = btf__add_func(btf, "main", BTF_FUNC_STATIC, proto);
	/* Addresses are taken in the order in which functions are there. */
	for (size_t i = 0; i < count; i++) {
		if (insns[i].src_reg != BPF_PSEUDO_FUNC ||
		    insns[i].code != (BPF_LD | BPF_IMM | BPF_DW) || nr == ARRAY_SIZE(info))
			continue;
		info[nr].type_id = btf__add_func(btf, "f", BTF_FUNC_STATIC, proto);
		info[nr++].insn_off = i + 1 + insns[i].imm;
	}
	if (nr == 1)
		return;
	if (btf__load_into_kernel(btf))
		die("BTF");
	opts->prog_btf_fd = btf__fd(btf);
	opts->func_info = info;
	opts->func_info_cnt = nr;
	opts->func_info_rec_size = sizeof(info[0]);
}

int load(const struct program *prog, const char *name, int map)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts);
	struct bpf_insn insns[64];
	int fd;

	if (prog->count > ARRAY_SIZE(insns)) {
		errno = E2BIG;
		die(name);
	}
	memcpy(insns, prog->insns, prog->count * sizeof(insns[0]));
	for (size_t i = 0; i < prog->count; i++)
		if (insns[i].src_reg == BPF_PSEUDO_MAP_FD &&
		    insns[i].code == (BPF_LD | BPF_IMM | BPF_DW))
			insns[i].imm = map;
	tell_of_functions(&opts, insns, prog->count);
	fd = bpf_prog_load(prog->type, "bench", "GPL", insns, prog->count, &opts);
	if (fd < 0)
		die(name);
	return fd;
}

unsigned long long counted(int map)
{
	unsigned long long value;
	int key = 0;

	if (bpf_map_lookup_elem(map, &key, &value))
		die("map lookup");
	return value;
}

struct cost test_run(const char *name, int fd, unsigned int verdict)
{
	struct cost best = { -1, -1, -1 };

	for (int i = 0; i < ROUNDS; i++) {
		LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = packet,
			    .data_size_in = sizeof(packet), .repeat = REPEAT);
		struct counters before = read_counters();

		if (bpf_prog_test_run_opts(fd, &run))
			die("BPF_PROG_TEST_RUN");
		if (run.retval != verdict) {
			fprintf(stderr, "bench: %s returned %u, not %u\n", name, run.retval,
				verdict);
			exit(1);
		}
		keep_quietest(&best, (double)run.duration * REPEAT, &before, REPEAT);
	}
	return best;
}

/* To an empty program of its own type, which is isolated if it is. */
struct cost measure_tail_call(const struct row *row)
{
	struct program empty = row->prog;
	int map, fd, to, key = 0;
	struct cost cost;

	empty.insns = p_empty;
	empty.count = ARRAY_SIZE(p_empty);
	map = bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, "bench", 4, 4, 1, NULL);
	if (map < 0)
		die("array of programs");
	to = load(&empty, row->name, -1);
	fd = load(&row->prog, row->name, map);
	if (bpf_map_update_elem(map, &key, &to, BPF_ANY))
		die("array of programs");
	cost = test_run(row->name, fd, row->prog.verdict);
	close(fd);
	close(to);
	close(map);
	return cost;
}

struct cost measure_test_run(const struct row *row)
{
	int map = map_for(&row->prog), fd = load(&row->prog, row->name, map);
	struct cost cost = test_run(row->name, fd, row->prog.verdict);

	close(fd);
	if (map >= 0)
		close(map);
	return cost;
}
