// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 full=0 timeout=240 */
/*
 * Can an isolated program be as large as the verifier lets it? Its calls are counted in
 * tens of thousands then, and the kernel has no complaint.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "moat_test.h"

#define CALLS 120000

static struct bpf_insn *insns;

/* Returns how many instructions there are. */
static size_t helper_calls(void)
{
	size_t n = 0;

	while (n < CALLS)
		insns[n++] = CALL(get_prandom_u32);
	insns[n++] = MOV_IMM(R0, XDP_PASS);
	insns[n++] = EXIT();
	return n;
}

/* The function is at the end. */
static size_t local_calls(void)
{
	size_t n = 0;

	for (; n < CALLS; n++)
		insns[n] = CALL_REL(CALLS + 1 - n);
	insns[n++] = MOV_IMM(R0, XDP_PASS);
	insns[n++] = EXIT();
	insns[n++] = MOV_IMM(R0, 0);
	insns[n++] = EXIT();
	return n;
}

static void large(int level, const char *what, size_t (*fill)(void))
{
	int prog;

	kmsg_mark();
	prog = prog_load(xdp.type, "large", insns, fill());
	if (ok(prog >= 0, "%d: %d %s: is loaded", level, CALLS, what)) {
		ok(prog_run_once(prog) == xdp.pass && (moat_layer(prog) != NONE) == !!level,
		   "%d: %d %s: and runs", level, CALLS, what);
		close(prog);
	} else {
		diag("%s: %.300s", strerror(errno), prog_log);
	}
	ok(!kmsg_find("WARNING", NULL), "%d: %d %s: without a complaint", level, CALLS, what);
}

int main(void)
{
	int level, budget;

	if (!moat_present())
		skip_all("no moat.ko");
	/* An emulated CPU translates all of it first. */
	budget = moat_set_budget(60);
	insns = calloc(CALLS + 8, sizeof(*insns));
	for (level = 0; level <= 2; level += 2) {
		if (!moat_set_level(level))
			skip_all("no moat.ko");
		large(level, "calls of helpers", helper_calls);
		large(level, "calls of a function", local_calls);
	}
	moat_set_budget(budget);
	return finish();
}
