// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,0 timeout=240 */
/*
 * Do programs print what they printed: by trace_printk, trace_vprintk and snprintf, from
 * their own memory? And compare strings, where the second ends before the first?
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "prints.h"

/* Where texts are: constants, and what is only data */
static int constants, data;

/* Formats as trace_printk() is given them, and what their arguments are */
enum what { NUMBER, TEXT, LONG_TEXT, IP4, IP6, NOTHING, UNTERMINATED };
static const struct {
	const char *format;
	enum what what[3];
} prints[] = {
	{ "hello\n", {} },
	{ "%d %llx %u", { NUMBER, NUMBER, NUMBER } },
	{ "%s|%s|%d", { TEXT, TEXT, NUMBER } },
	{ "%pks and %s", { TEXT, LONG_TEXT } },
	{ "%s%s", { LONG_TEXT, LONG_TEXT } },
	{ "%pI4 %pi4 %c", { IP4, IP4, NUMBER } },
	{ "%pI6 %pi6", { IP6, IP6 } },
	{ "%s, %pI4", { NOTHING, NOTHING } },
	{ "%-8d|%08x|%5u", { NUMBER, NUMBER, NUMBER } },
	{ "50%% of %ld", { NUMBER } },
	{ "%s%pI6%pI6", { LONG_TEXT, IP6, IP6 } },
	{ "%q", { NUMBER } },
	{ "%d %d %d %d", { NUMBER, NUMBER, NUMBER } },
	{ "%px %px", { NUMBER, NUMBER } },
};

/* R@reg = an argument */
static void argument(int reg, enum what what, int i)
{
	switch (what) {
	case NUMBER:
		E(LD_IMM64(reg, 0x1122334455667700ULL + 65 + i));
		break;
	case TEXT:
		E(LD_MAP_VALUE(reg, data, 0));
		break;
	case LONG_TEXT:
		E(LD_MAP_VALUE(reg, data, 64));
		break;
	case IP4:
	case IP6:
		E(LD_MAP_VALUE(reg, data, 1024));
		break;
	default:
		E(MOV_IMM(reg, 0));
	}
}

static void print_all(void)
{
	size_t i, p;
	int at = 0;

	for (p = 0; p < ARRAY_SIZE(prints); p++) {
		size_t len = strlen(prints[p].format) + 1;

		E(LD_MAP_VALUE(R1, constants, at), MOV_IMM(R2, (s32)len));
		for (i = 0; i < 3; i++)
			argument(R3 + i, prints[p].what[i], i);
		E(CALL(trace_printk));
		tell_ret();
		at += len;
	}
	/* one that is only a part of itself */
	E(LD_MAP_VALUE(R1, constants, 0), MOV_IMM(R2, 3), MOV_IMM(R3, 0), CALL(trace_printk));
	tell_ret();
}

/* Arguments in an array on the stack; @len bytes of it */
static void array(int len)
{
	E(LD_IMM64(R1, 7), STX(BPF_DW, R10, R1, -48), LD_MAP_VALUE(R1, data, 0),
	  STX(BPF_DW, R10, R1, -40), LD_MAP_VALUE(R1, data, 1024), STX(BPF_DW, R10, R1, -32),
	  LD_IMM64(R1, -5), STX(BPF_DW, R10, R1, -24));
	E(MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -48), MOV_IMM(R4, len));
}

#define WORDS 2048	/* where words for strncmp() are, 32 bytes each */
#define VFORMAT 1024	/* where the format for four of them is */
static const char vformat[] = "%d <%s> [%pI4] %lld";

static void vprint(void)
{
	static const int lens[] = { 32, 24, 8, 31 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		array(lens[i]);
		E(LD_MAP_VALUE(R1, constants, VFORMAT), MOV_IMM(R2, sizeof(vformat)),
		  CALL(trace_vprintk));
		tell_ret();
	}
	/* into memory: all, what there is room for, nothing */
	for (i = 0; i < 3; i++) {
		array(32);
		E(MOV_REG(R5, R4), MOV_REG(R4, R3), LD_MAP_VALUE(R3, constants, VFORMAT),
		  LD_MAP_VALUE(R1, results, 1024 + 128 * (int)i), MOV_IMM(R2, i == 0 ? 128 : i == 1 ? 9 : 0),
		  CALL(snprintf));
		tell_ret();
	}
	/* without arguments: no array of them, or an empty one */
	for (i = 0; i < 2; i++) {
		E(LD_MAP_VALUE(R3, constants, WORDS), LD_MAP_VALUE(R1, results, 1408 + 16 * i),
		  MOV_IMM(R2, 16), MOV_IMM(R4, 0), MOV_IMM(R5, 0));
		if (i)
			E(LD_MAP_VALUE(R4, data, 0));
		E(CALL(snprintf));
		tell_ret();
	}
	E(LD_MAP_VALUE(R1, constants, WORDS), MOV_IMM(R2, 5), MOV_IMM(R3, 0), MOV_IMM(R4, 0),
	  CALL(trace_vprintk));
	tell_ret();
}

