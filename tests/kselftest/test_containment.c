// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,1,0 timeout=300 */
/*
 * Can a program that no verifier looked at reach memory that is not its own?
 *
 * Each attack runs twice. At level 0 it must succeed, or it proves nothing: the
 * value read is the canary, the write is seen there. At level 2 it must be
 * stopped with the type's safe verdict, stay stopped, be reported with program,
 * id, access and address, leave the canary alone, and a well-behaved program
 * must run as before. Attacks that would kill the kernel at level 0 are run
 * here at level 2 only; test_oops shows their other side.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "moat_test.h"

#define MARK 0x5eed5eed5eed5eedULL
#define DONE 0x0d0e0d0e0d0e0d0eULL

/* Where attackers leave what they got: [0] a value, [1] DONE. */
static int loot;
static int level;

static u64 loot_at(u32 i)
{
	u64 v[16] = {};
	u32 zero = 0;

	map_lookup(loot, &zero, v);
	return v[i];
}

static void loot_clear(void)
{
	u64 v[16] = {};
	u32 zero = 0;

	map_update(loot, &zero, v);
}

static int array_of(u32 size)
{
	int fd = map_create(BPF_MAP_TYPE_ARRAY, 4, size, 1);

	if (fd < 0)
		bail("map: %s", strerror(errno));
	return fd;
}

static u64 slot(int map, u32 i)
{
	u64 v[16] = {};
	u32 zero = 0;

	map_lookup(map, &zero, v);
	return v[i];
}

static int load(const struct prog_type *t, const char *name,
		const struct bpf_insn *insns, size_t cnt)
{
	int fd = prog_load(t->type, name, insns, cnt);

	if (fd < 0)
		diag("%s: load: %s\n%s", name, strerror(errno), prog_log);
	return fd;
}

/* A program with nothing wrong with it, isolated at the level of the moment. */
static bool others_run(void)
{
	struct bpf_insn insns[] = {
		LD_MAP_VALUE(R1, loot, 120),
		MOV_IMM(R2, 1),
		ATOMIC(BPF_DW, BPF_ADD, R1, R2, 0),
		MOV_IMM(R0, 2),
		EXIT(),
	};
	int fd = load(&xdp, "good", insns, ARRAY_SIZE(insns));
	u64 before = loot_at(15);
	bool good = fd >= 0 && prog_run_once(fd) == 2 && loot_at(15) == before + 1;

	close(fd);
	return good;
}

/*
 * @line says what was stopped. With @access "read" or "write" it must name that
 * and, unless it is ANYWHERE, the address; else the helper that @access names.
 */
#define ANYWHERE 1
#define RETURN "return to an unknown place"
static bool reported(const char *line, const char *access, u64 addr)
{
	char want[64];
	const char *at;
	u64 seen;

	if (!line) {
		diag("nothing in the log");
		return false;
	}
	diag("%s", line);
	if (!strcmp(access, RETURN))
		return strstr(line, access);
	if (strcmp(access, "read") && strcmp(access, "write")) {
		snprintf(want, sizeof(want), "helper %s argument ", access);
		return strstr(line, want);
	}
	snprintf(want, sizeof(want), ": %s of ", access);
	at = strstr(line, want);
	if (!at)
		return false;
	seen = strtoull(at + strlen(want), NULL, 16);
	return addr == ANYWHERE || seen - addr < 8;
}

/* Runs @fd, which must be stopped as @access of @addr, and stay dead. */
static void must_be_stopped(const struct prog_type *t, int fd, const char *name,
			    const char *access, u64 addr, struct run *run, const char *what)
{
	s64 violations = moat_counter("violations");
	bool err;

	kmsg_mark();
	err = prog_run(fd, run);
	ok(!err && run->retval == t->safe, "2: %s: stopped with the safe verdict", what);
	if (err || run->retval != t->safe)
		diag("%s, verdict %u, expected %u", err ? strerror(errno) : "ran",
		     run->retval, t->safe);
	ok(reported(kmsg_stopped(fd, name), access, addr), "2: %s: reported", what);
	ok(moat_counter("violations") == violations + 1, "2: %s: counted", what);
	err = prog_run(fd, run);
	ok(!err && run->retval == t->safe && moat_counter("violations") == violations + 1,
	   "2: %s: stays dead", what);
}

static void run_packet(struct run *run, u32 size)
{
	static u8 in[2048], out[4096];

	memset(in, 0xab, sizeof(in));
	*run = (struct run){
		.data_in = in, .data_in_size = size,
		.data_out = out, .data_out_size = sizeof(out),
	};
}

