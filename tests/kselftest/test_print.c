// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,0 timeout=240 */
/*
 * Do programs print what they printed: by trace_printk, trace_vprintk and snprintf, from
 * their own memory? And not what the kernel has: strings and addresses of IP elsewhere, names
 * of what lies at an address, nor what a format says that changes while it is looked at.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "build.h"

#define TRACE "/sys/kernel/tracing/trace"
#define TEXTS 4096

/* Where texts are: constants, and what is only data */
static int constants, data, results;

/* What came of one run: what was said, and what calls returned */
struct said {
	char text[8192];
	u64 ret[40], out[256];
};

static int n_rets;

static void tell_ret(void)
{
	E(LD_MAP_VALUE(R1, results, 8 * n_rets), STX(BPF_DW, R1, R0, 0));
	n_rets++;
}

/* An array of one value, which programs can only read, if @constant */
static int map_of(const void *texts, size_t len, bool constant)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = constant ? BPF_F_RDONLY_PROG : 0);
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "texts", 4, TEXTS, 1, &opts);
	static char all[TEXTS];
	u32 zero = 0;

	memset(all, 0, sizeof(all));
	memcpy(all, texts, len);
	if (fd < 0 || map_update(fd, &zero, all) || (constant && bpf_map_freeze(fd)))
		bail("texts: %s", strerror(errno));
	return fd;
}

/* The lines of the trace, less what is before what was said */
static void read_trace(char *to, size_t size)
{
	FILE *f = fopen(TRACE, "r");
	char line[2048];
	size_t n = 0;

	to[0] = 0;
	while (f && fgets(line, sizeof(line), f)) {
		const char *said = strstr(line, "bpf_trace_printk: ");

		if (line[0] != '#')
			n += snprintf(to + n, size - n, "%s", said ? said + 18 : line);
	}
	fclose(f);
}

static void run(int prog, struct said *s)
{
	u32 zero = 0;
	u64 all[512] = {};

	close(open(TRACE, O_WRONLY | O_TRUNC | O_CLOEXEC));
	memset(s, 0, sizeof(*s));
	map_update(results, &zero, all);
	if (prog_run_once(prog) < 0)
		bail("no run");
	read_trace(s->text, sizeof(s->text));
	map_lookup(results, &zero, all);
	memcpy(s->ret, all, sizeof(s->ret));
	memcpy(s->out, all + 128, sizeof(s->out));
}

static int load(const struct prog_type *t)
{
	int fd = prog_load(t->type, "prints", insns, cnt);

	if (fd < 0)
		bail("%s: %s\n%s", t->name, strerror(errno), prog_log);
	return fd;
}

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
}

static const char *const words[] = { "same", "samf", "sam", "", "same and more" };
#define WORDS 2048	/* where these are, 32 bytes each */

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
	constants = map_of(text, sizeof(text), true);
	memset(text, 0, sizeof(text));
	strcpy(text, "a string");
	memset(text + 64, 'x', 490);
	memcpy(text + 1024, "\x0a\x01\x02\x03\x20\x01\x0d\xb8\0\0\0\0\0\0\0\x01", 16);
	strcpy(text + 2048, "same");
	data = map_of(text, sizeof(text), false);
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
		prog = load(t);
		if (level && moat_layer(prog) == NONE)
			bail("not isolated");
		run(prog, level ? &isolated : &plain);
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

