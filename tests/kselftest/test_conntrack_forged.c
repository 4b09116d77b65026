// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 keys=13,0 timeout=180 */
/*
 * What if a program that no verifier looked at passes a connection that it does not have, one
 * that it had, that another one has, or of another kind, memory that is not its own, or keeps
 * what it has?
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "attack.h"
#include "build.h"
#include "conns.h"
#include "sockets.h"

#define FROM	7000
#define TO	80

static struct ends ends;
static u64 addr;		/* of the entry that there is */
static int before;		/* references on it */
static s64 count;		/* entries */
static int fake, out;

static bool done(struct run *run, const void *arg)
{
	return loot_at(1) == DONE;
}

static bool fewer(struct run *run, const void *arg)
{
	return conn_references(addr) < before;
}

static bool more(struct run *run, const void *arg)
{
	return conn_references(addr) > before;
}

static bool more_entries(struct run *run, const void *arg)
{
	return conn_count() > count;
}

static bool changed(struct run *run, const void *was)
{
	return canary("data") != *(const u64 *)was;
}

#define ATTACKS(NAME, ACCESS, LANDED, ARG, WHAT) \
	attack(&(struct attack){ &xdp, NAME, ACCESS, ANYWHERE, LANDED, ARG, WHAT }, insns, cnt)

static void begin(void)
{
	cnt = 0;
	E(MOV_REG(R6, R1));
}

/* R7 = the entry that there is, or a new one */
static void get(enum conn_func func)
{
	conn_ask(&xdp, func, func == CT_ALLOC ? FROM + 1 : FROM, TO);
	E(MOV_REG(R7, R0));
}

/* At level 2, or 1, this is where it is stopped. */
static void stop_here(void)
{
	E(MOV_IMM(R4, 0), level ? LDX(BPF_DW, R4, R4, 0) : MOV_IMM(R4, 0));
}

static void settled(const char *what)
{
	int now = conn_references(addr);

	ok(now == before && conn_count() == count, "%d: %s: %d references, %ld entries, as before",
	   level, what, now, conn_count());
}

/* References that it does not have */
static void releases(void)
{
	const char *what = "another's connection is released";

	conn_keep(FROM, TO);
	before = conn_references(addr);
	begin();
	E(LD_IMM64(R1, addr), conn_call(&xdp, CT_RELEASE));
	E(FINISH(&xdp));
	ATTACKS("rogue_release", "bpf_ct_release", fewer, NULL, what);
	if (level)
		conn_give_back(addr);
	before--;
	settled(what);

	what = "a connection is released twice";
	conn_keep(FROM, TO);
	before++;
	begin();
	get(CT_LOOKUP);
	conn_release(&xdp, R7);
	conn_release(&xdp, R7);
	E(FINISH(&xdp));
	ATTACKS("rogue_twice", "bpf_ct_release", fewer, NULL, what);
	if (level)
		conn_give_back(addr);
	before--;
	settled(what);

	what = "a connection is changed after its release";
	begin();
	get(CT_LOOKUP);
	conn_release(&xdp, R7);
	E(MOV_REG(R1, R7), MOV_IMM(R2, 600000), conn_call(&xdp, CT_CHANGE_TIMEOUT));
	E(FINISH(&xdp));
	ATTACKS("rogue_after", "bpf_ct_change_timeout", done, NULL, what);
	settled(what);

	what = "another's connection is changed";
	begin();
	E(LD_IMM64(R1, addr), MOV_IMM(R2, 600000), conn_call(&xdp, CT_CHANGE_TIMEOUT));
	E(FINISH(&xdp));
	ATTACKS("rogue_another", "bpf_ct_change_timeout", done, NULL, what);
	settled(what);
}

/* Memory of the kernel's */
static void memory(void)
{
	u64 data = target("data"), was;

	canary_reset();
	was = canary("data");
	begin();
	E(LD_IMM64(R1, data - conn_offset(CT_TIMEOUT)), MOV_IMM(R2, 1234),
	  conn_call(&xdp, CT_SET_TIMEOUT));
	E(FINISH(&xdp));
	ATTACKS("rogue_conn", "bpf_ct_set_timeout", changed, &was,
		"memory of the kernel's is taken for a connection");

	begin();
	conn_put_tuple(FROM + 2, TO);
	conn_pass(TUPLE, 12, OPTS, 12);
	E(LD_IMM64(R4, data - 4), conn_call(&xdp, CT_LOOKUP));
	E(FINISH(&xdp));
	ATTACKS("rogue_opts", "bpf_xdp_ct_lookup", changed, &was,
		"options are memory of the kernel's");

	begin();
	conn_put_opts();
	conn_pass(TUPLE, 12, OPTS, 12);
	E(LD_IMM64(R2, data), conn_call(&xdp, CT_LOOKUP));
	E(FINISH(&xdp));
	ATTACKS("rogue_tuple", "bpf_xdp_ct_lookup", done, NULL,
		"a tuple is memory of the kernel's");

	begin();
	conn_put_tuple(FROM + 2, TO);
	conn_put_opts();
	conn_pass(TUPLE, 12, OPTS, 12);
	E(LD_IMM64(R3, 1 << 28), conn_call(&xdp, CT_LOOKUP));
	E(FINISH(&xdp));
	ATTACKS("rogue_size", "bpf_xdp_ct_lookup", done, NULL, "a tuple has a size of its choice");
}

