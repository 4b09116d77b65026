// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 keys=13,0 full=1 timeout=120 */
/*
 * Do global functions do the same to a piece of the packet when they are isolated?
 *
 * The verifier looks at them on their own: what they are given is memory to them,
 * wherever it is, and that they write to the packet is noted nowhere.
 */
#include <bpf/btf.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "build.h"

#define PACKET 200
#define AT 24

/* R1 = 8 bytes of the packet; the context is not known here. */
static void by_register(void)
{
	E(LDX(BPF_DW, R2, R1, 0), ALU64_IMM(BPF_ADD, R2, 0x1234), STX(BPF_DW, R1, R2, 0));
}

static void by_constant(void)
{
	E(ST(BPF_W, R1, 4, 0x11223344));
}

static void atomically(void)
{
	E(MOV_IMM(R2, 77), ATOMIC(BPF_DW, BPF_ADD, R1, R2, 0));
}

static void by_helper(void)
{
	/* Of what cannot be read it makes zeros. */
	E(MOV_IMM(R2, 8), MOV_IMM(R3, 0), CALL(probe_read_user));
}

static void not_at_all(void)
{
	E(LDX(BPF_DW, R0, R1, 0));
}

/* long f(__u64 *piece), and the program */
static struct btf *types(u32 *main_id, u32 *f_id)
{
	struct btf *btf = btf__new_empty();
	int word = btf__add_int(btf, "long", 8, BTF_INT_SIGNED);
	int ptr = btf__add_ptr(btf, word);
	int proto = btf__add_func_proto(btf, word);

	*main_id = btf__add_func(btf, "main", BTF_FUNC_GLOBAL, proto);
	proto = btf__add_func_proto(btf, word);
	btf__add_func_param(btf, "piece", ptr);
	*f_id = btf__add_func(btf, "f", BTF_FUNC_GLOBAL, proto);
	if (btf__load_into_kernel(btf))
		bail("BTF: %s", strerror(errno));
	return btf;
}

static int load(const struct prog_type *type, void (*function)(void))
{
	static char log[1 << 16];
	struct bpf_func_info info[2] = {};
	union bpf_attr attr = { .prog_type = type->type, .license = (uintptr_t)"GPL",
				.prog_name = "functions", .func_info = (uintptr_t)info,
				.func_info_cnt = 2, .func_info_rec_size = sizeof(info[0]),
				.log_buf = (uintptr_t)log, .log_size = sizeof(log),
				.log_level = 1 };
	struct btf *btf = types(&info[0].type_id, &info[1].type_id);
	bool x = type == &xdp;
	int call, jump, fd;

	cnt = 0;
	E(LDX(BPF_W, R7, R1, x ? offsetof(struct xdp_md, data) : offsetof(struct __sk_buff, data)),
	  LDX(BPF_W, R8, R1, x ? offsetof(struct xdp_md, data_end) :
	      offsetof(struct __sk_buff, data_end)),
	  MOV_REG(R1, R7), ALU64_IMM(BPF_ADD, R1, AT), MOV_REG(R2, R1), ALU64_IMM(BPF_ADD, R2, 8),
	  JMP_REG(BPF_JGT, R2, R8, 1));
	call = cnt;
	E(CALL_REL(0), MOV_IMM(R0, type->pass), EXIT());
	insns[call].imm = cnt - call - 1;
	info[1].insn_off = cnt;
	jump = cnt;
	E(JMP_IMM(BPF_JEQ, R1, 0, 0));
	function();
	insns[jump].off = cnt - jump - 1;
	E(MOV_IMM(R0, 0), EXIT());

	attr.prog_btf_fd = btf__fd(btf);
	attr.insns = (uintptr_t)insns;
	attr.insn_cnt = cnt;
	fd = syscall(__NR_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	btf__free(btf);
	if (fd < 0)
		bail("the program does not load: %s\n%s", strerror(errno), log);
	return fd;
}

static void compare(const struct prog_type *type, const char *what, void (*function)(void))
{
	bool changes = function != not_at_all;
	u8 in[PACKET], out[2][PACKET];
	bool isolated = true;
	int i, level;

	for (i = 0; i < PACKET; i++)
		in[i] = i * 7 + 1;
	memset(out, 0, sizeof(out));
	for (level = 0; level <= 2; level += 2) {
		struct run run = { .data_in = in, .data_in_size = PACKET,
				   .data_out = out[level / 2], .data_out_size = PACKET };
		int prog;

		moat_set_level(moat_present() ? level : 0);
		prog = load(type, function);
		if (level && moat_present())
			isolated = moat_layer(prog) != NONE;
		if (prog_run(prog, &run))
			bail("run: %s", strerror(errno));
		close(prog);
	}
	if (!ok(isolated && !memcmp(out[0], out[1], PACKET) &&
		changes == !!memcmp(in, out[0], PACKET),
		"%s: a function that writes to a piece of the packet %s: as at level 0",
		type->name, what))
		diag("%016lx before, %016lx at level 0, %016lx at level 2", *(u64 *)(in + AT),
		     *(u64 *)(out[0] + AT), *(u64 *)(out[1] + AT));
}

int main(void)
{
	static const struct prog_type *const all[] = { &xdp, &sched_cls, &sched_act };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(all); i++) {
		compare(all[i], "by a register", by_register);
		compare(all[i], "by a constant", by_constant);
		compare(all[i], "atomically", atomically);
		compare(all[i], "by a helper", by_helper);
		compare(all[i], "not at all", not_at_all);
	}
	if (!moat_present())
		skip("no moat.ko", "level 2");
	return finish();
}
