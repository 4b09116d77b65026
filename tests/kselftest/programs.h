/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Programs and maps: each function that makes one returns a file descriptor, or -1 with
 * errno. The code is in lib_programs.c.
 */
#ifndef PROGRAMS_H
#define PROGRAMS_H

#include "insns.h"
#include "types.h"

extern char prog_log[1 << 16];

int map_create(enum bpf_map_type type, u32 key, u32 value, u32 entries);
int map_lookup(int fd, const void *key, void *value);
int map_update(int fd, const void *key, const void *value);
int map_delete(int fd, const void *key);
#define MAP_WORDS 8
/* An array with one value of MAP_WORDS words; ends the test if there is none. */
int map_of_words(u64 first);
u64 map_word(int fd, u32 i);
int prog_load(enum bpf_prog_type type, const char *name,
	      const struct bpf_insn *insns, size_t cnt);
/* For programs that are of one attach type */
int prog_load_for(enum bpf_prog_type type, u32 attach_type, const char *name,
		  const struct bpf_insn *insns, size_t cnt);
u32 prog_id(int fd);
/* Of what build.h builds: tells of its functions; the caller closes what it returns. -1: none. */
int build_functions(union bpf_attr *attr, struct bpf_func_info *info, u32 room);
#define PROG_LOAD(TYPE, NAME, INSNS) prog_load(TYPE, NAME, INSNS, ARRAY_SIZE(INSNS))

struct run {
	const void *data_in;
	void *data_out, *ctx_in, *ctx_out;
	u32 data_in_size, data_out_size, ctx_in_size, ctx_out_size;
	u32 repeat, retval, duration, flags;
};

int prog_run(int fd, struct run *run);
/* Runs on a packet of zeros; the return value, or -1 and a diagnostic. */
s64 prog_run_once(int fd);

/* The program types MOAT isolates: what lets a packet pass, what stops it. */
struct prog_type {
	enum bpf_prog_type type;
	const char *name;	/* of the sysctl */
	u32 pass, safe;
};
extern const struct prog_type xdp, sched_cls, sched_act, socket_filter, cgroup_skb;
/* Classic filters of system calls, which no program type is */
extern const struct prog_type seccomp;

#endif