/* Where a plain program sees the value of @fake */
static u64 fake_addr(void)
{
	int now = level, fd;

	cnt = 0;
	E(LD_MAP_VALUE(R1, fake, 0), LD_MAP_VALUE(R2, out, 0), STX(BPF_DW, R2, R1, 0),
	  MOV_IMM(R0, 2), EXIT());
	moat_set_level(0);
	fd = load(&xdp, "tell", insns, cnt);
	prog_run_once(fd);
	close(fd);
	moat_set_level(now);
	return slot(out, 0);
}

/* The kernel follows a pointer of the context's to one to one to the namespace. */
static void context(void)
{
	u64 words[1024], at = fake_addr(), absent = (u32)-ENOENT;
	u32 zero = 0;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		words[i] = at;
	map_update(fake, &zero, words);
	begin();
	conn_put_tuple(FROM + 2, TO);
	conn_put_opts();
	conn_pass(TUPLE, 12, OPTS, 12);
	E(LD_MAP_VALUE(R1, fake, 0), conn_call(&xdp, CT_LOOKUP), LDX(BPF_W, R3, R10, ERROR),
	  TAKE_R3());
	E(FINISH(&xdp));
	ATTACKS("rogue_ctx", "bpf_xdp_ct_lookup", loot_is, &absent,
		"memory of the program's is taken for a context");
}

/* What would take the kernel along, or have it warn */
static void kinds(void)
{
	static const char sk[] = "a socket is taken for a connection";
	u64 theirs;
	int fd;

	if (!level)
		return;
	begin();
	get(CT_ALLOC);
	conn_release(&xdp, R7);
	E(FINISH(&xdp));
	ATTACKS("rogue_new", "bpf_ct_release", done, NULL, "a new connection is released");
	settled("a new connection is released");

	begin();
	get(CT_ALLOC);
	E(MOV_REG(R1, R7), MOV_IMM(R2, 1), conn_call(&xdp, CT_CHANGE_TIMEOUT));
	E(FINISH(&xdp));
	ATTACKS("rogue_change", "bpf_ct_change_timeout", done, NULL, "a new one is changed");

	begin();
	get(CT_LOOKUP);
	E(MOV_REG(R1, R7), conn_call(&xdp, CT_INSERT));
	E(FINISH(&xdp));
	ATTACKS("rogue_insert", "bpf_ct_insert_entry", done, NULL, "an old one is inserted");

	begin();
	get(CT_ALLOC);
	E(MOV_REG(R1, R7), conn_call(&xdp, CT_INSERT), MOV_REG(R8, R0), MOV_REG(R1, R8),
	  MOV_IMM(R2, 0), conn_call(&xdp, CT_CHANGE_TIMEOUT), MOV_REG(R1, R8),
	  conn_call(&xdp, CT_INSERT));
	E(FINISH(&xdp));
	ATTACKS("rogue_again", "bpf_ct_insert_entry", done, NULL, "one is inserted twice");
	conn_expire(FROM + 1, TO);
	settled("one is inserted twice");

	begin();
	get(CT_ALLOC);
	E(MOV_REG(R1, R7), MOV_IMM(R2, 0), MOV_IMM(R3, 0), MOV_IMM(R4, 0),
	  conn_call(&xdp, CT_SET_NAT_INFO));
	E(FINISH(&xdp));
	ATTACKS("rogue_null", "bpf_ct_set_nat_info", done, NULL, "NULL is an address for NAT");

	begin();
	get(CT_ALLOC);
	E(MOV_REG(R1, R7), LD_IMM64(R2, target("data")), MOV_IMM(R3, 0), MOV_IMM(R4, 0),
	  conn_call(&xdp, CT_SET_NAT_INFO));
	E(FINISH(&xdp));
	ATTACKS("rogue_nat", "bpf_ct_set_nat_info", done, NULL,
		"memory of the kernel's is an address for NAT");

	begin();
	socket_lookup(BPF_FUNC_sk_lookup_tcp, htons(1), ends.port);
	E(MOV_REG(R1, R0), MOV_IMM(R2, 1), conn_call(&xdp, CT_CHANGE_TIMEOUT));
	E(FINISH(&xdp));
	ATTACKS("rogue_socket", "bpf_ct_change_timeout", done, NULL, sk);

	begin();
	get(CT_LOOKUP);
	E(MOV_REG(R1, R7), CALL(sk_release));
	E(FINISH(&xdp));
	ATTACKS("rogue_as_sock", "sk_release", done, NULL, "a connection is taken for a socket");

	/* What another program has, as that calls it, and its own, beside that */
	begin();
	get(CT_LOOKUP);
	E(LD_MAP_VALUE(R8, out, 0), STX(BPF_DW, R8, R7, 0), JMP_IMM(BPF_JEQ, R7, 0, 2));
	conn_release(&xdp, R7);
	E(MOV_IMM(R0, 2), EXIT());
	fd = load(&xdp, "teller", insns, cnt);
	prog_run_once(fd);
	theirs = slot(out, 0);
	begin();
	get(CT_LOOKUP);
	E(LD_IMM64(R1, theirs), MOV_IMM(R2, 1), conn_call(&xdp, CT_CHANGE_TIMEOUT));
	E(FINISH(&xdp));
	ATTACKS("rogue_theirs", "bpf_ct_change_timeout", done, NULL, "what another had is changed");
	close(fd);

	begin();
	get(CT_LOOKUP);
	E(MOV_REG(R1, R7), ALU64_IMM(BPF_ADD, R1, 8), conn_call(&xdp, CT_RELEASE));
	E(FINISH(&xdp));
	ATTACKS("rogue_inside", "bpf_ct_release", done, NULL, "a place in one is released");
	settled("all of these");
}

