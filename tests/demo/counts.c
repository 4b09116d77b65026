// SPDX-License-Identifier: GPL-2.0
/*
 * counts IFINDEX: the per-protocol counts of the XDP program on that interface.
 * counts IFINDEX MAP KEY VALUE: sets a u64 in a map of that program; VALUE is HEX or HEX+HEX.
 * counts PROGRAM-ID:MAP: the first u64 of a map of that program.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "demo.h"

static int die(const char *what)
{
	fprintf(stderr, "counts: %s: %s\n", what, strerror(errno));
	return 1;
}

/* The map called `name` of a program. */
static int map_of(__u32 prog_id, const char *name)
{
	__u32 ids[16], len = sizeof(struct bpf_prog_info), i;
	struct bpf_prog_info info = { .nr_map_ids = 16, .map_ids = (__u64)(unsigned long)ids };
	int fd = bpf_prog_get_fd_by_id(prog_id);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len))
		return -1;
	for (i = 0; i < info.nr_map_ids && i < 16; i++) {
		struct bpf_map_info map = {};
		int mfd = bpf_map_get_fd_by_id(ids[i]);

		len = sizeof(map);
		if (mfd >= 0 && !bpf_obj_get_info_by_fd(mfd, &map, &len) && !strcmp(map.name, name))
			return mfd;
	}
	errno = ENOENT;
	return -1;
}

static int print_counts(int fd)
{
	static const char *const names[COUNT_MAX] = {
		"xdp_icmp", "xdp_udp", "xdp_tcp_open", "xdp_tcp_data", "xdp_dropped",
	};
	int cpu, cpus = libbpf_num_possible_cpus();
	struct count per_cpu[cpus];
	__u32 key;

	for (key = 0; key < COUNT_MAX; key++) {
		struct count sum = {};

		if (bpf_map_lookup_elem(fd, &key, per_cpu))
			return die("lookup");
		for (cpu = 0; cpu < cpus; cpu++) {
			sum.packets += per_cpu[cpu].packets;
			sum.bytes += per_cpu[cpu].bytes;
		}
		printf("%s_packets %llu\n%s_bytes %llu\n", names[key], sum.packets,
		       names[key], sum.bytes);
	}
	return 0;
}

int main(int argc, char **argv)
{
	unsigned long long value;
	__u32 key = 0;
	char *end;
	int fd;

	if (argc != 2 && argc != 5) {
		fprintf(stderr, "usage: counts IFINDEX [MAP KEY VALUE] | counts PROGRAM-ID:MAP\n");
		return 2;
	}
	if (strchr(argv[1], ':')) {
		fd = map_of(atoi(argv[1]), strchr(argv[1], ':') + 1);
		if (fd < 0 || bpf_map_lookup_elem(fd, &key, &value))
			return die(argv[1]);
		printf("%llu\n", value);
		return 0;
	}
	if (bpf_xdp_query_id(atoi(argv[1]), 0, &key) || !key)
		return die("no XDP program there");
	fd = map_of(key, argc == 2 ? "counts" : argv[2]);
	if (fd < 0)
		return die("its map");
	if (argc == 2)
		return print_counts(fd);
	key = atoi(argv[3]);
	value = strtoull(argv[4], &end, 16);
	if (*end == '+')	/* a shell cannot add to a kernel address */
		value += strtoull(end + 1, &end, 16);
	return bpf_map_update_elem(fd, &key, &value, 0) ? die("update") : 0;
}
