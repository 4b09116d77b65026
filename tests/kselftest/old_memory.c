// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "old_memory.h"

void leave_secrets(void)
{
	static const size_t sizes[] = { 150, 600, 1500, 3000 };
	u64 secret[512], back[512];
	size_t i, k;
	int s[2], p[2];
	u64 *page;

	for (i = 0; i < 512; i++)
		secret[i] = SECRET;
	page = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED || socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, s) || pipe(p))
		bail("no secrets: %s", strerror(errno));
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		for (k = 0; k < 4; k++)
			if (write(s[0], secret, sizes[i]) < 0)
				break;
	while (read(s[1], back, sizeof(back)) > 0)
		;
	close(s[0]);
	close(s[1]);
	for (i = 0; i < (1 << 16) / 8; i++)
		page[i] = SECRET;
	/*
	 * What was a process's memory is kept for processes' memory; pages of pipes are of
	 * the kind that frames lie in.
	 */
	if (write(p[1], page, 1 << 14) != 1 << 14)
		bail("no secrets in a pipe: %s", strerror(errno));
	munmap(page, 1 << 16);
	close(p[0]);
	close(p[1]);
}

int told;

void await_run(u64 n)
{
	int i;

	for (i = 0; i < 1000 && map_word(told, RUNS) <= n; i++)
		usleep(1000);
}

void count(int word)
{
	E(MOV_IMM(R1, 1), ATOMIC(BPF_DW, BPF_ADD, R9, R1, 8 * word));
}

void start(void)
{
	cnt = 0;
	E(MOV_REG(R6, R1), LD_MAP_VALUE(R9, told, 0));
	count(RUNS);
}

void move(int helper, int by)
{
	E(MOV_REG(R1, R6), MOV_IMM(R2, by),
	  INSN(BPF_JMP | BPF_CALL, 0, 0, 0, helper),
	  JMP_IMM(BPF_JEQ, R0, 0, 2));
	count(ERRORS);
}

void look(int reg, int off, int n)
{
	int i;

	E(MOV_IMM(R0, 0), LD_IMM64(R3, SECRET));
	for (i = 0; i < n; i++) {
		E(LDX(BPF_DW, R2, reg, off + 8 * i), JMP_IMM(BPF_JEQ, R2, 0, 6),
		  MOV_IMM(R0, 1));
		count(WORDS);
		E(JMP_REG(BPF_JNE, R2, R3, 2));
		count(SECRETS);
	}
	E(JMP_IMM(BPF_JEQ, R0, 0, 2));
	count(FOUND);
}

int between(int from, int to, int len)
{
	E(LDX(BPF_W, R7, R6, from), LDX(BPF_W, R8, R6, to),
	  MOV_REG(R1, R7), ALU64_IMM(BPF_ADD, R1, len), JMP_REG(BPF_JGT, R1, R8, 0));
	return cnt - 1;
}

void otherwise(int jump)
{
	E(JA(2));
	insns[jump].off = cnt - jump - 1;
	count(ERRORS);
}

int load_at(const struct prog_type *type, int level, void (*body)(void), u32 verdict)
{
	moat_set_level(level);
	body();
	E(MOV_IMM(R0, verdict), EXIT());
	return must_load(type, "old_memory", level);
}

void both_ways(const char *what, enum hook hook,
	       u64 (*attack)(enum hook, int, void (*)(void)), void (*body)(void))
{
	u64 n;
	int level;

	n = attack(hook, 0, body);
	ok((s64)n > 0, "level 0: %s, %s: shows old memory", hook_name[hook], what);
	for (level = 1; level <= 2; level++) {
		if (!moat_present())
			skip("no moat.ko", "level %d: %s, %s", level, hook_name[hook], what);
		else
			ok(attack(hook, level, body) == 0, "level %d: %s, %s: shows none", level,
			   hook_name[hook], what);
	}
}

int pass_at_level_0(void)
{
	const struct bpf_insn pass[] = { MOV_IMM(R0, 2), EXIT() };
	int fd;

	moat_set_level(0);
	fd = PROG_LOAD(BPF_PROG_TYPE_XDP, "pass", pass);
	if (fd < 0)
		bail("the program does not load: %s", strerror(errno));
	return fd;
}
