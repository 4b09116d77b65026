// SPDX-License-Identifier: GPL-2.0
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "calls.h"
#include "locks.h"
#include "storages.h"
#include "timers.h"

static int with_flags(enum bpf_map_type type, u32 key, u32 value, u32 flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
	int fd = bpf_map_create(type, "shared", key, value, 8, &opts);

	if (fd < 0)
		bail("map of type %d: %s", type, strerror(errno));
	return fd;
}

void calls_make_maps(struct calls *c, const struct ends *ends)
{
	LIBBPF_OPTS(bpf_map_create_opts, of, 0);
	int *m = c->map, root = open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY);
	u64 value[8] = { 1 };
	u32 i, zero = 0, size = 64;

	m[ARRAY] = with_flags(BPF_MAP_TYPE_ARRAY, 4, 64, 0);
	m[HASH] = with_flags(BPF_MAP_TYPE_HASH, 4, 64, 0);
	m[PERCPU_ARRAY] = with_flags(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 64, 0);
	m[PERCPU_HASH] = with_flags(BPF_MAP_TYPE_PERCPU_HASH, 4, 64, BPF_F_NO_PREALLOC);
	m[LRU] = with_flags(BPF_MAP_TYPE_LRU_HASH, 4, 64, 0);
	m[TRIE] = with_flags(BPF_MAP_TYPE_LPM_TRIE, 8, 64, BPF_F_NO_PREALLOC);
	m[LOCKED_ARRAY] = locked_map(BPF_MAP_TYPE_ARRAY, 1, 0);
	m[LOCKED_HASH] = locked_map(BPF_MAP_TYPE_HASH, 8, 0);
	m[TIMED_ARRAY] = timed_map(BPF_MAP_TYPE_ARRAY, 1, 0, false);
	m[TIMED_HASH] = timed_map(BPF_MAP_TYPE_HASH, 8, BPF_F_NO_PREALLOC, false);
	m[QUEUE] = with_flags(BPF_MAP_TYPE_QUEUE, 0, 64, 0);
	m[STACK] = with_flags(BPF_MAP_TYPE_STACK, 0, 64, 0);
	m[BLOOM] = with_flags(BPF_MAP_TYPE_BLOOM_FILTER, 0, 64, 0);
	m[RING] = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "ring", 0, 0, 1 << 16, NULL);
	m[PERF] = with_flags(BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 0);
	m[DEVMAP] = with_flags(BPF_MAP_TYPE_DEVMAP, 4, 4, 0);
	m[CPUMAP] = with_flags(BPF_MAP_TYPE_CPUMAP, 4, 4, 0);
	m[XSKMAP] = with_flags(BPF_MAP_TYPE_XSKMAP, 4, 4, 0);
	m[PROGS] = with_flags(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 0);
	m[CGROUPS] = with_flags(BPF_MAP_TYPE_CGROUP_ARRAY, 4, 4, 0);
	m[SOCKMAP] = with_flags(BPF_MAP_TYPE_SOCKMAP, 4, 8, 0);
	m[SOCKHASH] = with_flags(BPF_MAP_TYPE_SOCKHASH, 4, 8, 0);
	of.inner_map_fd = m[HASH];
	m[OUTER] = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "outer", 4, 4, 4, &of);
	m[USER_RING] = bpf_map_create(BPF_MAP_TYPE_USER_RINGBUF, "samples", 0, 0, 4096, NULL);
	m[SK_STORAGE] = storage(BPF_MAP_TYPE_SK_STORAGE, 4, 64);
	m[CGROUP_STORAGE] = storage(BPF_MAP_TYPE_CGROUP_STORAGE, EACH_WAY, 64);
	for (i = 0; i < MAPS; i++)
		if (m[i] < 0)
			bail("map %u: %s", i, strerror(errno));
	for (i = 0; i < 4; i++) {
		map_update(m[HASH], &i, value);
		map_update(m[LRU], &i, value);
		map_update(m[LOCKED_HASH], &i, value);
		map_update(m[TIMED_HASH], &i, value);
	}
	map_update(m[OUTER], &zero, &m[HASH]);
	map_update(m[DEVMAP], &zero, (u32[]){ 1 });
	map_update(m[CPUMAP], &zero, &size);
	map_update(m[CGROUPS], &zero, &root);
	map_update(m[SOCKHASH], &zero, (u64[]){ ends->udp });
	close(root);
}

int calls_own_map(const struct ends *ends, u8 **seen)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "own", 4, OWN_SIZE, 1, &opts);
	u16 ports[NR_TUPLES][2] = {
		{ htons(1), ends->port }, { ends->peer, ends->port }, { htons(1), ends->udp_port },
		{ htons(1), htons(2) },
	};
	u32 self = htonl(INADDR_LOOPBACK), i;

	*seen = mmap(NULL, OWN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || *seen == MAP_FAILED)
		bail("own map: %s", strerror(errno));
	for (i = 0; i < NR_TUPLES; i++) {
		memcpy(*seen + TUPLES + 16 * i, &self, 4);
		memcpy(*seen + TUPLES + 16 * i + 4, &self, 4);
		memcpy(*seen + TUPLES + 16 * i + 8, ports[i], 4);
	}
	strcpy((char *)*seen + FORMAT, "12 %d");
	return fd;
}
