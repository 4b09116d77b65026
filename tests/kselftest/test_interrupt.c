// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 nmi=10000 keys=13,0 full=1 timeout=400 */
/* moat-test: cpu=max,vendor=GenuineIntel,+pks boot=nopti,mce=60000000 */
/*
 * Do programs compute what they should while everything interrupts them?
 *
 * On each CPU a thread runs two programs in turn, over and over: one of long loops
 * with values in registers, on the stack and in a map and a function, of another
 * type on each CPU, and a short one that is in and out of helpers. Each run finds
 * in its map the result it must come to, and counts there if it has not. Meanwhile:
 * timer ticks, IPIs (membarrier, TLB shootdowns, migrations, programs that come and
 * go), NMIs from the host, a hardware breakpoint on a word the programs write, and perf
 * samples with user and kernel callchains. Machine checks follow when the NMIs are
 * through: the first turns lockdep off, and QEMU delivers one that comes together with
 * an NMI at the first instruction for that, which Linux does not survive. Not one
 * result may be wrong.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/hw_breakpoint.h>
#include <linux/membarrier.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "build.h"

#define MIN_SECONDS 20
#define MAX_SECONDS 300
#define INNER 8000
#define MAX_CPUS 8

static const struct prog_type *const types[] = {
	&xdp, &sched_cls, &sched_act, &socket_filter,
};

/*
 * Not XDP: BPF_PROG_TEST_RUN with a repeat count patches the XDP dispatcher's text,
 * which other CPUs must not be running then; see README.md.
 */
static const struct prog_type *const small_type = &sched_cls;

static int cpus;
static volatile bool over;

/* Of a CPU's map: 64 bit words */
enum { RUNS, BAD, HOT, ADDRESS, SEEN, WANTED, WORDS = 64 };

static struct worker {
	pthread_t thread;
	int cpu, map, small_map, hash, queue, prog, small;
	u64 calls, verdicts;	/* system calls, and those with a wrong verdict */
	u32 verdict;
	const char *error;
} workers[MAX_CPUS];

static const struct prog_type *type_of(const struct worker *w)
{
	return types[w->cpu % ARRAY_SIZE(types)];
}

/* What the long program computes. */
static u64 expected(u64 seed)
{
	u64 a = seed, b = ~seed, c = 0, spill = seed * 3;
	int i;

	for (i = 0; i < INNER; i++) {
		a = a * 31 + b;
		b ^= a >> 7;
		c += spill;
		spill += a;
	}
	/* the function, and then the same of what it returns */
	c += (a ^ b) * 5 + 9;
	return a + b + c;
}

/* The seed is at WANTED + 1. */
static int load_long(struct worker *w, const struct prog_type *t)
{
	int loop, call[7], i;

	cnt = 0;
	E(LD_MAP_VALUE(R9, w->map, 0),
	  STX(BPF_DW, R9, R9, 8 * ADDRESS),
	  LDX(BPF_DW, R6, R9, 8 * (WANTED + 1)),	/* a */
	  MOV_REG(R7, R6), ALU64_IMM(BPF_XOR, R7, -1),	/* b */
	  MOV_IMM(R8, 0),				/* c */
	  MOV_REG(R2, R6), ALU64_IMM(BPF_MUL, R2, 3), STX(BPF_DW, R10, R2, -24),
	  MOV_IMM(R5, INNER));
	loop = cnt;
	E(ALU64_IMM(BPF_MUL, R6, 31), ALU64_REG(BPF_ADD, R6, R7),
	  MOV_REG(R2, R6), ALU64_IMM(BPF_RSH, R2, 7), ALU64_REG(BPF_XOR, R7, R2),
	  LDX(BPF_DW, R2, R10, -24), ALU64_REG(BPF_ADD, R8, R2), ALU64_REG(BPF_ADD, R2, R6),
	  STX(BPF_DW, R10, R2, -24), ALU64_IMM(BPF_SUB, R5, 1));
	E(JMP_IMM(BPF_JNE, R5, 0, loop - cnt - 1));
	E(CALL(ktime_get_ns), MOV_REG(R1, R6), ALU64_REG(BPF_XOR, R1, R7),
	  LDX(BPF_DW, R2, R9, 8 * (WANTED + 1)), JMP_IMM(BPF_JSET, R2, 1, 13));
	/* By the seed, which is not 0: one that the function returns to by itself, or by a gate */
	call[0] = cnt;
	E(CALL_REL(0), LDX(BPF_DW, R2, R9, 8 * (WANTED + 1)), JMP_IMM(BPF_JNE, R2, 0, 13));
	for (i = 1; i < 7; i++) {
		E(MOV_REG(R1, R6));
		if (i == 6)
			E(ALU64_REG(BPF_XOR, R1, R7));
		call[i] = cnt;
		E(CALL_REL(0));
	}
	E(ALU64_REG(BPF_ADD, R8, R0), ALU64_REG(BPF_ADD, R8, R6),
	  ALU64_REG(BPF_ADD, R8, R7), STX(BPF_DW, R9, R8, 8 * SEEN),
	  LDX(BPF_DW, R2, R9, 8 * WANTED), MOV_IMM(R3, 1),
	  JMP_REG(BPF_JEQ, R2, R8, 1), ATOMIC(BPF_DW, BPF_ADD, R9, R3, 8 * BAD),
	  ATOMIC(BPF_DW, BPF_ADD, R9, R3, 8 * RUNS), ST(BPF_DW, R9, 8 * HOT, 7),
	  MOV_IMM(R0, t->pass), EXIT());
	for (i = 0; i < 7; i++)
		insns[call[i]].imm = cnt - call[i] - 1;
	E(STX(BPF_DW, R10, R1, -8), CALL(ktime_get_ns), LDX(BPF_DW, R0, R10, -8),
	  ALU64_IMM(BPF_MUL, R0, 5), ALU64_IMM(BPF_ADD, R0, 9), EXIT());
	return prog_load(t->type, "spin", insns, cnt);
}

