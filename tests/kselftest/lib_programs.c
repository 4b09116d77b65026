// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "moat_test.h"

char prog_log[1 << 16];

const struct prog_type xdp = { BPF_PROG_TYPE_XDP, "xdp", 2, 1 };
const struct prog_type sched_cls = { BPF_PROG_TYPE_SCHED_CLS, "sched_cls", 0, 2 };
const struct prog_type sched_act = { BPF_PROG_TYPE_SCHED_ACT, "sched_act", 0, 2 };
const struct prog_type cgroup_skb = { BPF_PROG_TYPE_CGROUP_SKB, "cgroup_skb", 1, 0 };
const struct prog_type socket_filter = { BPF_PROG_TYPE_SOCKET_FILTER, "socket_filter", 0xffff, 0 };

const struct prog_type seccomp = { BPF_PROG_TYPE_UNSPEC, "seccomp", SECCOMP_RET_ALLOW,
				   SECCOMP_RET_KILL_PROCESS };

static int bpf(int cmd, union bpf_attr *attr)
{
	return syscall(__NR_bpf, cmd, attr, sizeof(*attr));
}

int map_create(enum bpf_map_type type, u32 key, u32 value, u32 entries)
{
	union bpf_attr attr = {
		.map_type = type,
		.key_size = key,
		.value_size = value,
		.max_entries = entries,
	};

	return bpf(BPF_MAP_CREATE, &attr);
}

static int map_elem(int cmd, int fd, const void *key, const void *value)
{
	union bpf_attr attr = {
		.map_fd = fd,
		.key = (uintptr_t)key,
		.value = (uintptr_t)value,
	};

	return bpf(cmd, &attr);
}

int map_lookup(int fd, const void *key, void *value)
{
	return map_elem(BPF_MAP_LOOKUP_ELEM, fd, key, value);
}

int map_update(int fd, const void *key, const void *value)
{
	return map_elem(BPF_MAP_UPDATE_ELEM, fd, key, value);
}

int map_delete(int fd, const void *key)
{
	return map_elem(BPF_MAP_DELETE_ELEM, fd, key, NULL);
}

int map_of_words(u64 first)
{
	u64 value[MAP_WORDS] = { first };
	u32 zero = 0;
	int map = map_create(BPF_MAP_TYPE_ARRAY, 4, sizeof(value), 1);

	if (map < 0 || map_update(map, &zero, value))
		bail("map: %s", strerror(errno));
	return map;
}

u64 map_word(int fd, u32 i)
{
	u64 value[MAP_WORDS] = { 0 };
	u32 zero = 0;

	map_lookup(fd, &zero, value);
	return value[i];
}

int prog_load_for(enum bpf_prog_type type, u32 attach_type, const char *name,
		  const struct bpf_insn *insns, size_t cnt)
{
	union bpf_attr attr = {
		.prog_type = type,
		.expected_attach_type = attach_type,
		.insns = (uintptr_t)insns,
		.insn_cnt = cnt,
		.license = (uintptr_t)"GPL",
	};
	struct bpf_func_info functions[20];
	int fd, err, btf, again;

	btf = build_functions(&attr, functions, ARRAY_SIZE(functions));
	strncpy(attr.prog_name, name, sizeof(attr.prog_name) - 1);
	fd = bpf(BPF_PROG_LOAD, &attr);
	if (fd < 0) {
		err = errno;
		prog_log[0] = 0;
		attr.log_buf = (uintptr_t)prog_log;
		attr.log_size = sizeof(prog_log);
		attr.log_level = 1;
		again = bpf(BPF_PROG_LOAD, &attr);
		if (again >= 0)
			close(again);
	}
	if (btf >= 0)
		close(btf);
	if (fd < 0)
		errno = err;
	return fd;
}

int prog_load(enum bpf_prog_type type, const char *name,
	      const struct bpf_insn *insns, size_t cnt)
{
	return prog_load_for(type, 0, name, insns, cnt);
}

u32 prog_id(int fd)
{
	struct bpf_prog_info info = {};
	union bpf_attr attr = {
		.info.bpf_fd = fd,
		.info.info_len = sizeof(info),
		.info.info = (uintptr_t)&info,
	};

	return bpf(BPF_OBJ_GET_INFO_BY_FD, &attr) ? 0 : info.id;
}

int prog_run(int fd, struct run *run)
{
	union bpf_attr attr = {
		.test.prog_fd = fd,
		.test.data_in = (uintptr_t)run->data_in,
		.test.data_size_in = run->data_in_size,
		.test.data_out = (uintptr_t)run->data_out,
		.test.data_size_out = run->data_out_size,
		.test.ctx_in = (uintptr_t)run->ctx_in,
		.test.ctx_size_in = run->ctx_in_size,
		.test.ctx_out = (uintptr_t)run->ctx_out,
		.test.ctx_size_out = run->ctx_out_size,
		.test.repeat = run->repeat,
		.test.flags = run->flags,
	};
	int err = bpf(BPF_PROG_TEST_RUN, &attr);

	run->retval = attr.test.retval;
	run->duration = attr.test.duration;
	run->data_out_size = attr.test.data_size_out;
	run->ctx_out_size = attr.test.ctx_size_out;
	return err;
}

s64 prog_run_once(int fd)
{
	u8 packet[64] = {};
	struct run run = { .data_in = packet, .data_in_size = sizeof(packet) };

	if (prog_run(fd, &run)) {
		diag("run: %s", strerror(errno));
		return -1;
	}
	return run.retval;
}
