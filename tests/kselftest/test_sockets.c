// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,0 timeout=120 */
/*
 * Do programs find the sockets that they find plainly, and what becomes of a socket if
 * one that no verifier looked at gives back what it does not have, or keeps what it has?
 *
 * The references of a TCP connection's end are counted in /proc/net/tcp.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "attack.h"
#include "build.h"
#include "sockets.h"

static struct ends ends;

/* Headers of a segment on the stack: IPv4 at -64, TCP at -40. */
static void headers(bool syn)
{
	for (int off = -64; off < -16; off += 8)
		E(ST(BPF_DW, R10, off, 0));
	E(ST(BPF_B, R10, -64, 0x45), ST(BPF_H, R10, -40, ends.peer), ST(BPF_H, R10, -38, ends.port),
	  ST(BPF_B, R10, -28, syn ? 0x60 : 0x50), ST(BPF_B, R10, -27, syn ? 2 : 16));
	if (syn)
		E(ST(BPF_B, R10, -20, 2), ST(BPF_B, R10, -19, 4), ST(BPF_H, R10, -18, htons(1234)));
}

static void ask_cookie(int func, int th_len)
{
	E(MOV_REG(R1, R7), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -64), MOV_IMM(R3, 20),
	  MOV_REG(R4, R10), ALU64_IMM(BPF_ADD, R4, -40), MOV_IMM(R5, th_len),
	  INSN(BPF_JMP | BPF_CALL, 0, 0, 0, func));
}

/* The program begins: R7 = a socket; where there is none it returns 7. */
static void begin_with(int func, u16 from, u16 to)
{
	cnt = 0;
	E(MOV_REG(R6, R1));
	socket_lookup(func, from, to);
	E(JMP_IMM(BPF_JNE, R0, 0, 2), MOV_IMM(R0, 7), EXIT(), MOV_REG(R7, R0));
}

/* What the program of a case says, isolated or not */
static s64 said(const struct prog_type *t)
{
	int fd = load(t, "sockets", insns, cnt);
	s64 ret = fd < 0 ? -1 : prog_run_once(fd);

	if (level && fd >= 0 && moat_layer(fd) == NONE)
		ret = -2;
	close(fd);
	return ret;
}

static s64 finds(const struct prog_type *t, int func, u16 from, u16 to)
{
	begin_with(func, from, to);
	/* Another reference, on the same one */
	socket_lookup(func, from, to);
	E(JMP_IMM(BPF_JNE, R0, 0, 4));
	socket_release(R7);
	E(MOV_IMM(R0, 8), EXIT(), MOV_REG(R8, R0), MOV_IMM(R9, 1),
	  JMP_REG(BPF_JEQ, R7, R8, 1), MOV_IMM(R9, 2));
	socket_release(R8);
	socket_release(R7);
	E(MOV_REG(R0, R9), EXIT());
	return said(t);
}

static s64 cookie(const struct prog_type *t, bool gen)
{
	begin_with(BPF_FUNC_skc_lookup_tcp, htons(1), ends.port);
	headers(gen);
	ask_cookie(gen ? BPF_FUNC_tcp_gen_syncookie : BPF_FUNC_tcp_check_syncookie, gen ? 24 : 20);
	E(MOV_REG(R8, R0));
	/* The MSS; what the cookie is changes. */
	if (gen)
		E(ALU64_IMM(BPF_RSH, R8, 32));
	socket_release(R7);
	E(MOV_REG(R0, R8), ALU64_IMM(BPF_AND, R0, 0x7fffffff), EXIT());
	return said(t);
}

static s64 assigns(void)
{
	begin_with(BPF_FUNC_sk_lookup_tcp, ends.peer, ends.port);
	E(MOV_REG(R1, R6), MOV_REG(R2, R7), MOV_IMM(R3, 0), CALL(sk_assign), MOV_REG(R8, R0));
	socket_release(R7);
	E(MOV_REG(R0, R8), ALU64_IMM(BPF_AND, R0, 0xff), EXIT());
	return said(&sched_cls);
}

