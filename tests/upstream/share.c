// SPDX-License-Identifier: GPL-2.0
/*
 * share PERCENT COMMAND...: runs the command, and then says how many of the runs of programs
 * of types that MOAT isolates were isolated, and, unless PERCENT is 0, which programs were
 * not. Fails with the command, or if they were fewer. What counts is programs that are gone
 * when the command is.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "share.skel.h"

struct runs {
	__u64 programs, runs;
};

static const struct {
	enum bpf_prog_type type;
	const char *name;
} types[] = {
	{ BPF_PROG_TYPE_SOCKET_FILTER, "socket_filter" },
	{ BPF_PROG_TYPE_SCHED_CLS, "sched_cls" },
	{ BPF_PROG_TYPE_SCHED_ACT, "sched_act" },
	{ BPF_PROG_TYPE_XDP, "xdp" },
	{ BPF_PROG_TYPE_CGROUP_SKB, "cgroup_skb" },
};

static const char *name_of(__u32 type)
{
	size_t i;

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (types[i].type == type)
			return types[i].name;
	}
	return NULL;
}

/* Who was not, of those types */
static void name_plain(int map)
{
	struct { __u32 type; char name[16]; } key, *last = NULL;
	struct runs plain;

	for (; !bpf_map_get_next_key(map, last, &key); last = &key) {
		if (!name_of(key.type) || bpf_map_lookup_elem(map, &key, &plain))
			continue;
		printf("# plain: %s %s: %llu programs, %llu runs\n", name_of(key.type), key.name,
		       plain.programs, plain.runs);
	}
}

static void count_runs(void)
{
	FILE *f = fopen("/proc/sys/kernel/bpf_stats_enabled", "w");

	if (!f || fputs("1", f) < 0 || fclose(f)) {
		perror("bpf_stats_enabled");
		exit(2);
	}
}

int main(int argc, char **argv)
{
	unsigned long long all = 0, isolated = 0, loaded = 0, loaded_isolated = 0;
	struct runs seen[2];
	struct share *skel;
	int status = 0;
	size_t i;
	__u32 j;

	if (argc < 3)
		return 2;
	skel = share__open();
	if (skel)
		skel->rodata->cpus = libbpf_num_possible_cpus();
	if (!skel || share__load(skel) || share__attach(skel)) {
		fprintf(stderr, "share: %s\n", strerror(errno));
		return 2;
	}
	count_runs();
	if (!fork()) {
		execvp(argv[2], argv + 2);
		_exit(127);
	}
	wait(&status);
	sleep(2);
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		for (j = 0; j < 2; j++) {
			__u32 key = 2 * types[i].type + j;

			if (bpf_map_lookup_elem(bpf_map__fd(skel->maps.seen), &key, &seen[j]))
				return 2;
		}
		printf("# %s: %llu of %llu programs isolated, %llu of %llu runs\n", types[i].name,
		       seen[1].programs, seen[0].programs + seen[1].programs, seen[1].runs,
		       seen[0].runs + seen[1].runs);
		loaded += seen[0].programs + seen[1].programs;
		loaded_isolated += seen[1].programs;
		all += seen[0].runs + seen[1].runs;
		isolated += seen[1].runs;
	}
	if (strtoull(argv[1], NULL, 10))
		name_plain(bpf_map__fd(skel->maps.plain));
	printf("# share: %llu of %llu runs isolated, %.2f %%; %llu of %llu programs\n", isolated, all,
	       all ? 100.0 * isolated / all : 0, loaded_isolated, loaded);
	if (100 * isolated < all * strtoull(argv[1], NULL, 10)) {
		printf("# share: less than %s %%\n", argv[1]);
		return 1;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 125;
}
