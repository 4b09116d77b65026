// SPDX-License-Identifier: GPL-2.0
/*
 * Bugs by which helpers write to a map that the program may only read, and which the
 * verifier may take for constant.
 */
#include <errno.h>
#include <linux/unistd.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "attack.h"
#include "bugs.h"

/* 7, of the text "7" */
static void by_strtol(int map)
{
	E(ST(BPF_DW, R10, -8, '7'),
	  MOV_REG(R1, R10),
	  ALU64_IMM(BPF_ADD, R1, -8),
	  MOV_IMM(R2, 2),
	  MOV_IMM(R3, 0),
	  LD_MAP_VALUE(R4, map, 0),
	  CALL(strtol));
}

/* A byte of the packet; the verifier does not know that it is one. */
static void by_load_bytes(int map)
{
	E(LDX(BPF_W, R4, R1, offsetof(struct xdp_md, rx_queue_index)),
	  ALU64_IMM(BPF_AND, R4, 7),
	  ALU64_IMM(BPF_ADD, R4, 1),
	  MOV_IMM(R2, 0),
	  LD_MAP_VALUE(R3, map, 0),
	  CALL(xdp_load_bytes));
}

static const struct {
	struct bug bug;
	const char *helper;
	int argument;
	void (*write)(int map);
	u64 was, is;	/* in the map */
} rows[] = {
	{ { .cve = "CVE-2024-49861", .family = "helpers", .fixed = "6.1.120",
	    .wrong = "which memory helpers write to", .t = &xdp },
	  "strtol", 4, by_strtol, 1, 7 },
	{ { .cve = "CVE-2024-50164", .family = "helpers", .fixed = "6.1.125",
	    .wrong = "the same, of sizes it does not know", .t = &xdp },
	  "xdp_load_bytes", 3, by_load_bytes, 1, 0 },
};

static int load_row(int row, const char *name, int map)
{
	cnt = 0;
	rows[row].write(map);
	E(MOV_IMM(R0, xdp.pass), EXIT());
	return prog_load(xdp.type, name, insns, cnt);
}

static void read_only(int row, const char *name)
{
	const struct bug *bug = &rows[row].bug;
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_ARRAY,
		.key_size = 4, .value_size = 8, .max_entries = 1,
		.map_flags = BPF_F_RDONLY_PROG,
	};
	int map = syscall(__NR_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)), fd;
	s64 violations = moat_counter("violations"), verdict;
	u32 zero = 0;

	if (map < 0 || map_update(map, &zero, &rows[row].was))
		bail("map: %s", strerror(errno));
	fd = load_row(row, "fixed", map);
	ok(fd < 0 && errno == EACCES, "%d: %s: refused without the bug", level, bug->cve);
	close(fd);
	put_back(bug, true);
	fd = load_row(row, name, map);
	put_back(bug, false);
	if (!ok(fd >= 0, "%d: %s: the verifier accepts it", level, bug->cve))
		diag("%s", prog_log);
	kmsg_mark();
	verdict = prog_run_once(fd);
	if (!level) {
		if (ok(verdict == xdp.pass && slot(map, 0) == rows[row].is,
		       "0: %s: what is read-only is changed", bug->cve))
			bug_lost(bug, "a read-only map written by a helper");
	} else {
		char by[64], says[64];

		snprintf(by, sizeof(by), "the audit of `%s` (argument %d)", rows[row].helper,
			 rows[row].argument);
		ok(verdict == xdp.safe && slot(map, 0) == rows[row].was,
		   "%d: %s: stopped, what is read-only is not changed", level, bug->cve);
		snprintf(says, sizeof(says), "argument %d is memory it may only read",
			 rows[row].argument);
		if (ok(reported(kmsg_stopped(fd, name), rows[row].helper, 0) &&
		       kmsg_find(name, says), "%d: %s: reported", level, bug->cve))
			bug_stopped(bug, by);
		ok(moat_counter("violations") == violations + 1, "%d: %s: that is counted", level,
		   bug->cve);
		ok(others_run(), "%d: %s: other programs run as before", level, bug->cve);
	}
	close(fd);
	close(map);
}

void maps(const char *only)
{
	char name[16];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!is_chosen(&rows[i].bug, only))
			continue;
		name_of(&rows[i].bug, name);
		read_only(i, name);
	}
}
