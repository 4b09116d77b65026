// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "prints.h"

#define TRACE "/sys/kernel/tracing/trace"

int results, n_rets;

void tell_ret(void)
{
	E(LD_MAP_VALUE(R1, results, 8 * n_rets), STX(BPF_DW, R1, R0, 0));
	n_rets++;
}

int prints_map(const void *texts, size_t len, bool constant)
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

void prints_run(int prog, struct said *s)
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

int prints_load(const struct prog_type *t)
{
	int fd = prog_load(t->type, "prints", insns, cnt);

	if (fd < 0)
		bail("%s: %s\n%s", t->name, strerror(errno), prog_log);
	return fd;
}

void prints_begin(void)
{
	int text = prints_map("a text", 7, true);

	results = prints_map("", 1, false);
	pin_to_cpu(0);
	/* The kernel turns the tracepoint on a little after the first load. */
	cnt = 0;
	E(LD_MAP_VALUE(R1, text, 0), MOV_IMM(R2, 7), CALL(trace_printk), MOV_IMM(R0, 0), EXIT());
	close(prints_load(&xdp));
	close(text);
	usleep(300000);
}