/*
 * An attack of a single program. It must leave DONE in loot[1] behind itself
 * if it gets that far, and then return @t->pass.
 */
struct attack {
	const struct prog_type *t;
	const char *name;	/* of the program: 15 characters */
	const char *access;
	u64 addr;
	bool (*landed)(struct run *run, const void *arg);
	const void *arg;
	const char *what;
};

static void attack(const struct attack *a, const struct bpf_insn *insns, size_t cnt)
{
	struct run run;
	bool landed;
	int fd;

	loot_clear();
	canary_reset();
	fd = load(a->t, a->name, insns, cnt);
	if (fd < 0) {
		ok(false, "%d: %s: loads", level, a->what);
		return;
	}
	run_packet(&run, 1024);
	if (level == 0) {
		if (prog_run(fd, &run))
			diag("run: %s", strerror(errno));
		landed = a->landed(&run, a->arg);
		ok(run.retval == a->t->pass && loot_at(1) == DONE && landed,
		   "0: %s: succeeds", a->what);
		if (run.retval != a->t->pass || loot_at(1) != DONE || !landed)
			diag("verdict %u, loot %lx %lx", run.retval, loot_at(0), loot_at(1));
	} else {
		must_be_stopped(a->t, fd, a->name, a->access, a->addr, &run, a->what);
		landed = a->landed(&run, a->arg);
		if (!ok(loot_at(1) != DONE && !landed, "2: %s: nothing got out or in", a->what))
			diag("the attack %s; loot %lx %lx", landed ? "landed" : "had no effect",
			     loot_at(0), loot_at(1));
		ok(others_run(), "2: %s: the kernel and other programs go on", a->what);
	}
	close(fd);
	canary_reset();
}

#define ATTACK(INSNS, ...) \
	attack(&(struct attack){ __VA_ARGS__ }, INSNS, ARRAY_SIZE(INSNS))

static bool loot_is(struct run *run, const void *arg)
{
	return loot_at(0) == *(const u64 *)arg;
}

static bool loot_is_set(struct run *run, const void *arg)
{
	return loot_at(0) != 0;
}

static bool canary_is_mark(struct run *run, const void *name)
{
	return canary(name) == MARK;
}

static bool canary_is_half_mark(struct run *run, const void *name)
{
	return (u32)canary(name) == (u32)MARK;
}

/* R0 = verdict; loot[1] = DONE. Ends every attacker; clobbers R7, R8. */
#define FINISH(T) \
	LD_MAP_VALUE(R7, loot, 0), \
	LD_IMM64(R8, DONE), \
	STX(BPF_DW, R7, R8, 8), \
	MOV_IMM(R0, (T)->pass), \
	EXIT()
/* loot[0] = R3; clobbers R7 */
#define TAKE_R3() LD_MAP_VALUE(R7, loot, 0), STX(BPF_DW, R7, R3, 0)

static const struct prog_type *any_type(void)
{
	static const struct prog_type *const all[] = {
		&xdp, &sched_cls, &sched_act, &socket_filter,
	};
	static int i;

	return all[i++ % ARRAY_SIZE(all)];
}

static void kernel_read(const struct prog_type *t, const char *name, const char *what)
{
	u64 addr = target(name), value;
	struct bpf_insn insns[] = {
		LD_IMM64(R2, addr),
		LDX(BPF_DW, R3, R2, 0),
		TAKE_R3(),
		FINISH(t),
	};
	char text[64];

	snprintf(text, sizeof(text), "%s reads %s", t->name, what);
	canary_reset();
	value = canary(name);
	ATTACK(insns, t, "rogue_read", "read", addr, loot_is, &value, text);
}

static void kernel_write(const struct prog_type *t, const char *name, int size, const char *what)
{
	u64 addr = target(name);
	struct bpf_insn insns[] = {
		LD_IMM64(R2, addr),
		LD_IMM64(R3, MARK),
		STX(size, R2, R3, 0),
		FINISH(t),
	};
	char text[64];

	snprintf(text, sizeof(text), "%s writes %s", t->name, what);
	ATTACK(insns, t, "rogue_write", "write", addr,
		  size == BPF_DW ? canary_is_mark : canary_is_half_mark, name, text);
}

