// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 keys=13,0 full=1 timeout=120 */
/*
 * Who would replace a function of an isolated program that takes memory, or trace one, is told
 * that it cannot be done, and so is the administrator. At level 0 it can be done. What can be
 * done at 2 is in test_ext and test_traced.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include "moat_test.h"

static char log_buf[1 << 14];
static struct btf *btf;
static int main_id, dead_id, hole_id, taker_id, wide_id;
/* The target has a static function first that is never called: the verifier removes it. */
static bool behind_a_dead_one;

/* int main(struct xdp_md *ctx), and functions for others to fill in */
static void describe(void)
{
	int integer, ctx, memory, proto, takes, wide;

	btf = btf__new_empty();
	integer = btf__add_int(btf, "int", 4, BTF_INT_SIGNED);
	ctx = btf__add_ptr(btf, btf__add_struct(btf, "xdp_md", 0));
	memory = btf__add_struct(btf, "number", 4);
	btf__add_field(btf, "n", integer, 0, 0);
	memory = btf__add_ptr(btf, memory);
	proto = btf__add_func_proto(btf, integer);
	btf__add_func_param(btf, "ctx", ctx);
	main_id = btf__add_func(btf, "main", BTF_FUNC_GLOBAL, proto);
	dead_id = btf__add_func(btf, "dead", BTF_FUNC_STATIC, proto);
	hole_id = btf__add_func(btf, "hole", BTF_FUNC_GLOBAL, proto);
	takes = btf__add_func_proto(btf, integer);
	btf__add_func_param(btf, "ctx", ctx);
	btf__add_func_param(btf, "memory", memory);
	taker_id = btf__add_func(btf, "taker", BTF_FUNC_GLOBAL, takes);
	wide = btf__add_func_proto(btf, btf__add_int(btf, "long", 8, BTF_INT_SIGNED));
	btf__add_func_param(btf, "ctx", ctx);
	wide_id = btf__add_func(btf, "wide", BTF_FUNC_GLOBAL, wide);
	if (wide_id < 0 || btf__load_into_kernel(btf))
		bail("BTF: %s", strerror(errno));
}

static int load(enum bpf_prog_type type, const char *name, const struct bpf_insn *insns,
		size_t cnt, struct bpf_prog_load_opts *opts)
{
	struct bpf_func_info target[] = {
		{ 0, main_id }, { 17, dead_id }, { 19, taker_id }, { 21, hole_id }, { 23, wide_id },
	};
	struct bpf_func_info other[] = { { 0, opts->attach_btf_id ?: (u32)main_id } };

	opts->prog_btf_fd = btf__fd(btf);
	opts->func_info = cnt > 3 ? target : other;
	opts->func_info_cnt = cnt > 3 ? ARRAY_SIZE(target) : 1;
	opts->func_info_rec_size = sizeof(other[0]);
	return bpf_prog_load(type, name, "GPL", insns, cnt, opts);
}

static int target_load(void)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts);
	const struct bpf_insn insns[] = {
		MOV_REG(R6, R1),
		MOV_IMM(R0, 0),
		JMP_IMM(behind_a_dead_one ? BPF_JEQ : BPF_JNE, R0, 0, 1),
		CALL_REL(13),
		MOV_REG(R1, R6),
		CALL_REL(15),
		MOV_REG(R7, R0),
		MOV_REG(R1, R6),
		MOV_REG(R2, R10),
		ALU64_IMM(BPF_ADD, R2, -4),
		ST(BPF_W, R10, -4, 0),
		CALL_REL(7),
		ALU64_REG(BPF_ADD, R7, R0),
		MOV_REG(R1, R6),
		CALL_REL(8),
		ALU64_REG(BPF_ADD, R0, R7),
		EXIT(),
		MOV_IMM(R0, 0),
		EXIT(),
		MOV_IMM(R0, 0),
		EXIT(),
		MOV_IMM(R0, 2),
		EXIT(),
		MOV_IMM(R0, 0),
		EXIT(),
	};
	int fd = load(BPF_PROG_TYPE_XDP, "target", insns, ARRAY_SIZE(insns), &opts);

	if (fd < 0)
		bail("target: %s", strerror(errno));
	return fd;
}