#define IN_HASH		0x4444
#define IN_QUEUE	0x5555

/*
 * In and out as often as possible: nine helpers, that need no audit, that have one only if
 * their arguments are strange, and that always have one; and a check of what they leave.
 */
static int load_small(struct worker *w)
{
	int i;

	cnt = 0;
	E(LD_MAP_VALUE(R9, w->small_map, 0), MOV_IMM(R6, 0x1111), MOV_IMM(R7, 0x2222),
	  MOV_IMM(R8, 0x3333), ST(BPF_DW, R10, -8, 0));
	for (i = 0; i < 3; i++) {
		E(CALL(ktime_get_ns), LD_MAP_FD(R1, w->hash), MOV_REG(R2, R10),
		  ALU64_IMM(BPF_ADD, R2, -8), CALL(map_lookup_elem),
		  JMP_IMM(BPF_JEQ, R0, 0, 2), LDX(BPF_DW, R2, R0, 0),
		  JMP_IMM(BPF_JEQ, R2, IN_HASH, 2), MOV_IMM(R3, 1),
		  ATOMIC(BPF_DW, BPF_ADD, R9, R3, 8 * BAD));
		E(LD_MAP_FD(R1, w->queue), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -16),
		  CALL(map_peek_elem), LDX(BPF_DW, R2, R10, -16),
		  JMP_IMM(BPF_JEQ, R2, IN_QUEUE, 2), MOV_IMM(R3, 1),
		  ATOMIC(BPF_DW, BPF_ADD, R9, R3, 8 * BAD));
	}
	E(MOV_IMM(R3, 1), ALU64_REG(BPF_ADD, R6, R7), ALU64_REG(BPF_ADD, R6, R8),
	  JMP_IMM(BPF_JEQ, R6, 0x6666, 1), ATOMIC(BPF_DW, BPF_ADD, R9, R3, 8 * BAD),
	  ATOMIC(BPF_DW, BPF_ADD, R9, R3, 8 * RUNS), MOV_IMM(R0, small_type->pass), EXIT());
	return prog_load(small_type->type, "small", insns, cnt);
}

static u64 word_of(int map, int i)
{
	u64 v[WORDS] = {};
	u32 zero = 0;

	map_lookup(map, &zero, v);
	return v[i];
}

static u64 word(struct worker *w, int i)
{
	return word_of(w->map, i);
}