static void kernel_memory(void)
{
	static const struct {
		const char *name, *what;
	} places[] = {
		{ "data", "the direct map" },
		{ "vmalloc", "vmalloc memory" },
		{ "module", "module data" },
		{ "stack", "a kernel stack" },
		{ "ist", "an IST stack" },
		{ "entry_stack", "the entry stack" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		kernel_read(any_type(), places[i].name, places[i].what);
		kernel_write(any_type(), places[i].name, BPF_DW, places[i].what);
		any_type();	/* so that types and places do not go in step */
	}
	kernel_write(&xdp, "gdt_rw", BPF_DW, "the GDT, writable alias");
	kernel_write(&xdp, "tss_rw", BPF_W, "the TSS, writable alias");
}

static int to_parent[2], to_child[2];

static bool child_is_root(struct run *run, const void *arg)
{
	uid_t euid;

	if (write(to_child[1], "g", 1) != 1 || read(to_parent[0], &euid, 4) != 4)
		return false;
	return euid == 0;
}

/* A child that has given up root; its credentials are the target. */
static void credentials(void)
{
	u64 addr, value = 1000;
	uid_t euid;
	char go;
	pid_t pid;

	if (pipe(to_parent) || pipe(to_child))
		bail("pipe: %s", strerror(errno));
	pid = fork();
	if (!pid) {
		int fd = open("/sys/kernel/debug/moat_test/targets", O_RDONLY);
		char text[1024] = "";

		if (setresuid(1000, 1000, 1000) || read(fd, text, sizeof(text) - 1) < 0)
			_exit(1);
		addr = strtoull(strstr(text, "cred=") + 5, NULL, 16);
		if (write(to_parent[1], &addr, 8) != 8)
			_exit(1);
		while (read(to_child[0], &go, 1) == 1 && go == 'g') {
			euid = geteuid();
			if (write(to_parent[1], &euid, 4) != 4)
				_exit(1);
		}
		_exit(0);
	}
	if (read(to_parent[0], &addr, 8) != 8)
		bail("the child is gone");

	struct bpf_insn rd[] = {
		LD_IMM64(R2, addr),
		LDX(BPF_W, R3, R2, 0),
		TAKE_R3(),
		FINISH(&xdp),
	};
	ATTACK(rd, &xdp, "rogue_cred_r", "read", addr, loot_is, &value,
		  "xdp reads the credentials of a task");
	struct bpf_insn wr[] = {
		LD_IMM64(R2, addr),
		ST(BPF_W, R2, 0, 0),
		FINISH(&sched_cls),
	};
	ATTACK(wr, &sched_cls, "rogue_cred_w", "write", addr, child_is_root, NULL,
		  "sched_cls makes a task root");
	if (write(to_child[1], "x", 1) != 1)
		diag("the child is gone");
	waitpid(pid, NULL, 0);
	close(to_parent[0]);
	close(to_parent[1]);
	close(to_child[0]);
	close(to_child[1]);
}

static bool user_lost(struct run *run, const void *user)
{
	return *(u64 *)user != MARK || loot_at(0) == (u8)MARK;
}

/* What the kernel would not survive at level 0. */
static void fatal_accesses(void)
{
	void *user = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	const struct {
		const char *name, *what;
		u64 addr;
		bool write;
	} at[] = {
		{ "rogue_idt", "writes the IDT", target("idt"), true },
		{ "rogue_gdt", "writes the GDT", target("gdt"), true },
		{ "rogue_tss", "writes the TSS", target("tss"), true },
		{ "rogue_user_r", "reads user memory", (u64)user, false },
		{ "rogue_user_w", "writes user memory", (u64)user, true },
		{ "rogue_null_r", "reads NULL", 0, false },
		{ "rogue_null_w", "writes NULL", 0, true },
		{ "rogue_noncan_r", "reads a non-canonical address", 0x8000000000000000, false },
		{ "rogue_noncan_w", "writes a non-canonical address", 0x0180000000000000, true },
		{ "rogue_top_r", "reads the last byte", ~0ULL, false },
		{ "rogue_text_w", "writes kernel text", target("wrmsr"), true },
	};
	size_t i;

	*(u64 *)user = MARK;
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		const struct prog_type *t = any_type();
		char text[64];
		struct bpf_insn rd[] = {
			LD_IMM64(R2, at[i].addr),
			LDX(BPF_B, R3, R2, 0),
			TAKE_R3(),
			FINISH(t),
		};
		struct bpf_insn wr[] = {
			LD_IMM64(R2, at[i].addr),
			ST(BPF_DW, R2, 0, 0),
			FINISH(t),
		};

		snprintf(text, sizeof(text), "%s %s", t->name, at[i].what);
		if (level == 0)
			continue;
		attack(&(struct attack){ t, at[i].name, at[i].write ? "write" : "read",
					 at[i].addr, user_lost, user, text },
		       at[i].write ? wr : rd, at[i].write ? ARRAY_SIZE(wr) : ARRAY_SIZE(rd));
	}
	munmap(user, 4096);
}

