// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=2 keys=13,0 timeout=60 */
/*
 * Where do functions of isolated programs return to, and who looks at the number that is on the
 * stack in place of an address? The first six calls of a function it knows itself; what is none
 * of them is the gate's.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "build.h"
#include "kmsg.h"
#include "test_kernel.h"

#define KNOWN 6
/* In what a program returns: a bit for each place that it came to */
#define CAME_TO(N) ALU64_IMM(BPF_OR, R6, 1 << (N))

/* @calls of function 1, one after another; with @forge it says that it is number @number. */
static int with_calls(int calls, bool forge, u32 number)
{
	cnt = 0;
	E(MOV_IMM(R6, 0));
	for (int i = 0; i < calls; i++) {
		E(MOV_IMM(R1, i));
		emit_call(1);
		E(CAME_TO(i));
	}
	/* The last call that there is, and of another function */
	emit_call(2);
	E(CAME_TO(calls), MOV_REG(R0, R6), EXIT());

	begin_function(1);
	if (forge)
		E(JMP_IMM(BPF_JNE, R1, 0, 3), LD_IMM64(R1, (s64)(s32)number),
		  STX(BPF_DW, R10, R1, 8));
	E(MOV_IMM(R0, 0), EXIT());
	begin_function(2);
	E(MOV_IMM(R0, 0), EXIT());
	return must_load(&xdp, forge ? "forged" : "returns", 2);
}

static void through_gates(int calls, int gates)
{
	int fd = with_calls(calls, false, 0);
	s64 before = moat_counter("calls"), all = (1 << (calls + 1)) - 1, is;

	is = prog_run_once(fd);
	ok(is == all, "%d calls: each comes back", calls);
	is = moat_counter("calls") - before;
	if (!ok(is == gates, "%d calls: %d through a gate", calls, gates))
		diag("%lld", (long long)is);
	close(fd);
}

/* The first call says that it is @number, and so goes on at the bits in @to, or is stopped: 0. */
static void forged(u32 number, s64 to, const char *what)
{
	int fd = with_calls(KNOWN + 2, true, number);
	s64 stopped = moat_counter("violations"), is;

	kmsg_mark();
	is = prog_run_once(fd);
	if (!ok(is == (to ?: xdp.safe), "%s: %s", what, to ? "it goes on there" : "stopped"))
		diag("%llx, not %llx", (long long)is, (long long)to);
	ok(moat_counter("violations") - stopped == !to, "%s: %s", what,
	   to ? "which it may" : "counted");
	if (!to)
		ok(kmsg_stopped(fd, "forged"), "%s: reported", what);
	close(fd);
}

int main(void)
{
	const u32 all = KNOWN + 2;
	const s64 ends = 1 << all;

	if (!test_kernel())
		skip_all("needs the test kernel");
	if (!moat_present())
		skip_all("no moat.ko");
	pin_to_cpu(0);
	moat_set_level(2);
	for (u32 calls = 1; calls <= all; calls++)
		through_gates(calls, calls > KNOWN ? calls - KNOWN : 0);
	bypass_verifier(true);
	forged(3, 0x1f8, "the number of another call that it knows");
	forged(all - 1, 0x180, "of one that it does not know");
	forged(all, ends, "of a call of another function");
	/* Each function has a way to those who trace it, with a call of its own. */
	forged(all + 1, 0, "of a call for those who trace, of whom there are none");
	forged(all + 3, 0, "of no call");
	forged(0x7fffffff, 0, "a number that is far off");
	forged(0x80000000, 0, "a negative number");
	forged(-1, 0, "what functions have that helpers call");
	bypass_verifier(false);
	return finish();
}
