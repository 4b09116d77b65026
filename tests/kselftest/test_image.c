// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=2 keys=13,0 full=1 timeout=200 */
/*
 * Does an image load that a program could leave, or that touches the trusted register?
 *
 * The switch of the test kernel puts code into the image, where the program has a
 * certain constant, before the module sees it. What leads elsewhere than to an
 * instruction, to another function or to a gate, and what has R12 or a CALL, must
 * be refused with EINVAL and one line; the same program without that, and with
 * jumps that lead where they may, loads and runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "moat_test.h"

/* "spoil me": the ten bytes of the instruction that loads it are replaced */
#define SPOIL_HERE LD_IMM64(R1, SPOIL_ME)

/* One image, with a call of a helper that needs no audit */
static const struct bpf_insn single[] = {
	MOV_IMM(R0, 1), SPOIL_HERE, CALL(ktime_get_ns), MOV_IMM(R0, 9), EXIT(),
};

/* and with one that does */
static struct bpf_insn audited[] = {
	SPOIL_HERE, ST(BPF_DW, R10, -8, 0), LD_MAP_FD(R1, 0), MOV_REG(R2, R10),
	ALU64_IMM(BPF_ADD, R2, -8), CALL(map_lookup_elem), MOV_IMM(R0, 9), EXIT(),
};
#define AUDITED_MAP 3	/* the instruction with the map */

/* Two images; either has the constant. */
static const struct bpf_insn functions[] = {
	CALL(ktime_get_ns), SPOIL_HERE, CALL_REL(2), ALU64_IMM(BPF_ADD, R0, 1), EXIT(),
	MOV_IMM(R0, 5), SPOIL_HERE, MOV_IMM(R0, 8), EXIT(),
};

enum form { SINGLE, AUDITED, FUNCTIONS };

/* The program with the image spoilt by @with, or as it is: a descriptor, or -errno */
static int load(enum form form, const char *with)
{
	s64 spoilt = read_number(SPOIL);
	int fd;

	if (with && write_file(SPOIL, "%s", with))
		bail("%s: %s: %s", SPOIL, with, strerror(errno));
	switch (form) {
	case SINGLE:
		fd = PROG_LOAD(xdp.type, "image", single);
		break;
	case AUDITED:
		fd = PROG_LOAD(xdp.type, "image", audited);
		break;
	default:
		fd = PROG_LOAD(xdp.type, "image", functions);
	}
	if (fd < 0)
		fd = -errno;
	if (with && read_number(SPOIL) == spoilt)
		diag("%s: not spoilt", with);
	return fd;
}

static void runs(const char *what, enum form form, const char *with, s64 expected)
{
	int fd = load(form, with);
	s64 ret = fd < 0 ? fd : prog_run_once(fd);

	if (!ok(fd >= 0 && moat_layer(fd) != NONE && ret == expected, "runs: %s", what))
		diag("%ld, not %ld", ret, expected);
	if (fd >= 0)
		close(fd);
}

static void refused(const char *what, enum form form, const char *with, const char *line)
{
	s64 count = moat_counter("refused");
	const char *told;
	int fd;

	kmsg_mark();
	fd = load(form, with);
	told = kmsg_find("image (", "refused");
	if (!ok(fd == -EINVAL && told && strstr(told, line) && moat_counter("refused") == count + 1,
		"refused: %s", what))
		diag("%d; %ld; %s", fd, moat_counter("refused") - count, told ?: "no word");
	if (fd >= 0)
		close(fd);
}

#define R12_IS "an instruction with R12 at main+"

static void code(void)
{
	static const struct {
		const char *what, *code;
	} r12[] = {
		{ "push and pop of R12", "4154415c" },
		{ "a constant for R12", "41bc00000000" },
		{ "R12 from another register", "4989fc" },
		{ "another register from R12", "4c89e7" },
		{ "an exchange with R12", "49944994" },
		{ "R12 as base", "498b0424" },
		{ "R12 as index", "4a8b0420" },
		{ "R12, swapped", "490fcc" },
		{ "a byte of R12", "41b400" },
	};
	size_t i;
	char with[64];

	for (i = 0; i < ARRAY_SIZE(r12); i++) {
		snprintf(with, sizeof(with), "0 %s", r12[i].code);
		refused(r12[i].what, SINGLE, with, R12_IS);
	}
	refused("a CALL of the next instruction", SINGLE, "0 e800000000", "CALL at main+");
	refused("a CALL of a gate", SINGLE, "0 e8 exit 0 0", "CALL at main+");
	refused("WRMSR", SINGLE, "0 0f30", "WRMSR at main+");
	refused("what is no instruction", SINGLE, "0 d6", "at main+");
	runs("NOPs", SINGLE, "0 90", 9);
	runs("R13", SINGLE, "0 4155415d", 9);
	runs("RSP as base", SINGLE, "0 488b0424", 9);
}

