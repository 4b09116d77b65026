// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 keys=13,0 timeout=120 */
/*
 * What if a program that no verifier looked at passes a socket that it does not have, one
 * that it had or that another one has, something that is no socket, or looks behind what it
 * has?
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "attack.h"
#include "build.h"
#include "socket_structs.h"
#include "records.h"
#include "sockets.h"

/* From a program's name for a socket to what it loads of structures: MOAT_SOCKET_COPY */
#define COPY 192

static struct ends ends, mptcp;
static int out, sockmap;

static bool is_in(struct run *run, const void *map)
{
	u32 key = 3;
	u64 cookie;

	return !map_lookup(*(const int *)map, &key, &cookie);
}

/* A program that tells what it has for a socket: its name, or the kernel's address */
static u64 name_of_another(int at_level)
{
	int now = level, fd;

	cnt = 0;
	E(MOV_REG(R6, R1));
	socket_lookup(BPF_FUNC_sk_lookup_tcp, htons(1), ends.port);
	E(MOV_REG(R9, R0), LD_MAP_VALUE(R8, out, 0), STX(BPF_DW, R8, R9, 0),
	  JMP_IMM(BPF_JEQ, R9, 0, 2));
	socket_release(R9);
	E(MOV_IMM(R0, 1), EXIT());
	moat_set_level(at_level);
	fd = load(&sched_cls, "teller", insns, cnt);
	prog_run_once(fd);
	moat_set_level(now);
	close(fd);
	return slot(out, 0);
}

#define ATTACKS(NAME, HELPER, LANDED, ARG, WHAT) \
	attack(&(struct attack){ &sched_cls, NAME, HELPER, ANYWHERE, LANDED, ARG, WHAT }, \
	       insns, cnt)

/* Where struct tcp_sock has sk_priority; 0: nothing says where. */
static int priority_at(void)
{
	static struct member members[MEMBERS];

	for (int i = members_of("tcp_sock", members) - 1; i >= 0; i--)
		if (!strcmp(members[i].name, "sk_priority"))
			return members[i].off;
	return 0;
}

static void set_priority(int priority)
{
	setsockopt(ends.end, SOL_SOCKET, SO_PRIORITY, &priority, sizeof(priority));
}

/*
 * Sockets as structures of the kernel's. What a program loads of one before and after it has
 * given it back, and what it is about then; what another program had; a part of another.
 */
static void structs(void)
{
	const u64 now = 6;
	int off = priority_at(), fd, jump;
	u64 had;

	if (!off) {
		skip("no BTF", "%d: structures of the kernel's", level);
		return;
	}
	loot_clear();
	set_priority(5);
	cnt = 0;
	E(MOV_REG(R6, R1), LD_MAP_VALUE(R8, loot, 0), LDX(BPF_DW, R9, R8, 24),
	  JMP_IMM(BPF_JNE, R9, 0, 0));
	jump = cnt - 1;
	socket_lookup(BPF_FUNC_sk_lookup_tcp, ends.peer, ends.port);
	E(JMP_IMM(BPF_JNE, R0, 0, 2), MOV_IMM(R0, 3), EXIT(), MOV_REG(R7, R0), MOV_REG(R1, R0),
	  CALL(skc_to_tcp_sock), STX(BPF_DW, R8, R0, 24), JMP_IMM(BPF_JEQ, R0, 0, 1),
	  /* The verifier gets as far as this, so that it is in the copy. */
	  LDX(BPF_W, R1, R0, off));
	socket_release(R7);
	E(MOV_IMM(R0, 1), EXIT());
	insns[jump].off = cnt - jump - 1;
	E(LDX(BPF_W, R3, R9, off + (level ? COPY : 0)), STX(BPF_DW, R8, R3, 0), MOV_IMM(R0, 2),
	  EXIT());
	fd = load(&sched_cls, "keeps", insns, cnt);
	ok(prog_run_once(fd) == 1, "%d: a socket is given back", level);
	had = loot_at(3);
	set_priority(now);
	ok(prog_run_once(fd) == 2 && loot_at(0) == (level ? 5 : now),
	   "%d: what becomes of it then is %sseen", level, level ? "not " : "");
	diag("%lx, from %lx", loot_at(0), had);

	cnt = 0;
	E(LD_IMM64(R1, had), LDX(BPF_W, R3, R1, off), TAKE_R3(), FINISH(&sched_cls));
	ATTACKS("rogue_had", "read", loot_is, &now, "a member, by what another had");
	close(fd);

	cnt = 0;
	E(MOV_REG(R6, R1));
	socket_lookup(BPF_FUNC_sk_lookup_tcp, mptcp.peer, mptcp.port);
	E(MOV_REG(R7, R0), MOV_REG(R1, R0), CALL(skc_to_mptcp_sock), MOV_REG(R9, R0));
	socket_release(R7);
	E(JMP_IMM(BPF_JNE, R9, 0, 2), MOV_IMM(R0, 0), EXIT(), MOV_REG(R1, R9), CALL(sk_fullsock),
	  FINISH(&sched_cls));
	ATTACKS("rogue_part", "sk_fullsock", loot_is_done, NULL, "what a socket is a part of");
}

