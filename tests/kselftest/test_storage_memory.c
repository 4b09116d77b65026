// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 timeout=120 */
/*
 * Values of cgroups and sockets: is memory that runs out an error, and no more, when maps are
 * made, programs attached, values updated and made by programs, and sockets accepted? And
 * does nothing of the maps stay behind?
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include "sockets.h"
#include "storages.h"

#define MOST 400
#define LIVES 12

static const struct {
	const char *name;
	enum bpf_map_type type;
	u32 key, flags;
} kinds[] = {
	{ "of cgroups", BPF_MAP_TYPE_CGROUP_STORAGE, BOTH_WAYS, 0 },
	{ "of cgroups, per CPU", BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE, BOTH_WAYS, 0 },
	{ "of sockets", BPF_MAP_TYPE_SK_STORAGE, 4, BPF_F_NO_PREALLOC | BPF_F_CLONE },
};

static int to, cgroup;
static struct ends ends;

/* Each allocation fails once while @what is tried, which returns 0 or an errno. */
static void each_fails(const char *what, int (*try)(int map), int map)
{
	int n, err, failed, wrong = 0;

	for (n = 0; n < MOST; n++) {
		fail_alloc(n, "");
		err = try(map);
		failed = failed_allocs();
		fail_alloc(-1, "");
		if (err && err != ENOMEM && !wrong++)
			diag("%s: %d: error %d", what, n, err);
		if (!failed)
			break;
	}
	ok(n && n < MOST && !wrong && !err, "%s: %d allocations that fail are errors, and no more",
	   what, n);
}

static int kind;

static int make(int unused)
{
	static struct bpf_map_create_opts opts[3];
	int map, err;

	if (!opts[kind].sz) {
		opts[kind].sz = sizeof(opts[0]);
		opts[kind].map_flags = kinds[kind].flags;
		if (kinds[kind].key == 4)
			opts[kind].btf_fd = describe_storage(4, 4096, false,
							     &opts[kind].btf_key_type_id,
							     &opts[kind].btf_value_type_id);
		return ENOMEM;	/* once more, with only the map to be made */
	}
	map = bpf_map_create(kinds[kind].type, "short", kinds[kind].key, 4096, 0, &opts[kind]);
	err = map < 0 ? errno : 0;
	if (map >= 0)
		close(map);
	return err;
}

static int prog;

static int attaches(int map)
{
	if (bpf_prog_attach(prog, cgroup, BPF_CGROUP_INET_EGRESS, BPF_F_ALLOW_MULTI))
		return errno;
	detach_from(cgroup, prog, BPF_CGROUP_INET_EGRESS);
	return 0;
}

/* With a value of its own */
static int runs(int map)
{
	u8 packet[64] = {};
	struct run run = { .data_in = packet, .data_in_size = sizeof(packet) };

	return prog_run(prog, &run) ? errno : 0;
}

static int updates(int map)
{
	static u64 value[512];
	int s = sender(), err;

	err = s < 0 ? ENOMEM : map_update(map, &s, value) ? errno : 0;
	if (s >= 0)
		close(s);
	return err;
}

static void cgroups(void)
{
	for (kind = 0; kind < 2; kind++) {
		int map = storage(kinds[kind].type, BOTH_WAYS, 4096);

		cnt = 0;
		count_here(map);
		E(MOV_IMM(R0, 1), EXIT());
		prog = load_for(BPF_CGROUP_INET_EGRESS, "short");
		each_fails(kind ? "an attachment, per CPU" : "an attachment", attaches, map);
		each_fails(kind ? "a run for a test, per CPU" : "a run for a test", runs, map);
		close(prog);
		close(map);
	}
}

/* What programs make, and what is copied for who is accepted: then there is none. */
static void sockets(void)
{
	int map = try_storage(BPF_MAP_TYPE_SK_STORAGE, 4, 4096, BPF_F_NO_PREALLOC | BPF_F_CLONE,
			      false);
	int s = sender(), made = 0, n;
	u64 value[512] = { 1 };

	each_fails("an update", updates, map);
	cnt = 0;
	E(MOV_REG(R6, R1), MOV_IMM(R9, 0));
	of_socket(map, true);
	E(ST(BPF_DW, R0, 0, 5), MOV_IMM(R0, 1), EXIT());
	prog = load_for(BPF_CGROUP_INET_EGRESS, "short");
	attach_to(cgroup, prog, BPF_CGROUP_INET_EGRESS);
	for (n = 0; n < 10 && made < 3; n++) {
		struct sockaddr_storage a;
		socklen_t len = sizeof(a);

		getsockname(to, (void *)&a, &len);
		fail_alloc(n, "now");
		sendto(s, "x", 1, 0, (void *)&a, len);
		fail_alloc(-1, "");
		made = map_lookup(map, &s, value) ? 0 : made + (value[0] == 5);
		if (made < 3)
			map_delete(map, &s);
	}
	ok(made, "a program makes one when there is memory again");
	detach_from(cgroup, prog, BPF_CGROUP_INET_EGRESS);
	close(prog);
	close(s);
	close(map);
}

/* 4 MB a life in values of sockets, some of which are closed after the map */
static void lives(void)
{
	static u64 value[1536];
	s64 before = 0, now;
	int s[300];
	u64 until;

	for (int i = 0; i < LIVES; i++) {
		int map = storage(BPF_MAP_TYPE_SK_STORAGE, 4, sizeof(value));

		if (i == 2) {
			sleep(1);
			before = free_kb();
		}
		for (int k = 0; k < 300; k++) {
			s[k] = sender();
			map_update(map, &s[k], value);
		}
		for (int k = 0; k < 300; k++) {
			if (k == 150)
				close(map);
			close(s[k]);
		}
	}
	until = now_ns() + 10000000000ULL;
	do {
		usleep(200000);
		now = free_kb();
	} while (before - now > 12000 && now_ns() < until);
	ok(before - now <= 12000, "nothing stays of maps that have gone");
	diag("%ld kB less are free", before - now);
}

int main(void)
{
	if (!can_fail_allocs())
		skip_all("not the test kernel");
	if (access("/sys/fs/cgroup/cgroup.procs", W_OK))
		skip_all("no cgroups");
	enter_cgroup("", &cgroup);
	to = receiver();
	socket_ends(&ends);
	for (kind = 0; kind < 3; kind++) {
		make(0);
		each_fails(kinds[kind].name, make, 0);
	}
	cgroups();
	sockets();
	lives();
	leave_cgroup("", cgroup);
	return finish();
}