static void prepare(struct worker *w)
{
	u64 v[WORDS] = {}, none = 0, in_hash = IN_HASH, in_queue = IN_QUEUE;
	u32 zero = 0;

	/* a map each: one that two programs share is a domain more */
	w->map = map_create(BPF_MAP_TYPE_ARRAY, 4, sizeof(v), 1);
	w->small_map = map_create(BPF_MAP_TYPE_ARRAY, 4, sizeof(v), 1);
	w->hash = map_create(BPF_MAP_TYPE_HASH, 8, 8, 4);
	w->queue = map_create(BPF_MAP_TYPE_QUEUE, 0, 8, 4);
	v[WANTED + 1] = 0x123456789abcdefULL * (w->cpu + 1);
	v[WANTED] = expected(v[WANTED + 1]);
	if (w->map < 0 || w->small_map < 0 || map_update(w->map, &zero, v))
		bail("map: %s", strerror(errno));
	if (w->hash < 0 || w->queue < 0 || map_update(w->hash, &none, &in_hash) ||
	    map_update(w->queue, NULL, &in_queue))
		bail("map: %s", strerror(errno));
	w->prog = load_long(w, type_of(w));
	if (w->prog < 0)
		bail("load: %s\n%s", strerror(errno), prog_log);
	w->small = load_small(w);
	if (w->small < 0)
		bail("load: %s\n%s", strerror(errno), prog_log);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	static u8 packet[64];
	bool small = false;

	pin_to_cpu(w->cpu);
	while (!over) {
		struct run run = {
			.data_in = packet, .data_in_size = sizeof(packet),
			.repeat = small ? 2000 : type_of(w) == &xdp ? 1 : 20,
		};

		if (prog_run(small ? w->small : w->prog, &run)) {
			if (errno == EINTR)
				continue;
			w->error = strerror(errno);
			break;
		}
		w->calls++;
		if (run.retval != (small ? small_type : type_of(w))->pass) {
			w->verdicts++;
			w->verdict = run.retval;
			break;
		}
		small = !small;
		/* Under emulation the storms would get nowhere beside four busy CPUs. */
		usleep(5000);
	}
	return NULL;
}

/* IPIs of every kind */
static u64 membarriers, shootdowns, migrations, loads;

