// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 keys=13,0 timeout=120 */
/*
 * What if a program that no verifier looked at passes a socket that it does not have, one
 * that it had or that another one has, something that is no socket, or looks behind what it
 * has?
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "attack.h"
#include "build.h"
#include "sockets.h"

static struct ends ends;
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

static void attacks(void)
{
	const int of_maps[] = { BPF_FUNC_sk_fullsock, BPF_FUNC_tcp_sock,
				BPF_FUNC_get_listener_sock, BPF_FUNC_skc_to_tcp_sock };
	const char *const names[] = { "sk_fullsock", "tcp_sock", "get_listener_sock",
				      "skc_to_tcp_sock" };
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
	out = array_of(128);
	sockmap = map_create(BPF_MAP_TYPE_SOCKMAP, 4, 8, 8);
	if (sockmap < 0)
		bail("sockmap: %s", strerror(errno));
	return at_each_level(attacks);
}
