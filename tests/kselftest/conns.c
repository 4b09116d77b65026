// SPDX-License-Identifier: GPL-2.0
#include <arpa/inet.h>
#include <bpf/btf.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "attack.h"
#include "build.h"
#include "conns.h"

/* Of XDP and of tc */
static int ids[2][CT_NR];
static u32 offsets[CT_FIELDS];
static int told;	/* what a plain program has told */
int notes;
u64 noted[WORDS];

static const char *const funcs[] = {
	"", "", "bpf_ct_insert_entry", "bpf_ct_release", "bpf_ct_set_timeout",
	"bpf_ct_change_timeout", "bpf_ct_set_status", "bpf_ct_change_status",
	"bpf_ct_set_nat_info",
};

static const char *const fields[] = { "timeout", "tuplehash", "status", "mark", "ct_net" };

static bool find_fields(const struct btf *btf)
{
	int id = btf__find_by_name_kind(btf, "nf_conn", BTF_KIND_STRUCT);
	const struct btf_type *type = id < 0 ? NULL : btf__type_by_id(btf, id);
	const struct btf_member *m = type ? btf_members(type) : NULL;
	int found = 0;

	for (int i = 0; type && i < btf_vlen(type); i++)
		for (int f = 0; f < CT_FIELDS; f++)
			if (!strcmp(btf__name_by_offset(btf, m[i].name_off), fields[f])) {
				offsets[f] = btf_member_bit_offset(type, i) / 8;
				found++;
			}
	return found == CT_FIELDS;
}

bool conn_init(void)
{
	static const char *const asks[2][2] = {
		{ "bpf_xdp_ct_alloc", "bpf_xdp_ct_lookup" },
		{ "bpf_skb_ct_alloc", "bpf_skb_ct_lookup" },
	};
	struct btf *btf = btf__load_vmlinux_btf();
	bool all = btf && find_fields(btf);

	for (int t = 0; all && t < 2; t++)
		for (int f = 0; f < CT_NR; f++) {
			const char *name = f > CT_LOOKUP ? funcs[f] : asks[t][f];

			ids[t][f] = btf__find_by_name_kind(btf, name, BTF_KIND_FUNC);
			all &= ids[t][f] > 0;
		}
	btf__free(btf);
	told = array_of(128);
	notes = array_of(8 * WORDS);
	return all;
}

u32 conn_offset(enum conn_field field)
{
	return offsets[field];
}

s64 conn_count(void)
{
	return read_number("/proc/sys/net/netfilter/nf_conntrack_count");
}

struct bpf_insn conn_call(const struct prog_type *t, enum conn_func func)
{
	return INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, ids[t != &xdp][func]);
}

void conn_put_tuple(u16 from, u16 to)
{
	E(ST(BPF_W, R10, TUPLE, htonl(0x0a000001)), ST(BPF_W, R10, TUPLE + 4, htonl(0x0a000002)),
	  ST(BPF_H, R10, TUPLE + 8, htons(from)), ST(BPF_H, R10, TUPLE + 10, htons(to)));
}

void conn_put_opts(void)
{
	E(ST(BPF_W, R10, OPTS, -1), ST(BPF_W, R10, ERROR, 0),
	  ST(BPF_W, R10, OPTS + 8, IPPROTO_TCP));
}

void conn_pass(int tuple, int tuple_size, int opts, int opts_size)
{
	E(MOV_REG(R1, R6), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, tuple),
	  MOV_IMM(R3, tuple_size), MOV_REG(R4, R10), ALU64_IMM(BPF_ADD, R4, opts),
	  MOV_IMM(R5, opts_size));
}

void conn_ask(const struct prog_type *t, enum conn_func func, u16 from, u16 to)
{
	conn_put_tuple(from, to);
	conn_put_opts();
	conn_pass(TUPLE, 12, OPTS, 12);
	E(conn_call(t, func));
}

void conn_release(const struct prog_type *t, int reg)
{
	E(MOV_REG(R1, reg), conn_call(t, CT_RELEASE));
}

/* Of a plain program: tells what is in R3; clobbers R7. */
static void tell_r3(void)
{
	E(LD_MAP_VALUE(R7, told, 0), STX(BPF_DW, R7, R3, 0));
}

/* What is in @insns, run plainly to its end, and what it has told */
static u64 plainly(void)
{
	u32 zero = 0;
	int now = level, fd;
	u64 none[16] = {};

	E(MOV_IMM(R0, xdp.pass), EXIT());
	map_update(told, &zero, none);
	moat_set_level(0);
	fd = load(&xdp, "plainly", insns, cnt);
	if (fd < 0 || prog_run_once(fd) != (s64)xdp.pass)
		diag("a plain program did not run");
	close(fd);
	moat_set_level(now);
	return slot(told, 0);
}

u64 conn_make(u16 from, u16 to, u32 ms)
{
	cnt = 0;
	E(MOV_REG(R6, R1));
	conn_ask(&xdp, CT_ALLOC, from, to);
	E(JMP_IMM(BPF_JEQ, R0, 0, 13), MOV_REG(R9, R0), MOV_REG(R1, R0), MOV_IMM(R2, ms),
	  conn_call(&xdp, CT_SET_TIMEOUT), MOV_REG(R1, R9), conn_call(&xdp, CT_INSERT),
	  JMP_IMM(BPF_JEQ, R0, 0, 6), MOV_REG(R3, R0));
	tell_r3();
	conn_release(&xdp, R3);
	return plainly();
}

