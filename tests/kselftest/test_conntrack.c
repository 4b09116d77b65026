// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 keys=13,0 timeout=180 */
/*
 * Do programs find, make and change entries of the connection tracker as they do plainly? Do
 * they see the same of them, and get the same errors? Does any entry stay behind?
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "attack.h"
#include "build.h"
#include "conns.h"

#define IPS_SEEN_REPLY	2
#define IPS_ASSURED	4
static void life(const struct prog_type *t)
{
	static const char what[] = "an entry is made, inserted, found, and changed";
	u16 from = 1000 + (t != &xdp);
	s64 before = conn_count();

	cnt = 0;
	E(MOV_REG(R6, R1));
	conn_ask(t, CT_LOOKUP, from, 80);
	E(JMP_IMM(BPF_JEQ, R0, 0, 4), MOV_REG(R1, R0), conn_call(t, CT_RELEASE), MOV_IMM(R0, 8),
	  EXIT());
	note_error(0);
	conn_ask(t, CT_ALLOC, from, 80);
	need_conn(R0);
	E(MOV_REG(R7, R0), MOV_REG(R1, R7), MOV_IMM(R2, 100000), conn_call(t, CT_SET_TIMEOUT));
	note_conn(1, R7, true);
	E(MOV_REG(R1, R7), MOV_IMM(R2, IPS_SEEN_REPLY), conn_call(t, CT_SET_STATUS));
	note(7, R0);
	/* IPS_CONFIRMED is not for programs to say. */
	E(MOV_REG(R1, R7), MOV_IMM(R2, 8), conn_call(t, CT_SET_STATUS));
	note(8, R0);
	E(MOV_REG(R8, R7), MOV_REG(R1, R7), conn_call(t, CT_INSERT));
	need_conn(R0);
	E(MOV_REG(R7, R0), MOV_IMM(R2, 0), JMP_REG(BPF_JEQ, R7, R8, 1), MOV_IMM(R2, 1));
	note(9, R2);
	note_conn(10, R7, false);
	/* The same one, once more, from the other end */
	E(ST(BPF_W, R10, TUPLE, htonl(0x0a000002)), ST(BPF_W, R10, TUPLE + 4, htonl(0x0a000001)),
	  ST(BPF_H, R10, TUPLE + 8, htons(80)), ST(BPF_H, R10, TUPLE + 10, htons(from)));
	conn_put_opts();
	conn_pass(TUPLE, 12, OPTS, 12);
	E(conn_call(t, CT_LOOKUP), JMP_IMM(BPF_JNE, R0, 0, 4));
	conn_release(t, R7);
	E(MOV_IMM(R0, 9), EXIT(), MOV_REG(R8, R0), MOV_IMM(R2, 0), JMP_REG(BPF_JEQ, R7, R8, 1),
	  MOV_IMM(R2, 1));
	note(16, R2);
	note_error(17);
	E(LDX(BPF_B, R2, R10, OPTS + 9));
	note(18, R2);
	conn_release(t, R7);
	E(MOV_REG(R1, R8), MOV_IMM(R2, IPS_SEEN_REPLY | IPS_ASSURED | 8),
	  conn_call(t, CT_CHANGE_STATUS));
	note(19, R0);
	note_conn(20, R8, false);
	E(MOV_REG(R1, R8), MOV_IMM(R2, 0), conn_call(t, CT_CHANGE_STATUS));
	note(26, R0);
	E(MOV_REG(R1, R8), MOV_IMM(R2, 0), conn_call(t, CT_CHANGE_TIMEOUT));
	note(27, R0);
	conn_release(t, R8);
	/* It has expired. */
	conn_ask(t, CT_LOOKUP, from, 80);
	E(JMP_IMM(BPF_JEQ, R0, 0, 4), MOV_REG(R1, R0), conn_call(t, CT_RELEASE), MOV_IMM(R0, 8),
	  EXIT());
	note_error(28);
	E(MOV_IMM(R0, t->pass), EXIT());
	runs(t, what);
	ok((s32)noted[0] == -ENOENT && noted[7] == 0 && (s32)noted[8] == -EBUSY && !noted[9] &&
	   !noted[16] && noted[18] == 1 && noted[3] == htonl(0x0a000001) &&
	   noted[20] == (IPS_SEEN_REPLY | IPS_ASSURED | 8) && (s32)noted[28] == -ENOENT,
	   "%d: %s: what it has seen", level, t->name);
	same_as(0, t, what);
	ok(conn_count() == before, "%d: %s: %ld entries, as before", level, t->name, conn_count());
}