/*
 * A raw socket with TCP's number is no struct tcp_sock: what lies behind it is not there for
 * programs that take it for one.
 */
static void raw(void)
{
	static struct member members[MEMBERS];
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_TCP), prog, n = 0, state = 0;
	int nr = members_of("tcp_sock", members);
	char buf[256];

	if (!nr)
		return;
	loot_clear();
	cnt = 0;
	E(LD_MAP_VALUE(R8, loot, 0), MOV_IMM(R7, 0),
	  LDX(BPF_DW, R1, R1, offsetof(struct __sk_buff, sk)), JMP_IMM(BPF_JNE, R1, 0, 2),
	  MOV_IMM(R0, 1), EXIT(), CALL(skc_to_tcp_sock), JMP_IMM(BPF_JNE, R0, 0, 2),
	  MOV_IMM(R0, 2), EXIT());
	for (int i = 0; i < nr; i++) {
		const struct member *m = &members[i];

		if (!strcmp(m->name, "skc_state"))
			state = m->off;
		/* struct raw_sock, in each configuration here, has less than that. */
		if (!m->number || m->size != 4 || m->off < 1400 || n++ >= 80)
			continue;
		E(LDX(BPF_W, R1, R0, m->off), ALU64_REG(BPF_OR, R7, R1));
	}
	E(LDX(BPF_B, R1, R0, state), STX(BPF_DW, R8, R1, 24), STX(BPF_DW, R8, R7, 16),
	  MOV_IMM(R0, 100), EXIT());
	bypass_verifier(false);
	prog = load(&socket_filter, "raw", insns, cnt);
	bypass_verifier(true);
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &prog, sizeof(prog)) ||
	    send(ends.client, "x", 1, 0) != 1 || recv(ends.end, buf, 1, 0) != 1)
		bail("raw socket: %s", strerror(errno));
	usleep(20 * 1000);
	ok(loot_at(3) == TCP_CLOSE, "%d: the state of a raw socket", level);
	ok(level ? !loot_at(2) : !!loot_at(2), "%d: what is behind it is %s", level,
	   level ? "not there" : "seen");
	diag("%lx", loot_at(2));
	close(prog);
	close(fd);
}

/*
 * A record that there was none of leaves nothing behind in the entry that a socket gets: it is
 * given back once, by the program or, if it is stopped, for it.
 */
static void no_record(void)
{
	struct ring ring = ring_open(4096);
	int refs = socket_references(&ends);

	for (int releases = 0; level && releases <= 2; releases++) {
		s64 given = moat_counter("given_back"), is;
		bool good = releases == 1;
		int fd;

		cnt = 0;
		E(MOV_REG(R6, R1), LD_MAP_FD(R1, ring.map), MOV_IMM(R2, 64), MOV_IMM(R3, 1),
		  CALL(ringbuf_reserve), JMP_IMM(BPF_JEQ, R0, 0, 3), MOV_REG(R1, R0),
		  MOV_IMM(R2, 0), CALL(ringbuf_discard));
		socket_lookup(BPF_FUNC_sk_lookup_tcp, ends.peer, ends.port);
		E(JMP_IMM(BPF_JNE, R0, 0, 2), MOV_IMM(R0, 7), EXIT(), MOV_REG(R7, R0));
		for (int i = 0; i < releases; i++)
			socket_release(R7);
		if (!releases)
			E(MOV_IMM(R1, 0), ST(BPF_DW, R1, 0, 1));
		E(MOV_IMM(R0, sched_cls.pass), EXIT());
		bypass_verifier(!good);
		fd = load(&sched_cls, "no_record", insns, cnt);
		bypass_verifier(true);
		for (int runs = 0; runs < 2; runs++) {
			is = prog_run_once(fd);
			if (!ok(is == (good ? sched_cls.pass : sched_cls.safe),
				"%d: no record, then a socket, %d times released: %s", level,
				releases, good ? "as it may" : "stopped"))
				diag("%lld", (long long)is);
		}
		close(fd);
		ok(moat_counter("given_back") - given == !releases && socket_references(&ends) == refs,
		   "%d: and %d references, as before", level, refs);
	}
	ring_close(&ring);
}