u64 conn_keep(u16 from, u16 to)
{
	cnt = 0;
	E(MOV_REG(R6, R1));
	conn_ask(&xdp, CT_LOOKUP, from, to);
	E(MOV_REG(R3, R0));
	tell_r3();
	return plainly();
}

static u32 conn_word(u64 addr, u32 offset)
{
	cnt = 0;
	E(LD_IMM64(R1, addr), LDX(BPF_W, R3, R1, offset));
	tell_r3();
	return plainly();
}

int conn_references(u64 addr)
{
	return conn_word(addr, 0);
}

u32 conn_field(u64 addr, enum conn_field field)
{
	return conn_word(addr, conn_offset(field));
}

void conn_set_field(u64 addr, enum conn_field field, u32 value)
{
	cnt = 0;
	E(LD_IMM64(R1, addr), MOV_IMM(R2, value), STX(BPF_W, R1, R2, conn_offset(field)));
	plainly();
}

void conn_give_back(u64 addr)
{
	cnt = 0;
	E(LD_IMM64(R1, addr), conn_call(&xdp, CT_RELEASE));
	plainly();
}

void conn_insert(u64 addr)
{
	cnt = 0;
	E(LD_IMM64(R1, addr), conn_call(&xdp, CT_INSERT), MOV_REG(R1, R0),
	  conn_call(&xdp, CT_RELEASE));
	plainly();
}

void conn_expire(u16 from, u16 to)
{
	cnt = 0;
	E(MOV_REG(R6, R1));
	conn_ask(&xdp, CT_LOOKUP, from, to);
	E(JMP_IMM(BPF_JEQ, R0, 0, 6), MOV_REG(R9, R0), MOV_REG(R1, R0), MOV_IMM(R2, 0),
	  conn_call(&xdp, CT_CHANGE_TIMEOUT), MOV_REG(R1, R9), conn_call(&xdp, CT_RELEASE));
	/* Who looks for it now removes it. */
	conn_ask(&xdp, CT_LOOKUP, from, to);
	E(JMP_IMM(BPF_JEQ, R0, 0, 2), MOV_REG(R1, R0), conn_call(&xdp, CT_RELEASE));
	plainly();
}

void note(int word, int reg)
{
	E(LD_MAP_VALUE(R1, notes, 8 * word), STX(BPF_DW, R1, reg, 0));
}

void note_error(int word)
{
	E(LDX(BPF_W, R2, R10, ERROR));
	note(word, R2);
}

void need_conn(int reg)
{
	E(JMP_IMM(BPF_JNE, reg, 0, 2), MOV_IMM(R0, 7), EXIT());
}

void note_conn(int word, int reg, bool timeout)
{
	u32 tuple = conn_offset(CT_TUPLES) + 16;

	E(LDX(BPF_DW, R2, reg, conn_offset(CT_STATUS)));
	note(word, R2);
	E(LDX(BPF_W, R2, reg, conn_offset(CT_MARK)));
	note(word + 1, R2);
	E(LDX(BPF_W, R2, reg, tuple));
	note(word + 2, R2);
	E(LDX(BPF_W, R2, reg, tuple + 56));
	note(word + 3, R2);
	E(LDX(BPF_H, R2, reg, tuple + 36));
	note(word + 4, R2);
	if (timeout) {
		E(LDX(BPF_W, R2, reg, conn_offset(CT_TIMEOUT)));
		note(word + 5, R2);
	}
}

bool runs(const struct prog_type *t, const char *what)
{
	u64 empty[WORDS];
	u32 zero = 0;
	s64 ret = -1;
	bool ran;
	int fd;

	bypass_verifier(false);
	fd = load(t, "conntrack", insns, cnt);
	bypass_verifier(true);
	for (int i = 0; i < WORDS; i++)
		empty[i] = NOTHING;
	map_update(notes, &zero, empty);
	if (fd >= 0)
		ret = prog_run_once(fd);
	ran = ret == (s64)t->pass && (!level || moat_layer(fd) != NONE);
	if (!ran)
		diag("%d: %s: returned %ld", level, what, ret);
	map_lookup(notes, &zero, noted);
	close(fd);
	return ok(ran, "%d: %s: %s", level, t->name, what);
}

void same_as(int which, const struct prog_type *t, const char *what)
{
	static u64 first[8][2][WORDS];
	u64 *was = first[which][t != &xdp];

	if (level == 2 || !moat_present()) {
		memcpy(was, noted, sizeof(noted));
		return;
	}
	for (int i = 0; i < WORDS; i++)
		if (was[i] != noted[i])
			diag("%d: word %d is %lx, was %lx", level, i, noted[i], was[i]);
	ok(!memcmp(was, noted, sizeof(noted)), "%d: %s: %s: the same as at 2", level, t->name,
	   what);
}