/* Far below the frame, where at level 0 the rest of the kernel stack is. */
static void stack_overflow(void)
{
	static const s16 below[] = { -8192, -32760 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(below); i++) {
		u64 value = MARK;
		char text[64];
		struct bpf_insn insns[] = {
			LD_IMM64(R2, MARK),
			STX(BPF_DW, R10, R2, below[i]),
			LDX(BPF_DW, R3, R10, below[i]),
			TAKE_R3(),
			FINISH(&sched_cls),
		};

		if (level == 0 && below[i] < -8192)
			continue;	/* off the end of the kernel stack */
		snprintf(text, sizeof(text), "sched_cls writes %d bytes below its frame", -below[i]);
		ATTACK(insns, &sched_cls, "rogue_deep", "write", ANYWHERE, loot_is, &value, text);
	}
}

/*
 * Another program: it leaves the addresses of its context, stack and map value
 * in the map, then spins with a known value on its stack, and at the end counts
 * in [5] if that has changed. [6] counts the runs.
 */
#define SPIN 20000
static int victim_map, victim_fd;
static volatile bool victim_on;

static void victim_load(void)
{
	victim_map = array_of(128);

	struct bpf_insn insns[] = {
		LD_MAP_VALUE(R6, victim_map, 0),
		LD_IMM64(R2, MARK),
		STX(BPF_DW, R6, R2, 64),
		/* what comes from a map the verifier does not know in advance */
		LDX(BPF_DW, R2, R6, 64),
		STX(BPF_DW, R10, R2, -8),
		STX(BPF_DW, R6, R6, 0),
		MOV_REG(R3, R10),
		ALU64_IMM(BPF_ADD, R3, -8),
		STX(BPF_DW, R6, R3, 8),
		STX(BPF_DW, R6, R1, 16),
		MOV_IMM(R4, SPIN),
		ALU64_IMM(BPF_SUB, R4, 1),
		JMP_IMM(BPF_JNE, R4, 0, -2),
		LDX(BPF_DW, R2, R6, 64),
		LDX(BPF_DW, R3, R10, -8),
		MOV_IMM(R4, 1),
		JMP_REG(BPF_JEQ, R3, R2, 1),
		ATOMIC(BPF_DW, BPF_ADD, R6, R4, 40),
		ATOMIC(BPF_DW, BPF_ADD, R6, R4, 48),
		MOV_IMM(R0, 2),
		EXIT(),
	};

	victim_fd = load(&xdp, "victim", insns, ARRAY_SIZE(insns));
	if (victim_fd < 0)
		bail("the victim does not load");
}

/*
 * At level 0 all in one system call: each has the kernel stack begin somewhere
 * else. But with PREEMPT such a call is one RCU reader, and the keys of programs
 * that are gone come back after a grace period.
 */
static void *victim_runs(void *unused)
{
	static u8 packet[64];
	struct run run = { .data_in = packet, .data_in_size = 64,
			   .repeat = level ? 1000 : 1u << 30 };

	pin_to_cpu(1);
	while (victim_on)
		prog_run(victim_fd, &run);
	return NULL;
}

static void wake(int sig)
{
}

static bool value_changed(struct run *run, const void *arg)
{
	return slot(victim_map, 9) == DONE;
}

/* How often to look for a victim whose CPU the host may have put aside */
#define LOOKS 4000000

static bool stack_changed(struct run *run, const void *before)
{
	int i;

	for (i = 0; i < 10 && slot(victim_map, 5) == *(const u64 *)before; i++)
		usleep(100000);
	return slot(victim_map, 5) != *(const u64 *)before;
}

static bool ctx_changed(struct run *run, const void *arg)
{
	return loot_at(0) && loot_at(2) == MARK;
}