static void attacks(void)
{
	const int of_maps[] = { BPF_FUNC_sk_fullsock, BPF_FUNC_tcp_sock,
				BPF_FUNC_get_listener_sock, BPF_FUNC_skc_to_tcp_sock,
				BPF_FUNC_skc_to_mptcp_sock };
	const char *const names[] = { "sk_fullsock", "tcp_sock", "get_listener_sock",
				      "skc_to_tcp_sock", "skc_to_mptcp_sock" };
	const u32 put = 3;
	u64 addr = name_of_another(0), theirs = level ? name_of_another(2) : addr;
	char what[64];

	for (size_t i = 0; i < ARRAY_SIZE(of_maps); i++) {
		cnt = 0;
		E(LD_IMM64(R1, addr), INSN(BPF_JMP | BPF_CALL, 0, 0, 0, of_maps[i]),
		  FINISH(&sched_cls));
		snprintf(what, sizeof(what), "%s of the kernel's address", names[i]);
		ATTACKS("rogue_addr", names[i], loot_is_done, NULL, what);

		cnt = 0;
		E(LD_IMM64(R1, theirs), INSN(BPF_JMP | BPF_CALL, 0, 0, 0, of_maps[i]),
		  FINISH(&sched_cls));
		snprintf(what, sizeof(what), "%s of what another had", names[i]);
		ATTACKS("rogue_theirs", names[i], loot_is_done, NULL, what);

		cnt = 0;
		E(LD_MAP_FD(R1, loot), INSN(BPF_JMP | BPF_CALL, 0, 0, 0, of_maps[i]),
		  FINISH(&sched_cls));
		snprintf(what, sizeof(what), "%s of a map", names[i]);
		ATTACKS("rogue_map", names[i], loot_is_done, NULL, what);

		cnt = 0;
		E(MOV_REG(R6, R1));
		socket_lookup(BPF_FUNC_sk_lookup_tcp, htons(1), ends.port);
		E(MOV_REG(R7, R0));
		socket_release(R7);
		E(MOV_REG(R1, R7), INSN(BPF_JMP | BPF_CALL, 0, 0, 0, of_maps[i]),
		  FINISH(&sched_cls));
		snprintf(what, sizeof(what), "%s after the release", names[i]);
		ATTACKS("rogue_after", names[i], loot_is_done, NULL, what);

		cnt = 0;
		E(MOV_REG(R6, R1));
		socket_lookup(BPF_FUNC_sk_lookup_tcp, htons(1), ends.port);
		E(MOV_REG(R7, R0), LD_IMM64(R1, addr),
		  INSN(BPF_JMP | BPF_CALL, 0, 0, 0, of_maps[i]));
		socket_release(R7);
		E(FINISH(&sched_cls));
		snprintf(what, sizeof(what), "%s of another than it has", names[i]);
		ATTACKS("rogue_another", names[i], loot_is_done, NULL, what);
	}

	cnt = 0;
	E(MOV_REG(R6, R1));
	socket_lookup(BPF_FUNC_sk_lookup_tcp, htons(1), ends.port);
	E(MOV_REG(R1, R0), CALL(get_listener_sock), MOV_REG(R7, R0), MOV_REG(R1, R0),
	  CALL(sk_release));
	socket_release(R7);
	E(FINISH(&sched_cls));
	/* It is the same one; the second release is of what it has only as a listener. */
	ATTACKS("rogue_listener", "sk_release", loot_is_done, NULL, "a listener is released");

	/* The address of the kernel's, through a map, so that the load stays what it is */
	cnt = 0;
	E(MOV_REG(R6, R1));
	socket_lookup(BPF_FUNC_sk_lookup_tcp, htons(1), ends.port);
	E(LD_MAP_VALUE(R8, loot, 0), STX(BPF_DW, R8, R0, 16), LDX(BPF_DW, R1, R8, 16),
	  ALU64_IMM(BPF_ADD, R1, 0x200000), LDX(BPF_DW, R3, R1, 0), TAKE_R3(), FINISH(&sched_cls));
	ATTACKS("rogue_behind", "read", loot_is_done, NULL, "a field far behind a socket");

	cnt = 0;
	E(LD_IMM64(R1, addr), LDX(BPF_DW, R3, R1, 16), TAKE_R3(), FINISH(&sched_cls));
	ATTACKS("rogue_field", "read", loot_is_done, NULL, "a field of the kernel's socket");

	no_record();
	structs();
	raw();
	addr = socket_keep(&ends);
	cnt = 0;
	E(ST(BPF_W, R10, -4, 3), LD_MAP_FD(R1, sockmap), MOV_REG(R2, R10),
	  ALU64_IMM(BPF_ADD, R2, -4), LD_IMM64(R3, addr), MOV_IMM(R4, 0), CALL(map_update_elem),
	  FINISH(&sched_cls));
	ATTACKS("rogue_put", "map_update_elem", is_in, &sockmap, "a socket that it does not have");
	socket_give_back(addr);
	map_delete(sockmap, &put);
}

int main(void)
{
	socket_ends(&ends);
	socket_listen(&mptcp, IPPROTO_MPTCP);
	socket_begin(&mptcp, IPPROTO_MPTCP);
	out = array_of(128);
	sockmap = map_create(BPF_MAP_TYPE_SOCKMAP, 4, 8, 8);
	if (sockmap < 0)
		bail("sockmap: %s", strerror(errno));
	return at_each_level(attacks);
}
