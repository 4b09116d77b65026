// SPDX-License-Identifier: GPL-2.0
/* When a program goes: how often it has run, by its type and whether it was isolated. */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct runs {
	__u64 programs, runs;
};

/* Twice the type, one more if it was isolated */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 128);
	__type(key, __u32);
	__type(value, struct runs);
} seen SEC(".maps");

/* Those that were not */
struct plain {
	__u32 type;
	char name[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct plain);
	__type(value, struct runs);
} plain SEC(".maps");

extern const void __per_cpu_offset __ksym;

const volatile __u32 cpus = 1;

SEC("kprobe/bpf_prog_free")
int BPF_KPROBE(prog_free, struct bpf_prog *prog)
{
	struct bpf_prog_stats *stats = BPF_CORE_READ(prog, stats);
	__u32 key = 2 * BPF_CORE_READ(prog, type) + !!BPF_CORE_READ(prog, aux, moat), cpu;
	struct runs *runs = bpf_map_lookup_elem(&seen, &key);
	__u64 sum = 0, n, offset;
	struct plain name = {};
	struct runs first = {};

	if (!runs || !stats)
		return 0;
	for (cpu = 0; cpu < 8 && cpu < cpus; cpu++) {
		if (bpf_probe_read_kernel(&offset, sizeof(offset),
					  (const __u64 *)&__per_cpu_offset + cpu))
			break;
		if (bpf_probe_read_kernel(&n, sizeof(n), (void *)&stats->cnt + offset))
			break;
		sum += n;
	}
	__sync_fetch_and_add(&runs->programs, 1);
	__sync_fetch_and_add(&runs->runs, sum);
	/* Refused programs are none that run plainly. */
	if (key & 1 || !BPF_CORE_READ(prog, jited_len))
		return 0;
	name.type = key / 2;
	BPF_CORE_READ_STR_INTO(&name.name, prog, aux, name);
	bpf_map_update_elem(&plain, &name, &first, BPF_NOEXIST);
	runs = bpf_map_lookup_elem(&plain, &name);
	if (!runs)
		return 0;
	__sync_fetch_and_add(&runs->programs, 1);
	__sync_fetch_and_add(&runs->runs, sum);
	return 0;
}

char _license[] SEC("license") = "GPL";