/* What it has when it is stopped, or at its end */
static void keeps(void)
{
	s64 given = moat_counter("given_back");
	const char *what = "a program keeps a connection", *line;
	u64 kept;
	int fd;

	begin();
	get(CT_LOOKUP);
	E(MOV_REG(R3, R7));
	stop_here();
	E(TAKE_R3());
	E(FINISH(&xdp));
	ATTACKS("rogue_keeps", "read", more, NULL, what);
	if (!level)
		conn_give_back(addr);
	settled(what);

	what = "a program keeps a new connection";
	begin();
	get(CT_ALLOC);
	E(MOV_REG(R3, R7));
	stop_here();
	E(TAKE_R3());
	E(FINISH(&xdp));
	ATTACKS("rogue_new", "read", more_entries, NULL, what);
	kept = loot_at(0);
	if (!level && kept) {
		conn_insert(kept);
		conn_expire(FROM + 1, TO);
	}
	settled(what);
	if (!level)
		return;
	ok(moat_counter("given_back") == given + 2, "%d: both were given back", level);

	what = "a program keeps one twice, and a new one with translated addresses";
	begin();
	get(CT_LOOKUP);
	get(CT_LOOKUP);
	get(CT_ALLOC);
	E(ST(BPF_DW, R10, -48, 0x630000a), ST(BPF_DW, R10, -40, 0), MOV_REG(R1, R7),
	  MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -48), MOV_IMM(R3, 0), MOV_IMM(R4, 0),
	  conn_call(&xdp, CT_SET_NAT_INFO));
	stop_here();
	E(FINISH(&xdp));
	ATTACKS("rogue_thrice", "read", done, NULL, what);
	settled(what);
	ok(moat_counter("given_back") == given + 5, "%d: %s: three were given back", level, what);

	what = "a program ends with a connection";
	begin();
	get(CT_LOOKUP);
	E(FINISH(&xdp));
	kmsg_mark();
	fd = load(&xdp, "rogue_ends", insns, cnt);
	ok(prog_run_once(fd) == xdp.safe, "%d: %s: stopped", level, what);
	line = kmsg_stopped(fd, "rogue_ends");
	ok(line && strstr(line, "came to its end with 1 references"), "%d: %s: reported", level,
	   what);
	close(fd);
	settled(what);
	ok(moat_counter("given_back") == given + 6, "%d: %s: given back", level, what);
}

static void attacks(void)
{
	if (!addr)
		addr = conn_make(FROM, TO, 600000);
	before = conn_references(addr);
	count = conn_count();
	releases();
	memory();
	context();
	kinds();
	keeps();
}

int main(void)
{
	int ret;

	if (!conn_init())
		skip_all("this kernel has no BTF, or no connection tracker");
	socket_ends(&ends);
	out = array_of(128);
	fake = array_of(8 * 1024);
	ret = at_all_levels(attacks);
	conn_expire(FROM, TO);
	return ret;
}
