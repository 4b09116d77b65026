// SPDX-License-Identifier: GPL-2.0
#include <string.h>
#include "build.h"

struct bpf_insn insns[1024];
int cnt;

void emit(const struct bpf_insn *more, int n)
{
	if (cnt + n > (int)ARRAY_SIZE(insns))
		bail("the program is too long");
	memcpy(insns + cnt, more, n * sizeof(*more));
	cnt += n;
}