static void other_program(void)
{
	u64 where, mark = MARK, before;
	const struct prog_type *t = &xdp;
	pthread_t thread;
	int i;

	sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = wake }, NULL);
	victim_load();
	victim_on = true;
	pthread_create(&thread, NULL, victim_runs, NULL);
	for (i = 0; i < 5000 && !slot(victim_map, 6); i++)
		usleep(1000);
	if (!slot(victim_map, 6))
		bail("the victim does not run");

	/* its map value */
	where = slot(victim_map, 0) + 64;
	struct bpf_insn value_r[] = {
		LD_IMM64(R2, where),
		LDX(BPF_DW, R3, R2, 0),
		TAKE_R3(),
		FINISH(t),
	};
	ATTACK(value_r, t, "rogue_map_r", "read", where, loot_is, &mark,
		  "reads a map value of another program");
	where += 8;
	struct bpf_insn value_w[] = {
		LD_IMM64(R2, where),
		LD_IMM64(R3, DONE),
		STX(BPF_DW, R2, R3, 0),
		FINISH(t),
	};
	ATTACK(value_w, t, "rogue_map_w", "write", where, value_changed, NULL,
		  "writes a map value of another program");

	/* its stack, while it runs: look again and again until it is there */
	where = slot(victim_map, 1);
	struct bpf_insn stack_r[] = {
		LD_IMM64(R2, where),
		LD_IMM64(R4, MARK),
		MOV_IMM(R5, LOOKS),
		LDX(BPF_DW, R3, R2, 0),
		JMP_REG(BPF_JEQ, R3, R4, 2),
		ALU64_IMM(BPF_SUB, R5, 1),
		JMP_IMM(BPF_JNE, R5, 0, -4),
		TAKE_R3(),
		FINISH(t),
	};
	ATTACK(stack_r, t, "rogue_stack_r", "read", where, loot_is, &mark,
		  "reads the stack of another program");

	struct bpf_insn stack_w[] = {
		LD_IMM64(R2, where),
		LD_IMM64(R4, MARK),
		LD_IMM64(R8, DONE),
		MOV_IMM(R5, LOOKS),
		/* only where the known value is: at level 0 this is a kernel stack */
		MOV_REG(R0, R4),
		ATOMIC(BPF_DW, BPF_CMPXCHG, R2, R8, 0),
		JMP_REG(BPF_JEQ, R0, R4, 2),
		ALU64_IMM(BPF_SUB, R5, 1),
		JMP_IMM(BPF_JNE, R5, 0, -5),
		FINISH(t),
	};
	before = slot(victim_map, 5);
	ATTACK(stack_w, t, "rogue_stack_w", "write", where, stack_changed, &before,
		  "writes the stack of another program");

	/* its context: at level 0 a struct xdp_buff, of which [3] is only read later */
	where = slot(victim_map, 2) + 24;
	struct bpf_insn ctx_w[] = {
		LD_IMM64(R2, where),
		LD_IMM64(R4, MARK),
		LDX(BPF_DW, R3, R2, 0),
		TAKE_R3(),
		STX(BPF_DW, R2, R4, 0),
		LDX(BPF_DW, R5, R2, 0),
		STX(BPF_DW, R7, R5, 16),
		STX(BPF_DW, R2, R3, 0),
		FINISH(t),
	};
	ATTACK(ctx_w, t, "rogue_ctx_r", "read", where, ctx_changed, NULL,
		  "reads and writes the context of another program");
	struct bpf_insn ctx_w2[] = {
		LD_IMM64(R2, where - 24),
		ST(BPF_DW, R2, 0, 0),
		FINISH(t),
	};
	if (level == 2)
		ATTACK(ctx_w2, t, "rogue_ctx_w", "write", where - 24, ctx_changed, NULL,
			  "writes the context of another program");

	before = slot(victim_map, 6);
	usleep(100000);
	ok(slot(victim_map, 6) > before, "%d: the attacked program still runs", level);
	victim_on = false;
	while (pthread_tryjoin_np(thread, NULL)) {
		pthread_kill(thread, SIGUSR1);
		usleep(10000);
	}
	close(victim_fd);
	close(victim_map);
}

/* The address of the map itself, from a program that is not isolated. */
static u64 map_address(int map)
{
	int out = array_of(8);
	struct bpf_insn insns[] = {
		LD_MAP_FD(R1, map),
		LD_MAP_VALUE(R2, out, 0),
		STX(BPF_DW, R2, R1, 0),
		MOV_IMM(R0, 0),
		EXIT(),
	};
	int fd, now = level;
	u64 addr;

	moat_set_level(0);
	fd = load(&xdp, "tell", insns, ARRAY_SIZE(insns));
	prog_run_once(fd);
	moat_set_level(now);
	addr = slot(out, 0);
	close(fd);
	close(out);
	return addr;
}

static int hash;

static bool deleted(struct run *run, const void *key)
{
	u64 v;

	return map_lookup(hash, key, &v) != 0;
}

static bool leaked(struct run *run, const void *value)
{
	u64 seven = 7, v = 0;
	bool found = !map_lookup(hash, &seven, &v) && v == *(const u64 *)value;

	map_delete(hash, &seven);
	return found;
}

