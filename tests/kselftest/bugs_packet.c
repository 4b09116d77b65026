// SPDX-License-Identifier: GPL-2.0
/*
 * CVE-2024-58098: pointers to a packet that a function has given away.
 *
 * A global function is verified on its own. This one sends a clone of the packet; the clone
 * keeps the memory, the packet gets a copy. The program goes on with the pointer that it
 * had. At level 0 it reads and changes what is sent; isolated it has no address of that,
 * and the pointer is one to the packet, as the program has it.
 *
 * CVE-2024-58100 and CVE-2024-58237 do the same by programs that replace functions and by
 * tail calls: test_stale_packets.
 */
#include <bpf/btf.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "attack.h"
#include "bugs.h"
#include "packets.h"

#define FRAME 64
#define AT 32

static const struct bug stale = {
	.cve = "CVE-2024-58098", .family = "pointer types", .fixed = "no 6.1.y",
	.wrong = "pointers to a packet that a function has sent", .t = &sched_cls,
};

static void data(int reg)
{
	E(LDX(BPF_W, reg, R6, offsetof(struct __sk_buff, data)),
	  LDX(BPF_W, R3, R6, offsetof(struct __sk_buff, data_end)),
	  MOV_REG(R2, reg),
	  ALU64_IMM(BPF_ADD, R2, FRAME),
	  JMP_REG(BPF_JLE, R2, R3, 2),
	  MOV_IMM(R0, sched_cls.safe),
	  EXIT());
}

/* What the function does */
enum function { SENDS, HAS_IT_SENT, LETS_IT_BE };

static int load_stale(const char *name, bool write, enum function function)
{
	struct bpf_func_info functions[3] = {};
	u32 ids[2];
	struct btf *btf = types(ids);
	union bpf_attr attr = {
		.prog_type = sched_cls.type,
		.insns = (uintptr_t)insns,
		.license = (uintptr_t)"GPL",
		.log_buf = (uintptr_t)prog_log,
		.log_size = sizeof(prog_log),
		.log_level = 1,
		.prog_btf_fd = btf__fd(btf),
		.func_info = (uintptr_t)functions,
		.func_info_cnt = function == HAS_IT_SENT ? 3 : 2,
		.func_info_rec_size = sizeof(functions[0]),
	};
	int call, fd, err;

	cnt = 0;
	E(MOV_REG(R6, R1));
	data(R8);
	E(MOV_REG(R1, R6),
	  CALL_REL(0));
	call = cnt - 1;
	if (!write)
		data(R9);
	E(LD_IMM64(R4, MARK));
	if (write)
		E(STX(BPF_DW, R8, R4, AT));
	else
		E(STX(BPF_DW, R9, R4, AT),
		  LDX(BPF_DW, R4, R8, AT),
		  LD_MAP_VALUE(R7, mine, 0),
		  STX(BPF_DW, R7, R4, 8 * GOT));
	E(MOV_IMM(R0, sched_cls.pass),
	  EXIT());
	insns[call].imm = cnt - call - 1;
	functions[0].type_id = ids[STATIC];
	functions[1].type_id = ids[GLOBAL];
	functions[1].insn_off = cnt;
	if (function == HAS_IT_SENT) {
		E(CALL_REL(1),
		  EXIT());
		functions[2].type_id = ids[STATIC];
		functions[2].insn_off = cnt;
	}
	if (function == LETS_IT_BE)
		E(CALL(ktime_get_ns));
	else
		E(MOV_IMM(R2, if_nametoindex("lo")),
		  MOV_IMM(R3, 0),
		  CALL(clone_redirect));
	E(EXIT());

	strcpy(attr.prog_name, name);
	attr.insn_cnt = cnt;
	prog_log[0] = 0;
	fd = syscall(__NR_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	err = errno;
	btf__free(btf);
	errno = err;
	return fd;
}

static void run_stale(int fd, bool write)
{
	u64 zeros[WORDS] = {}, was, own, sent = 0;
	s64 violations = moat_counter("violations");
	const char *way = write ? "write" : "read", *not = level ? "not " : "";
	u8 in[FRAME], out[FRAME], frame[FRAME] = {};
	struct run run = {
		.data_in = in, .data_in_size = FRAME, .data_out = out, .data_out_size = FRAME,
	};
	int s = frame_socket("lo");
	u32 zero = 0;
	bool held;

	frame_fill(in, FRAME, 1);
	memcpy(&was, in + AT, 8);
	map_update(mine, &zero, zeros);
	if (prog_run(fd, &run))
		bail("run: %s", strerror(errno));
	memcpy(&own, out + AT, 8);
	if (frame_receive(s, frame, FRAME) == FRAME)
		memcpy(&sent, frame + AT, 8);
	close(s);
	ok(run.retval == sched_cls.pass && moat_counter("violations") == violations,
	   "%d: %s, %s: runs", level, stale.cve, way);
	if (write)
		held = ok(sent == (level ? was : MARK) && own == (level ? MARK : was),
			  "%d: %s, write: what is sent is %schanged", level, stale.cve, not);
	else
		held = ok(slot(mine, GOT) == (level ? MARK : was) && sent == was && own == MARK,
			  "%d: %s, read: what is sent is %sread", level, stale.cve, not);
	if (held && !level)
		bug_lost(&stale, write ? "a packet of others written" : "a packet of others read");
	else if (held && level == 2)
		bug_stopped(&stale, "the copy of the packet, which is what it reaches");
	diag("was %lx: sent %lx, own %lx, got %lx", was, sent, own, slot(mine, GOT));
}

void packets(const char *only)
{
	char name[16];
	int write, fd;

	if (!is_chosen(&stale, only))
		return;
	if (access("/sys/kernel/btf/vmlinux", F_OK)) {
		skip("a kernel without BTF has no global function with a context", "%d: %s", level,
		     stale.cve);
		return;
	}
	name_of(&stale, name);
	for (write = 0; write < 2; write++) {
		fd = load_stale("fixed", write, SENDS);
		ok(fd < 0 && errno == EACCES, "%d: %s, %s: refused without the bug", level,
		   stale.cve, write ? "write" : "read");
		close(fd);
		fd = load_stale("fixed", write, HAS_IT_SENT);
		ok(fd < 0 && errno == EACCES, "%d: %s, %s: by a function of the function, too",
		   level, stale.cve, write ? "write" : "read");
		close(fd);
		fd = load_stale("fixed", write, LETS_IT_BE);
		ok(fd >= 0, "%d: %s, %s: not if the packet is what it was", level, stale.cve,
		   write ? "write" : "read");
		close(fd);
		put_back(&stale, true);
		fd = load_stale(name, write, SENDS);
		put_back(&stale, false);
		if (!ok(fd >= 0, "%d: %s, %s: the verifier accepts it", level, stale.cve,
			write ? "write" : "read"))
			diag("%s", prog_log);
		else
			run_stale(fd, write);
		close(fd);
	}
}