static void same(void)
{
	static const struct prog_type *const types[] = { &xdp, &sched_cls };
	static s64 was[2][9];
	int refs = socket_references(&ends);
	bool all = true;

	for (int i = 0; i < 2; i++) {
		const struct prog_type *t = types[i];
		s64 is[] = {
			finds(t, BPF_FUNC_sk_lookup_tcp, ends.peer, ends.port),
			finds(t, BPF_FUNC_skc_lookup_tcp, ends.peer, ends.port),
			finds(t, BPF_FUNC_sk_lookup_tcp, ends.port, ends.peer),
			finds(t, BPF_FUNC_sk_lookup_tcp, htons(1), ends.port),
			finds(t, BPF_FUNC_sk_lookup_tcp, htons(1), htons(2)),
			finds(t, BPF_FUNC_sk_lookup_udp, htons(1), ends.udp_port),
			cookie(t, true), cookie(t, false), i ? assigns() : 0,
		};

		/* Level 2 comes first. */
		for (size_t c = 0; c < ARRAY_SIZE(is); c++) {
			diag("%d: %s: case %zu: %ld", level, t->name, c, is[c]);
			all &= is[c] >= 0 && (level || is[c] == was[i][c] || !moat_present());
			was[i][c] = is[c];
		}
		all &= is[0] == 1 && is[4] == 7 && is[5] == 1 && is[6] > 0 && is[6] <= 1234;
	}
	ok(all, "%d: programs find the same", level);
	ok(refs > 0 && socket_references(&ends) == refs, "%d: %d references, as before", level,
	   socket_references(&ends));
}

static bool fewer(struct run *run, const void *than)
{
	return socket_references(&ends) < *(const int *)than;
}

static bool more(struct run *run, const void *than)
{
	return socket_references(&ends) > *(const int *)than;
}

/* The program begins: R0 = the connection's end. */
static void begin_with_end(void)
{
	cnt = 0;
	E(MOV_REG(R6, R1));
	socket_lookup(BPF_FUNC_sk_lookup_tcp, ends.peer, ends.port);
}

static int references;	/* on the connection's end, before the attacks */

static void settled(const char *what)
{
	ok(socket_references(&ends) == references, "%d: %s: %d references in the end", level, what,
	   socket_references(&ends));
}

/*
 * What is built, while a plain program keeps a reference at @kept, which the attack is to
 * give back: at level 0 it does.
 */
static void release(const struct prog_type *t, const char *name, u64 kept, const char *what)
{
	int with = socket_references(&ends);

	attack(&(struct attack){ t, name, "sk_release", 0, fewer, &with, what }, insns, cnt);
	if (level)
		socket_give_back(kept);
	settled(what);
}

static void releases(void)
{
	u64 kept = socket_keep(&ends);

	cnt = 0;
	E(LD_IMM64(R1, kept), CALL(sk_release), FINISH(&xdp));
	release(&xdp, "rogue_release", kept, "another's socket is released");

	kept = socket_keep(&ends);
	begin_with_end();
	E(MOV_REG(R7, R0));
	socket_release(R7);
	socket_release(R7);
	E(FINISH(&sched_cls));
	release(&sched_cls, "rogue_twice", kept, "a socket is released twice");
}

static void uses(void)
{
	const char *what = "a socket is used after its release";
	u64 kept;

	begin_with_end();
	E(MOV_REG(R7, R0));
	headers(false);
	socket_release(R7);
	ask_cookie(BPF_FUNC_tcp_check_syncookie, 20);
	E(FINISH(&xdp));
	attack(&(struct attack){ &xdp, "rogue_after", "tcp_check_syncookie", 0, loot_is_done, NULL,
				 what }, insns, cnt);
	settled(what);

	what = "a socket that it does not hold is assigned";
	kept = socket_keep(&ends);
	cnt = 0;
	E(LD_IMM64(R2, kept), MOV_IMM(R3, 0), CALL(sk_assign), FINISH(&sched_cls));
	attack(&(struct attack){ &sched_cls, "rogue_assign", "sk_assign", 0, loot_is_done, NULL,
				 what }, insns, cnt);
	socket_give_back(kept);
	settled(what);
}

static void keeps(void)
{
	const char *what = "a program keeps a socket";
	s64 given = moat_counter("given_back");

	begin_with_end();
	/* At level 2 this is where it is stopped. */
	E(MOV_REG(R3, R0), MOV_IMM(R4, 0), level ? LDX(BPF_DW, R4, R4, 0) : MOV_IMM(R4, 0),
	  TAKE_R3(), FINISH(&xdp));
	attack(&(struct attack){ &xdp, "rogue_keeps", "read", ANYWHERE, more, &references, what },
	       insns, cnt);
	if (level)
		ok(moat_counter("given_back") == given + 1, "2: %s: given back", what);
	else
		socket_give_back(loot_at(0));
	settled(what);
}

static void attacks(void)
{
	s64 given = moat_counter("given_back");

	references = socket_references(&ends);
	same();
	releases();
	uses();
	ok(moat_counter("given_back") == given, "%d: nothing was given back so far", level);
	keeps();
}

int main(void)
{
	static const char cookies[] = "/proc/sys/net/ipv4/tcp_syncookies";
	s64 were = read_number(cookies);
	int ret;

	socket_ends(&ends);
	/* Without a flood, too */
	write_file(cookies, "2");
	ret = at_each_level(attacks);
	write_file(cookies, "%ld", were);
	return ret;
}