static bool filled(struct run *run, const void *arg)
{
	return canary("data") == 0xabababababababab;
}

static bool packet_has(struct run *run, const void *value)
{
	return !memcmp((u8 *)run->data_out + 14, value, 8);
}

static bool packet_grew(struct run *run, const void *arg)
{
	u8 *p = (u8 *)run->data_out + 14 + 64, *end = p + 636;

	while (p < end && *p == 0xab)
		p++;
	return p < end;
}

static void helper_arguments(void)
{
	u64 data = target("data"), key, one = 1, mark = MARK;
	struct bpf_insn copy[128];
	int other, big, n, i;
	u8 zeros[1024] = {};
	u32 zero = 0;

	canary_reset();
	key = canary("data");

	/* a map key in kernel memory: does the hash have what is there? */
	hash = map_create(BPF_MAP_TYPE_HASH, 8, 8, 4);
	map_update(hash, &key, &one);
	struct bpf_insn lookup[] = {
		LD_MAP_FD(R1, hash),
		LD_IMM64(R2, data),
		CALL(map_lookup_elem),
		MOV_REG(R3, R0),
		TAKE_R3(),
		FINISH(&xdp),
	};
	ATTACK(lookup, &xdp, "rogue_key", "map_lookup_elem", 0, loot_is_set, NULL,
		  "map_lookup_elem takes its key from kernel memory");
	struct bpf_insn delete[] = {
		LD_MAP_FD(R1, hash),
		LD_IMM64(R2, data),
		CALL(map_delete_elem),
		MOV_REG(R3, R0),
		TAKE_R3(),
		FINISH(&socket_filter),
	};
	ATTACK(delete, &socket_filter, "rogue_delete", "map_delete_elem", 0, deleted, &key,
		  "map_delete_elem takes its key from kernel memory");

	/* a value in kernel memory, into a map that user space reads */
	struct bpf_insn update[] = {
		ST(BPF_DW, R10, -8, 7),
		LD_MAP_FD(R1, hash),
		MOV_REG(R2, R10),
		ALU64_IMM(BPF_ADD, R2, -8),
		LD_IMM64(R3, data),
		MOV_IMM(R4, 0),
		CALL(map_update_elem),
		FINISH(&sched_cls),
	};
	ATTACK(update, &sched_cls, "rogue_value", "map_update_elem", 0, leaked, &key,
		  "map_update_elem takes its value from kernel memory");

	/* a result into kernel memory */
	struct bpf_insn result[] = {
		MOV_IMM(R2, 14),
		LD_IMM64(R3, data),
		MOV_IMM(R4, 8),
		CALL(skb_load_bytes),
		FINISH(&sched_cls),
	};
	ATTACK(result, &sched_cls, "rogue_result", "skb_load_bytes", 0, filled, NULL,
		  "skb_load_bytes writes to kernel memory");

	/* and out of it, into the packet */
	struct bpf_insn store[] = {
		MOV_IMM(R2, 14),
		LD_IMM64(R3, data),
		MOV_IMM(R4, 8),
		MOV_IMM(R5, 0),
		CALL(skb_store_bytes),
		FINISH(&sched_act),
	};
	ATTACK(store, &sched_act, "rogue_store", "skb_store_bytes", 0, packet_has, &key,
		  "skb_store_bytes reads kernel memory");

	/* a map the program has no claim on */
	other = array_of(8);
	map_update(other, &zero, &mark);
	u64 addr = map_address(other);
	struct bpf_insn foreign[] = {
		ST(BPF_DW, R10, -8, 0),
		MOV_REG(R2, R10),
		ALU64_IMM(BPF_ADD, R2, -8),
		LD_IMM64(R1, addr),
		CALL(map_lookup_elem),
		JMP_IMM(BPF_JEQ, R0, 0, 4),
		LDX(BPF_DW, R3, R0, 0),
		TAKE_R3(),
		FINISH(&xdp),
	};
	ATTACK(foreign, &xdp, "rogue_map", "map_lookup_elem", 0, loot_is, &mark,
		  "map_lookup_elem gets a map of others");

	/* a map of its own making: a copy of a real one, in a map value */
	big = array_of(1024);
	map_update(big, &zero, zeros);
	struct bpf_insn head[] = {
		LD_IMM64(R2, addr),
		LD_MAP_VALUE(R1, big, 0),
	};
	memcpy(copy, head, sizeof(head));
	n = ARRAY_SIZE(head);
	for (i = 0; i < 48; i++) {
		/* at level 2 that would be an offence already */
		copy[n++] = level ? MOV_IMM(R3, 0) : LDX(BPF_DW, R3, R2, 8 * i);
		copy[n++] = STX(BPF_DW, R1, R3, 8 * i);
	}
	struct bpf_insn tail[] = {
		ST(BPF_DW, R10, -8, 0),
		MOV_REG(R2, R10),
		ALU64_IMM(BPF_ADD, R2, -8),
		CALL(map_lookup_elem),
		MOV_REG(R3, R0),
		TAKE_R3(),
		FINISH(&xdp),
	};
	memcpy(copy + n, tail, sizeof(tail));
	n += ARRAY_SIZE(tail);
	attack(&(struct attack){ &xdp, "rogue_forged", "map_lookup_elem", 0, loot_is_set, NULL,
				 "map_lookup_elem gets a map the program has made" }, copy, n);

	/* a context of its own making: struct xdp_buff begins with data, data_end */
	struct bpf_insn forged_ctx[] = {
		LD_MAP_VALUE(R1, big, 0),
		LD_IMM64(R2, data),
		STX(BPF_DW, R1, R2, 0),
		ALU64_IMM(BPF_ADD, R2, 64),
		STX(BPF_DW, R1, R2, 8),
		MOV_IMM(R2, 0),
		STX(BPF_DW, R1, R2, 16),
		STX(BPF_DW, R1, R2, 24),
		STX(BPF_DW, R1, R2, 32),
		STX(BPF_DW, R1, R2, 40),
		STX(BPF_DW, R1, R2, 48),
		MOV_REG(R3, R10),
		ALU64_IMM(BPF_ADD, R3, -8),
		MOV_IMM(R4, 8),
		CALL(xdp_load_bytes),
		LDX(BPF_DW, R3, R10, -8),
		TAKE_R3(),
		FINISH(&xdp),
	};
	ATTACK(forged_ctx, &xdp, "rogue_forged_c", "xdp_load_bytes", 0, loot_is, &key,
		  "xdp_load_bytes gets a context the program has made");

	/*
	 * Too long: from 64 bytes before the end of a page, 700 bytes. The packet
	 * is full of 0xab, so what replaces it came from behind the page. At level
	 * 0 that is a page of the packet's, for what is behind the page of a map
	 * value may not be mapped; at level 2 it is the map value's, for the packet
	 * is in a buffer of many pages.
	 */
	struct bpf_insn oversized[] = {
		MOV_REG(R6, R1),
		LDX(BPF_W, R3, R6, offsetof(struct __sk_buff, data)),
		ALU64_IMM(BPF_OR, R3, 4095),
		ALU64_IMM(BPF_SUB, R3, 63),
		MOV_REG(R1, R6),
		MOV_IMM(R2, 14),
		MOV_IMM(R4, 700),
		MOV_IMM(R5, 0),
		CALL(skb_store_bytes),
		MOV_REG(R3, R0),
		TAKE_R3(),
		FINISH(&sched_cls),
	};
	if (level == 0)
		ATTACK(oversized, &sched_cls, "rogue_long", "skb_store_bytes", 0, packet_grew,
		       NULL, "skb_store_bytes reads past the packet");
	struct bpf_insn past_value[] = {
		MOV_REG(R6, R1),
		LD_MAP_VALUE(R3, big, 0),
		ALU64_IMM(BPF_OR, R3, 4095),
		ALU64_IMM(BPF_SUB, R3, 63),
		MOV_REG(R1, R6),
		MOV_IMM(R2, 14),
		MOV_IMM(R4, 700),
		MOV_IMM(R5, 0),
		CALL(skb_store_bytes),
		FINISH(&sched_cls),
	};
	if (level == 2)
		ATTACK(past_value, &sched_cls, "rogue_long_map", "skb_store_bytes", 0, packet_grew,
		       NULL, "skb_store_bytes reads past a map value");
	struct bpf_insn huge[] = {
		MOV_IMM(R2, 0),
		MOV_REG(R3, R10),
		ALU64_IMM(BPF_ADD, R3, -8),
		MOV_IMM(R4, 0x7fffffff),
		CALL(skb_load_bytes),
		FINISH(&socket_filter),
	};
	if (level == 2)
		ATTACK(huge, &socket_filter, "rogue_huge", "skb_load_bytes", 0, filled, NULL,
			  "skb_load_bytes clears 2 GiB from the stack up");
	close(big);
	close(other);
	close(hash);
}

