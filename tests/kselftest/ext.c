// SPDX-License-Identifier: GPL-2.0
/* Programs in the place of functions of others: see ext.h. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include "ext.h"

static struct btf *btf;
static int id[LAST];
/* What each takes: the context, numbers; and whether it is static, or returns a long */
static const struct {
	const char *name, *takes;
	bool local, wide;
} functions[LAST] = {
	[MAIN] = { "start", "c" },
	[ALONE] = { "alone", "c" },
	[PAIR] = { "pair", "cnn" },
	[FOUR] = { "four", "cnnnn" },
	[MIDDLE] = { "middle", "ncn" },
	[BEHIND] = { "behind", "nnnnc" },
	[TWICE] = { "twice", "cnc" },
	[FIVE] = { "five", "nnnnn" },
	[NOTHING] = { "nothing", "" },
	[CALLED] = { "called", "", .local = true, .wide = true },
};

static struct {
	int at[LAST], order[LAST], functions;
	int from[32], to[32], calls;
} built;

static void param(int type)
{
	if (btf__add_func_param(btf, "arg", type))
		bail("BTF: %s", strerror(errno));
}

void describe(const struct prog_type *type)
{
	int integer, number, ctx, proto[LAST];

	t = type;
	btf__free(btf);
	btf = btf__new_empty();
	integer = btf__add_int(btf, "int", 4, BTF_INT_SIGNED);
	number = btf__add_int(btf, "long", 8, BTF_INT_SIGNED);
	ctx = btf__add_ptr(btf, btf__add_struct(btf, type == &xdp ? "xdp_md" : "__sk_buff", 0));
	for (int f = 0; f < LAST; f++) {
		proto[f] = btf__add_func_proto(btf, functions[f].wide ? number : integer);
		for (const char *c = functions[f].takes; *c; c++)
			param(*c == 'c' ? ctx : number);
	}
	for (int f = 0; f < LAST; f++)
		id[f] = btf__add_func(btf, functions[f].name, functions[f].local ?
				      BTF_FUNC_STATIC : BTF_FUNC_GLOBAL, proto[f]);
	if (id[LAST - 1] < 0 || btf__load_into_kernel(btf))
		bail("BTF: %s", strerror(errno));
}

const char *takes(enum function f)
{
	return functions[f].takes;
}

int function_id(enum function f)
{
	return id[f];
}

void function(enum function f)
{
	if (!built.functions)
		cnt = 0;
	built.at[f] = cnt;
	built.order[built.functions++] = f;
}

void call(enum function f)
{
	built.from[built.calls] = cnt;
	built.to[built.calls++] = f;
	E(CALL_REL(0));
}

void address(int reg, enum function f)
{
	built.from[built.calls] = cnt;
	built.to[built.calls++] = f;
	E(LD_IMM64_RAW(reg, BPF_PSEUDO_FUNC, 0, 0));
}

static int finish_build(enum bpf_prog_type type, const char *name, int level,
			struct bpf_prog_load_opts *opts)
{
	struct bpf_func_info infos[LAST];
	int fd;

	for (int i = 0; i < built.calls; i++)
		insns[built.from[i]].imm = built.at[built.to[i]] - built.from[i] - 1;
	for (int i = 0; i < built.functions; i++) {
		infos[i].insn_off = built.at[built.order[i]];
		infos[i].type_id = id[built.order[i]];
	}
	opts->prog_btf_fd = btf__fd(btf);
	opts->func_info = infos;
	opts->func_info_cnt = built.functions;
	opts->func_info_rec_size = sizeof(infos[0]);
	moat_set_level(level);
	memset(prog_log, 0, sizeof(prog_log));
	fd = bpf_prog_load(type, name, "GPL", insns, cnt, opts);
	if (fd < 0) {
		opts->log_buf = prog_log;
		opts->log_size = sizeof(prog_log);
		opts->log_level = 1;
		fd = bpf_prog_load(type, name, "GPL", insns, cnt, opts);
	}
	cnt = 0;
	memset(&built, 0, sizeof(built));
	return fd;
}

int try_build(const char *name, int level)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts);

	return finish_build(t->type, name, level, &opts);
}

int build(const char *name, int level)
{
	int fd = try_build(name, level);

	if (fd < 0)
		bail("%s: %s\n%s", name, strerror(errno), prog_log);
	if ((moat_layer(fd) != NONE) != (level != 0))
		bail("%s is %s", name, moat_layer_name[moat_layer(fd)]);
	return fd;
}

int build_for(enum bpf_prog_type type, enum bpf_attach_type attach, const char *name, int level,
	      int target, enum function of)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts,
		.attach_prog_fd = target,
		.attach_btf_id = id[of],
		.expected_attach_type = attach,
	);

	return finish_build(type, name, level, &opts);
}

int attach(int prog, int target, enum function of)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .target_btf_id = id[of]);

	return bpf_link_create(prog, target, 0, &opts);
}

int ext_spoilt(const char *with)
{
	if (write_file(SPOIL, "%s", with))
		bail("%s: %s", SPOIL, strerror(errno));
	function(MAIN);
	call(ALONE);
	E(ALU64_IMM(BPF_ADD, R0, 0), EXIT());
	function(ALONE);
	E(LD_IMM64(R1, SPOIL_ME), MOV_IMM(R0, 10), EXIT());
	return try_build("image", 2);
}
