// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,1,0 timeout=300 */
/*
 * Does it matter that the verifier or the JIT has a bug?
 *
 * Here by bugs that Linux once had, which the test kernel puts back. Each has a program
 * that comes by a number which the verifier takes for 0 and which is 1. With that as a
 * factor, anything is 0 to the verifier, too: the distance from the program's own memory
 * to the canary, which is then added to the pointer.
 *
 * Without the bug the verifier refuses the program, or the number is 0 after all. With it
 * the program is accepted; at level 0 it reads the canary, writes it, and has a helper
 * write it; at level 1 it only reads, at level 2 none of that.
 *
 * The JIT's bug makes the number 1 by a jump to another instruction than the one meant;
 * into the middle of one, MOAT refuses the image (bugs_jit.c). For one bug a map is frozen
 * too early, and the number in it changes (bugs_frozen.c). Other bugs lead to maps that
 * are read-only (bugs_maps.c) or to packets that were given away (bugs_packet.c).
 */
#include <bpf/btf.h>
#include <errno.h>
#include <linux/unistd.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "attack.h"
#include "bugs.h"

/* What is done to the canary */
enum way { READ, WRITE, HELPER, WAYS };

static const char *const way_name[] = { "read", "write", "helper" };
static const char *const done[] = { "read", "written", "written by a helper" };

void put_back(const struct bug *bug, bool back)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/kernel/debug/moat_test/bugs/%.*s",
		 (int)strcspn(bug->cve, ","), bug->cve);
	if (write_file(path, "%d", back))
		bail("%s: %s", path, strerror(errno));
}

bool is_chosen(const struct bug *bug, const char *only)
{
	return !only || !strncmp(bug->cve, only, strcspn(bug->cve, ","));
}

void name_of(const struct bug *bug, char name[16])
{
	snprintf(name, 16, "bug_%.*s", (int)strcspn(bug->cve, ",") - 4, bug->cve + 4);
	*strchr(name, '-') = '_';
}

/* Without types of functions none may use LD_ABS, and none is global. */
struct btf *types(u32 ids[2])
{
	struct btf *btf = btf__new_empty();
	int number = btf__add_int(btf, "int", 4, BTF_INT_SIGNED);
	int context = btf__add_ptr(btf, btf__add_struct(btf, "__sk_buff", 0));
	int proto = btf__add_func_proto(btf, number);

	btf__add_func_param(btf, "skb", context);
	ids[STATIC] = btf__add_func(btf, "s", BTF_FUNC_STATIC, proto);
	ids[GLOBAL] = btf__add_func(btf, "g", BTF_FUNC_GLOBAL, proto);
	if (btf__load_into_kernel(btf))
		bail("BTF: %s", strerror(errno));
	return btf;
}

