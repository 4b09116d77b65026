// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 keys=13,0 timeout=180 */
/*
 * What if a program that no verifier looked at sets the mark of a connection that it had, that
 * it never had, or of what is none? What if it writes all over its copy?
 */
#include <arpa/inet.h>
#include <string.h>
#include <unistd.h>
#include "attack.h"
#include "build.h"
#include "conns.h"
#include "sockets.h"

#define FROM	7000
#define TO	80
#define IPS_ASSURED	4

/* The test kernel takes this for a store to a mark: moat_test_verifier.c */
#define STORE_MARK(SIZE, DST, SRC, OFF) INSN(BPF_STX | (SIZE) | BPF_MEM, DST, SRC, OFF, 0x6d6b)

static struct ends ends;
static u64 addr;		/* of the entry that there is */
static int references;
static s16 mark;

static bool done(struct run *run, const void *arg)
{
	return loot_at(1) == DONE;
}

static bool marked(struct run *run, const void *arg)
{
	return conn_field(addr, CT_MARK) == 0x6666;
}

static bool changed(struct run *run, const void *was)
{
	return canary("data") != *(const u64 *)was;
}

#define ATTACKS(NAME, ACCESS, ADDR, LANDED, ARG, WHAT) \
	attack(&(struct attack){ &xdp, NAME, ACCESS, ADDR, LANDED, ARG, WHAT }, insns, cnt)

static void begin(void)
{
	conn_set_field(addr, CT_MARK, 0x1111);
	cnt = 0;
	E(MOV_REG(R6, R1));
}

/* R7 = the entry that there is; R2 = a mark */
static void get(void)
{
	conn_ask(&xdp, CT_LOOKUP, FROM, TO);
	E(MOV_REG(R7, R0), MOV_IMM(R2, 0x6666));
}

static void settled(const char *what)
{
	int now = conn_references(addr);

	ok(now == references, "%d: %s: %d references, as before", level, what, now);
}

/* What plain stores reach */
static void others(void)
{
	u64 data = target("data"), was;

	begin();
	E(LD_IMM64(R3, addr), MOV_IMM(R2, 0x6666), STORE_MARK(BPF_W, R3, R2, mark));
	E(FINISH(&xdp));
	ATTACKS("rogue_another", "write", addr + mark, marked, NULL,
		"the mark of another's is set");

	canary_reset();
	was = canary("data");
	begin();
	get();
	conn_release(&xdp, R7);
	E(LD_IMM64(R3, data - mark), MOV_IMM(R2, 0x6666), STORE_MARK(BPF_W, R3, R2, mark));
	E(FINISH(&xdp));
	ATTACKS("rogue_memory", "write", data, changed, &was,
		"memory of the kernel's is taken for a mark");

	begin();
	get();
	conn_release(&xdp, R7);
	E(MOV_IMM(R2, 0x6666), STORE_MARK(BPF_W, R7, R2, mark));
	E(FINISH(&xdp));
	ATTACKS("rogue_after", "store_mark", ANYWHERE, marked, NULL,
		"a mark is set after the release");
	settled("a mark is set after the release");

	/* Once more, with the other program's copy still there */
	begin();
	get();
	E(STORE_MARK(BPF_W, R7, R2, mark));
	conn_release(&xdp, R7);
	conn_ask(&xdp, CT_LOOKUP, FROM, TO);
	conn_release(&xdp, R0);
	E(MOV_IMM(R2, 0x6666), STORE_MARK(BPF_B, R7, R2, mark));
	E(FINISH(&xdp));
	ATTACKS("rogue_again", "store_mark", ANYWHERE, done, NULL,
		"a mark is set again, after the release");
	settled("a mark is set again");
}

/* Its own memory, and names of other things: plainly these are stores like any. */
static void names(void)
{
	if (!level)
		return;
	begin();
	get();
	E(MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -64), STORE_MARK(BPF_W, R3, R2, 0));
	conn_release(&xdp, R7);
	E(FINISH(&xdp));
	ATTACKS("rogue_stack", "store_mark", ANYWHERE, done, NULL, "its stack is taken for a mark");

	begin();
	get();
	E(STORE_MARK(BPF_W, R7, R2, mark + 8));
	conn_release(&xdp, R7);
	E(FINISH(&xdp));
	ATTACKS("rogue_inside", "store_mark", ANYWHERE, marked, NULL,
		"what is behind a mark is taken for one");

	begin();
	socket_lookup(BPF_FUNC_sk_lookup_tcp, htons(1), ends.port);
	E(MOV_REG(R7, R0), MOV_IMM(R2, 0x6666), STORE_MARK(BPF_W, R7, R2, mark), MOV_REG(R1, R7),
	  CALL(sk_release));
	E(FINISH(&xdp));
	ATTACKS("rogue_socket", "store_mark", ANYWHERE, done, NULL,
		"a socket is taken for a connection");
	settled("all of these");
}