static void twice(const struct prog_type *t)
{
	static const char what[] = "one is inserted that there is";
	s64 before = conn_count();
	u16 from = 2000 + (t != &xdp);

	conn_make(from, 80, 100000);
	cnt = 0;
	E(MOV_REG(R6, R1));
	conn_ask(t, CT_ALLOC, from, 80);
	need_conn(R0);
	E(MOV_REG(R1, R0), conn_call(t, CT_INSERT), MOV_IMM(R7, 0), JMP_IMM(BPF_JEQ, R0, 0, 3),
	  MOV_REG(R1, R0), conn_call(t, CT_RELEASE), MOV_IMM(R7, 1));
	note(0, R7);
	E(MOV_IMM(R0, t->pass), EXIT());
	runs(t, what);
	ok(!noted[0] && conn_count() == before + 1, "%d: %s: it is not", level, t->name);
	same_as(1, t, what);
	conn_expire(from, 80);
	ok(conn_count() == before, "%d: %s: %ld entries, as before", level, t->name, conn_count());
}

/* An address for NAT on the stack, at -48 */
static void nat(const struct prog_type *t, int port, int manip)
{
	E(ST(BPF_DW, R10, -48, 0), ST(BPF_DW, R10, -40, 0), ST(BPF_W, R10, -48, htonl(0x0a000063)),
	  MOV_REG(R1, R7), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -48), MOV_IMM(R3, port),
	  MOV_IMM(R4, manip), conn_call(t, CT_SET_NAT_INFO));
}

static void natted(const struct prog_type *t)
{
	static const char what[] = "addresses are translated";
	s64 before = conn_count();
	u16 from = 3000 + (t != &xdp);

	cnt = 0;
	E(MOV_REG(R6, R1));
	conn_ask(t, CT_ALLOC, from, 80);
	need_conn(R0);
	E(MOV_REG(R7, R0), MOV_REG(R1, R7), MOV_IMM(R2, 100000), conn_call(t, CT_SET_TIMEOUT));
	nat(t, 4000, 0);
	note(0, R0);
	nat(t, 4001, 1);
	note(1, R0);
	nat(t, 4001, 2);
	note(2, R0);
	/* Plainly the kernel warns. */
	if (level) {
		nat(t, 4002, 0);
		note(40, R0);
		nat(t, 4002, 1);
		note(41, R0);
	}
	note_conn(3, R7, true);
	E(MOV_REG(R1, R7), conn_call(t, CT_INSERT));
	need_conn(R0);
	E(MOV_REG(R7, R0));
	note_conn(9, R7, false);
	E(MOV_REG(R1, R7), MOV_IMM(R2, 0), conn_call(t, CT_CHANGE_TIMEOUT));
	conn_release(t, R7);
	conn_ask(t, CT_LOOKUP, from, 80);
	E(JMP_IMM(BPF_JEQ, R0, 0, 4), MOV_REG(R1, R0), conn_call(t, CT_RELEASE), MOV_IMM(R0, 8),
	  EXIT(), MOV_IMM(R0, t->pass), EXIT());
	runs(t, what);
	ok(!noted[0] && !noted[1] && (s32)noted[2] == -EINVAL && noted[6] == htonl(0x0a000063),
	   "%d: %s: what it has seen", level, t->name);
	if (level)
		ok((u32)noted[40] == (u32)-ENOMEM && (u32)noted[41] == (u32)-ENOMEM,
		   "%d: %s: a second time is an error, and no more", level, t->name);
	noted[40] = NOTHING;
	noted[41] = NOTHING;
	same_as(2, t, what);
	ok(conn_count() == before, "%d: %s: %ld entries, as before", level, t->name, conn_count());
}