static u64 symbol(const char *name)
{
	FILE *f = fopen("/proc/kallsyms", "r");
	char line[512], found[256];
	u64 addr = 0, at;

	while (f && !addr && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx %*c %255s", &at, found) == 2 && !strcmp(found, name))
			addr = at;
	fclose(f);
	return addr;
}

/* What is the kernel's, by each way that leads there */
static void of_the_kernel(void)
{
	u64 at = symbol("linux_banner"), text = symbol("bpf_prog_put");
	static const char *const formats[] = { "%s", "%pks", "%pI4", "%pi6", "%pS", "%ps", "%pB" };
	static char all[TEXTS];
	struct said s;
	size_t i;
	int prog;

	if (!at || !text)
		bail("no symbols");
	for (i = 0; i < ARRAY_SIZE(formats); i++)
		strcpy(all + 8 * i, formats[i]);
	close(constants);
	constants = map_of(all, sizeof(all), true);
	for (int level = 0; level <= 2; level++) {
		moat_set_level(level);
		for (i = 0; i < ARRAY_SIZE(formats); i++) {
			s64 refused = moat_counter("refused_prints");

			cnt = n_rets = 0;
			E(LD_MAP_VALUE(R1, constants, 8 * (int)i), MOV_IMM(R2, 8),
			  LD_IMM64(R3, i < 4 ? at : text), CALL(trace_printk));
			tell_ret();
			E(MOV_IMM(R0, 0), EXIT());
			prog = load(&sched_cls);
			run(prog, &s);
			if (level < 2)
				ok((s64)s.ret[0] > 0 && strlen(s.text) > 1, "%d: %s prints what is the kernel's",
				   level, formats[i]);
			else
				ok((s64)s.ret[0] == -EPERM && !s.text[0] &&
				   moat_counter("refused_prints") == refused + 1,
				   "%d: %s prints nothing of the kernel's, and is counted", level, formats[i]);
			close(prog);
		}
	}
}

/* What nobody verified: formats and strings that are not the program's */
static void not_its_own(void)
{
	u64 at = target("data");
	static const struct {
		const char *what;
		int arg;
	} calls[] = {
		{ "a format", 0 }, { "arguments", 1 }, { "a place to print to", 2 }, { "a string", 3 },
		{ "a format for snprintf", 4 },
	};
	size_t i;
	int prog;

	moat_set_level(2);
	bypass_verifier(true);
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		s64 violations = moat_counter("violations");
		u64 before;

		canary_reset();
		before = canary("data");
		cnt = n_rets = 0;
		switch (calls[i].arg) {
		case 0:
			E(LD_IMM64(R1, at), MOV_IMM(R2, 8), MOV_IMM(R3, 0), CALL(trace_printk));
			break;
		case 1:
			E(LD_MAP_VALUE(R1, constants, 0), MOV_IMM(R2, 8), LD_IMM64(R3, at),
			  MOV_IMM(R4, 8), CALL(trace_vprintk));
			break;
		case 2:
		case 4:
			E(LD_IMM64(R1, at), MOV_IMM(R2, 8), LD_MAP_VALUE(R3, constants, 0),
			  MOV_REG(R4, R10), ALU64_IMM(BPF_ADD, R4, -8), MOV_IMM(R5, 8));
			if (calls[i].arg == 4)
				E(LD_MAP_VALUE(R1, results, 0), LD_IMM64(R3, at));
			E(CALL(snprintf));
			break;
		default:
			E(LD_MAP_VALUE(R1, data, 0), MOV_IMM(R2, 4), LD_IMM64(R3, at), CALL(strncmp));
		}
		E(MOV_IMM(R0, 0), EXIT());
		prog = load(&sched_cls);
		ok(prog_run_once(prog) == sched_cls.safe &&
		   moat_counter("violations") == violations + 1 && canary("data") == before,
		   "2: %s that is not the program's stops it", calls[i].what);
		close(prog);
	}
	bypass_verifier(false);
}

/*
 * The format changes between the look that finds what its arguments are and the one that
 * prints: numbers are strings then, at an address of the program's choice.
 */
static volatile bool changing;

static void *change(void *arg)
{
	static char one[TEXTS], other[TEXTS];
	int map = *(int *)arg;
	u32 zero = 0;

	strcpy(one, "%d %d");
	strcpy(other, "%s %s");
	while (changing) {
		map_update(map, &zero, one);
		map_update(map, &zero, other);
	}
	return NULL;
}

static void changing_format(void)
{
	int formats = map_of("%d %d", 6, false), prog, i;
	s64 violations = moat_counter("violations");
	pthread_t thread;

	moat_set_level(2);
	cnt = n_rets = 0;
	E(LD_MAP_VALUE(R1, formats, 0), MOV_IMM(R2, 6), LD_MAP_VALUE(R3, data, 0),
	  LD_MAP_VALUE(R4, data, 0), CALL(trace_printk));
	tell_ret();
	E(MOV_IMM(R0, 0), EXIT());
	prog = load(&sched_cls);
	changing = true;
	pin_to_cpu(0);
	if (pthread_create(&thread, NULL, change, &formats))
		bail("no thread");
	for (i = 0; i < 3000; i++)
		prog_run_once(prog);
	changing = false;
	pthread_join(thread, NULL);
	ok(moat_counter("violations") == violations, "2: a format that changes is one or the other");
	close(prog);
	close(formats);
}

int main(void)
{
	if (!moat_present())
		skip_all("no moat.ko");
	results = map_of("", 1, false);
	make_texts();
	pin_to_cpu(0);
	/* The kernel turns the tracepoint on a little after the first load. */
	cnt = 0;
	E(LD_MAP_VALUE(R1, constants, 0), MOV_IMM(R2, 7), CALL(trace_printk), MOV_IMM(R0, 0), EXIT());
	close(load(&xdp));
	usleep(300000);
	same(&xdp);
	same(&sched_cls);
	same(&socket_filter);
	same(&cgroup_skb);
	if (test_kernel()) {
		of_the_kernel();
		not_its_own();
	}
	changing_format();
	return finish();
}
