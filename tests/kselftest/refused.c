// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "moat_test.h"
#include "refused.h"

int refused(int err, const char *why)
{
	const struct bpf_insn insns[] = { MOV_IMM(R0, 20), EXIT() };
	const char *path = getenv("MOAT_KO");
	char insmod[512];
	int is, prog;

	if (!path || access(path, R_OK))
		skip_all("no moat.ko");
	kmsg_mark();
	is = moat_insmod(path) ? errno : 0;
	ok(is == err, "the module is not loaded (%s)", strerror(is));
	ok(kmsg_find("moat: not loaded: ", why), "the kernel log says why");
	snprintf(insmod, sizeof(insmod), "insmod '%s'", path);
	ok(command_fails(insmod, strerror(err)), "and so does insmod, and fails");
	ok(!moat_present(), "there are no sysctls");
	prog = PROG_LOAD(socket_filter.type, "plain", insns);
	ok(prog >= 0 && prog_run_once(prog) == 20, "programs run");
	close(prog);
	return finish();
}
