// SPDX-License-Identifier: GPL-2.0
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "build.h"

#define MOST 16		/* functions */
#define MOST_USES 48	/* calls of these, and where their addresses are loaded */

struct bpf_insn insns[1024];
int cnt;

static int starts[MOST + 1], nr_functions;
static struct {
	int at, n;
} uses[MOST_USES];
static int nr_uses;

void emit(const struct bpf_insn *more, int n)
{
	/* What there is of another program is not of this one. */
	if (!cnt) {
		nr_uses = nr_functions = 0;
		memset(starts, 0, sizeof(starts));
	}
	if (cnt + n > (int)ARRAY_SIZE(insns))
		bail("the program is too long");
	memcpy(insns + cnt, more, n * sizeof(*more));
	cnt += n;
}

/* The instruction at @at is to tell how far away function @n is. */
static void use_function(int at, int n)
{
	if (nr_uses == MOST_USES)
		bail("too many uses of functions");
	uses[nr_uses].at = at;
	uses[nr_uses++].n = n;
}

void emit_function(int reg, int n)
{
	E(LD_IMM64_RAW(reg, BPF_PSEUDO_FUNC, 0, 0));
	use_function(cnt - 2, n);
}

void emit_call(int n)
{
	E(CALL_REL(0));
	use_function(cnt - 1, n);
}

void begin_function(int n)
{
	starts[n] = cnt;
	nr_functions++;
}

int must_load_for(const struct prog_type *t, u32 attach_type, const char *name, int level)
{
	int fd = prog_load_for(t->type, attach_type, name, insns, cnt);

	if (fd < 0)
		bail("%s: %s: %s\n%s", t->name, name, strerror(errno), prog_log);
	if (level && moat_layer(fd) == NONE)
		bail("%s: %s is not isolated", t->name, name);
	return fd;
}

int must_load(const struct prog_type *t, const char *name, int level)
{
	return must_load_for(t, 0, name, level);
}

int build_functions(union bpf_attr *attr, struct bpf_func_info *info, u32 room)
{
	struct btf *btf;
	int i, word, proto;

	if ((uintptr_t)insns != attr->insns || (int)attr->insn_cnt != cnt)
		return -1;
	if (!nr_functions)
		return -1;
	btf = btf__new_empty();
	word = btf__add_int(btf, "long", 8, BTF_INT_SIGNED);
	proto = btf__add_func_proto(btf, word);
	info[0].type_id = btf__add_func(btf, "main", BTF_FUNC_STATIC, proto);
	info[0].insn_off = 0;
	attr->func_info_cnt = 1;
	for (i = 1; i <= MOST && attr->func_info_cnt < room; i++) {
		if (!starts[i])
			continue;
		info[attr->func_info_cnt].type_id = btf__add_func(btf, "f", BTF_FUNC_STATIC, proto);
		info[attr->func_info_cnt++].insn_off = starts[i];
	}
	for (i = 0; i < nr_uses; i++)
		insns[uses[i].at].imm = starts[uses[i].n] - uses[i].at - 1;
	if (btf__load_into_kernel(btf))
		bail("BTF: %s", strerror(errno));
	attr->prog_btf_fd = btf__fd(btf);
	attr->func_info = (uintptr_t)info;
	attr->func_info_rec_size = sizeof(info[0]);
	i = dup(attr->prog_btf_fd);
	btf__free(btf);
	attr->prog_btf_fd = i;
	return i;
}

int btf_load(struct btf *btf)
{
	const void *raw;
	u32 size;
	int fd;

	raw = btf__raw_data(btf, &size);
	fd = raw ? bpf_btf_load(raw, size, NULL) : -1;
	if (fd < 0)
		bail("BTF: %s", strerror(errno));
	btf__free(btf);
	return fd;
}