/* A function that a helper calls gets one, too, while the program has it. */
static void in_callback(const struct prog_type *t)
{
	static const char what[] = "a function that a helper calls finds one";
	s64 before = conn_count();
	u16 from = 4000 + (t != &xdp);

	conn_make(from, 80, 100000);
	cnt = 0;
	E(MOV_REG(R6, R1));
	conn_ask(t, CT_LOOKUP, from, 80);
	need_conn(R0);
	E(MOV_REG(R7, R0), STX(BPF_DW, R10, R6, -40), LD_MAP_FD(R1, notes));
	emit_function(R2, 1);
	E(MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -40), MOV_IMM(R4, 0),
	  CALL(for_each_map_elem));
	note(1, R0);
	note_conn(2, R7, false);
	conn_release(t, R7);
	E(MOV_IMM(R0, t->pass), EXIT());
	begin_function(1);
	E(LDX(BPF_DW, R6, R4, 0), MOV_REG(R8, R3));
	conn_ask(t, CT_LOOKUP, from, 80);
	E(JMP_IMM(BPF_JNE, R0, 0, 2), MOV_IMM(R0, 0), EXIT(), MOV_REG(R7, R0),
	  LDX(BPF_DW, R2, R7, conn_offset(CT_STATUS)), STX(BPF_DW, R8, R2, 0));
	conn_release(t, R7);
	E(MOV_IMM(R0, 0), EXIT());
	runs(t, what);
	ok(noted[0] != NOTHING && noted[0] == noted[2] && noted[1] == 1, "%d: %s: what it has seen",
	   level, t->name);
	same_as(4, t, what);
	conn_expire(from, 80);
	ok(conn_count() == before, "%d: %s: %ld entries, as before", level, t->name, conn_count());
}

/* Arguments that the kernel refuses */
static void errors(const struct prog_type *t)
{
	static const char what[] = "arguments that are wrong";
	static const struct {
		int tuple_size, opts_size, netns, proto;
		bool no_tuple, no_opts;
		s32 error;
	} cases[] = {
		{ 12, 12, -1, IPPROTO_TCP, false, false, -ENOENT },
		{ 12, 12, -1, IPPROTO_UDP, false, false, -ENOENT },
		{ 36, 12, -1, IPPROTO_TCP, false, false, -ENOENT },
		{ 0, 12, -1, IPPROTO_TCP, true, false, -EINVAL },
		{ 0, 12, -1, IPPROTO_TCP, false, false, -EAFNOSUPPORT },
		{ 5, 12, -1, IPPROTO_TCP, false, false, -EAFNOSUPPORT },
		{ 40, 12, -1, IPPROTO_TCP, false, false, -EAFNOSUPPORT },
		{ 12, 11, -1, IPPROTO_TCP, false, false, -EINVAL },
		{ 12, 8, -1, IPPROTO_TCP, false, false, -EINVAL },
		{ 12, 7, -1, IPPROTO_TCP, false, false, 0 },
		{ 12, 16, -1, IPPROTO_TCP, false, false, -EINVAL },
		{ 12, 0, -1, IPPROTO_TCP, false, false, 0 },
		{ 12, 0, -1, IPPROTO_TCP, false, true, 0 },
		{ 12, 12, -2, IPPROTO_TCP, false, false, -EINVAL },
		{ 12, 12, 1 << 20, IPPROTO_TCP, false, false, -ENONET },
		{ 12, 12, -1, IPPROTO_ICMP, false, false, -EPROTO },
		{ 12, 12, -1, IPPROTO_TCP | 1 << 16, false, false, -EINVAL },
	};
	bool as_said = true;

	/* Tuple and options where there is room for all that these say */
	cnt = 0;
	E(MOV_REG(R6, R1), MOV_IMM(R7, 0));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (int off = -64; off < 0; off += 8)
			E(ST(BPF_DW, R10, off, 0));
		E(ST(BPF_W, R10, -64, htonl(0x0a000001)), ST(BPF_W, R10, -16, cases[i].netns),
		  ST(BPF_W, R10, -8, cases[i].proto));
		conn_pass(-64, cases[i].tuple_size, -16, cases[i].opts_size);
		if (cases[i].no_tuple)
			E(MOV_IMM(R2, 0));
		if (cases[i].no_opts)
			E(MOV_IMM(R4, 0));
		E(conn_call(t, CT_LOOKUP), JMP_IMM(BPF_JEQ, R0, 0, 3), MOV_REG(R1, R0),
		  conn_call(t, CT_RELEASE), MOV_IMM(R7, 1), LDX(BPF_W, R2, R10, -12));
		note(i, R2);
	}
	note(WORDS - 1, R7);
	E(MOV_IMM(R0, t->pass), EXIT());
	runs(t, what);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if ((s32)noted[i] != cases[i].error) {
			diag("%d: case %zu: %d", level, i, (s32)noted[i]);
			as_said = false;
		}
	}
	ok(as_said && !noted[WORDS - 1], "%d: %s: %s: errors as the kernel says", level, t->name,
	   what);
	same_as(3, t, what);
}

