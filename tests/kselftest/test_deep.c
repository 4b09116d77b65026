// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,0 timeout=120 */
/*
 * Programs that the verifier lets pass one by one use up the kernel's stack together: the
 * functions of 33 of them go on in the next, and the last sends a clone of its packet to the
 * first, or to another one. At level 0 the kernel dies of that, and so it does if isolated
 * ones need not leave some of the stack (`make test-mutants ONLY=deep`).
 */
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "build.h"
#include "packets.h"
#include "test_kernel.h"

#define DEPTH 33		/* MAX_TAIL_CALL_CNT */
#define NESTED 6		/* callbacks in one another */

/* What programs count */
enum { FELL, SENT, NOT_SENT, RUNS };

static int words, array, device;

#define COUNT(I) LD_MAP_VALUE(R1, words, 8 * (I)), MOV_IMM(R2, 1), \
	ATOMIC(BPF_DW, BPF_ADD, R1, R2, 0)
/* Clobbers what calls do; the context is in R6. */
#define SEND() MOV_REG(R1, R6), MOV_IMM(R2, device), MOV_IMM(R3, 0), CALL(clone_redirect), \
	JMP_IMM(BPF_JEQ, R0, 0, 5), COUNT(NOT_SENT), JA(4), COUNT(SENT)

enum device_runs { THE_CHAIN, CALLS_BACK, SENDS_ON };

static int sends_on(void)
{
	cnt = 0;
	E(MOV_REG(R6, R1), COUNT(RUNS), SEND(), MOV_IMM(R0, 0), EXIT());
	return must_load(&sched_cls, "sends_on", 2);
}

static int calls_back(void)
{
	int i;

	cnt = 0;
	for (i = 0; i <= NESTED; i++) {
		if (i)
			begin_function(i);
		if (i < NESTED) {
			E(MOV_IMM(R1, 1));
			emit_function(R2, i + 1);
			/*
			 * Flags of which the verifier does not know that they are none; and
			 * MOAT has no loops: main()
			 */
			E(MOV_IMM(R3, 0), LD_MAP_VALUE(R4, words, 56), LDX(BPF_DW, R4, R4, 0),
			  CALL(loop));
		} else {
			E(COUNT(RUNS));
		}
		E(MOV_IMM(R0, 0), EXIT());
	}
	return must_load(&sched_cls, "calls_back", 2);
}

/* Runs one on a packet of ours; on what it sends, the device runs @what. */
static void chain(enum device_runs what)
{
	int programs[DEPTH + 1], other;
	s64 too_deep;
	u32 i;

	words = map_of_words(0);
	array = map_create(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, DEPTH + 1);
	for (i = 0; i <= DEPTH; i++) {
		cnt = 0;
		E(MOV_REG(R6, R1), ST(BPF_DW, R10, -216, 0), COUNT(RUNS));
		if (i < DEPTH) {
			E(MOV_REG(R1, R6), CALL_REL(2), MOV_IMM(R0, 0), EXIT());
			begin_function(1);
			E(LD_MAP_FD(R2, array), MOV_IMM(R3, i + 1), CALL(tail_call), COUNT(FELL));
		} else {
			E(SEND());
		}
		E(MOV_IMM(R0, 0), EXIT());
		programs[i] = must_load(&sched_cls, "deep", 2);
		if (map_update(array, &i, &programs[i]))
			bail("array: %s", strerror(errno));
	}
	other = what == SENDS_ON ? sends_on() : calls_back();
	too_deep = moat_counter("too_deep");
	kmsg_mark();
	hook_attach(TC_EGRESS, "mdeep", what == THE_CHAIN ? programs[0] : other);
	prog_run_once(programs[0]);
	hook_detach(TC_EGRESS, "mdeep");
	diag("%lu runs, %lu sent, %lu not, %lu tail calls not taken, %ld too deep",
	     map_word(words, RUNS), map_word(words, SENT), map_word(words, NOT_SENT),
	     map_word(words, FELL), moat_counter("too_deep") - too_deep);
	ok(map_word(words, RUNS) > DEPTH, "all of a chain run, and the kernel lives");
	ok(moat_counter("too_deep") > too_deep, "something was too deep, and counted");
	if (what == CALLS_BACK)
		ok(kmsg_find("calls_back", "too little is left of the kernel's stack"),
		   "who calls back too deep down is stopped, and told why");
	else
		ok(map_word(words, what == THE_CHAIN ? FELL : NOT_SENT) &&
		   !kmsg_find("moat: ", "stopped"),
		   "who goes on too deep down is told so, and not stopped");
	for (i = 0; i <= DEPTH; i++)
		close(programs[i]);
	close(other);
	close(array);
	close(words);
}

int main(void)
{
	if (test_kernel() && !without_loops(true))
		bail("moat_test/off/loops: %s", strerror(errno));
	if (!moat_present())
		skip_all("no MOAT");
	moat_set_level(2);
	if (system("ip link add mdeep type dummy && ip link set mdeep up"))
		bail("no device");
	device = if_nametoindex("mdeep");
	chain(THE_CHAIN);
	chain(CALLS_BACK);
	chain(SENDS_ON);
	if (system("ip link del mdeep"))
		diag("the device stays");
	return finish();
}