/*
 * A function that returns to where it likes: into kernel text that writes an
 * MSR, with registers that name PKRS and open everything, and from there back
 * into its caller, which then reads kernel memory.
 */
static void return_address(void)
{
	u64 gadget = target("wrmsr"), data = target("data"), value;
	struct bpf_insn insns[] = {
		/* the frame a return address is hidden under: nothing saved there */
		ST(BPF_DW, R10, -64, 0),
		CALL_REL(11),
		LD_IMM64(R2, data),
		LDX(BPF_DW, R3, R2, 0),
		LD_MAP_VALUE(R1, loot, 0),
		STX(BPF_DW, R1, R3, 0),
		LD_IMM64(R2, DONE),
		STX(BPF_DW, R1, R2, 8),
		MOV_IMM(R0, xdp.pass),
		EXIT(),
		/* the function */
		LDX(BPF_DW, R4, R10, 8),
		STX(BPF_DW, R10, R4, 16),
		LD_IMM64(R4, gadget),
		STX(BPF_DW, R10, R4, 8),
		MOV_IMM(R1, 0x6e1),
		MOV_IMM(R2, 0),
		MOV_IMM(R3, 0),
		MOV_IMM(R4, 0x6e1),
		MOV_IMM(R0, 0),
		EXIT(),
	};
	struct run run;
	bool out;
	int fd;

	canary_reset();
	loot_clear();
	value = canary("data");
	fd = load(&xdp, "rogue_return", insns, ARRAY_SIZE(insns));
	if (fd < 0) {
		ok(false, "%d: xdp returns into kernel text: loads", level);
		return;
	}
	run_packet(&run, 64);
	kmsg_mark();
	prog_run(fd, &run);
	out = loot_at(0) == value;
	if (level == 0)
		ok(out && run.retval == xdp.pass, "0: xdp returns into kernel text: succeeds");
	else
		ok(!out, "2: xdp returns into kernel text that opens PKRS: nothing got out");
	if (level == 2) {
		ok(run.retval == xdp.safe, "2: xdp returns into kernel text that opens PKRS: stopped");
		ok(reported(kmsg_stopped(fd, "rogue_return"), RETURN, 0),
		   "2: xdp returns into kernel text that opens PKRS: reported");
		ok(others_run(), "2: xdp returns into kernel text that opens PKRS: others go on");
	}
	close(fd);
}

