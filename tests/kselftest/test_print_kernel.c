// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,0 timeout=240 */
/*
 * Do programs print what the kernel has: strings and addresses of IP elsewhere, names of what
 * lies at an address, or what a format says that changes while it is looked at? What helpers
 * that print are given and is not the program's stops it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "prints.h"

/* Where texts are: constants, and what is only data */
static int constants, data;

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
	constants = prints_map(all, sizeof(all), true);
	for (int level = 0; level <= 2; level++) {
		moat_set_level(level);
		for (i = 0; i < ARRAY_SIZE(formats); i++) {
			s64 refused = moat_counter("refused_prints");

			cnt = n_rets = 0;
			E(LD_MAP_VALUE(R1, constants, 8 * (int)i), MOV_IMM(R2, 8),
			  LD_IMM64(R3, i < 4 ? at : text), CALL(trace_printk));
			tell_ret();
			E(MOV_IMM(R0, 0), EXIT());
			prog = prints_load(&sched_cls);
			prints_run(prog, &s);
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
		prog = prints_load(&sched_cls);
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
	int formats = prints_map("%d %d", 6, false), prog, i;
	s64 violations = moat_counter("violations");
	pthread_t thread;

	moat_set_level(2);
	cnt = n_rets = 0;
	E(LD_MAP_VALUE(R1, formats, 0), MOV_IMM(R2, 6), LD_MAP_VALUE(R3, data, 0),
	  LD_MAP_VALUE(R4, data, 0), CALL(trace_printk));
	tell_ret();
	E(MOV_IMM(R0, 0), EXIT());
	prog = prints_load(&sched_cls);
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
	if (!test_kernel())
		skip_all("needs the test kernel");
	prints_begin();
	data = prints_map("a string", 9, false);
	of_the_kernel();
	not_its_own();
	changing_format();
	return finish();
}