static void *barriers(void *unused)
{
	syscall(__NR_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
	while (!over) {
		syscall(__NR_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
		membarriers++;
		if (!(membarriers % 64))
			usleep(1000);
	}
	return NULL;
}

static void *shoot(void *unused)
{
	int cpu = 0, prot = PROT_READ;
	u8 *p = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	while (!over) {
		mprotect(p, 1 << 16, prot);
		prot ^= PROT_WRITE;
		shootdowns++;
		if (!(shootdowns % 16)) {
			pin_to_cpu(cpu++ % cpus);
			migrations++;
			usleep(1000);
		}
	}
	return NULL;
}

/* Loading and unloading flushes kernel translations everywhere. */
static void *load_unload(void *unused)
{
	const struct bpf_insn nothing[] = { MOV_IMM(R0, 0), EXIT() };

	while (!over) {
		int fd = PROG_LOAD(BPF_PROG_TYPE_XDP, "come_and_go", nothing);

		if (fd >= 0) {
			prog_run_once(fd);
			close(fd);
			loads++;
		}
		usleep(5000);
	}
	return NULL;
}

/* Perf: per CPU one sampling event and one breakpoint on the CPU's own word. */
static struct {
	int sample, breakpoint;
	u8 *ring;
} perf[MAX_CPUS];
static u64 samples, kernel_frames;

#define RING_PAGES 8

static void perf_start(int cpu)
{
	struct perf_event_attr sample = {
		.type = PERF_TYPE_SOFTWARE, .config = PERF_COUNT_SW_CPU_CLOCK,
		.size = sizeof(sample), .freq = 1, .sample_freq = 1500,
		.sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_CALLCHAIN,
	};
	struct perf_event_attr bp = {
		.type = PERF_TYPE_BREAKPOINT, .size = sizeof(bp),
		.bp_type = HW_BREAKPOINT_W, .bp_addr = word(&workers[cpu], ADDRESS) + 8 * HOT,
		.bp_len = HW_BREAKPOINT_LEN_8, .sample_period = 1,
		.sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_CALLCHAIN,
		.exclude_user = 1,
	};

	perf[cpu].sample = syscall(__NR_perf_event_open, &sample, -1, cpu, -1, 0);
	if (perf[cpu].sample < 0)
		bail("perf: %s", strerror(errno));
	perf[cpu].ring = mmap(NULL, (1 + RING_PAGES) * 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
			      perf[cpu].sample, 0);
	if (perf[cpu].ring == MAP_FAILED)
		bail("perf: mmap: %s", strerror(errno));
	perf[cpu].breakpoint = syscall(__NR_perf_event_open, &bp, -1, cpu, -1, 0);
	if (perf[cpu].breakpoint < 0)
		diag("CPU %d: breakpoint at %llx: %s", cpu, bp.bp_addr, strerror(errno));
}

static u64 breakpoints(int cpu)
{
	u64 n = 0;

	if (perf[cpu].breakpoint < 0 || read(perf[cpu].breakpoint, &n, 8) != 8)
		return 0;
	return n;
}

static void perf_drain(int cpu)
{
	struct perf_event_mmap_page *page = (void *)perf[cpu].ring;
	u8 *data = perf[cpu].ring + 4096, record[4096];
	u64 size = RING_PAGES * 4096, head, tail = page->data_tail, i, n, *at;

	head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);
	while (tail < head) {
		struct perf_event_header h;

		for (i = 0; i < sizeof(h); i++)
			((u8 *)&h)[i] = data[(tail + i) % size];
		for (i = 0; i < h.size && i < sizeof(record); i++)
			record[i] = data[(tail + i) % size];
		if (h.type == PERF_RECORD_SAMPLE) {
			/* ip, pid and tid, nr, ips */
			at = (u64 *)(record + sizeof(h));
			n = at[2];
			samples++;
			for (i = 0; i < n && i < 127; i++)
				kernel_frames += (s64)at[3 + i] < 0 && at[3 + i] < (u64)-4095;
		}
		tail += h.size;
	}
	__atomic_store_n(&page->data_tail, tail, __ATOMIC_RELEASE);
}

static void drain_and_sleep(void)
{
	int cpu;

	for (cpu = 0; cpu < cpus; cpu++)
		perf_drain(cpu);
	usleep(20000);
}

/* The sum over all CPUs of a line in /proc/interrupts. */
static u64 interrupts(const char *name)
{
	char line[1024], *p;
	u64 sum = 0;
	int cpu;
	FILE *f = fopen("/proc/interrupts", "r");

	while (f && fgets(line, sizeof(line), f)) {
		p = line + strspn(line, " ");
		if (strncmp(p, name, strlen(name)))
			continue;
		p += strlen(name);
		for (cpu = 0; cpu < cpus; cpu++)
			sum += strtoull(p, &p, 10);
	}
	if (f)
		fclose(f);
	return sum;
}

#define CHECKS 100

/* Machine checks: how many the host was asked for, and reports of one in a program */
static u64 checks, checked_programs;

static bool in_machine_check(int cpu)
{
	char path[32];
	u64 status = 0;
	int fd;

	snprintf(path, sizeof(path), "/dev/cpu/%d/msr", cpu);
	fd = open(path, O_RDONLY);
	if (fd < 0 || pread(fd, &status, sizeof(status), 0x17a) < 0)	/* IA32_MCG_STATUS */
		bail("%s: %s", path, strerror(errno));
	close(fd);
	return status & 4;	/* MCIP */
}

/*
 * One on each CPU, an error to be dealt with some time. One that comes before the last
 * was seen to would be the end of the machine.
 */
static void machine_check(u64 arrived)
{
	int cpu;

	/* The rest of the line may be a record of its own. */
	checked_programs += kmsg_find("{moat_resume+", NULL) != NULL;
	kmsg_mark();
	if (arrived < checks * cpus)
		return;
	for (cpu = 0; cpu < cpus; cpu++)
		if (in_machine_check(cpu))
			return;
	printf("MOAT-MCE %lu\n", checks++ % cpus);
	fflush(stdout);
}

static void wake(int sig)
{
}

static void join(pthread_t thread)
{
	while (pthread_tryjoin_np(thread, NULL)) {
		pthread_kill(thread, SIGUSR1);
		usleep(10000);
	}
}

int main(void)
{
	u64 nmis = atoi(getenv("MOAT_NMI") ?: "0"), nmi0, loc0, cal0, tlb0, mce0, began;
	static void *(*const storms[])(void *) = { barriers, shoot, load_unload };
	pthread_t storm[ARRAY_SIZE(storms)];
	u64 runs = 0, bad, hits = 0, until;
	/* On other CPUs the kernel does not survive them. */
	bool checkable = __builtin_cpu_is("intel");
	s64 violations, isolated_runs, plain;
	struct worker *w;
	size_t i;
	int cpu, budget;

	sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = wake }, NULL);
	cpus = sysconf(_SC_NPROCESSORS_ONLN);
	cpus = cpus < MAX_CPUS ? cpus : MAX_CPUS;
	if (moat_present())
		moat_set_level(atoi(getenv("MOAT_LEVEL") ?: "2"));
	else
		diag("no moat.ko: at level 0");
	/* On a busy host interrupts may be all that a CPU gets to. */
	budget = moat_set_budget(60);
	violations = moat_counter("violations");
	isolated_runs = moat_counter("runs");
	plain = moat_counter("plain");
	for (cpu = 0; cpu < cpus; cpu++) {
		workers[cpu].cpu = cpu;
		prepare(&workers[cpu]);
	}
	nmi0 = interrupts("NMI:");
	loc0 = interrupts("LOC:");
	cal0 = interrupts("CAL:");
	tlb0 = interrupts("TLB:");
	mce0 = interrupts("MCE:");
	kmsg_mark();
	for (cpu = 0; cpu < cpus; cpu++)
		pthread_create(&workers[cpu].thread, NULL, work, &workers[cpu]);
	for (cpu = 0; cpu < cpus; cpu++)
		while (!word(&workers[cpu], ADDRESS))
			usleep(1000);
	for (cpu = 0; cpu < cpus; cpu++)
		perf_start(cpu);
	for (i = 0; i < ARRAY_SIZE(storms); i++)
		pthread_create(&storm[i], NULL, storms[i], NULL);

	host_nmis(true);
	/* until both the time and the NMIs are through */
	began = now_ns();
	until = began + MAX_SECONDS * 1000000000ULL;
	do {
		drain_and_sleep();
	} while (now_ns() < until && (now_ns() - began < MIN_SECONDS * 1000000000ULL ||
				      interrupts("NMI:") - nmi0 < nmis));
	host_nmis(false);
	while (checkable && checks <= CHECKS && now_ns() < until) {
		/* Not more often: it holds up all CPUs. */
		for (i = 0; i < 5; i++)
			drain_and_sleep();
		machine_check(interrupts("MCE:") - mce0);
	}
	over = true;
	for (cpu = 0; cpu < cpus; cpu++)
		join(workers[cpu].thread);
	for (i = 0; i < ARRAY_SIZE(storms); i++)
		join(storm[i]);

	for (cpu = 0; cpu < cpus; cpu++) {
		w = &workers[cpu];
		runs += word(w, RUNS);
		runs += word_of(w->small_map, RUNS);
		bad = word(w, BAD) + word_of(w->small_map, BAD);
		hits += breakpoints(cpu);
		if (!ok(!bad && !w->verdicts && !w->error && word(w, RUNS) &&
			word_of(w->small_map, RUNS),
			"CPU %d, %s: every result is right", cpu, type_of(w)->name))
			diag("%lu runs, %lu bad, last result %lx for %lx, verdict %u, %s",
			     word(w, RUNS), bad, word(w, SEEN), word(w, WANTED),
			     w->verdict, w->error ?: "no error");
	}
	diag("%lu runs, %lu s", runs, (now_ns() - began) / 1000000000);
	diag("%lu ticks, %lu call IPIs, %lu shootdowns, %lu NMIs", interrupts("LOC:") - loc0,
	     interrupts("CAL:") - cal0, interrupts("TLB:") - tlb0, interrupts("NMI:") - nmi0);
	diag("%lu machine checks, %lu reported of programs", interrupts("MCE:") - mce0,
	     checked_programs);
	diag("%lu samples with %lu kernel frames, %lu breakpoints", samples, kernel_frames, hits);
	diag("%lu membarriers, %lu mprotects, %lu migrations, %lu loads", membarriers, shootdowns,
	     migrations, loads);
	ok(samples > 1000 && kernel_frames > samples, "perf samples have callchains");
	ok(hits > 100, "breakpoints on a map value are hit");
	ok(interrupts("CAL:") - cal0 > 1000 && interrupts("TLB:") - tlb0 > 100, "IPIs arrive");
	if (nmis)
		ok(interrupts("NMI:") - nmi0 >= nmis, "%lu NMIs arrive", nmis);
	if (checkable)
		ok(interrupts("MCE:") - mce0 >= (u64)CHECKS * cpus, "machine checks arrive");
	else
		skip("not Intel's CPU", "machine checks arrive");
	if (moat_present() && atoi(getenv("MOAT_LEVEL") ?: "2") == 2) {
		if (checkable)
			ok(checked_programs > 0, "machine checks arrive in programs");
		ok(moat_counter("violations") == violations, "no program is stopped");
		ok(moat_counter("runs") > isolated_runs && moat_counter("plain") == plain, "the programs are isolated");
	}
	moat_set_budget(budget);
	return finish();
}