static bool kernel_address(u64 v)
{
	/* the upper half without the MOAT window */
	return v >= 0xff00000000000000ULL && v < 0xffffffffff000000ULL &&
	       (v < 0xfffffe8000000000ULL || v >= 0xffffff0000000000ULL);
}

/* What a program finds in registers it never set. */
static void registers(void)
{
	struct bpf_insn insns[40] = { LD_MAP_VALUE(R1, loot, 0) };
	struct bpf_insn take_r0[] = { LD_MAP_VALUE(R0, loot, 0) };
	bool found = false;
	int fd, i, n = 2;

	/* R1 is in use, R10 is its own */
	for (i = 2; i <= 9; i++)
		insns[n++] = STX(BPF_DW, R1, i, 8 * i);
	insns[n++] = CALL(ktime_get_ns);
	memcpy(insns + n, take_r0, sizeof(take_r0));
	n += ARRAY_SIZE(take_r0);
	for (i = 2; i <= 5; i++)
		insns[n++] = STX(BPF_DW, R0, i, 72 + 8 * (i - 1));
	insns[n++] = MOV_IMM(R0, 2);
	insns[n++] = EXIT();

	loot_clear();
	fd = load(&xdp, "nosy", insns, n);
	if (fd < 0) {
		ok(false, "%d: registers: loads", level);
		return;
	}
	prog_run_once(fd);
	for (i = 2; i <= 14; i++) {
		if (!kernel_address(loot_at(i)))
			continue;
		found = true;
		if (level)
			diag("%s: %lx", i < 10 ? "at entry" : "after a helper", loot_at(i));
	}
	ok(found == !level, "%d: %s kernel addresses in registers the program has not set",
	   level, level ? "no" : "there are");
	close(fd);
}

int main(void)
{
	int levels = moat_present() ? 2 : 1;

	if (!test_kernel())
		skip_all("needs the test kernel");
	pin_to_cpu(0);
	loot = array_of(128);
	if (!bypass_verifier(true))
		bail("no verifier switch");

	while (levels--) {
		level = levels ? 2 : 0;
		moat_set_level(level);
		kernel_memory();
		credentials();
		fatal_accesses();
		stack_overflow();
		other_program();
		helper_arguments();
		return_address();
		registers();
	}
	if (!moat_present())
		skip("no moat.ko", "level 2");
	return finish();
}