/* What programs may not do with an entry if they are isolated */
static void refused(void)
{
	static const char *const why[] = {
		"access through a pointer to a kernel object",
		"access through a pointer to a kernel object",
		"bpf_xdp_ct_lookup: is for programs of another type",
	};
	static const char *const what[] = {
		"a pointer in it is read", "an atomic instruction adds to the mark",
		"memory stands for the context of another type",
	};
	const struct prog_type *t = &sched_cls;

	for (size_t i = 0; i < ARRAY_SIZE(why); i++) {
		int fd;

		cnt = 0;
		E(MOV_REG(R6, R1));
		if (i == 2) {
			/* The verifier takes a struct xdp_md for any memory. */
			for (int off = -64; off < -32; off += 8)
				E(ST(BPF_DW, R10, off, 0));
			E(MOV_REG(R6, R10), ALU64_IMM(BPF_ADD, R6, -64));
			conn_ask(&xdp, CT_LOOKUP, 1, 80);
		} else {
			conn_ask(t, CT_LOOKUP, 1, 80);
		}
		E(JMP_IMM(BPF_JEQ, R0, 0, i == 1 ? 4 : i == 2 ? 2 : 3));
		if (i == 0)
			E(LDX(BPF_DW, R2, R0, conn_offset(CT_NET)));
		else if (i == 1)
			E(MOV_IMM(R2, 5), ATOMIC(BPF_W, BPF_ADD, R0, R2, conn_offset(CT_MARK)));
		E(MOV_REG(R1, R0), conn_call(t, CT_RELEASE), MOV_IMM(R0, 0), EXIT());
		bypass_verifier(false);
		fd = prog_load(t->type, "refused", insns, cnt);
		if (level)
			ok(fd < 0 && errno == EACCES && strstr(prog_log, why[i]), "%d: %s: refused",
			   level, what[i]);
		else
			ok(fd >= 0, "0: %s: may be", what[i]);
		if (fd < 0 ? !level : level)
			diag("%s", prog_log);
		bypass_verifier(true);
		close(fd);
	}
}

static void each(void)
{
	static const struct prog_type *const types[] = { &xdp, &sched_cls };

	for (int i = 0; i < 2; i++) {
		life(types[i]);
		twice(types[i]);
		natted(types[i]);
		in_callback(types[i]);
		errors(types[i]);
	}
	refused();
}

int main(void)
{
	if (!conn_init())
		skip_all("this kernel has no BTF, or no connection tracker");
	return at_all_levels(each);
}
