// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 keys=13,0 full=1 timeout=300 */
/*
 * When memory runs out, is that what is said? Each allocation of a load fails in turn:
 * the load fails with ENOMEM, or what else the kernel says without MOAT (its JIT has
 * ENOTSUPP for all that can go wrong), or goes on without; nothing is counted as refused,
 * and with strict=0 nothing runs plainly. The same for maps that go into maps of maps.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "moat_test.h"

#define MOST 2000

/* What the kernel says without MOAT */
static bool usual[1024] = { [ENOMEM] = true };

static int outer, inner, values, hash, sockets[2];

/* What is tried returns a descriptor to be closed, 0, or -1 with errno. */

/* Context, packet, maps, helpers and a function: all that a program can ask for */
static int rich(void)
{
	const struct bpf_insn insns[] = {
		MOV_REG(R6, R1),
		LDX(BPF_W, R7, R1, offsetof(struct __sk_buff, len)),
		STX(BPF_W, R1, R7, offsetof(struct __sk_buff, mark)),
		LDX(BPF_W, R2, R1, offsetof(struct __sk_buff, data)),
		LDX(BPF_W, R3, R1, offsetof(struct __sk_buff, data_end)),
		MOV_REG(R4, R2),
		ALU64_IMM(BPF_ADD, R4, 14),
		JMP_REG(BPF_JGT, R4, R3, 1),
		STX(BPF_B, R2, R7, 0),
		LOOK_UP_0(hash),
		LD_MAP_VALUE(R1, values, 0),
		STX(BPF_DW, R1, R7, 0),
		CALL_REL(2),
		MOV_IMM(R0, 0),
		EXIT(),
		CALL(ktime_get_ns),
		EXIT(),
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts);

	return bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "rich", "GPL", insns, ARRAY_SIZE(insns),
			     &opts);
}

static int user_of_maps(void)
{
	const struct bpf_insn insns[] = {
		LOOK_UP_0(outer),
		MOV_IMM(R0, 2),
		EXIT(),
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts);

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "of_maps", "GPL", insns, ARRAY_SIZE(insns), &opts);
}

static int classic(void)
{
	struct sock_filter insns[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 8),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_MARK),
		BPF_STMT(BPF_RET | BPF_K, 1),
	};
	struct sock_fprog prog = { ARRAY_SIZE(insns), insns };

	return setsockopt(sockets[1], SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
}

/* It stays, on top of those before. */
static int of_seccomp(void)
{
	struct sock_filter insns[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { ARRAY_SIZE(insns), insns };

	return syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog);
}

static int put_in(void)
{
	u32 zero = 0;

	return map_update(outer, &zero, &inner);
}

static void take_out(void)
{
	u32 zero = 0;

	if (map_delete(outer, &zero))
		bail("a map does not leave a map of maps: %s", strerror(errno));
}

static void try(const char *what, int (*attempt)(void), bool program, bool all)
{
	s64 refused = moat_counter("refused"), plain = moat_counter("plain");
	s64 refused_maps = moat_counter("refused_maps"), no_memory = moat_counter("no_memory");
	int n, fd, err, failed = 1, enomem = 0, others = 0, well = 0, wrong = 0;

	for (n = 0; failed && n < MOST; n++) {
		fail_alloc(n, all ? "all" : "");
		fd = attempt();
		err = errno;
		fail_alloc(-1, "");
		failed = failed_allocs();
		if (fd >= 0) {
			well++;
			if (program && moat_layer(fd) == NONE) {
				wrong++;
				diag("%s: allocation %d: it runs plainly", what, n);
			}
			if (fd)
				close(fd);
			/* Or there would be nothing left to do the next time. */
			if (attempt == put_in)
				take_out();
		} else if (err == ENOMEM) {
			enomem++;
		} else if (usual[err]) {
			others++;
		} else {
			wrong++;
			diag("%s: allocation %d: %s", what, n, strerror(err));
		}
	}
	diag("%s: %s of %d allocations", what, all ? "from one on all" : "one", n - 1);
	ok(!failed && !wrong && enomem,
	   "%s: %d times ENOMEM, %d what is usual, %d nothing, %d something else", what, enomem,
	   others, well, wrong);
	ok(moat_counter("refused") == refused && moat_counter("plain") == plain &&
	   moat_counter("refused_maps") == refused_maps,
	   "%s: nothing is refused, nothing plain", what);
	if (!ok(moat_counter("no_memory") > no_memory, "%s: it is counted as what it is (%ld)",
		what, moat_counter("no_memory") - no_memory))
		diag("%ld refused, %ld plain", moat_counter("refused") - refused,
		     moat_counter("plain") - plain);
}

/* With nothing isolated: which errors does the kernel have? */
static void plainly(int (*attempt)(void))
{
	int fd, failed = 1;

	for (int n = 0; failed && n < MOST; n++) {
		fail_alloc(n, "");
		fd = attempt();
		if (fd < 0 && errno < (int)ARRAY_SIZE(usual))
			usual[errno] = true;
		fail_alloc(-1, "");
		failed = failed_allocs();
		if (fd > 0)
			close(fd);
	}
}

static void try_all(bool strict)
{
	int prog;

	diag("strict=%d", strict);
	moat_set_strict(strict);
	for (int all = 0; all < 2; all++) {
		try("a program", rich, true, all);
		try("a user of a map of maps", user_of_maps, true, all);
		try("a classic filter", classic, false, all);
		try("a filter of seccomp's", of_seccomp, false, all);
		prog = user_of_maps();
		if (prog < 0)
			bail("a user of a map of maps: %s", strerror(errno));
		try("a map into a map of maps", put_in, false, all);
		close(prog);
	}
}

int main(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	int other, prog;
	u32 one = 1;

	if (!moat_present())
		skip_all("no MOAT");
	if (!can_fail_allocs())
		skip_all("not the test kernel");
	pin_to_cpu(0);

	inner = map_create(BPF_MAP_TYPE_HASH, 4, 8, 1);
	other = map_create(BPF_MAP_TYPE_HASH, 4, 8, 1);
	opts.inner_map_fd = inner;
	outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "outer", 4, 4, 4, &opts);
	values = map_of_words(0);
	hash = map_create(BPF_MAP_TYPE_HASH, 4, 8, 16);
	if (outer < 0 || hash < 0 || map_update(outer, &one, &other) ||
	    socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets))
		bail("maps and sockets: %s", strerror(errno));
	moat_set_level(0);
	plainly(rich);
	plainly(user_of_maps);
	plainly(classic);
	plainly(of_seccomp);
	ok(!usual[EACCES] && !usual[0], "without MOAT nothing is refused");
	moat_set_level(2);
	try_all(true);
	try_all(false);
	moat_set_strict(true);

	prog = rich();
	ok(prog >= 0 && moat_layer(prog) != NONE, "with memory it is isolated (%s)",
	   strerror(errno));
	return finish();
}