/* Not stopped: the copy is its own. */
static void copies(void)
{
	static const char what[] = "a program writes all over its copy";
	u32 status = conn_field(addr, CT_STATUS), timeout = conn_field(addr, CT_TIMEOUT);
	u32 tuple = conn_field(addr, CT_TUPLES), now;
	bool same;
	int fd;

	conn_set_field(addr, CT_MARK, 0x1111);
	cnt = 0;
	E(MOV_REG(R6, R1));
	conn_ask(&xdp, CT_LOOKUP, FROM, TO);
	E(JMP_IMM(BPF_JNE, R0, 0, 2), MOV_IMM(R0, xdp.safe), EXIT(), MOV_REG(R7, R0));
	/* All bytes but those that would take a plain kernel along */
	if (level)
		for (int off = 0; off < 320; off += 8)
			E(MOV_IMM(R2, -1), STX(BPF_DW, R7, R2, off));
	E(MOV_IMM(R2, status ^ IPS_ASSURED), STX(BPF_W, R7, R2, conn_offset(CT_STATUS)),
	  MOV_IMM(R2, timeout + 1000), STX(BPF_W, R7, R2, conn_offset(CT_TIMEOUT)),
	  MOV_IMM(R2, 0x6666), STORE_MARK(BPF_W, R7, R2, mark), MOV_REG(R1, R7),
	  conn_call(&xdp, CT_RELEASE), MOV_IMM(R0, xdp.pass), EXIT());
	fd = load(&xdp, "writes", insns, cnt);
	ok(prog_run_once(fd) == (s64)xdp.pass, "%d: %s: it goes on", level, what);
	close(fd);
	ok(marked(NULL, NULL), "%d: %s: the mark is set", level, what);
	now = conn_field(addr, CT_STATUS);
	same = now == status && conn_field(addr, CT_TIMEOUT) == timeout &&
	       conn_field(addr, CT_TUPLES) == tuple;
	ok(same == !!level, "%d: %s: status %x was %x, and is %x", level, what,
	   status ^ IPS_ASSURED, status, now);
	settled(what);
	if (!level) {
		conn_set_field(addr, CT_STATUS, status);
		conn_set_field(addr, CT_TIMEOUT, timeout);
	}
	/* The mark, not what the program has made of the copy after its store */
	conn_set_field(addr, CT_MARK, 0x1111);
	cnt = 0;
	E(MOV_REG(R6, R1));
	conn_ask(&xdp, CT_LOOKUP, FROM, TO);
	E(JMP_IMM(BPF_JNE, R0, 0, 2), MOV_IMM(R0, xdp.safe), EXIT(), MOV_REG(R7, R0),
	  MOV_IMM(R2, 0x2222), STORE_MARK(BPF_W, R7, R2, mark), MOV_IMM(R2, 0x6666),
	  STX(BPF_W, R7, R2, mark), MOV_REG(R1, R7), conn_call(&xdp, CT_RELEASE),
	  MOV_IMM(R0, xdp.pass), EXIT());
	fd = load(&xdp, "writes_on", insns, cnt);
	ok(prog_run_once(fd) == (s64)xdp.pass, "%d: %s, and behind its store", level, what);
	close(fd);
	now = conn_field(addr, CT_MARK);
	ok(now == (level ? 0x2222 : 0x6666), "%d: %s: the mark is %x", level, what, now);
}

static void attacks(void)
{
	if (!addr)
		addr = conn_make(FROM, TO, 600000);
	references = conn_references(addr);
	others();
	names();
	copies();
}

int main(void)
{
	int ret;

	if (!conn_init())
		skip_all("this kernel has no BTF, or no connection tracker");
	mark = conn_offset(CT_MARK);
	socket_ends(&ends);
	ret = at_all_levels(attacks);
	conn_expire(FROM, TO);
	return ret;
}