static const char *const words[] = { "same", "samf", "sam", "", "same and more" };

static void compare(void)
{
	int i, n;

	for (i = 0; i < (int)ARRAY_SIZE(words); i++) {
		for (n = 1; n <= 5; n += 4) {
			E(LD_MAP_VALUE(R1, data, 2048), MOV_IMM(R2, n),
			  LD_MAP_VALUE(R3, constants, WORDS + 32 * i), CALL(strncmp));
			/* The value is a sign at heart. */
			E(ALU64_IMM(BPF_LSH, R0, 32), ALU64_IMM(BPF_ARSH, R0, 32));
			tell_ret();
		}
	}
	/* what ends where its map does, longer than all there is */
	E(LD_MAP_VALUE(R1, data, 2048), MOV_IMM(R2, 64), LD_MAP_VALUE(R3, constants, TEXTS - 5),
	  CALL(strncmp), ALU64_IMM(BPF_LSH, R0, 32), ALU64_IMM(BPF_ARSH, R0, 32));
	tell_ret();
}

static void make_texts(void)
{
	static char text[TEXTS];
	size_t i, at = 0;

	for (i = 0; i < ARRAY_SIZE(prints); i++)
		at += sprintf(text + at, "%s", prints[i].format) + 1;
	memcpy(text + VFORMAT, vformat, sizeof(vformat));
	for (i = 0; i < ARRAY_SIZE(words); i++)
		strcpy(text + WORDS + 32 * i, words[i]);
	strcpy(text + TEXTS - 5, "same");
	constants = prints_map(text, sizeof(text), true);
	memset(text, 0, sizeof(text));
	strcpy(text, "a string");
	memset(text + 64, 'x', 490);
	memcpy(text + 1024, "\x0a\x01\x02\x03\x20\x01\x0d\xb8\0\0\0\0\0\0\0\x01", 16);
	strcpy(text + 2048, "same");
	data = prints_map(text, sizeof(text), false);
}

static void same(const struct prog_type *t)
{
	static struct said plain, isolated;
	s64 refused = moat_counter("refused_prints");
	int prog;

	for (int level = 0; level <= 2; level += 2) {
		moat_set_level(level);
		cnt = n_rets = 0;
		print_all();
		vprint();
		compare();
		E(MOV_IMM(R0, t->pass), EXIT());
		prog = prints_load(t);
		if (level && moat_layer(prog) == NONE)
			bail("not isolated");
		prints_run(prog, level ? &isolated : &plain);
		close(prog);
	}
	if (!ok(!strcmp(plain.text, isolated.text) && strstr(plain.text, "a string|a string|"),
		"%s: the same is printed", t->name))
		diag("%zu bytes at level 0, %zu at level 2", strlen(plain.text),
		     strlen(isolated.text));
	ok(!memcmp(plain.ret, isolated.ret, sizeof(plain.ret)) && plain.ret[0] == 6,
	   "%s: the same is returned", t->name);
	for (int i = 0; i < n_rets; i++)
		if (plain.ret[i] != isolated.ret[i])
			diag("call %d: %lx and %lx", i, plain.ret[i], isolated.ret[i]);
	ok(!memcmp(plain.out, isolated.out, sizeof(plain.out)) &&
	   !strncmp((char *)plain.out, "7 <a string> [10.1.2.3] -5", 27),
	   "%s: the same is written: %s", t->name, (char *)plain.out);
	ok(moat_counter("refused_prints") == refused, "%s: nothing was refused", t->name);
}

int main(void)
{
	if (!moat_present())
		skip_all("no moat.ko");
	prints_begin();
	make_texts();
	same(&xdp);
	same(&sched_cls);
	same(&socket_filter);
	same(&cgroup_skb);
	return finish();
}