/* The program of @bug, which goes to what VICTIM says. */
static int load_for(const struct bug *bug, const char *name, enum way way)
{
	union bpf_attr attr = {
		.prog_type = bug->t->type,
		.insns = (uintptr_t)insns,
		.license = (uintptr_t)"GPL",
		.log_buf = (uintptr_t)prog_log,
		.log_size = sizeof(prog_log),
		.log_level = 1,
		.prog_flags = bug->flags,
	};
	struct bpf_func_info functions[2] = {};
	struct btf *btf = NULL;
	u32 ids[2];
	int fd, err;

	if (bug->before)
		bug->before();
	cnt = 0;
	E(LD_MAP_VALUE(R7, mine, 0),
	  STX(BPF_DW, R10, R1, -16));
	bug->number();
	E(LD_MAP_VALUE(R7, mine, 0),
	  /* how far from where it sees its own memory, which is elsewhere at each level */
	  STX(BPF_DW, R7, R7, 8 * SELF),
	  GIVEN(R3, SELF),
	  GIVEN(R8, VICTIM),
	  ALU64_REG(BPF_SUB, R8, R3),
	  ALU64_REG(BPF_MUL, R8, R6),
	  MOV_REG(R9, R7),
	  ALU64_REG(BPF_ADD, R9, R8));
	if (way == READ)
		E(LDX(BPF_DW, R3, R9, 0),
		  STX(BPF_DW, R7, R3, 8 * GOT));
	else if (way == WRITE)
		E(LD_IMM64(R3, MARK),
		  STX(BPF_DW, R9, R3, 0));
	else
		E(LDX(BPF_DW, R1, R10, -16),
		  MOV_IMM(R2, 0),
		  MOV_REG(R3, R9),
		  MOV_IMM(R4, 8),
		  bug->t == &xdp ? CALL(xdp_load_bytes) : CALL(skb_load_bytes));
	E(MOV_IMM(R3, 1),
	  STX(BPF_DW, R7, R3, 8 * WENT_ON),
	  MOV_IMM(R0, bug->t->pass),
	  EXIT());
	if (bug->function) {
		insns[call_at].imm = cnt - call_at - 1;
		functions[1].insn_off = cnt;
		bug->function();
		btf = types(ids);
		functions[0].type_id = ids[STATIC];
		functions[1].type_id = ids[STATIC];
		attr.prog_btf_fd = btf__fd(btf);
		attr.func_info = (uintptr_t)functions;
		attr.func_info_cnt = ARRAY_SIZE(functions);
		attr.func_info_rec_size = sizeof(functions[0]);
	}

	strcpy(attr.prog_name, name);
	attr.insn_cnt = cnt;
	prog_log[0] = 0;
	fd = syscall(__NR_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	err = errno;
	if (bug->after)
		bug->after();
	btf__free(btf);
	errno = err;
	return fd;
}

static void give(const struct bug *bug)
{
	u64 given[WORDS] = {
		[VICTIM] = target("data"), [VALUE] = bug->value, [OTHER] = bug->other,
	};
	u32 zero = 0;

	if (map_update(mine, &zero, given))
		bail("map: %s", strerror(errno));
	canary_reset();
}

/* What MOAT's @report of a stop at level 2 says that stopped it */
static void stopped_by(const struct bug *bug, enum way way, const char *access, const char *report)
{
	const char *argument = report ? strstr(report, " argument ") : NULL;
	char by[64];
	int n;

	if (way < HELPER && report && strstr(report, "(key)"))
		bug_stopped(bug, "PKRS");
	else if (argument && sscanf(argument, " argument %d", &n) == 1) {
		snprintf(by, sizeof(by), "the audit of `%s` (argument %d)", access, n);
		bug_stopped(bug, by);
	}
}

/* Runs @fd, which has to be let through, or stopped on its way to the canary. */
static void run(const struct bug *bug, int fd, const char *name, enum way way, bool stopped)
{
	const char *access = way < HELPER ? way_name[way] :
			     bug->t == &xdp ? "xdp_load_bytes" : "skb_load_bytes";
	s64 violations = moat_counter("violations"), verdict;
	u64 was, is;
	bool landed;

	give(bug);
	was = canary("data");
	kmsg_mark();
	verdict = prog_run_once(fd);
	if (!ok(verdict == (stopped ? bug->t->safe : bug->t->pass) &&
		slot(mine, WENT_ON) == !stopped, "%d: %s, %s: %s", level, bug->cve,
		way_name[way], stopped ? "stopped" : "runs"))
		diag("verdict %ld", verdict);
	is = canary("data");
	/* The packet is zeros. */
	landed = way == READ ? slot(mine, GOT) == was : is == (way == WRITE ? MARK : 0);
	if (!ok(stopped ? is == was && !slot(mine, GOT) : landed, "%d: %s, %s: the canary is %s",
		level, bug->cve, way_name[way],
		stopped ? "neither read nor changed" : way == READ ? "read" : "changed"))
		diag("canary %lx, now %lx; got %lx", was, is, slot(mine, GOT));
	if (!level) {
		if (landed)
			bug_lost(bug, done[way]);
		return;
	}
	if (stopped) {
		const char *report = kmsg_stopped(fd, name);

		ok(reported(report, access, target("data")), "%d: %s, %s: reported", level,
		   bug->cve, way_name[way]);
		if (level == 2)
			stopped_by(bug, way, access, report);
	}
	ok(moat_counter("violations") == violations + stopped, "%d: %s, %s: %s counted", level,
	   bug->cve, way_name[way], stopped ? "that is" : "nothing is");
}

static void with(const struct bug *bug, enum way way)
{
	char name[16];
	int fd, err;

	name_of(bug, name);
	kmsg_mark();
	put_back(bug, true);
	fd = load_for(bug, name, way);
	err = errno;
	put_back(bug, false);
	if (level && bug->refused) {
		const char *told = kmsg_find(name, bug->refused);

		if (!ok(fd < 0 && err == EINVAL && told, "%d: %s, %s: refused", level, bug->cve,
			way_name[way]))
			diag("%s", strerror(err));
		else
			bug_stopped(bug, "the check of jump targets, at load");
		diag("%s", told ?: "nothing in the log");
		close(fd);
		return;
	}
	if (!ok(fd >= 0, "%d: %s, %s: the verifier accepts it", level, bug->cve, way_name[way])) {
		diag("%s\n%s", strerror(err), prog_log);
		return;
	}
	run(bug, fd, name, way, level == 2 || (level == 1 && way != READ));
	close(fd);
	if (level)
		ok(others_run(), "%d: %s, %s: other programs run as before", level, bug->cve,
		   way_name[way]);
}

static void without(const struct bug *bug, enum way way)
{
	int fd = load_for(bug, "fixed", way), err = errno;
	u64 was;

	if (bug->jit) {
		if (!ok(fd < 0 && err == 524 /* ENOTSUPP */, "%d: %s, %s: no image without the bug",
			level, bug->cve, way_name[way]))
			diag("%d, %s\n%s", fd, strerror(err), prog_log);
	} else if (!bug->harmless) {
		ok(fd < 0 && (err == EACCES || err == EINVAL) && *prog_log,
		   "%d: %s, %s: refused without the bug", level, bug->cve, way_name[way]);
	} else {
		give(bug);
		was = canary("data");
		ok(fd >= 0 && prog_run_once(fd) == bug->t->pass && slot(mine, WENT_ON) &&
		   canary("data") == was && slot(mine, GOT) != was,
		   "%d: %s, %s: harmless without the bug", level, bug->cve, way_name[way]);
	}
	close(fd);
}

int main(int argc, char **argv)
{
	enum way way;
	size_t i;

	if (!test_kernel())
		skip_all("needs the test kernel");
	pin_to_cpu(0);
	loot = array_of(128);
	mine = array_of(8 * WORDS);
	for (level = 0; level <= 2; level++) {
		if (!moat_set_level(level)) {
			skip("no moat.ko", "level %d", level);
			continue;
		}
		for (i = 0; i < nr_bugs; i++) {
			if (!is_chosen(&bugs[i], argv[1]))
				continue;
			for (way = READ; way < WAYS; way++) {
				without(&bugs[i], way);
				with(&bugs[i], way);
			}
		}
		maps(argv[1]);
		packets(argv[1]);
	}
	canary_reset();
	print_bugs();
	return finish();
}
