// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=2 keys=13,0 full=1 timeout=120 */
/*
 * Can a program change a map that programs may only read?
 *
 * By itself, or by a helper that puts its result there. No verifier looked at the
 * program; that one takes what such a map holds for constant once it is frozen.
 */
#include <errno.h>
#include <linux/unistd.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "attack.h"

static int map, hash, queue;
static u64 user = 99;	/* where programs read user space */

static int read_only(enum bpf_map_type type)
{
	union bpf_attr attr = {
		.map_type = type, .map_flags = BPF_F_RDONLY_PROG,
		.key_size = 4, .value_size = 64, .max_entries = 1,
	};
	int fd = syscall(__NR_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));

	if (fd < 0)
		bail("map: %s", strerror(errno));
	return fd;
}

static void fill(void)
{
	u64 words[8] = { MARK, MARK };
	u32 zero = 0;

	if (map_update(map, &zero, words) || map_update(hash, &zero, words))
		bail("maps: %s", strerror(errno));
}

static bool changed(struct run *run, const void *arg)
{
	const int *fd = arg;
	u64 words[8] = {};
	u32 zero = 0;
	bool changed = map_lookup(*fd, &zero, words) || words[0] != MARK;

	fill();
	return changed;
}

#define THE_MAP(REG) LD_MAP_VALUE(REG, map, 0)
#define KEY(REG) ST(BPF_W, R10, -4, 0), MOV_REG(REG, R10), ALU64_IMM(BPF_ADD, REG, -4)

/* @FD, which is changed at level 0 and not at level 2 */
#define CHANGE(FD, INSNS, T, NAME, ACCESS, WHAT) \
	ATTACK(INSNS, T, NAME, ACCESS, ANYWHERE, changed, &(FD), WHAT)

static void directly(void)
{
	const struct bpf_insn store[] = { THE_MAP(R1), ST(BPF_DW, R1, 0, 1), FINISH(&xdp) };
	const struct bpf_insn add[] = {
		THE_MAP(R1), MOV_IMM(R2, 1), ATOMIC(BPF_DW, BPF_ADD, R1, R2, 0), FINISH(&xdp),
	};
	const struct bpf_insn looked_up[] = {
		KEY(R2), LD_MAP_FD(R1, hash), CALL(map_lookup_elem),
		JMP_IMM(BPF_JEQ, R0, 0, 1), ST(BPF_DW, R0, 0, 1), FINISH(&sched_cls),
	};

	CHANGE(map, store, &xdp, "store", "write", "xdp stores into an array");
	CHANGE(map, add, &xdp, "add", "write", "xdp adds to an array");
	CHANGE(hash, looked_up, &sched_cls, "store_hash", "write", "sched_cls stores into a hash");
}

static void by_results(void)
{
	const u64 element = 7;
	const struct bpf_insn xdp_bytes[] = {
		MOV_IMM(R2, 0), THE_MAP(R3), MOV_IMM(R4, 8), CALL(xdp_load_bytes), FINISH(&xdp),
	};
	const struct bpf_insn skb_bytes[] = {
		MOV_IMM(R2, 0), THE_MAP(R3), MOV_IMM(R4, 8), CALL(skb_load_bytes),
		FINISH(&socket_filter),
	};
	const struct bpf_insn relative[] = {
		MOV_IMM(R2, 0), THE_MAP(R3), MOV_IMM(R4, 8), MOV_IMM(R5, 0),
		CALL(skb_load_bytes_relative), FINISH(&sched_cls),
	};
	const struct bpf_insn number[] = {
		ST(BPF_DW, R10, -8, '7'), MOV_REG(R1, R10), ALU64_IMM(BPF_ADD, R1, -8),
		MOV_IMM(R2, 2), MOV_IMM(R3, 0), THE_MAP(R4), CALL(strtoul), FINISH(&sched_act),
	};
	const struct bpf_insn of_user[] = {
		THE_MAP(R1), MOV_IMM(R2, 8), LD_IMM64(R3, (uintptr_t)&user),
		CALL(probe_read_user), FINISH(&xdp),
	};
	const struct bpf_insn pop[] = {
		LD_MAP_FD(R1, queue), THE_MAP(R2), CALL(map_pop_elem), FINISH(&xdp),
	};
	const struct bpf_insn mtu[] = {
		MOV_IMM(R2, 0), THE_MAP(R3), ST(BPF_W, R10, -4, 0), MOV_IMM(R4, 0),
		MOV_IMM(R5, 0), CALL(check_mtu), FINISH(&sched_cls),
	};

	CHANGE(map, xdp_bytes, &xdp, "xdp_bytes", "xdp_load_bytes", "xdp_load_bytes");
	CHANGE(map, skb_bytes, &socket_filter, "skb_bytes", "skb_load_bytes", "skb_load_bytes");
	CHANGE(map, relative, &sched_cls, "relative", "skb_load_bytes_relative",
	       "skb_load_bytes_relative");
	CHANGE(map, number, &sched_act, "number", "strtoul", "strtoul");
	CHANGE(map, of_user, &xdp, "of_user", "probe_read_user", "probe_read_user");
	if (map_update(queue, NULL, &element))
		bail("queue: %s", strerror(errno));
	CHANGE(map, pop, &xdp, "pop", "map_pop_elem", "map_pop_elem");
	CHANGE(map, mtu, &sched_cls, "mtu", "check_mtu", "check_mtu");
}

/* The verifier does not let a program call these at all. */
static void by_map(void)
{
	const struct bpf_insn update[] = {
		ST(BPF_DW, R10, -72, 1), MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -72), KEY(R2),
		LD_MAP_FD(R1, map), MOV_IMM(R4, 0), CALL(map_update_elem), FINISH(&xdp),
	};
	const struct bpf_insn delete[] = {
		KEY(R2), LD_MAP_FD(R1, hash), CALL(map_delete_elem), FINISH(&xdp),
	};

	CHANGE(map, update, &xdp, "update", "map_update_elem", "map_update_elem");
	CHANGE(hash, delete, &xdp, "delete", "map_delete_elem", "map_delete_elem");
}

static void attacks(void)
{
	fill();
	directly();
	by_results();
	by_map();
}

int main(void)
{
	map = read_only(BPF_MAP_TYPE_ARRAY);
	hash = read_only(BPF_MAP_TYPE_HASH);
	queue = map_create(BPF_MAP_TYPE_QUEUE, 0, 8, 4);
	if (queue < 0)
		bail("queue: %s", strerror(errno));
	return at_each_level(attacks);
}