/* What is loaded to change @function of @target; as libbpf does, again if that fails. */
static int other_load(int type, const char *name, int target, int function, int *err)
{
	const struct bpf_insn insns[] = { MOV_IMM(R0, type == BPF_PROG_TYPE_EXT), EXIT() };
	LIBBPF_OPTS(bpf_prog_load_opts, opts,
		.attach_prog_fd = target,
		.attach_btf_id = function,
		.expected_attach_type = type == BPF_PROG_TYPE_EXT ? 0 : BPF_TRACE_FENTRY,
	);
	int fd = load(type, name, insns, ARRAY_SIZE(insns), &opts);

	*err = fd < 0 ? errno : 0;
	if (fd >= 0)
		return fd;
	memset(log_buf, 0, sizeof(log_buf));
	opts.log_buf = log_buf;
	opts.log_size = sizeof(log_buf);
	opts.log_level = 1;
	return load(type, name, insns, ARRAY_SIZE(insns), &opts);
}

static void cannot_load(int type, const char *name, int function, const char *what)
{
	int target = target_load(), other, err;
	s64 refused = moat_counter("refused");
	char why[128], who[64];

	snprintf(why, sizeof(why), "%s, in the isolated program target (id %u)", what,
		 prog_id(target));
	snprintf(who, sizeof(who), "moat: %s (type %s, of test_replace[%d], uid 0): refused: ",
		 name, type == BPF_PROG_TYPE_EXT ? "ext" : "tracing", getpid());
	kmsg_mark();
	other = other_load(type, name, target, function, &err);
	if (!ok(other < 0 && err == EACCES && strstr(log_buf, why) &&
		strstr(log_buf, "kernel.moat.xdp=0"),
		"%s: not done to isolated programs; the verifier log says so", name))
		diag("%s: %s", strerror(err), log_buf);
	if (!ok(kmsg_count(who, why) == 1 && kmsg_said() == 1,
		"%s: and so does the kernel log, once", name))
		diag("%s", kmsg_find("moat: ", NULL) ?: "nothing");
	ok(moat_counter("refused") == refused + 1, "%s: it is counted once, not %ld times", name,
	   moat_counter("refused") - refused);
	ok(prog_run_once(target) == 2, "%s: the isolated program is as it was", name);
	if (other >= 0)
		close(other);
	close(target);
}

/* Loaded for a program that is not isolated, and attached to one that is. */
static void cannot_attach(void)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .target_btf_id = taker_id);
	int plain, isolated, other, link, err;
	s64 refused = moat_counter("refused");

	moat_set_level(0);
	plain = target_load();
	other = other_load(BPF_PROG_TYPE_EXT, "filler", plain, taker_id, &err);
	moat_set_level(2);
	isolated = target_load();
	kmsg_mark();
	link = bpf_link_create(other, isolated, 0, &opts);
	err = errno;
	if (!ok(link < 0 && err == EACCES && moat_counter("refused") == refused + 1 &&
		kmsg_count("moat: filler (type ext, of test_replace[",
			   "in the isolated program target (id ") == 1,
		"what was loaded for another program is not attached; the kernel log says so"))
		diag("%d, %s; %s", link, strerror(err), kmsg_find("moat: ", NULL) ?: "nothing");
	ok(prog_run_once(isolated) == 2, "the isolated program is as it was");

	link = bpf_link_create(other, plain, 0, &opts);
	ok(link >= 0 && prog_run_once(plain) == 3, "where it was loaded for it works (%s)",
	   strerror(errno));
	close(link);
	close(other);
	close(isolated);
	close(plain);
}

int main(void)
{
	if (!moat_present())
		skip_all("no MOAT");
	describe();
	moat_set_level(2);
	cannot_load(BPF_PROG_TYPE_EXT, "filler", taker_id,
		    "the function takes a pointer to memory");
	cannot_load(BPF_PROG_TYPE_EXT, "wide", wide_id, "the function returns more than 32 bits");
	cannot_load(BPF_PROG_TYPE_TRACING, "tracer", taker_id,
		    "the function takes a pointer to memory");
	cannot_attach();
	behind_a_dead_one = true;
	cannot_load(BPF_PROG_TYPE_EXT, "filler", taker_id,
		    "the function takes a pointer to memory");
	return finish();
}