#define ASTRAY "a jump out of the program, to 0x"
#define BETWEEN "no instruction where a jump leads, at main+"

static void jumps(void)
{
	runs("a jump over nothing", SINGLE, "0 eb00", 9);
	runs("a long jump to the instruction behind", SINGLE, "0 e9 here 0 10", 9);
	runs("a jump on a condition", SINGLE, "0 0f84 here 0 10", 9);
	runs("LOOP", SINGLE, "0 e200", 9);
	runs("a jump to the exit", SINGLE, "0 e9 exit 0 0", 1);

	refused("a short jump into an instruction", SINGLE, "0 7401b800000000", BETWEEN);
	refused("JRCXZ into an instruction", SINGLE, "0 e301b800000000", BETWEEN);
	refused("a jump into itself", SINGLE, "0 e9 here 0 1", BETWEEN);
	refused("one on a condition", SINGLE, "0 0f84 here 0 2", BETWEEN);
	refused("a jump with a prefix", SINGLE, "0 66eb00", "a jump with a prefix at main+");

	refused("a jump into the kernel", SINGLE, "0 e9 kernel 0 0", ASTRAY);
	refused("one on a condition", SINGLE, "0 0f85 kernel 0 0", ASTRAY);
	refused("a jump to the entry stub", SINGLE, "0 e9 body 0 -5", ASTRAY);
	refused("a jump to the enter gate", SINGLE, "0 e9 enter 0 0", ASTRAY);
	refused("a jump into the exit gate", SINGLE, "0 e9 exit 0 1", ASTRAY);
	refused("a jump to the gate of functions", SINGLE, "0 e9 return 0 0", ASTRAY);
}

static void sites(void)
{
	runs("an audited call", AUDITED, NULL, 9);
	/* Not the one jump that the site returns behind. */
	refused("another jump to a site", AUDITED, "0 e9 site 0 0", ASTRAY);
	refused("a jump into a site, past what tells which it is", AUDITED, "0 e9 site 0 16",
		ASTRAY);
	refused("a jump into a site, past its opening", AUDITED, "0 e9 site 0 64", ASTRAY);
	refused("a jump behind the last site", AUDITED, "0 e9 site 1 0", ASTRAY);
}

static void calls(void)
{
	runs("functions", FUNCTIONS, NULL, 9);
	/* As the JIT calls: push number; jmp. Number 0 is the one call that there is. */
	runs("a jump to another function", FUNCTIONS, "0 6a00e9 func 1 0", 9);
	runs("a jump to the gate of functions", FUNCTIONS, "1 6a00415be9 return 0 0", 6);
	refused("a jump into another function", FUNCTIONS, "0 e9 func 1 1", ASTRAY);
	refused("a jump before another function", FUNCTIONS, "0 e9 func 1 -1", ASTRAY);
	refused("a function's jump to the entry stub", FUNCTIONS, "1 e9 func 0 0", ASTRAY);
	refused("a function's jump to a site of the program", FUNCTIONS, "1 e9 site 0 0", ASTRAY);
	refused("a function's jump to the exit", FUNCTIONS, "1 e9 exit 0 0", ASTRAY);
	refused("a function's jump into the kernel", FUNCTIONS, "1 e9 kernel 0 0", ASTRAY);
	refused("R12 in a function", FUNCTIONS, "1 4154415c", "an instruction with R12 at func1+");
	refused("a program's jump to the gate of functions", FUNCTIONS, "0 e9 return 0 0", ASTRAY);
}

int main(void)
{
	int map;

	if (!moat_present())
		skip_all("no moat.ko");
	if (access(SPOIL, F_OK))
		skip_all("no switch to spoil images with");
	moat_set_level(2);
	map = map_of_words(0);
	audited[AUDITED_MAP].imm = map;
	runs("one image", SINGLE, NULL, 9);
	code();
	jumps();
	sites();
	calls();
	return finish();
}
